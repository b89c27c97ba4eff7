// expect[ok timeout oom] slots[user_error: node:worker_threads]: a worker that goes on when the result is out
import { Worker } from 'node:worker_threads';
async function run(x) {
  await new Promise((resolve) => new Worker('for (;;);', { eval: true }).on('online', resolve));
  return 1;
}
