// expect[ok_denied] slots[user_error: node:process]: look up a name
async function run(x){ const p=(await import('node:process')).default; const req=p.getBuiltinModule; const d=req('dns').promises; try{ return await d.lookup('example.com'); }catch(e){ return {denied:true,e:e.code}; } }
