// The item in view stays ours while somebody works at it.

import * as api from "./api.js";
import { dismiss, notify } from "./notices.js";

const SECONDS_BETWEEN_LOOKS = 15;
const SHARE_OF_LEASE = 0.5;

// shownNow() gives { item, clock, isEarlier } of the item in view, or null.
export function keepLease(shownNow) {
  let renewed = { item: null, at: 0, length: 0 };

  async function look() {
    const shown = shownNow();
    if (shown === null || shown.isEarlier || shown.item.lease_seconds_left === null) return;
    if (renewed.item !== shown.item) {
      renewed = { item: shown.item, at: shown.item.received_at, length: shown.item.lease_seconds_left };
      dismiss("lease");
    }
    const isDue = performance.now() - renewed.at > 1000 * SHARE_OF_LEASE * renewed.length;
    if (!isDue || !shown.clock.isAlive) return;
    try {
      const { lease_seconds_left } = await api.renewLease(shown.item.id);
      renewed = { item: shown.item, at: performance.now(), length: lease_seconds_left };
      dismiss("lease");
    } catch (error) {
      if (error instanceof api.Refused && error.code === "lease_gone") {
        renewed = { item: shown.item, at: performance.now(), length: 600 };
        notify("lease", "mid", "You were away for long, and somebody else has this item now. What you submit still counts.");
      }
    }
  }
  setInterval(look, SECONDS_BETWEEN_LOOKS * 1000);
}
