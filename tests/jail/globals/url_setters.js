const u = new URL('https://a.example/x?a=1#f'); const told = [];
const set = (name, value) => { u[name] = value; told.push(`${name} ${u}`); };
for (const value of ['', '?', 'q=1 2', '?q#', 'ü']) set('search', value);
for (const value of ['', '#', 'f g', '#f', '?']) set('hash', value);
for (const value of ['', 'y', '/../y z', 'a?b#c', '\\b']) set('pathname', value);
for (const value of ['b.example', 'b.example:99', 'no host', '', 'c.example:443', 'd.example/x']) set('host', value);
for (const value of ['e.example', 'e.example:1', 'a@b', '']) set('hostname', value);
for (const value of ['8080', '', '443', 80, '99999', 'x', '12x']) set('port', value);
for (const value of ['http', 'https:', 'x']) set('protocol', value);
for (const value of ['u:@', '', 'ü']) { set('username', value); set('password', value); }
set('href', 'http://z.example/?n=m'); told.push([...u.searchParams]); return told;
