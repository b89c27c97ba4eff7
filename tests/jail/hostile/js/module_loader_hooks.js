// expect[ok ok_denied user_error oom] slots[user_error: node:module]: hooks that run in a thread of their own for every import
import module from 'node:module';
async function run(x) {
  module.register('data:text/javascript,export async function resolve(s,c,n){for(;;);}');
  try { await import('node:zlib'); } catch (error) { return { denied: true, said: error.message }; }
  return { denied: true };
}
