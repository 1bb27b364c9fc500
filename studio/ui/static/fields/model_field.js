// @ts-check
// The choice of a model: a button with the name of the chosen one, what it can do and what is missing of it. A model
// that is not here may be chosen all the same; the bar says then why nothing can be rendered.

import { h, icon, setAttributes, setChildren, setText } from '../core/dom.js';
import { capabilitiesOf } from '../core/capabilities.js';
import { conflictBox, showConflict } from './field.js';
import { showMissing } from './missing_model.js';
import { choose } from '../panels/model_list.js';
import { draftOf } from '../core/saving.js';
import { jointWords } from '../core/labels.js';

/** A field with `show(board)`: the chosen model, what it can do, and what is missing of it. */
export function modelField() {
  const name = h('span.name');
  const open = h(
    'button.model-choice',
    { type: 'button', id: 'field-model', 'aria-haspopup': 'dialog', onclick: () => choose(open) },
    h('i.dot'),
    name,
    icon('menu'),
  );
  const about = h('p.aside', { id: 'model-about' });
  const can = h('ul.chips', { 'aria-label': 'What this model can do' });
  const missing = h('div.missing-model', { id: 'model-missing' });
  const [conflict, together] = [conflictBox(), h('p.aside', { id: 'model-together' })];
  const node = h(
    'div.field.model',
    {},
    h('div.label', {}, h('label', { for: 'field-model' }, 'Model')),
    open,
    conflict,
    missing,
    about,
    can,
    together,
  );
  node.show = (/** @type {BoardView} */ board) => show({ open, name, about, can, missing, conflict, together }, board);
  return node;
}

/** @param {any} parts @param {BoardView} board */
function show({ open, name, about, can, missing, conflict, together }, board) {
  const draft = draftOf(null, 'model');
  const chosen =
    board.models.find((/** @type {ModelView} */ entry) => entry.name === (draft?.value ?? board.model)) ?? null;
  setText(name, chosen?.title ?? board.model);
  setAttributes(open, {
    'data-here': Boolean(chosen?.available),
    title: chosen?.available ? 'Its files are here' : 'Its files are not here',
  });
  setText(about, chosen?.summary ?? 'There is no such model here.');
  showChips(can, chosen ? capabilitiesOf(chosen) : []);
  showMissing(missing, chosen);
  setText(together, jointWords(board.joint));
  showConflict(conflict, { path: 'model' }, null, draft);
}

/** @param {PageNode} list @param {any} words */
function showChips(list, words) {
  if (list.dataset.shown === words.join('\n')) return;
  list.dataset.shown = words.join('\n');
  setChildren(
    list,
    words.map((/** @type {any} */ word) => h('li', {}, word)),
  );
}
