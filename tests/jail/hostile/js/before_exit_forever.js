// expect[timeout]: new work whenever the event loop is empty
import process from 'node:process';
async function run(x) {
  process.removeAllListeners('beforeExit');
  process.on('beforeExit', () => setTimeout(() => {}, 1));
  await new Promise(() => {});
}
