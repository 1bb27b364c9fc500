// The board: scene cards in a grid, moved by keys or pointer. Draws what the store holds; changes go through saving.

import { dragging } from './drag.js';
import { h, icon, isWriting, setAttributes, setChildren } from '../core/dom.js';
import { sceneCard } from './card.js';
import { newProject } from './projects.js';
import { conditioningOf } from '../core/conditioning.js';
import { dropping, uploaded } from '../fields/start_frames.js';
import { showKeys } from './keys.js';
import { announce, confirmed, say } from '../core/notices.js';
import { act, change, deleteScene, make } from '../core/saving.js';
import { connectPanel } from '../core/unsaved.js';
import { newSceneId } from '../core/pending.js';
import { boardOf, scene, select, selectedScene, state, subscribe, update } from '../core/store.js';
import { progressShare } from '../core/labels.js';

const HELP = 'Arrow keys go from scene to scene, Enter edits, Alt with arrows moves the scene, Delete deletes it, N adds one.';
const cells = new Map();
let list = null;

export function mount(element, server) {
  connectPanel(server);
  list = h('ol.cards', { role: 'listbox', 'aria-label': 'Scenes', 'aria-describedby': 'board-help' });
  const add = h('button.add', { type: 'button', id: 'add-scene', onclick: () => addScene(Infinity) }, icon('plus'), h('span', {}, 'Add a scene, or drop pictures here'));
  const empty = h('div.vacant', { role: 'status' });
  const grid = h('div.board-grid', {}, list, add);
  const scroller = h('section.board-scroll', { 'aria-label': 'Storyboard' }, empty, grid, h('p.sr-only', { id: 'board-help' }, HELP));
  element.replaceChildren(scroller);
  dropping(scroller, addPictures);
  list.addEventListener('click', clicked);
  list.addEventListener('dblclick', (event) => event.target.closest('.card') && openInspector());
  list.addEventListener('focusin', focused);
  list.addEventListener('keydown', pressed);
  document.addEventListener('keydown', pressedAnywhere);
  dragging(list, dropped);
  subscribe((now) => draw(now, grid, empty, add));
}

function draw({ board, selected, gone, project }, grid, empty, add) {
  grid.hidden = !board;
  empty.hidden = Boolean(board);
  if (!board) return showVacant(empty, gone, project);
  const before = places();
  const focus = document.activeElement?.closest?.('.card');
  const wanted = board.scenes.map((card) => cellOf(card.id));
  const moved = wanted.some((cell, place) => list.children[place] !== cell);
  setChildren(list, wanted);
  for (const card of board.scenes) cellOf(card.id).show(card, board.scenes.length, card.id === selected);
  for (const id of cells.keys()) if (!scene(id)) cells.delete(id);
  if (moved && focus?.isConnected && document.activeElement !== focus) focus.focus({ preventScroll: true });
  if (moved) glide(before);
  setAttributes(add, { 'data-first': board.scenes.length === 0 });
  tellProgress(board);
}

function showVacant(node, gone, project) {
  const words = gone || (project ? 'Opening…' : 'Nothing here yet. A project is one film.');
  if (node.dataset.told === words) return;
  node.dataset.told = words;
  const make = h('button.button.primary', { type: 'button', onclick: newProject }, 'New project');
  setChildren(node, [h('p', {}, words), ...(project && !gone ? [] : [make])]);
}

function cellOf(id) {
  if (!cells.has(id)) cells.set(id, sceneCard(id));
  return cells.get(id);
}

const calm = matchMedia('(prefers-reduced-motion: reduce)');
const places = () => new Map([...list.children].map((cell) => [cell, cell.getBoundingClientRect()]));

// Cards slide from where they were, so that the eye can follow a move.
function glide(before) {
  if (calm.matches) return;
  for (const [cell, was] of before) {
    if (!cell.isConnected) continue;
    const is = cell.getBoundingClientRect();
    const [x, y] = [was.left - is.left, was.top - is.top];
    if (!x && !y) continue;
    cell.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: 'none' }], { duration: 220, easing: 'ease-out' });
  }
}

let told = '';

// Each scene's start, quarters and end, not every step.
function tellProgress(board) {
  const working = board.scenes.find((card) => card.state === 'rendering');
  const quarter = working ? Math.floor(progressShare(working.progress) * 4) * 25 : 0;
  const now = working ? `Scene ${working.number}, ${quarter} percent rendered.` : board.film.assembling ? 'Putting the film together.' : '';
  if (now !== told) announce(now || (told ? 'Rendering has ended.' : ''));
  told = now;
}

function clicked(event) {
  const cell = event.target.closest('.cell');
  if (!cell) return;
  select(cell.dataset.scene);
  cell.card.focus({ preventScroll: true });
  if (event.target.closest('.join')) return openInspector('transition');
  if (narrow.matches) openInspector(null);
}

const narrow = matchMedia('(max-width: 900px)');

function focused(event) {
  const cell = event.target.closest('.cell');
  if (cell && cell.dataset.scene !== state.selected) select(cell.dataset.scene);
}

