// expect[ok_denied] slots[user_error: node:process]: kill every process it can name
async function run(x){ const p=(await import('node:process')).default; const req=p.getBuiltinModule; const o=[]; for(const t of [-1,1,0,p.ppid]) try{ p.kill(t,9); o.push('OK') }catch(e){ o.push(e.code) } if(o.includes('OK')) throw new Error('KILLED '+o); return {denied:true,o}; }
