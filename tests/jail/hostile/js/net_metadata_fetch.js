// expect[ok_denied]: fetch from the cloud's metadata service
async function run(x){ const p=(await import('node:process')).default; const req=p.getBuiltinModule; const f=(()=>{}).constructor('return globalThis.fetch')(); try{ await f('http://169.254.169.254/latest/meta-data/'); return 'CONNECTED'; }catch(e){ return {denied:true,e:String(e.cause&&e.cause.code||e.message)}; } }
