// expect[ok user_error crash]: buffers that shrink, grow and go while a comparison, a getter or a species looks at them
async function run(x) {
  const kept = [];
  for (let round = 0; round < 300; round += 1) {
    const buffer = new ArrayBuffer(4096, { maxByteLength: 1 << 16 });
    const view = new Uint32Array(buffer);
    for (let n = 0; n < view.length; n += 1) view[n] = n * 2654435761;
    try { view.sort((a, b) => { buffer.resize(round % 2 ? 16 : 1 << 16); return a - b; }); } catch {}
    try { view.fill({ valueOf() { buffer.resize(0); return 7; } }); } catch {}
    try { view.set({ length: 1e6, get 0() { buffer.resize(8); return 1; } }); } catch {}
    try { kept.push(view.map((n) => { if (buffer.resizable) buffer.resize(n % 4096); return n; })); } catch {}
    try { new DataView(buffer).setFloat64({ valueOf() { buffer.transfer?.(); return 0; } }, 1); } catch {}
    const list = [1, 2, 3]; list[1e3] = 4;
    try { list.splice(0, 2, { get a() { list.length = 0; } }); list.sort(() => { list.length = 0; return 0; }); } catch {}
    try { [].concat.call({ constructor: { [Symbol.species]: Array }, length: 2 ** 32 }); } catch {}
  }
  return { rounds: 300 };
}
