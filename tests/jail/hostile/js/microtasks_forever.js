// expect[oom timeout]: promises that leave no time for anything else
async function run(x) {
  const again = () => Promise.resolve().then(again);
  await again();
}
