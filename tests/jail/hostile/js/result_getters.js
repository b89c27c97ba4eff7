// expect[user_error]: a result whose getters throw what is no error
async function run(x) {
  return { get a() { throw { get name() { throw null; }, get message() { throw undefined; }, get stack() { throw 1n; } }; } };
}
