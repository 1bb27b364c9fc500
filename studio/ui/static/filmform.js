// What all scenes share: look, model, shape, seed, and what the plan has to say about the whole film.

import { h } from './dom.js';
import { notesList } from './plannotes.js';
import { field } from './fields.js';
import { modelField } from './models.js';
import { sizeField } from './size.js';
import { filmNotes } from './words.js';

/** A form with `show(board)`. */
export function filmForm() {
  const fields = [
    field({ id: 'look', kind: 'text', rows: 2, label: 'Look', path: 'look', read: (board) => board.look, hint: () => 'added to every prompt', placeholder: 'papercut, soft light' }),
    field({ id: 'negative-look', kind: 'text', rows: 1, label: 'Never', path: 'negative_look', read: (board) => board.negative_look, hint: () => 'added to every negative prompt' }),
    modelField(),
    sizeField(),
    field({ id: 'film-seed', kind: 'number', min: 0, step: 1, whole: true, label: 'Seed of the film', path: 'seed', read: (board) => board.seed }),
  ];
  const notes = notesList();
  const form = h('form.form', { onsubmit: (event) => event.preventDefault(), 'aria-label': 'Whole film' }, notes, ...fields);
  form.show = (board) => {
    for (const node of fields) node.show(board, null);
    notes.show(filmNotes(board));
  };
  return form;
}
