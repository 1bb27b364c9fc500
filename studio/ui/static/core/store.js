// What this tab knows: which project and scene it looks at, and the newest board of the stream.
// Holds no truth: every board comes from the studio, and a reload starts from the address alone.

const listeners = new Set();
export const state = { project: null, board: null, selected: null, film: false, lost: false, sheet: false, gone: '' };

/** Calls `listener(state)` at once and after every change. */
export function subscribe(listener) {
  listeners.add(listener);
  listener(state);
  return () => listeners.delete(listener);
}

function tell() {
  for (const listener of listeners) listener(state);
}

/** Changes what this tab looks at. */
export function update(changes) {
  Object.assign(state, changes);
  tell();
}

export const scene = (id) => state.board?.scenes.find((card) => card.id === id) ?? null;
export const selectedScene = () => scene(state.selected);
export const mediaAddress = (sha) => new URL(`media/${state.project}/${sha}`, document.baseURI).href;
export const previewAddress = (card) =>
  new URL(`preview/${state.project}/${card.job_id}?v=${encodeURIComponent(card.preview)}`, document.baseURI).href;

/** Takes a board as the newest; an older one than is known changes nothing. */
export function take(board) {
  if (board.project_id !== state.project) return;
  if (state.board && board.version < state.board.version) return;
  const still = board.scenes.some((card) => card.id === state.selected);
  update({ board, selected: still ? state.selected : neighbour(board) });
  remember();
}

function neighbour(board) {
  const before = state.board?.scenes.findIndex((card) => card.id === state.selected) ?? -1;
  const place = Math.max(0, Math.min(before, board.scenes.length - 1));
  return board.scenes[place]?.id ?? null;
}

// A patch is made for what the stream told before, which may be older than the board of an answer.
function patched(told, patch) {
  const cards = new Map([...told.scenes, ...patch.scenes].map((card) => [card.id, card]));
  return { ...told, ...patch.changed, scenes: patch.order.map((id) => cards.get(id)) };
}

let stream = null;
let patience = null;

/** Shows another project: the stream of the old one is closed, the address says the new one. */
export function open(project, selected = null) {
  stream?.close();
  clearTimeout(patience);
  update({ project, selected, board: null, lost: false, gone: '', film: false, sheet: false });
  remember();
  if (project) listen(project);
}

function listen(project) {
  stream = new EventSource(new URL(`board/${project}/events`, document.baseURI));
  const mine = stream;
  let told = null;
  const receive = (read) => (event) => {
    if (mine !== stream) return;
    clearTimeout(patience);
    state.lost = false;
    told = read(JSON.parse(event.data));
    take(told);
  };
  mine.addEventListener('board', receive((board) => board));
  mine.addEventListener('patch', receive((patch) => patched(told, patch)));
  mine.addEventListener('gone', (event) => leave(mine, JSON.parse(event.data).problem));
  mine.onerror = () => lost(mine, project);
}

function leave(mine, problem) {
  mine.close();
  if (mine === stream) update({ board: null, gone: problem });
}

// A short gap is not worth a word: EventSource asks again by itself, unless the answer was an error.
function lost(mine, project) {
  if (mine !== stream) return;
  clearTimeout(patience);
  patience = setTimeout(() => {
    update({ lost: true });
    if (mine.readyState === EventSource.CLOSED && mine === stream) listen(project);
  }, 2500);
}

function remember() {
  const address = new URL(location.href);
  for (const [key, value] of [['project', state.project], ['scene', state.selected]]) {
    if (value) address.searchParams.set(key, value);
    else address.searchParams.delete(key);
  }
  if (address.href !== location.href) history.replaceState(null, '', address);
}

/** Selects a scene; `film` instead shows what all scenes share. */
export function select(id) {
  update({ selected: id, film: false });
  remember();
}

/** Calls a function of the studio. Raises Error where it does not answer; its refusals come back as values. */
export async function ask(server, name, wish) {
  const late = new Promise((resolve) => setTimeout(resolve, 30000));
  const answer = await Promise.race([server[name]({ project: state.project ?? '', ...wish }), late]);
  if (answer === undefined || answer === null) throw new Error('The studio does not answer.');
  if (answer.board) take(answer.board);
  return answer;
}

/** Opens what the address names, or else the newest project. Called once, by the projects panel. */
export function start(projects) {
  const asked = new URL(location.href).searchParams;
  const known = projects.some((project) => project.id === asked.get('project'));
  open(known ? asked.get('project') : (projects[0]?.id ?? null), asked.get('scene'));
}

// A browser keeps few connections to one place: a tab that nobody looks at gives its own back after a while.
const HIDDEN_MS = { idle: 20_000, busy: 300_000 };
let hiding = null;

function looked() {
  clearTimeout(hiding);
  const asleep = stream && stream.readyState === EventSource.CLOSED && !state.gone;
  if (document.visibilityState === 'visible') return asleep && listen(state.project);
  hiding = setTimeout(() => stream?.close(), state.board?.render.busy ? HIDDEN_MS.busy : HIDDEN_MS.idle);
}

document.addEventListener('visibilitychange', looked);
window.addEventListener('online', looked);
