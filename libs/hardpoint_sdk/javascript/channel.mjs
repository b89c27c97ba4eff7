// Owns descriptor 3, the only thing in a jail that leads out: frames to the executor and its replies.

import fs from 'node:fs';

const DESCRIPTOR = 3;

/** Return a frame's bytes. Throws TypeError for what is not JSON: BigInt, circles. */
export function encode(frame) {
  const body = Buffer.from(JSON.stringify(frame));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

/** Send one frame. */
export function send(frame) {
  sendBytes(encode(frame));
}

/** Send an encoded frame. */
export function sendBytes(data) {
  for (let sent = 0; sent < data.length; ) sent += fs.writeSync(DESCRIPTOR, data, sent);
}

/** Wait for one frame; null when the executor is gone. */
export function receive() {
  const head = exactly(4);
  return head === null ? null : JSON.parse(exactly(head.readUInt32BE()).toString());
}

/** Stay until the executor kills the jail, so that it can read what the call used; return when it is gone. */
export function waitForTheEnd() {
  const rest = Buffer.alloc(4096);
  while (fs.readSync(DESCRIPTOR, rest) > 0);
}

/** The platform refused or could not do what the plugin asked; `code` says why, such as HOST_NOT_GRANTED. */
export class BrokerError extends Error {
  constructor(code, message, ask) {
    super(`${code}: ${message}`);
    this.name = 'BrokerError';
    this.code = code;
    this.ask = ask;
  }
}

const open = new Map();
let asked = 0;

/** Return a promise of the broker's answer; it rejects with a BrokerError. Many may be open at once. */
export function ask(service, method, parameters) {
  asked += 1;
  send({ ask: { id: asked, service, method, arguments: parameters } });
  const answer = new Promise((resolve, reject) => open.set(asked, { resolve, reject }));
  if (open.size === 1) listen();
  return answer;
}

/** Read replies while asks are open, and only then: an action that waits for nothing lets the event loop end. */
function listen() {
  fs.read(DESCRIPTOR, Buffer.alloc(4), 0, 4, null, (error, count, head) => {
    if (error || count === 0) process.exit(0);
    const rest = count < 4 ? exactly(4 - count) : Buffer.alloc(0);
    const size = Buffer.concat([head.subarray(0, count), rest]).readUInt32BE();
    const { reply } = JSON.parse(exactly(size).toString());
    const waiting = open.get(reply.id);
    open.delete(reply.id);
    if (open.size > 0) listen();
    if (reply.error) waiting.reject(new BrokerError(reply.error.code, reply.error.message, reply.id));
    else waiting.resolve(reply.value ?? null);
  });
}

function exactly(size) {
  const data = Buffer.alloc(size);
  for (let got = 0; got < size; ) {
    const count = fs.readSync(DESCRIPTOR, data, got, size - got, null);
    if (count === 0) return null;
    got += count;
  }
  return data;
}
