"""NVIDIA's video content safety filter: SigLIP's features of a frame, and a small network of seven classes on them.

Comes in: the two parts of a card, a stored picture or clip. Goes out: a verdict with the frames at which something was
seen, two frames a second. Does not know policies; its makers call it prone to false alarms.

Letters: N frames, D width of the features.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from transformers import SiglipImageProcessorPil, SiglipVisionModel

from engine.assistants.guard_answers import FRAME_CLASSES, frames_verdict
from engine.checkpoints.assign import check_keys
from engine.checkpoints.files import load_plain, state_dict_of
from engine.contract.assistant_cards import AssistantCard
from engine.contract.assistants import AssistantRequest, CheckTakeRequest, Verdict
from engine.contract.errors import Rejected
from engine.models.assistants.assistant import LocalAssistant, Work
from engine.models.assistants.pretrained import load_model
from engine.models.model import DTYPES
from engine.storage.card_files import find_part
from engine.storage.media import Frames, frames_at, probe

FRAMES_PER_S = 2.0
BATCH = 8
READ_AT_ONCE = 128
"""A clip is decoded from its beginning for each such number of frames."""


def load(card: AssistantCard, models_root: Path) -> LocalAssistant:
    folder = find_part(card.parts.model, models_root)
    if card.parts.classifier is None:
        raise Rejected("model", f"{card.name}: its card names no classifier. Add parts.classifier.")
    encoder = load_model(SiglipVisionModel, folder, DTYPES[card.precision])
    classifier = load_classifier(find_part(card.parts.classifier, models_root)).to(DTYPES[card.precision])
    return FrameClassifier(card, encoder, classifier, SiglipImageProcessorPil.from_pretrained(folder))


def load_classifier(path: Path) -> nn.Module:
    """Of ``safety_filter.pt``: under ``model``, each name with the names of what is around it. Raises
    Rejected("weights")."""
    state = state_dict_of(load_plain(path, str(path)), str(path))
    layers = {
        name[name.index("layers.") + len("layers.") :]: value for name, value in state.items() if "layers." in name
    }
    if "0.weight" not in layers or "3.weight" not in layers:
        raise Rejected("weights", f"{path}: no classifier of frames is in it. Bring safety_filter.pt again.")
    hidden, width = layers["0.weight"].shape
    inner = layers["3.weight"].shape[0]
    first = nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU()
    second = nn.Linear(hidden, inner), nn.BatchNorm1d(inner), nn.ReLU()
    network = nn.Sequential(*first, *second, nn.Linear(inner, len(FRAME_CLASSES)))
    check_keys(network, layers, str(path))
    network.load_state_dict(layers)
    return network.eval()


class FrameClassifier(LocalAssistant):
    def __init__(self, card: AssistantCard, encoder: nn.Module, classifier: nn.Module, processor: Any) -> None:
        super().__init__(card, encoder, classifier)
        self.encoder, self.classifier, self.processor = encoder, classifier, processor

    def answer(self, request: AssistantRequest, work: Work) -> Verdict:
        if not isinstance(request, CheckTakeRequest):
            raise self.cannot(request)
        path = work.media(request.media)
        info = probe(path)
        interval = max(1, round(info.fps / FRAMES_PER_S))
        places = list(range(0, info.num_frames, interval))
        found: list[tuple[int, int]] = []
        for start in range(0, len(places), READ_AT_ONCE):
            window = places[start : start + READ_AT_ONCE]
            frames = frames_at(path, window)
            for first in range(0, len(window), BATCH):
                part = slice(first, first + BATCH)
                found += zip(window[part], self.classes(frames[part]), strict=True)
                work.step(len(found), len(places))
        return frames_verdict(found, self.card.title)

    def classes(self, frames: Frames) -> list[int]:
        """The likeliest class of each frame."""
        images = [Image.fromarray(frame) for frame in frames]
        pixels: Tensor = self.processor(images, return_tensors="pt")["pixel_values"]
        dtype = next(self.encoder.parameters()).dtype
        with torch.inference_mode():
            features = self.encoder(pixel_values=pixels.to(self.device, dtype)).pooler_output
            return self.classifier(F.normalize(features, dim=-1)).argmax(dim=-1).tolist()
