// The inspector: the selected scene's fields, or what all scenes share. On a narrow screen it is a sheet from below.

import { h, icon, iconButton, setAttributes, setChildren, setText } from './dom.js';
import { moveBy, remove } from './board.js';
import { field } from './fields.js';
import { say } from './notices.js';
import { afterSaving, change, flush, saveWith, typed, watchSaving } from './saving.js';
import { startPanel } from './startframes.js';
import { ask, scene, select, selectedScene, state, subscribe, update } from './store.js';
import { takesPanel } from './takes.js';
import { isBlank, stateWords } from './words.js';

let server = null;

export function mount(element, given) {
  server = given;
  saveWith(given);
  const head = heading();
  const forms = { scene: sceneForm(), film: filmForm() };
  const sheet = h('aside.inspector', { 'aria-label': 'Inspector' }, head, h('div.inspector-scroll', {}, forms.scene, forms.film));
  element.replaceChildren(h('div.veil', { onclick: () => update({ sheet: false }) }), sheet);
  const draw = () => show(element, head, forms);
  subscribe(draw);
  watchSaving(draw);
}

function show(element, head, forms) {
  const card = selectedScene();
  const film = state.film || !card;
  element.classList.toggle('open', state.sheet);
  head.show(card, film);
  forms.scene.hidden = film;
  forms.film.hidden = !film || !state.board;
  if (!film) forms.scene.show(card);
  if (state.board) forms.film.show(state.board);
}

function heading() {
  const tab = (name, film) => h('button', { type: 'button', role: 'tab', onclick: () => update({ film }) }, name);
  const tabs = { scene: tab('Scene', false), film: tab('Film', true) };
  const tools = h('div.tools', { role: 'toolbar', 'aria-label': 'This scene' }, ...sceneTools());
  const close = iconButton('close', 'Close', () => update({ sheet: false }), '.sheet-close');
  const node = h('header.inspector-head', {}, h('div.tabs', { role: 'tablist' }, tabs.scene, tabs.film), tools, close);
  node.show = (card, film) => {
    setText(tabs.scene, card ? `Scene ${card.number}` : 'Scene');
    setAttributes(tabs.scene, { 'aria-selected': String(!film), disabled: !card });
    setAttributes(tabs.film, { 'aria-selected': String(film) });
    tools.hidden = film;
    if (card) tools.querySelector('.merge').disabled = card.number === state.board.scenes.length;
  };
  return node;
}

function sceneTools() {
  const of = (act) => () => act(selectedScene());
  return [
    iconButton('left', 'Move earlier', of((card) => moveBy(card.id, -1))),
    iconButton('right', 'Move later', of((card) => moveBy(card.id, 1))),
    iconButton('copy', 'Duplicate scene', of(duplicate)),
    iconButton('split', 'Split in the middle', of((card) => change({ kind: 'split_scene', scene_id: card.id, at_s: card.duration_s / 2 }))),
    iconButton('merge', 'Merge with the next scene', of((card) => change({ kind: 'merge_scenes', scene_id: card.id })), '.merge'),
    iconButton('trash', 'Delete scene', of((card) => remove(card.id)), '.delete'),
  ];
}

async function duplicate(card) {
  const answer = await change({ kind: 'duplicate_scene', scene_id: card.id });
  const copy = answer?.ok && state.board.scenes[card.number];
  if (copy) select(copy.id);
}

const JOINS = [
  { value: 'cut', label: 'Cut' },
  { value: 'continue', label: 'Continue from it' },
  { value: 'crossfade', label: 'Crossfade' },
];
const FIRST = JOINS.map((join) => ({ ...join, label: 'Opens the film' }));
const first = (card) => card.number === 1;

