const date = new Date(5); const inner = { n: 1n }; inner.self = inner;
const bytes = new Uint8Array([1, 2, 3, 4]).subarray(1, 3);
const value = { date, again: date, map: new Map([[inner, new Set([1, inner])]]), list: [1, , 3], none: undefined,
  bytes, text: /x/gi, nan: NaN, boxed: new String('s'), error: new RangeError('e', { cause: 'c' }) };
const copy = structuredClone(value); const [[key, set]] = [...copy.map];
return [copy !== value, copy.date !== date, copy.date === copy.again, copy.date.getTime(), key !== inner, key.self === key,
  set.has(key), key.n === 1n, copy.list.length, 1 in copy.list, 'none' in copy, [...copy.bytes], copy.bytes.byteOffset,
  copy.bytes.buffer.byteLength, `${copy.text}`, Number.isNaN(copy.nan), typeof copy.boxed, `${copy.boxed}`,
  copy.error instanceof RangeError, copy.error.message, copy.error.cause, `${copy.error}`];
