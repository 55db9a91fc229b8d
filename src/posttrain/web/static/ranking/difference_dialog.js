// Two cards side by side with what differs between them marked; one column on a phone.

import * as api from "./api.js";
import { openDialog } from "./dialogs.js";
import { element, letterOf, makeScrollersReachable } from "./elements.js";

const UNITS = { words: "compared word by word", lines: "compared line by line", texts: "too different to compare" };

function side(parts, only, letter) {
  const text = element("div", { class: "plain difference-text", dir: "auto" });
  for (const part of parts) {
    if (part.in === "same") text.append(element("span", { html: part.html }));
    else if (part.in === only) text.append(element(only === "only_a" ? "del" : "ins", { html: part.html }));
  }
  return element("section", { class: "difference-side" }, element("h3", { text: `Response ${letter}` }), text);
}

export function openDifference(item, first, second, onClose) {
  const numCards = item.cards.length;
  const pick = (chosen, label) => {
    const select = element("select", { "aria-label": label }, ...Array.from({ length: numCards }, (_, card) => element("option", { value: card, text: letterOf(card) })));
    select.value = chosen;
    select.addEventListener("change", compare);
    return select;
  };
  const a = pick(first, "First response");
  const b = pick(second, "Second response");
  const summary = element("p", { class: "soft", role: "status" });
  const sides = element("div", { class: "difference-sides" });

  async function compare() {
    summary.textContent = "Comparing …";
    const [from, to] = [Number(a.value), Number(b.value)];
    try {
      const found = await api.difference(item.id, from, to);
      if (Number(a.value) !== from || Number(b.value) !== to) return;
      const share = Math.floor(100 * found.similarity);
      summary.textContent = from === to ? "This is one and the same response." : `${share} % in common, ${UNITS[found.unit]}.${found.is_partial ? " Only the first part is compared." : ""}`;
      sides.replaceChildren(side(found.parts, "only_a", letterOf(from)), side(found.parts, "only_b", letterOf(to)));
      makeScrollersReachable(dialog);
    } catch (error) {
      summary.textContent = `They cannot be compared now. ${error.message}`;
    }
  }

  const dialog = openDialog("difference-dialog", "Compare", [element("p", { class: "difference-pick" }, a, element("span", { text: "with" }), b), summary, sides], { onClose });
  compare();
}
