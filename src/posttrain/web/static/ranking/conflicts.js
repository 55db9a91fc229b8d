// What the server did not take: somebody judged in another tab, or the item is not ours. Nothing is thrown away
// before the person has said so.

import { openDialog } from "./dialogs.js";
import { element, itemName } from "./elements.js";
import { wordsOf } from "./history_dialog.js";
import { notify, dismiss } from "./notices.js";

const PARTS = ["kind", "ranks", "unacceptable", "grades", "tags", "note", "is_flagged"];
const same = (a, b) => PARTS.every((part) => JSON.stringify(a[part]) === JSON.stringify(b[part]));

function line(name, judgement) {
  return element("div", { class: "conflict-line" }, element("dt", { text: name }), element("dd", {},
    element("strong", { text: wordsOf(judgement) }), judgement.note ? element("p", { class: "soft", text: `Note: ${judgement.note}` }) : null));
}

export function explainStale(entry, current, { resubmit, open }) {
  if (current && same(entry.judgement, current)) return; // the same in both tabs: there is nothing to decide
  const when = current ? new Date(current.submitted_at * 1000).toLocaleTimeString([], { timeStyle: "short" }) : "";
  const name = `stale-${entry.itemId}`;
  const text = `${itemName(entry.number, { starts: true })} was judged by you in another tab or window meanwhile${when ? ` (${when})` : ""}.`;
  let isDecided = false;
  const decide = (act) => () => { isDecided = true; dismiss(name); act(); };
  const ask = () => openDialog("stale-dialog", "Two judgements of one item", [
    element("p", { text: `${text} Both are here; which one holds?` }),
    element("dl", {}, ...(current ? [line("Stored", current)] : []), line("Yours of this tab", entry.judgement)),
  ], {
    actions: [
      ["Replace it with mine", decide(() => resubmit(entry, current?.judgement_id ?? null)), "main-action"],
      ["Keep the stored one", decide(() => {})],
      ["Open the item", decide(() => open(entry.itemId))],
    ],
    closes: "Decide later",
    onClose: () => { if (!isDecided) notify(name, "mid", `${text} Yours of this tab is not stored yet.`, [["Decide", ask]]); },
  });
  ask();
}

export function explainRefused(entry, error) {
  notify(`refused-${entry.itemId}`, "bad", `Your judgement of ${itemName(entry.number)} was not stored: ${error.message}`, [
    ["I have read this", () => dismiss(`refused-${entry.itemId}`)],
  ]);
}
