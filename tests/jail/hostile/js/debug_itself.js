// expect[ok_denied] slots[user_error: node:inspector]: pause its own main thread with a debugger session
import inspector from 'node:inspector';
async function run(x) {
  const session = new inspector.Session();
  session.connect();
  session.post('Debugger.enable');
  session.post('Debugger.pause');
  debugger;
  const told = [];
  session.post('Runtime.evaluate', { expression: 'typeof process', includeCommandLineAPI: true }, (_, answer) => told.push(answer));
  return { denied: true, told };
}
