// @ts-check
// Calls the studio's functions, whichever panel they belong to. Does not know what they do.

import { state, take } from './store.js';

const PATIENCE_MS = 30_000;
/** @type {StudioFunctions[]} */
const servers = [];

/** A panel's functions. @param {StudioFunctions} server */
export function connect(server) {
  servers.push(server);
}

/**
 * Calls a function of the studio. Raises Error where it does not answer; its refusals come back as values.
 * @param {string} name @param {Record<string, unknown>} request @returns {Promise<Answer>}
 */
export async function ask(name, request = {}) {
  const server = servers.find((each) => name in each);
  if (!server) throw new Error(`The studio has no function ${name}.`);
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
  const answer = await Promise.race([server[name]({ project: state.project ?? '', ...request }), late]);
  if (answer === undefined || answer === null) throw new Error('The studio does not answer.');
  if (answer.board) take(answer.board);
  return answer;
}
