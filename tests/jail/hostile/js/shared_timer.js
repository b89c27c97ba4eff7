// expect[ok oom] slots[user_error: node:worker_threads]: a clock finer than the platform gives, out of a counting thread
import { Worker } from 'node:worker_threads';
async function run(x) {
  const counter = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker('const c = require("node:worker_threads").workerData; for (;;) Atomics.add(c, 0, 1);', { eval: true, workerData: counter });
  await new Promise((resolve) => worker.on('online', resolve));
  const began = Atomics.load(counter, 0);
  Atomics.wait(counter, 0, -1, 20);
  return Atomics.load(counter, 0) - began >= 0;
}