function sceneFields() {
  return {
    prompt: field({ id: 'prompt', kind: 'text', rows: 3, label: 'Prompt', path: 'prompt', read: (card) => card.prompt, placeholder: 'Say what is seen here' }),
    negative: field({ id: 'negative', kind: 'text', rows: 1, label: 'Negative prompt', path: 'negative_prompt', read: (card) => card.negative_prompt, placeholder: 'What should not be seen', hidden: () => !can('negative_prompt') }),
    duration: field({ id: 'duration', kind: 'number', min: 0.1, step: 0.1, label: 'Seconds', path: 'duration_s', read: (card) => card.duration_s, hint: (card) => framesWords(card) }),
    transition: field({ id: 'transition', kind: 'choice', label: 'Joins the one before', path: 'transition', read: (card) => card.transition, options: (card) => (first(card) ? FIRST : JOINS), disabled: first }),
    crossfade: field({ id: 'crossfade', kind: 'number', min: 0.1, step: 0.1, label: 'Crossfade seconds', path: 'crossfade_s', read: (card) => card.crossfade_s, hidden: (card) => first(card) || card.transition !== 'crossfade' }),
    seed: field({ id: 'seed', kind: 'number', min: 0, step: 1, whole: true, optional: true, label: 'Seed', path: 'seed', read: (card) => card.seed, placeholderOf: (card) => card.effective_seed ?? '', hint: (card) => (card.seed === null ? 'from the film' : 'its own') }),
    frames: field({ id: 'frames', kind: 'number', min: 1, step: 1, whole: true, label: 'Frames of the clip', path: 'conditioning.num_frames', read: (card) => card.conditioning?.num_frames ?? 1, hint: () => 'its last ones', hidden: (card) => card.conditioning?.kind !== 'clip' }),
    strength: field({ id: 'strength', kind: 'number', min: 0.05, max: 1, step: 0.05, optional: true, label: 'Re-imagine', path: 'conditioning.strength', read: (card) => card.conditioning?.strength ?? null, hint: () => '0 to 1; empty: keep the frames', hidden: (card) => card.conditioning?.kind !== 'clip' || !can('sdedit') }),
    steps: field({ id: 'steps', kind: 'number', min: 1, step: 1, whole: true, optional: true, label: 'Steps', path: 'overrides.num_steps', read: (card) => card.overrides.num_steps ?? null, placeholder: 'as preset' }),
    guidance: field({ id: 'guidance', kind: 'number', min: 0, step: 0.5, optional: true, label: 'Guidance', path: 'overrides.guidance_scale', read: (card) => card.overrides.guidance_scale ?? null, placeholder: 'as preset' }),
    notes: field({ id: 'notes', kind: 'text', rows: 1, label: 'Your notes', path: 'notes', read: (card) => card.notes, placeholder: 'For yourself; never rendered' }),
  };
}

const model = () => state.board.models.find((entry) => entry.name === state.board.model);
const can = (ability) => model()?.capabilities.includes(ability) ?? true;

// What the number of seconds becomes on the model's frame grid.
function framesWords(card) {
  const shown = Number.parseFloat(card.duration_text);
  return Number.isFinite(shown) && !card.duration_text.includes(':') && Math.abs(shown - card.duration_s) < 0.05 ? '' : card.duration_text;
}

function sceneForm() {
  const fields = sceneFields();
  const [start, takes] = [startPanel(), takesPanel((card) => work('another_take', card))];
  const vocabulary = h('p.aside.short', { onclick: () => vocabulary.classList.toggle('short') });
  const notes = h('ul.plan-notes', { 'aria-label': 'Notes of the plan' });
  const condition = h('p.condition', {}, h('i.dot'), h('span'));
  const go = h('button.button.wide', { type: 'button', id: 'render-scene', onclick: () => renderThis(selectedScene()) }, 'Render this scene');
  const finer = h('details.finer', {}, h('summary', {}, 'Finer settings'), h('div.pair', {}, fields.steps, fields.guidance), fields.notes);
  const form = h('form.form', { onsubmit: (event) => event.preventDefault(), 'aria-label': 'Scene' }, condition, fields.prompt, vocabulary, notes, fields.negative, start, fields.frames, fields.strength, h('div.pair', {}, fields.duration, fields.transition), fields.crossfade, seedRow(fields.seed), takes, go, finer);
  let shown = null;
  form.show = (card) => {
    if (shown !== null && shown !== card.id) flush();
    shown = card.id;
    for (const node of Object.values(fields)) node.show(card, card.id);
    start.show(card, state.board.scenes[card.number - 2] ?? null);
    takes.show(card);
    form.seed.show(card);
    setText(vocabulary, card.prompt ? '' : (model()?.vocabulary_hint ?? ''));
    showNotes(notes, card.plan_notes);
    setAttributes(condition, { 'data-state': isBlank(card) ? 'blank' : card.state });
    setText(condition.lastChild, stateWords(card));
    setAttributes(go, { disabled: ['queued', 'rendering', 'unplannable'].includes(card.state) || !state.board.engine.state.match(/ready|busy|starting/) });
    setText(go, card.state === 'failed' ? 'Try again' : card.state === 'fresh' ? 'Render another take' : 'Render this scene');
  };
  form.seed = fields.seed.row;
  return form;
}

