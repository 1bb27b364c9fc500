// @ts-check
// The list of keyboard shortcuts. Only the texts: board.js acts on them.

import { h } from '../core/dom.js';

const KEYS = [
  ['Arrows, Home, End', 'from scene to scene'],
  ['Enter', 'edit the scene'],
  ['Alt + arrows', 'move the scene'],
  ['N', 'add a scene after this one'],
  ['Delete', 'delete the scene (it asks)'],
  ['Ctrl + Z', 'undo'],
  ['Ctrl + Shift + Z', 'redo'],
  ['Escape', 'back from the inspector'],
  ['?', 'this list'],
];

/** Shows the list until it is closed. */
export function showKeys() {
  const rows = KEYS.map(([key, does]) => h('tr', {}, h('th', { scope: 'row' }, key), h('td', {}, does)));
  const close = h('button.button', { type: 'button', onclick: () => dialog.close() }, 'Close');
  const dialog = h(
    'dialog.question.keys',
    { 'aria-label': 'Keys' },
    h('h2', {}, 'Keys'),
    h('table', {}, h('tbody', {}, rows)),
    h('div.row', {}, close),
  );
  /** @type {any} */
  const before = document.activeElement;
  dialog.addEventListener('close', () => {
    dialog.remove();
    if (before?.isConnected) before.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}
