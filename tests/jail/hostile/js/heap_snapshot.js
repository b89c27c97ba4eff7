// expect[ok_denied user_error oom crash] slots[user_error: node:fs]: write the whole heap to /tmp and search it
import fs from 'node:fs';
import v8 from 'node:v8';
async function run(x) {
  let text = '';
  try { text = fs.readFileSync(v8.writeHeapSnapshot('/tmp/heap'), 'utf8'); } catch (error) { return { denied: true, said: error.message }; }
  return { denied: true, seen: text.match(/canary-[^"]{0,40}/g) };
}
