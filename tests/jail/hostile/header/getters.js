// expect[user_error]: a header whose getters throw
export default { get id() { throw null; }, actions: { get run() { throw new Error('no'); } } };
