// @ts-check
// What a stored picture or clip becomes as the start of a scene, for the chosen model. Values only; draws nothing.

import { can, model } from './capabilities.js';

/** NVIDIA's own: how far a clip is re-imagined, and how far its first frame by a picture model. */
export const STRENGTH = 0.8;
export const FIRST_FRAME_STRENGTH = 0.4;

export const takesPicture = () => can('image');
export const takesClip = () => can('clip') || can('sdedit');

/** The conditioning that stored media make: a clip is re-imagined by a model that cannot start from its frames.
 *  @param {UploadedMedia} media @returns {Conditioning} */
export function conditioningOf({ kind, sha256, num_frames: count }) {
  if (kind !== 'clip') return { media: sha256, num_frames: 1 };
  return can('clip') || !can('sdedit') ? lastFrames(sha256, count) : reImagined(sha256);
}

/** As many of its last frames as the model takes, and the clip (`count` frames long) has.
 *  @param {string} media @returns {Conditioning} */
export function lastFrames(media, count = Infinity) {
  const fitting = (model()?.conditioning_num_frames ?? []).filter((each) => each <= count);
  return { media, num_frames: Math.max(1, ...fitting) };
}

/** @param {string} media @returns {Conditioning} */
export function reImagined(media) {
  const first = model()?.first_frame ? { first_frame_strength: FIRST_FRAME_STRENGTH } : {};
  return { media, strength: STRENGTH, ...first };
}

export const isReImagined = (/** @type {Partial<Conditioning> | null | undefined} */ value) =>
  value?.strength !== null && value?.strength !== undefined;

/** A conditioning in words, to tell two versions apart. @param {Conditioning | null} value */
export function described(value) {
  if (!value) return 'nothing';
  if (isReImagined(value)) return `a clip, re-imagined by ${value.strength}`;
  return (value.num_frames ?? 1) > 1 ? `the last ${value.num_frames} frames of a clip` : 'one frame';
}
