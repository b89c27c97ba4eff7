// expect[oom crash user_error] slots[user_error: node:zlib]: a little that unpacks to more than all its memory
import zlib from 'node:zlib';
async function run(x) {
  const packed = zlib.gzipSync(new Uint8Array(32 << 20));
  const kept = [];
  for (;;) kept.push(zlib.gunzipSync(packed));
}
