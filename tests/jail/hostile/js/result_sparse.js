// expect[oom crash user_error timeout] slots[oom timeout user_error]: an array of four thousand million holes
async function run(x) { const a = []; a.length = 2 ** 32 - 1; return a; }
