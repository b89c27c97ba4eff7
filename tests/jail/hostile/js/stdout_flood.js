// expect[output_limit timeout user_error]: stdout cap
async function run(x){ const p=(await import('node:process')).default; const req=p.getBuiltinModule; for(;;) req('fs').writeSync(1,'A'.repeat(65536)); }
