// @ts-check
// Unsaved text outlives a reload in this tab's session storage, and is shown in a banner where its scene was deleted
// elsewhere. Does not know fields.

import { connect } from './actions.js';
import { banner, say } from './notices.js';
import { blankScene, laterFields } from './pending.js';
import { allDrafts, dropDrafts, flush, makeAgain, restore, typed, unsaved, watchSaving } from './saving.js';
import { keepDepartedWhile, lastSeen, leaveDeparted, sceneExists, select, state, subscribe } from './store.js';

const STORED = 'storyboard unsaved';
let isRestored = false;

/** A panel's functions; with the first ones, what a reload interrupted is saved. @param {StudioFunctions} server */
export function connectPanel(server) {
  connect(server);
  if (isRestored || !('edit' in server)) return;
  isRestored = true;
  restore(stored());
  watchSaving(store);
}

function store() {
  const now = unsaved();
  try {
    if (now.drafts.length || now.operations.length) sessionStorage.setItem(STORED, JSON.stringify(now));
    else sessionStorage.removeItem(STORED);
  } catch (error) {
    console.warn('unsaved text cannot be kept over a reload', error);
  }
}

/** @returns {Unsaved} */
function stored() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(STORED) ?? '{}');
    return { drafts: kept.drafts ?? [], operations: kept.operations ?? [] };
  } catch (error) {
    console.warn('text kept over a reload cannot be read', error);
    return { drafts: [], operations: [] };
  }
}

// ---- scenes that were deleted elsewhere

/** @type {Set<string>} */
let bannered = new Set();

/** Marks drafts whose scene is gone, and shows their words. */
function showDeparted() {
  /** @type {Map<string, Draft[]>} */
  const scenes = new Map();
  let isBack = false;
  for (const draft of allDrafts()) {
    const wasGone = draft.departed;
    draft.departed = draft.scene !== null && draft.project === state.project && isGone(draft.project, draft.scene);
    isBack ||= wasGone && !draft.departed;
    if (!draft.departed) continue;
    draft.conflict = null; // the studio may have refused it before this page knew that the scene is gone
    const key = `departed ${draft.project} ${draft.scene}`;
    scenes.set(key, [...(scenes.get(key) ?? []), draft]);
  }
  for (const key of bannered) if (!scenes.has(key)) banner(key, '');
  for (const [key, drafts] of scenes) showBanner(key, drafts);
  bannered = new Set(scenes.keys());
  if (isBack) flush();
}

/** @param {string} project @param {string} id */
function isGone(project, id) {
  const isOwnDeletion = state.operations.some(({ kind, scene }) => kind === 'delete_scene' && scene === id);
  return !isOwnDeletion && !sceneExists(project, id);
}

/** @param {string} key @param {Draft[]} drafts */
function showBanner(key, drafts) {
  const text = drafts
    .map((draft) => (typeof draft.value === 'string' ? draft.value : JSON.stringify(draft.value)))
    .join(' · ');
  banner(key, `The scene was deleted elsewhere while you typed. Your text: “${text}”`, [
    { label: 'Put the scene back', act: () => putBack(drafts[0]) },
    { label: 'Copy and close', act: () => copyAndClose(drafts[0], text) },
  ]);
}

/** @param {Draft} draft */
function putBack({ project, scene }) {
  if (scene === null) return;
  const card = lastSeen(project, scene) ?? { ...blankScene(scene), number: 1 };
  const written = new Set(
    allDrafts()
      .filter((draft) => draft.project === project && draft.scene === scene)
      .map(({ field }) => field),
  );
  makeAgain(card, project);
  for (const [field, value] of laterFields(card)) if (!written.has(field)) typed(scene, field, value, 0, project);
  select(scene);
}

/** @param {Draft} draft @param {string} text */
function copyAndClose({ project, scene }, text) {
  navigator.clipboard?.writeText(text).catch(() => say('The text could not be copied.', 'bad'));
  if (scene === null) return;
  dropDrafts(project, scene);
  leaveDeparted(scene);
}

/** Whether the author is typing into the inspector's form of a scene. */
const isTyping = () => Boolean(document.activeElement?.matches('.scene-form :is(textarea, input)'));

keepDepartedWhile(
  (id) => isTyping() || allDrafts().some((draft) => draft.project === state.project && draft.scene === id),
);
subscribe(showDeparted);
watchSaving(showDeparted);
