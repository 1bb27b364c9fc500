// @ts-check
// One form field bound to one value of a scene or of the film: shows the saved value, or what is being typed, or both
// where they are in conflict. Never writes into a field that is being typed in.

import { h, setAttributes, setText } from '../core/dom.js';
import { decide, draftOf, typed, typedInvalid } from '../core/saving.js';
import { state } from '../core/store.js';

/**
 * A bound field. `settings`: id, label, path (of the edit), read(view) -> value, and for choices options(view).
 * `kind`: text, line, number, slider or choice (`numeric`: of numbers). `optional`: empty is none.
 * The node has `show(view, sceneId)`.
 * @param {FieldSettings} settings
 */
export function field(settings) {
  const control = controls[settings.kind](settings);
  control.id = `field-${settings.id}`;
  const label = h('label', { for: control.id }, settings.label);
  const hint = h('span.hint', { id: `${control.id}-hint` });
  const problem = h('p.problem', { role: 'alert', id: `${control.id}-problem`, hidden: true });
  const conflict = conflictBox();
  setAttributes(control, { 'aria-describedby': `${hint.id} ${problem.id}` });
  const node = h(`div.field.${settings.kind}`, {}, h('div.label', {}, label, hint), control, problem, conflict);
  const parts = { node, control, hint, problem, conflict };
  const change = () => entered(settings, parts);
  control.addEventListener(settings.kind === 'choice' ? 'change' : 'input', change);
  node.show = (/** @type {any} */ view, /** @type {string | null} */ sceneId) => show(settings, parts, view, sceneId);
  node.control = control;
  return node;
}

/** @type {Record<string, (settings: FieldSettings) => PageNode>} */
const controls = {
  text: ({ rows = 2, placeholder = '' }) => h('textarea', { rows, placeholder, spellcheck: true, maxlength: 8000 }),
  line: ({ placeholder = '' }) => h('input', { type: 'text', placeholder, maxlength: 300 }),
  number: ({ min, max, step = 'any', placeholder = '' }) =>
    h('input', { type: 'number', inputmode: 'decimal', min, max, step, placeholder }),
  slider: ({ min, max, step }) => h('input', { type: 'range', min, max, step }),
  choice: () => h('select'),
};

/** @param {FieldSettings} settings @param {any} parts */
function entered(settings, parts) {
  const { control } = parts;
  const value = parsed(settings, control);
  if (settings.kind === 'text') grow(control);
  if (value instanceof Error) return typedInvalid(parts.sceneId, settings.path, control.value, value.message);
  typed(parts.sceneId, settings.path, value, settings.kind === 'choice' ? 0 : undefined);
}

/** @param {FieldSettings} settings @param {any} control */
function parsed(settings, control) {
  if (settings.optional && control.value === '') return null;
  if (settings.kind === 'slider' || settings.numeric) return Number(control.value);
  if (settings.kind !== 'number') return control.value;
  const number = Number(control.value);
  if (control.value === '' || !Number.isFinite(number)) return new Error(`${settings.label} is a number.`);
  if (settings.whole && !Number.isInteger(number)) return new Error(`${settings.label} is a whole number.`);
  return number;
}

/** @param {FieldSettings} settings @param {any} parts @param {any} view @param {string | null} sceneId */
function show(settings, parts, view, sceneId) {
  const { node, control, hint, problem, conflict } = parts;
  const of = `${state.project} ${sceneId}`;
  const another = parts.of !== of;
  Object.assign(parts, { of, sceneId });
  if (settings.kind === 'choice') showOptions(control, settings.options?.(view) ?? []);
  const draft = draftOf(sceneId, settings.path);
  const value = draft ? draft.value : settings.read(view);
  const busy = document.activeElement === control && !another && draft;
  if (!busy && differs(settings, control, value)) control.value = value ?? '';
  if (settings.kind === 'text') grow(control);
  if (settings.kind === 'slider') showShare(control);
  setText(hint, settings.hint?.(view, value) ?? '');
  if (settings.placeholderOf) setAttributes(control, { placeholder: settings.placeholderOf(view) });
  setAttributes(control, { disabled: settings.disabled?.(view) ?? false });
  node.hidden = settings.hidden?.(view) ?? false;
  showProblem(problem, control, draft?.problem ?? '');
  showConflict(conflict, settings, sceneId, draft);
}

/** @param {any} control */
function showShare(control) {
  control.style.setProperty('--share', (control.value - control.min) / (control.max - control.min));
}

/** @param {FieldSettings} settings @param {any} control @param {any} value */
function differs(settings, control, value) {
  if (settings.kind !== 'number') return control.value !== String(value ?? '');
  if (value === null || value === undefined) return control.value !== '';
  return control.value === '' || Number(control.value) !== value;
}

/** @param {any} control @param {any} options */
function showOptions(control, options) {
  const wanted = JSON.stringify(options);
  if (control.dataset.options === wanted) return;
  control.dataset.options = wanted;
  const chosen = control.value;
  control.replaceChildren(
    ...options.map((/** @type {FieldOption} */ { value, label, disabled }) => h('option', { value, disabled }, label)),
  );
  control.value = chosen;
}

/** @param {PageNode} node @param {any} control @param {string} text */
function showProblem(node, control, text) {
  setText(node, text);
  node.hidden = !text;
  setAttributes(control, { 'aria-invalid': text ? 'true' : null });
}

/** Where a field that was changed elsewhere meanwhile shows both versions; `showConflict` fills it. */
export const conflictBox = () => h('div.conflict', { role: 'group', 'aria-label': 'Two versions', hidden: true });

/** `settings`: path, and `describe(value)` in words where the value is not text (theirs comes as JSON then).
 *  @param {PageNode} node @param {ConflictSettings} settings @param {string | null} sceneId
 *  @param {Draft | null} draft */
export function showConflict(node, settings, sceneId, draft) {
  const described = (/** @type {any} */ value) => settings.describe?.(value) ?? String(value ?? '(nothing)');
  const theirs = draft?.conflict
    ? described(settings.describe ? JSON.parse(draft.conflict.theirs) : draft.conflict.theirs)
    : '';
  const both = draft?.conflict ? `${theirs} ${described(draft.value)}` : '';
  node.hidden = !both;
  if (node.dataset.shown === both) return;
  node.dataset.shown = both;
  if (!both) return node.replaceChildren();
  const keep = h('button.button', { type: 'button', onclick: () => decide(sceneId, settings.path, true) }, 'Keep mine');
  const take = h(
    'button.button',
    { type: 'button', onclick: () => decide(sceneId, settings.path, false) },
    'Take theirs',
  );
  node.replaceChildren(
    h('p', {}, 'Changed elsewhere while you typed. Yours stays in the field; theirs is:'),
    h('blockquote', {}, theirs),
    h('div.row', {}, keep, take),
  );
}

/** As tall as its text, within what the style allows. @param {any} area */
export function grow(area) {
  area.style.height = 'auto';
  if (area.scrollHeight) area.style.height = `${area.scrollHeight + 2}px`;
}
