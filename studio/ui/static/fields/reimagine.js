// @ts-check
// How a clip is used: its last frames are kept and the scene goes on from them, or the whole clip is re-imagined.

import { h } from '../core/dom.js';
import { can, model } from '../core/capabilities.js';
import { FIRST_FRAME_STRENGTH, isReImagined, lastFrames, reImagined } from '../core/conditioning.js';
import { segmented } from './segmented.js';
import { field } from './field.js';
import { draftOf, typed } from '../core/saving.js';

const FIRST = [
  { value: '', label: 'Re-imagined with the rest' },
  { value: 0, label: 'Kept as it is' },
];
const CHOICES = { frames: 'Start from its end', again: 'Re-imagine it' };

/** A node with `show(card)`; nothing is shown where the scene starts from no clip. */
export function clipPanel() {
  /** @type {SceneCard} */
  let card;
  const way = segmented('clip-way', 'What becomes of the clip', CHOICES, (/** @type {any} */ value) =>
    typed(card.id, 'conditioning', (value === 'again' ? reImagined : lastFrames)(card.conditioning?.media ?? ''), 0),
  );
  const fields = {
    frames: field({
      id: 'frames',
      kind: 'choice',
      numeric: true,
      label: 'Frames it keeps',
      path: 'conditioning.num_frames',
      read: (scene) => shown(scene).num_frames,
      options: countOptions,
      hint: () => 'the last of the clip',
    }),
    strength: slider('strength', 'Change of the clip', (/** @type {SceneCard} */ scene) => shown(scene).strength),
    first_frame_strength: slider(
      'first_frame_strength',
      'Change of its first frame',
      (/** @type {SceneCard} */ scene) => shown(scene).first_frame_strength ?? FIRST_FRAME_STRENGTH,
    ),
    first: field({
      id: 'first-frame',
      kind: 'choice',
      numeric: true,
      optional: true,
      label: 'Its first frame',
      path: 'conditioning.first_frame_strength',
      read: (scene) => shown(scene).first_frame_strength ?? '',
      options: () => FIRST,
    }),
  };
  const node = h('div.clip-choices', {}, way, ...Object.values(fields));
  node.show = (/** @type {SceneCard} */ scene) => {
    card = scene;
    const now = shown(scene);
    node.hidden = scene.conditioning?.kind !== 'clip' || !now.media;
    if (node.hidden) return;
    const again = isReImagined(now);
    const possible = { frames: can('clip'), again: can('sdedit') };
    way.hidden = again ? possible.again && !possible.frames : possible.frames && !possible.again;
    way.show(again ? 'again' : 'frames');
    for (const each of Object.values(fields)) each.show(scene, scene.id);
    fields.frames.hidden = again || counts().length < 2;
    fields.strength.hidden = !again;
    fields.first_frame_strength.hidden = !again || !model()?.first_frame;
    fields.first.hidden = !again || Boolean(model()?.first_frame) || !counts().includes(1);
  };
  return node;
}

// What is being saved counts before what is saved, so that nothing jumps back for a moment.
/** @param {SceneCard} scene @returns {Partial<ConditioningView>} */
function shown(scene) {
  const draft = draftOf(scene.id, 'conditioning');
  return (draft ? draft.value : scene.conditioning) ?? {};
}

const counts = () => model()?.conditioning_num_frames ?? [];

const frames = (/** @type {number} */ count) => (count === 1 ? '1 frame' : `${count} frames`);

/** @param {SceneCard} scene */
function countOptions(scene) {
  const known = [...new Set([...counts(), shown(scene).num_frames ?? 1])].sort((a, b) => a - b);
  const there = scene.conditioning?.num_frames_of_clip || Infinity;
  return known.map((count) => ({
    value: count,
    disabled: count > there,
    label: `${frames(count)}${count > there ? `: the clip has ${there}` : ''}`,
  }));
}

const slider = (/** @type {string} */ name, /** @type {string} */ label, /** @type {any} */ read) =>
  field({
    id: name.replaceAll('_', '-'),
    kind: 'slider',
    min: 0,
    max: 1,
    step: 0.05,
    label,
    path: `conditioning.${name}`,
    read,
    hint: (_, value) => strengthWords(value),
  });

/** `0.80 · mostly new`. @param {number | null | undefined} value */
function strengthWords(value) {
  if (value === null || value === undefined) return '';
  /** @type {[number, string][]} */
  const names = [
    [0, 'kept as it is'],
    [0.3, 'close to it'],
    [0.6, 'after its outline'],
    [0.95, 'mostly new'],
    [1, 'all new'],
  ];
  return `${Number(value).toFixed(2)} · ${names.find(([limit]) => value <= limit)?.[1]}`;
}
