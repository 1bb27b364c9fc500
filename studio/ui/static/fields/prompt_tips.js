// @ts-check
// How to write prompts for the chosen model, beside the prompt field.

import { h, setChildren } from '../core/dom.js';
import { model } from '../core/capabilities.js';
import { shownBoard } from '../core/store.js';

/** A node with `show()`. */
export function promptTips() {
  const list = h('ul');
  const node = h('details.tips', {}, h('summary', {}, 'How to write for this model'), list);
  node.show = () => {
    const tips = shownBoard().prompt_tips ?? [];
    node.hidden = !tips.length;
    if (node.dataset.of === model()?.name) return;
    node.dataset.of = model()?.name ?? '';
    setChildren(
      list,
      tips.map((/** @type {string} */ tip) => h('li', {}, tip)),
    );
  };
  return node;
}
