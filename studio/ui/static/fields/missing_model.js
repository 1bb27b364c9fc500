// @ts-check
// What is missing of a model, and the command that brings it. Knows one model at a time.

import { h, iconButton, setChildren } from '../core/dom.js';
import { say } from '../core/notices.js';

/** Fills `node` with what is missing of a model; empty and hidden for one that is here.
 *  @param {PageNode} node @param {ModelView | null} entry */
export function showMissing(node, entry) {
  const reason = entry && !entry.available ? entry.reason : '';
  node.hidden = !reason;
  if (node.dataset.shown === `${entry?.name} ${reason}`) return;
  node.dataset.shown = `${entry?.name} ${reason}`;
  if (!entry || !reason) return setChildren(node, []);
  setChildren(node, entry.command ? brought(entry) : [h('p', {}, ...inCode(reason))]);
}

/** Text with what stands between backquotes as code. */
const inCode = (/** @type {string} */ text) =>
  text
    .split('`')
    .map((/** @type {any} */ part, /** @type {number} */ place) => (place % 2 ? h('code', {}, part) : part));

// The command that brings it first, where the files would lie for those who want to know.
/** @param {ModelView} entry */
function brought(entry) {
  const copy = () =>
    navigator.clipboard.writeText(entry.command).then(
      () => say('Copied.'),
      () => say('It could not be copied.', 'bad'),
    );
  const command = h('p.command', {}, h('code', {}, entry.command), iconButton('copy', 'Copy the command', copy));
  const places = h('details', {}, h('summary', {}, 'What was looked for'), h('p', {}, entry.reason));
  return [h('p', {}, 'Its files are not here. This brings them:'), command, places];
}
