// @ts-check
// The first frame that a picture model makes for a scene without one: shown, made anew, kept, or
// asked for in other words.

import { h, icon, setAttributes, setChildren } from '../core/dom.js';
import { model } from '../core/capabilities.js';
import { field } from './field.js';
import { say } from '../core/notices.js';
import { act } from '../core/saving.js';
import { mediaAddress } from '../core/store.js';

/** A node with `show(card)`; nothing is shown where no picture model makes the scene's first frame. */
export function firstFramePanel() {
  /** @type {SceneCard} */
  let card;
  const picture = h('div.made-picture');
  const again = h(
    'button.button',
    { type: 'button', id: 'another-picture', onclick: () => act('another_picture', { scene: card.id }) },
    icon('dice'),
    'Make another',
  );
  const keep = h(
    'button.button',
    { type: 'button', id: 'keep-picture', onclick: () => keepPicture(card) },
    icon('check'),
    'Use as my picture',
  );
  const words = field({
    id: 'first-prompt',
    kind: 'text',
    rows: 2,
    label: 'What it shows',
    path: 'first_frame.prompt',
    read: (scene) => scene.first_frame.prompt,
    placeholder: 'As the prompt',
    hint: () => 'else the prompt',
  });
  const row = h('div.row', {}, again, keep);
  const node = h(
    'div.first-frame',
    {},
    picture,
    row,
    h('details.own-words', {}, h('summary', {}, 'Other words for the first frame'), words),
  );
  node.show = (/** @type {SceneCard} */ scene) => {
    card = scene;
    node.hidden = !isMade(scene);
    if (node.hidden) return;
    words.show(scene, scene.id);
    /** @type {any} */
    const own = node.querySelector('.own-words');
    if (scene.first_frame.prompt && own.dataset.of !== scene.id) own.open = true;
    own.dataset.of = scene.id;
    showPicture(picture, scene);
    setAttributes(again, {
      disabled: !scene.first_frame.can_make,
      title: scene.first_frame.can_make ? 'With another seed' : scene.first_frame.text,
    });
    row.hidden = !scene.first_frame.media;
  };
  return node;
}

/** Whether the scene begins with a frame that a picture model makes for it, or would if it could. */
export const isMade = (/** @type {SceneCard} */ card) =>
  Boolean(model()?.first_frame && !card.conditioning && !continued(card));
const continued = (/** @type {SceneCard} */ card) => card.number > 1 && card.transition === 'continue';

/** @param {PageNode} node @param {SceneCard} card */
function showPicture(node, { first_frame: { media, text, can_make: can } }) {
  const words = media ? '' : can ? `Comes with the scene, ${text}.` : `No first frame yet${text ? `: ${text}` : ''}.`;
  setAttributes(node, { 'data-none': !media });
  if (node.dataset.of === `${media}${words}`) return;
  node.dataset.of = `${media}${words}`;
  if (media) setChildren(node, [h('img', { src: mediaAddress(media), alt: 'The first frame that was made' })]);
  else setChildren(node, [h('p.quiet', {}, words)]);
}

/** @param {SceneCard} card */
async function keepPicture(card) {
  const answer = await act('keep_picture', { scene: card.id });
  if (answer?.ok) say('It is your picture now: it stays when words or model change.');
}
