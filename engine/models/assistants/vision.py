"""What vision-language models see: pictures and clips as patches, and their places in the text.

Comes in: a template's text, encoded pictures, frames. Goes out: the text with a placeholder for each patch, and tensors
as Qwen2.5-VL and Pixtral read them. Written out here because transformers' processors for both want torchvision, and
its video processor nothing less. Does not know what is asked.

Letters: F frames, T pairs of frames, C channels, h w patches, p pixels of a patch's side, m patches merged by side.
"""

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import PixtralImageProcessorPil

from engine.assistants.endpoint import Picture
from engine.checkpoints.files import read_json
from engine.contract.errors import Rejected
from engine.storage.media import Frames

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
MERGED_PX = 28
"""Pixels of the side of one token of Qwen2.5-VL."""
PICTURE_TOKENS = (256, 1280)
"""Least and most tokens of a picture, as NVIDIA asks Cosmos-Reason1."""
FRAME_TOKENS = (128, 768)
CLIP_TOKENS = 8192
MAX_FRAMES = 768
PATCHES, KINDS = {"image": "pixel_values", "video": "pixel_values_videos"}, {"image": 1, "video": 2}


@dataclass(frozen=True, slots=True)
class Clip:
    """``fps``: of the frames as they are given, not of the file."""

    frames: Frames
    fps: float


class Vision(ABC):
    @abstractmethod
    def look(self, text: str, pictures: Sequence[Picture], clip: Clip | None) -> tuple[str, dict[str, Tensor]]:
        """-> the text with its placeholders, and what the model reads beside it. A picture of type video/mp4 is the
        clip."""

    def kinds(self, input_ids: Tensor) -> dict[str, Tensor]:
        """What the model wants to know of each token."""
        return {}


