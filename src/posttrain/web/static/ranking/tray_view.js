// The ranks as places to put letters in, always in view, with what can be done with the whole item.

import { button, element, keyButton, letterOf } from "./elements.js";
import * as ranking from "./ranks.js";

const ORDINALS = ["1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th"];

export class TrayView {
  constructor(numCards, commands) {
    this.numCards = numCards;
    this.commands = commands;
    this.places = Array.from({ length: numCards }, (_, index) => this.#tier(index + 1));
    this.pool = element("ul", { class: "chips", role: "list", "data-slot": 0, "aria-label": "Not ranked" });
    this.poolBox = element("li", { class: "tier pool" }, element("span", { class: "tier-name", text: "Not ranked" }), this.pool);
    const tiers = element("ol", { class: "tiers", role: "list", "data-count": numCards }, this.poolBox, ...this.places.map((place) => place.box));

    this.note = element("textarea", { id: "note", rows: 2, maxlength: 20000, placeholder: "Why, or what is odd here. Esc goes back to the cards, Ctrl+Enter submits." });
    this.note.addEventListener("input", () => commands.noteTyped(this.note.value)); // a draft; undo knows it when it is done
    this.note.addEventListener("change", () => commands.note(this.note.value));
    this.noteBox = element("div", { class: "note-box", hidden: true }, element("label", { for: "note", text: "Note" }), this.note);

    this.undo = keyButton("Undo", "u", () => commands.undo());
    this.skip = keyButton("Skip", "s", () => commands.skip());
    this.flag = keyButton("Flag", "f", () => commands.toggleFlag(), { "aria-pressed": "false", class: "toggle" });
    this.noteButton = keyButton("Note", "n", () => commands.toggleNote(), { "aria-expanded": "false", "aria-controls": "note", class: "toggle" });
    this.cannot = keyButton("All bad / cannot rank", "c", () => commands.toggleCannotRank(), { "aria-pressed": "false", class: "toggle cannot" });
    this.submit = keyButton("Submit", "Enter", () => commands.submit(), { class: "main-action" });
    this.more = button("More", () => this.#toggleMore(), { class: "toggle more", "aria-expanded": "false" });
    this.summary = button("", () => this.#toggleTiers(), { class: "tray-summary", "aria-expanded": "false" });
    this.actions = element("div", { class: "actions" }, this.undo, this.more, this.skip, this.flag, this.noteButton, this.cannot, this.submit);
    this.root = element("section", { class: "tray", "data-count": numCards, "aria-label": "Your ranking" }, element("h2", { class: "hidden-label", text: "Your ranking" }), this.summary, tiers, this.noteBox, this.actions);
  }

  #tier(slot) {
    const chips = element("ul", { class: "chips", role: "list", "data-slot": slot, "aria-label": `Rank ${slot}` });
    const before = element("ul", { class: "before-tier", "data-before": slot, "aria-hidden": "true" });
    const name = element("button", { type: "button", class: "tier-name", tabindex: -1, title: `Put the card you are at here (${slot})`, text: ORDINALS[slot - 1] });
    name.setAttribute("aria-label", `Put the current response at rank ${slot}`);
    name.addEventListener("click", () => this.commands.rankCurrent(slot));
    return { chips, before, box: element("li", { class: "tier", "data-tier": slot }, before, name, chips) };
  }

  // On a phone: what is used less, and the ranks of many cards, stay folded until asked for.
  #toggleMore() { this.more.setAttribute("aria-expanded", String(this.actions.classList.toggle("shows-more"))); }
  #toggleTiers() { this.summary.setAttribute("aria-expanded", String(this.root.classList.toggle("shows-tiers"))); }

  get lists() { return [this.pool, ...this.places.flatMap((place) => [place.chips, place.before])]; }

  #chip(card, content, isCurrent) {
    const letter = letterOf(card);
    const rank = content.ranks[card];
    const chip = element("button", {
      type: "button", class: `chip${isCurrent ? " is-current" : ""}${content.unacceptable[card] ? " is-unacceptable" : ""}`, tabindex: -1,
      "aria-label": `Response ${letter}, ${rank === null ? "not ranked" : `rank ${rank}`}. Go to it.`, text: letter,
    });
    chip.addEventListener("click", () => this.commands.goTo(card));
    return element("li", { class: "chip-item", "data-card": card }, chip);
  }

  show(content, current, { canUndo, isChange }) {
    const chipsOf = (slot) => content.ranks.flatMap((own, card) => (own === slot ? [this.#chip(card, content, card === current)] : []));
    this.pool.replaceChildren(...chipsOf(null));
    this.places.forEach((place, index) => {
      place.chips.replaceChildren(...chipsOf(index + 1));
      place.before.replaceChildren();
      place.box.classList.toggle("is-filled", place.chips.children.length > 0);
    });
    const missing = ranking.unranked(content.ranks, content.unacceptable).length;
    const words = ranking.inWords(content.ranks, letterOf);
    this.summary.textContent = [words || "Nothing ranked", missing > 0 ? `${missing} to go` : "all ranked"].join(" · ");
    this.poolBox.classList.toggle("is-empty", this.pool.children.length === 0);
    this.undo.setAttribute("aria-disabled", String(!canUndo));
    this.flag.setAttribute("aria-pressed", String(content.is_flagged));
    this.cannot.setAttribute("aria-pressed", String(content.cannot_rank));
    this.noteButton.classList.toggle("has-content", content.note !== "");
    if (document.activeElement !== this.note) this.note.value = content.note;
    const isReady = content.cannot_rank || ranking.finished(content.ranks, content.unacceptable) !== null;
    this.submit.classList.toggle("is-ready", isReady);
    this.submit.querySelector("span").textContent = isChange ? "Submit change" : "Submit";
    this.root.classList.toggle("cannot-rank", content.cannot_rank);
  }

  toggleNote(open = this.noteBox.hidden) {
    this.noteBox.hidden = !open;
    this.noteButton.setAttribute("aria-expanded", String(open));
    if (open) this.note.focus();
  }
}
