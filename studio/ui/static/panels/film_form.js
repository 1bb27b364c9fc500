// @ts-check
// What all scenes share: look, model, shape, seed, frames a second.

import { h } from '../core/dom.js';
import { field } from '../fields/field.js';
import { guardSwitch } from '../fields/guard.js';
import { modelField } from '../fields/model_field.js';
import { notesList } from '../fields/plan_notes.js';
import { refineAll } from '../fields/refinement.js';
import { sizeField } from '../fields/size.js';

/** A form with `show(board)`. */
export function filmForm() {
  const fields = [
    field({
      id: 'look',
      kind: 'text',
      rows: 2,
      label: 'Look',
      path: 'look',
      read: (board) => board.look,
      hint: () => 'added to every prompt',
      placeholder: 'papercut, soft light',
    }),
    field({
      id: 'negative-look',
      kind: 'text',
      rows: 1,
      label: 'Never',
      path: 'negative_look',
      read: (board) => board.negative_look,
      hint: () => 'added to every negative prompt',
    }),
    modelField(),
    sizeField(),
  ];
  const numbers = [
    field({
      id: 'film-seed',
      kind: 'number',
      min: 0,
      step: 1,
      whole: true,
      label: 'Seed of the film',
      path: 'seed',
      read: (board) => board.seed,
    }),
    field({
      id: 'fps',
      kind: 'number',
      min: 1,
      max: 120,
      step: 1,
      whole: true,
      optional: true,
      label: 'Frames a second',
      path: 'fps',
      read: (board) => board.fps,
      placeholder: "the model's",
    }),
  ];
  const speed = [
    speedField('precision', 'Precision', [
      ['float32', 'float32'],
      ['bfloat16', 'bfloat16'],
      ['float16', 'float16'],
    ]),
    speedField('offload', 'Idle parts wait', [
      ['none', 'on the device'],
      ['components', 'in host memory'],
    ]),
    speedField('guidance', 'Guidance', [
      ['batched', 'both branches at once'],
      ['sequential', 'one after the other: half the memory'],
    ]),
  ];
  const finer = h('details.finer', {}, h('summary', {}, 'Speed and memory'), ...speed);
  const [notes, refine, guard] = [notesList(), refineAll(), guardSwitch()];
  const form = h(
    'form.form',
    { onsubmit: (/** @type {any} */ event) => event.preventDefault(), 'aria-label': 'Whole film' },
    ...fields,
    notes,
    refine,
    guard,
    h('div.pair', {}, ...numbers),
    finer,
  );
  form.show = (/** @type {BoardView} */ board) => {
    for (const node of [...fields, ...numbers, ...speed]) node.show(board, null);
    notes.show(board.notes);
    refine.show(board);
    guard.show(board);
  };
  return form;
}

/**
 * A setting of how the engine works, else the preset's.
 * @param {string} name @param {string} label @param {[string, string][]} choices
 */
function speedField(name, label, choices) {
  const options = [{ value: '', label: 'as preset' }, ...choices.map(([value, text]) => ({ value, label: text }))];
  return field({
    id: `speed-${name}`,
    kind: 'choice',
    optional: true,
    label,
    path: `speed.${name}`,
    read: (board) => board.speed[name] ?? '',
    options: () => options,
  });
}
