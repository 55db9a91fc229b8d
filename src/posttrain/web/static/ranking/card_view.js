// One response as a card: its letter (which can be dragged), its rank, the text, and what can be said of it.

import { boxTables, button, counted, element, letterOf } from "./elements.js";
import { TagMenu } from "./tag_menu.js";

const NOTES = {
  long: "Long: shown as plain text.",
  deep: "Nested too deeply to be set: shown as plain text.",
  slow: "Too tangled to be set: shown as plain text.",
  empty: "Nothing of this would be seen when set: shown as plain text.",
};
const GRADES = ["very bad", "bad", "fair", "good", "very good"];

// Radio buttons as a row of numbers; clicking the one that is on takes it off again.
function choices(name, legend, labels, choose) {
  const radios = labels.map((label, index) => {
    const radio = element("input", { type: "radio", name, value: index + 1, "aria-label": label, class: "hidden-label" });
    radio.addEventListener("change", () => choose(index + 1));
    radio.addEventListener("click", () => { if (radio.dataset.was === "true") choose(null); });
    return radio;
  });
  const row = element("fieldset", { class: "choices" }, element("legend", { class: "choices-name", text: legend }));
  radios.forEach((radio, index) => {
    const label = element("label", { class: "choice" }, radio, element("span", { class: "choice-face", text: index + 1, "aria-hidden": "true" }));
    // After a click the keyboard belongs to the card again; who came by keyboard stays among the numbers.
    label.addEventListener("click", (event) => {
      if (event.detail > 0 && event.target !== radio) setTimeout(() => label.closest(".card")?.focus({ preventScroll: true }));
    });
    row.append(label);
  });
  return {
    row,
    show(chosen) {
      radios.forEach((radio, index) => {
        radio.checked = chosen === index + 1;
        radio.dataset.was = radio.checked;
      });
    },
  };
}

export class CardView {
  constructor(card, response, numCards, commands, suggestedTags) {
    this.card = card;
    this.response = response;
    this.numCards = numCards;
    this.letter = letterOf(card);
    this.isRaw = false;
    const letter = this.letter;

    this.chip = element("button", {
      type: "button", class: "chip", "data-card": card, tabindex: -1, title: `Drag ${letter} to a rank below`,
      "aria-label": `Response ${letter}: drag to a rank, or use the numbers`, text: letter,
    });
    const source = element("div", { class: "chip-source" }, this.chip);
    this.chipSource = source;
    this.rank = choices(`rank-${card}`, "Rank", Array.from({ length: numCards }, (_, index) => `Rank ${index + 1} for response ${letter}`),
      (slot) => commands.rank(card, slot));
    this.facts = element("p", { class: "facts" });
    const head = element("div", { class: "card-head" }, element("h3", { class: "hidden-label", text: `Response ${letter}` }),
      element("div", { class: "head-line" }, source, this.rank.row, this.facts));

    this.text = element("div", { class: "text", dir: "auto" });
    this.fold = button("", () => commands.unfold(card), { class: "unfold", hidden: true });
    const body = element("div", { class: "card-body" }, this.text, this.fold);

    this.grade = choices(`grade-${card}`, "Grade", GRADES.map((word, index) => `Grade ${index + 1}, ${word}, for response ${letter}`),
      (grade) => commands.grade(card, grade));
    this.unacceptable = button("Unacceptable", () => commands.toggleUnacceptable(card), {
      class: "toggle unacceptable", "aria-pressed": "false", "aria-keyshortcuts": "x",
    });
    this.raw = button("Raw", () => commands.toggleRaw(card), { class: "toggle", "aria-pressed": "false", "aria-keyshortcuts": "r" });
    this.tags = new TagMenu(letter, suggestedTags, (tags) => commands.tag(card, tags));
    const foot = element("div", { class: "card-foot" }, this.grade.row,
      element("div", { class: "card-toggles" }, this.unacceptable, this.tags.opener, this.raw), this.tags.root);

    this.root = element("li", { class: "card", "data-card": card, tabindex: -1 }, head, body, foot);
    this.#showFacts();
    this.showText(response.html);
  }

  #showFacts() {
    const { num_words, num_characters, is_cut_off, note } = this.response;
    const badge = (text, kind, title) => element("span", { class: `badge ${kind}`, text, title });
    this.facts.append(badge(counted(num_words, "word"), "", counted(num_characters, "character")));
    if (is_cut_off) this.facts.append(badge("Cut off", "mid", "It reached the longest length allowed and did not end by itself"));
    if (num_characters === 0) this.facts.append(badge("Empty", "mid", "The response has no text"));
    if (note) this.facts.append(badge("Plain text", "", NOTES[note]));
  }

  showText(html, isWhole = false) {
    this.text.innerHTML = html; // made harmless by the server
    this.text.classList.toggle("is-raw", this.isRaw);
    boxTables(this.text);
    if (this.response.is_cut_off) this.text.append(element("p", { class: "cut-mark", text: "cut off here" }));
    if (this.response.num_characters === 0) this.text.append(element("p", { class: "nothing", text: "(no text)" }));
    if (this.response.is_partial && !isWhole) {
      this.text.append(element("p", { class: "soft", text: `The first part of ${counted(this.response.num_characters, "character")}. Raw (r) shows all.` }));
    }
  }

  // A long card among several rows of cards is folded, so that the others can be found.
  foldAt(height) {
    const isLong = height !== null && this.text.scrollHeight > height * 1.25;
    this.root.classList.toggle("is-folded", isLong);
    this.text.style.maxHeight = isLong ? `${height}px` : "";
    this.fold.hidden = !isLong;
    this.fold.textContent = `Show all ${counted(this.response.num_words, "word")}`;
  }

  label(content) {
    const rank = content.ranks[this.card];
    const parts = [`Response ${this.letter}`, rank === null ? "not ranked" : `rank ${rank} of ${this.numCards}`];
    if (content.unacceptable[this.card]) parts.push("unacceptable");
    if (content.grades[this.card] !== null) parts.push(`grade ${content.grades[this.card]}`);
    parts.push(counted(this.response.num_words, "word"));
    if (this.response.is_cut_off) parts.push("cut off");
    return parts.join(", ");
  }

  show(content, { isFocused }) {
    const rank = content.ranks[this.card];
    this.rank.show(rank);
    this.grade.show(content.grades[this.card]);
    this.unacceptable.setAttribute("aria-pressed", content.unacceptable[this.card]);
    this.tags.show(content.tags[this.card]);
    this.root.dataset.rank = rank ?? "";
    this.root.classList.toggle("is-unacceptable", content.unacceptable[this.card]);
    this.root.classList.toggle("is-current", isFocused);
    this.root.tabIndex = isFocused ? 0 : -1;
    this.root.setAttribute("aria-label", this.label(content));
  }
}
