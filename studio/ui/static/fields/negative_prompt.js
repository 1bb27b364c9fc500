// @ts-check
// The negative prompt of a scene: the author's, the model's own (shown, and editable), or none.

import { h, setText } from '../core/dom.js';
import { can, model } from '../core/capabilities.js';
import { field } from './field.js';
import { draftOf, typed } from '../core/saving.js';
import { shownBoard } from '../core/store.js';

/** A node with `show(card)`. */
export function negativePanel() {
  /** @type {SceneCard} */
  let card;
  const text = field({
    id: 'negative',
    kind: 'text',
    rows: 1,
    label: 'Negative prompt',
    path: 'negative_prompt',
    read: (scene) => scene.negative_prompt,
    placeholder: 'What should not be seen',
    hint: (_scene, value) => (value === '' ? 'none' : ''),
  });
  const own = h('span.quiet.short', { title: 'Show all of it', onclick: () => own.classList.toggle('short') });
  const change = h('button.link', { type: 'button', id: 'negative-own', onclick: () => changed(card) });
  const line = h('p.own-negative', {}, own, ' ', change);
  const node = h('div.negative', {}, text, line);
  node.show = (/** @type {SceneCard} */ scene) => {
    card = scene;
    node.hidden = !can('negative_prompt');
    text.show(scene, scene.id);
    const value = shownValue(scene);
    const published = model()?.negative_prompt ?? '';
    line.hidden = !published || Boolean(value) || Boolean(shownBoard().negative_look);
    setText(own, value === null ? `The model's own is used: “${published}”` : 'Nothing is avoided.');
    setText(change, value === null ? 'Edit it' : 'Use the model’s own');
  };
  return node;
}

/** @param {SceneCard} scene @returns {string | null} */
const shownValue = (scene) => {
  const draft = draftOf(scene.id, 'negative_prompt');
  return draft ? draft.value : scene.negative_prompt;
};

/** The model's own as the author's, or the author's away. @param {SceneCard} scene */
const changed = (scene) =>
  typed(scene.id, 'negative_prompt', shownValue(scene) === null ? (model()?.negative_prompt ?? '') : null, 0);
