// @ts-check
// The inspector: the selected scene's fields, or what all scenes share. On a narrow screen it is a sheet from below.

import { h, iconButton, setAttributes, setText } from '../core/dom.js';
import { moveBy, remove } from './board.js';
import { filmForm } from './film_form.js';
import { say } from '../core/notices.js';
import { act, change, draftOf, make, watchSaving } from '../core/saving.js';
import { connectPanel } from '../core/unsaved.js';
import { newSceneId } from '../core/pending.js';
import { sceneForm } from './scene_form.js';
import { scene, select, selectedScene, shownBoard, state, subscribe, update } from '../core/store.js';

/** @param {PageNode} element @param {any} server */
export function mount(element, server) {
  connectPanel(server);
  const head = heading();
  const forms = { scene: sceneForm(work), film: filmForm() };
  const panel = h('div.inspector-scroll', { role: 'tabpanel', id: 'inspector-forms' }, forms.scene, forms.film);
  const sheet = h('aside.inspector', { 'aria-label': 'Inspector' }, head, panel);
  element.replaceChildren(h('div.veil', { onclick: () => update({ sheet: false }) }), sheet);
  const draw = () => show(element, head, forms);
  subscribe(draw);
  watchSaving(draw);
}

/** @param {PageNode} element @param {any} head @param {any} forms */
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
  const tab = (/** @type {string} */ name, /** @type {boolean} */ film) =>
    h(
      'button',
      { type: 'button', role: 'tab', 'aria-controls': 'inspector-forms', onclick: () => update({ film }) },
      name,
    );
  const tabs = { scene: tab('Scene', false), film: tab('Film', true) };
  const buttons = sceneTools();
  const merge = buttons.find((button) => button.classList.contains('merge'));
  const tools = h('div.tools', { role: 'toolbar', 'aria-label': 'This scene' }, ...buttons);
  const close = iconButton('close', 'Close', () => update({ sheet: false }), '.sheet-close');
  const list = h(
    'div.tabs',
    { role: 'tablist', 'aria-label': 'What is edited', onkeydown: (/** @type {any} */ event) => turned(event, tabs) },
    tabs.scene,
    tabs.film,
  );
  const node = h('header.inspector-head', {}, list, tools, close);
  node.show = (/** @type {SceneCard} */ card, /** @type {boolean} */ film) => {
    setText(tabs.scene, isGone(card) ? 'Deleted scene' : card ? `Scene ${card.number}` : 'Scene');
    setAttributes(tabs.scene, { 'aria-selected': String(!film), disabled: !card, tabindex: film ? -1 : 0 });
    setAttributes(tabs.film, { 'aria-selected': String(film), tabindex: film ? 0 : -1 });
    tools.hidden = film || isGone(card);
    if (card && merge) merge.disabled = card.number === shownBoard().scenes.length;
  };
  return node;
}

/** @param {any} event @param {any} tabs */
function turned(event, tabs) {
  if (!['ArrowLeft', 'ArrowRight'].includes(event.key)) return;
  event.preventDefault();
  const other = event.target === tabs.film ? tabs.scene : tabs.film;
  other.click();
  other.focus();
}

function sceneTools() {
  const of = (/** @type {(card: SceneCard) => unknown} */ tool) => () => {
    const card = selectedScene();
    if (card) tool(card);
  };
  return [
    iconButton(
      'left',
      'Move earlier',
      of((card) => moveBy(card.id, -1)),
    ),
    iconButton(
      'right',
      'Move later',
      of((card) => moveBy(card.id, 1)),
    ),
    iconButton('copy', 'Duplicate scene', of(duplicate)),
    iconButton(
      'split',
      'Split in the middle',
      of((card) => change({ kind: 'split_scene', scene_id: card.id, at_s: card.duration_s / 2 })),
    ),
    iconButton(
      'merge',
      'Merge with the next scene',
      of((card) => change({ kind: 'merge_scenes', scene_id: card.id })),
      '.merge',
    ),
    iconButton(
      'trash',
      'Delete scene',
      of((card) => remove(card.id)),
      '.delete',
    ),
  ];
}

/** Whether a scene was deleted elsewhere while it is shown here. */
const isGone = (/** @type {SceneCard | null} */ card) => Boolean(card && !scene(card.id));

/** @param {SceneCard} card */
function duplicate(card) {
  const copy = newSceneId();
  if (!state.project) return;
  make({
    kind: 'duplicate_scene',
    project: state.project,
    scene: copy,
    source: card.id,
    after: card.id,
    fields: typedFields(card.id),
  });
  select(copy);
}

/** What is typed into a scene and not saved yet, as far as a copy shows it. @param {string} id */
function typedFields(id) {
  const names = ['prompt', 'negative_prompt', 'duration_s', 'notes'];
  const drafts = names.map((name) => draftOf(id, name)).filter((draft) => draft !== null && !draft.problem);
  return Object.fromEntries(drafts.map((draft) => [draft?.field, draft?.value]));
}

// Submits and answers at once; the stream brings the rest.
/** @param {string} name @param {SceneCard} card @param {Record<string, unknown>} [values] */
function work(name, card, values = {}) {
  if (!scene(card?.id)) return;
  return act(name, { scene: card.id, ...values }).then((answer) => {
    if (!answer?.ok || answer.jobs?.length || name === 'render_takes') return;
    say('This scene is rendered already.', '', { label: 'Another take', act: () => work('another_take', card) });
  });
}
