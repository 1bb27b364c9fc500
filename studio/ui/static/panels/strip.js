// @ts-check
// The film as it is now, scene by scene: old takes dimmed, what is missing hatched, the place that plays marked.

import { h, setAttributes, setChildren, setText } from '../core/dom.js';
import { still } from './picture.js';
import { state } from '../core/store.js';
import { stateWords } from '../core/labels.js';

/** A node with `show(board)` and `playing(seconds)`; `go(card, start)` is called with a scene and where it begins.
 *  @param {any} go */
export function strip(go) {
  const node = h('ol.strip', { 'aria-label': 'Scenes of the film' });
  const known = new Map();
  /** @type {number[]} */
  let begins = [];
  /** @type {string | null} */
  let chosen = null;
  let plays = -1;
  node.show = (/** @type {BoardView} */ board) => {
    begins = startsOf(board.scenes);
    for (const id of known.keys())
      if (!board.scenes.some((/** @type {SceneCard} */ card) => card.id === id)) known.delete(id);
    setChildren(
      node,
      board.scenes.map((/** @type {SceneCard} */ card, /** @type {number} */ place) =>
        frame(known, card, () => go(known.get(card.id).scene, begins[place])),
      ),
    );
    if (chosen !== state.selected) reveal(node, known.get(state.selected));
    chosen = state.selected;
  };
  node.playing = (/** @type {number} */ seconds) => {
    const place = seconds === null ? -1 : begins.findLastIndex((start) => seconds >= start - 0.02);
    [...node.children].forEach((child, index) => child.classList.toggle('plays', index === place));
    if (plays !== place) reveal(node, /** @type {any} */ (node.children[place]));
    plays = place;
  };
  return node;
}

// Only the strip is moved: the page stays where the author is.
/** @param {PageNode} node @param {PageNode} item */
function reveal(node, item) {
  if (!item) return;
  const [all, one] = [node.getBoundingClientRect(), item.getBoundingClientRect()];
  if (one.left < all.left || one.right > all.right)
    node.scrollLeft += (one.left + one.right - all.left - all.right) / 2;
}

// Where each scene's take begins in the film, in seconds; a crossfade begins before the one before it has ended.
/** @param {SceneCard[]} scenes */
function startsOf(scenes) {
  let end = 0;
  return scenes.map((/** @type {SceneCard} */ card) => {
    if (!card.take) return end;
    const start = Math.max(0, end - (card.transition === 'crossfade' && end > 0 ? card.crossfade_s : 0));
    end = start + card.take.duration_s;
    return start;
  });
}

/** @param {any} known @param {SceneCard} card @param {any} go */
function frame(known, card, go) {
  if (!known.has(card.id)) known.set(card.id, h('li', {}, h('button', { type: 'button' }, h('span.number'))));
  const item = known.get(card.id);
  const button = item.firstChild;
  item.scene = card;
  button.onclick = go;
  if (item.dataset.take !== (card.take?.id ?? '')) {
    item.dataset.take = card.take?.id ?? '';
    setChildren(button, [...(card.take ? [still(card.take)] : []), button.querySelector('.number')]);
  }
  setText(button.querySelector('.number'), String(card.number));
  setAttributes(button, {
    'aria-label': `Scene ${card.number}, ${card.take ? stateWords(card) : 'no take yet'}`,
    title: stateWords(card),
    'data-none': !card.take,
    'data-old': Boolean(card.take && !card.take.matches),
    'aria-current': card.id === state.selected ? 'true' : null,
  });
  return item;
}
