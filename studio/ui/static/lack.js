// What a model lacks, and the command that brings it. Knows one model at a time.

import { h, iconButton, setChildren } from './dom.js';
import { say } from './notices.js';

/** Fills `node` with what is missing of a model; empty and hidden for one that is here. */
export function showLack(node, entry) {
  const reason = entry && !entry.available ? entry.reason : '';
  node.hidden = !reason;
  if (node.dataset.told === `${entry?.name} ${reason}`) return;
  node.dataset.told = `${entry?.name} ${reason}`;
  setChildren(node, reason ? [h('p', {}, ...inCode(reason)), ...commandOf(entry)] : []);
}

/** Text with what stands between backquotes as code. */
const inCode = (text) => text.split('`').map((part, place) => (place % 2 ? h('code', {}, part) : part));

// What is published can be brought; where the reason names the command itself, it need not be said twice.
function commandOf(entry) {
  if (!entry.reason.includes('published as') || entry.reason.includes('storyboard models')) return [];
  const words = `storyboard models get ${entry.name}`;
  const copy = () => navigator.clipboard.writeText(words).then(() => say('Copied.'), () => say('It could not be copied.', 'bad'));
  return [h('p.command', {}, h('code', {}, words), iconButton('copy', 'Copy the command', copy))];
}
