// The way of one person through items: the one in view, the next one (fetched ahead), and the ones before.

import { Ahead } from "./ahead.js";
import { announce } from "./announcer.js";
import * as api from "./api.js";
import { Clock } from "./clock.js";
import { itemName } from "./elements.js";
import { ItemView } from "./item_view.js";
import { contentOf, contentOfDraft, emptyContent, JudgementWork } from "./judgement_work.js";
import { commandsOf, idleCommandsOf } from "./session_commands.js";
import { showMissing, submissionOf } from "./submission.js";
import { Trail } from "./trail.js";

const SECONDS_UNTIL_NEXT_LOOK = 20;

export class Session {
  #ahead = new Ahead();
  #trail = new Trail();
  #lastSubmitted; // an item, for undo
  #looks = null;

  // pages: { work: element, drafts, outbox, dialogs, suggestedTags, problem(error), counted(kind, before),
  // shown(item), changed(), hint(text), waiting(), nothing(message), settled(item) }
  constructor(pages) {
    this.pages = pages;
    this.shown = null; // { item, work, commands, view, clock, isEarlier }
    this.open = null; // the item of the queue, while an earlier one is in view
    this.isResting = false; // nothing is in view because the person is to say how to go on
  }

  get commands() { return this.shown?.commands ?? idleCommandsOf(this); }

  get #besides() {
    const own = [this.shown?.item.id, this.open?.item.id, this.#ahead.id, ...this.pages.outbox.itemIds];
    return [...new Set(own.filter((id) => id !== undefined))];
  }

  async start(wanted) {
    try {
      if (wanted !== null) this.show(await api.item(wanted), { isEarlier: true });
      else await this.showNext();
    } catch (error) {
      this.pages.problem(error);
      if (wanted === null) this.#lookAgain();
      else this.showNothing(error.message);
    }
  }

  show(item, { isEarlier = false, content = null, seconds = null, focuses = true, notice = null } = {}) {
    this.#leave();
    const numCards = item.cards.length;
    const draft = this.pages.drafts.newest(item);
    const stored = item.earlier ? contentOf(item.earlier, numCards) : emptyContent(numCards);
    const begun = content ?? (draft ? contentOfDraft(draft.content, numCards) : stored);
    const before = seconds ?? draft?.content.seconds;
    const clock = new Clock(Number.isFinite(before) ? before : 0);
    const work = new JudgementWork(begun, {
      onChange: (message) => {
        announce(message);
        view.update();
        this.pages.changed();
        this.pages.drafts.save(item, work.content, clock.seconds);
      },
    });
    if (item.earlier) work.begun = stored; // only what differs from what is stored is a change
    const commands = commandsOf(this, work);
    const view = new ItemView(item, work, commands, { suggestedTags: this.pages.suggestedTags, isEarlier });
    commands.view = view;
    this.shown = { item, work, commands, view, clock, isEarlier };
    this.pages.work.replaceChildren(view.root);
    view.shown();
    scrollTo(0, 0);
    if (focuses) view.focusCard(0, { scrolls: false });
    announce(notice ?? view.describe());
    this.pages.shown(item);
    if (!isEarlier) this.#ahead.fetch(this.#besides);
  }

