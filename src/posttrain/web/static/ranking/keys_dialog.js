// The keys, from the table that the keyboard itself uses, and two settings.

import { openDialog } from "./dialogs.js";
import { element, makeScrollersReachable } from "./elements.js";
import { keep, kept } from "./kept.js";
import { GROUPS, nameOf } from "./keys.js";

function setting(name, isOnAtFirst, text) {
  const box = element("input", { type: "checkbox" });
  box.checked = kept(name) ?? isOnAtFirst;
  box.addEventListener("change", () => keep(name, box.checked));
  return element("label", { class: "setting" }, box, element("span", { text }));
}

export function openKeys(onClose) {
  const groups = GROUPS.map(([title, entries]) => element("section", {}, element("h3", { text: title }), element("dl", { class: "keys" },
    ...entries.map(({ keys, shown, name }) => element("div", {},
      element("dt", {}, ...(shown ?? keys).map((key) => (key === "…" ? element("span", { text: "…" }) : element("kbd", { text: nameOf(key) })))),
      element("dd", { text: name }))))));
  const settings = element("section", {}, element("h3", { text: "Settings of this browser" }),
    setting("advance", false, "After a digit go on to the next card without a rank"),
    setting("single keys", true, "Keys of one letter work everywhere, not only inside a card"));
  const mouse = element("p", { class: "soft", text: "With a mouse or a finger: drag the letters into the ranks, or press the numbers on the cards." });
  const dialog = openDialog("keys-dialog", "Keys", [element("div", { class: "key-groups" }, ...groups, settings), mouse], { onClose });
  dialog.addEventListener("keydown", (event) => { if (event.key === "?") { event.preventDefault(); dialog.close(); } });
  makeScrollersReachable(dialog);
}
