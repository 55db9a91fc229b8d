// What is said to people who do not see the page change.

const box = document.querySelector("#announcer");
let turn = 0;

export function announce(text) {
  // The same words twice are spoken twice only when the text differs.
  turn += 1;
  box.textContent = turn % 2 === 0 ? text : `${text}\u00a0`;
}
