// @ts-check
// What a refiner made of the prompts, below the author's words: asked for, edited, accepted, refused, asked again.

import { h, setAttributes, setChildren, setText } from '../core/dom.js';
import { field, grow } from './field.js';
import { act, change, draftOf, typed } from '../core/saving.js';
import { shownBoard } from '../core/store.js';

const PARTS = 'refinement.chunk_texts';
/** @type {Record<string, string>} */
const HINTS = {
  proposed: 'a proposal: yours is rendered',
  accepted: 'rendered instead of yours',
  outdated: 'made from other words: yours is rendered',
};

/** A node with `show(card)`. */
export function refinementPanel() {
  /** @type {SceneCard} */
  let card;
  const text = field({
    id: 'refined',
    kind: 'text',
    rows: 3,
    label: 'Refined prompt',
    path: 'refinement.text',
    read: (scene) => scene.refinement.text,
    describe: (value) => (typeof value === 'string' ? value : (value?.text ?? '(refused)')),
    hint: (scene) => HINTS[scene.refinement.state] ?? '',
  });
  const asked = () => card.refinement.busy || ask([card]);
  const refine = h('button.link', { type: 'button', id: 'refine', onclick: asked }, 'Refine');
  const hint = h('span.quiet');
  const [parts, source, notes] = [h('div.parts'), h('p.quiet'), h('ul')];
  const problem = h('p.problem', { role: 'alert' });
  const buttons = decisions(() => card);
  const box = h(
    'section.box',
    { 'aria-label': 'Refined prompt' },
    text,
    parts,
    source,
    notes,
    h('div.row', {}, ...buttons),
  );
  const row = h('div.row', { 'aria-live': 'polite' }, refine, hint);
  const node = h('div.refinement', {}, row, problem, box);
  node.show = (/** @type {SceneCard} */ scene) => {
    const hadFocus = card?.id === scene.id && node.contains(document.activeElement);
    card = scene;
    const { state, busy, failure } = scene.refinement;
    showAsking(refine, hint, scene);
    row.hidden = Boolean(state) && !busy;
    setText(problem, failure ? `Not refined, your words stand: ${failure}` : '');
    problem.hidden = !failure;
    box.hidden = !state;
    setAttributes(box, { 'data-state': state });
    if (state) showBox({ text, parts, source, notes }, scene);
    showDecisions(buttons, scene.refinement);
    if (hadFocus && !isVisible(document.activeElement)) (state ? text.control : refine).focus();
  };
  return node;
}

/** Whether what has the focus still has its place. @param {Element | null} element */
const isVisible = (element) => element instanceof HTMLElement && element.offsetParent !== null;

/** @param {any} button @param {PageNode} hint @param {SceneCard} card */
function showAsking(button, hint, card) {
  const { name, problem } = shownBoard().refiner;
  const { busy, state } = card.refinement;
  setText(button, busy ? 'Refining…' : 'Refine');
  setAttributes(button, { 'aria-disabled': String(busy), title: problem || 'Let a refiner write it for this model' });
  setText(hint, busy || state ? '' : problem || by(name));
}

/** @param {any} parts @param {SceneCard} card */
function showBox({ text, parts, source, notes }, card) {
  text.show(card, card.id);
  const texts = partsOf(card);
  const known = [...parts.children];
  setChildren(
    parts,
    texts.map((/** @type {string} */ _, /** @type {number} */ place) => known[place] ?? partOf(place)),
  );
  texts.forEach((/** @type {string} */ value, /** @type {number} */ place) =>
    showPart(parts.children[place], value, card),
  );
  setText(source, by(card.refinement.source));
  const lines = card.refinement.notes.map((line) => h('li', {}, line));
  if (notes.dataset.of !== card.refinement.notes.join('\n')) setChildren(notes, lines);
  notes.dataset.of = card.refinement.notes.join('\n');
  notes.hidden = !lines.length;
}

/** The built-in refiner writes the same again. */
const BUILT_IN = 'built in';
/** @param {string} name */
const by = (name) => name && `by ${name.replace(/^built in/, 'the built-in refiner')}`;

