// expect[user_error] slots[user_error: node:process]: fill the disk
async function run(x){ const p=(await import('node:process')).default; const req=p.getBuiltinModule; let i=0; for(;;) req('fs').writeFileSync('/tmp/f'+i++, 'x'.repeat(4<<20)); }
