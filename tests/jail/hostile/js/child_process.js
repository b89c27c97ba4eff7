// expect[ok_denied] slots[user_error: node:process]: start a program
async function run(x){ const p=(await import('node:process')).default; const req=p.getBuiltinModule; const r=req('child_process').spawnSync('/usr/bin/node',['-v']); if(!r.error) throw new Error('SPAWNED'); return {denied:true,e:r.error.code}; }
