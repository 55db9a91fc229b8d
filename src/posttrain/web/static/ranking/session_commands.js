// What keys and buttons do in a session: with the item in view, and away from it to others.

import { ItemCommands } from "./item_commands.js";

export function commandsOf(session, work) {
  const commands = new ItemCommands(work);
  const { dialogs, drafts } = session.pages;
  const back = () => commands.goTo(commands.current);
  return Object.assign(commands, {
    noteTyped: (note) => drafts.save(session.shown.item, { ...work.content, note }, session.shown.clock.seconds),
    submit: () => session.submit(work.content.cannot_rank ? "cannot_rank" : "ranking"),
    skip: () => session.submit("skip"),
    undoBeyond: () => session.undoSubmission(),
    earlier: () => session.goEarlier(),
    later: () => session.goLater(),
    openHistory: () => dialogs.openHistory((id) => session.openEarlier(id), back),
    openGuideline: () => dialogs.openGuideline(back),
    openKeys: () => dialogs.openKeys(back),
    openDifference: () => dialogs.openDifference(session.shown.item, commands.current, otherCard(commands), back),
  });
}

// What can be done while no item is in view.
export function idleCommandsOf(session) {
  const { dialogs } = session.pages;
  const nothing = () => {};
  return {
    isIdle: true,
    undo: () => session.undoSubmission(),
    earlier: () => session.goEarlier(),
    openHistory: () => dialogs.openHistory((id) => session.openEarlier(id), nothing),
    openGuideline: () => dialogs.openGuideline(nothing),
    openKeys: () => dialogs.openKeys(nothing),
  };
}

// What a card is most likely to be compared with: the one ranked just above it, else its neighbour.
function otherCard(commands) {
  const { ranks } = commands.content;
  const card = commands.current;
  const better = ranks.flatMap((slot, other) => (slot !== null && other !== card && ranks[card] !== null && slot <= ranks[card] ? [[slot, other]] : []));
  better.sort((a, b) => b[0] - a[0]);
  return better[0]?.[1] ?? (card + 1 < ranks.length ? card + 1 : card - 1);
}
