// Shows the page's samples. Text of models reaches the document through textContent only.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const filters = { step: byId("step"), score: byId("score"), finish: byId("finish"), text: byId("text") };
  const ROWS_AT_ONCE = 50;
  const FOLD_AFTER = 700;
  // Characters that change how others are shown, or show nothing: controls, direction marks, zero-width
  // spaces, tag characters, halves of surrogate pairs. The joiners 200C and 200D are letters' business.
  const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}\ud800-\udfff]/gu;
  let view = data.samples.length || !data.beforeAfter ? "training" : "heldOut";
  let shown = ROWS_AT_ONCE;

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function fillText(node, text) {
    let end = 0;
    for (const found of text.matchAll(INVISIBLE)) {
      node.append(text.slice(end, found.index));
      const code = found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      const mark = make("span", "mark", "U+" + code);
      mark.title = "an invisible character";
      node.append(mark);
      end = found.index + found[0].length;
    }
    node.append(text.slice(end));
  }

  function said(text, className) {
    const node = make("div", "said " + className);
    node.dir = "auto";
    if (text === "") {
      node.append(make("span", "nothing", "(nothing)"));
    } else if (text.length <= FOLD_AFTER) {
      fillText(node, text);
    } else {
      const head = text.slice(0, FOLD_AFTER - 200).replace(/[\ud800-\udbff]$/, "");  // no half character
      const start = head.length;
      fillText(node, head);
      const fold = make("details");
      fold.append(make("summary", "", (text.length - start).toLocaleString("en") + " more characters"));
      const rest = make("div");
      rest.dir = "auto";
      fold.append(rest);
      fold.addEventListener("toggle", () => {
        if (fold.open && !rest.hasChildNodes()) fillText(rest, text.slice(start));
      });
      node.append(fold);
    }
    return node;
  }

  const number = (value) => (value === null ? "none" : String(Number(value.toPrecision(4))));

  function scoreMark(row) {
    if (row.score === null) return make("span", "score mid", "unscored");
    const kind = row.score >= 1 ? "good" : row.score <= 0 ? "bad" : "mid";
    return make("span", "score " + kind, "score " + number(row.score));
  }

  function facts(row, places) {
    const line = make("div", "facts");
    line.append(scoreMark(row));
    for (const place of places) {
      const node = make("span");
      fillText(node, place);
      line.append(node);
    }
    const ends = { eos: "", stop: ", stop string", length: ", cut by length" };
    line.append(make("span", "", row.length + (row.length === 1 ? " token" : " tokens") + (ends[row.finish] ?? "")));
    const parts = Object.entries(row.parts);
    if (parts.length > 1) {
      const node = make("span");
      fillText(node, parts.map(([name, value]) => name + " " + number(value)).join(", "));
      line.append(node);
    }
    return line;
  }

  function failure(row) {
    if (row.failure === null) return [];
    const fold = make("details");
    fold.append(make("summary", "", "Why it has no score"), said(row.failure, ""));
    return [fold];
  }

  // One card for the responses of a group that follow each other: the prompt once, then each response.
  function trainingCards(rows) {
    const cards = [];
    let last = null;
    for (const row of rows) {
      if (!last || last.step !== row.step || last.prompt !== row.prompt || last.id !== row.id) {
        const card = make("article");
        const name = make("div", "facts");
        fillText(name, "step " + row.step + ", " + row.id);
        card.append(name, said(row.prompt, "asked"));
        cards.push(card);
      }
      const answer = make("section");
      answer.append(facts(row, ["#" + row.index]), said(row.response, ""), ...failure(row));
      cards.at(-1).append(answer);
      last = row;
    }
    return cards;
  }

  function heldOutCard(pair) {
    const card = make("article");
    const name = make("div", "facts");
    fillText(name, pair.id + " #" + pair.index);
    const columns = make("div", "columns");
    for (const [row, step] of [[pair.before, data.beforeAfter.beforeStep], [pair.after, data.beforeAfter.afterStep]]) {
      const column = make("div");
      column.append(facts(row, ["after step " + step]), said(row.response, ""), ...failure(row));
      columns.append(column);
    }
    card.append(name, said(pair.prompt, "asked"), columns);
    return card;
  }

  function fits(row, texts) {
    const wanted = filters.score.value;
    const kind = row.score === null ? "unscored" : row.score >= 1 ? "full" : row.score <= 0 ? "zero" : "partial";
    if (wanted && wanted !== kind) return false;
    if (filters.finish.value && filters.finish.value !== row.finish) return false;
    const needle = filters.text.value.toLowerCase();
    return !needle || texts.some((text) => text.toLowerCase().includes(needle));
  }

  function matching() {
    if (view === "heldOut") {
      return data.beforeAfter.rows.filter((pair) =>
        fits(pair.after, [pair.id, pair.prompt, pair.before.response, pair.after.response]));
    }
    return data.samples.filter((row) =>
      (!filters.step.value || String(row.step) === filters.step.value) && fits(row, [row.id, row.prompt, row.response]));
  }

  function show() {
    const rows = matching();
    const all = view === "heldOut" ? data.beforeAfter.rows.length : data.samples.length;
    const part = rows.slice(0, shown);
    byId("rows").replaceChildren(...(view === "heldOut" ? part.map(heldOutCard) : trainingCards(part)));
    if (!rows.length) byId("rows").append(make("p", "empty", all ? "No sample fits these filters." : "No samples yet."));
    byId("count").textContent = rows.length.toLocaleString("en") + " of " + all.toLocaleString("en") + " samples";
    byId("more").hidden = rows.length <= shown;
    filters.step.parentElement.hidden = view === "heldOut";
    for (const button of byId("views").children) {
      button.setAttribute("aria-pressed", String(button.dataset.view === view));
    }
  }

  function restart() {
    shown = ROWS_AT_ONCE;
    show();
  }

  function summary() {
    const onPage = data.samples.length;
    const count = (value) => value.toLocaleString("en");
    if (view === "heldOut") {
      const { beforeStep, afterStep, numAll, rows } = data.beforeAfter;
      const part = rows.length < numAll ? " " + count(rows.length) + " of " + count(numAll) + " are on this page." : "";
      return "The same held-out prompts after step " + beforeStep + " and after step " + afterStep + "." + part +
        " Filters look at the later response.";
    }
    let text = "Responses from training.";
    if (data.numGenerated > data.numKept) {
      text += " Of " + count(data.numGenerated) + " responses, " + count(data.numKept) + " were kept (whole groups, evenly spread).";
    }
    if (data.numKept > onPage) {
      text += " " + count(onPage) + " are on this page, of steps evenly spread; all are in samples.jsonl.";
    }
    return text;
  }

  function choose(name) {
    view = name;
    byId("summary").textContent = summary();
    restart();
  }

  filters.step.append(new Option("all", ""));
  for (const step of new Set(data.samples.map((row) => row.step))) filters.step.append(new Option(String(step), String(step)));
  if (data.beforeAfter) {
    for (const [name, label] of [["training", "Training"], ["heldOut", "Before and after"]]) {
      const button = make("button", "", label);
      button.type = "button";
      button.dataset.view = name;
      button.addEventListener("click", () => choose(name));
      byId("views").append(button);
    }
  }
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const filter of Object.values(filters)) filter.addEventListener("input", restart);
  byId("more").addEventListener("click", () => {
    shown += ROWS_AT_ONCE;
    show();
  });
  choose(view);
})();
