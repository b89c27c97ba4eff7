// expect[crash] slots[user_error: node:process]: abort, to leave its memory as a core file
async function run(x){ const p=(await import('node:process')).default; const req=p.getBuiltinModule; p.abort(); }
