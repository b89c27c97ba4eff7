// expect[timeout] slots[user_error: node:async_hooks]: a hook on every asynchronous step, also of the boot code
import { createHook } from 'node:async_hooks';
async function run(x) {
  createHook({ init() { Promise.resolve(); }, before() { for (;;); } }).enable();
  return 1;
}
