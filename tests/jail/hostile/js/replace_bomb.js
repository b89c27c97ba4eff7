// expect[user_error crash oom] slots[user_error: out of memory]: text that doubles by its own replacement patterns
async function run(x) {
  let text = 'a'.repeat(1000);
  for (;;) text = text.replace(/a+/, '$&$&$&$&') + 'x'.padEnd(2 ** 24);
}
