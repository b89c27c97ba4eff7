// Owns what is random, for an engine whose own numbers would be the same in every call that one warm engine serves.

const MOST = 65536;

/** Return `random` of Math, and `crypto`; `entropy(count)` gives so many bytes of this call's own, as hexadecimal text. */
export function chance(entropy) {
  let state;

  /** xoshiro128**, which is fast and not for secrets; seeded when it is first asked, which is inside the call. */
  function word() {
    state ??= new Uint32Array(bytes(16).buffer);
    const [a, b, c, d] = state;
    const mixed = Math.imul(b, 5);
    const answer = Math.imul((mixed << 7) | (mixed >>> 25), 9) >>> 0;
    const [third, fourth] = [c ^ a, d ^ b];
    state.set([a ^ fourth, b ^ third, third ^ (b << 9), (fourth << 11) | (fourth >>> 21)]);
    return answer;
  }

  function bytes(count) {
    const text = entropy(count);
    return Uint8Array.from({ length: count }, (_, at) => parseInt(text.slice(2 * at, 2 * at + 2), 16));
  }

  function getRandomValues(view) {
    const kind = Object.prototype.toString.call(view);
    if (!ArrayBuffer.isView(view) || view instanceof DataView || kind.includes('Float')) {
      throw new DOMException('The data argument must be an integer-type TypedArray', 'TypeMismatchError');
    }
    if (view.byteLength > MOST) {
      throw new DOMException(`The requested length exceeds ${MOST} bytes`, 'QuotaExceededError');
    }
    new Uint8Array(view.buffer, view.byteOffset, view.byteLength).set(bytes(view.byteLength));
    return view;
  }

  function randomUUID() {
    const drawn = bytes(16);
    drawn[6] = (drawn[6] & 0x0f) | 0x40;
    drawn[8] = (drawn[8] & 0x3f) | 0x80;
    const text = Array.from(drawn, (byte) => byte.toString(16).padStart(2, '0')).join('');
    return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join('-');
  }

  return {
    /** A number from 0 to 1, without 1, of 53 bits. */
    random: () => ((word() >>> 5) * 2 ** 26 + (word() >>> 6)) / 2 ** 53,
    crypto: { getRandomValues, randomUUID },
  };
}
