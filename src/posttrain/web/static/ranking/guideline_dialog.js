// What annotators are told. Its version is kept, so that a new one is shown once by itself.

import * as api from "./api.js";
import { openDialog } from "./dialogs.js";
import { boxTables, element, makeScrollersReachable } from "./elements.js";
import { keep, kept } from "./kept.js";

export const hasUnreadGuideline = (version) => version !== null && kept("guideline") !== version;

export async function openGuideline(onClose) {
  const box = element("div", { class: "text" }, element("p", { text: "Fetching the guideline …" }));
  const dialog = openDialog("guideline-dialog", "Guideline", box, { onClose });
  try {
    const { version, html, created_at } = await api.guideline();
    if (version === null) {
      box.replaceChildren(element("p", { text: "There is no guideline. Rank by which response helps the person who asked most." }));
      return;
    }
    keep("guideline", version);
    const day = new Date(created_at * 1000).toLocaleDateString();
    box.replaceChildren(element("p", { class: "soft", text: `Version ${version} of ${day}` }), element("div", { html }));
    boxTables(box);
    makeScrollersReachable(dialog);
  } catch (error) {
    box.replaceChildren(element("p", { text: `The guideline cannot be fetched now. ${error.message}` }));
  }
}
