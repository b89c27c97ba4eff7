// expect[violation] slots[user_error: node:process]: become root
async function run(x){ const p=(await import('node:process')).default; const req=p.getBuiltinModule; p.setuid(0); return p.getuid(); }
