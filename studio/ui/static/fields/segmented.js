// A choice between a few ways, side by side: radio buttons, so that arrow keys and screen readers know them.

import { h, setText } from '../core/dom.js';

/** `ways`: {value: words}. `choose(value)` is called with another one. The node has `show(value, words)`. */
export function either(id, label, ways, choose) {
  const inputs = new Map();
  const options = Object.entries(ways).map(([value, words]) => {
    const input = h('input', { type: 'radio', name: id, value, id: `${id}-${value}` });
    input.addEventListener('change', () => input.checked && choose(value));
    inputs.set(value, input);
    return h('label', {}, input, h('span', {}, words));
  });
  const node = h('fieldset.either', { id }, h('legend.sr-only', {}, label), ...options);
  node.show = (chosen, words = ways) => {
    for (const [value, input] of inputs) {
      input.checked = value === chosen;
      setText(input.nextSibling, words[value]);
    }
  };
  return node;
}
