// What this person judged, oldest first: of this visit, and page by page what the server knows of before.

import * as api from "./api.js";

export class Trail {
  #ids = [];
  #older; // where older ones go on; null when there are none, undefined before the first look

  // Submitted just now, so it is the newest.
  add(id) { this.#ids = [...this.#ids.filter((other) => other !== id), id]; }

  async #fetchOlder() {
    const { judgements, next_before } = await api.history(this.#older ?? null);
    this.#older = next_before;
    const found = judgements.map((judgement) => judgement.id).reverse();
    this.#ids = [...found.filter((id) => !this.#ids.includes(id)), ...this.#ids];
  }

  // The one before `id` (null: before the open item), or undefined.
  async before(id) {
    const place = () => (id === null ? this.#ids.length : this.#ids.indexOf(id));
    while (place() <= 0 && this.#older !== null) await this.#fetchOlder();
    return this.#ids[place() - 1];
  }

  // The one after `id`, or undefined where that is the open item.
  async after(id) {
    if (!this.#ids.includes(id) && this.#older !== null) await this.#fetchOlder();
    const place = this.#ids.indexOf(id);
    return place < 0 ? undefined : this.#ids[place + 1];
  }
}
