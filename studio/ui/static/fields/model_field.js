// The choice of a model: a button that tells which one it is, what it can do and what it lacks. A model that is not here
// may be chosen all the same; the bar says then why nothing can be rendered.

import { h, icon, setAttributes, setChildren, setText } from '../core/dom.js';
import { abilitiesOf } from '../core/capabilities.js';
import { conflictBox, showConflict } from './field.js';
import { showLack } from './missing_model.js';
import { choose } from '../panels/model_list.js';
import { draftOf } from '../core/saving.js';
import { jointWords } from '../core/labels.js';

/** A field with `show(board)`: the chosen model, what it can do, and what it lacks. */
export function modelField() {
  const name = h('span.name');
  const open = h('button.model-choice', { type: 'button', id: 'field-model', 'aria-haspopup': 'dialog', onclick: () => choose(open) }, h('i.dot'), name, icon('menu'));
  const about = h('p.aside', { id: 'model-about' });
  const can = h('ul.chips', { 'aria-label': 'What this model can do' });
  const lack = h('div.lack', { id: 'model-lack' });
  const [conflict, together] = [conflictBox(), h('p.aside', { id: 'model-together' })];
  const node = h('div.field.model', {}, h('div.label', {}, h('label', { for: 'field-model' }, 'Model')), open, conflict, lack, about, can, together);
  node.show = (board) => show({ open, name, about, can, lack, conflict, together }, board);
  return node;
}

function show({ open, name, about, can, lack, conflict, together }, board) {
  const draft = draftOf(null, 'model');
  const chosen = board.models.find((entry) => entry.name === (draft?.value ?? board.model)) ?? null;
  setText(name, chosen?.title ?? board.model);
  setAttributes(open, { 'data-here': Boolean(chosen?.available), title: chosen?.available ? 'Its files are here' : 'Its files are not here' });
  setText(about, chosen?.summary ?? 'There is no such model here.');
  showChips(can, chosen ? abilitiesOf(chosen) : []);
  showLack(lack, chosen);
  setText(together, jointWords(board.joint));
  showConflict(conflict, { path: 'model' }, null, draft);
}

function showChips(list, words) {
  if (list.dataset.told === words.join('\n')) return;
  list.dataset.told = words.join('\n');
  setChildren(list, words.map((word) => h('li', {}, word)));
}
