// What the studio sends to the page. Written by tools/view_types.py from the views' JSON schema: do not edit.

interface BoardView {
  version: number;
  project_id: string;
  title: string;
  revision: number;
  can_undo: boolean;
  can_redo: boolean;
  aspect: string;
  aspects: string[];
  size_px: [number, number] | null;
  rendered_size_px: [number, number] | null;
  fps: number;
  look: string;
  negative_look: string;
  refiner: RefinerView;
  speed: Record<string, string>;
  prompt_tips: string[];
  seed: number;
  model: string;
  models: ModelView[];
  preset: string;
  presets: PresetView[];
  duration_text: string;
  joint: JointView | null;
  notes: NoteView[];
  render: RenderBar;
  scenes: SceneCard[];
  film: FilmView;
  guard: GuardView;
  engine: EngineView;
  problem: string;
}

interface ConditioningView {
  media: string;
  kind: 'image' | 'clip' | '';
  num_frames: number;
  num_frames_of_clip: number;
  strength: number | null;
  first_frame_strength: number | null;
  text: string;
}

interface CritiqueView {
  score: number;
  text: string;
  source: string;
  reasons: string[];
}

interface EngineView {
  state: 'absent' | 'unreachable' | 'down' | 'starting' | 'ready' | 'busy';
  device: string;
  num_ranks: number;
  text: string;
}

interface FilmView {
  media: string | null;
  poster: string | null;
  duration_s: number;
  up_to_date: boolean;
  assembling: boolean;
  missing: number[];
  stale: number[];
  text: string;
  error: string;
}

interface FirstFrameView {
  prompt: string;
  seed: number | null;
  media: string | null;
  can_make: boolean;
  text: string;
}

interface GuardView {
  on: boolean;
  can_switch: boolean;
  withholds: boolean;
  text: string;
}

interface JointView {
  segment_s: number;
  num_segments: number;
}

interface ModelView {
  name: string;
  title: string;
  family: string;
  summary: string;
  available: boolean;
  reason: string;
  command: string;
  aspects: string[];
  sizes_px: Record<string, [number, number]>;
  grid_px: number;
  vocabulary_hint: string;
  negative_prompt: string;
  num_steps: number;
  guidance_scale: number;
  capabilities: string[];
  makes: 'video' | 'picture';
  first_frame: string | null;
  joint: boolean;
  conditioning_num_frames: number[];
  samplers: string[];
}

interface NoteView {
  level: 'info' | 'warn' | 'error';
  text: string;
}

interface PresetView {
  name: string;
  title: string;
  summary: string;
  estimate_text: string;
}

interface ProgressView {
  stage: string;
  step: number;
  num_steps: number;
  left_s: number | null;
  memory_bytes: number;
  text: string;
  stage_text: string;
  is_first_frame: boolean;
}

interface ProjectSummary {
  id: string;
  title: string;
  num_scenes: number;
  updated_s: number;
}

interface RefinementView {
  state: '' | 'proposed' | 'accepted' | 'outdated';
  text: string;
  chunk_texts: string[];
  source: string;
  notes: string[];
  busy: boolean;
  failure: string;
}

interface RefinerView {
  name: string;
  problem: string;
  style: string;
}

interface RenderBar {
  num_scenes: number;
  text: string;
  why: string[];
  estimate_s: number | null;
  estimate_text: string;
  can_render: boolean;
  busy: boolean;
  paused: boolean;
  problem: string;
  problem_text: string;
}

interface SceneCard {
  number: number;
  id: string;
  prompt: string;
  chunk_prompts: string[];
  num_chunks: number;
  chunk_starts_s: number[];
  negative_prompt: string | null;
  duration_s: number;
  duration_text: string;
  planned_s: number;
  transition: 'cut' | 'continue' | 'crossfade';
  crossfade_s: number;
  continues: boolean;
  conditioning: ConditioningView | null;
  first_frame: FirstFrameView;
  seed: number | null;
  effective_seed: number | null;
  overrides: Record<string, number | string | null>;
  refinement: RefinementView;
  notes: string;
  plan_notes: string[];
  state: 'fresh' | 'stale' | 'missing' | 'checking' | 'queued' | 'rendering' | 'failed' | 'unplannable' | 'without_model';
  reason: string;
  job_id: string | null;
  progress: ProgressView | null;
  preview: string | null;
  take: TakeView | null;
  takes: TakeView[];
  round_text: string;
}

interface TakeGuardView {
  state: '' | 'unchecked' | 'checking' | 'advised' | 'withheld';
  text: string;
}

interface TakeView {
  id: string;
  recipe: string;
  media: string;
  poster: string | null;
  picture: string | null;
  seed: number;
  duration_s: number;
  render_s: number;
  made_s: number;
  critique: CritiqueView | null;
  rank: number | null;
  chosen: boolean;
  matches: boolean;
  guard: TakeGuardView;
}
