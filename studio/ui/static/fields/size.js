// @ts-check
// The shape of the film: one of the model's own sizes, or a size of the author's on the model's grid.

import { h, setAttributes, setText } from '../core/dom.js';
import { model } from '../core/capabilities.js';
import { conflictBox, showConflict } from './field.js';
import { draftOf, typed } from '../core/saving.js';
import { shownBoard } from '../core/store.js';

const OWN = 'own';
const PATH = 'size_px';
const described = (/** @type {[number, number] | null} */ size) =>
  size ? `${size[0]} × ${size[1]}` : "the model's size";

/** A field with `show(board)`. */
export function sizeField() {
  const choice = h('select', { id: 'field-aspect', 'aria-describedby': 'field-aspect-hint' });
  const hint = h('span.hint', { id: 'field-aspect-hint' });
  const sides = [side('width', 'Width in pixels'), side('height', 'Height in pixels')];
  const own = h('div.own-size', {}, sides[0], h('span', { 'aria-hidden': 'true' }, '×'), sides[1]);
  const problem = h('p.problem', { role: 'alert', id: 'field-size-problem', hidden: true });
  const conflict = conflictBox();
  const node = h(
    'div.field.choice.size',
    {},
    h('div.label', {}, h('label', { for: 'field-aspect' }, 'Shape'), hint),
    choice,
    own,
    problem,
    conflict,
  );
  const parts = { choice, hint, sides, own, problem, conflict, wrong: '' };
  choice.addEventListener('change', () => ((parts.wrong = ''), chosen(choice.value)));
  for (const input of sides) input.addEventListener('change', () => entered(parts));
  node.show = (/** @type {BoardView} */ board) => show(parts, board);
  return node;
}

const side = (/** @type {string} */ name, /** @type {string} */ label) =>
  h('input', {
    type: 'number',
    inputmode: 'numeric',
    id: `field-${name}`,
    'aria-label': label,
    'aria-describedby': 'field-aspect-hint field-size-problem',
  });
const sizeOf = (/** @type {BoardView} */ board) => {
  const draft = draftOf(null, PATH);
  return draft ? draft.value : board.size_px;
};
const aspectOf = (/** @type {BoardView} */ board) => draftOf(null, 'aspect')?.value ?? board.aspect;
const table = () => model()?.sizes_px ?? {};
const grid = () => model()?.grid_px ?? 8;

/** @param {any} parts @param {BoardView} board */
function show(parts, board) {
  const [size, aspect, draft] = [sizeOf(board), aspectOf(board), draftOf(null, PATH)];
  showOptions(parts.choice, aspect);
  parts.choice.value = size ? OWN : aspect;
  parts.own.hidden = !size;
  setText(parts.hint, size ? `sides in steps of ${grid()} pixels` : '');
  parts.sides.forEach((/** @type {any} */ input, /** @type {number} */ place) =>
    showSide(input, size?.[place], parts.wrong),
  );
  setText(parts.problem, parts.wrong || draft?.problem || '');
  parts.problem.hidden = !parts.problem.textContent;
  showConflict(parts.conflict, { path: PATH, describe: described }, null, draft);
}

/** @param {any} input @param {number} pixels @param {any} wrong */
function showSide(input, pixels, wrong) {
  setAttributes(input, { step: grid(), min: grid(), 'aria-invalid': wrong ? 'true' : null });
  if (pixels && document.activeElement !== input && !wrong) input.value = pixels;
}

/** @param {any} choice @param {string} aspect */
function showOptions(choice, aspect) {
  const own = Object.entries(table()).map(([name, size]) => ({ value: name, label: `${name} · ${described(size)}` }));
  if (!table()[aspect]) own.unshift({ value: aspect, label: `${aspect} · the nearest there is` });
  const options = [...own, { value: OWN, label: 'Own size…' }];
  const wanted = JSON.stringify(options);
  if (choice.dataset.options === wanted) return;
  choice.dataset.options = wanted;
  choice.replaceChildren(...options.map(({ value, label }) => h('option', { value }, label)));
}

// An own size begins as the size that the film has now.
/** @param {any} value */
function chosen(value) {
  const board = shownBoard();
  const [first] = Object.values(table());
  if (value === OWN)
    return typed(null, PATH, sizeOf(board) ?? table()[aspectOf(board)] ?? first ?? [grid(), grid()], 0);
  if (sizeOf(board)) typed(null, PATH, null, 0);
  if (value !== aspectOf(board)) typed(null, 'aspect', value, 0);
}

// Both sides are one value: it is saved when a side is left, so that half a number never makes every take stale.
/** @param {any} parts */
function entered(parts) {
  const size = parts.sides.map((/** @type {any} */ input) => Number(input.value));
  parts.wrong = size.every((/** @type {number} */ pixels) => Number.isInteger(pixels) && pixels > 0)
    ? ''
    : 'Width and height are whole numbers of pixels.';
  if (parts.wrong) show(parts, shownBoard());
  else typed(null, PATH, size, 0);
}
