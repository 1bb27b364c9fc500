// @ts-check
// The takes of the selected scene: which one the film shows, the others to choose from, and one more.

import { h, icon, setAttributes, setChildren } from '../core/dom.js';
import { still } from './picture.js';
import { change } from '../core/saving.js';
import { mediaAddress } from '../core/store.js';
import { isStuck, seedWords } from '../core/labels.js';

/** A node with `show(card)`; `again(card)` is called for one more take. @param {any} again */
export function takesPanel(again) {
  const list = h('div.takes-list', { role: 'group', 'aria-label': 'Takes' });
  const more = h(
    'button.take.more',
    { type: 'button', id: 'another-take' },
    icon('dice'),
    h('span', {}, 'Another take'),
  );
  const hint = h('span.hint');
  const node = h('div.field', {}, h('div.label', {}, h('span.name', {}, 'Takes'), hint), list);
  const known = new Map();
  /** @type {SceneCard} */
  let card;
  more.addEventListener('click', () => again(card));
  node.show = (/** @type {SceneCard} */ scene) => {
    card = scene;
    for (const id of known.keys())
      if (!scene.takes.some((/** @type {TakeView} */ take) => take.id === id)) known.delete(id);
    setChildren(list, [...scene.takes.map((/** @type {TakeView} */ take) => shown(known, take, () => card)), more]);
    setAttributes(more, { disabled: !scene.prompt || isStuck(scene) });
    hint.textContent = scene.takes.length ? '' : 'None yet';
  };
  return node;
}

// A take of another seed is one to choose from: whether words have changed since too is not known of it.
/** @param {any} known @param {TakeView} take @param {() => SceneCard} card */
function shown(known, take, card) {
  if (!known.has(take.id)) known.set(take.id, takeButton(take, card));
  const button = known.get(take.id);
  const old = !take.matches && take.seed === card().effective_seed;
  const age = take.matches ? '' : old ? ', from before the last changes' : ', of another seed';
  setAttributes(button, {
    'aria-pressed': take.chosen ? 'true' : 'false',
    'aria-label': `Take with seed ${take.seed}${age}${take.chosen ? ', in the film' : ''}`,
    title: `seed ${seedWords(take.seed)} · rendered in ${take.render_s.toFixed(1)} s${age}`,
    'data-old': old,
  });
  return button;
}

/** @param {TakeView} take @param {() => SceneCard} card */
function takeButton(take, card) {
  const button = h('button.take', { type: 'button' }, still(take));
  button.addEventListener('click', () =>
    change({ kind: 'choose_take', scene_id: card().id, take_id: take.id, seed: take.seed }),
  );
  button.addEventListener('pointerenter', () => play(button, take));
  button.addEventListener('focus', () => play(button, take));
  for (const name of ['pointerleave', 'blur'])
    button.addEventListener(name, () => button.querySelector('.moving')?.remove());
  return button;
}

const calm = matchMedia('(prefers-reduced-motion: reduce)');

/** @param {PageNode} button @param {TakeView} take */
function play(button, take) {
  if (calm.matches || button.querySelector('.moving')) return;
  const video = h('video.moving', { src: mediaAddress(take.media), loop: true, playsinline: true });
  video.muted = true;
  button.append(video);
  video.play().catch(() => video.remove());
}
