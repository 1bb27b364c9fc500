// The inspector: the selected scene's fields, or what all scenes share. On a narrow screen it is a sheet from below.

import { h, iconButton, setAttributes, setText } from '../core/dom.js';
import { moveBy, remove } from './board.js';
import { filmForm } from './film_form.js';
import { say } from '../core/notices.js';
import { afterSaving, change, saveWith, watchSaving } from '../core/saving.js';
import { sceneForm } from './scene_form.js';
import { ask, scene, select, selectedScene, state, subscribe, update } from '../core/store.js';

let server = null;

export function mount(element, given) {
  server = given;
  saveWith(given);
  const head = heading();
  const forms = { scene: sceneForm(() => server, work), film: filmForm() };
  const panel = h('div.inspector-scroll', { role: 'tabpanel', id: 'inspector-forms' }, forms.scene, forms.film);
  const sheet = h('aside.inspector', { 'aria-label': 'Inspector' }, head, panel);
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
  const tab = (name, film) => h('button', { type: 'button', role: 'tab', 'aria-controls': 'inspector-forms', onclick: () => update({ film }) }, name);
  const tabs = { scene: tab('Scene', false), film: tab('Film', true) };
  const tools = h('div.tools', { role: 'toolbar', 'aria-label': 'This scene' }, ...sceneTools());
  const close = iconButton('close', 'Close', () => update({ sheet: false }), '.sheet-close');
  const list = h('div.tabs', { role: 'tablist', 'aria-label': 'What is edited', onkeydown: (event) => turned(event, tabs) }, tabs.scene, tabs.film);
  const node = h('header.inspector-head', {}, list, tools, close);
  node.show = (card, film) => {
    setText(tabs.scene, card ? `Scene ${card.number}` : 'Scene');
    setAttributes(tabs.scene, { 'aria-selected': String(!film), disabled: !card, tabindex: film ? -1 : 0 });
    setAttributes(tabs.film, { 'aria-selected': String(film), tabindex: film ? 0 : -1 });
    tools.hidden = film;
    if (card) tools.querySelector('.merge').disabled = card.number === state.board.scenes.length;
  };
  return node;
}

function turned(event, tabs) {
  if (!['ArrowLeft', 'ArrowRight'].includes(event.key)) return;
  event.preventDefault();
  const other = event.target === tabs.film ? tabs.scene : tabs.film;
  other.click();
  other.focus();
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

// Submits and answers at once; the stream tells the rest.
function work(name, card) {
  if (!scene(card?.id)) return;
  return afterSaving(async () => {
    const answer = await ask(server, name, { scene: card.id });
    if (!answer.ok) say(answer.problem, 'bad');
    else if (!answer.jobs.length) say('This scene is rendered already.', '', { label: 'Another take', act: () => work('another_take', card) });
  });
}
