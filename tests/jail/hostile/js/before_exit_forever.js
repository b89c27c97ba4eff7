// expect[timeout] slots[user_error: node:process]: new work whenever the event loop is empty
import process from 'node:process';
async function run(x) {
  process.removeAllListeners('beforeExit');
  process.on('beforeExit', () => setTimeout(() => {}, 1));
  await new Promise(() => {});
}
