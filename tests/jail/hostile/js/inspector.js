// expect[ok_denied] slots[user_error: node:inspector]: open a debugger to the outside, and debug itself
import inspector from 'node:inspector';
async function run(x) {
  try { inspector.open(9229, '127.0.0.1'); } catch (error) { return { denied: true, said: error.message }; }
  if (inspector.url()) throw new Error('LISTENING ' + inspector.url());
  return { denied: true };
}
