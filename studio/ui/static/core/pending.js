// @ts-check
// Changes of the structure that the page shows before the studio has saved them: new scenes and projects, copies,
// deletions. Ids are made here. Pure but for the ids; does not know how or when anything is saved.

/** What can be typed into a scene and saved with `change_scene`, apart from what `add_scene` takes. */
const LATER_FIELDS = /** @type {const} */ (['negative_prompt', 'crossfade_s', 'seed', 'notes', 'chunk_prompts']);
const CONSONANTS = 'bcdfghjkmnpqrstvwxz';

/** @param {number} length @param {string} letters */
function randomLetters(length, letters) {
  return Array.from(crypto.getRandomValues(new Uint32Array(length)), (value) => letters[value % letters.length]).join(
    '',
  );
}

/** Without digits, so that it is never taken for one of the studio's own `scene-12`. */
export const newSceneId = () => `scene-${randomLetters(7, CONSONANTS)}`;
export const newProjectId = () => `p-${randomLetters(10, '0123456789abcdef')}`;

/** Whether an operation makes a scene. @param {Operation} operation */
export const makesScene = ({ kind }) => kind === 'add_scene' || kind === 'duplicate_scene';

/**
 * The board with operations that are not saved yet.
 * @param {BoardView} board @param {Operation[]} operations @returns {BoardView}
 */
export function withOperations(board, operations) {
  const mine = operations.filter((operation) => operation.project === board.project_id);
  if (!mine.length) return board;
  const scenes = mine.reduce(withOperation, [...board.scenes]);
  return {
    ...board,
    scenes: scenes.map((card, place) => (card.number === place + 1 ? card : { ...card, number: place + 1 })),
  };
}

/** @param {SceneCard[]} scenes @param {Operation} operation */
function withOperation(scenes, operation) {
  if (operation.scene === null) return scenes;
  if (operation.kind === 'delete_scene') return scenes.filter((card) => card.id !== operation.scene);
  if (!makesScene(operation) || scenes.some((card) => card.id === operation.scene)) return scenes;
  const place = placeAfter(scenes, operation);
  return [...scenes.slice(0, place), newCard(scenes, operation.scene, operation), ...scenes.slice(place)];
}

/** Where a new scene goes: after the one it was made after, wherever that is now. */
export function placeAfter(/** @type {{ id: string }[]} */ scenes, /** @type {Operation} */ { after, place }) {
  const before = after === null ? -1 : scenes.findIndex((card) => card.id === after);
  return before >= 0 || after === null ? before + 1 : Math.min(place, scenes.length);
}

/** @param {SceneCard[]} scenes @param {string} id @param {Operation} operation @returns {SceneCard} */
function newCard(scenes, id, { source, fields }) {
  const copied = scenes.find((card) => card.id === source);
  const blank = blankScene(id);
  if (!copied) return { ...blank, ...fields, conditioning: shownConditioning(fields.conditioning) };
  const { state, reason, job_id, progress, preview, take, takes, plan_notes, continues } = blank;
  const own = { state, reason, job_id, progress, preview, take, takes, plan_notes, continues };
  return { ...copied, ...fields, ...own, id, conditioning: copied.conditioning, transition: 'cut' };
}

/** @param {Conditioning | null | undefined} value @returns {ConditioningView | null} */
function shownConditioning(value) {
  if (!value) return null;
  const { num_frames = 1, strength = null, first_frame_strength = null } = value;
  const kind = strength !== null || num_frames > 1 ? 'clip' : '';
  return { media: value.media, kind, num_frames, num_frames_of_clip: 0, strength, first_frame_strength, text: '' };
}

