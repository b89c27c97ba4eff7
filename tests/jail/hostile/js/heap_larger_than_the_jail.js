// expect[oom crash] slots[user_error: node:v8]: raise the heap limit, then fill it
import v8 from 'node:v8';
async function run(x) {
  v8.setFlagsFromString('--max-old-space-size=65536');
  v8.setFlagsFromString('--max-heap-size=65536');
  const kept = [];
  for (;;) kept.push(new Array(100000).fill(1.5));
}
