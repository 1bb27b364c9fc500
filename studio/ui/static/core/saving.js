// @ts-check
// Saves every edit as it is made, one after the other, each for the project and scene it was made in and with the
// revision it was made on. What could not be saved stays in the page and is tried again. Draws nothing.

import { ask } from './actions.js';
import { messageOf } from './dom.js';
import { answered, changes, endOfLine, failed, inLine, isWorking, onReachable, stopRetrying } from './line.js';
import { announce, say } from './notices.js';
import { addedFields, makesScene, placeAfter, wasSaved } from './pending.js';
import { advance, carry } from './revisions.js';
import { boardOf, listen, savedBoard, sceneExists, setOperations, state } from './store.js';

const PAUSE_MS = 350;
const RECHECK_MS = 700;
const MAX_RECHECKS = 8;
/** @type {Map<string, Draft>} */
const drafts = new Map();
let count = 0;

/** Calls `watcher()` whenever drafts or the state of saving change. @param {() => void} watcher */
export const watchSaving = (watcher) => changes.watch(watcher);
export const allDrafts = () => [...drafts.values()];

/** @param {string} project @param {string | null} sceneId @param {string} field */
const keyOf = (project, sceneId, field) => `${project} ${sceneId ?? ''} ${field}`;

/** What is typed into a field of the project that is shown, and not saved yet.
 *  @param {string | null} sceneId @param {string} field */
export const draftOf = (sceneId, field) => drafts.get(keyOf(state.project ?? '', sceneId, field)) ?? null;

/** Whether anything at all is not saved yet. */
export const isUnsaved = () => drafts.size > 0 || state.operations.length > 0;

/** `saved`, `saving`, `failed` or `conflict`, for the bar. */
export function savingState() {
  const unsaved = allDrafts();
  if (unsaved.some((draft) => draft.conflict)) return 'conflict';
  if (unsaved.some((draft) => draft.problem || draft.departed)) return 'failed';
  if (state.operations.some((operation) => operation.problem)) return 'failed';
  return isUnsaved() || isWorking() ? 'saving' : 'saved';
}

// ---- what is typed

/**
 * The author typed: keeps the value, and saves it after a short pause. `sceneId` null: a field of the film.
 * @param {string | null} sceneId @param {string} field @param {unknown} value
 * @param {number} [pause] @param {string | null} [project]
 */
export function typed(sceneId, field, value, pause = PAUSE_MS, project = state.project) {
  if (project === null) return;
  const draft = drafted(project, sceneId, field);
  Object.assign(draft, { value, problem: '', invalid: false });
  saveLater(draft, pause);
  changes.notify();
}

/**
 * The author typed what cannot be a value: it stays in its field, and is not sent.
 * @param {string | null} sceneId @param {string} field @param {string} text @param {string} problem
 */
export function typedInvalid(sceneId, field, text, problem) {
  if (state.project === null) return;
  const draft = drafted(state.project, sceneId, field);
  clearTimeout(draft.timer);
  Object.assign(draft, { value: text, problem, invalid: true });
  changes.notify();
}

/** @param {string} project @param {string | null} sceneId @param {string} field @returns {Draft} */
function drafted(project, sceneId, field) {
  const key = keyOf(project, sceneId, field);
  const revision = savedBoard(project)?.revision ?? 1;
  const draft = drafts.get(key) ?? {
    sequence: (count += 1),
    project,
    scene: sceneId,
    field,
    value: null,
    revision,
    problem: '',
    invalid: false,
    conflict: null,
    departed: false,
    unanswered: undefined,
    timer: 0,
  };
  drafts.set(key, draft);
  return draft;
}

/** @param {Draft} draft @param {number} pause */
function saveLater(draft, pause) {
  clearTimeout(draft.timer);
  if (isSendable(draft)) draft.timer = setTimeout(() => save(draft), pause);
}

/** @param {Draft} draft */
const keyOfDraft = ({ project, scene, field }) => keyOf(project, scene, field);

/** @param {Draft} draft */
function forget(draft) {
  clearTimeout(draft.timer);
  if (drafts.get(keyOfDraft(draft)) === draft) drafts.delete(keyOfDraft(draft));
}

/** Whether a draft may be sent: not before its project and its scene are saved. @param {Draft} draft */
function isSendable(draft) {
  return !draft.conflict && !draft.invalid && !draft.departed && !state.operations.some((made) => makes(made, draft));
}

/** @param {Operation} operation @param {{ project: string, scene: string | null }} item */
function makes(operation, { project, scene }) {
  if (operation.project !== project) return false;
  return operation.kind === 'create_project' || (makesScene(operation) && operation.scene === scene);
}

/** Saves what is not saved yet, in the order in which it was made, now. */
export function flush() {
  stopRetrying();
  /** @type {(Draft | Operation)[]} */
  const unsaved = [...drafts.values(), ...state.operations];
  for (const item of unsaved.sort((one, other) => one.sequence - other.sequence)) {
    if (!('kind' in item)) save(item);
    else if (item.kind !== 'delete_scene') sendOperation(item);
  }
  return endOfLine();
}

