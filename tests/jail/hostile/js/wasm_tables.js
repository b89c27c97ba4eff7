// expect[oom crash user_error timeout] slots[user_error: WebAssembly]: tables and shared memories instead of a heap
async function run(x) {
  const kept = [];
  for (;;) {
    kept.push(new WebAssembly.Table({ initial: 1e6, element: 'externref' }, { a: 1 }));
    const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
    new Uint8Array(memory.buffer).fill(1);
    kept.push(memory);
  }
}
