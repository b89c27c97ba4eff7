// expect[ok_denied]: a module that acts while it is only looked at: asks, files, threads
import fs from 'node:fs';
const said = [];
try { await fetch('https://wide.example/'); said.push('ANSWERED'); } catch (error) { said.push(error.code); }
fs.writeFileSync('/tmp/left', 'x');
if (said[0] !== 'SERVICE_UNKNOWN') throw new Error(said[0]);
export default { denied: true, id: 'hostile', actions: { async a() {} } };