  #leave() {
    this.isResting = false;
    if (this.shown === null) return;
    this.shown.view.closed();
    this.shown.clock.stop();
    this.shown = null;
  }

  submit(kind) {
    const { item, work, isEarlier, view } = this.shown;
    if (document.activeElement === view.tray.note) view.tray.note.blur(); // its change event comes first
    const judgement = work.judgement(kind);
    if (judgement === null) {
      this.pages.hint(showMissing(this.shown));
      return;
    }
    this.pages.hint("");
    if (item.earlier && !work.isChanged && kind === item.earlier.kind) {
      announce("Nothing was changed.");
      this.pages.drafts.forget(item);
      this.#goOn(isEarlier);
      return;
    }
    this.pages.outbox.add({ itemId: item.id, number: item.number }, submissionOf(this.shown, judgement), { ...item, draft: null });
    this.pages.drafts.forget(item);
    this.pages.counted(kind, item.earlier?.kind ?? null);
    this.#trail.add(item.id);
    this.#lastSubmitted = item;
    if (item.settles) {
      this.#leave();
      this.isResting = true;
      this.pages.settled(item);
      return;
    }
    this.#goOn(isEarlier);
  }

  #goOn(isEarlier) {
    if (isEarlier && this.open !== null) this.#backToOpen();
    else this.showNext();
  }

  async showNext() {
    this.#leave();
    this.open = null;
    const known = this.#ahead.takeNow();
    if (known !== null) {
      this.show(known);
      return;
    }
    this.pages.waiting();
    try {
      const item = await this.#ahead.takeLater(this.#besides);
      if (this.shown !== null) {
        if (item) this.#ahead.offer(item); // an earlier one was opened meanwhile
      } else if (item) {
        this.show(item);
      } else {
        this.showNothing();
      }
    } catch (error) {
      if (this.shown === null) {
        this.pages.problem(error);
        this.#lookAgain();
      }
    }
  }

  showNothing(message = null) {
    this.pages.nothing(message);
    this.#lookAgain();
  }

  #lookAgain() {
    clearTimeout(this.#looks);
    this.#looks = setTimeout(() => { if (this.shown === null && !this.isResting) this.showNext(); }, SECONDS_UNTIL_NEXT_LOOK * 1000);
  }

  // What the outbox asks the server for on the way: the item after the next one.
  asksFor() { return this.#ahead.isNeeded && this.shown ? { besides: this.#besides } : {}; }

  cameAlong(item) {
    if (!item || this.#besides.includes(item.id)) return;
    if (this.shown === null && !this.isResting) this.show(item);
    else this.#ahead.offer(item);
  }

  // The connection is back: look for work at once where there is none.
  wake() {
    if (this.isResting) return;
    if (this.shown === null) this.showNext();
    else if (!this.shown.isEarlier) this.#ahead.fetch(this.#besides);
  }

  async openEarlier(id, notice = null) {
    if (this.shown?.item.id === id) return;
    const taken = this.pages.outbox.takeBack(id);
    try {
      let item = taken?.item;
      let content = null;
      if (taken) {
        content = contentOf(taken.judgement, item.cards.length);
        this.pages.counted(null, taken.judgement.kind);
      } else {
        await this.pages.outbox.settled(id);
        item = await api.item(id);
      }
      if (this.shown && !this.shown.isEarlier) this.open = { item: { ...this.shown.item, draft: null }, content: this.shown.work.content, seconds: this.shown.clock.seconds, done: this.shown.work.done };
      this.show(item, { isEarlier: true, content, seconds: taken?.judgement.seconds ?? null, notice });
      if (taken) this.pages.drafts.save(item, content, this.shown.clock.seconds); // it is nowhere else now
    } catch (error) {
      this.pages.problem(error, "The earlier item cannot be opened now.");
    }
  }

  #backToOpen() {
    const { item, content, seconds, done } = this.open;
    this.open = null;
    this.show(item, { content, seconds });
    this.shown.work.done = done;
    this.shown.view.update();
  }

  undoSubmission() {
    const last = this.#lastSubmitted;
    if (last === undefined || last.id === this.shown?.item.id) announce("There is nothing to undo.");
    else this.openEarlier(last.id, `Back at ${itemName(last.number)}, which you had submitted. Change it and submit again.`);
  }

  async goEarlier() {
    const here = this.shown?.isEarlier ? this.shown.item.id : null;
    try {
      const id = await this.#trail.before(here);
      if (id === undefined) announce("There is nothing earlier.");
      else await this.openEarlier(id);
    } catch (error) {
      this.pages.problem(error, "Earlier items cannot be fetched now.");
    }
  }

  async goLater() {
    if (!this.shown?.isEarlier) {
      announce("This is the open item.");
      return;
    }
    const id = await this.#trail.after(this.shown.item.id).catch(() => undefined);
    if (id !== undefined) await this.openEarlier(id);
    else if (this.open !== null) this.#backToOpen();
    else await this.showNext();
  }
}
