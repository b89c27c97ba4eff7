// expect[ok_denied] slots[user_error: node:diagnostics_channel]: listen to what node tells about sockets, requests and modules
import diagnostics from 'node:diagnostics_channel';
async function run(x) {
  const told = [];
  for (const name of ['net.client.socket', 'http.client.request.start', 'undici:request:create', 'child_process', 'worker_threads', 'module.import']) diagnostics.subscribe(name, (message) => told.push([name, String(message)]));
  try { await ctx.fetch('https://until.the.end/'); } catch (error) { told.push(error.code); }
  if (told.join() !== 'HOST_NOT_GRANTED') throw new Error(told.join());
  return { denied: true, told };
}
