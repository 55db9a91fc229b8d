// Tags of one card: offered ones to switch on and off, and others that somebody types.

import { button, element } from "./elements.js";
import { keep, kept } from "./kept.js";

const MOST_REMEMBERED = 12;
const LONGEST_TAG = 60;

export class TagMenu {
  constructor(letter, suggested, choose) {
    this.letter = letter;
    this.suggested = suggested;
    this.choose = choose;
    this.tags = [];
    this.opener = button("Tags", () => this.toggle(), { class: "toggle", "aria-expanded": "false", "aria-keyshortcuts": "t" });
    this.root = element("div", { class: "tag-menu" });
    this.chosen = element("ul", { class: "tags", role: "list", "aria-label": `Tags of response ${letter}`, hidden: true });
    this.panel = element("div", { class: "tag-panel", hidden: true });
    this.root.append(this.chosen, this.panel);
  }

  get isOpen() { return !this.panel.hidden; }

  toggle(open = !this.isOpen) {
    this.panel.hidden = !open;
    this.opener.setAttribute("aria-expanded", String(open));
    if (!open) return;
    this.#fill();
    this.panel.querySelector("button, input").focus();
  }

  #fill() {
    const remembered = kept("tags") ?? [];
    const offered = [...new Set([...this.suggested, ...remembered, ...this.tags])];
    this.input = element("input", { type: "text", maxlength: LONGEST_TAG, "aria-label": `Another tag for response ${this.letter}`, placeholder: "another tag", class: "tag-input", enterkeyhint: "done" });
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      const tag = this.input.value.trim();
      if (tag === "" || this.tags.includes(tag)) return;
      if (!this.suggested.includes(tag)) {
        keep("tags", [tag, ...remembered.filter((one) => one !== tag)].slice(0, MOST_REMEMBERED));
      }
      this.choose([...this.tags, tag]);
      this.#fill();
      this.input.focus();
    });
    this.panel.replaceChildren(...offered.map((tag) => {
      const toggle = button(tag, () => this.choose(this.tags.includes(tag) ? this.tags.filter((one) => one !== tag) : [...this.tags, tag]), { class: "toggle tag-toggle" });
      toggle.dataset.tag = tag;
      return toggle;
    }), this.input);
    this.#mark();
  }

  #mark() {
    for (const toggle of this.panel.querySelectorAll("button")) toggle.setAttribute("aria-pressed", this.tags.includes(toggle.dataset.tag));
  }

  show(tags) {
    this.tags = tags;
    this.chosen.hidden = tags.length === 0;
    this.chosen.replaceChildren(...tags.map((tag) => element("li", { class: "tag", text: tag })));
    this.opener.textContent = tags.length === 0 ? "Tags" : `Tags (${tags.length})`;
    this.#mark();
  }
}
