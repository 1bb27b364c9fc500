// @ts-check
// The guard: its switch for the whole storyboard, and what it says of the take that a scene shows.

import { h, setAttributes, setText } from '../core/dom.js';
import { act } from '../core/saving.js';

/** A switch with `show(board)`; where the host or the model's licence demands a guard, only the reason is there. */
export function guardSwitch() {
  const input = h('input', { type: 'checkbox', role: 'switch', id: 'guard' });
  const words = h('span.quiet', { id: 'guard-words' });
  const label = h('label.switch', { for: 'guard' }, input, h('span', {}, 'Guard'));
  input.setAttribute('aria-describedby', 'guard-words');
  input.addEventListener('change', () => act('guard', { on: input.checked }));
  const node = h('div.field.guard', {}, label, words);
  node.show = (/** @type {BoardView} */ { guard }) => {
    input.checked = guard.on;
    setAttributes(input, { disabled: !guard.can_switch });
    setText(words, guard.text);
  };
  return node;
}

/** The verdict on the shown take, with `show(card)`. Its owner may let a withheld one through. */
export function takeVerdict() {
  /** @type {TakeView | null} */
  let take = null;
  const words = h('span');
  const release = h('button.link', { type: 'button', id: 'release-take' }, 'Let it through');
  release.addEventListener('click', () => take && act('release_take', { media: take.media }));
  const node = h('p.verdict', { role: 'status' }, words, ' ', release);
  node.show = (/** @type {SceneCard} */ card) => {
    take = card.take;
    const { state, text } = take?.guard ?? { state: '', text: '' };
    setAttributes(node, { hidden: !text, 'data-state': state });
    setText(words, text && `${text}.`);
    setAttributes(release, { hidden: state !== 'withheld' || !take?.media });
  };
  return node;
}

/** @type {Record<string, string>} */
const BADGES = { withheld: 'withheld', advised: 'guard', checking: '…', unchecked: 'unchecked' };

/** What a badge on a take says. @param {TakeView} take */
export const guardBadge = ({ guard }) => BADGES[guard.state] ?? '';
