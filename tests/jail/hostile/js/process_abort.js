// expect[crash]: SIGABRT reported, no core
async function run(x){ const p=(await import('node:process')).default; const req=p.getBuiltinModule; p.abort(); }
