// @ts-check
// The picture of a scene: a calm drawn one while there is no take, the take's poster, the live preview while it
// renders, and the take playing under the pointer. Knows one card at a time.

import { h, hueOf } from '../core/dom.js';
import { mediaAddress, previewAddress } from '../core/store.js';

/** An element with `show(card)`. */
export function picture() {
  const element = h('div.picture', { 'aria-hidden': 'true' }, h('div.empty-sky', {}, h('i'), h('i'), h('i')));
  const layers = { still: null, preview: null };
  element.show = (/** @type {SceneCard} */ card) => {
    element.style.setProperty('--hue', String(hueOf(card.id)));
    showStill(element, layers, card.take);
    showPreview(element, layers, card);
    element.classList.toggle('has-still', Boolean(layers.still));
  };
  playUnderPointer(element);
  return element;
}

/** A still of a take: its poster, or the first frame of its clip where there is none. @param {TakeView} take */
export function still(take) {
  if (!take.media) return h('span.still.withheld', {}, 'withheld');
  if (take.poster)
    return h('img.still', { src: mediaAddress(take.poster), alt: '', draggable: 'false', decoding: 'async' });
  return h('video.still', { src: mediaAddress(take.media), muted: true, playsinline: true, preload: 'metadata' });
}

/** @param {PageNode} element @param {any} layers @param {TakeView | null} take */
function showStill(element, layers, take) {
  if (layers.take === take?.id && layers.media === take?.media) return;
  const next = take ? still(take) : null;
  const before = layers.still;
  Object.assign(layers, { still: next, take: take?.id, media: take?.media });
  element.dataset.media = take?.media ?? '';
  if (next) element.append(next);
  if (!next || !before) before?.remove();
  else onceShown(next, () => before.remove());
}

/** @param {PageNode} node @param {any} act */
function onceShown(node, act) {
  for (const name of ['load', 'loadeddata', 'error']) node.addEventListener(name, act, { once: true });
}

// A new preview is fetched before it takes the old one's place, so that the card never flashes.
/** @param {PageNode} element @param {any} layers @param {SceneCard} card */
function showPreview(element, layers, card) {
  const wanted = card.state === 'rendering' && card.preview && card.job_id ? previewAddress(card) : null;
  if (layers.wanted === wanted) return;
  layers.wanted = wanted;
  if (!wanted) {
    layers.preview?.remove();
    layers.preview = null;
    return;
  }
  const next = h('img.preview', { src: wanted, alt: '', draggable: 'false' });
  next.addEventListener('load', () => {
    if (layers.wanted !== wanted) return;
    layers.preview?.remove();
    layers.preview = next;
    element.append(next);
  });
}

const calm = matchMedia('(prefers-reduced-motion: reduce)');

/** @param {PageNode} element */
function playUnderPointer(element) {
  let timer = 0;
  /** @type {any} */
  let video = null;
  const stop = () => {
    clearTimeout(timer);
    video?.remove();
    video = null;
  };
  const play = () => {
    if (!element.dataset.media || element.querySelector('.preview')) return;
    video = h('video.moving', { src: mediaAddress(element.dataset.media), muted: true, loop: true, playsinline: true });
    video.muted = true;
    element.append(video);
    video.play().catch(() => stop());
  };
  element.addEventListener('pointerenter', (/** @type {any} */ event) => {
    if (event.pointerType === 'mouse' && !calm.matches) timer = setTimeout(play, 220);
  });
  element.addEventListener('pointerleave', stop);
}
