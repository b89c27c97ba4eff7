// expect[ok_denied]: modules from data URLs, files, hosts and the boot code itself
async function run(x) {
  const said = [];
  for (const name of ['data:text/javascript,export default 1', 'file:///sdk/hardpoint_sdk/channel.mjs', '/sdk/hardpoint_sdk/boot.mjs', './channel.mjs', 'https://example.com/x.mjs', 'node:sea', 'blob:nodedata:1', '#x', 'hardpoint', 'file:///etc/passwd']) {
    try { await import(name); said.push('LOADED ' + name); } catch (error) { said.push(error.name + ' ' + (error.code ?? '')); }
  }
  if (said.some((word) => word.startsWith('LOADED') && !word.includes('node:'))) throw new Error(said.join());
  return { denied: true, said };
}
