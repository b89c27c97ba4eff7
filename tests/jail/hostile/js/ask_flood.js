// expect[budget]: a thousand asks at once, nobody waiting for the answers
async function run(x) {
  for (let n = 0; n < 1000; n += 1) ctx.fetch('https://wide.example/').catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 5000));
}
