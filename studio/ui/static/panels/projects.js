// @ts-check
// The projects: a slim list on the left, opened by a click. Each tab chooses its own project.

import { h, iconButton, isWriting, messageOf, setAttributes, setChildren, setText } from '../core/dom.js';
import { confirmed, say } from '../core/notices.js';
import { flush, make } from '../core/saving.js';
import { ask, connect } from '../core/actions.js';
import { newProjectId } from '../core/pending.js';
import { dropping } from '../fields/start_frames.js';
import { isBeingMade, open, start, state, subscribe } from '../core/store.js';

const FOLDED = 'storyboard projects folded';
const IMPORT = 'Open storyboards: our own, batch files of Cosmos, prompts of TTT-Video';
/** @type {ProjectSummary[]} */
let known = [];

/** @param {PageNode} element @param {any} server */
export function mount(element, server) {
  connect(server);
  const list = h('ul.project-list');
  const node = h('nav.projects', { 'aria-label': 'Projects' }, heading(), list);
  element.replaceChildren(node);
  dropping(node, bring);
  fold(narrow.matches || localStorage.getItem(FOLDED) === 'yes');
  subscribe(() => show(list));
  refresh().then(() => start(known));
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && refresh());
  let seen = '';
  subscribe(({ board }) => {
    const now = board ? `${board.project_id} ${board.title} ${board.scenes.length}` : '';
    if (now && now !== seen && seen) refresh();
    seen = now || seen;
  });
  narrow.addEventListener('change', () => fold(narrow.matches));
  document.addEventListener('pointerdown', (/** @type {any} */ event) => {
    const away = !node.contains(event.target) && !event.target.closest('dialog, .notes, .projects-toggle');
    if (narrow.matches && away) fold(true);
  });
  async function refresh() {
    await call('projects', {});
    show(list);
  }
}

const narrow = matchMedia('(max-width: 900px)');

/** @param {any} folded */
function fold(folded) {
  document.body.classList.toggle('projects-folded', folded);
}

/** Shows or hides the list; a wide screen remembers. */
export function toggleProjects() {
  const folded = !document.body.classList.contains('projects-folded');
  fold(folded);
  if (!narrow.matches) localStorage.setItem(FOLDED, folded ? 'yes' : 'no');
}

function heading() {
  const input = h('input.sr-only', {
    type: 'file',
    accept: '.yaml,.yml,.json,.jsonl',
    multiple: true,
    id: 'import-file',
    'aria-label': IMPORT,
    tabindex: -1,
  });
  input.addEventListener('change', () => bring([...input.files]).then(() => (input.value = '')));
  const upload = iconButton('upload', IMPORT, () => input.click());
  const close = iconButton('close', 'Close', () => fold(true), '.drawer-close');
  const add = iconButton('plus', 'New project', newProject, '.new-project');
  return h('header', {}, h('h2', {}, 'Projects'), upload, add, close, input);
}

/** @param {PageNode} list */
function show(list) {
  setChildren(list, known.map(row));
}

/** @type {Map<string, PageNode>} */
const rows = new Map();

/** @param {ProjectSummary} project */
function row(project) {
  const item = rows.get(project.id) ?? made(project.id);
  rows.set(project.id, item);
  const [here, name, scenes] = [
    project.id === state.project,
    item.querySelector('.name'),
    item.querySelector('.count'),
  ];
  /** @type {NodeListOf<HTMLElement>} */
  const tools = item.querySelectorAll('.icon-button');
  setText(name, (here && state.board?.title) || project.title || 'Untitled');
  for (const tool of tools) setAttributes(tool, { 'aria-label': `${tool.title} “${name?.textContent}”` });
  const count = (here && state.board?.scenes.length) || project.num_scenes;
  setText(scenes, count === 1 ? '1 scene' : `${count} scenes`);
  setAttributes(item.firstChild, { 'aria-current': here ? 'true' : null });
  return item;
}

