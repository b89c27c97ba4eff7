// expect[user_error ok] slots[ok]: a thousand rejections that nobody handles, some of them hostile
async function run(x) {
  for (let n = 0; n < 1000; n += 1) Promise.reject(n % 2 ? { get stack() { throw new Error('no'); } } : null);
  await new Promise((resolve) => setTimeout(resolve, 50));
  return 1;
}
