// @ts-check
// A long scene is denoised in parts: one prompt for all of them, or further ones for the parts after the first, each
// with the seconds that it is for. A part without a prompt continues with the one before it.

import { h, setAttributes, setChildren, setText } from '../core/dom.js';
import { segmented } from './segmented.js';
import { conflictBox, grow, showConflict } from './field.js';
import { draftOf, typed } from '../core/saving.js';
import { state } from '../core/store.js';

const PATH = 'chunk_prompts';
const CHOICES = { one: 'One prompt for all', each: 'One for each part' };

/** A node with `show(card)`; nothing is shown for a scene of one part. */
export function partsPanel() {
  /** @type {SceneCard} */
  let card;
  const way = segmented('parts-way', 'Prompts of the parts of this scene', CHOICES, (/** @type {any} */ value) =>
    typed(card.id, PATH, value === 'each' ? filled(card) : [], 0),
  );
  const [list, hint, conflict] = [h('div.parts'), h('p.aside'), conflictBox()];
  const node = h('div.parts-field', {}, way, hint, list, conflict);
  node.show = (/** @type {SceneCard} */ scene) => {
    card = scene;
    const [prompts, starts] = [promptsOf(scene), scene.chunk_starts_s];
    node.hidden = starts.length < 2 && !prompts.length;
    if (node.hidden) return;
    way.show(prompts.length ? 'each' : 'one');
    setText(hint, hintOf(scene, prompts));
    const count = prompts.length ? Math.max(starts.length - 1, prompts.length) : 0;
    setChildren(
      list,
      Array.from({ length: count }, (_, place) => list.children[place] ?? partOf(place, () => card)),
    );
    [...list.children].forEach((part, place) => showPart(part, place, prompts[place] ?? '', scene));
    showConflict(
      conflict,
      { path: PATH, describe: (/** @type {string[] | null} */ value) => (value ?? []).join('\n') || '(one prompt)' },
      scene.id,
      draftOf(scene.id, PATH),
    );
  };
  return node;
}

const promptsOf = (/** @type {SceneCard} */ card) => draftOf(card.id, PATH)?.value ?? card.chunk_prompts;
const filled = (/** @type {SceneCard} */ card) =>
  Array.from({ length: Math.max(1, card.chunk_starts_s.length - 1) }, () => '');

/** @param {SceneCard} card @param {string[]} prompts */
function hintOf(card, prompts) {
  if (prompts.length) return `The prompt above is for ${spanOf(card, 0)}.`;
  return `It is made in ${card.chunk_starts_s.length} parts that go on from each other.`;
}

/** `5.8 to 11.2 s`; of a part after the last one there is nothing. Segments of a joint model are counted whole.
 *  @param {SceneCard} card @param {number} place */
function spanOf({ chunk_starts_s: starts, duration_s: seconds }, place) {
  if (place >= starts.length) return '';
  const whole = state.board?.joint?.segment_s;
  const [start, end] = whole ? [place * whole, (place + 1) * whole] : [starts[place], starts[place + 1] ?? seconds];
  return `${short(start)} to ${short(end)} s`;
}

const short = (/** @type {any} */ value) => String(Math.round(value * 10) / 10);

/** @param {number} place @param {() => SceneCard} card */
function partOf(place, card) {
  const id = `field-part-${place + 2}`;
  const area = h('textarea', { id, rows: 2, maxlength: 8000, spellcheck: true, placeholder: 'As before' });
  area.addEventListener('input', () => {
    grow(area);
    const prompts = [...promptsOf(card())];
    while (prompts.length <= place) prompts.push('');
    prompts[place] = area.value;
    typed(card().id, PATH, prompts);
  });
  return h('div.field.text', {}, h('div.label', {}, h('label', { for: id }), h('span.hint')), area);
}

/** @param {any} part @param {number} place @param {string} prompt @param {SceneCard} card */
function showPart(part, place, prompt, card) {
  const [label, area] = [part.firstChild, part.lastChild];
  setText(label.firstChild, `Part ${place + 2}`);
  const span = spanOf(card, place + 1);
  setText(label.lastChild, span || 'the scene ends before it');
  setAttributes(part, { 'data-beyond': !span });
  const typing = document.activeElement === area && area.dataset.of === card.id && draftOf(card.id, PATH);
  if (!typing && area.value !== prompt) area.value = prompt;
  area.dataset.of = card.id;
  grow(area);
}
