// What a model lacks, and the command that brings it. Knows one model at a time.

import { h, iconButton, setChildren } from './dom.js';
import { say } from './notices.js';

/** Fills `node` with what is missing of a model; empty and hidden for one that is here. */
export function showLack(node, entry) {
  const reason = entry && !entry.available ? entry.reason : '';
  node.hidden = !reason;
  if (node.dataset.told === `${entry?.name} ${reason}`) return;
  node.dataset.told = `${entry?.name} ${reason}`;
  setChildren(node, reason ? [...(isPublished(reason) ? brought(entry) : [h('p', {}, ...inCode(reason))])] : []);
}

const isPublished = (reason) => reason.includes('published as') && !reason.includes('storyboard models');

/** Text with what stands between backquotes as code. */
const inCode = (text) => text.split('`').map((part, place) => (place % 2 ? h('code', {}, part) : part));

// What is published can be brought: the command first, where the files would lie for those who want to know.
function brought(entry) {
  const words = `storyboard models get ${entry.name}`;
  const copy = () => navigator.clipboard.writeText(words).then(() => say('Copied.'), () => say('It could not be copied.', 'bad'));
  const command = h('p.command', {}, h('code', {}, words), iconButton('copy', 'Copy the command', copy));
  const places = h('details', {}, h('summary', {}, 'What was looked for'), h('p', {}, entry.reason));
  return [h('p', {}, 'Its files are not here. This brings them:'), command, places];
}
