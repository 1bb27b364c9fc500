// @ts-check
// A segmented control: a few choices side by side, made of radio buttons for arrow keys and screen readers.

import { h, setText } from '../core/dom.js';

/** `choices`: {value: words}. `choose(value)` is called with another one. The node has `show(value, words)`.
 *  @param {string} id @param {string} label @param {any} choices @param {any} choose */
export function segmented(id, label, choices, choose) {
  const inputs = new Map();
  const options = Object.entries(choices).map(([value, words]) => {
    const input = h('input', { type: 'radio', name: id, value, id: `${id}-${value}` });
    input.addEventListener('change', () => input.checked && choose(value));
    inputs.set(value, input);
    return h('label', {}, input, h('span', {}, words));
  });
  const node = h('fieldset.segmented', { id }, h('legend.sr-only', {}, label), ...options);
  node.show = (/** @type {any} */ chosen, words = choices) => {
    for (const [value, input] of inputs) {
      input.checked = value === chosen;
      setText(input.nextSibling, words[value]);
    }
  };
  return node;
}
