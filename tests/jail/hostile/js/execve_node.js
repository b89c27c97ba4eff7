// expect[ok crash protocol user_error] slots[user_error: node:process]: become another Node, without the SDK and with other flags, and answer in its place
import process from 'node:process';
async function run(x) {
  const script = `
    const fs = require('fs');
    const say = (frame) => { const body = Buffer.from(JSON.stringify(frame)); const head = Buffer.alloc(4);
      head.writeUInt32BE(body.length); fs.writeSync(3, Buffer.concat([head, body])); };
    const kept = [];
    try { for (let n = 0; n < 64; n += 1) kept.push(Buffer.alloc(8 << 20, 1)); } catch {}
    let found = [];
    for (const path of ['CANARY_FILE', '/etc/shadow', '/proc/self/environ']) try { found.push(fs.readFileSync(path, 'utf8')); } catch {}
    say({ result: { value: { denied: found.length === 0, held: kept.length, env: Object.keys(process.env) } } });
    setTimeout(() => {}, 100000);`;
  process.execve(process.execPath, ['node', '--max-old-space-size=8192', '-e', script], {});
}
