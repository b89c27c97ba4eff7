// expect[user_error crash oom timeout]: an error with a stack of a million frames, whose every part is code
async function run(x) {
  Error.stackTraceLimit = 1e9;
  Error.prepareStackTrace = (error, frames) => { for (;;) frames = [...frames, ...frames]; };
  const deep = (n) => { if (n > 5e3) throw new Error('deep'); return deep(n + 1); };
  deep(0);
}
