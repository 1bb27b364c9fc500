// @ts-check
// The labels of states, joins and progress, in one place. Pure.

import { clock } from './dom.js';

const STATES = {
  fresh: 'fresh',
  stale: 'stale',
  missing: 'not rendered yet',
  checking: 'the guard looks at it',
  queued: 'waiting',
  rendering: 'rendering',
  failed: 'failed',
  unplannable: 'cannot be rendered',
  without_model: 'waits for the model',
};

/** Whether there is no way to render a scene as it is. */
export const isStuck = (/** @type {SceneCard} */ card) => ['unplannable', 'without_model'].includes(card.state);

/** A scene that nobody has written yet is not a fault. */
export const isBlank = (/** @type {SceneCard} */ card) => isStuck(card) && !card.prompt.trim();

/** `stale: prompt changed`: the state's word, and why where that says more. @param {SceneCard} card */
export function stateWords(card) {
  if (card.refinement.busy) return 'refining the prompt';
  if (isBlank(card)) return 'no prompt yet';
  const word = STATES[card.state] ?? card.state;
  const why =
    card.reason && !['fresh', 'missing', 'rendering', 'without_model'].includes(card.state) ? card.reason : '';
  return why && why !== word ? `${word}: ${why.replaceAll(' -> ', '\u00a0\u2192 ')}` : word;
}

/** @type {Record<string, string>} */
const COUNTED = { denoise: 'step', decode: 'decoding' };

/** `step 12 of 20 · 0:41 left`. @param {ProgressView} progress */
export function progressWords(progress) {
  const left = progress.left_s === null || progress.left_s < 1 ? '' : ` · ${clock(progress.left_s)} left`;
  if (COUNTED[progress.stage] && progress.num_steps > 0 && progress.step > 0) {
    const first = progress.is_first_frame ? 'first frame, ' : '';
    return `${first}${COUNTED[progress.stage]} ${progress.step} of ${progress.num_steps}${left}`;
  }
  return `${progress.stage_text}${left}`;
}

export const progressShare = (/** @type {ProgressView | null} */ progress) =>
  progress && progress.num_steps ? Math.min(1, progress.step / progress.num_steps) : 0;

/** How a scene joins the one before it. @param {SceneCard} card */
export function joinWords(card) {
  if (card.transition === 'continue') return `continues scene ${card.number - 1}`;
  if (card.transition === 'crossfade') return `crossfades from scene ${card.number - 1}`;
  return 'cut';
}

/** What the number of seconds becomes: whole segments of a model that renders in those, else frames on its grid.
 *  @param {SceneCard} card @param {JointView | null} joint */
export function lengthWords(card, joint = null) {
  const nearest = joint && Math.max(1, Math.floor(card.duration_s / joint.segment_s + 0.5));
  if (joint) return `${card.num_chunks || nearest} × ${joint.segment_s} s`;
  return Math.abs(card.planned_s - card.duration_s) < 0.05 ? '' : card.duration_text;
}

/** What it means that all scenes are rendered together; the plan's notes tell the rest.
 *  @param {JointView | null} joint */
export function jointWords(joint) {
  if (!joint) return '';
  const num = joint.num_segments;
  const segments = `${num} ${num === 1 ? 'segment' : 'segments'} of ${joint.segment_s} s`;
  return `All scenes are rendered together, in ${segments}: a change anywhere renders all anew.`;
}

export const seedWords = (/** @type {number | null | undefined} */ seed) =>
  seed === null || seed === undefined ? '' : String(seed).replace(/\B(?=(\d{3})+$)/g, '\u202f');

/** The lower right of a card: what it goes on from, else its seed. @param {SceneCard} card */
export function rootWords(card) {
  if (card.continues) return `continues ${card.number - 1}`;
  if (card.conditioning?.kind === 'clip')
    return card.conditioning.strength === null ? 'from a clip' : 're-imagines a clip';
  if (card.conditioning) return 'from a picture';
  const seed = card.seed ?? card.take?.seed ?? null;
  return seed === null ? '' : `seed ${seedWords(seed)}`;
}

/** @param {SceneCard} card */
export function takesWords(card) {
  if (!card.takes.length) return '';
  return card.takes.length === 1 ? '1 take' : `${card.takes.length} takes`;
}

/** One card in one sentence, for screen readers. @param {SceneCard} card @param {number} total */
export function cardLabel(card, total) {
  const join = card.number > 1 ? `, ${joinWords(card)}` : '';
  const prompt = card.prompt || card.refinement.text || 'no prompt yet';
  return `Scene ${card.number} of ${total}, ${card.duration_text}${join}. ${prompt}. ${stateWords(card)}.`;
}
