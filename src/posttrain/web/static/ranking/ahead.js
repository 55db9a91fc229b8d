// The next item, fetched while the one before is still worked at.

import * as api from "./api.js";

export class Ahead {
  #asked = null;
  #item = null;

  get id() { return this.#item?.id; }
  get isNeeded() { return this.#asked === null && this.#item === null; }

  fetch(besides) {
    if (!this.isNeeded) return;
    const asked = api.next(besides);
    this.#asked = asked;
    const done = (item) => {
      if (this.#asked !== asked) return; // somebody waits for it already
      this.#asked = null;
      this.#item = item ?? null;
    };
    asked.then(done, () => done(null));
  }

  // It came with another answer. False where there is one already.
  offer(item) {
    if (!this.isNeeded) return false;
    this.#item = item;
    return true;
  }

  // The item where it is there already, else null.
  takeNow() {
    const item = this.#item;
    this.#item = null;
    return item;
  }

  // The item that is on its way, or one asked for now; null when there is none.
  takeLater(besides) {
    const asked = this.#asked ?? api.next(besides);
    this.#asked = null;
    return asked;
  }
}
