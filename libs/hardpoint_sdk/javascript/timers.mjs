// Owns timers for an engine that has none: which are set, when the next one is due, and what happens then.
//
// They are as under Node: an object that is cleared by itself or by its number, delays from 1 to 2^31-1 ms, and jobs
// between two callbacks. Time passes outside: whoever drives this waits until one is `due`, and then has it `ring`.

const LONGEST = 2 ** 31 - 1;
const AsyncFunction = (async () => {}).constructor;

/** Return timers by a clock, in milliseconds; `failed` is told what a callback throws. */
export function timers(now, failed) {
  /** The next one first; of two that are due together, the one that was set first. */
  const queue = [];
  const numbered = new Map();
  let last = 0;

  class Timeout {
    #run;
    #delay;
    #repeats;
    #number = (last += 1);
    #cleared = false;
    #held = true;

    constructor(callback, delay, values, repeats) {
      if (typeof callback !== 'function') {
        throw new TypeError(`The "callback" argument must be of type function. Received type ${typeof callback}`);
      }
      const whole = Math.trunc(delay);
      this.#delay = whole >= 1 && whole <= LONGEST ? whole : 1;
      this.#repeats = repeats;
      this.#run = () => {
        const promised = callback.apply(this, values);
        // What an async callback promises nobody else can have, so nobody else can catch what it throws.
        if (callback instanceof AsyncFunction) promised.then(undefined, failed);
      };
      this.refresh();
    }

    refresh() {
      if (this.#cleared) return this;
      drop(this);
      const due = now() + this.#delay;
      let at = queue.length;
      while (at > 0 && queue[at - 1].due > due) at -= 1;
      const isHeld = () => this.#held;
      queue.splice(at, 0, { timer: this, due, isHeld, ring: () => this.#ring() });
      numbered.set(this.#number, this);
      return this;
    }

    #ring() {
      try {
        this.#run();
      } catch (error) {
        failed(error);
      }
      if (this.#repeats) this.refresh();
      else if (!queue.some(({ timer }) => timer === this)) numbered.delete(this.#number);
    }

    close() {
      this.#cleared = true;
      drop(this);
      numbered.delete(this.#number);
      return this;
    }

    ref() {
      this.#held = true;
      return this;
    }

    unref() {
      this.#held = false;
      return this;
    }

    hasRef() {
      return this.#held;
    }

    [Symbol.toPrimitive]() {
      return this.#number;
    }
  }

  function drop(timer) {
    const at = queue.findIndex((entry) => entry.timer === timer);
    if (at >= 0) queue.splice(at, 1);
  }

  function clear(timer) {
    const found = timer instanceof Timeout ? timer : numbered.get(typeof timer === 'object' ? null : Number(timer));
    found?.close();
  }

  return {
    globals: {
      setTimeout: (callback, delay, ...values) => new Timeout(callback, delay, values, false),
      setInterval: (callback, delay, ...values) => new Timeout(callback, delay, values, true),
      clearTimeout: clear,
      clearInterval: clear,
    },
    /** Whether a timer is set that the call waits for. */
    held: () => queue.some(({ isHeld }) => isHeld()),
    /** Milliseconds until the next timer is due, without end when there is none. */
    due: () => (queue.length > 0 ? Math.max(0, queue[0].due - now()) : Infinity),
    /** Forget every timer. */
    clear() {
      queue.length = 0;
      numbered.clear();
    },
    /** Run the callback of the next timer. */
    ring: () => queue.shift().ring(),
  };
}
