// expect[user_error] slots[user_error: node:process]: open files until there are no descriptors
async function run(x){ const p=(await import('node:process')).default; const req=p.getBuiltinModule; const k=[]; for(;;) k.push(req('fs').openSync('/etc/passwd')); }
