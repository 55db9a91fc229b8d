// The ranking page: puts the parts together and says how saving goes.

import * as api from "./api.js";
import { explainRefused, explainStale } from "./conflicts.js";
import { openDifference } from "./difference_dialog.js";
import { Drafts } from "./drafts.js";
import { button, element, itemName } from "./elements.js";
import { hasUnreadGuideline, openGuideline } from "./guideline_dialog.js";
import { openHistory } from "./history_dialog.js";
import { listen } from "./keys.js";
import { openKeys } from "./keys_dialog.js";
import * as kept from "./kept.js";
import { keepLease } from "./lease.js";
import { dismiss, notify } from "./notices.js";
import { count, keepFresh, refreshSoon } from "./progress.js";
import { Outbox } from "./outbox.js";
import { Session } from "./session.js";

const main = document.querySelector("main");
const work = document.querySelector("#work");
const saveState = document.querySelector("#save-state");
const channel = "BroadcastChannel" in window ? new BroadcastChannel("posttrain.judged") : null;

function say(text, kind = "") {
  saveState.textContent = text;
  saveState.className = `save-state ${kind}`;
}

// What keeps us from the server, in a sentence that says that nothing is lost.
function problem(error, what = "") {
  if (error === null) {
    dismiss("connection");
    return;
  }
  const waits = outbox.size === 1 ? "1 judgement waits here and is sent" : `${outbox.size} judgements wait here and are sent`;
  const waiting = outbox.size > 0 ? ` ${waits} as soon as that works.` : "";
  const safe = kept.isDurable ? "What you enter is kept in this browser." : "This browser keeps nothing, so leave this page open.";
  const start = what ? `${what} ` : "";
  if (error instanceof api.SignedOut) {
    const here = encodeURIComponent(location.pathname + location.search);
    notify("connection", "mid", `${start}You are signed out. ${safe}${waiting}`, [["Sign in", `/login?next=${here}`], ["Try again", () => outbox.retryNow()]]);
  } else if (error instanceof api.OtherPerson) {
    notify("connection", "bad", `${error.message} What you entered stays here until you sign in again.`, [["Load their page", "/rank"]]);
  } else if (error instanceof api.Refused) {
    notify("connection", "bad", `${start}${error.message}`, [["Dismiss", () => dismiss("connection")]]);
  } else {
    notify("connection", "mid", `${start}${error.message.replace(/\.$/, "")}. ${safe}${waiting}`, [["Try again now", () => { outbox.retryNow(); session.wake(); }]]);
  }
}

const outbox = new Outbox({
  asksFor: () => session.asksFor(),
  stored(entry, answer) {
    channel?.postMessage({ itemId: entry.itemId, number: entry.number, person: main.dataset.annotator });
    session.cameAlong(answer.next);
    refreshSoon();
  },
  refused(entry, error) {
    if (error.code === "stale_judgement") {
      explainStale(entry, error.body.current, {
        resubmit: (old, replaces) => outbox.add(old, { ...old.judgement, replaces, submission_id: `${old.judgement.submission_id}-${replaces}` }),
        open: (id) => session.openEarlier(id),
      });
    } else {
      explainRefused(entry, error);
    }
    refreshSoon();
  },
  changed({ size, problem: failed }) {
    problem(failed);
    if (failed) say(`${size} not saved yet`, "mid");
    else if (size > 0) say("Saving …");
    else say("Saved", "good");
  },
});

const drafts = new Drafts({
  saving: () => { if (outbox.size === 0) say("Saving …"); },
  saved: () => { if (outbox.size === 0) { say("Saved", "good"); problem(null); } },
  failed: (error) => { say("Not saved yet", "mid"); problem(error); },
});

// A page without an item.
function showSentence(title, text, ...actions) {
  work.removeAttribute("aria-busy");
  work.replaceChildren(element("div", { class: "nothing-left" }, element("h2", { text: title, tabindex: -1 }), element("p", { text }),
    element("div", { class: "notice-actions" }, ...actions)));
  work.querySelector("h2").focus();
}

const session = new Session({
  work, drafts, outbox, problem,
  suggestedTags: JSON.parse(main.dataset.tags),
  dialogs: { openDifference, openGuideline, openHistory, openKeys },
  counted: count,
  shown(item) {
    work.removeAttribute("aria-busy");
    dismiss("elsewhere");
    dismiss("hint");
    if (hasUnreadGuideline(item.guideline_version)) {
      const isNew = kept.kept("guideline") !== null;
      notify("guideline", "mid", isNew ? "The guideline has changed." : "Please read the guideline before you begin.", [["Read it (g)", () => { dismiss("guideline"); session.commands.openGuideline(); }]]);
    }
  },
  changed() { dismiss("welcome"); kept.keep("welcomed", true); },
  hint(text) { if (text) notify("hint", "mid", text); else dismiss("hint"); },
  waiting() {
    work.setAttribute("aria-busy", "true");
    work.replaceChildren(element("p", { class: "loading soft", text: "Fetching the next item …" }));
  },
  nothing(message) {
    showSentence(message ? "This item cannot be opened" : "Nothing is left for you",
      message ?? "Everything that is open has been judged by you, or others are at it now. New items show up here by themselves.",
      button("Look again", () => session.showNext()),
      button("Undo the last one (u)", () => session.commands.undo()),
      button("What I judged (h)", () => session.commands.openHistory()));
  },
  settled(item) {
    showSentence(`${itemName(item.number, { starts: true })} is settled`, "Your ranking decides what holds for it.",
      element("a", { class: "button", href: "/quality", text: "Back to quality" }),
      button("Undo (u)", () => session.commands.undo()),
      button("Rank items of the queue", () => session.showNext()));
  },
});

channel?.addEventListener("message", ({ data }) => {
  const shown = session.shown;
  if (data.person !== main.dataset.annotator || shown?.item.id !== data.itemId || shown.isEarlier) return;
  notify("elsewhere", "mid", `You submitted ${itemName(data.number)} in another tab just now.`, [
    ["Go on with the next item", () => { drafts.forget(shown.item); session.showNext(); }],
    ["Change that judgement", () => { drafts.forget(shown.item); session.shown = null; shown.view.closed(); session.openEarlier(data.itemId); }],
  ]);
});

listen(() => session.commands);
keepLease(() => session.shown);
keepFresh();
addEventListener("pagehide", () => drafts.flush());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) drafts.flush();
  else if (outbox.size > 0) outbox.retryNow();
});
addEventListener("online", () => session.wake());

const wanted = /^\d{1,16}$/.exec(new URLSearchParams(location.search).get("item") ?? "");
outbox.start();
if (kept.kept("welcomed") === null) {
  notify("welcome", "info", "Read the responses, then rank them: press the numbers on the cards, drag the letters into the ranks below, or use the keyboard alone. Equal ranks are ties.", [
    ["Show the keys (?)", () => session.commands.openKeys()],
    ["Got it", () => { dismiss("welcome"); kept.keep("welcomed", true); }],
  ]);
}
session.start(wanted ? Number(wanted[0]) : null);
