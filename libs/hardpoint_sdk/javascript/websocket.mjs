// Owns what `this.websocket` gives back: a WebSocket whose other end is the broker's.
//
// The Python SDK offers the same in `websocket.py`.

import { fromBase64, toBase64 } from './bytes.mjs';

/**
 * An open WebSocket; it is closed at the end of the execution, if not before. `subprotocol` is the one that the server
 * chose, empty for none. `closed` is {code, reason} once the server has ended it.
 */
export class WebSocket {
  #ask;
  #number;

  constructor(ask, { socket, subprotocol }) {
    this.#ask = ask;
    this.#number = socket;
    this.subprotocol = subprotocol;
    this.closed = null;
  }

  /** Send a text, bytes, or any other value as JSON. Handles in a text become secrets. */
  async send(data) {
    const socket = this.#number;
    const said = data instanceof Uint8Array
      ? { data: toBase64(data), encoding: 'base64' }
      : { data: typeof data === 'string' ? data : JSON.stringify(data) };
    await this.#ask('websocket', 'send', { socket, ...said });
  }

  /**
   * The next message, text or bytes; null when the server has closed it. `timeout` is in seconds, 5 where none is given:
   * when nothing came in time it rejects with UPSTREAM_TIMEOUT, and is still open.
   */
  async receive({ timeout } = {}) {
    const wanted = timeout === undefined ? {} : { timeout };
    const answer = await this.#ask('websocket', 'receive', { socket: this.#number, ...wanted });
    if (answer.closed) {
      this.closed = answer.closed;
      return null;
    }
    return answer.encoding === 'base64' ? fromBase64(answer.data) : answer.data;
  }

  /** Close it. What the server still sends is not heard. */
  async close() {
    await this.#ask('websocket', 'close', { socket: this.#number });
  }
}
