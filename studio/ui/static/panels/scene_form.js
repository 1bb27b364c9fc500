// @ts-check
// The form of one scene. What the chosen model cannot do is not shown, unless the scene already uses it.

import { h, icon, iconButton, setAttributes, setChildren, setText } from '../core/dom.js';
import { model } from '../core/capabilities.js';
import { field } from '../fields/field.js';
import { partsPanel } from '../fields/chunk_prompts.js';
import { negativePanel } from '../fields/negative_prompt.js';
import { notesList } from '../fields/plan_notes.js';
import { promptTips } from '../fields/prompt_tips.js';
import { refinementPanel } from '../fields/refinement.js';
import { clipPanel } from '../fields/reimagine.js';
import { typed } from '../core/saving.js';
import { startPanel } from '../fields/start_frames.js';
import { selectedScene, shownBoard, state } from '../core/store.js';
import { takesPanel } from './takes.js';
import { isBlank, isStuck, lengthWords, stateWords } from '../core/labels.js';

const JOINS = [
  { value: 'cut', label: 'Cut' },
  { value: 'continue', label: 'Continue from it' },
  { value: 'crossfade', label: 'Crossfade' },
];
const FIRST = JOINS.map((join) => ({ ...join, label: 'Opens the film' }));
const first = (/** @type {SceneCard} */ card) => card.number === 1;
const joint = () => shownBoard().joint;
const still = () => model()?.makes === 'picture';

function sceneFields() {
  return {
    prompt: field({
      id: 'prompt',
      kind: 'text',
      rows: 3,
      label: 'Prompt',
      path: 'prompt',
      read: (card) => card.prompt,
      placeholder: 'Say what is seen here',
    }),
    negative: negativePanel(),
    duration: field({
      id: 'duration',
      kind: 'number',
      min: 0.1,
      step: 'any',
      label: 'Seconds',
      path: 'duration_s',
      read: (card) => card.duration_s,
      hint: (card) => lengthWords(card, joint()),
      hidden: still,
    }),
    transition: field({
      id: 'transition',
      kind: 'choice',
      label: 'Joins the one before',
      path: 'transition',
      read: (card) => card.transition,
      options: (card) => (first(card) ? FIRST : JOINS),
      disabled: first,
    }),
    crossfade: field({
      id: 'crossfade',
      kind: 'number',
      min: 0.1,
      step: 0.1,
      label: 'Crossfade seconds',
      path: 'crossfade_s',
      read: (card) => card.crossfade_s,
      hidden: (card) => first(card) || card.transition !== 'crossfade',
    }),
    seed: field({
      id: 'seed',
      kind: 'number',
      min: 0,
      step: 1,
      whole: true,
      optional: true,
      label: 'Seed',
      path: 'seed',
      read: (card) => card.seed,
      placeholderOf: (card) => card.effective_seed ?? '',
      hint: (card) => (card.seed === null ? 'from the film' : 'its own'),
    }),
    sampler: field({
      id: 'sampler',
      kind: 'choice',
      optional: true,
      label: 'Sampler',
      path: 'overrides.sampler',
      read: (card) => card.overrides.sampler ?? '',
      options: samplers,
    }),
    steps: field({
      id: 'steps',
      kind: 'number',
      min: 1,
      step: 1,
      whole: true,
      optional: true,
      label: 'Steps',
      path: 'overrides.num_steps',
      read: (card) => card.overrides.num_steps ?? null,
      placeholder: 'as preset',
    }),
    guidance: field({
      id: 'guidance',
      kind: 'number',
      min: 0,
      step: 0.5,
      optional: true,
      label: 'Guidance',
      path: 'overrides.guidance_scale',
      read: (card) => card.overrides.guidance_scale ?? null,
      placeholder: 'as preset',
      hint: (_card, value) => guidanceHint(value),
    }),
    notes: field({
      id: 'notes',
      kind: 'text',
      rows: 1,
      label: 'Your notes',
      path: 'notes',
      read: (card) => card.notes,
      placeholder: 'For yourself; never rendered',
    }),
  };
}

/** In which convention the number is: NVIDIA's scripts count from 0, where nothing is guided, we from 1.
 *  @param {number | null} value */
function guidanceHint(value) {
  const shown = value ?? model()?.guidance_scale;
  const nvidia = model()?.family.match(/Cosmos|DFM/) && shown ? `; ${shown} is NVIDIA’s ${shown - 1}` : '';
  return `1 is none${nvidia}`;
}

