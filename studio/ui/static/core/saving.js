// Saves every edit as it is made, one after the other, each with the revision it was made on.
// Text that could not be saved stays in the page (and in this tab's session storage) until it could.

import { ask, scene, state, subscribe } from './store.js';
import { announce, banner, say } from './notices.js';

const PAUSE_MS = 350;
const drafts = new Map(); // 'scene-1 prompt' -> {scene, field, value, revision, problem, conflict, timer}
const watchers = new Set();
let server = null;
let line = Promise.resolve();
let waiting = 0;
let shelved = [];

/** The panel whose functions save; the first one mounted serves all. */
export function saveWith(given) {
  server ??= given;
}

export const keyOf = (sceneId, field) => `${state.project} ${sceneId ?? ''} ${field}`;
export const draftOf = (sceneId, field) => drafts.get(keyOf(sceneId, field)) ?? null;

/** Calls `watcher()` whenever drafts or the state of saving change. */
export function watchSaving(watcher) {
  watchers.add(watcher);
}

function tell() {
  keepUnsaved();
  for (const watcher of watchers) watcher();
}

/** `saved`, `saving` or `failed`, for the bar. */
export function savingState() {
  const kept = [...drafts.values()];
  if (kept.some((draft) => draft.conflict)) return 'conflict';
  if (kept.some((draft) => draft.problem)) return 'failed';
  return kept.length || waiting ? 'saving' : 'saved';
}

/** The author typed: keeps the text, and saves it after a short pause. `sceneId` null: a field of the film. */
export function typed(sceneId, field, value, pause = PAUSE_MS) {
  const key = keyOf(sceneId, field);
  const draft = drafts.get(key) ?? { project: state.project, scene: sceneId, field, revision: state.board.revision };
  Object.assign(draft, { value, problem: '' });
  drafts.set(key, draft);
  clearTimeout(draft.timer);
  if (!draft.conflict) draft.timer = setTimeout(() => save(key), pause);
  tell();
}

/** Saves what is typed and not yet saved, now. */
export function flush() {
  for (const [key, draft] of drafts) {
    if (draft.conflict) continue;
    clearTimeout(draft.timer);
    save(key);
  }
  return line;
}

function inLine(work) {
  waiting += 1;
  tell();
  line = line
    .then(work)
    .catch((error) => say(error.message, 'bad'))
    .finally(() => {
      waiting -= 1;
      tell();
    });
  return line;
}

function save(key) {
  return inLine(async () => {
    const draft = drafts.get(key);
    if (!draft || draft.conflict) return;
    const [sent, basis] = [draft.value, draft.revision];
    try {
      settle(key, draft, sent, basis, await ask(server, 'edit', { project: draft.project, revision: draft.revision, edit: editOf(draft) }));
    } catch (error) {
      failed(key, draft, `Not saved: ${error.message} Your text stays here and is tried again.`);
    }
  });
}

function editOf(draft) {
  const { scene: id, field, value } = draft;
  if (id === null) return { kind: 'change_storyboard', field, value };
  return { kind: 'change_scene', scene_id: id, field, value };
}

function settle(key, draft, sent, basis, answer) {
  banner('saving', '');
  if (answer.conflict) return conflicted(key, draft, answer);
  if (!answer.ok) {
    draft.problem = answer.problem;
    return;
  }
  Object.assign(draft, { problem: '', tries: 0 });
  draft.revision = answer.revision;
  carry(draft, basis, answer.revision);
  if (draft.value === sent) drafts.delete(key);
  else draft.timer = setTimeout(() => save(key), PAUSE_MS);
}

const groupOf = (draft) => `${draft.project} ${draft.scene} ${draft.field.split('.')[0]}`;

// Fields of one group (both strengths of a clip) are one field to the studio: what this tab saved of it is no change
// made elsewhere to what else of it this tab still has to save.
function carry(saved, basis, revision) {
  for (const other of drafts.values()) {
    if (groupOf(other) === groupOf(saved) && other.revision >= basis) other.revision = Math.max(other.revision, revision);
  }
}

function conflicted(key, draft, answer) {
  if (isOrphan(draft)) return orphaned(key, draft);
  draft.conflict = { theirs: answer.conflict.theirs, revision: answer.conflict.revision, problem: answer.problem };
  const seen = draft.scene === null ? state.film : draft.scene === state.selected;
  (seen ? announce : say)('A field was changed elsewhere while you typed; both texts are shown beside it.');
}

