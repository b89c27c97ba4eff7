// expect[protocol] slots[user_error: node:fs]: a frame of a thousand layers, written past the SDK
import fs from 'node:fs';
async function run(x) {
  const body = '{"result":{"value":' + '{"a":'.repeat(1000) + '1' + '}'.repeat(1000) + '}}';
  const head = new Uint8Array(4);
  new DataView(head.buffer).setUint32(0, body.length);
  fs.writeSync(3, head);
  fs.writeSync(3, body);
  for (;;);
}