/** @param {Draft} draft */
function save(draft) {
  clearTimeout(draft.timer);
  if (!isSendable(draft)) return;
  inLine(async () => {
    if (drafts.get(keyOfDraft(draft)) !== draft || !isSendable(draft)) return;
    const { project, value, revision } = draft;
    try {
      settle(draft, value, revision, await ask('edit', { project, revision, edit: editOf(draft) }));
      answered();
    } catch (error) {
      draft.unanswered = value;
      draft.problem = failed(error);
    }
  });
}

/** @param {Draft} draft */
function editOf({ scene, field, value }) {
  if (scene === null) return { kind: 'change_storyboard', field, value };
  return { kind: 'change_scene', scene_id: scene, field, value };
}

/** @param {Draft} draft @param {unknown} sent @param {number} basis @param {Answer} answer */
function settle(draft, sent, basis, answer) {
  if (answer.conflict) return conflicted(draft, answer);
  if (!answer.ok) {
    if (draft.value === sent) draft.problem = answer.problem;
    return;
  }
  const revision = answer.revision ?? basis;
  Object.assign(draft, { problem: '', unanswered: undefined, revision });
  carry(drafts.values(), draft, basis, revision);
  if (draft.value === sent) forget(draft);
  else saveLater(draft, PAUSE_MS);
}

/** @param {Draft} draft @param {Answer} answer */
function conflicted(draft, answer) {
  const conflict = { theirs: '', revision: 0, ...answer.conflict, problem: answer.problem };
  if (draft.scene !== null && !sceneExists(draft.project, draft.scene)) return void (draft.departed = true);
  // It was sent of the scene that is gone; once the scene is back, it is sent again.
  if (state.operations.some((made) => makes(made, draft))) return;
  if (wasSaved(draft.unanswered, conflict.theirs)) {
    Object.assign(draft, { revision: conflict.revision, unanswered: undefined });
    return save(draft);
  }
  draft.conflict = conflict;
  const shown = draft.scene === null ? state.film : draft.scene === state.selected;
  (shown ? announce : say)('A field was changed elsewhere while you typed; both texts are shown beside it.');
}

/** The author decided: `mine` is written over theirs, or theirs is taken.
 *  @param {string | null} sceneId @param {string} field @param {boolean} mine */
export function decide(sceneId, field, mine) {
  const draft = draftOf(sceneId, field);
  if (!draft?.conflict) return;
  draft.revision = draft.conflict.revision || (savedBoard(draft.project)?.revision ?? draft.revision);
  draft.conflict = null;
  if (mine) save(draft);
  else forget(draft);
  changes.notify();
}

/** Drops what is typed into a scene and not saved. @param {string} project @param {string} sceneId */
export function dropDrafts(project, sceneId) {
  for (const draft of allDrafts()) if (draft.project === project && draft.scene === sceneId) forget(draft);
  changes.notify();
}

// ---- new scenes and projects, drawn before they are saved

/** @param {Partial<Operation> & { kind: Operation['kind'], project: string }} values @returns {Operation} */
function operationOf(values) {
  const revision = savedBoard(values.project)?.revision ?? 1;
  return {
    sequence: (count += 1),
    scene: null,
    source: null,
    after: null,
    place: 0,
    fields: {},
    title: '',
    problem: '',
    num_checks: 0,
    revision,
    ...values,
  };
}

/**
 * Makes a scene or a project that the page shows at once; it is saved behind, and tried until it is.
 * @param {Partial<Operation> & { kind: Operation['kind'], project: string }} values
 */
export function make(values) {
  flush();
  const operation = operationOf(values);
  setOperations([...state.operations, operation]);
  sendOperation(operation);
  changes.notify();
}

/** Brings a scene back as a card was, with what is typed into it. @param {SceneCard} card @param {string} project */
export function makeAgain(card, project) {
  const place = card.number - 1;
  const after = boardOf(project)?.scenes[place - 1]?.id ?? null;
  make({ kind: 'add_scene', project, scene: card.id, after, place, fields: addedFields(card) });
}

/** @param {Operation} operation */
function sendOperation(operation) {
  inLine(async () => {
    if (!state.operations.includes(operation) || mustWait(operation)) return;
    if (isSaved(operation)) return finished(operation, savedBoard(operation.project)?.revision ?? 1);
    try {
      await settleOperation(operation, await ask(...requestOf(operation)));
      answered();
    } catch (error) {
      operation.problem = failed(error);
    }
  });
}

/** Whether an operation comes after others that are not saved yet. @param {Operation} operation */
function mustWait(operation) {
  const { project, source, sequence } = operation;
  const earlier = state.operations.filter((other) => other.sequence < sequence);
  if (earlier.some((other) => makes(other, operation) || makes(other, { project, scene: source }))) return true;
  return source !== null && allDrafts().some((draft) => draft.scene === source && draft.unanswered !== undefined);
}

/** Whether the studio has it already: its answer may have been lost. @param {Operation} operation */
function isSaved({ kind, project, scene }) {
  const board = savedBoard(project);
  return kind !== 'create_project' && Boolean(board?.scenes.some((card) => card.id === scene));
}

