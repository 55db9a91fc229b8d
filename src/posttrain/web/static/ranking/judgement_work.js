// What somebody has entered for one item, with undo for every change.

import * as ranking from "./ranks.js";

const MOST_UNDO = 300;

export function emptyContent(numCards) {
  const each = (value) => Array.from({ length: numCards }, () => value);
  return {
    ranks: each(null), unacceptable: each(false), grades: each(null), tags: each([]),
    note: "", is_flagged: false, cannot_rank: false,
  };
}

// A stored judgement as content that can be changed again.
export function contentOf(judgement, numCards) {
  const content = emptyContent(numCards);
  return {
    ...content,
    ranks: judgement.ranks ? judgement.ranks.map((rank) => rank + 1) : content.ranks,
    unacceptable: judgement.unacceptable, grades: judgement.grades, tags: judgement.tags,
    note: judgement.note, is_flagged: judgement.is_flagged, cannot_rank: judgement.kind === "cannot_rank",
  };
}

// A draft may be of an older page or hold anything: only what fits is taken.
export function contentOfDraft(draft, numCards) {
  const content = emptyContent(numCards);
  const fits = (values, isOne) => Array.isArray(values) && values.length === numCards && values.every(isOne);
  const isSlot = (slot) => slot === null || (Number.isInteger(slot) && slot >= 1 && slot <= numCards);
  if (fits(draft.ranks, isSlot)) content.ranks = draft.ranks;
  if (fits(draft.unacceptable, (one) => typeof one === "boolean")) content.unacceptable = draft.unacceptable;
  if (fits(draft.grades, (one) => one === null || [1, 2, 3, 4, 5].includes(one))) content.grades = draft.grades;
  if (fits(draft.tags, (one) => Array.isArray(one) && one.every((tag) => typeof tag === "string"))) content.tags = draft.tags;
  if (typeof draft.note === "string") content.note = draft.note;
  content.is_flagged = draft.is_flagged === true;
  content.cannot_rank = draft.cannot_rank === true;
  return content;
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

export class JudgementWork {
  constructor(content, { onChange }) {
    this.content = content;
    this.begun = content;
    this.onChange = onChange;
    this.done = [];
    this.undone = [];
  }

  get numCards() { return this.content.ranks.length; }
  get isChanged() { return !same(this.content, this.begun); }
  get isEmpty() { return same(this.content, emptyContent(this.numCards)); }

  // `message` says to people what was done; it is what undo says it has undone.
  change(message, part) {
    const after = { ...this.content, ...part };
    if (same(after, this.content)) return false;
    this.done.push({ content: this.content, message });
    if (this.done.length > MOST_UNDO) this.done.shift();
    this.undone = [];
    this.content = after;
    this.onChange(message);
    return true;
  }

  changeCard(message, name, card, value) {
    return this.change(message, { [name]: this.content[name].map((old, place) => (place === card ? value : old)) });
  }

  // Somebody else's content (another tab's draft): it can be undone like a change of one's own.
  replace(message, content) { return this.change(message, content); }

  undo() { return this.#step(this.done, this.undone, "Undone"); }
  redo() { return this.#step(this.undone, this.done, "Done again"); }

  #step(from, to, word) {
    const last = from.pop();
    if (last === undefined) return false;
    to.push({ content: this.content, message: last.message });
    this.content = last.content;
    this.onChange(`${word}: ${last.message}`);
    return true;
  }

  // What is sent; null while cards are missing.
  judgement(kind) {
    const { ranks, unacceptable, grades, tags, note, is_flagged } = this.content;
    const finished = kind === "ranking" ? ranking.finished(ranks, unacceptable) : null;
    if (kind === "ranking" && finished === null) return null;
    return { kind, ranks: finished, unacceptable, grades, tags, note, is_flagged };
  }
}
