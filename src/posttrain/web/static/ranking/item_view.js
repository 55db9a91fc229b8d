// One item on the page: a bar, the prompt, the cards, and the tray with the ranks.

import * as api from "./api.js";
import { CardView } from "./card_view.js";
import { makeDraggable } from "./drag.js";
import { element, itemName, keyButton, letterOf, makeScrollersReachable } from "./elements.js";
import { PromptView } from "./prompt_view.js";
import { TrayView } from "./tray_view.js";

export class ItemView {
  constructor(item, work, commands, { suggestedTags, isEarlier }) {
    this.item = item;
    this.work = work;
    this.current = 0;
    this.isEarlier = isEarlier;
    const numCards = item.cards.length;
    this.prompt = new PromptView(item.prompt, (message) => api.raw(item.id, "message", message));
    this.cards = item.cards.map((card, index) => new CardView(index, card, numCards, commands, suggestedTags));
    this.list = element("ol", { class: "cards", role: "list", "data-count": numCards, "aria-label": `${numCards} responses` }, ...this.cards.map((card) => card.root));
    this.tray = new TrayView(numCards, commands);
    this.root = element("div", { class: "item" }, this.#bar(commands), this.prompt.root,
      element("h2", { class: "hidden-label", text: "Responses" }), this.list, this.tray.root);
    this.list.addEventListener("focusin", (event) => this.#enter(event.target));
    this.list.addEventListener("pointerdown", (event) => this.#enter(event.target));
    this.stopDragging = makeDraggable(this.tray, this.cards, commands, () => this.update());
    this.resizes = new ResizeObserver(() => this.arrange());
  }

  #bar(commands) {
    const { item, isEarlier } = this;
    const what = item.settles ? "You settle this item as a reviewer" : item.earlier ? "You judged this before" : "";
    return element("div", { class: "item-bar" },
      element("p", { class: "item-name" }, element("strong", { text: itemName(item.number, { starts: true }) }), what ? element("span", { class: "badge mid", text: what }) : null),
      element("div", { class: "item-buttons" },
        keyButton("Earlier", "[", () => commands.earlier()),
        isEarlier ? keyButton("Back to the open item", "]", () => commands.later()) : null,
        keyButton("History", "h", () => commands.openHistory()),
        keyButton("Compare", "d", () => commands.openDifference()),
        keyButton("Guideline", "g", () => commands.openGuideline()),
        keyButton("Keys", "?", () => commands.openKeys())));
  }

  // On the page and laid out.
  shown() {
    this.resizes.observe(this.list);
    this.resizes.observe(this.tray.root);
    this.update();
    this.arrange();
  }

  closed() {
    this.stopDragging();
    this.resizes.disconnect();
  }

  // Cards in several rows are folded at a height that leaves the next row in reach; in one row all is shown.
  arrange() {
    document.documentElement.style.setProperty("--tray-height", `${this.tray.root.offsetHeight}px`);
    const tops = new Set(this.cards.map((card) => card.root.offsetTop));
    const height = tops.size > 1 ? Math.max(320, Math.round(innerHeight * 0.62)) : null;
    for (const card of this.cards) if (!card.isUnfolded) card.foldAt(height);
    makeScrollersReachable(this.root);
  }

  #enter(target) {
    const card = Number(target.closest?.(".card")?.dataset.card);
    if (!Number.isInteger(card) || card === this.current) return;
    this.current = card;
    this.update();
  }

  focusCard(card, { scrolls = true } = {}) {
    this.current = card;
    this.update();
    this.cards[card].root.focus({ preventScroll: true });
    if (!scrolls) return;
    const box = this.cards[card].root.getBoundingClientRect();
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const hiddenBelow = box.top > innerHeight - this.tray.root.offsetHeight - 120;
    if (box.bottom < 120 || box.top < 0 || hiddenBelow) {
      this.cards[card].root.scrollIntoView({ block: "start", behavior: isCalm ? "auto" : "smooth" });
    }
  }

  update() {
    const { content } = this.work;
    this.cards.forEach((card, index) => card.show(content, { isFocused: index === this.current }));
    this.tray.show(content, this.current, { canUndo: this.work.done.length > 0, isChange: this.item.earlier !== null });
    this.list.classList.toggle("cannot-rank", content.cannot_rank);
  }

  unfold(card) {
    this.cards[card].isUnfolded = true;
    this.cards[card].foldAt(null);
    this.cards[card].root.focus();
    makeScrollersReachable(this.cards[card].root);
  }

  async showRaw(card, isRaw) {
    const view = this.cards[card];
    view.isRaw = isRaw;
    view.raw.setAttribute("aria-pressed", String(isRaw));
    const response = this.item.cards[card];
    const html = isRaw ? response.raw_html ?? (await api.raw(this.item.id, "card", card)) : response.html;
    if (view.isRaw !== isRaw) return;
    view.showText(html, isRaw);
    this.arrange();
  }

  describe() {
    const { item } = this;
    return `${itemName(item.number, { starts: true })}${this.isEarlier ? ", judged before" : ""}: ${item.cards.length} responses. You are at response ${letterOf(this.current)}.`;
  }
}
