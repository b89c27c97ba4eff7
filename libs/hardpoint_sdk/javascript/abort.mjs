// Owns AbortController and AbortSignal for an engine without them. A signal speaks of one event, `abort`, and once.

const OURS = Symbol('ours');

/** Return both, with timers that nothing waits for. */
export function aborting(setTimeout) {
  class AbortSignal {
    #aborted = false;
    #reason;
    #listeners = new Set();
    onabort = null;

    constructor(key) {
      if (key !== OURS) throw new TypeError('Illegal constructor');
    }

    static abort(reason) {
      const signal = new AbortSignal(OURS);
      signal[OURS](reason);
      return signal;
    }

    static timeout(delay) {
      const signal = new AbortSignal(OURS);
      const late = () => signal[OURS](new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
      setTimeout(late, delay).unref();
      return signal;
    }

    static any(signals) {
      const signal = new AbortSignal(OURS);
      for (const each of signals) {
        if (each.aborted) signal[OURS](each.reason);
        else each.addEventListener('abort', () => signal[OURS](each.reason));
      }
      return signal;
    }

    get aborted() {
      return this.#aborted;
    }

    get reason() {
      return this.#reason;
    }

    throwIfAborted() {
      if (this.#aborted) throw this.#reason;
    }

    addEventListener(type, listener) {
      if (type === 'abort' && listener) this.#listeners.add(listener);
    }

    removeEventListener(type, listener) {
      if (type === 'abort') this.#listeners.delete(listener);
    }

    [OURS](reason = new DOMException('This operation was aborted', 'AbortError')) {
      if (this.#aborted) return;
      this.#aborted = true;
      this.#reason = reason;
      const event = { type: 'abort', target: this };
      const listeners = [...this.#listeners];
      this.#listeners.clear();
      if (typeof this.onabort === 'function') this.onabort(event);
      for (const listener of listeners) {
        if (typeof listener === 'function') listener.call(this, event);
        else listener.handleEvent(event);
      }
    }
  }

  class AbortController {
    #signal = new AbortSignal(OURS);

    get signal() {
      return this.#signal;
    }

    abort(reason) {
      this.#signal[OURS](reason);
    }
  }

  return { AbortController, AbortSignal };
}
