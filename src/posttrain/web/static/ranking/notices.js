// Sentences at the top of the page that stay until they are no longer true.

import { button, element } from "./elements.js";

const box = document.querySelector("#notices");
const shown = new Map();

// kind: good, info, mid or bad. actions: [[name, function or address], ...]
export function notify(name, kind, text, actions = []) {
  const notice = element("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" }, element("p", { text }));
  const row = element("div", { class: "notice-actions" });
  for (const [label, act] of actions) {
    row.append(typeof act === "string" ? element("a", { class: "button", href: act, text: label }) : button(label, act));
  }
  if (actions.length > 0) notice.append(row);
  if (shown.has(name)) {
    if (shown.get(name).dataset.text === text) return;
    shown.get(name).replaceWith(notice);
  } else {
    box.append(notice);
  }
  notice.dataset.text = text;
  shown.set(name, notice);
}

export function dismiss(name) {
  shown.get(name)?.remove();
  shown.delete(name);
}
