// @ts-check
// The list to choose a model from: filtered by words, grouped by family, those that are here first.

import { h, setAttributes } from '../core/dom.js';
import { inShort } from '../core/capabilities.js';
import { showMissing } from '../fields/missing_model.js';
import { typed } from '../core/saving.js';
import { shownBoard } from '../core/store.js';

const { compare } = new Intl.Collator('en', { numeric: true });

/** Families by name, those with a model that is here first; in each the same, 2B before 14B.
 *  @param {ModelView[]} models */
function families(models) {
  const groups = new Map();
  for (const entry of [...models].sort((a, b) => compare(a.title, b.title)))
    groups.set(entry.family, [...(groups.get(entry.family) ?? []), entry]);
  const here = (/** @type {ModelView} */ entry) => (entry.available ? 0 : 1);
  const sorted = [...groups].map(([family, members]) => [
    family,
    members.sort((/** @type {any} */ a, /** @type {any} */ b) => here(a) - here(b)),
  ]);
  return sorted.sort(([one, a], [other, b]) => here(a[0]) - here(b[0]) || compare(one, other));
}

/** Asks which model; what is chosen is an edit of the film. `opener` gets the focus back. @param {any} opener */
export function choose(opener) {
  const dialog = h('dialog.question.models', { 'aria-label': 'Choose a model' });
  const close = () => (dialog.close(), dialog.remove(), opener.focus());
  const options = families(shownBoard().models).map(([family, members]) =>
    groupOf(family, members, (/** @type {ModelView} */ entry) => (close(), use(entry))),
  );
  /** @type {PageNode[]} */
  const rows = options.flatMap((group) => /** @type {PageNode[]} */ ([...group.querySelectorAll('[role=option]')]));
  const list = h('div.model-list', { role: 'listbox', 'aria-label': 'Models', id: 'model-list' }, ...options);
  const none = h('p.quiet', { hidden: true }, 'No model is called so.');
  const find = h('input', {
    type: 'text',
    id: 'model-find',
    role: 'combobox',
    'aria-expanded': 'true',
    'aria-controls': 'model-list',
    'aria-label': 'Find a model',
    placeholder: `Find among ${rows.length}`,
    autocomplete: 'off',
    spellcheck: false,
  });
  const missing = h('div.missing-model', { 'aria-live': 'polite' });
  const marked = (/** @type {PageNode} */ row) => (
    mark(find, rows, row),
    showMissing(missing, shownBoard().models.find((entry) => `model-${entry.name}` === row?.id) ?? null)
  );
  const no = h('button.button', { type: 'button', onclick: close }, 'Close');
  find.addEventListener('input', () => sift(find, options, rows, none, marked));
  find.addEventListener('keydown', (event) => walk(event, rows, marked));
  dialog.append(h('header', {}, h('h2', {}, 'Choose a model'), find, no), list, none, missing);
  list.addEventListener('mousemove', (/** @type {any} */ event) =>
    marked(event.target.closest('[role=option]') ?? rows.find((row) => row.classList.contains('marked'))),
  );
  dialog.addEventListener('cancel', (event) => (event.preventDefault(), close()));
  dialog.addEventListener('click', (event) => event.target === dialog && close());
  document.body.append(dialog);
  dialog.showModal();
  find.focus();
  const chosen = rows.find((row) => row.getAttribute('aria-selected') === 'true') ?? rows[0];
  marked(chosen);
  chosen?.scrollIntoView({ block: 'center' });
}

/** @param {string} family @param {ModelView[]} members
 *  @param {(entry: ModelView) => void} take */
function groupOf(family, members, take) {
  const id = `models-${family.replace(/\W+/g, '-')}`;
  return h(
    'div',
    { role: 'group', 'aria-labelledby': id },
    h('h3', { id }, family),
    ...members.map((/** @type {ModelView} */ entry) => rowOf(entry, take)),
  );
}

/** @param {ModelView} entry @param {(entry: ModelView) => void} take */
function rowOf(entry, take) {
  const here = entry.available ? 'here' : 'not here';
  const words = h(
    'div',
    {},
    h('p.name', {}, entry.title),
    h('p.quiet', { title: entry.summary }, entry.summary),
    h('p.quiet', {}, inShort(entry)),
  );
  const chosen = entry.name === shownBoard().model;
  const availability = h('span.here', { 'data-here': entry.available, title: entry.reason || null }, h('i.dot'), here);
  const row = h(
    'div.model-row',
    { role: 'option', id: `model-${entry.name}`, 'aria-selected': String(chosen) },
    words,
    availability,
  );
  row.dataset.words = `${entry.title} ${entry.name} ${entry.summary} ${entry.family} ${here}`.toLowerCase();
  row.dataset.called = `${entry.title}\n${entry.name}`.toLowerCase();
  if (entry.available) row.dataset.here = '';
  row.addEventListener('click', () => take(entry));
  return row;
}

/** @param {any} find @param {PageNode[]} groups @param {PageNode[]} rows @param {any} none @param {any} marked */
function sift(find, groups, rows, none, marked) {
  const wanted = find.value.toLowerCase().split(/\s+/);
  for (const row of rows) row.hidden = !wanted.every((/** @type {any} */ word) => row.dataset.words?.includes(word));
  for (const group of groups) group.hidden = !group.querySelector('[role=option]:not([hidden])');
  none.hidden = rows.some((/** @type {PageNode} */ row) => !row.hidden);
  marked(
    best(
      rows.filter((/** @type {PageNode} */ row) => !row.hidden),
      find.value.trim().toLowerCase(),
    ),
  );
}

// One that is called just so, else one that is here.
const best = (/** @type {any} */ seen, /** @type {any} */ words) =>
  seen.find((/** @type {PageNode} */ row) => row.dataset.called?.split('\n').includes(words)) ??
  seen.find((/** @type {PageNode} */ row) => 'here' in row.dataset) ??
  seen[0];

/** @param {any} find @param {PageNode[]} rows @param {PageNode} row */
function mark(find, rows, row) {
  for (const other of rows) other.classList.toggle('marked', other === row);
  setAttributes(find, { 'aria-activedescendant': row?.id ?? null });
}

/** @param {any} event @param {PageNode[]} rows @param {any} marked */
function walk(event, rows, marked) {
  const seen = rows.filter((/** @type {PageNode} */ row) => !row.hidden);
  const place = seen.findIndex((/** @type {PageNode} */ row) => row.classList.contains('marked'));
  /** @type {Record<string, number>} */
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 5, PageUp: -5 };
  const step = steps[event.key];
  if (!step && event.key !== 'Enter') return;
  event.preventDefault(); // else the button that gets the focus back would hear the same Enter
  if (!step) return seen[place]?.click();
  const next = seen[Math.max(0, Math.min(place + step, seen.length - 1))];
  marked(next);
  next?.scrollIntoView({ block: 'nearest' });
}

/** @param {ModelView} entry */
function use(entry) {
  if (entry.name !== shownBoard().model) typed(null, 'model', entry.name, 0);
}