/** A scene that nobody has written yet. @param {string} id @returns {SceneCard} */
export function blankScene(id) {
  return {
    number: 0,
    id,
    prompt: '',
    chunk_prompts: [],
    num_chunks: 0,
    chunk_starts_s: [],
    negative_prompt: null,
    duration_s: 3,
    duration_text: '3 s',
    planned_s: 3,
    transition: 'cut',
    crossfade_s: 0.5,
    continues: false,
    conditioning: null,
    first_frame: { prompt: '', seed: null, media: null, can_make: false, text: '' },
    seed: null,
    effective_seed: null,
    overrides: {},
    refinement: { state: '', text: '', chunk_texts: [], source: '', notes: [], busy: false, failure: '' },
    notes: '',
    plan_notes: [],
    state: 'unplannable',
    reason: '',
    job_id: null,
    progress: null,
    preview: null,
    take: null,
    takes: [],
    round_text: '',
  };
}

/**
 * The board of a project that is being made: one empty scene, and the models and presets of a board that is known.
 * @param {string} id @param {string} title @param {BoardView | null} known @returns {BoardView}
 */
export function blankBoard(id, title, known) {
  const { models = [], presets = [], engine = { state: 'absent', device: '', num_ranks: 0, text: '' } } = known ?? {};
  const scenes = [{ ...blankScene('scene-1'), number: 1 }];
  return {
    version: 0,
    project_id: id,
    title,
    revision: 1,
    can_undo: false,
    can_redo: false,
    aspect: '3:2',
    aspects: ['3:2'],
    size_px: null,
    rendered_size_px: null,
    fps: 0,
    guard: { on: true, can_switch: false, withholds: false, text: '' },
    look: '',
    negative_look: '',
    refiner: { name: '', problem: '', style: '' },
    speed: {},
    prompt_tips: [],
    seed: 0,
    model: 'diorama',
    models,
    preset: 'balanced',
    presets,
    duration_text: '3 s',
    joint: null,
    notes: [],
    scenes,
    engine,
    problem: '',
    render: {
      num_scenes: 0,
      text: '',
      why: [],
      estimate_s: null,
      estimate_text: '',
      can_render: false,
      busy: false,
      paused: false,
      problem: '',
      problem_text: '',
    },
    film: {
      media: null,
      poster: null,
      duration_s: 0,
      up_to_date: false,
      assembling: false,
      missing: [1],
      stale: [],
      text: 'no film yet',
      error: '',
    },
  };
}

/** What `add_scene` takes of a card. @param {SceneCard} card @returns {NewSceneFields} */
export function addedFields({ prompt, duration_s, transition, conditioning }) {
  return { prompt, duration_s, transition, conditioning: conditioning && storedConditioning(conditioning) };
}

/** @param {ConditioningView} view @returns {Conditioning} */
const storedConditioning = ({ media, num_frames, strength, first_frame_strength }) => ({
  media,
  num_frames,
  strength,
  first_frame_strength,
});

/** What must be written into a new scene so that it is as a card was: [field, value] pairs. @param {SceneCard} card */
export function laterFields(card) {
  const blank = blankScene(card.id);
  /** @type {[string, unknown][]} */
  const pairs = LATER_FIELDS.map((name) => [name, card[name]]);
  const changed = pairs.filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(Reflect.get(blank, name)));
  const overrides = Object.entries(card.overrides).map(([name, value]) => [`overrides.${name}`, value]);
  const { prompt, seed } = card.first_frame;
  const frame = [prompt && ['first_frame.prompt', prompt], seed !== null && ['first_frame.seed', seed]];
  return /** @type {[string, unknown][]} */ ([...changed, ...overrides, ...frame.filter(Boolean)]);
}

/**
 * Whether the value that the studio has is one that this tab sent without getting an answer.
 * @param {unknown} sent @param {string} theirs as text, or as JSON of what is not text
 */
export function wasSaved(sent, theirs) {
  if (sent === undefined) return false;
  if (sent === theirs) return true;
  try {
    return JSON.stringify(JSON.parse(theirs)) === JSON.stringify(sent);
  } catch {
    return false;
  }
}
