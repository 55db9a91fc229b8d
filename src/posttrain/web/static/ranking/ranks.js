// Ranks of cards while somebody sorts them: an array with a slot from 1 (best) for each card, or null.
// Every function returns a new array. Slots may have gaps until the ranking is submitted.

const changed = (ranks, card, slot) => ranks.map((old, place) => (place === card ? slot : old));

export const place = (ranks, card, slot) => changed(ranks, card, Math.min(Math.max(slot, 1), ranks.length));

export const takeOut = (ranks, card) => changed(ranks, card, null);

// Cards in groups of equal rank, best first.
export function tiers(ranks) {
  const slots = [...new Set(ranks.filter((slot) => slot !== null))].sort((a, b) => a - b);
  return slots.map((slot) => ranks.flatMap((own, card) => (own === slot ? [card] : [])));
}

function fromTiers(groups, numCards) {
  const ranks = new Array(numCards).fill(null);
  groups.filter((group) => group.length > 0).forEach((group, tier) => {
    for (const card of group) ranks[card] = tier + 1;
  });
  return ranks;
}

const without = (groups, card) => groups.map((group) => group.filter((other) => other !== card));

// The card alone on a rank of its own before the cards that have `slot` now; they and those behind move down.
export function insertBefore(ranks, card, slot) {
  const others = tiers(takeOut(ranks, card));
  const rest = takeOut(ranks, card);
  const numBefore = others.filter((group) => rest[group[0]] < slot).length;
  return fromTiers([...others.slice(0, numBefore), [card], ...others.slice(numBefore)], ranks.length);
}

export const best = (ranks, card) => insertBefore(ranks, card, 1);

// One step up (-1) or down (+1): out of a tie to a rank of its own, else past the neighbour. Unranked: to the end.
export function move(ranks, card, step) {
  const groups = tiers(ranks);
  const own = groups.findIndex((group) => group.includes(card));
  if (own < 0) return fromTiers([...groups, [card]], ranks.length);
  const isTied = groups[own].length > 1;
  const others = without(groups, card);
  if (isTied) {
    const at = step < 0 ? own : own + 1;
    return fromTiers([...others.slice(0, at), [card], ...others.slice(at)], ranks.length);
  }
  others.splice(own, 1);
  const at = Math.min(Math.max(own + step, 0), others.length);
  return fromTiers([...others.slice(0, at), [card], ...others.slice(at)], ranks.length);
}

// Equal to the next better cards; the best ones join the next worse; unranked cards join the last.
export function tie(ranks, card) {
  const groups = tiers(ranks);
  const own = groups.findIndex((group) => group.includes(card));
  const other = own < 0 ? groups[groups.length - 1] : groups[own - 1] ?? groups[own + 1];
  return other === undefined ? ranks : changed(ranks, card, ranks[other[0]]);
}

// Ranks as they are submitted: 0 best, no gaps. Cards without a rank that nobody can accept share the last one.
// null while a card is missing.
export function finished(ranks, unacceptable) {
  const missing = ranks.flatMap((slot, card) => (slot === null ? [card] : []));
  if (missing.some((card) => !unacceptable[card])) return null;
  const dense = new Array(ranks.length);
  [...tiers(ranks), missing].filter((group) => group.length > 0).forEach((group, rank) => {
    for (const card of group) dense[card] = rank;
  });
  return dense;
}

export const unranked = (ranks, unacceptable) =>
  ranks.flatMap((slot, card) => (slot === null && !unacceptable[card] ? [card] : []));

// "B > A = C" for people, from ranks or slots.
export function inWords(ranks, letterOf) {
  const groups = tiers(ranks);
  return groups.map((group) => group.map(letterOf).join(" = ")).join(" > ");
}
