// expect[timeout]: an asynchronous generator that never ends
async function run(x) {
  async function* numbers() { for (let n = 0; ; n += 1) yield n; }
  let last;
  for await (last of numbers());
  return last;
}
