// Dialogs over the page: the browser keeps the keyboard inside them, Escape closes them.

import { button, element } from "./elements.js";

export function openDialog(name, title, content, { actions = [], closes = "Close", onClose = () => {} } = {}) {
  document.querySelector(`dialog[data-name="${name}"]`)?.remove();
  const dialog = element("dialog", { "data-name": name, class: `dialog ${name}`, "aria-labelledby": `title-of-${name}` });
  const close = () => dialog.close();
  const foot = element("div", { class: "dialog-actions" }, ...actions.map(([label, act, kind]) => button(label, () => { close(); act(); }, { class: kind ?? "" })));
  if (closes) foot.append(button(closes, close));
  dialog.append(element("h2", { id: `title-of-${name}`, text: title }), element("div", { class: "dialog-body scroll-box", "data-name": title }, ...[content].flat()), foot);
  dialog.addEventListener("close", () => { dialog.remove(); onClose(); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) close(); });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
