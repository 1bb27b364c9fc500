// @ts-check
// The takes of the selected scene: which one the film shows, the others to choose from with what the critic says of
// them, and more.

import { h, icon, setAttributes, setChildren, setText } from '../core/dom.js';
import { still } from './picture.js';
import { change } from '../core/saving.js';
import { mediaAddress } from '../core/store.js';
import { isStuck, seedWords } from '../core/labels.js';
import { guardBadge, takeVerdict } from '../fields/guard.js';
import { severalTakes, watchTakeCount } from './take_count.js';

/** A node with `show(card)`. `work(name, card, values)`: renders. @param {any} work */
export function takesPanel(work) {
  const list = h('div.takes-list', { role: 'group', 'aria-label': 'Takes' });
  const more = h(
    'button.take.more',
    { type: 'button', id: 'another-take' },
    icon('dice'),
    h('span', {}, 'Another take'),
  );
  const several = h('button.take.more', { type: 'button', id: 'several-takes' }, icon('dice'), h('span'));
  const hint = h('span.hint');
  const order = h('button.link.order', { type: 'button', id: 'takes-order', 'aria-pressed': 'false' }, 'Best first');
  const verdict = takeVerdict();
  const node = h('div.field', {}, h('div.label', {}, h('span.name', {}, 'Takes'), hint, order), list, verdict);
  const known = new Map();
  /** @type {SceneCard} */
  let card;
  let isBestFirst = false;
  more.addEventListener('click', () => work('another_take', card));
  several.addEventListener('click', () => {
    isBestFirst = true;
    work('render_takes', card, { num_takes: severalTakes() });
  });
  order.addEventListener('click', () => ((isBestFirst = !isBestFirst), node.show(card)));
  watchTakeCount(() => card && node.show(card));
  node.show = (/** @type {SceneCard} */ scene) => {
    card = scene;
    const takes = isBestFirst ? bestFirst(scene.takes) : scene.takes;
    setText(several.lastChild, `${severalTakes()} takes`);
    setAttributes(several, { disabled: isStuck(scene), title: 'The critic’s best one is shown' });
    setAttributes(order, { 'aria-pressed': String(isBestFirst), hidden: !scene.takes.some((take) => take.critique) });
    for (const id of known.keys())
      if (!scene.takes.some((/** @type {TakeView} */ take) => take.id === id)) known.delete(id);
    setChildren(list, [...takes.map((take) => shown(known, take, () => card)), more, several]);
    setAttributes(more, { disabled: isStuck(scene) });
    verdict.show(scene);
    setText(hint, scene.round_text || (scene.takes.length ? '' : 'None yet'));
  };
  return node;
}

/** Those without a score last, the newest of them first. @param {readonly TakeView[]} takes */
const bestFirst = (takes) => [...takes].sort((a, b) => (a.rank ?? Infinity) - (b.rank ?? Infinity) || 0);

/** What the critic says, as a sentence. @param {TakeView} take */
const criticWords = ({ critique }) => (critique ? `critic ${critique.text}: ${critique.reasons.join('; ')}` : '');

/** What critic and guard say of it. @param {TakeView} take */
const remarks = (take) => [criticWords(take), take.guard.text];

// A take of another seed is one to choose from: whether words have changed since too is not known of it.
/** @param {any} known @param {TakeView} take @param {() => SceneCard} card */
function shown(known, take, card) {
  if (known.get(take.id)?.dataset.media !== take.media) known.set(take.id, takeButton(take, card));
  const button = known.get(take.id);
  const old = !take.matches && take.seed === card().effective_seed;
  const age = take.matches ? '' : old ? ', from before the last changes' : ', of another seed';
  setAttributes(button, {
    'aria-pressed': take.chosen ? 'true' : 'false',
    'aria-label': `Take with seed ${take.seed}${age}${take.chosen ? ', in the film' : ''}`,
    'aria-description': remarks(take).filter(Boolean).join(', ') || null,
    title: [`seed ${seedWords(take.seed)} · rendered in ${take.render_s.toFixed(1)} s${age}`, ...remarks(take)]
      .filter(Boolean)
      .join('\n'),
    'data-old': old,
  });
  setText(button.querySelector('.guarded'), guardBadge(take));
  setAttributes(button.querySelector('.guarded'), { hidden: !guardBadge(take), 'data-state': take.guard.state });
  const badge = button.querySelector('.score');
  setText(badge, take.critique?.text ?? '');
  setAttributes(badge, { hidden: !take.critique, 'data-best': take.rank === 1 });
  return button;
}

/** @param {TakeView} take @param {() => SceneCard} card */
function takeButton(take, card) {
  const badges = [h('span.score', { 'aria-hidden': 'true' }), h('span.guarded', { 'aria-hidden': 'true' })];
  const button = h('button.take', { type: 'button', 'data-media': take.media }, still(take), ...badges);
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
  if (calm.matches || !take.media || button.querySelector('.moving')) return;
  const video = h('video.moving', { src: mediaAddress(take.media), loop: true, playsinline: true });
  video.muted = true;
  button.append(video);
  video.play().catch(() => video.remove());
}
