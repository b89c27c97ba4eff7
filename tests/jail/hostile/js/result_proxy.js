// expect[user_error]: a result whose every part is made while it is read
async function run(x) {
  const endless = () => new Proxy({}, { ownKeys: () => ['a'], getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true, value: 1 }), get: (_, name) => (name === 'toJSON' || name === 'then' ? undefined : endless()) });
  return endless();
}
