// expect[ok_denied] slots[user_error: node:fs]: load a shared object from /tmp as an addon
import fs from 'node:fs';
import process from 'node:process';
async function run(x) {
  const said = [];
  const libraries = ['/lib/x86_64-linux-gnu/libc.so.6', '/lib64/libc.so.6', '/usr/lib/libc.so.6'];
  fs.writeFileSync('/tmp/evil.node', fs.readFileSync(libraries.find((path) => fs.existsSync(path))));
  try { process.dlopen({ exports: {} }, '/tmp/evil.node'); said.push('LOADED'); } catch (error) { said.push(error.message.slice(-60)); }
  if (!said[0].includes('failed to map') && !said[0].includes('denied') && !said[0].includes('permitted')) throw new Error(said);
  return { denied: true, said };
}
