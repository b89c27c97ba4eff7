// Owns structuredClone for an engine without it.

const PRIMITIVES = [Boolean, Number, String, BigInt];
const ERRORS = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

/** Return a copy of a value with all that it holds; throws DataCloneError for what has no copy, such as a function. */
export function structuredClone(value, options) {
  if (options?.transfer?.length) throw uncloned('nothing can be transferred here');
  return copied(value, new Map());
}

function uncloned(why) {
  return new DOMException(why, 'DataCloneError');
}

function copied(value, seen) {
  if (typeof value === 'function' || typeof value === 'symbol') throw uncloned(`${String(value)} could not be cloned.`);
  if (value === null || typeof value !== 'object') return value;
  if (seen.has(value)) return seen.get(value);
  const keep = (copy) => {
    seen.set(value, copy);
    return copy;
  };
  if (PRIMITIVES.some((kind) => value instanceof kind)) return keep(Object(value.valueOf()));
  if (value instanceof Date) return keep(new Date(value.getTime()));
  if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
  if (value instanceof ArrayBuffer) return keep(value.slice(0));
  if (ArrayBuffer.isView(value)) {
    const buffer = copied(value.buffer, seen);
    return keep(new value.constructor(buffer, value.byteOffset, value.length ?? value.byteLength));
  }
  if (value instanceof Map) {
    const copy = keep(new Map());
    for (const [key, held] of [...value]) copy.set(copied(key, seen), copied(held, seen));
    return copy;
  }
  if (value instanceof Set) {
    const copy = keep(new Set());
    for (const held of [...value]) copy.add(copied(held, seen));
    return copy;
  }
  if (value instanceof Error) return error(value, keep, seen);
  if ([WeakMap, WeakSet, WeakRef, Promise].some((kind) => value instanceof kind)) {
    throw uncloned(`${Object.prototype.toString.call(value)} could not be cloned.`);
  }
  const copy = keep(Array.isArray(value) ? new Array(value.length) : {});
  for (const key of Object.keys(value)) {
    const held = copied(value[key], seen);
    Object.defineProperty(copy, key, { value: held, enumerable: true, configurable: true, writable: true });
  }
  return copy;
}

function error(value, keep, seen) {
  const copy = keep(Object.create((ERRORS[value.name] ?? Error).prototype));
  for (const key of ['stack', 'message', 'cause']) {
    if (!Object.hasOwn(value, key)) continue;
    const held = key === 'cause' ? copied(value[key], seen) : String(value[key]);
    Object.defineProperty(copy, key, { value: held, configurable: true, writable: true });
  }
  return copy;
}
