// expect[ok_denied] slots[user_error: node:os]: the diagnostic report: environment, network, limits, libraries
import os from 'node:os';
import process from 'node:process';
async function run(x) {
  const { environmentVariables, header, workers } = process.report.getReport();
  const seen = { environmentVariables, host: header.host, interfaces: header.networkInterfaces ?? [], cwd: header.cwd };
  if (JSON.stringify(Object.keys(environmentVariables ?? {})) !== '["LANG"]' || seen.host !== 'jail' || seen.interfaces.length) throw new Error(JSON.stringify(seen));
  let addresses;
  try { addresses = Object.keys(os.networkInterfaces()).length; } catch (error) { addresses = error.message; }
  if (addresses > 0) throw new Error('SEEN ' + addresses);
  return { denied: true, seen, addresses };
}
