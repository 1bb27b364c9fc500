// @ts-check
// On which revision a draft is sent: what this tab saved itself is no change made elsewhere. Sends and draws nothing.

/** @param {Draft} draft */
const groupOf = (draft) => `${draft.project} ${draft.scene} ${draft.field.split('.')[0]}`;

/**
 * Fields of one group (both strengths of a clip) are one field to the studio: what this tab saved of it is no change
 * made elsewhere to what else of it this tab still has to save.
 * @param {Iterable<Draft>} drafts @param {Draft} saved @param {number} basis @param {number} revision
 */
export function carry(drafts, saved, basis, revision) {
  for (const other of drafts) {
    if (groupOf(other) === groupOf(saved) && other.revision >= basis)
      other.revision = Math.max(other.revision, revision);
  }
}

/**
 * What was typed after an undo, a redo or another action of this tab is meant for what that made, answered yet or not.
 * Where somebody else changed the storyboard meanwhile (more than one revision), the studio compares.
 * @param {Iterable<Draft>} drafts @param {{ project: string, sequence: number }} action
 * @param {number} basis @param {number} revision
 */
export function advance(drafts, { project, sequence }, basis, revision) {
  if (revision !== basis + 1) return;
  for (const draft of drafts) {
    if (draft.project === project && draft.sequence > sequence) draft.revision = Math.max(draft.revision, revision);
  }
}
