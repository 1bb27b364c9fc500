// @ts-check
// One scene card: a node made once and then only changed where the scene changed. Does not know its neighbours.

import { h, icon, setAttributes, setChildren, setText } from '../core/dom.js';
import { picture } from './picture.js';
import {
  cardLabel,
  isBlank,
  joinWords,
  progressShare,
  progressWords,
  rootWords,
  stateWords,
  takesWords,
} from '../core/labels.js';

/** A list item with `show(card, total, selected)`; `item.card` is what takes the focus. @param {string} id */
export function sceneCard(id) {
  const parts = {
    join: h('span.join', { 'aria-hidden': 'true' }),
    picture: picture(),
    number: h('span.pill.number'),
    length: h('span.pill.length'),
    progress: h('span.pill.step'),
    bar: h('span.progress', {}, h('i')),
    prompt: h('p.prompt'),
    dot: h('i.dot'),
    state: h('span.state'),
    takes: h('span.takes'),
    root: h('span.root'),
    notes: h('span.warn', {}),
  };
  const { picture: frame, number, length, progress, bar, prompt, dot, state, takes, root, notes } = parts;
  frame.append(number, length, progress, bar);
  const condition = h('div.foot', {}, dot, state, notes);
  const roots = h('div.foot', {}, takes, root);
  const words = h('div.words', {}, prompt, condition, roots);
  const card = h('div.card', { role: 'option', id: `card-${id}` }, frame, words);
  const item = h('li.cell', { role: 'presentation' }, parts.join, card);
  item.dataset.scene = id;
  item.card = card;
  item.show = (/** @type {SceneCard} */ scene, /** @type {any} */ total, /** @type {any} */ selected) =>
    show(item, parts, scene, total, selected);
  return item;
}

/** @param {PageNode} item @param {Record<string, PageNode>} parts @param {SceneCard} scene @param {number} total
 *  @param {boolean} selected */
function show(item, parts, scene, total, selected) {
  setAttributes(item.card, {
    'aria-label': cardLabel(scene, total),
    'aria-selected': selected ? 'true' : 'false',
    'aria-posinset': scene.number,
    'aria-setsize': total,
    tabindex: selected ? 0 : -1,
    'data-state': isBlank(scene) ? 'blank' : scene.state,
  });
  parts.picture.show(scene);
  setText(parts.number, String(scene.number));
  setText(parts.length, scene.duration_text);
  const words = scene.prompt || scene.refinement.text;
  setText(parts.prompt, words || 'Say what is seen here');
  parts.prompt.classList.toggle('blank', !words);
  setText(parts.state, stateWords(scene));
  setAttributes(parts.state, { title: scene.reason || null });
  setText(parts.takes, takesWords(scene));
  setText(parts.root, rootWords(scene));
  const failure = scene.refinement.failure ? [`Not refined: ${scene.refinement.failure}`] : [];
  showNotes(parts.notes, [scene.take?.guard.text ?? '', ...failure, ...scene.plan_notes].filter(Boolean));
  showJoin(parts.join, scene);
  showProgress(parts, scene);
}

/** @param {PageNode} node @param {any} notes */
function showNotes(node, notes) {
  setAttributes(node, { hidden: !notes.length, title: notes.join('\n') });
  if (!node.childNodes.length) node.append(icon('remark'));
}

/** @param {PageNode} node @param {SceneCard} scene */
function showJoin(node, scene) {
  setAttributes(node, { hidden: scene.number === 1, title: joinWords(scene), 'data-join': scene.transition });
  if (node.dataset.drawn === scene.transition) return;
  node.dataset.drawn = scene.transition;
  setChildren(node, [icon(scene.transition)]);
}

/** @param {Record<string, any>} parts @param {SceneCard} scene */
function showProgress(parts, scene) {
  const working = scene.state === 'rendering';
  setAttributes(parts.progress, { hidden: !working });
  setAttributes(parts.bar, { hidden: !working });
  if (!working) return;
  setText(parts.progress, scene.progress ? progressWords(scene.progress) : 'starting');
  parts.bar.firstChild.style.transform = `scaleX(${progressShare(scene.progress)})`;
}
