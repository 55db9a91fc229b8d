// How far the work is, in the header: counted here at once, corrected by the server now and then.

import * as api from "./api.js";

const SECONDS_BETWEEN = 60;
const MILLISECONDS_UNTIL_REFRESH = 800;
const text = document.querySelector("#progress");
const line = document.querySelector("#progress-line");
let counts = null;

function show() {
  if (counts === null) return;
  const parts = [`${counts.num_judged.toLocaleString("en")} judged`];
  if (counts.num_skipped > 0) parts.push(`${counts.num_skipped.toLocaleString("en")} skipped`);
  parts.push(`${counts.num_open.toLocaleString("en")} open`);
  text.textContent = parts.join(" · ");
  line.max = Math.max(1, counts.num_items);
  line.value = counts.num_items - counts.num_open;
}

export async function refreshProgress() {
  try {
    counts = await api.progress();
    show();
  } catch {
    // the numbers stay as they are; what is not saved is said elsewhere
  }
}

// One judgement of this kind more, in place of one of kind `before` (null for none).
export function count(kind, before) {
  if (counts === null) return;
  for (const [one, change] of [[kind, 1], [before, -1]]) {
    if (one === "skip") counts.num_skipped += change;
    else if (one !== null) counts.num_judged += change;
  }
  show();
}

// The server has one more: what is open now only it can say.
let soon = null;
export function refreshSoon() {
  clearTimeout(soon);
  soon = setTimeout(refreshProgress, MILLISECONDS_UNTIL_REFRESH);
}

export function keepFresh() {
  refreshProgress();
  setInterval(() => { if (!document.hidden) refreshProgress(); }, SECONDS_BETWEEN * 1000);
}
