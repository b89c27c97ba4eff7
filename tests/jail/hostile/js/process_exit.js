// expect[protocol] slots[user_error: node:process]: end without a result
async function run(x){ const p=(await import('node:process')).default; const req=p.getBuiltinModule; p.reallyExit(0); }
