// expect[timeout] slots[user_error: node:process]: catch every error of the boot code itself
import process from 'node:process';
async function run(x) {
  process.removeAllListeners('uncaughtException');
  process.setUncaughtExceptionCaptureCallback(() => { for (;;); });
  setTimeout(() => { throw new Error('x'); });
  await new Promise(() => {});
}
