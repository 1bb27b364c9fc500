// @ts-check
// What this tab knows: which project and scene it looks at, and the newest board of the stream, with what is not saved
// yet. Holds no truth: every board comes from the studio, and a reload starts from the address alone.

import { notifier } from './notifier.js';
import { blankBoard, makesScene, withOperations } from './pending.js';

/** @type {PageState} */
export const state = {
  project: null,
  board: null,
  selected: null,
  departed: null,
  operations: [],
  film: false,
  lost: false,
  sheet: false,
  gone: '',
};
const changes = notifier();
/** The newest board of each project, as the studio has saved it. @type {Map<string, BoardView>} */
const saved = new Map();
/** Each scene's card as it was seen last, by project and id. @type {Map<string, SceneCard>} */
const seen = new Map();

/** Calls `listener(state)` at once and after every change. @param {(state: PageState) => void} listener */
export function subscribe(listener) {
  listener(state);
  return changes.watch(() => listener(state));
}

/** Changes what this tab looks at. @param {Partial<PageState>} values */
export function update(values) {
  Object.assign(state, values);
  changes.notify();
}

/** The board that is shown, for what is only called while there is one. */
export function shownBoard() {
  if (!state.board) throw new Error('No project is open.');
  return state.board;
}

/** @param {string | null} id */
export const scene = (id) => state.board?.scenes.find((card) => card.id === id) ?? null;

/** The scene that the inspector shows; one that was deleted elsewhere stays while it is being typed in. */
export const selectedScene = () =>
  scene(state.selected) ?? (state.departed?.id === state.selected ? state.departed : null);

/** @param {string} sha */
export const mediaAddress = (sha) => new URL(`media/${state.project}/${sha}`, document.baseURI).href;
/** @param {SceneCard} card */
export const previewAddress = (card) => {
  const version = encodeURIComponent(card.preview ?? '');
  return new URL(`preview/${state.project}/${card.job_id}?v=${version}`, document.baseURI).href;
};

/** A project's board as the studio has saved it. @param {string} project */
export const savedBoard = (project) => saved.get(project) ?? null;

/** The same with what is not saved yet. @param {string} project */
export const boardOf = (project) => {
  const board = savedBoard(project);
  return board && withOperations(board, state.operations);
};

/** A scene's card as it was seen last, though it may be gone. @param {string} project @param {string} id */
export const lastSeen = (project, id) => seen.get(`${project} ${id}`) ?? null;

/** Whether a project is made on this page and not saved yet. @param {string | null} project */
export const isBeingMade = (project) =>
  state.operations.some((operation) => operation.kind === 'create_project' && operation.project === project);

/** Whether a scene is there, or will be. @param {string} project @param {string} id */
export const sceneExists = (project, id) =>
  !savedBoard(project) ||
  saved.get(project)?.scenes.some((card) => card.id === id) ||
  state.operations.some(
    (operation) => operation.project === project && operation.scene === id && makesScene(operation),
  );

/** Changes which operations are not saved yet. @param {Operation[]} operations */
export function setOperations(operations) {
  state.operations = operations;
  for (const { kind, project, title } of operations) {
    if (kind === 'create_project' && !saved.has(project)) saved.set(project, blankBoard(project, title, state.board));
  }
  redraw();
}

/** Takes a board as the newest; an older one than is known changes nothing. @param {BoardView} board */
export function take(board) {
  const known = saved.get(board.project_id);
  if (known && board.version < known.version) return;
  saved.set(board.project_id, board);
  for (const card of board.scenes) seen.set(`${board.project_id} ${card.id}`, card);
  if (board.project_id === state.project) redraw();
}

/** Whether a scene that is no longer there stays in the inspector. @type {(id: string) => boolean} */
let keepsDeparted = () => false;

/** Sets the rule for scenes that were deleted elsewhere. @param {(id: string) => boolean} rule */
export function keepDepartedWhile(rule) {
  keepsDeparted = rule;
}

function redraw() {
  const { project, selected } = state;
  const board = project && !state.gone ? boardOf(project) : null;
  if (!board || !project) return changes.notify();
  const here = board.scenes.some((card) => card.id === selected);
  const departed = !here && selected && keepsDeparted(selected) ? departedCard(project, selected) : null;
  update({ board, departed, selected: here || departed ? selected : neighbour(board) });
  remember();
}

/** @param {string} project @param {string} id */
const departedCard = (project, id) => (state.departed?.id === id ? state.departed : lastSeen(project, id));

