// expect[ok_denied] slots[user_error: node:vm]: out of a vm context by the constructors of what was put in
import vm from 'node:vm';
async function run(x) {
  const found = vm.runInNewContext('this.log.constructor("return typeof process + typeof require")()', { log: () => {} });
  if (found !== 'undefinedundefined') throw new Error(found);
  let said;
  try { await vm.runInNewContext('import("node:fs")', {}); said = 'IMPORTED'; } catch (error) { said = error.code; }
  if (said === 'IMPORTED') throw new Error(said);
  return { denied: true, found, said };
}
