// Judgements on their way to the server. Each is kept in this browser before it is sent and until the server says
// that it has it; sending it again with the same submission id counts once.

import * as api from "./api.js";
import * as kept from "./kept.js";

const SHORTEST_WAIT = 1;
const LONGEST_WAIT = 30;

export class Outbox {
  #entries = [];
  #sending = null;
  #timer = null;
  #wait = SHORTEST_WAIT;

  // listeners: stored(entry, answer), refused(entry, error), changed(state)
  constructor(listeners) {
    this.listeners = listeners;
    this.problem = null;
    for (const name of kept.namesKept("outbox.")) {
      const entry = kept.kept(name);
      if (entry?.judgement?.submission_id) this.#entries.push(entry);
    }
    this.#entries.sort((a, b) => a.at - b.at);
    addEventListener("online", () => this.retryNow());
  }

  get size() { return this.#entries.length; }
  get itemIds() { return this.#entries.map((entry) => entry.itemId); }

  // `item` stays in memory alone, so that the last judgements can be taken back without the server.
  add({ itemId, number }, judgement, item = null) {
    const entry = { itemId, number, judgement, at: Date.now() };
    kept.keep(`outbox.${judgement.submission_id}`, entry);
    this.#entries.push({ ...entry, item });
    this.#send();
  }

  // The entry of an item that has not begun to be sent, out of the outbox.
  takeBack(itemId) {
    const entry = this.#entries.findLast((one) => one.itemId === itemId && one !== this.#sending);
    if (entry?.item) {
      this.#remove(entry);
      this.#tell();
      return entry;
    }
    return null;
  }

  // Resolves when nothing of this item is on its way.
  async settled(itemId) {
    while (this.#entries.some((entry) => entry.itemId === itemId)) {
      if (this.problem) throw this.problem;
      await new Promise((go) => setTimeout(go, 50));
    }
  }

  retryNow() {
    this.#wait = SHORTEST_WAIT;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#send();
  }

  #remove(entry) {
    this.#entries = this.#entries.filter((one) => one !== entry);
    kept.forget(`outbox.${entry.judgement.submission_id}`);
  }

  #tell() { this.listeners.changed({ size: this.size, problem: this.problem, wait: this.#timer ? this.#wait : 0 }); }

  async #send() {
    if (this.#sending || this.#timer) {
      this.#tell();
      return;
    }
    while (this.#entries.length > 0) {
      const entry = this.#entries[0];
      this.#sending = entry;
      this.#tell();
      try {
        const answer = await api.submit(entry.itemId, { ...entry.judgement, ...this.listeners.asksFor(entry) });
        this.problem = null;
        this.#wait = SHORTEST_WAIT;
        this.#remove(entry);
        this.listeners.stored(entry, answer);
      } catch (error) {
        if (error instanceof api.Refused) {
          this.problem = null;
          this.#remove(entry);
          this.listeners.refused(entry, error);
        } else {
          this.problem = error;
          this.#timer = setTimeout(() => {
            this.#timer = null;
            this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT);
            this.#send();
          }, this.#wait * 1000);
          break;
        }
      } finally {
        this.#sending = null;
      }
    }
    this.#tell();
  }

  start() { this.#send(); }
}