const isOrphan = (draft) => draft.scene !== null && draft.project === state.project && state.board && !scene(draft.scene);

// The scene was deleted elsewhere while it was typed in: the words stay on the page until they are taken.
function orphaned(key, draft) {
  drafts.delete(key);
  const close = () => {
    navigator.clipboard?.writeText(String(draft.value)).catch(() => say('The text could not be copied.', 'bad'));
    banner(key, '');
  };
  banner(key, `The scene was deleted elsewhere while you typed. Your text: “${draft.value}”`, { label: 'Copy and close', act: close });
}

function failed(key, draft, problem) {
  draft.problem = problem;
  draft.tries = state.lost ? 0 : (draft.tries ?? 0) + 1;
  if (draft.tries < 4) banner('saving', problem, { label: 'Try now', act: flush });
  else banner('saving', 'Not saved: the studio was started anew. Reload this page; your text is kept and saved then.', { label: 'Reload', act: reload });
  clearTimeout(draft.timer);
  draft.timer = setTimeout(() => save(key), 4000);
}

function reload() {
  removeEventListener('beforeunload', askBefore);
  location.reload();
}

/** The author decided: `mine` is written over theirs, or theirs is taken. */
export function decide(sceneId, field, mine) {
  const key = keyOf(sceneId, field);
  const draft = drafts.get(key);
  if (!draft?.conflict) return;
  draft.revision = draft.conflict.revision ?? state.board.revision;
  draft.conflict = null;
  if (mine) save(key);
  else drafts.delete(key);
  tell();
}

/** An edit of the structure, made on the newest revision after all text has been saved. Resolves with the answer.
 *  `wanted`: the edit, or a function that makes it of the board as it is then (or nothing). */
export function change(wanted, failure = 'This could not be done') {
  flush();
  let answer = null;
  return inLine(async () => {
    const edit = typeof wanted === 'function' ? wanted(state.board) : wanted;
    if (!edit) return;
    try {
      answer = await ask(server, 'edit', { revision: state.board.revision, edit });
      if (!answer.ok) say(answer.conflict ? `Changed elsewhere meanwhile; nothing was done. ${answer.problem}` : answer.problem, 'bad');
    } catch (error) {
      say(`${failure}: ${error.message}`, 'bad');
    }
  }).then(() => answer);
}

/** Runs anything that must come after all edits so far: undo, render. */
export function afterSaving(work) {
  flush();
  return inLine(work);
}

const SHELF = 'storyboard unsaved';

function keepUnsaved() {
  const plain = ({ project, scene: id, field, value, revision }) => ({ project, scene: id, field, value, revision });
  const kept = [...shelved, ...[...drafts.values()].map(plain)];
  try {
    if (kept.length) sessionStorage.setItem(SHELF, JSON.stringify(kept));
    else sessionStorage.removeItem(SHELF);
  } catch (error) {
    console.warn('unsaved text cannot be kept over a reload', error);
  }
}

subscribe(() => {
  for (const [key, draft] of drafts) if (draft.conflict && isOrphan(draft)) orphaned(key, draft);
});

function unshelved() {
  try {
    return JSON.parse(sessionStorage.getItem(SHELF) ?? '[]');
  } catch (error) {
    console.warn('text kept over a reload cannot be read', error);
    return [];
  }
}

// What a reload interrupted is saved on the revision it was typed on: a change made meanwhile becomes a conflict.
shelved = unshelved();
subscribe(({ board, project }) => {
  if (!board || !server || !shelved.length) return;
  const mine = shelved.filter((kept) => kept.project === project);
  shelved = shelved.filter((kept) => kept.project !== project);
  for (const kept of mine) {
    if (kept.scene !== null && !scene(kept.scene)) continue;
    drafts.set(keyOf(kept.scene, kept.field), { ...kept, problem: '' });
    save(keyOf(kept.scene, kept.field));
  }
});

function askBefore(event) {
  if (savingState() === 'failed' || savingState() === 'conflict') event.preventDefault();
}

addEventListener('beforeunload', askBefore);
addEventListener('pagehide', () => keepUnsaved());
