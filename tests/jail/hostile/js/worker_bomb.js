// expect[user_error ok crash oom] slots[user_error: node:worker_threads]: as many threads as memory has room for
import { Worker } from 'node:worker_threads';
async function run(x) {
  const failed = new Promise((_, reject) => { globalThis.reject = reject; });
  for (let n = 0; n < 200; n += 1) {
    const worker = new Worker('setInterval(() => {}, 1e6)', { eval: true });
    worker.on('error', (error) => globalThis.reject(error));
  }
  return failed;
}
