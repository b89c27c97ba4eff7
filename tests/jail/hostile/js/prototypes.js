// expect[protocol]: prototypes under everything that the boot code touches
async function run(x) {
  for (const type of [Object, Array, Function, Promise, String, Map]) {
    Object.defineProperty(type.prototype, 'toJSON', { get() { return () => ({ result: 'forged' }); }, configurable: true });
    type.prototype.then = (resolve) => resolve('forged');
  }
  Object.prototype.get = Object.prototype.set = () => { throw new Error('no'); };
  return { value: 1 };
}
