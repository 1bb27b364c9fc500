// What the plan has to say: rounded, never shown to the model, off its sizes. Long notes show their beginning first.

import { h, setChildren } from '../core/dom.js';

/** A list with `show(notes)`, each of them `{ level, text }`. */
export function notesList() {
  const list = h('ul.plan-notes', { 'aria-label': 'Notes of the plan' });
  list.show = (notes) => {
    const told = JSON.stringify(notes);
    if (list.dataset.told === told) return;
    list.dataset.told = told;
    const open = (event) => event.currentTarget.classList.toggle('whole');
    setChildren(list, notes.map(({ level, text }) => h('li', { title: text, 'data-level': level, onclick: open }, h('span', {}, text))));
  };
  return list;
}
