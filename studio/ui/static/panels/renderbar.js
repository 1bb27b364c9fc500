// @ts-check
// The bar: title, what is saved, presets, what the button will do and why, the button, stop. On a narrow screen its
// second half is at the bottom edge.

import { h, icon, iconButton, setAttributes, setChildren, setText } from '../core/dom.js';
import { focusScene, step } from './board.js';
import { banner } from '../core/notices.js';
import { act, draftOf, flush, savingState, typed, watchSaving } from '../core/saving.js';
import { connectPanel } from '../core/unsaved.js';
import { state, subscribe } from '../core/store.js';
import { toggleProjects } from './projects.js';
import { takeCount, takeCountChoice, watchTakeCount } from './take_count.js';

/** @param {PageNode} element @param {any} server */
export function mount(element, server) {
  connectPanel(server);
  const parts = { ...titleParts(), ...actingParts() };
  const skip = h('button.skip', { type: 'button', onclick: () => focusScene(state.selected) }, 'Skip to the scenes');
  const top = h(
    'header.topbar',
    {},
    skip,
    parts.menu,
    h('img.mark', { src: new URL('studio/static/mark.svg', document.baseURI), alt: '' }),
    parts.title,
    parts.saved,
    parts.undo,
    parts.redo,
  );
  const acting = h(
    'div.acting',
    { role: 'region', 'aria-label': 'Rendering' },
    parts.presets,
    h('div.doing', {}, parts.what, parts.stop),
    h('div.go', {}, parts.count, parts.go),
  );
  element.replaceChildren(h('div.bar', {}, top, acting));
  const draw = () => show(parts, state);
  subscribe(draw);
  watchSaving(draw);
  watchTakeCount(draw);
}

function titleParts() {
  const title = h('input.title', {
    type: 'text',
    'aria-label': 'Title of the film',
    maxlength: 300,
    id: 'field-title',
    spellcheck: false,
  });
  title.addEventListener('input', () => (typed(null, 'title', title.value), fit(title)));
  title.addEventListener('keydown', (event) => event.key === 'Enter' && (flush(), title.blur()));
  return {
    menu: iconButton('menu', 'Projects', toggleProjects, '.projects-toggle'),
    title,
    saved: h('span.saved', {}, h('span.word', { role: 'status' }), h('span.rest')),
    undo: iconButton('undo', 'Undo (Ctrl+Z)', () => step('undo'), '.undo'),
    redo: iconButton('redo', 'Redo (Ctrl+Shift+Z)', () => step('redo'), '.redo'),
  };
}

function actingParts() {
  const why = h('ul');
  const what = h(
    'details.what',
    {},
    h('summary', {}, h('span.what-words'), h('span.estimate')),
    h('div.popover', {}, h('p', {}, 'What the button will do'), why),
  );
  const go = h(
    'button.button.primary',
    { type: 'button', id: 'render-film', onclick: renderFilm },
    'Render film',
  );
  const stop = h(
    'button.button.stop',
    { type: 'button', id: 'stop', onclick: () => act('stop') },
    icon('stop'),
    h('span', {}, 'Stop'),
  );
  document.addEventListener(
    'pointerdown',
    (/** @type {any} */ event) => what.contains(event.target) || (what.open = false),
  );
  what.addEventListener('keydown', (event) => event.key === 'Escape' && ((what.open = false), event.stopPropagation()));
  const presets = h('div.presets', { role: 'radiogroup', 'aria-label': 'Preset' });
  return { presets, what, why, count: takeCountChoice(), go, stop };
}

function renderFilm() {
  return takeCount() > 1 ? act('render_takes', { num_takes: takeCount() }) : act('render_film');
}

/** @param {any} parts @param {any} parts */
function show(parts, { board, lost }) {
  for (const part of Object.values(parts)) if (part !== parts.menu) part.hidden = !board;
  banner('stream', lost ? 'The studio does not answer; trying again. Rendering goes on without this page.' : '');
  banner('problem', board?.problem ?? '');
  if (!board) return;
  showTitle(parts, board);
  document.title = titleOf(board);
  showPresets(parts.presets, board);
  showWhat(parts, board.render);
  const idle = goWords(board) === READY || goWords(board) === WORKING;
  setAttributes(parts.go, { disabled: idle || !board.render.can_render, title: board.render.problem || null });
  setText(parts.go, goWords(board));
  setAttributes(parts.stop, { hidden: !board.render.busy });
}

const READY = 'Film is ready';
const WORKING = 'Rendering…';

