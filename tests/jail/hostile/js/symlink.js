// expect[ok_denied] slots[user_error: node:process]: a link to a file outside
async function run(x){ const p=(await import('node:process')).default; const req=p.getBuiltinModule; try{ req('fs').symlinkSync('/etc/shadow','/tmp/a'); return 'OK'; }catch(e){ return {denied:true,e:e.code}; } }
