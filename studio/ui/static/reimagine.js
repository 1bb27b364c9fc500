// What becomes of a clip: its last frames are kept and the scene goes on from them, or the whole clip is re-imagined.

import { h } from './dom.js';
import { can, model } from './abilities.js';
import { either } from './either.js';
import { field } from './fields.js';
import { draftOf, typed } from './saving.js';

const STRENGTHS = { strength: 0.8, first_frame_strength: 0.4 };
/** NVIDIA's own, of the clip and of its first frame. */

const WAYS = { frames: 'Start from its end', again: 'Re-imagine it' };

/** A node with `show(card)`; nothing is shown where the scene starts from no clip. */
export function clipPanel() {
  let card = null;
  const way = either('clip-way', 'What becomes of the clip', WAYS, (value) => typed(card.id, 'conditioning', conditioned(card, value), 0));
  const fields = {
    frames: field({ id: 'frames', kind: 'choice', numeric: true, label: 'Frames it keeps', path: 'conditioning.num_frames', read: (scene) => shown(scene).num_frames, options: countOptions, hint: () => 'the last of the clip' }),
    strength: slider('strength', 'Change of the clip', (scene) => shown(scene).strength),
    first_frame_strength: slider('first_frame_strength', 'Change of its first frame', (scene) => shown(scene).first_frame_strength),
  };
  const node = h('div.clip-ways', {}, way, fields.frames, fields.strength, fields.first_frame_strength);
  node.show = (scene) => {
    card = scene;
    const now = shown(scene);
    node.hidden = scene.conditioning?.kind !== 'clip' || !now.media;
    if (node.hidden) return;
    const again = now.strength !== null && now.strength !== undefined;
    way.hidden = !again && !can('sdedit');
    way.show(again ? 'again' : 'frames');
    for (const each of Object.values(fields)) each.show(scene, scene.id);
    fields.frames.hidden = again || counts().length < 2;
    fields.strength.hidden = !again;
    fields.first_frame_strength.hidden = !again || !model()?.first_frame;
  };
  return node;
}

// What is being saved counts before what is saved, so that nothing jumps back for a moment.
function shown(scene) {
  const draft = draftOf(scene.id, 'conditioning');
  return (draft ? draft.value : scene.conditioning) ?? {};
}

function conditioned({ conditioning: { media } }, way) {
  return way === 'again' ? { media, ...STRENGTHS } : { media, num_frames: Math.max(1, ...counts()) };
}

const counts = () => model()?.conditioning_num_frames ?? [];

function countOptions(scene) {
  const known = [...new Set([...counts(), shown(scene).num_frames])].sort((a, b) => a - b);
  return known.map((count) => ({ value: count, label: count === 1 ? '1 frame' : `${count} frames` }));
}

const slider = (name, label, read) =>
  field({ id: name.replaceAll('_', '-'), kind: 'slider', min: 0, max: 1, step: 0.05, label, path: `conditioning.${name}`, read, hint: (scene, value) => strengthWords(value) });

/** `0.80 · mostly new`. */
function strengthWords(value) {
  if (value === null || value === undefined) return '';
  const said = [[0, 'kept as it is'], [0.3, 'close to it'], [0.6, 'after its outline'], [0.95, 'mostly new'], [1, 'all new']];
  return `${Number(value).toFixed(2)} · ${said.find(([limit]) => value <= limit)[1]}`;
}
