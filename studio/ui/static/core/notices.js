// @ts-check
// Messages to the author: banners that stay while something is wrong, short notes, questions, and one live region for
// screen readers. Does not know boards.

import { h, icon, setChildren, setText } from './dom.js';

const live = h('div.sr-only', { role: 'status', 'aria-live': 'polite', id: 'studio-live' });
const notes = h('div.notes', { role: 'alert' });
const banners = h('div.banners', { role: 'alert' });
document.body.append(live, notes, banners);

/** Text for screen readers, without anything to see. @param {string} text */
export function announce(text) {
  setText(live, text);
}

const READING_MS = 70; // a letter

/** A short note that goes by itself, though not while it is looked at. `tone`: '' or 'bad'; `action`: {label, act}.
 *  @param {string} text @param {'' | 'bad'} tone @param {NoticeAction | null} action */
export function say(text, tone = '', action = null) {
  const note = h(`div.note${tone ? `.${tone}` : ''}`, {}, h('span', {}, text));
  const close = () => note.remove();
  if (action) {
    note.append(h('button.link', { type: 'button', onclick: () => (close(), action.act()) }, action.label));
  }
  note.append(h('button.icon-button', { type: 'button', 'aria-label': 'Dismiss', onclick: close }, icon('close')));
  notes.append(note);
  let timer = 0;
  const stay = () => clearTimeout(timer);
  const go = () => (
    stay(),
    (timer = setTimeout(close, Math.max(tone === 'bad' ? 12000 : 6000, READING_MS * text.length)))
  );
  for (const name of ['pointerenter', 'focusin']) note.addEventListener(name, stay);
  for (const name of ['pointerleave', 'focusout']) note.addEventListener(name, go);
  go();
}

/** @type {Map<string, { text: string, node: PageNode }>} */
const shown = new Map();

/** A banner that stays until its text is "". One a name.
 *  @param {string} name @param {string} text @param {NoticeAction[]} [actions] */
export function banner(name, text, actions = []) {
  if (!text) shown.delete(name);
  else if (shown.get(name)?.text !== text) shown.set(name, { text, node: bannerNode(text, actions) });
  setChildren(
    banners,
    [...shown.values()].map((entry) => entry.node),
  );
}

/** @param {string} text @param {NoticeAction[]} actions */
function bannerNode(text, actions) {
  const links = actions.map(({ label, act }) => h('button.link', { type: 'button', onclick: act }, label));
  return h('div.banner', {}, h('span', {}, text), ...links);
}

/** Asks before something is taken away. Resolves to whether it was agreed to.
 *  @param {string} title @param {string} text @param {string} agree @returns {Promise<boolean>} */
export function confirmed(title, text, agree) {
  return new Promise((resolve) => {
    const dialog = h('dialog.question', { 'aria-label': title });
    const answer = (/** @type {boolean} */ agreed) => () => (dialog.close(), dialog.remove(), resolve(agreed));
    const yes = h('button.button.danger', { type: 'button', onclick: answer(true) }, agree);
    const no = h('button.button', { type: 'button', onclick: answer(false) }, 'Cancel');
    dialog.append(h('h2', {}, title), h('p', {}, text), h('div.row', {}, no, yes));
    dialog.addEventListener('cancel', answer(false));
    document.body.append(dialog);
    /** @type {any} */
    const before = document.activeElement;
    dialog.addEventListener('close', () => before?.isConnected && before.focus());
    dialog.showModal();
    yes.focus();
  });
}
