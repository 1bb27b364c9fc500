// @ts-check
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
import { boardOf, scene, select, selectedScene, shownBoard, state, subscribe, update } from '../core/store.js';
import { progressShare } from '../core/labels.js';

const HELP =
  'Arrow keys go from scene to scene, Enter edits, Alt with arrows moves the scene, Delete deletes it, N adds one.';
/** @type {Map<string, PageNode>} */
const cells = new Map();
/** @type {PageNode} */
let list;

/** @param {PageNode} element @param {any} server */
export function mount(element, server) {
  connectPanel(server);
  list = h('ol.cards', { role: 'listbox', 'aria-label': 'Scenes', 'aria-describedby': 'board-help' });
  const add = h(
    'button.add',
    { type: 'button', id: 'add-scene', onclick: () => addScene(Infinity) },
    icon('plus'),
    h('span', {}, 'Add a scene, or drop pictures here'),
  );
  const empty = h('div.vacant', { role: 'status' });
  const grid = h('div.board-grid', {}, list, add);
  const scroller = h(
    'section.board-scroll',
    { 'aria-label': 'Storyboard' },
    empty,
    grid,
    h('p.sr-only', { id: 'board-help' }, HELP),
  );
  element.replaceChildren(scroller);
  dropping(scroller, addPictures);
  list.addEventListener('click', clicked);
  list.addEventListener('dblclick', (/** @type {any} */ event) => event.target.closest('.card') && openInspector());
  list.addEventListener('focusin', focused);
  list.addEventListener('keydown', pressed);
  document.addEventListener('keydown', pressedAnywhere);
  dragging(list, dropped);
  subscribe((now) => draw(now, grid, empty, add));
}

/** @param {any} parts @param {any} grid @param {any} empty @param {any} add */
function draw({ board, selected, gone, project }, grid, empty, add) {
  grid.hidden = !board;
  empty.hidden = Boolean(board);
  if (!board) return showVacant(empty, gone, project);
  const before = places();
  /** @type {HTMLElement | null} */
  const focus = document.activeElement?.closest?.('.card') ?? null;
  const wanted = board.scenes.map((/** @type {SceneCard} */ card) => cellOf(card.id));
  const isReordered = wanted.some(
    (/** @type {PageNode} */ cell, /** @type {number} */ place) => list.children[place] !== cell,
  );
  setChildren(list, wanted);
  for (const card of board.scenes) cellOf(card.id).show(card, board.scenes.length, card.id === selected);
  for (const id of cells.keys()) if (!scene(id)) cells.delete(id);
  if (isReordered && focus?.isConnected && document.activeElement !== focus) focus.focus({ preventScroll: true });
  if (isReordered) glide(before);
  setAttributes(add, { 'data-first': board.scenes.length === 0 });
  announceProgress(board);
}

/** @param {PageNode} node @param {any} gone @param {string} project */
function showVacant(node, gone, project) {
  const words = gone || (project ? 'Opening…' : 'Nothing here yet. A project is one film.');
  if (node.dataset.shown === words) return;
  node.dataset.shown = words;
  const create = h('button.button.primary', { type: 'button', onclick: newProject }, 'New project');
  setChildren(node, [h('p', {}, words), ...(project && !gone ? [] : [create])]);
}

/** @param {string} id */
function cellOf(id) {
  const cell = cells.get(id) ?? sceneCard(id);
  cells.set(id, cell);
  return cell;
}

const calm = matchMedia('(prefers-reduced-motion: reduce)');
const places = () => new Map([...list.children].map((cell) => [cell, cell.getBoundingClientRect()]));

// Cards slide from where they were, so that the eye can follow a move.
/** @param {Map<Element, DOMRect>} before */
function glide(before) {
  if (calm.matches) return;
  for (const [cell, was] of before) {
    if (!cell.isConnected) continue;
    const is = cell.getBoundingClientRect();
    const [x, y] = [was.left - is.left, was.top - is.top];
    if (!x && !y) continue;
    cell.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: 'none' }], {
      duration: 220,
      easing: 'ease-out',
    });
  }
}

let announced = '';

// Each scene's start, quarters and end, not every step.
/** @param {BoardView} board */
function announceProgress(board) {
  const working = board.scenes.find((card) => card.state === 'rendering');
  const quarter = working ? Math.floor(progressShare(working.progress) * 4) * 25 : 0;
  const now = working
    ? `Scene ${working.number}, ${quarter} percent rendered.`
    : board.film.assembling
      ? 'Putting the film together.'
      : '';
  if (now !== announced) announce(now || (announced ? 'Rendering has ended.' : ''));
  announced = now;
}

/** @param {any} event */
function clicked(event) {
  const cell = event.target.closest('.cell');
  if (!cell) return;
  select(cell.dataset.scene);
  cell.card.focus({ preventScroll: true });
  if (event.target.closest('.join')) return openInspector('transition');
  if (narrow.matches) openInspector(null);
}

const narrow = matchMedia('(max-width: 900px)');

/** @param {any} event */
function focused(event) {
  const cell = event.target.closest('.cell');
  if (cell && cell.dataset.scene !== state.selected) select(cell.dataset.scene);
}

/** Goes to a field of the inspector (on a narrow screen it comes up as a sheet). */
/** @param {string | null} field */
function openInspector(field = 'prompt') {
  update({ sheet: true });
  document.getElementById(`field-${field}`)?.focus();
}

function columns() {
  const tops = [...list.children].map((/** @type {any} */ cell) => cell.offsetTop);
  return Math.max(1, tops.filter((top) => top === tops[0]).length);
}

