// @ts-check
// The film: its player, the strip of its scenes, and what waits to be rendered. A newer film never takes the place of
// one that is being watched.

import { h, icon, iconButton, setAttributes, setChildren, setText } from '../core/dom.js';
import { focusScene } from './board.js';
import { chooseTheme } from '../core/colours.js';
import { showKeys } from './keys.js';
import { act } from '../core/saving.js';
import { connectPanel } from '../core/unsaved.js';
import { mediaAddress, selectedScene, shownBoard, subscribe } from '../core/store.js';
import { screen } from './screen.js';
import { strip } from './strip.js';
import { progressWords, stateWords } from '../core/labels.js';

/** @param {PageNode} element @param {any} server */
export function mount(element, server) {
  connectPanel(server);
  const film = screen();
  const scenes = strip((/** @type {SceneCard} */ card, /** @type {number} */ start) => {
    focusScene(card.id);
    film.seek(start);
  });
  film.watch((/** @type {number} */ seconds, /** @type {any} */ showing) =>
    scenes.playing(showing === 'film' ? seconds : null),
  );
  const parts = filmParts(film);
  const [middle, queue] = [
    h('section.film', { 'aria-label': 'Film' }, parts.head, scenes, parts.words, parts.make),
    queuePanel(),
  ];
  element.replaceChildren(h('div.player', {}, film, middle, queue));
  subscribe(({ board }) => {
    element.classList.toggle('none', !board);
    if (!board) return;
    film.show(board, selectedScene());
    scenes.show(board);
    showWords(parts, board);
    queue.show(board);
  });
}

/** @param {PageNode} film */
function filmParts(film) {
  const links = {
    film: h('a.link', {}, icon('download'), 'Film'),
    board: h('a.link', {}, icon('download'), 'Storyboard'),
    prompts: h('a.link', {}, icon('download'), 'Prompts'),
  };
  const which = film.chooser;
  return {
    links,
    head: h(
      'header.film-head',
      {},
      h('h2', {}, 'Film'),
      which,
      h('span.spring'),
      links.film,
      links.board,
      links.prompts,
    ),
    words: h('p.film-words', { role: 'status' }),
    make: h('button.button', { type: 'button', onclick: () => act('assemble') }, 'Try again'),
  };
}

/** @param {any} parts @param {BoardView} board */
function showWords({ links, words, make }, board) {
  const film = board.film;
  setText(words, film.error || film.text);
  setAttributes(words, { 'data-problem': Boolean(film.error) });
  const name = encodeURIComponent(`${board.title || 'film'}.mp4`);
  setAttributes(links.film, {
    hidden: !film.media,
    href: film.media && `${mediaAddress(film.media)}?download=${name}`,
    download: true,
  });
  setAttributes(links.board, {
    href: new URL(`storyboard/${board.project_id}`, document.baseURI).href,
    download: true,
  });
  const prompts = new URL(`prompts/${board.project_id}`, document.baseURI).href;
  setAttributes(links.prompts, {
    hidden: !board.joint,
    href: prompts,
    download: true,
    title: 'As a prompt file of TTT-Video',
  });
  setAttributes(make, { hidden: !film.error || film.missing.length > 0 || film.assembling });
}

function queuePanel() {
  const list = h('ol.queue-list');
  const none = h('p.quiet');
  const pause = h('button.link', {
    type: 'button',
    onclick: () => act('pause', { paused: !shownBoard().render.paused }),
  });
  const engine = h(
    'div.engine',
    {},
    h('i.dot'),
    h('span.name'),
    iconButton('help', 'Keys (?)', showKeys),
    iconButton('sun', 'Light or dark', chooseTheme, '.colours'),
  );
  const node = h(
    'section.queue',
    { 'aria-label': 'Queue' },
    h('header', {}, h('h2', {}, 'Queue'), pause),
    list,
    none,
    engine,
  );
  /** @type {Map<string, PageNode>} */
  const rows = new Map();
  node.show = (/** @type {BoardView} */ board) => {
    const waiting = board.scenes.filter(
      (/** @type {SceneCard} */ card) => card.state === 'rendering' || card.state === 'queued',
    );
    waiting.sort(
      (/** @type {any} */ one, /** @type {any} */ other) =>
        Number(other.state === 'rendering') - Number(one.state === 'rendering'),
    );
    for (const id of rows.keys()) if (!waiting.some((/** @type {SceneCard} */ card) => card.id === id)) rows.delete(id);
    setChildren(
      list,
      waiting.map((/** @type {SceneCard} */ card, /** @type {number} */ place) => queueRow(rows, card, place)),
    );
    setAttributes(none, { hidden: waiting.length > 0 });
    setText(none, board.film.assembling ? 'Putting the film together…' : 'Nothing waits.');
    setAttributes(pause, { hidden: !board.render.busy && !board.render.paused });
    setText(pause, board.render.paused ? 'Continue' : 'Pause');
    setText(engine.children[1], board.engine.text);
    setAttributes(engine, { 'data-engine': board.engine.state });
  };
  return node;
}

function newQueueRow() {
  const sooner = iconButton('up', 'Render this next', () => act('render_next', { job: row.job, position: 0 }));
  const row = h('li', {}, h('span.name'), h('span.when'), sooner);
  return row;
}

/** @param {Map<string, PageNode>} rows @param {SceneCard} card @param {number} place */
function queueRow(rows, card, place) {
  const row = rows.get(card.id) ?? newQueueRow();
  rows.set(card.id, row);
  row.job = card.job_id;
  const working = card.state === 'rendering';
  setText(row.children[0], `Scene ${card.number}`);
  setText(
    row.children[1],
    working
      ? card.progress
        ? progressWords(card.progress)
        : 'starting'
      : place <= 1
        ? 'next'
        : card.reason || stateWords(card),
  );
  setAttributes(row, { 'data-state': card.state });
  setAttributes(row.children[2], { hidden: working || place <= 1 });
  return row;
}
