// Everything this person judged, newest first; each opens again.

import * as api from "./api.js";
import { openDialog } from "./dialogs.js";
import { button, element, itemName, letterOf, makeScrollersReachable } from "./elements.js";
import { inWords } from "./ranks.js";

const KINDS = { cannot_rank: "All bad or cannot be ranked", skip: "Skipped" };

export const wordsOf = (judgement) => KINDS[judgement.kind] ?? inWords(judgement.ranks, letterOf);

export async function openHistory(open, onClose) {
  const list = element("ol", { class: "history", role: "list" });
  const status = element("p", { class: "soft", role: "status", text: "Fetching …" });
  const more = button("Show older ones", () => fetchMore(), { hidden: true });
  const dialog = openDialog("history-dialog", "What you judged", [list, status, more], { onClose });
  let before = null;

  async function fetchMore() {
    try {
      const { judgements, next_before } = await api.history(before);
      for (const judgement of judgements) {
        const line = element("button", { type: "button", class: "history-line" },
          element("span", { class: "history-head" }, element("strong", { text: itemName(judgement.number, { starts: true }) }), element("span", { class: "history-ranks", text: wordsOf(judgement) }),
            judgement.is_flagged ? element("span", { class: "badge mid", text: "Flagged" }) : null,
            element("span", { class: "soft history-time", text: new Date(judgement.submitted_at * 1000).toLocaleString([], { dateStyle: "short", timeStyle: "short" }) })),
          element("span", { class: "soft history-prompt", html: judgement.prompt_html }));
        line.addEventListener("click", () => { dialog.close(); open(judgement.id); });
        list.append(element("li", {}, line));
      }
      before = next_before;
      more.hidden = before === null;
      status.textContent = list.children.length === 0 ? "You have not judged anything yet." : "";
      makeScrollersReachable(dialog);
    } catch (error) {
      status.textContent = `What you judged cannot be fetched now. ${error.message}`;
    }
  }
  await fetchMore();
}
