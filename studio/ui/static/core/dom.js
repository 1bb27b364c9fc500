// @ts-check
// Builds elements. User text only ever becomes a text node or an attribute, never markup.
// Does not know boards, projects or the studio's answers.

/**
 * An element: `h('p.note', {title: 'x', onclick}, 'text', child)`. Attributes set to null or false are left out.
 * @param {string} name @param {Record<string, any>} [attributes] @param {...any} children @returns {PageNode}
 */
export function h(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split('.');
  const element = document.createElement(tag || 'div');
  if (classes.length) element.className = classes.join(' ');
  for (const [key, value] of Object.entries(attributes)) setAttribute(element, key, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** @param {Element} element @param {string} key @param {any} value */
function setAttribute(element, key, value) {
  if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
  else if (value === true) element.setAttribute(key, '');
  else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, String(value));
}

/** Writes text only where it differs, so that a reader's selection and a screen reader's place survive.
 *  @param {any} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets or removes attributes only where they differ. @param {any} element @param {Record<string, any>} attributes */
export function setAttributes(element, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    const wanted = value === true ? '' : value;
    if (wanted === null || wanted === undefined || wanted === false) element.removeAttribute(key);
    else if (element.getAttribute(key) !== String(wanted)) element.setAttribute(key, String(wanted));
  }
}

/** Makes the children of `parent` exactly `wanted`, moving as few nodes as it can.
 *  @param {any} parent @param {any[]} wanted */
export function setChildren(parent, wanted) {
  const keep = new Set(wanted);
  for (const child of [...parent.childNodes]) if (!keep.has(child)) child.remove();
  wanted.forEach((child, place) => {
    if (parent.childNodes[place] !== child) parent.insertBefore(child, parent.childNodes[place] ?? null);
  });
}

const SVG = 'http://www.w3.org/2000/svg';
/** @type {Record<string, string>} */
const PATHS = {
  plus: 'M8 3v10M3 8h10',
  close: 'M4 4l8 8M12 4l-8 8',
  undo: 'M3 6.5h6.5a3.5 3.5 0 0 1 0 7H6M3 6.5L6 3.5M3 6.5L6 9.5',
  redo: 'M13 6.5H6.5a3.5 3.5 0 0 0 0 7H10M13 6.5L10 3.5M13 6.5L10 9.5',
  up: 'M8 13V3M4 7l4-4 4 4',
  left: 'M13 8H3M7 4L3 8l4 4',
  right: 'M3 8h10M9 4l4 4-4 4',
  copy: 'M5.5 5.5v-2h7v7h-2M3.5 5.5h7v7h-7z',
  trash: 'M3 4.5h10M6 4.5V3h4v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5M6.8 7v3.5M9.2 7v3.5',
  split: 'M8 2v3M8 11v3M8 6.5v3M2.5 5h3v6h-3zM10.5 5h3v6h-3z',
  merge: 'M2.5 5h11v6h-11zM6 8h4M8.6 6.6L10 8 8.6 9.4',
  more: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
  menu: 'M2.5 4.5h11M2.5 8h11M2.5 11.5h11',
  play: 'M5 3.2v9.6L12.8 8z',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  stop: 'M4 4h8v8H4z',
  dice: 'M3 3h10v10H3zM5.8 5.8h.01M10.2 10.2h.01M8 8h.01M10.2 5.8h.01M5.8 10.2h.01',
  lock: 'M4 7.5h8v5.5H4zM5.5 7.5V5.2a2.5 2.5 0 0 1 5 0v2.3',
  unlock: 'M4 7.5h8v5.5H4zM5.5 7.5V5.2a2.5 2.5 0 0 1 4.8-.9',
  cut:
    'M4.2 11.8L12.5 3M4.2 4.2L12.5 13M3.4 12.6a1.6 1.6 0 1 0 2.3-2.3 1.6 1.6 0 1 0-2.3 2.3z' +
    'M3.4 3.4a1.6 1.6 0 1 1 2.3 2.3 1.6 1.6 0 1 1-2.3-2.3z',
  continue: 'M2 9c1.6-3.4 3.4-3.4 5 0 1.2 2.4 2.6 2.4 3.8.2L13.5 6M13.5 6h-3.2M13.5 6v3.2',
  crossfade: 'M2.5 4.5L13.5 11.5M2.5 11.5L13.5 4.5',
  picture: 'M2.5 3.5h11v9h-11zM2.5 10.5l3-3 2.5 2.5 2-2 3.5 3.5M10.5 6.2h.01',
  remark: 'M8 3.5v5.5M8 12h.01',
  expand: 'M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3',
  sun:
    'M8 5.2a2.8 2.8 0 1 0 .01 0zM8 1.5v1.4M8 13.1v1.4M1.5 8h1.4M13.1 8h1.4' +
    'M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1',
  download: 'M8 2.5v7.5M4.8 7L8 10.2 11.2 7M3 13h10',
  upload: 'M8 10.5V3M4.8 6L8 2.8 11.2 6M3 13h10',
  check: 'M3.5 8.5l3 3 6-7',
  retry: 'M12.8 6.2A5.2 5.2 0 1 0 13.2 9M13 3v3.4H9.6',
  help: 'M6 6.2a2 2 0 1 1 2.9 1.8c-.6.3-.9.7-.9 1.4M8 11.8h.01',
};

/** A small line drawing; it says nothing to a screen reader, its button does. @param {string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [key, value] of Object.entries({
    viewBox: '0 0 16 16',
    class: `icon icon-${name}`,
    'aria-hidden': 'true',
  })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button that is only a drawing, with its words for those who do not see it.
 *  @param {string} name @param {string} label @param {(event: any) => unknown} onclick */
export function iconButton(name, label, onclick, extra = '') {
  return h(`button.icon-button${extra}`, { type: 'button', 'aria-label': label, title: label, onclick }, icon(name));
}

/** Whether letters are written into a node, which undoes its own typing. @param {any} node @returns {boolean} */
export const isWriting = (node) =>
  node?.matches?.('textarea, [contenteditable], input:not([type=range], [type=radio], [type=file])') ?? false;

/** `0:24` or `1:02:03`. @param {number} seconds */
export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const padded = String(rest).padStart(2, '0');
  return hours ? `${hours}:${String(minutes).padStart(2, '0')}:${padded}` : `${minutes}:${padded}`;
}

/** A number from 0 to 359 that stays with an id: the hue of its empty picture. @param {string} id */
export function hueOf(id) {
  let sum = 7;
  for (const letter of id) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 9973;
  return (sum * 137) % 360;
}

/** What went wrong, in words. @param {unknown} error */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));