class QwenVision(Vision):
    """Of Qwen2-VL and Qwen2.5-VL: two frames in one patch of 14 x 14, four patches in one token."""

    def __init__(self, config: Any, tokenizer: Any) -> None:
        vision = config.vision_config
        self._p, self._m, self._pair = vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size
        self._ids = {"image": config.image_token_id, "video": config.video_token_id}
        self._marks = {kind: tokenizer.convert_ids_to_tokens(token) for kind, token in self._ids.items()}

    def look(self, text: str, pictures: Sequence[Picture], clip: Clip | None) -> tuple[str, dict[str, Tensor]]:
        patches: dict[str, list[Tensor]] = {"image": [], "video": []}
        grids: dict[str, list[list[int]]] = {"image": [], "video": []}
        lengths: dict[str, list[int]] = {"image": [], "video": []}
        for picture in pictures:
            kind = "video" if picture.content_type.startswith("video/") else "image"
            pixels, grid = self._patches(self._resized(picture, clip))
            patches[kind].append(pixels)
            grids[kind].append(grid)
            lengths[kind].append(math.prod(grid) // self._m**2)
        seen: dict[str, Tensor] = {}
        for kind in ("image", "video"):
            if grids[kind]:
                text = _spread(text, self._marks[kind], [self._marks[kind] * length for length in lengths[kind]])
                seen |= {PATCHES[kind]: torch.cat(patches[kind]), f"{kind}_grid_thw": torch.tensor(grids[kind])}
        if clip is not None and grids["video"]:
            seen["second_per_grid_ts"] = torch.tensor([self._pair / clip.fps])
        return text, seen

    def kinds(self, input_ids: Tensor) -> dict[str, Tensor]:
        kinds = torch.zeros_like(input_ids)
        for kind, token in self._ids.items():
            kinds[input_ids == token] = KINDS[kind]
        return {"mm_token_type_ids": kinds}

    def _resized(self, picture: Picture, clip: Clip | None) -> Frames:
        """(F, H, W, 3), an even number of frames, sides multiples of a token's."""
        if picture.content_type.startswith("video/"):
            assert clip is not None, "a clip comes with its frames"
            frames = clip.frames
            share = 2 * CLIP_TOKENS // max(1, len(frames))
            tokens = FRAME_TOKENS[0], min(FRAME_TOKENS[1], max(FRAME_TOKENS[0], share))
        else:
            frames, tokens = opened(picture)[None], PICTURE_TOKENS
        height, width = token_size(*frames.shape[1:3], *(count * MERGED_PX**2 for count in tokens))
        frames = np.stack([_resize(frame, width, height) for frame in frames])
        missing = -len(frames) % self._pair
        return np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])

    def _patches(self, frames: Frames) -> tuple[Tensor, list[int]]:
        """-> (T * h * w, C * 2 * p * p) in the order in which tokens are merged, and [T, h, w]."""
        pixels = _normalised(frames, CLIP_MEAN, CLIP_STD)
        t, h, w = len(pixels) // self._pair, pixels.shape[2] // self._p, pixels.shape[3] // self._p
        m, p = self._m, self._p
        split = pixels.reshape(t, self._pair, 3, h // m, m, p, w // m, m, p)
        return split.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(t * h * w, -1), [t, h, w]


class PixtralVision(Vision):
    """Of Pixtral: a mark for each patch, one behind each row, one at the end. A clip is a picture for each frame."""

    def __init__(self, folder: Path, config: Any, tokenizer: Any) -> None:
        self._mark = tokenizer.convert_ids_to_tokens(config.image_token_id)
        self._p = config.vision_config.patch_size * getattr(config, "spatial_merge_size", 1)
        settings = read_json(folder / "preprocessor_config.json") if _has_settings(folder) else {}
        size = settings.get("size", {"longest_edge": 1024})
        patch = {"height": self._p, "width": self._p}
        self._processor = PixtralImageProcessorPil(size=size, patch_size=patch)

    def look(self, text: str, pictures: Sequence[Picture], clip: Clip | None) -> tuple[str, dict[str, Tensor]]:
        images = [opened(picture) for picture in pictures]
        found = self._processor(images, return_tensors="pt")
        rows = [(height // self._p, width // self._p) for height, width in found["image_sizes"].tolist()]
        texts = [((self._mark * w + "[IMG_BREAK]") * h).removesuffix("[IMG_BREAK]") + "[IMG_END]" for h, w in rows]
        return _spread(text, self._mark, texts), {name: found[name] for name in ("pixel_values", "image_sizes")}


def opened(picture: Picture) -> Frames:
    """(H, W, 3) uint8."""
    return np.asarray(Image.open(io.BytesIO(picture.content)).convert("RGB"))


def token_size(height: int, width: int, least: int, most: int) -> tuple[int, int]:
    """(height, width) in pixels near the given ones: multiples of a token's side, an area between the two bounds."""
    rounded = [max(MERGED_PX, round(side / MERGED_PX) * MERGED_PX) for side in (height, width)]
    area = rounded[0] * rounded[1]
    if least <= area <= most:
        return rounded[0], rounded[1]
    to_multiple = math.floor if area > most else math.ceil
    factor = math.sqrt((most if area > most else least) / (height * width))
    fitted = [max(MERGED_PX, to_multiple(side * factor / MERGED_PX) * MERGED_PX) for side in (height, width)]
    return fitted[0], fitted[1]


def sampled_places(num_frames: int, fps: float, wanted_fps: float) -> tuple[list[int], float]:
    """Which frames of a clip are looked at, and how many a second they then are."""
    count = max(2, min(MAX_FRAMES, num_frames, round(num_frames * min(1.0, wanted_fps / fps))))
    places = [round(place * (num_frames - 1) / (count - 1)) for place in range(count)]
    return places, count * fps / num_frames


def _spread(text: str, mark: str, replacements: Sequence[str]) -> str:
    """Each mark of the template, in order, by what it stands for."""
    parts = text.split(mark)
    if len(parts) != len(replacements) + 1:
        what = f"the chat template has {len(parts) - 1} places for {len(replacements)} pictures"
        raise Rejected("model", f"{what}. Bring the model's own template (chat_template.json), or another model.")
    return parts[0] + "".join(new + part for new, part in zip(replacements, parts[1:], strict=True))


def _resize(frame: Frames, width: int, height: int) -> Frames:
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))


def _normalised(frames: Frames, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """-> (F, C, H, W) float32."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def _has_settings(folder: Path) -> bool:
    return (folder / "preprocessor_config.json").is_file()
