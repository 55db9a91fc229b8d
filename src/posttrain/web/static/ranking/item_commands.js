// What can be done with one item. Every change goes through the work, so that undo knows it, and is said aloud.

import { announce } from "./announcer.js";
import { letterOf } from "./elements.js";
import * as kept from "./kept.js";
import * as ranking from "./ranks.js";

export class ItemCommands {
  constructor(work) {
    this.work = work;
    this.view = null; // set when there is one
  }

  get content() { return this.work.content; }
  get current() { return this.view.current; }

  // "B: rank 1 of 4, tied with C."
  #rankMessage(card, ranks) {
    const slot = ranks[card];
    if (slot === null) return `${letterOf(card)}: not ranked`;
    const tied = ranks.flatMap((own, other) => (own === slot && other !== card ? [letterOf(other)] : []));
    const number = ranking.tiers(ranks).findIndex((group) => group.includes(card)) + 1;
    const tie = tied.length > 0 ? `, tied with ${tied.join(" and ")}` : "";
    const left = ranking.unranked(ranks, this.content.unacceptable).length;
    return `${letterOf(card)}: rank ${number}${tie}. ${left === 0 ? "All are ranked; Enter submits." : `${left} not ranked.`}`;
  }

  #setRanks(card, ranks) {
    if (!this.work.change(this.#rankMessage(card, ranks), { ranks, cannot_rank: false })) announce(this.#rankMessage(card, ranks));
  }

  rank(card, slot) { this.#setRanks(card, slot === null ? ranking.takeOut(this.content.ranks, card) : ranking.place(this.content.ranks, card, slot)); }
  insertBefore(card, slot) { this.#setRanks(card, ranking.insertBefore(this.content.ranks, card, slot)); }
  best(card = this.current) { this.#setRanks(card, ranking.best(this.content.ranks, card)); }
  moveRank(step, card = this.current) { this.#setRanks(card, ranking.move(this.content.ranks, card, step)); }

  rankCurrent(slot) {
    const card = this.current;
    if (slot > this.work.numCards) {
      announce(`There are ${this.work.numCards} ranks.`);
      return;
    }
    this.rank(card, slot);
    if (kept.kept("advance") === true) {
      const left = ranking.unranked(this.content.ranks, this.content.unacceptable);
      if (left.length > 0) this.view.focusCard(left.find((other) => other > card) ?? left[0]);
    }
  }

  tie(card = this.current) {
    const ranks = ranking.tie(this.content.ranks, card);
    if (ranks === this.content.ranks) announce("There is nothing ranked yet to tie with.");
    else this.#setRanks(card, ranks);
  }

  toggleUnacceptable(card = this.current) {
    const now = !this.content.unacceptable[card];
    this.work.changeCard(`${letterOf(card)}: ${now ? "unacceptable" : "acceptable"}`, "unacceptable", card, now);
  }

  grade(card, grade) { this.work.changeCard(`${letterOf(card)}: ${grade === null ? "no grade" : `grade ${grade} of 5`}`, "grades", card, grade); }

  tag(card, tags) { this.work.changeCard(`${letterOf(card)}: ${tags.length === 0 ? "no tags" : `tags ${tags.join(", ")}`}`, "tags", card, tags); }

  note(text) { this.work.change(text === "" ? "Note removed" : "Note written", { note: text }); }

  toggleFlag() {
    const now = !this.content.is_flagged;
    this.work.change(now ? "Item flagged for whoever runs this" : "Flag removed", { is_flagged: now });
  }

  toggleCannotRank() {
    const now = !this.content.cannot_rank;
    this.work.change(now ? "All bad or cannot be ranked; Enter submits that" : "Can be ranked", { cannot_rank: now });
  }

  undo() { if (!this.work.undo()) this.undoBeyond(); }
  redo() { if (!this.work.redo()) announce("There is nothing to do again."); }

  goTo(card) { this.view.focusCard(card); }

  moveFocus(step) {
    const next = this.current + step;
    if (next >= 0 && next < this.work.numCards) this.view.focusCard(next);
  }

  toggleNote() { this.view.tray.toggleNote(); }
  openTags(card = this.current) { this.view.cards[card].tags.toggle(); }
  unfold(card = this.current) { this.view.unfold(card); }

  toggleRaw(card = this.current) {
    const isRaw = !this.view.cards[card].isRaw;
    this.view.showRaw(card, isRaw).catch(() => announce("The raw text cannot be fetched now."));
    announce(`${letterOf(card)}: ${isRaw ? "raw" : "set"}`);
  }

  toggleAllRaw() {
    const isRaw = !this.view.cards.every((card) => card.isRaw);
    const all = [...this.view.cards.map((_, card) => this.view.showRaw(card, isRaw)), this.view.prompt.showRaw(isRaw)];
    Promise.all(all).catch(() => announce("The raw text cannot be fetched now."));
    announce(isRaw ? "Everything raw" : "Everything set");
  }

  togglePrompt() {
    const isSmall = this.view.prompt.toggle();
    announce(isSmall ? "Prompt folded" : "Prompt shown");
  }
}
