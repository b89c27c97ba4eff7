return [{ a: 1, 'b c': 'ü' }, [['x', 'y'], ['x', 'z']], new Map([['m', 'n']]), '', undefined, 'a b', null, 5]
  .map((from) => `${new URLSearchParams(from)}`);
