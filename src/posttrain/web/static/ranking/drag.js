// Dragging letters into ranks, with mouse or finger. SortableJS moves the element; what it means goes to `commands`,
// and the tray is drawn anew from the ranks.

import Sortable from "../vendor/sortablejs/sortable.core.esm.js";

const TOUCH_TOLERANCE = 4;

export function makeDraggable(tray, cardViews, commands, redraw) {
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const shared = {
    animation: isCalm ? 0 : 120,
    forceFallback: true, // the same behaviour in every browser, and none of their own drag images
    fallbackOnBody: true,
    fallbackTolerance: TOUCH_TOLERANCE,
    emptyInsertThreshold: 14,
    scroll: true,
    onStart: () => document.body.classList.add("is-dragging"),
    onEnd: ({ item, from, to }) => {
      document.body.classList.remove("is-dragging");
      const card = Number(item.dataset.card ?? item.querySelector("[data-card]")?.dataset.card);
      if (from !== to) item.remove();
      if (to.dataset.before !== undefined) commands.insertBefore(card, Number(to.dataset.before));
      else if (to.dataset.slot === "0") commands.rank(card, null);
      else if (to.dataset.slot !== undefined) commands.rank(card, Number(to.dataset.slot));
      redraw();
    },
  };
  const made = tray.lists.map((list) => new Sortable(list, { ...shared, group: { name: "ranks", pull: true, put: true }, draggable: "[data-card]" }));
  for (const view of cardViews) {
    made.push(new Sortable(view.chipSource, { ...shared, sort: false, draggable: ".chip", group: { name: "ranks", pull: "clone", put: false } }));
  }
  return () => made.forEach((sortable) => sortable.destroy());
}
