// expect[ok_denied] slots[user_error: node:dgram]: serve others: TCP, UDP, a local socket, a cluster
import dgram from 'node:dgram';
import net from 'node:net';
const said = [];
const listening = (place) => new Promise((resolve) => {
  const server = net.createServer().on('error', (error) => resolve(error.code)).listen(place, () => resolve('LISTENING'));
});
async function run(x) {
  said.push(await listening(0), await listening({ path: '/tmp/socket' }), await listening({ path: '\0hp-canary-mine' }));
  said.push(await new Promise((resolve) => {
    try { dgram.createSocket('udp4').on('error', (error) => resolve(error.code)).bind(0, () => resolve('LISTENING')); } catch (error) { resolve(error.code); }
  }));
  if (said.includes('LISTENING')) throw new Error(said.join());
  return { denied: true, said };
}
