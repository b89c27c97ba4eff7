// expect[user_error]: toJSON that returns another toJSON, wider each time
async function run(x) {
  class Bomb { toJSON() { return { a: new Bomb(), b: new Bomb() }; } }
  return new Bomb();
}
