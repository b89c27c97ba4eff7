// expect[user_error]: throw what throws when it is looked at
async function run(x) {
  const trap = new Proxy({}, { get(_, name) { if (name === 'then') return undefined; throw trap; }, has() { throw trap; }, ownKeys() { throw trap; } });
  throw new Proxy(function () {}, { get(_, name) { throw trap; }, getPrototypeOf() { throw trap; }, apply() { throw trap; } });
}
