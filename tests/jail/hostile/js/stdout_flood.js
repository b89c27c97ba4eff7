// expect[output_limit user_error] slots[user_error: node:process]: print for ever
async function run(x){ const p=(await import('node:process')).default; const req=p.getBuiltinModule; for(;;) req('fs').writeSync(1,'A'.repeat(65536)); }
