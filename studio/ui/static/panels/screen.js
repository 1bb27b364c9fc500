// @ts-check
// The screen: plays the film, or the selected scene's take. Has its own few controls, all of them reachable by keys.

import { clock, h, icon, iconButton, setAttributes, setChildren, setText } from '../core/dom.js';
import { mediaAddress } from '../core/store.js';

/** A node with `show(board, card)`, `seek(seconds)`, `watch(watcher)` and `chooser`: film or scene. */
export function screen() {
  const video = h('video', { playsinline: true, preload: 'metadata', id: 'film-video', 'aria-label': 'Film' });
  /** @type {Record<string, any>} */
  const parts = {
    video,
    blank: h('div.blank', {}, h('div.empty-sky', {}, h('i'), h('i'), h('i')), h('p')),
    play: h('button.play', { type: 'button', 'aria-label': 'Play', id: 'play' }, icon('play')),
    time: h('span.pill.time', { 'aria-hidden': 'true' }),
    line: h('input.scrub', { type: 'range', min: 0, max: 1000, step: 1, value: 0, 'aria-label': 'Place in the film' }),
    newer: h('button.pill.newer', { type: 'button' }),
    wants: 'film',
    watchers: [],
  };
  const wide = iconButton('expand', 'Whole screen', () => node.requestFullscreen?.(), '.wide-button');
  const node = h('div.screen', {}, video, parts.blank, parts.play, parts.time, parts.newer, parts.line, wide);
  const changed = () => node.show(parts.board, parts.card);
  control(parts, changed);
  node.chooser = chooser(parts, changed);
  node.show = (/** @type {BoardView} */ board, /** @type {SceneCard} */ card) => show(node, parts, board, card);
  node.seek = (/** @type {number} */ seconds) => seek(parts, seconds);
  node.watch = (/** @type {any} */ watcher) => parts.watchers.push(watcher);
  return node;
}

/** @param {any} parts @param {any} changed */
function chooser(parts, changed) {
  const choice = (/** @type {string} */ name) =>
    h('button', { type: 'button', onclick: () => ((parts.wants = name), (parts.swap = true), changed()) });
  const [film, scene] = [choice('film'), choice('scene')];
  const node = h('div.mini-choice', { role: 'group', 'aria-label': 'On the screen' }, film, scene);
  node.show = (/** @type {any} */ showing, /** @type {SceneCard} */ card) => {
    setText(film, 'Film');
    setText(scene, card ? `Scene ${card.number}` : 'Scene');
    setAttributes(film, { 'aria-pressed': String(showing === 'film') });
    setAttributes(scene, { 'aria-pressed': String(showing === 'scene'), disabled: !card?.take });
  };
  return node;
}

/** @param {PageNode} node @param {any} parts @param {BoardView} board @param {SceneCard} card */
function show(node, parts, board, card) {
  Object.assign(parts, { board, card });
  const showing = parts.wants === 'scene' && card?.take ? 'scene' : 'film';
  const { media, poster } = (showing === 'scene' ? card?.take : null) ?? board.film;
  const of = `${board.project_id} ${showing === 'scene' ? card?.id : ''}`;
  node.chooser.show(showing, card);
  const busy = !parts.video.paused && !parts.video.ended && parts.media && !parts.swap && of === parts.of;
  parts.newer.hidden = !(busy && media && media !== parts.media);
  setText(parts.newer, `A newer ${showing === 'scene' ? 'take' : 'film'} is ready`);
  if (media !== parts.media && !busy) load(parts, media, poster);
  Object.assign(parts, { showing, of, swap: false });
  node.classList.toggle('nothing', !media);
  setText(
    parts.blank.lastChild,
    board.film.assembling ? 'Putting the film together…' : 'The film plays here once it is rendered.',
  );
  showTime(parts);
}

/** @param {any} parts @param {any} media @param {any} poster */
function load(parts, media, poster) {
  parts.media = media ?? null;
  setAttributes(parts.video, { poster: poster ? mediaAddress(poster) : null });
  if (media) parts.video.src = mediaAddress(media);
  else parts.video.removeAttribute('src');
  parts.video.load();
}

/** @param {any} parts @param {any} changed */
function control(parts, changed) {
  const { video, play, line, newer } = parts;
  const toggle = () => (video.paused ? video.play().catch(() => {}) : video.pause());
  play.addEventListener('click', toggle);
  video.addEventListener('click', toggle);
  newer.addEventListener('click', () => {
    parts.swap = true;
    changed();
    video.play().catch(() => {});
  });
  line.addEventListener('input', () => video.duration && (video.currentTime = (line.value / 1000) * video.duration));
  for (const name of ['timeupdate', 'loadedmetadata', 'play', 'pause', 'ended', 'emptied']) {
    video.addEventListener(name, () => showTime(parts));
  }
}

/** @param {any} parts */
function showTime(parts) {
  const { video, play, time, line } = parts;
  const [at, whole] = [video.currentTime || 0, Number.isFinite(video.duration) ? video.duration : 0];
  setText(time, `${clock(at)} / ${clock(whole)}`);
  setAttributes(line, { 'aria-valuetext': `${clock(at)} of ${clock(whole)}` });
  line.value = whole ? Math.round((at / whole) * 1000) : 0;
  line.style.setProperty('--share', whole ? at / whole : 0);
  const running = !video.paused && !video.ended;
  if (play.dataset.running !== String(running)) setChildren(play, [icon(running ? 'pause' : 'play')]);
  setAttributes(play, { 'aria-label': running ? 'Pause' : 'Play', 'data-running': String(running) });
  for (const watcher of parts.watchers) watcher(whole ? at : null, parts.showing);
}

/** @param {any} parts @param {number} seconds */
function seek(parts, seconds) {
  if (parts.showing !== 'film' || !parts.video.duration) return;
  parts.video.currentTime = Math.min(Math.max(0, seconds), parts.video.duration - 0.01);
}