/** @param {BoardView} board */
function neighbour(board) {
  const before = selectedScene() ? (selectedScene()?.number ?? 1) - 1 : -1;
  const place = Math.max(0, Math.min(before, board.scenes.length - 1));
  return board.scenes[place]?.id ?? null;
}

/**
 * A patch is made for what the stream sent before, which may be older than the board of an answer.
 * @param {BoardView} board @param {BoardPatch} patch @returns {BoardView}
 */
function patched(board, patch) {
  const cards = new Map([...board.scenes, ...patch.scenes].map((card) => [card.id, card]));
  const scenes = patch.order.map((id) => cards.get(id)).filter((card) => card !== undefined);
  return { ...board, ...patch.changed, scenes };
}

/** @type {EventSource | null} */
let stream = null;
let lostTimer = 0;

/**
 * Shows another project: the stream of the old one is closed, the address names the new one.
 * @param {string | null} project @param {string | null} selected
 */
export function open(project, selected = null) {
  stream?.close();
  stream = null;
  clearTimeout(lostTimer);
  const board = project && isBeingMade(project) ? boardOf(project) : null;
  const first = board?.scenes[0]?.id ?? null;
  update({
    project,
    selected: selected ?? first,
    board,
    departed: null,
    lost: false,
    gone: '',
    film: false,
    sheet: false,
  });
  remember();
  if (project && !board) listen(project);
}

/** Follows a project, once it is saved. @param {string} project */
export function listen(project) {
  if (project !== state.project) return;
  stream?.close();
  const source = new EventSource(new URL(`board/${project}/events`, document.baseURI));
  stream = source;
  /** @type {BoardView | null} */
  let last = null;
  /** @param {(content: any) => BoardView} read @returns {(event: MessageEvent) => void} */
  const receive = (read) => (event) => {
    if (source !== stream) return;
    clearTimeout(lostTimer);
    state.lost = false;
    last = read(JSON.parse(event.data));
    take(last);
  };
  source.addEventListener(
    'board',
    receive((board) => board),
  );
  source.addEventListener(
    'patch',
    receive((patch) => (last ? patched(last, patch) : patch)),
  );
  source.addEventListener('gone', (event) => leave(source, JSON.parse(event.data).problem));
  source.onerror = () => lost(source, project);
}

/** @param {EventSource} source @param {string} problem */
function leave(source, problem) {
  source.close();
  if (source === stream) update({ board: null, gone: problem });
}

/**
 * A short gap is not shown: EventSource asks again by itself, unless the answer was an error.
 * @param {EventSource} source @param {string} project
 */
function lost(source, project) {
  if (source !== stream) return;
  clearTimeout(lostTimer);
  lostTimer = setTimeout(() => {
    update({ lost: true });
    if (source.readyState === EventSource.CLOSED && source === stream) listen(project);
  }, 2500);
}

function remember() {
  const address = new URL(location.href);
  for (const [key, value] of Object.entries({ project: state.project, scene: state.selected })) {
    if (value) address.searchParams.set(key, value);
    else address.searchParams.delete(key);
  }
  if (address.href !== location.href) history.replaceState(null, '', address);
}

/** Selects a scene; `film` instead shows what all scenes share. @param {string | null} id */
export function select(id) {
  update({ selected: id, film: false });
  remember();
}

/** Shows another scene in place of one that was deleted elsewhere. @param {string} id */
export function leaveDeparted(id) {
  if (state.selected !== id || !state.board) return;
  update({ selected: neighbour(state.board), departed: null });
  remember();
}

/** Opens what the address names, or else the newest project. Called once. @param {ProjectSummary[]} projects */
export function start(projects) {
  const asked = new URL(location.href).searchParams;
  const named = asked.get('project');
  const known = projects.some((project) => project.id === named) || isBeingMade(named);
  open(known ? named : (projects[0]?.id ?? null), asked.get('scene') || null);
}

// A browser keeps few connections to one place: a tab that nobody looks at gives its own back after a while.
const HIDDEN_MS = { idle: 20_000, busy: 300_000 };
let hiding = 0;

function looked() {
  clearTimeout(hiding);
  const asleep = stream && stream.readyState === EventSource.CLOSED && !state.gone;
  if (document.visibilityState === 'visible') {
    if (asleep && state.project) listen(state.project);
    return;
  }
  hiding = setTimeout(() => stream?.close(), state.board?.render.busy ? HIDDEN_MS.busy : HIDDEN_MS.idle);
}

document.addEventListener('visibilitychange', looked);
window.addEventListener('online', looked);
