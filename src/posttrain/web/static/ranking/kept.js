// What this browser keeps for the person who is signed in: it outlives a closed tab and a lost connection.

const person = document.querySelector("main").dataset.annotator;
const prefix = `posttrain.${person}.`;
const inMemory = new Map(); // when the browser keeps nothing (private windows, full disk) this tab still does

export let isDurable = true;

export function keep(name, value) {
  inMemory.set(name, value);
  try {
    localStorage.setItem(prefix + name, JSON.stringify(value));
  } catch {
    isDurable = false;
  }
}

export function kept(name) {
  try {
    const text = localStorage.getItem(prefix + name);
    if (text !== null) return JSON.parse(text);
  } catch {
    // fall through to what this tab holds
  }
  return inMemory.get(name) ?? null;
}

export function forget(name) {
  inMemory.delete(name);
  try {
    localStorage.removeItem(prefix + name);
  } catch {
    // nothing is kept there
  }
}

export function namesKept(start) {
  const names = new Set([...inMemory.keys()].filter((name) => name.startsWith(start)));
  try {
    for (let index = 0; index < localStorage.length; index += 1) {
      const key = localStorage.key(index);
      if (key.startsWith(prefix + start)) names.add(key.slice(prefix.length));
    }
  } catch {
    // nothing is kept there
  }
  return [...names];
}
