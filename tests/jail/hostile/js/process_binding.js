// expect[ok_denied] slots[user_error: node:process]: the inner bindings of node: spawn, raw sockets, natives
import process from 'node:process';
async function run(x) {
  const said = [];
  const spawn = process.binding('spawn_sync');
  const answer = spawn.spawn({ file: '/usr/bin/node', args: ['node', '-v'], envPairs: ['A=1'], stdio: [{ type: 'ignore' }, { type: 'ignore' }, { type: 'ignore' }] });
  said.push(answer.error);
  try { const { TCP } = process.binding('tcp_wrap'); said.push(new TCP(0).bind('127.0.0.1', 0)); } catch (error) { said.push(error.message); }
  try { const { Pipe } = process.binding('pipe_wrap'); said.push(new Pipe(0).bind('\0hp-canary')); } catch (error) { said.push(error.message); }
  if (said.includes(0) || answer.output) throw new Error('REACHED ' + said);
  return { denied: true, said };
}