// Long notes show their beginning; a press shows the rest.
function showNotes(list, notes) {
  if (list.dataset.told === notes.join('\n')) return;
  list.dataset.told = notes.join('\n');
  const open = (event) => event.currentTarget.classList.toggle('whole');
  setChildren(list, notes.map((note) => h('li', { title: note, onclick: open }, h('span', {}, note))));
}

function seedRow(node) {
  const lock = iconButton('lock', 'Keep this seed', () => toggle(selectedScene()), '.lock');
  const roll = iconButton('dice', 'Roll another seed', () => typed(state.selected, 'seed', randomSeed(), 0));
  const row = h('div.seed-row', {}, node, h('div.seed-tools', {}, lock, roll));
  row.show = (card) => {
    const own = card.seed !== null;
    setAttributes(lock, { 'aria-pressed': String(own), title: own ? 'Let the film decide the seed again' : 'Keep this seed, whatever the film does' });
    if (lock.dataset.own !== String(own)) setChildren(lock, [icon(own ? 'lock' : 'unlock')]);
    lock.dataset.own = String(own);
  };
  node.row = row;
  return row;
}

const toggle = (card) => typed(card.id, 'seed', card.seed === null ? card.effective_seed : null, 0);
const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

function filmForm() {
  const fields = [
    field({ id: 'look', kind: 'text', rows: 2, label: 'Look', path: 'look', read: (board) => board.look, hint: () => 'added to every prompt', placeholder: 'papercut, soft light' }),
    field({ id: 'negative-look', kind: 'text', rows: 1, label: 'Never', path: 'negative_look', read: (board) => board.negative_look, hint: () => 'added to every negative prompt' }),
    field({ id: 'model', kind: 'choice', label: 'Model', path: 'model', read: (board) => board.model, options: (board) => board.models.map(modelOption) }),
    field({ id: 'aspect', kind: 'choice', label: 'Shape', path: 'aspect', read: (board) => board.aspect, options: (board) => board.aspects.map((value) => ({ value, label: value })) }),
    field({ id: 'film-seed', kind: 'number', min: 0, step: 1, whole: true, label: 'Seed of the film', path: 'seed', read: (board) => board.seed }),
  ];
  const about = h('p.aside');
  const form = h('form.form', { onsubmit: (event) => event.preventDefault(), 'aria-label': 'Whole film' }, ...fields, about);
  form.show = (board) => {
    for (const node of fields) node.show(board, null);
    setText(about, model()?.reason || model()?.summary || '');
  };
  return form;
}

const modelOption = ({ name, title, available }) => ({ value: name, label: available ? title : `${title} (not here)` });

const renderThis = (card) => work(card.state === 'fresh' ? 'another_take' : 'render_scene', card);

// Submits and answers at once; the stream tells the rest.
function work(name, card) {
  if (!scene(card?.id)) return;
  return afterSaving(async () => {
    const answer = await ask(server, name, { scene: card.id });
    if (!answer.ok) say(answer.problem, 'bad');
    else if (!answer.jobs.length) say('This scene is rendered already.', '', { label: 'Another take', act: () => work('another_take', card) });
  });
}
