// Owns what `this` offers of the platform: fetch, file, context, log and progress. All of it asks the broker.
//
// The Python SDK offers the same in `host.py`. Nothing here is Node's own, so that it runs in other engines too.

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const VALUES = new Map([...DIGITS].map((digit, value) => [digit, value]));

/**
 * Return what `this` gets, by name. `door(service, method, arguments)` promises the broker's answer and `send(frame)`
 * sends a frame that has none.
 */
export function offered(door, send) {
  /** A refusal arrives from a reply, where nobody knows who asked: it gets the stack of the question. */
  async function ask(service, method, parameters) {
    const [, ...asked] = String(new Error().stack).split('\n');
    try {
      return await door(service, method, parameters);
    } catch (error) {
      error.stack = [`${error.name}: ${error.message}`, ...asked].join('\n');
      throw error;
    }
  }

  /** Make an HTTP request: options are method, headers, body (text, or a value sent as JSON) or bodyFile, and into. */
  async function fetch(url, { method = 'GET', headers = {}, body, bodyFile, into } = {}) {
    const isForm = typeof URLSearchParams === 'function' && body instanceof URLSearchParams;
    const form = isForm ? { 'content-type': 'application/x-www-form-urlencoded' } : {};
    const sent = { url: String(url), headers: { ...form, ...headers }, body: isForm ? String(body) : body };
    if (bodyFile !== undefined) sent.body_file = bodyFile;
    if (into !== undefined) sent.into = into;
    return new Response(await ask('fetch', method.toUpperCase(), sent));
  }

  function log(message, level = 'info') {
    send({ log: { level, message: text(message) } });
  }

  function progress(fraction, message = '') {
    send({ progress: { fraction, message } });
  }

  return { fetch, file: files(ask), context: { get: () => ask('context', 'get', {}) }, log, progress };
}

/** Temporary files: outside the jail, gone with the execution. They need the permission `file.temporary`. */
function files(ask) {
  return {
    /** Write text or bytes, in place of what is there or after it; {name, size}. */
    async write(name, data, { append = false } = {}) {
      const isText = typeof data === 'string';
      const encoding = isText ? 'utf-8' : 'base64';
      return ask('file', 'write', { name, data: isText ? data : toBase64(data), encoding, append });
    },
    /** Bytes from `offset` on, at most `length`; without a length, all the rest. */
    async read(name, { offset = 0, length } = {}) {
      const parts = [];
      for (let got = 0; ; ) {
        const wanted = length === undefined ? {} : { length: length - got };
        const answer = await ask('file', 'read', { name, offset: offset + got, ...wanted });
        const part = fromBase64(answer.data);
        parts.push(part);
        got += part.length;
        if (part.length === 0 || got === length || offset + got >= answer.size) return joined(parts, got);
      }
    },
    /** {name, size} of each, by name. */
    list: async () => ask('file', 'list', {}),
    /** Bytes of a file. */
    size: async (name) => ask('file', 'size', { name }),
    /** Remove a file. */
    delete: async (name) => ask('file', 'delete', { name }),
  };
}

/** An HTTP answer. `headers` is a Map with lower-case names; `file` is {name, size} when the body was kept in a file. */
class Response {
  #body;
  #encoding;

  constructor({ status, headers, body, encoding, file = null }) {
    this.status = status;
    this.ok = status >= 200 && status < 300;
    this.headers = new Map(Object.entries(headers));
    this.file = file;
    this.#body = body;
    this.#encoding = encoding;
  }

  async bytes() {
    return this.#encoding === 'base64' ? fromBase64(this.#body) : toUtf8(this.#body);
  }

  async text() {
    return this.#encoding === 'base64' ? fromUtf8(fromBase64(this.#body)) : this.#body;
  }

  async json() {
    return JSON.parse(await this.text());
  }
}

/** Return a value as a line of text. */
export function text(value) {
  if (typeof value === 'string') return value;
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

function joined(parts, size) {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function toBase64(data) {
  const bytes = data instanceof Uint8Array ? data : Uint8Array.from(data);
  const lines = [];
  let line = '';
  for (let at = 0; at < bytes.length; at += 3) {
    const group = (bytes[at] << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    const digits = DIGITS[group >> 18] + DIGITS[(group >> 12) & 63] + DIGITS[(group >> 6) & 63] + DIGITS[group & 63];
    const left = bytes.length - at;
    line += left > 2 ? digits : digits.slice(0, left + 1) + '='.repeat(3 - left);
    if (line.length > 4096) [line] = ['', lines.push(line)];
  }
  return lines.join('') + line;
}

function fromBase64(encoded) {
  const digits = encoded.replace(/=+$/, '');
  const bytes = new Uint8Array(Math.floor((digits.length * 3) / 4));
  let [bits, held, at] = [0, 0, 0];
  for (const digit of digits) {
    bits = ((bits << 6) | VALUES.get(digit)) & 0xffff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes[at] = (bits >> held) & 255;
      at += 1;
    }
  }
  return bytes;
}

function toUtf8(string) {
  const escaped = unescape(encodeURIComponent(string));
  return Uint8Array.from(escaped, (character) => character.charCodeAt(0));
}

/** Bytes that are not UTF-8 become replacement characters. */
function fromUtf8(bytes) {
  let found = '';
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at];
    const more = first < 0x80 ? 0 : first >= 0xc2 && first < 0xe0 ? 1 : first >> 4 === 14 ? 2 : first >> 3 === 30 ? 3 : -1;
    const least = [0, 0x80, 0x800, 0x10000][more];
    let code = more < 1 ? first : first & (0x3f >> more);
    let taken = 1;
    for (; taken <= more && bytes[at + taken] >> 6 === 2; taken += 1) code = (code << 6) | (bytes[at + taken] & 63);
    const right = more >= 0 && taken === more + 1 && code >= least && code < 0x110000 && code >> 11 !== 27;
    found += right ? String.fromCodePoint(code) : '\ufffd';
    at += taken;
  }
  return found;
}