/** @type {Record<string, string>} */
const SAMPLERS = { euler: 'Euler', heun: 'Heun', res_2ab: 'RES 2AB', dpmpp_2m_sde: 'DPM++ 2M SDE', ddim: 'DDIM' };
const samplers = () => [
  { value: '', label: 'as preset' },
  ...(model()?.samplers ?? []).map((value) => ({ value, label: SAMPLERS[value] ?? value })),
];

/** A form with `show(card)`. `work(name, card)`: renders. @param {any} work */
export function sceneForm(work) {
  const fields = sceneFields();
  const parts = {
    parts: partsPanel(),
    start: startPanel(),
    clip: clipPanel(),
    takes: takesPanel(work),
    notes: notesList(),
    tips: promptTips(),
    refinement: refinementPanel(),
  };
  const vocabulary = h('p.aside.short', { onclick: () => vocabulary.classList.toggle('short') });
  const condition = h('p.condition', {}, h('i.dot'), h('span'));
  const go = h(
    'button.button.wide',
    { type: 'button', id: 'render-scene', onclick: () => renderThis(selectedScene(), work) },
    'Render this scene',
  );
  const finer = h(
    'details.finer',
    {},
    h('summary', {}, 'Finer settings'),
    h('div.pair', {}, fields.steps, fields.guidance),
    fields.sampler,
    fields.notes,
  );
  const form = h(
    'form.form.scene-form',
    { onsubmit: (/** @type {any} */ event) => event.preventDefault(), 'aria-label': 'Scene' },
    condition,
    fields.prompt,
    vocabulary,
    parts.tips,
    parts.parts,
    parts.refinement,
    parts.notes,
    fields.negative,
    parts.start,
    parts.clip,
    h('div.pair', {}, fields.duration, fields.transition),
    fields.crossfade,
    seedRow(fields.seed),
    parts.takes,
    go,
    finer,
  );
  form.show = (/** @type {SceneCard} */ card) => {
    for (const node of Object.values(fields)) node.show(card, card.id);
    showParts(parts, card);
    fields.seed.row.show(card);
    fields.seed.row.hidden = Boolean(joint());
    setText(vocabulary, card.prompt ? '' : (model()?.vocabulary_hint ?? ''));
    setAttributes(condition, { 'data-state': isBlank(card) ? 'blank' : card.state });
    setText(condition.lastChild, stateWords(card));
    showGo(go, card);
  };
  return form;
}

/** @param {any} parts @param {SceneCard} card */
function showParts({ parts, start, clip, takes, notes, tips, refinement }, card) {
  tips.show();
  refinement.show(card);
  parts.show(card);
  start.show(card, shownBoard().scenes[card.number - 2] ?? null);
  clip.show(card);
  takes.show(card);
  notes.show(card.plan_notes.map((/** @type {string} */ text) => ({ level: 'warn', text })));
}

/** @param {any} go @param {SceneCard} card */
function showGo(go, card) {
  /** @type {Record<string, string>} */
  const words = { failed: 'Try again', fresh: joint() ? 'Render all scenes anew' : 'Render another take' };
  setAttributes(go, {
    disabled:
      isStuck(card) ||
      ['queued', 'rendering'].includes(card.state) ||
      !shownBoard().engine.state.match(/ready|busy|starting/),
  });
  setText(go, words[card.state] ?? (joint() ? 'Render all scenes' : 'Render this scene'));
}

/** @param {PageNode} node */
function seedRow(node) {
  const lock = iconButton('lock', 'Keep this seed', () => toggle(selectedScene()), '.lock');
  const roll = iconButton('dice', 'Roll another seed', () => typed(state.selected, 'seed', randomSeed(), 0));
  const row = h('div.seed-row', {}, node, h('div.seed-tools', {}, lock, roll));
  row.show = (/** @type {SceneCard} */ card) => {
    const own = card.seed !== null;
    setAttributes(lock, {
      'aria-pressed': String(own),
      title: own ? 'Let the film decide the seed again' : 'Keep this seed, whatever the film does',
    });
    if (lock.dataset.own !== String(own)) setChildren(lock, [icon(own ? 'lock' : 'unlock')]);
    lock.dataset.own = String(own);
  };
  node.row = row;
  return row;
}

const toggle = (/** @type {SceneCard | null} */ card) =>
  card && typed(card.id, 'seed', card.seed === null ? card.effective_seed : null, 0);
const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

const renderThis = (/** @type {SceneCard | null} */ card, /** @type {any} */ work) =>
  card && work(card.state === 'fresh' ? 'another_take' : 'render_scene', card);