const partsOf = (/** @type {SceneCard} */ card) => draftOf(card.id, PARTS)?.value ?? card.refinement.chunk_texts;

/** The refined text of a part after the first. @param {number} place */
function partOf(place) {
  const id = `field-refined-part-${place + 2}`;
  const area = h('textarea', { id, rows: 2, maxlength: 8000, spellcheck: true, placeholder: 'As before' });
  area.addEventListener('input', () => {
    grow(area);
    const texts = [...partsOf(area.card)];
    texts[place] = area.value;
    typed(area.card.id, PARTS, texts);
  });
  return h('div.field.text', {}, h('div.label', {}, h('label', { for: id }, `Part ${place + 2}`)), area);
}

/** @param {any} part @param {string} text @param {SceneCard} card */
function showPart(part, text, card) {
  const area = part.lastChild;
  const typing = document.activeElement === area && area.card?.id === card.id && draftOf(card.id, PARTS);
  area.card = card;
  if (!typing && area.value !== text) area.value = text;
  grow(area);
}

/** Accept, refuse, again. @param {() => SceneCard} card */
function decisions(card) {
  const button = (/** @type {string} */ id, /** @type {string} */ label, /** @type {() => unknown} */ onclick) =>
    h('button.button', { type: 'button', id: `refined-${id}`, onclick }, label);
  return [
    button('accept', 'Accept', () => accept(card())),
    button('refuse', 'Refuse', () =>
      change({ kind: 'change_scene', scene_id: card().id, field: 'refinement', value: null }),
    ),
    button('again', 'Again', () => ask([card()], true)),
  ];
}

/** @param {any[]} buttons @param {SceneCard['refinement']} refinement */
function showDecisions([accepting, refusing, again], { state, busy }) {
  accepting.hidden = state === 'accepted';
  setText(accepting, state === 'outdated' ? 'Accept as it is' : 'Accept');
  setText(refusing, state === 'accepted' ? 'Use my words' : 'Refuse');
  again.hidden = shownBoard().refiner.name === BUILT_IN && state !== 'outdated';
  setAttributes(again, { disabled: busy || Boolean(shownBoard().refiner.problem) });
}

/** @param {SceneCard} card */
const accept = (card) =>
  change({ kind: 'accept_refinement', scene_id: card.id, accepted: true, style: shownBoard().refiner.style });

/** @param {SceneCard[]} cards @param {boolean} [again] */
function ask(cards, again = false) {
  return act('refine', { scenes: cards.map((card) => card.id), again });
}

/** For the whole film: refine all, accept all. A node with `show(board)`. */
export function refineAll() {
  const refine = h('button.button', { type: 'button', id: 'refine-all', onclick: () => ask(due(shownBoard())) });
  const acceptAll = () => proposals(shownBoard()).map(accept);
  const all = h('button.button', { type: 'button', id: 'accept-all', onclick: acceptAll });
  const hint = h('span.quiet');
  const node = h(
    'div.field.refinement',
    {},
    h('div.label', {}, h('span.name', {}, 'Prompts')),
    h('div.row', { 'aria-live': 'polite' }, refine, all, hint),
  );
  node.show = (/** @type {BoardView} */ board) => {
    const busy = board.scenes.filter((card) => card.refinement.busy).length;
    const { name, problem } = board.refiner;
    setText(refine, busy ? `Refining ${busy} of ${board.scenes.length}…` : 'Refine all');
    setAttributes(refine, { disabled: Boolean(busy || problem || !due(board).length) });
    const proposed = proposals(board).length;
    all.hidden = !proposed;
    setText(all, `Accept ${proposed === 1 ? 'the proposal' : `all ${proposed}`}`);
    setText(hint, problem || (busy ? '' : by(name)));
  };
  return node;
}

/** Scenes whose words are not refined as they are now. @param {BoardView} board */
const due = (board) =>
  board.scenes.filter(
    (card) => (card.prompt || card.conditioning) && ['', 'outdated'].includes(card.refinement.state),
  );
/** @param {BoardView} board */
const proposals = (board) => board.scenes.filter((card) => card.refinement.state === 'proposed');
