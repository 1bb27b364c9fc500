// @ts-check
// Moves a card with the pointer: a mouse drags it at once, a finger after a long press. Its twin for keys is Alt and
// arrows. Knows elements and places, not scenes.

import { h } from '../core/dom.js';

const START_PX = 6;
const HOLD_MS = 380;

/** Lets the `.cell` children of `list` be dragged; `moved(cell, place)` gets the place counted without the cell.
 *  @param {PageNode} list @param {any} moved */
export function dragging(list, moved) {
  let hold = 0;
  list.addEventListener('pointerdown', (/** @type {any} */ event) => {
    const cell = event.target.closest('.cell');
    if (!cell || event.button !== 0) return;
    const drag = { list, cell, moved, from: [event.clientX, event.clientY], touch: event.pointerType !== 'mouse' };
    if (drag.touch) hold = setTimeout(() => begin(drag), HOLD_MS);
    follow(drag, () => clearTimeout(hold));
  });
  list.addEventListener('dragstart', (/** @type {any} */ event) => event.preventDefault());
}

/** @param {any} drag @param {any} ended */
function follow(drag, ended) {
  const move = (/** @type {any} */ event) => {
    const far = Math.hypot(event.clientX - drag.from[0], event.clientY - drag.from[1]) > START_PX;
    if (!drag.ghost && far && drag.touch) return finish();
    if (!drag.ghost && far) begin(drag);
    if (drag.ghost) carry(drag, event);
  };
  const drop = () => {
    if (drag.ghost && drag.place !== undefined) drag.moved(drag.cell, drag.place);
    finish();
  };
  const key = (/** @type {any} */ event) => event.key === 'Escape' && drag.ghost && (event.stopPropagation(), finish());
  const still = (/** @type {any} */ event) => drag.ghost && event.preventDefault();
  /** @type {[string, (event: any) => unknown][]} */
  const steps = [
    ['pointermove', move],
    ['pointerup', drop],
    ['pointercancel', finish],
    ['keydown', key],
  ];
  function finish() {
    ended();
    for (const [name, act] of steps) removeEventListener(name, act, true);
    removeEventListener('touchmove', still);
    removeEventListener('contextmenu', still);
    tidy(drag);
  }
  for (const [name, act] of steps) addEventListener(name, act, true);
  addEventListener('touchmove', still, { passive: false });
  addEventListener('contextmenu', still);
}

/** @param {any} drag */
function begin(drag) {
  const box = drag.cell.getBoundingClientRect();
  const ghost = drag.cell.querySelector('.card').cloneNode(true);
  ghost.removeAttribute('id');
  ghost.classList.add('ghost');
  Object.assign(ghost.style, { width: `${box.width}px`, left: `${box.left}px`, top: `${box.top}px` });
  drag.ghost = ghost;
  drag.mark = h('div.drop-mark', { 'aria-hidden': 'true' });
  document.body.append(ghost, drag.mark);
  drag.cell.classList.add('lifted');
  document.body.classList.add('dragging');
  navigator.vibrate?.(12);
}

/** @param {any} drag @param {any} event */
function carry(drag, event) {
  const [x, y] = [event.clientX, event.clientY];
  drag.ghost.style.transform = `translate(${x - drag.from[0]}px, ${y - drag.from[1]}px) rotate(1deg)`;
  scrollAtEdges(drag.list, y);
  const others = [...drag.list.querySelectorAll('.cell')].filter((cell) => cell !== drag.cell);
  drag.place = placeAt(others, x, y);
  showMark(drag.mark, others, drag.place);
}

// The place is before the first card whose row is not above the pointer and whose middle is right of it.
/** @param {HTMLElement[]} cells @param {number} x @param {number} y */
function placeAt(cells, x, y) {
  const place = cells.findIndex((/** @type {PageNode} */ cell) => {
    const box = cell.getBoundingClientRect();
    return y < box.top || (y <= box.bottom && x < box.left + box.width / 2);
  });
  return place < 0 ? cells.length : place;
}

/** @param {any} mark @param {HTMLElement[]} cells @param {number} place */
function showMark(mark, cells, place) {
  const after = place === cells.length;
  const cell = cells[after ? place - 1 : place];
  mark.hidden = !cell;
  if (!cell) return;
  const box = cell.getBoundingClientRect();
  const x = after ? box.right + 10 : box.left - 13;
  Object.assign(mark.style, { left: `${x}px`, top: `${box.top}px`, height: `${box.height}px` });
}

/** @param {PageNode} list @param {number} y */
function scrollAtEdges(list, y) {
  const scroller = list.closest('.board-scroll');
  if (!scroller) return;
  const box = scroller.getBoundingClientRect();
  if (y < box.top + 48) scroller.scrollBy(0, -14);
  else if (y > box.bottom - 48) scroller.scrollBy(0, 14);
}

/** @param {any} drag */
function tidy(drag) {
  drag.ghost?.remove();
  drag.mark?.remove();
  drag.cell.classList.remove('lifted');
  document.body.classList.remove('dragging');
}
