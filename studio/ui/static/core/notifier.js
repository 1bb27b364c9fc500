// @ts-check
// Calls listeners after something changed. Never re-entrant: what a listener changes is announced after all listeners
// have been called, so that a listener may change anything. Does not know what changed.

/** @type {Set<Set<() => void>>} */
const changed = new Set();
let calling = false;
const MAX_ROUNDS = 100;

/** One source of changes: `watch(listener)` returns how to stop, `notify()` calls the listeners, at once or after
 *  those that are being called. */
export function notifier() {
  /** @type {Set<() => void>} */
  const listeners = new Set();
  return {
    /** @param {() => void} listener */
    watch(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    notify() {
      changed.add(listeners);
      if (!calling) callListeners();
    },
  };
}

function callListeners() {
  calling = true;
  for (let round = 0; changed.size && round < MAX_ROUNDS; round += 1) {
    const [listeners] = changed;
    changed.delete(listeners);
    for (const listener of [...listeners]) guarded(listener);
  }
  calling = false;
  if (!changed.size) return;
  changed.clear();
  reportError(new Error('Listeners change what they listen to without end.'));
}

/** A listener that fails must not keep the others from being called. @param {() => void} listener */
function guarded(listener) {
  try {
    listener();
  } catch (error) {
    reportError(error);
  }
}
