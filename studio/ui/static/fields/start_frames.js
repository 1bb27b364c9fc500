// @ts-check
// What a scene starts from: a picture or clip of the author's, or the frames of the scene before.

import { h, icon, iconButton, messageOf, setAttributes, setChildren, setText } from '../core/dom.js';
import { conditioningOf, described, takesClip, takesPicture } from '../core/conditioning.js';
import { conflictBox, showConflict } from './field.js';
import { firstFramePanel, isMade } from './first_frame.js';
import { say } from '../core/notices.js';
import { draftOf, typed } from '../core/saving.js';
import { still } from '../panels/picture.js';
import { mediaAddress, state } from '../core/store.js';

const PATH = 'conditioning';

/**
 * Stores a picture or clip with a project. Resolves to what it is, or null after saying what is wrong.
 * @param {File} file @param {string | null} [project] @returns {Promise<UploadedMedia | null>}
 */
export async function uploaded(file, project = state.project) {
  const form = new FormData();
  form.append('file', file);
  try {
    const response = await fetch(new URL(`media/${project}`, document.baseURI), { method: 'POST', body: form });
    const answer = response.headers.get('content-type')?.includes('json')
      ? await response.json()
      : { ok: false, problem: await response.text() };
    if (answer.ok) return answer.media;
    say(answer.problem, 'bad');
  } catch (error) {
    say(`${file.name} was not stored: ${messageOf(error)}`, 'bad');
  }
  return null;
}

/** A node with `show(card, cardBefore)`. */
export function startPanel() {
  const input = h('input.sr-only', {
    type: 'file',
    id: 'field-conditioning',
    'aria-label': 'Picture or clip to start from',
  });
  /** @type {Record<string, any>} */
  const parts = {
    thumb: h('span.thumb'),
    words: h('span.words'),
    input,
    made: firstFramePanel(),
    conflict: conflictBox(),
  };
  const pick = h(
    'label.pick',
    { for: 'field-conditioning' },
    icon('upload'),
    h('span', {}, 'Choose or drop a picture or clip'),
  );
  const remove = iconButton('close', 'Remove the picture', () => typed(parts.card.id, PATH, null, 0));
  Object.assign(parts, { pick, remove, zone: h('div.drop-zone', {}, parts.thumb, parts.words, input, pick, remove) });
  input.addEventListener('change', () => input.files[0] && use(parts, input.files[0]).then(() => (input.value = '')));
  const node = h(
    'div.field.start',
    {},
    h('div.label', {}, h('span.name', {}, 'Starts from'), h('span.hint')),
    parts.made,
    parts.zone,
    parts.conflict,
  );
  dropping(node, (/** @type {File[]} */ files) => use(parts, files[0]));
  node.show = (/** @type {SceneCard} */ card, /** @type {SceneCard | null} */ before) =>
    show(node, parts, card, before);
  return node;
}

/** @param {any} parts @param {File} file */
async function use(parts, file) {
  const { id } = parts.card;
  const { project } = state;
  parts.zone.classList.add('busy');
  const media = await uploaded(file, project);
  parts.zone.classList.remove('busy');
  if (media) typed(id, PATH, conditioningOf(media), 0, project);
}

/** @param {PageNode} node @param {any} parts @param {SceneCard} card @param {SceneCard | null} before */
function show(node, parts, card, before) {
  parts.card = card;
  const own = card.conditioning;
  const carried = !own && card.transition === 'continue' && before;
  const kinds = [takesPicture() && 'image/*', takesClip() && 'video/*'].filter(Boolean).join(',');
  node.hidden = !own && !carried && !kinds && !isMade(card);
  setAttributes(parts.input, { accept: kinds, disabled: !kinds });
  parts.made.show(card);
  setAttributes(parts.zone, {
    'data-filled': Boolean(own),
    'data-carried': Boolean(carried),
    'data-instead': isMade(card),
  });
  parts.remove.hidden = !own;
  parts.pick.hidden = !kinds;
  setText(parts.pick.lastChild, pickWords(card, own, carried));
  setText(parts.words, own ? own.text : carried ? `the last frames of scene ${before.number}` : '');
  setText(node.querySelector('.hint'), isMade(card) ? 'a picture made for it' : '');
  showThumb(parts.thumb, own, carried ? (before?.take ?? null) : null);
  showConflict(parts.conflict, { path: PATH, describe: described }, card.id, draftOf(card.id, PATH));
}

/** @param {SceneCard} card @param {any} own @param {any} carried */
function pickWords(card, own, carried) {
  if (own) return 'Replace';
  if (carried) return 'Use a picture';
  const kinds = [takesPicture() && 'picture', takesClip() && 'clip'].filter(Boolean).join(' or ');
  return isMade(card) ? `Or choose or drop a ${kinds}` : `Choose or drop a ${kinds}`;
}

/** @param {PageNode} thumb @param {any} own @param {TakeView | null} take */
function showThumb(thumb, own, take) {
  const wanted = own?.media ?? take?.id ?? '';
  if (thumb.dataset.of === wanted) return;
  thumb.dataset.of = wanted;
  const missing = h('span.lost', {}, 'missing');
  if (take) setChildren(thumb, [still(take)]);
  else if (own)
    setChildren(thumb, [own.kind === 'image' ? pictureOf(own) : own.kind === 'clip' ? clipOf(own) : missing]);
  else setChildren(thumb, []);
}

const pictureOf = (/** @type {any} */ own) =>
  h('img', { src: mediaAddress(own.media), alt: 'The picture it starts from' });
const clipOf = (/** @type {any} */ own) =>
  h('video', { src: mediaAddress(own.media), muted: true, playsinline: true, preload: 'metadata' });

/** Lets files be dropped on a node. @param {PageNode} node @param {(files: File[]) => unknown} take */
export function dropping(node, take) {
  const holds = (/** @type {any} */ event) => [...(event.dataTransfer?.types ?? [])].includes('Files');
  node.addEventListener('dragover', (/** @type {any} */ event) => {
    if (!holds(event)) return;
    event.preventDefault();
    node.classList.add('over');
  });
  for (const name of ['dragleave', 'drop']) node.addEventListener(name, () => node.classList.remove('over'));
  node.addEventListener('drop', (/** @type {any} */ event) => {
    if (!holds(event)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
  });
}
