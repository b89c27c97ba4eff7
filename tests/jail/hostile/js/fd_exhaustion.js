// expect[user_error]: EMFILE
async function run(x){ const p=(await import('node:process')).default; const req=p.getBuiltinModule; const k=[]; for(;;) k.push(req('fs').openSync('/etc/passwd')); }
