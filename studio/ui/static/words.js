// The words for states, joins and progress, in one place. Pure.

import { clock } from './dom.js';

const STATES = {
  fresh: 'fresh',
  stale: 'stale',
  missing: 'not rendered yet',
  queued: 'waiting',
  rendering: 'rendering',
  failed: 'failed',
  unplannable: 'cannot be rendered',
};

/** A scene that nobody has written yet is not a fault. */
export const isBlank = (card) => card.state === 'unplannable' && !card.prompt.trim();

/** `stale: prompt changed`: the state's word, and why where that says more. */
export function stateWords(card) {
  if (isBlank(card)) return 'no prompt yet';
  const word = STATES[card.state] ?? card.state;
  const why = card.reason && !['fresh', 'missing', 'rendering'].includes(card.state) ? card.reason : '';
  return why && why !== word ? `${word}: ${why}` : word;
}

/** `step 12 of 20 · 0:41 left`. */
export function progressWords(progress) {
  const left = progress.left_s === null || progress.left_s < 1 ? '' : ` · ${clock(progress.left_s)} left`;
  if (progress.num_steps > 0 && progress.step > 0) {
    const first = progress.text.startsWith('first frame') ? 'first frame, ' : '';
    const stage = progress.stage === 'denoise' ? `${first}step` : progress.stage;
    return `${stage} ${progress.step} of ${progress.num_steps}${left}`;
  }
  return `${progress.text || progress.stage}${left}`;
}

export const progressShare = (progress) =>
  progress && progress.num_steps ? Math.min(1, progress.step / progress.num_steps) : 0;

/** How a scene joins the one before it. */
export function joinWords(card) {
  if (card.transition === 'continue') return `continues scene ${card.number - 1}`;
  if (card.transition === 'crossfade') return `crossfades from scene ${card.number - 1}`;
  return 'cut';
}

/** What the number of seconds becomes: whole segments of a model that renders in those, else frames on its grid. */
export function lengthWords(card, joint = null) {
  const nearest = joint && Math.max(1, Math.floor(card.duration_s / joint.segment_s + 0.5));
  if (joint) return `${card.num_chunks || nearest} × ${joint.segment_s} s`;
  const shown = Number.parseFloat(card.duration_text);
  const exact = Number.isFinite(shown) && !card.duration_text.includes('min') && Math.abs(shown - card.duration_s) < 0.05;
  return exact ? '' : card.duration_text;
}

const sizeWords = ([width, height]) => `${width} × ${height}`;

/** What there is to say of the size that is rendered: off the model's own, off its grid, or another than was asked for. */
export function sizeNotes(board) {
  const entry = board.models.find(({ name }) => name === board.model);
  const refused = entry?.available && !board.rendered_size_px ? board.render.problem : '';
  return [refused, sizeNote(board)].filter(Boolean);
}

function sizeNote({ models, model, aspect, size_px: own, rendered_size_px: size }) {
  const entry = models.find(({ name }) => name === model);
  const table = Object.values(entry?.sizes_px ?? {}).map(sizeWords);
  if (!size || !table.length) return '';
  if (own) return table.includes(sizeWords(size)) ? '' : `${sizeWords(size)} is off the sizes that ${entry.title} was trained at (${table.join(', ')}): it may look worse.`;
  return entry.sizes_px[aspect] ? '' : `${entry.title} makes no ${aspect}: ${sizeWords(size)} is rendered.`;
}

/** What it means that all scenes are rendered together. */
export function jointNotes(joint) {
  return joint ? told(joint) : [];
}

function told({ segment_s: seconds, num_segments: num, trained_num_segments: trained, text }) {
  const lengths = trained.map((count) => count * seconds).join(', ');
  const off = num && !trained.includes(num) ? ` No weights were trained for ${num * seconds} s, but for ${lengths} s.` : '';
  return [`All scenes are rendered together, in segments of ${seconds} s: a change anywhere renders all anew.${off}`, text && `${text[0].toUpperCase()}${text.slice(1)}.`].filter(Boolean);
}

export const seedWords = (seed) => (seed === null || seed === undefined ? '' : String(seed).replace(/\B(?=(\d{3})+$)/g, '\u202f'));

/** What stands in the lower right of a card: what it goes on from, else its seed. */
export function rootWords(card) {
  if (card.continues) return `continues ${card.number - 1}`;
  if (card.conditioning?.kind === 'clip') return card.conditioning.strength === null ? 'from a clip' : 're-imagines a clip';
  if (card.conditioning) return 'from a picture';
  const seed = card.seed ?? card.take?.seed ?? null;
  return seed === null ? '' : `seed ${seedWords(seed)}`;
}

export function takesWords(card) {
  if (!card.takes.length) return '';
  return card.takes.length === 1 ? '1 take' : `${card.takes.length} takes`;
}

/** One card in one sentence, for those who listen. */
export function cardLabel(card, total) {
  const join = card.number > 1 ? `, ${joinWords(card)}` : '';
  const prompt = card.prompt || 'no prompt yet';
  return `Scene ${card.number} of ${total}, ${card.duration_text}${join}. ${prompt}. ${stateWords(card)}.`;
}
