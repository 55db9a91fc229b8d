// Seconds worked at an item: the page is in view and something was done within the last minute and a half.

const IDLE_SECONDS = 90;
const SIGNS_OF_LIFE = ["pointermove", "pointerdown", "keydown", "scroll", "touchstart"];

export class Clock {
  #worked;
  #last;
  #alive;

  constructor(secondsBefore = 0) {
    this.#worked = secondsBefore;
    this.#last = this.#alive = performance.now();
    this.notice = () => {
      this.#count();
      this.#alive = performance.now();
    };
    this.hide = () => this.#count();
    for (const sign of SIGNS_OF_LIFE) addEventListener(sign, this.notice, { passive: true, capture: true });
    document.addEventListener("visibilitychange", this.hide);
  }

  get seconds() {
    this.#count();
    return Math.round(this.#worked * 10) / 10;
  }

  get isAlive() { return !document.hidden && performance.now() - this.#alive < IDLE_SECONDS * 1000; }

  #count() {
    const now = performance.now();
    const until = Math.min(now, this.#alive + IDLE_SECONDS * 1000);
    // Called when the page is hidden too: what passed until then counts, what passes hidden does not.
    if (!this.wasHidden) this.#worked += Math.max(0, until - this.#last) / 1000;
    this.wasHidden = document.hidden;
    this.#last = now;
  }

  stop() {
    for (const sign of SIGNS_OF_LIFE) removeEventListener(sign, this.notice, { capture: true });
    document.removeEventListener("visibilitychange", this.hide);
  }
}
