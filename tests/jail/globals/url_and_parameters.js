const u = new URL('https://a.example/?a=1&b=2'); const p = u.searchParams; const told = [];
p.append('c d', 'ü&='); told.push(u.href); p.delete('a'); told.push(u.href); p.set('b', '3'); told.push(u.href);
p.delete('b'); p.delete('c d'); told.push(u.href); u.search = '?x=y'; told.push(p.get('x'), p === u.searchParams);
return told;
