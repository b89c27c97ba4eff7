// expect[timeout] slots[user_error: WebAssembly]: a loop in WebAssembly, where no interrupt of the language is
async function run(x) {
  const code = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 9, 1, 7, 0, 3, 64, 12, 0, 11, 11];
  new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(code))).exports.f();
}
