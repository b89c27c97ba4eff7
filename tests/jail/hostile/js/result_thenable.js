// expect[timeout]: a result that is never there: a thenable without end
async function run(x) {
  const forever = { then(resolve) { setTimeout(() => resolve(forever), 0); } };
  return forever;
}
