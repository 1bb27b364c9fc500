// @ts-check
// The line in which everything is sent, one after the other, and what happens while the studio cannot be reached: a
// banner, another try later, and a question before the page is left. Does not know what is sent.

import { notifier } from './notifier.js';
import { messageOf } from './dom.js';
import { banner, say } from './notices.js';
import { state } from './store.js';

const RETRY_MS = 4000;
const MAX_FAILURES = 3;
/** Called whenever drafts or the state of saving change. */
export const changes = notifier();
/** @type {Promise<unknown>} */
let line = Promise.resolve();
let num_working = 0;
let num_failures = 0;
let retryTimer = 0;
/** @type {() => void} */
let retry = () => {};
/** @type {() => boolean} */
let isUnsaved = () => false;

export const isWorking = () => num_working > 0;
export const endOfLine = () => line;
export const stopRetrying = () => clearTimeout(retryTimer);

/** @param {() => void} flush sends all that is not saved @param {() => boolean} hasUnsaved */
export function onReachable(flush, hasUnsaved) {
  retry = flush;
  isUnsaved = hasUnsaved;
}

/**
 * Does work after all that is in the line. @template T @param {() => Promise<T>} work @returns {Promise<T | null>}
 */
export function inLine(work) {
  num_working += 1;
  const result = line.then(work).catch((error) => (say(messageOf(error), 'bad'), null));
  line = result.finally(() => {
    num_working -= 1;
    changes.notify();
  });
  changes.notify();
  return result;
}

/** The studio was reached again. */
export function answered() {
  num_failures = 0;
  banner('saving', '');
}

/** Nothing could be reached: says so, and tries all again later. @param {unknown} error */
export function failed(error) {
  const problem = `Not saved: ${messageOf(error)} Your text stays here and is tried again.`;
  num_failures = state.lost ? 0 : num_failures + 1;
  const restarted = 'Not saved: the studio was started anew. Reload this page; your text is kept and saved then.';
  if (num_failures <= MAX_FAILURES) banner('saving', problem, [{ label: 'Try now', act: retry }]);
  else banner('saving', restarted, [{ label: 'Reload', act: reload }]);
  clearTimeout(retryTimer);
  retryTimer = setTimeout(() => retry(), RETRY_MS);
  return problem;
}

/** @param {BeforeUnloadEvent} event */
function askBefore(event) {
  if (isUnsaved()) event.preventDefault();
}

function reload() {
  removeEventListener('beforeunload', askBefore);
  location.reload();
}

addEventListener('beforeunload', askBefore);
addEventListener('online', () => retry());
