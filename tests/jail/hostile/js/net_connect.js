// expect[ok_denied] slots[user_error: node:process]: connect to a service on the host's loopback
async function run(x){ const p=(await import('node:process')).default; const req=p.getBuiltinModule; const net=req('net'); return await new Promise((res)=>{ const s=net.connect(CANARY_PORT,'127.0.0.1',()=>res('CONNECTED')); s.on('error',e=>res({denied:true,e:e.code})); }); }
