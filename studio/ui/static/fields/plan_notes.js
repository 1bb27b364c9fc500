// @ts-check
// The notes of the plan: what was rounded, what the model never sees, sizes it was not trained at. Long notes are cut
// until they are clicked.

import { h, setChildren } from '../core/dom.js';

/** A list with `show(notes)`, each of them `{ level, text }`. */
export function notesList() {
  const list = h('ul.plan-notes', { 'aria-label': 'Notes of the plan' });
  list.show = (/** @type {any} */ notes) => {
    const json = JSON.stringify(notes);
    if (list.dataset.shown === json) return;
    list.dataset.shown = json;
    const open = (/** @type {any} */ event) => event.currentTarget.classList.toggle('whole');
    setChildren(
      list,
      notes.map((/** @type {NoteView} */ { level, text }) =>
        h('li', { title: text, 'data-level': level, onclick: open }, h('span', {}, text)),
      ),
    );
  };
  return list;
}
