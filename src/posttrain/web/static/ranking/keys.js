// The keyboard: one table, which the keys' overlay shows too.

import { kept } from "./kept.js";

const one = (key, name, run) => ({ keys: [key], name, run });
// Also where no item is in view.
const always = (key, name, run) => ({ ...one(key, name, run), isAlways: true });

export const GROUPS = [
  ["Rank the card you are at", [
    { keys: ["1", "2", "3", "4", "5", "6", "7", "8"], shown: ["1", "…", "8"], name: "put it on that rank; cards of one rank are tied", run: (commands, key) => commands.rankCurrent(Number(key)) },
    one(" ", "best of all", (commands) => commands.best()),
    one("=", "tie with the cards one better", (commands) => commands.tie()),
    one("ArrowUp", "one better", (commands) => commands.moveRank(-1)),
    one("ArrowDown", "one worse", (commands) => commands.moveRank(1)),
    { keys: ["0", "Backspace"], name: "take its rank away", run: (commands) => commands.rank(commands.current, null) },
  ]],
  ["Move", [
    one("ArrowLeft", "the card before", (commands) => commands.moveFocus(-1)),
    one("ArrowRight", "the card after", (commands) => commands.moveFocus(1)),
    one("Home", "the first card", (commands) => commands.goTo(0)),
    one("End", "the last card", (commands) => commands.goTo(commands.work.numCards - 1)),
  ]],
  ["Say more of it", [
    one("x", "unacceptable", (commands) => commands.toggleUnacceptable()),
    { keys: ["Shift+1", "Shift+2", "Shift+3", "Shift+4", "Shift+5"], shown: ["Shift", "1", "…", "5"], name: "grade", run: (commands, key) => commands.grade(commands.current, Number(key.slice(-1))) },
    one("t", "tags", (commands) => commands.openTags()),
  ]],
  ["Read", [
    one("r", "raw text, as it was written", (commands) => commands.toggleRaw()),
    one("R", "everything raw", (commands) => commands.toggleAllRaw()),
    one("d", "compare two cards", (commands) => commands.openDifference()),
    one("e", "show all of a folded card", (commands) => commands.unfold()),
    one("p", "fold the prompt", (commands) => commands.togglePrompt()),
    always("g", "guideline", (commands) => commands.openGuideline()),
  ]],
  ["The item", [
    one("Enter", "submit (Ctrl+Enter while writing)", (commands) => commands.submit()),
    one("c", "all bad, or cannot be ranked", (commands) => commands.toggleCannotRank()),
    one("s", "skip: not for me", (commands) => commands.skip()),
    one("f", "flag it for whoever runs this", (commands) => commands.toggleFlag()),
    one("n", "note", (commands) => commands.toggleNote()),
    always("u", "undo, also a submission", (commands) => commands.undo()),
    one("U", "do again", (commands) => commands.redo()),
    always("[", "an earlier item", (commands) => commands.earlier()),
    one("]", "a later item", (commands) => commands.later()),
    always("h", "everything you judged", (commands) => commands.openHistory()),
    always("?", "these keys", (commands) => commands.openKeys()),
  ]],
];

const NAMES = { " ": "Space", ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Backspace: "⌫" };
export const nameOf = (key) => NAMES[key] ?? key;

const BINDINGS = new Map(GROUPS.flatMap(([, entries]) => entries.flatMap((entry) => entry.keys.map((key) => [key, entry]))));

// Digits by their place too: with Shift held they write other characters, which differ between keyboards.
function nameOfPressed(event) {
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code)?.[1];
  if (/^[0-9]$/.test(event.key)) return event.key;
  if (digit && event.shiftKey && BINDINGS.has(`Shift+${digit}`) && event.key !== "=") return `Shift+${digit}`;
  return BINDINGS.has(event.key) ? event.key : BINDINGS.has(event.key.toLowerCase()) && !event.shiftKey ? event.key.toLowerCase() : event.key;
}

const isWriting = (target) => target.matches("textarea, select, input:not([type=radio]):not([type=checkbox])");

// What the element under the keyboard does with this key by itself.
function isOwnKey(target, key) {
  if (target.matches("button, a, summary")) return key === " " || key === "Enter";
  if (target.matches("input[type=radio]")) return key === " " || key.startsWith("Arrow");
  if (target.matches('[role="region"]')) return key.startsWith("Arrow") || key === "Home" || key === "End" || key === " ";
  return false;
}

// commandsNow() gives the commands of the item in view; without an item those that need none, marked `isIdle`.
export function listen(commandsNow) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.altKey) return;
    const commands = commandsNow();
    if (event.ctrlKey || event.metaKey) {
      // The one key that also works while a note is written, where Enter begins a line.
      if (event.key === "Enter" && !event.repeat && !commands.isIdle && !document.querySelector("dialog[open]")) {
        event.preventDefault();
        commands.submit();
      }
      return;
    }
    if (document.querySelector("dialog[open]")) return;
    if (commands.isIdle) {
      const entry = BINDINGS.get(nameOfPressed(event));
      if (!entry?.isAlways || isWriting(event.target)) return;
      event.preventDefault();
      entry.run(commands);
      return;
    }
    if (isWriting(event.target)) {
      if (event.key === "Escape") {
        event.preventDefault();
        event.target.blur();
        if (event.target.closest(".note-box")) commands.view.tray.toggleNote(false);
        if (event.target.closest(".tag-menu")) commands.openTags(commands.current);
        commands.goTo(commands.current);
      }
      return;
    }
    if (event.key === "Escape") {
      commands.goTo(commands.current);
      return;
    }
    const key = nameOfPressed(event);
    const entry = BINDINGS.get(key);
    const isCharacter = key.length === 1 || key.startsWith("Shift+");
    if (entry === undefined || isOwnKey(event.target, key) || (event.repeat && !key.startsWith("Arrow"))) return;
    if (isCharacter && kept("single keys") === false && !event.target.closest(".card")) return;
    event.preventDefault();
    entry.run(commands, key);
  });
}
