// What is sent when an item is submitted, and what is said when it cannot be yet.

import { announce } from "./announcer.js";

// A judgement of the item, as the server takes it; sent again under the same submission_id it counts once.
export function submissionOf({ item, clock }, judgement) {
  return {
    ...judgement,
    submission_id: crypto.randomUUID?.() ?? madeUp(),
    seconds: clock.seconds,
    guideline_version: item.guideline_version,
    replaces: item.earlier?.judgement_id ?? null,
  };
}

// Marks the cards that have no rank and goes to the first; a sentence about them.
export function showMissing({ view, work }) {
  const { ranks, unacceptable } = work.content;
  const left = view.cards.filter(({ card }) => ranks[card] === null && !unacceptable[card]);
  for (const card of left) card.root.classList.add("is-missing");
  view.focusCard(left[0].card);
  const missing = `${left.map((card) => card.letter).join(", ")} ${left.length === 1 ? "has" : "have"} no rank`;
  announce(`Not submitted: ${missing}. Press c when they cannot be ranked, s to skip.`);
  return `${missing} yet.`;
}

// crypto.randomUUID exists on https and localhost alone; random bytes everywhere.
function madeUp() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
