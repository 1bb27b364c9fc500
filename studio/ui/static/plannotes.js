// What the plan has to say: rounded, never shown to the model, off its sizes. Long notes show their beginning first.

import { h, setChildren } from './dom.js';

/** A list with `show(notes)`. */
export function notesList() {
  const list = h('ul.plan-notes', { 'aria-label': 'Notes of the plan' });
  list.show = (notes) => {
    if (list.dataset.told === notes.join('\n')) return;
    list.dataset.told = notes.join('\n');
    const open = (event) => event.currentTarget.classList.toggle('whole');
    setChildren(list, notes.map((note) => h('li', { title: note, onclick: open }, h('span', {}, note))));
  };
  return list;
}
