// Owns what scripts expect to be global and QuickJS lacks: it is put there once, before any plugin runs.

import { aborting } from './abort.mjs';
import { chance } from './chance.mjs';
import { structuredClone } from './clone.mjs';
import { TextDecoder, TextEncoder } from './encoding.mjs';
import { URLSearchParams } from './params.mjs';
import { URL } from './url.mjs';

/** Put it there, beside timers; `entropy(count)` gives random bytes. */
export function furnish(timers, entropy) {
  const { random, crypto } = chance(entropy);
  Math.random = random;
  Object.assign(globalThis, timers, aborting(timers.setTimeout), { crypto, structuredClone });
  Object.assign(globalThis, { TextDecoder, TextEncoder, URL, URLSearchParams });
}
