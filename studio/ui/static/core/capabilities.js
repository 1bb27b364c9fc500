// What the chosen model can do, asked by all that hides what it cannot. Knows the board, nothing of how it is drawn.

import { state } from './store.js';

/** The model that is chosen, as the board tells of it; null for one that is not known here. */
export const model = () => state.board?.models.find((entry) => entry.name === state.board.model) ?? null;

/** Whether it can do something: image, clip, sdedit, negative_prompt … A model that is not known hides nothing. */
export const can = (ability) => model()?.capabilities.includes(ability) ?? true;

const ABILITIES = {
  text: 'from words',
  image: 'from a picture',
  clip: 'from a clip',
  continue: 'continues a scene',
  sdedit: 're-imagines a clip',
  negative_prompt: 'negative prompts',
};

/** The same on one line, for a list: `words, picture, clip · continues · re-imagines`. */
export function inShort(entry) {
  const kinds = { text: 'words', image: 'picture', clip: 'clip' };
  const more = { continue: 'continues', sdedit: 're-imagines' };
  const named = (names) => entry.capabilities.filter((name) => names[name]).map((name) => names[name]);
  const whole = [entry.makes === 'picture' && 'pictures', entry.joint && 'all scenes together', entry.first_frame && 'makes its first frame'];
  return [`from ${named(kinds).join(', ')}`, ...named(more), ...whole.filter(Boolean)].join(' · ');
}

/** What a model can do, in a few words each. */
export function abilitiesOf(entry) {
  const can = entry.capabilities.map((name) => ABILITIES[name] ?? name);
  if (entry.makes === 'picture') can.unshift('makes pictures');
  if (entry.joint) can.unshift('all scenes together');
  if (entry.first_frame) can.unshift('makes its first frame');
  return can;
}
