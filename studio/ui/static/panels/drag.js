// Moves a card with the pointer: a mouse drags it at once, a finger after a long press. Its twin for keys is Alt and
// arrows. Knows elements and places, not scenes.

import { h } from '../core/dom.js';

const START_PX = 6;
const HOLD_MS = 380;

/** Lets the `.cell` children of `list` be dragged; `moved(cell, place)` gets the place counted without the cell. */
export function dragging(list, moved) {
  let hold = null;
  list.addEventListener('pointerdown', (event) => {
    const cell = event.target.closest('.cell');
    if (!cell || event.button !== 0) return;
    const drag = { list, cell, moved, from: [event.clientX, event.clientY], touch: event.pointerType !== 'mouse' };
    if (drag.touch) hold = setTimeout(() => begin(drag), HOLD_MS);
    follow(drag, () => clearTimeout(hold));
  });
  list.addEventListener('dragstart', (event) => event.preventDefault());
}

function follow(drag, ended) {
  const move = (event) => {
    const far = Math.hypot(event.clientX - drag.from[0], event.clientY - drag.from[1]) > START_PX;
    if (!drag.ghost && far && drag.touch) return finish();
    if (!drag.ghost && far) begin(drag);
    if (drag.ghost) carry(drag, event);
  };
  const drop = () => {
    if (drag.ghost && drag.place !== undefined) drag.moved(drag.cell, drag.place);
    finish();
  };
  const key = (event) => event.key === 'Escape' && drag.ghost && (event.stopPropagation(), finish());
  const still = (event) => drag.ghost && event.preventDefault();
  const steps = [['pointermove', move], ['pointerup', drop], ['pointercancel', finish], ['keydown', key]];
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

function carry(drag, event) {
  const [x, y] = [event.clientX, event.clientY];
  drag.ghost.style.transform = `translate(${x - drag.from[0]}px, ${y - drag.from[1]}px) rotate(1deg)`;
  scrollAtEdges(drag.list, y);
  const others = [...drag.list.querySelectorAll('.cell')].filter((cell) => cell !== drag.cell);
  drag.place = placeAt(others, x, y);
  showMark(drag.mark, others, drag.place);
}

// The place is before the first card whose row is not above the pointer and whose middle is right of it.
function placeAt(cells, x, y) {
  const place = cells.findIndex((cell) => {
    const box = cell.getBoundingClientRect();
    return y < box.top || (y <= box.bottom && x < box.left + box.width / 2);
  });
  return place < 0 ? cells.length : place;
}

function showMark(mark, cells, place) {
  const after = place === cells.length;
  const cell = cells[after ? place - 1 : place];
  mark.hidden = !cell;
  if (!cell) return;
  const box = cell.getBoundingClientRect();
  const x = after ? box.right + 10 : box.left - 13;
  Object.assign(mark.style, { left: `${x}px`, top: `${box.top}px`, height: `${box.height}px` });
}

function scrollAtEdges(list, y) {
  const scroller = list.closest('.board-scroll');
  const box = scroller.getBoundingClientRect();
  if (y < box.top + 48) scroller.scrollBy(0, -14);
  else if (y > box.bottom - 48) scroller.scrollBy(0, 14);
}

function tidy(drag) {
  drag.ghost?.remove();
  drag.mark?.remove();
  drag.cell.classList.remove('lifted');
  document.body.classList.remove('dragging');
}