/** @param {BoardView} board */
function goWords({ render, film, scenes }) {
  if (render.busy && !render.why.length) return WORKING;
  if (takeCount() > 1) return `Render ${takeCount()} takes`;
  if (render.num_scenes === 0 && film.up_to_date) return READY;
  const only = render.can_render && render.num_scenes === 0 && !render.busy && !film.missing.length && scenes.length;
  return only ? 'Make film' : 'Render film';
}

// The browser's tab says how far it is, so that another tab may be looked at meanwhile.
/** @param {BoardView} board */
function titleOf({ title, scenes, render }) {
  const done = scenes.filter((/** @type {SceneCard} */ card) => card.state === 'fresh').length;
  return `${render.busy ? `(${done}/${scenes.length}) ` : ''}${title || 'Untitled'} · Storyboard Studio`;
}

/** @param {any} parts @param {BoardView} board */
function showTitle({ title, saved, undo, redo }, board) {
  const value = draftOf(null, 'title')?.value ?? board.title;
  const isTypedIn = document.activeElement === title && title.dataset.of === board.project_id;
  title.dataset.of = board.project_id;
  if (title.value !== value && !isTypedIn) title.value = value;
  if (title.dataset.fitted !== title.value) fit(title);
  const words = { saved: 'saved', saving: 'saving…', failed: 'not saved', conflict: 'two versions' }[savingState()];
  const scenes = board.scenes.length === 1 ? '1 scene' : `${board.scenes.length} scenes`;
  setText(saved.firstChild, words);
  setText(saved.lastChild, ` · ${scenes} · ${board.duration_text}`);
  setAttributes(saved, { 'data-state': savingState() });
  setAttributes(undo, { disabled: !board.can_undo });
  setAttributes(redo, { disabled: !board.can_redo });
}

/** @param {any} title */
function fit(title) {
  title.dataset.fitted = title.value;
  if (!CSS.supports('field-sizing', 'content'))
    title.style.width = `${Math.max(6, Math.min(30, title.value.length + 1))}ch`;
}

/** @param {PageNode} group @param {BoardView} board */
function showPresets(group, board) {
  const names = board.presets.map((/** @type {PresetView} */ preset) => preset.name).join(' ');
  if (group.dataset.names !== names) {
    group.dataset.names = names;
    setChildren(group, board.presets.map(presetButton));
    group.onkeydown = (/** @type {any} */ event) => turned(event, group);
  }
  const wanted = draftOf(null, 'preset')?.value ?? board.preset;
  board.presets.forEach((/** @type {PresetView} */ preset, /** @type {number} */ place) => {
    const chosen = preset.name === wanted;
    const title = [preset.summary, preset.estimate_text].filter(Boolean).join(' · ');
    setAttributes(group.children[place], { 'aria-checked': String(chosen), tabindex: chosen ? 0 : -1, title });
  });
}

/** @param {PresetView} preset */
function presetButton(preset) {
  const choose = () => typed(null, 'preset', preset.name, 0);
  return h(
    'button',
    { type: 'button', role: 'radio', 'data-preset': preset.name, 'data-title': preset.title, onclick: choose },
    preset.title,
  );
}

/** @param {any} event @param {PageNode} group */
function turned(event, group) {
  /** @type {Record<string, number>} */
  const steps = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
  const by = steps[event.key];
  if (!by) return;
  event.preventDefault();
  /** @type {any[]} */
  const all = [...group.children];
  const next = all[(all.indexOf(document.activeElement) + by + all.length) % all.length];
  next.focus();
  next.click();
}

/** @param {any} parts @param {RenderBar} render */
function showWhat({ what, why }, render) {
  const summary = what.firstChild;
  setText(summary.firstChild, render.problem || render.text);
  setText(summary.lastChild, render.problem || !render.num_scenes ? '' : render.estimate_text);
  setAttributes(what, { 'data-problem': Boolean(render.problem) });
  setText(why.previousSibling, render.problem ? 'Why nothing can be rendered' : 'What the button will do');
  const lines = render.problem
    ? [render.problem_text]
    : render.why.length
      ? render.why
      : [render.busy ? 'Nothing more: all that is written is in the queue.' : 'Every scene has the take it asks for.'];
  if (why.dataset.shown === lines.join('\n')) return;
  why.dataset.shown = lines.join('\n');
  setChildren(
    why,
    lines.map((/** @type {string} */ line) => h('li', {}, line)),
  );
}
