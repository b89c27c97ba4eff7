// expect[ok_denied] slots[user_error: node:fs]: watch the shared root for what neighbours do
import fs from 'node:fs';
async function run(x) {
  const said = [];
  for (const path of ['/usr/bin', '/sdk', '/usr/bin/node']) {
    try { fs.watch(path, () => {}).on('error', () => {}); said.push('WATCHING'); } catch (error) { said.push(error.code); }
  }
  if (said.includes('WATCHING')) throw new Error('WATCHING');
  return { denied: true, said };
}
