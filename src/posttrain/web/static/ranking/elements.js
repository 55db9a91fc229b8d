// Elements of the page. Only `html` takes markup, and only markup that the server has made harmless.

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (name === "html") made.innerHTML = value;
    else if (name === "on") for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function button(text, act, properties = {}) {
  return element("button", { type: "button", text, on: { click: act }, ...properties });
}

// A button whose key is shown beside its name; screen readers hear the name and, by aria-keyshortcuts, the key.
export function keyButton(text, key, act, properties = {}) {
  const made = button("", act, { "aria-keyshortcuts": key, ...properties });
  made.append(element("span", { text }), element("kbd", { text: key, "aria-hidden": "true" }));
  return made;
}

// Boxes that scroll sideways or down must be reachable by keyboard; others must not be in the way.
export function makeScrollersReachable(root) {
  for (const box of root.querySelectorAll("pre, .formula-block, .table-box, .scroll-box")) {
    const scrolls = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
    if (scrolls) {
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      if (!box.hasAttribute("aria-label")) box.setAttribute("aria-label", box.dataset.name ?? "Scrolling text");
    } else if (box.getAttribute("role") === "region") {
      for (const name of ["tabindex", "role"]) box.removeAttribute(name);
    }
  }
}

// Tables of a response are wide: each gets a box of its own that scrolls.
export function boxTables(root) {
  for (const table of root.querySelectorAll("table")) {
    if (table.parentElement.classList.contains("table-box")) continue;
    const box = element("div", { class: "table-box", "data-name": "Table" });
    table.replaceWith(box);
    box.append(table);
  }
}

// What a person calls an item: its place in their own work. The server's number of it says nothing to anybody.
export const itemName = (number, { starts = false } = {}) => {
  if (Number.isInteger(number)) return `${starts ? "Item" : "item"} ${number}`;
  return starts ? "This item" : "this item"; // the queue did not give it to them
};

export const letterOf = (card) => "ABCDEFGH"[card];

export const counted = (number, thing) => `${number.toLocaleString("en")} ${thing}${number === 1 ? "" : "s"}`;
