// Owns bytes as they travel in texts: base64, UTF-8, and the percent signs of URLs. Nothing here is an engine's own.

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const VALUES = new Map([...DIGITS].map((digit, value) => [digit, value]));
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

export function toBase64(data) {
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

export function fromBase64(encoded) {
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
