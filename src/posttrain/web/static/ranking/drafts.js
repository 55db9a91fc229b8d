// Drafts: kept in this browser at once, and by the server as soon as it can be reached.

import * as api from "./api.js";
import * as kept from "./kept.js";

const QUIET_MILLISECONDS = 500;
const RETRY_MILLISECONDS = 5000;

export class Drafts {
  #timer = null;
  #unsaved = null;
  #saving = null;

  // listeners: saving(), saved(), failed(error)
  constructor(listeners) {
    this.listeners = listeners;
  }

  // The newer of the server's draft and this browser's, or null.
  newest(item) {
    const { draft: server } = item;
    const found = kept.kept(`draft.${item.id}`);
    // One that belongs to a judgement that was replaced since (in another tab) is history; the server keeps none such.
    const local = (found?.replaces ?? null) === (item.earlier?.judgement_id ?? null) ? found : null;
    return local !== null && (server === null || local.revision > server.revision) ? local : server;
  }

  save(item, content, seconds) {
    const before = kept.kept(`draft.${item.id}`)?.revision ?? item.draft?.revision ?? 0;
    const replaces = item.earlier?.judgement_id ?? null;
    const draft = { content: { ...content, seconds }, revision: Math.max(before + 1, Date.now()), replaces };
    kept.keep(`draft.${item.id}`, draft);
    this.#unsaved = { item, draft };
    this.#later(QUIET_MILLISECONDS);
  }

  // The judgement is on its way (it is kept in the outbox): the draft is done with.
  forget(item) {
    kept.forget(`draft.${item.id}`);
    if (this.#unsaved?.item.id === item.id) {
      this.#unsaved = null;
      clearTimeout(this.#timer);
    }
  }

  // The page is being left: what is not saved goes out with it.
  flush() {
    if (this.#unsaved === null) return;
    const { item, draft } = this.#unsaved;
    api.saveDraft(item.id, draft, { keepalive: true }).catch(() => {});
  }

  #later(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#send(), milliseconds);
  }

  async #send() {
    if (this.#unsaved === null || this.#saving) return;
    const sent = this.#unsaved;
    this.#saving = sent;
    this.listeners.saving();
    let problem = null;
    try {
      await api.saveDraft(sent.item.id, sent.draft);
    } catch (error) {
      // A newer draft or a judgement of another tab, or an item that is no longer ours: submitting will settle it.
      if (!(error instanceof api.Refused)) problem = error;
    }
    this.#saving = null;
    if (problem !== null) {
      this.listeners.failed(problem);
      this.#later(RETRY_MILLISECONDS);
      return;
    }
    if (this.#unsaved === sent) {
      this.#unsaved = null;
      this.listeners.saved();
    } else if (this.#unsaved !== null) {
      this.#later(QUIET_MILLISECONDS);
    }
  }
}