/** Goes to a field of the inspector (on a narrow screen it comes up as a sheet). */
function openInspector(field = 'prompt') {
  update({ sheet: true });
  document.getElementById(`field-${field}`)?.focus();
}

function columns() {
  const tops = [...list.children].map((cell) => cell.offsetTop);
  return Math.max(1, tops.filter((top) => top === tops[0]).length);
}

function pressed(event) {
  const ids = state.board.scenes.map((card) => card.id);
  const place = ids.indexOf(state.selected);
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() };
  const to = { Home: 0, End: ids.length - 1 }[event.key] ?? (event.key in steps ? place + steps[event.key] : null);
  if (to !== null && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    if (event.altKey) moveBy(ids[place], to - place);
    else focusScene(ids[Math.max(0, Math.min(ids.length - 1, to))]);
  } else if (event.key === 'Enter' || event.key === ' ') {
    event.preventDefault();
    openInspector();
  } else if (event.key === 'Delete' || event.key === 'Backspace') {
    event.preventDefault();
    remove(state.selected);
  }
}

export function focusScene(id) {
  if (!id) return;
  select(id);
  cells.get(id)?.card.focus();
}

const placeOf = (board, id) => board.scenes.findIndex((card) => card.id === id);

/** Moves a scene some places on, counted from where it is when its turn comes: keys may be faster than the studio. */
export function moveBy(id, step) {
  return moved(id, (board) => placeOf(board, id) + step);
}

async function moved(id, placeIn) {
  const answer = await change((board) => {
    const position = Math.max(0, Math.min(board.scenes.length - 1, placeIn(board)));
    if (placeOf(board, id) < 0 || position === placeOf(board, id)) return null;
    return { kind: 'move_scene', scene_id: id, position };
  });
  if (answer?.ok) announce(`Moved to place ${placeOf(state.board, id) + 1} of ${state.board.scenes.length}.`);
}

function dropped(cell, place) {
  moved(cell.dataset.scene, () => place);
}

/** A new scene at a place (Infinity: at the end): drawn, selected and ready to be typed in, and saved behind. */
export function addScene(place) {
  if (!state.board) return;
  const id = made(state.project, place, {});
  select(id);
  cells.get(id)?.scrollIntoView({ block: 'nearest', behavior: calm.matches ? 'auto' : 'smooth' });
  openInspector();
  announce(`Scene ${scene(id)?.number} added.`);
}

function made(project, place, fields) {
  const scenes = boardOf(project)?.scenes ?? [];
  const id = newSceneId();
  const position = Math.min(place, scenes.length);
  make({ kind: 'add_scene', project, scene: id, after: scenes[position - 1]?.id ?? null, place: position, fields });
  return id;
}

// One new scene for each picture or clip that was dropped on the board. It is selected unless the author writes.
async function addPictures(files) {
  const { project } = state;
  for (const file of files) {
    const media = await uploaded(file, project);
    if (!media) continue;
    const id = made(project, Infinity, { conditioning: conditioningOf(media) });
    if (project === state.project && !isWriting(document.activeElement)) focusScene(id);
  }
}

export async function remove(id) {
  const card = scene(id);
  if (!card) return;
  const text = 'Its takes are kept: undo brings the scene back as it was.';
  if (!(await confirmed(`Delete scene ${card.number}?`, text, 'Delete scene'))) return;
  const place = card.number - 1;
  const deleted = deleteScene(id);
  update({ sheet: false });
  focusScene(state.board.scenes[Math.min(place, state.board.scenes.length - 1)]?.id);
  if (!(await deleted)?.ok) return;
  say(`Scene ${card.number} deleted.`, '', { label: 'Undo', act: () => step('undo') });
}

/** `undo` or `redo`, after what is being typed has been saved. */
export function step(name) {
  return act(name).then((answer) => {
    if (answer?.ok) announce(name === 'undo' ? 'Undone.' : 'Done again.');
  });
}

// A field that undoes its own typing, and one that letters are meant for.
const listening = (node) => isWriting(node) || (node?.matches?.('select') ?? false);

function pressedAnywhere(event) {
  if (!state.board || event.defaultPrevented || document.querySelector('dialog[open]')) return;
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && !event.altKey && key === 'z' && !isWriting(event.target)) {
    event.preventDefault();
    step(event.shiftKey ? 'redo' : 'undo');
  } else if ((event.ctrlKey || event.metaKey) && key === 'y' && !isWriting(event.target)) {
    event.preventDefault();
    step('redo');
  } else if (key === 'n' && !event.ctrlKey && !event.metaKey && !event.altKey && !listening(event.target)) {
    event.preventDefault();
    addScene(selectedScene() ? selectedScene().number : Infinity);
  } else if (event.key === '?' && !listening(event.target)) {
    showKeys();
  } else if (key === 'escape' && state.sheet) {
    update({ sheet: false });
    cells.get(state.selected)?.card.focus();
  }
}
