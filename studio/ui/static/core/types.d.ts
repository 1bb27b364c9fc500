// What the page's scripts hand to each other. What the studio sends is in view.d.ts.

/** An element of the page; panels and fields give theirs `show(...)` and what else their neighbours call. */
type PageNode = HTMLElement & Record<string, any>;

/** A panel's functions, each of which takes one JSON object. */
type StudioFunctions = Record<string, (request: Record<string, unknown>) => Promise<Answer | undefined>>;

/** What the studio answers: `ok` with what was asked for, or `problem` in words. */
interface Answer {
  ok: boolean;
  problem: string;
  revision?: number;
  board?: BoardView;
  project?: string;
  projects?: ProjectSummary[];
  jobs?: string[];
  conflict?: { theirs: string; yours: string; revision: number };
}

interface BoardPatch {
  changed: Partial<BoardView>;
  scenes: SceneCard[];
  order: string[];
}

/** What a scene starts from, as it is stored. */
interface Conditioning {
  media: string;
  num_frames?: number;
  strength?: number | null;
  first_frame_strength?: number | null;
}

interface UploadedMedia {
  kind: 'image' | 'clip';
  sha256: string;
  num_frames: number;
}

interface NewSceneFields {
  prompt?: string;
  negative_prompt?: string;
  notes?: string;
  duration_s?: number;
  transition?: SceneCard['transition'];
  conditioning?: Conditioning | null;
}

interface PageState {
  project: string | null;
  /** The newest board, with the operations that are not saved yet. */
  board: BoardView | null;
  selected: string | null;
  /** The selected scene as it was, where it was deleted elsewhere while it is typed in. */
  departed: SceneCard | null;
  operations: Operation[];
  /** Whether the inspector shows what all scenes share. */
  film: boolean;
  /** Whether the studio does not answer. */
  lost: boolean;
  /** Whether the inspector is up, on a narrow screen. */
  sheet: boolean;
  /** Why the project is not there (any more). */
  gone: string;
}

/** A change of the structure that is drawn before it is saved. `after`: the scene it follows, null for the first. */
interface Operation {
  kind: 'create_project' | 'add_scene' | 'duplicate_scene' | 'delete_scene';
  sequence: number;
  project: string;
  scene: string | null;
  source: string | null;
  after: string | null;
  place: number;
  fields: NewSceneFields;
  title: string;
  problem: string;
  num_checks: number;
  revision: number;
}

/** What was typed into one field and is not saved yet. `scene` null: a field of the film. */
interface Draft {
  sequence: number;
  project: string;
  scene: string | null;
  field: string;
  value: any;
  revision: number;
  problem: string;
  /** It cannot be a value, and is not sent. */
  invalid: boolean;
  conflict: { theirs: string; revision: number; problem: string } | null;
  /** Its scene was deleted elsewhere. */
  departed: boolean;
  /** The value that was sent last without an answer. */
  unanswered: unknown;
  timer: number;
}

interface Unsaved {
  drafts: Pick<Draft, 'project' | 'scene' | 'field' | 'value' | 'revision'>[];
  operations: Operation[];
}

interface NoticeAction {
  label: string;
  act: () => unknown;
}

interface FieldOption {
  value: string | number;
  label: string;
  disabled?: boolean;
}

/** What a conflict is shown with. `describe`: a value in words, where it is not text. */
interface ConflictSettings {
  path: string;
  describe?: (value: any) => string;
}

/** A form field bound to one value of a scene or of the film. */
interface FieldSettings extends ConflictSettings {
  id: string;
  kind: 'text' | 'line' | 'number' | 'slider' | 'choice';
  label: string;
  read: (view: any) => any;
  options?: (view: any) => FieldOption[];
  hint?: (view: any, value: any) => string;
  hidden?: (view: any) => boolean;
  disabled?: (view: any) => boolean;
  placeholderOf?: (view: any) => unknown;
  placeholder?: string;
  rows?: number;
  min?: number;
  max?: number;
  step?: number | 'any';
  /** A choice of numbers. */
  numeric?: boolean;
  whole?: boolean;
  /** Empty is none. */
  optional?: boolean;
}
