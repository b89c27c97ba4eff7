// Owns bytes as they travel in texts: base64, UTF-8, and the percent signs of URLs.

const MARK = '\ufffd';
/** What may follow a first byte, where that is less than what may follow any: no character is written in two ways. */
const SECOND = { 0xe0: [0xa0, 0xbf], 0xed: [0x80, 0x9f], 0xf0: [0x90, 0xbf], 0xf4: [0x80, 0x8f] };
const FURTHER = [0x80, 0xbf];

/** Return parts of `size` bytes together as one array. */
export function joined(parts, size) {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// What the engine itself offers, looked up before a plugin runs: large files pass here, and a loop takes seconds.
const NATIVE = Uint8Array.fromBase64 && {
  to: (bytes) => bytes.toBase64(),
  from: (encoded) => Uint8Array.fromBase64(encoded),
};
const { Buffer } = globalThis;
const NODE = Buffer && {
  to: (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64'),
  from: (encoded) => new Uint8Array(Buffer.from(encoded, 'base64')),
};
const BASE64 = NATIVE ?? NODE;

export function toBase64(data) {
  return BASE64.to(data instanceof Uint8Array ? data : Uint8Array.from(data));
}

export function fromBase64(encoded) {
  return BASE64.from(encoded);
}

/** Halves of a character become replacement characters. */
export function toUtf8(string) {
  const escaped = unescape(encodeURIComponent(string.toWellFormed()));
  return Uint8Array.from(escaped, (character) => character.charCodeAt(0));
}

/** Bytes that are not UTF-8 become replacement characters, one for each run that might have begun a character. */
export function fromUtf8(bytes) {
  const found = [];
  let piece = '';
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at];
    at += 1;
    if (first < 0x80) {
      piece += String.fromCharCode(first);
    } else {
      const more = first >= 0xc2 && first < 0xe0 ? 1 : first >> 4 === 14 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : 0;
      let [least, most] = SECOND[first] ?? FURTHER;
      let code = first & (0x3f >> more);
      let taken = 0;
      while (taken < more && bytes[at] >= least && bytes[at] <= most) {
        code = (code << 6) | (bytes[at] & 63);
        [least, most] = FURTHER;
        at += 1;
        taken += 1;
      }
      piece += more > 0 && taken === more ? String.fromCodePoint(code) : MARK;
    }
    if (piece.length > 4096) [piece] = ['', found.push(piece)];
  }
  return found.join('') + piece;
}

/** Return a text with each unsafe character as percent signs. */
export function escaped(text, unsafe) {
  const percent = (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  return String(text).toWellFormed().replace(unsafe, (character) => Array.from(toUtf8(character), percent).join(''));
}

/** Return the bytes of a text with its percent signs resolved. */
export function unescaped(text) {
  const written = toUtf8(text);
  if (!text.includes('%')) return written;
  const found = [];
  for (let at = 0; at < written.length; at += 1) {
    const digits = String.fromCharCode(...written.slice(at, at + 3));
    if (/^%[0-9a-f]{2}$/i.test(digits)) [at] = [at + 2, found.push(parseInt(digits.slice(1), 16))];
    else found.push(written[at]);
  }
  return Uint8Array.from(found);
}
