// expect[oom crash user_error] slots[user_error: transferred]: memory moved from hand to hand until nobody counts it
async function run(x) {
  const kept = [];
  for (;;) {
    const buffer = new ArrayBuffer(8 << 20, { maxByteLength: 1 << 30 });
    new Uint8Array(buffer).fill(1);
    kept.push(structuredClone(buffer, { transfer: [buffer] }));
  }
}
