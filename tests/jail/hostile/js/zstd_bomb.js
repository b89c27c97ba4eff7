// expect[oom crash user_error] slots[user_error: node:zlib]: a gigabyte in a few bytes of Zstandard, and of Brotli
import zlib from 'node:zlib';
async function run(x) {
  const zeros = Buffer.alloc(8 << 20);
  let packed = zlib.zstdCompressSync(zeros);
  const many = Buffer.concat(Array(128).fill(packed));
  const kept = [];
  for (;;) kept.push(zlib.zstdDecompressSync(many), zlib.brotliDecompressSync(zlib.brotliCompressSync(zeros)));
}
