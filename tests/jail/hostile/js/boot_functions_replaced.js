// expect[protocol] slots[user_error: node:fs]: other functions under the channel: fs.writeSync, JSON, Buffer
import fs from 'node:fs';
import buffer from 'node:buffer';
async function run(x) {
  const write = fs.writeSync;
  JSON.stringify = () => '{"result":{"value":"forged"},"usage":{}}';
  buffer.Buffer.concat = (parts) => parts[0];
  fs.writeSync = (fd, data, ...rest) => write(fd, '\xff'.repeat(64));
  return 1;
}