/** @param {any} event */
function pressed(event) {
  const ids = shownBoard().scenes.map((card) => card.id);
  const place = ids.indexOf(state.selected ?? '');
  /** @type {Record<string, number>} */
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() };
  /** @type {Record<string, number>} */
  const ends = { Home: 0, End: ids.length - 1 };
  const to = ends[event.key] ?? (event.key in steps ? place + steps[event.key] : null);
  if (to !== null && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    if (event.altKey) moveBy(ids[place], to - place);
    else focusScene(ids[Math.max(0, Math.min(ids.length - 1, to))]);
  } else if (event.key === 'Enter' || event.key === ' ') {
    event.preventDefault();
    openInspector();
  } else if (event.key === 'Delete' || event.key === 'Backspace') {
    event.preventDefault();
    if (state.selected) remove(state.selected);
  }
}

/** @param {string | null} id */
export function focusScene(id) {
  if (!id) return;
  select(id);
  cells.get(id)?.card.focus();
}

const placeOf = (/** @type {BoardView} */ board, /** @type {string} */ id) =>
  board.scenes.findIndex((card) => card.id === id);

/** Moves a scene some places on, counted from where it is when its turn comes: keys may be faster than the studio. */
export function moveBy(/** @type {string} */ id, /** @type {number} */ count) {
  return moved(id, (board) => placeOf(board, id) + count);
}

/** @param {string} id @param {(board: BoardView) => number} placeIn */
async function moved(id, placeIn) {
  const answer = await change((board) => {
    const position = Math.max(0, Math.min(board.scenes.length - 1, placeIn(board)));
    if (placeOf(board, id) < 0 || position === placeOf(board, id)) return null;
    return { kind: 'move_scene', scene_id: id, position };
  });
  if (answer?.ok) announce(`Moved to place ${placeOf(shownBoard(), id) + 1} of ${shownBoard().scenes.length}.`);
}

/** @param {PageNode} cell @param {number} place */
function dropped(cell, place) {
  moved(cell.dataset.scene ?? '', () => place);
}

/** A new scene at a place (Infinity: at the end): drawn, selected and ready to be typed in, and saved behind.
 *  @param {number} place */
export function addScene(place) {
  if (!state.board || !state.project) return;
  const id = made(state.project, place, {});
  select(id);
  cells.get(id)?.scrollIntoView({ block: 'nearest', behavior: calm.matches ? 'auto' : 'smooth' });
  openInspector();
  announce(`Scene ${scene(id)?.number} added.`);
}

/** @param {string} project @param {number} place @param {NewSceneFields} fields */
function made(project, place, fields) {
  const scenes = boardOf(project)?.scenes ?? [];
  const id = newSceneId();
  const position = Math.min(place, scenes.length);
  make({ kind: 'add_scene', project, scene: id, after: scenes[position - 1]?.id ?? null, place: position, fields });
  return id;
}

// One new scene for each picture or clip that was dropped on the board. It is selected unless the author writes.
/** @param {File[]} files */
async function addPictures(files) {
  const { project } = state;
  if (!project) return;
  for (const file of files) {
    const media = await uploaded(file, project);
    if (!media) continue;
    const id = made(project, Infinity, { conditioning: conditioningOf(media) });
    if (project === state.project && !isWriting(document.activeElement)) focusScene(id);
  }
}

/** @param {string} id */
export async function remove(id) {
  const card = scene(id);
  if (!card) return;
  const text = 'Its takes are kept: undo brings the scene back as it was.';
  if (!(await confirmed(`Delete scene ${card.number}?`, text, 'Delete scene'))) return;
  const place = card.number - 1;
  const deleted = deleteScene(id);
  update({ sheet: false });
  focusScene(shownBoard().scenes[Math.min(place, shownBoard().scenes.length - 1)]?.id ?? null);
  if (!(await deleted)?.ok) return;
  say(`Scene ${card.number} deleted.`, '', { label: 'Undo', act: () => step('undo') });
}

/** `undo` or `redo`, after what is being typed has been saved. @param {'undo' | 'redo'} name */
export function step(name) {
  return act(name).then((answer) => {
    if (answer?.ok) announce(name === 'undo' ? 'Undone.' : 'Done again.');
  });
}

// A field that undoes its own typing, and one that letters are meant for.
const takesLetters = (/** @type {any} */ node) => isWriting(node) || (node?.matches?.('select') ?? false);

/** @param {KeyboardEvent} event */
function pressedAnywhere(event) {
  if (!state.board || event.defaultPrevented || document.querySelector('dialog[open]')) return;
  const command = commandOf(event);
  if (!command) return;
  event.preventDefault();
  command();
}

/** What a key does wherever it is pressed; null where it is a letter of a text. @param {KeyboardEvent} event */
function commandOf({ key: name, target, ctrlKey, metaKey, altKey, shiftKey }) {
  const [key, isControl] = [name.toLowerCase(), ctrlKey || metaKey];
  if (isControl) {
    if (isWriting(target) || altKey) return null;
    if (key === 'z') return () => step(shiftKey ? 'redo' : 'undo');
    return key === 'y' ? () => step('redo') : null;
  }
  if (key === 'escape' && state.sheet) return closeSheet;
  if (takesLetters(target) || altKey) return null;
  if (key === 'n') return () => addScene(selectedScene()?.number ?? Infinity);
  return key === '?' ? showKeys : null;
}

function closeSheet() {
  update({ sheet: false });
  cells.get(state.selected ?? '')?.card.focus();
}
