const p = new URLSearchParams('?a=1&a=2&b=%zz+%C3%BC%ff&=x&c&&d=e=f'); const told = [[...p], p.size, `${p}`];
told.push(p.getAll('a'), p.has('a', '2'), p.has('a', '3'), p.get('none'), [...p.keys()], [...p.values()]);
p.set('a', 9); p.append('z', null); p.delete('d', 'no'); told.push(`${p}`); p.sort(); told.push(`${p}`);
p.forEach((value, name) => told.push(name + value)); told.push(`${new URLSearchParams(p)}`); return told;
