// expect[timeout ok] slots[timeout]: code for when its objects are gone, which is never
async function run(x) {
  const registry = new FinalizationRegistry(() => { for (;;); });
  for (let n = 0; n < 1e5; n += 1) registry.register({ n, fill: new Array(100) }, n);
  await new Promise((resolve) => setTimeout(resolve, 100));
  return 1;
}
