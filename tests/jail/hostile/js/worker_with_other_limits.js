// expect[oom crash user_error] slots[user_error: node:worker_threads]: a worker whose heap is larger than the jail
import { Worker } from 'node:worker_threads';
async function run(x) {
  const limits = { maxOldGenerationSizeMb: 8192, maxYoungGenerationSizeMb: 2048, stackSizeMb: 512 };
  const worker = new Worker('const a = []; for (;;) a.push(new Array(100000).fill(1.5));', { eval: true, resourceLimits: limits });
  await new Promise((_, reject) => worker.on('error', reject).on('exit', (code) => reject(new Error('exit ' + code))));
}