/** @param {Operation} operation @returns {[string, Record<string, unknown>]} */
function requestOf(operation) {
  const { kind, project, scene, source, after, fields, title } = operation;
  if (kind === 'create_project') return ['create', { project: '', id: project, title }];
  const board = savedBoard(project);
  const revision = board?.revision ?? operation.revision;
  if (kind === 'duplicate_scene')
    return ['edit', { project, revision, edit: { kind, scene_id: source, new_id: scene } }];
  const position = board ? placeAfter(board.scenes, operation) : operation.place;
  return ['edit', { project, revision, edit: { kind, scene_id: scene, after, position, ...fields } }];
}

/** @param {Operation} operation @param {Answer} answer */
async function settleOperation(operation, answer) {
  if (answer.ok) return finished(operation, answer.revision ?? 1);
  if (operation.kind === 'create_project') {
    const { projects = [] } = await ask('projects');
    if (projects.some((project) => project.id === operation.project)) return finished(operation, 1);
  } else if (answer.conflict && operation.num_checks < MAX_RECHECKS) {
    // The scene may be there since an attempt whose answer was lost: the stream will tell.
    operation.num_checks += 1;
    setTimeout(() => sendOperation(operation), RECHECK_MS);
    return;
  }
  say(answer.problem, 'bad');
  setOperations(state.operations.filter((other) => other !== operation));
}

/** @param {Operation} operation @param {number} revision */
function finished(operation, revision) {
  for (const draft of allDrafts()) {
    if (makes(operation, draft)) draft.revision = Math.max(draft.revision, revision);
  }
  setOperations(state.operations.filter((other) => other !== operation));
  if (operation.kind === 'create_project') listen(operation.project);
  flush();
}

/** Deletes a scene after what is typed into it has been saved; the page shows it at once. @param {string} sceneId */
export async function deleteScene(sceneId) {
  const { project } = state;
  if (project === null) return null;
  flush();
  const operation = operationOf({ kind: 'delete_scene', project, scene: sceneId });
  const answer = edit(project, () => ({ kind: 'delete_scene', scene_id: sceneId }), 'It could not be deleted');
  state.operations.push(operation);
  setOperations(state.operations);
  const result = await answer;
  if (result?.ok) dropDrafts(project, sceneId);
  setOperations(state.operations.filter((other) => other !== operation));
  return result;
}

// ---- everything else, after what is typed has been saved

/**
 * An edit of the structure, made on the newest revision after all text has been saved. Resolves with the answer.
 * @param {Record<string, unknown> | ((board: BoardView) => Record<string, unknown> | null)} wanted the edit, or a
 *   function that makes it of the board as it is when its turn comes (or nothing)
 */
export function change(wanted) {
  const { project } = state;
  flush();
  if (project === null) return Promise.resolve(null);
  return edit(project, typeof wanted === 'function' ? wanted : () => wanted, 'This could not be done');
}

/**
 * @param {string} project @param {(board: BoardView) => Record<string, unknown> | null} wanted @param {string} failure
 */
function edit(project, wanted, failure) {
  return inLine(async () => {
    const board = boardOf(project);
    const made = board && wanted(board);
    if (!board || !made) return null;
    try {
      const answer = await ask('edit', { project, revision: board.revision, edit: made });
      const prefix = answer.conflict ? 'Changed elsewhere meanwhile; nothing was done. ' : '';
      if (!answer.ok) say(prefix + answer.problem, 'bad');
      return answer;
    } catch (error) {
      say(`${failure}: ${messageOf(error)}`, 'bad');
      return null;
    }
  });
}

/**
 * Calls a function of the studio for the project that is shown now, after all edits so far; says what is wrong.
 * @param {string} name @param {Record<string, unknown>} [values]
 */
export function act(name, values = {}) {
  const project = state.project ?? '';
  const sequence = (count += 1);
  flush();
  return inLine(async () => {
    const basis = savedBoard(project)?.revision ?? 0;
    const answer = await ask(name, { project, ...values });
    if (!answer.ok) say(answer.problem, 'bad');
    else advance(drafts.values(), { project, sequence }, basis, answer.board?.revision ?? basis);
    return answer;
  });
}

// ---- over a reload

/** What is not saved, as JSON values. */
export const unsaved = () => ({
  drafts: allDrafts().map(({ project, scene, field, value, revision }) => ({ project, scene, field, value, revision })),
  operations: state.operations.filter((operation) => operation.kind !== 'delete_scene'),
});

/** Saves what a reload interrupted, on the revision it was made on. @param {Unsaved} kept */
export function restore(kept) {
  const made = kept.operations.map((operation) => operationOf(operation));
  setOperations([...state.operations, ...made.map((operation) => ({ ...operation, sequence: (count += 1) }))]);
  for (const { project, scene, field, value, revision } of kept.drafts) {
    Object.assign(drafted(project, scene, field), { value, revision });
  }
  flush();
}

onReachable(flush, isUnsaved);