/** @param {string} id */
function made(id) {
  const openThis = () => (flush(), open(id), narrow.matches && fold(true));
  const main = h('button.project', { type: 'button', onclick: openThis }, h('span.name'), h('span.count'));
  const copy = iconButton('copy', 'Duplicate project', () => go('duplicate', { project: id }));
  const away = iconButton('trash', 'Delete project', () => remove(id));
  return h('li', { 'data-project': id }, main, h('span.row-tools', {}, copy, away));
}

/** @param {string} name @param {Record<string, unknown>} request @returns {Promise<Partial<Answer>>} */
async function call(name, request) {
  try {
    const answer = await ask(name, request);
    if (!answer.ok) say(answer.problem, 'bad');
    if (answer.projects) known = [...beingMade(answer.projects), ...answer.projects];
    return answer;
  } catch (error) {
    say(`The projects could not be reached: ${messageOf(error)}`, 'bad');
    return { ok: false };
  }
}

/** Projects of this page that the studio does not list yet. @param {any} listed */
function beingMade(listed) {
  return known.filter(
    (project) => isBeingMade(project.id) && !listed.some((/** @type {any} */ other) => other.id === project.id),
  );
}

/** @param {string} name @param {Record<string, unknown>} request */
async function go(name, request) {
  await flush();
  const answer = await call(name, request);
  if (answer.ok && answer.project) openUnlessWriting(answer.project);
  if (answer.ok && narrow.matches) fold(true);
}

// An answer comes when it comes: what the author writes meanwhile must not go into another project.
/** @param {string} project */
function openUnlessWriting(project) {
  if (!isWriting(document.activeElement)) return open(project);
  const title = known.find((entry) => entry.id === project)?.title || 'Untitled';
  say(`“${title}” is ready.`, '', { label: 'Open', act: () => open(project) });
}

/** Makes an empty project and opens it, its first prompt ready to be typed; it is saved behind. */
export function newProject() {
  const [project, title] = [newProjectId(), 'Untitled film'];
  make({ kind: 'create_project', project, title });
  known = [{ id: project, title, num_scenes: 1, updated_s: Date.now() / 1000 }, ...known];
  open(project);
  if (narrow.matches) fold(true);
  else document.getElementById('field-prompt')?.focus();
}

/** @param {string} id */
async function remove(id) {
  const project = known.find((entry) => entry.id === id);
  const text = 'It goes to the trash with its takes, and can be brought back.';
  if (!(await confirmed(`Delete “${project?.title || 'Untitled'}”?`, text, 'Delete project'))) return;
  const answer = await call('delete', { project: id });
  if (!answer.ok) return;
  if (state.project === id) open(known[0]?.id ?? null);
  else open(state.project, state.selected);
  say('Project deleted.', '', { label: 'Bring back', act: () => go('restore', { project: id }) });
}

// A file may hold several storyboards: each becomes a project, and the first one is opened.
/** @param {File[]} files */
async function bring(files) {
  const imported = [];
  for (const file of files) imported.push(...(await brought(file)));
  if (!imported.length) return;
  await flush();
  await call('projects', {});
  openUnlessWriting(imported[0]);
  if (imported.length > 1) say(`${imported.length} projects made; this is the first.`);
}

/** @param {File} file @returns {Promise<string[]>} */
async function brought(file) {
  const form = new FormData();
  form.append('file', file);
  try {
    const response = await fetch(new URL('projects/import', document.baseURI), { method: 'POST', body: form });
    const json = response.headers.get('content-type')?.includes('json');
    const answer = json ? await response.json() : { ok: false, problem: await response.text() };
    if (!answer.ok)
      say(answer.problem?.includes(file.name) ? answer.problem : `${file.name}: ${answer.problem}`, 'bad');
    return answer.projects ?? [];
  } catch (error) {
    say(`${file.name} could not be opened: ${messageOf(error)}`, 'bad');
    return [];
  }
}
