return [() => 1, Symbol('s'), { f() {} }, new WeakMap(), Promise.resolve()]
  .map((value) => { try { return structuredClone(value); } catch (error) { return error.name; } });
