// @ts-check
// What the chosen model can do, for everything that hides what it cannot. Knows the board; draws nothing.

import { state } from './store.js';

/** The model that is chosen, as the board describes it; null for one that is not known here. */
export const model = () => state.board?.models.find((entry) => entry.name === state.board?.model) ?? null;

/** Whether it can do something: image, clip, sdedit, negative_prompt … A model that is not known hides nothing. */
export const can = (/** @type {string} */ capability) => model()?.capabilities.includes(capability) ?? true;

/** @type {Record<string, string>} */
const CAPABILITIES = {
  text: 'from words',
  image: 'from a picture',
  clip: 'from a clip',
  continue: 'continues a scene',
  sdedit: 're-imagines a clip',
  negative_prompt: 'negative prompts',
};

/** The same on one line, for a list: `words, picture, clip · continues · re-imagines`. @param {ModelView} entry */
export function inShort(entry) {
  /** @type {Record<string, string>} */
  const kinds = { text: 'words', image: 'picture', clip: 'clip' };
  /** @type {Record<string, string>} */
  const more = { continue: 'continues', sdedit: 're-imagines' };
  const named = (/** @type {Record<string, string>} */ names) =>
    entry.capabilities.filter((name) => names[name]).map((name) => names[name]);
  const whole = [
    entry.makes === 'picture' && 'pictures',
    entry.joint && 'all scenes together',
    entry.first_frame && 'makes its first frame',
  ];
  return [`from ${named(kinds).join(', ')}`, ...named(more), ...whole.filter(Boolean)].join(' · ');
}

/** What a model can do, in a few words each. @param {ModelView} entry */
export function capabilitiesOf(entry) {
  const list = entry.capabilities.map((name) => CAPABILITIES[name] ?? name);
  if (entry.makes === 'picture') list.unshift('makes pictures');
  if (entry.joint) list.unshift('all scenes together');
  if (entry.first_frame) list.unshift('makes its first frame');
  return list;
}
