// Owns TextEncoder and TextDecoder for an engine without them: UTF-8 and no other encoding, whole texts and no streams.

import { fromUtf8, toUtf8 } from './bytes.mjs';

const UTF8 = /^[\t\n\f\r ]*(?:unicode-1-1-utf-8|unicode11utf8|unicode20utf8|x-unicode20utf8|utf-?8)[\t\n\f\r ]*$/i;

export class TextEncoder {
  get encoding() {
    return 'utf-8';
  }

  encode(text = '') {
    return toUtf8(String(text));
  }

  /** Write as many whole characters as there is room for; {read, written}. */
  encodeInto(text, target) {
    let [read, written] = [0, 0];
    for (const character of String(text)) {
      const bytes = toUtf8(character);
      if (written + bytes.length > target.length) break;
      target.set(bytes, written);
      read += character.length;
      written += bytes.length;
    }
    return { read, written };
  }
}

export class TextDecoder {
  #fatal;
  #ignoreBOM;

  constructor(label = 'utf-8', { fatal = false, ignoreBOM = false } = {}) {
    if (!UTF8.test(label)) throw new RangeError(`The "${label}" encoding is not supported: there is UTF-8 alone`);
    this.#fatal = Boolean(fatal);
    this.#ignoreBOM = Boolean(ignoreBOM);
  }

  get encoding() {
    return 'utf-8';
  }

  get fatal() {
    return this.#fatal;
  }

  get ignoreBOM() {
    return this.#ignoreBOM;
  }

  decode(data = new Uint8Array(), { stream = false } = {}) {
    if (stream) throw new RangeError('a stream cannot be decoded part by part: put its parts together first');
    const isView = ArrayBuffer.isView(data);
    const bytes = isView ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
    const text = fromUtf8(bytes);
    if (this.#fatal && text.includes('\ufffd') && !same(toUtf8(text), bytes)) {
      throw new TypeError('The encoded data was not valid for encoding utf-8');
    }
    return text.startsWith('\ufeff') && !this.#ignoreBOM ? text.slice(1) : text;
  }
}

function same(left, right) {
  return left.length === right.length && left.every((byte, at) => byte === right[at]);
}
