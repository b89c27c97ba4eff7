// expect[ok protocol budget oom] slots[user_error: node:fs]: frames from a worker, torn into those of the main thread
import fs from 'node:fs';
import { Worker } from 'node:worker_threads';
async function run(x) {
  const worker = new Worker(`
    const fs = require('node:fs');
    const half = [Buffer.from([0, 0, 0, 44]), Buffer.from('{"log":{"level":"info","message":"aaaaaaaa"}}')];
    for (;;) for (const part of half) fs.writeSync(3, part);
  `, { eval: true });
  await new Promise((resolve) => setTimeout(resolve, 200));
  fs.writeSync(3, 'torn');
  return 1;
}
