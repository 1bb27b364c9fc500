// @ts-check
// How many takes of a scene are asked for at once: one choice for the bar's button and for the form of a scene.

import { h } from '../core/dom.js';

const COUNTS = [1, 2, 4, 6, 8];
const MANY = 4;
/** @type {Set<() => void>} */
const watchers = new Set();
let count = 1;

/** What the choice says. */
export const takeCount = () => count;

/** What one asks for who wants several: the choice, where that is several. */
export const severalTakes = () => (count > 1 ? count : MANY);

/** Calls `listener` after each change. @param {() => void} listener */
export const watchTakeCount = (listener) => watchers.add(listener);

/** The choice itself. */
export function takeCountChoice() {
  const options = COUNTS.map((each) => h('option', { value: String(each) }, each === 1 ? '1 take' : `${each} takes`));
  const title = 'Takes of each scene; the critic’s best one is shown where you chose none';
  const select = h('select.take-count', { id: 'take-count', 'aria-label': 'Takes of each scene', title }, options);
  select.addEventListener('change', () => {
    count = Number(select.value);
    for (const listener of watchers) listener();
  });
  return select;
}
