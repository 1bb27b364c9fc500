"""The tiny assistants, each made once for the session, and what a request may use."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from engine.contract.assistant_cards import AssistantCard
from engine.contract.cards import ModelCard
from engine.models.assistants.assistant import Work
from engine.models.assistants.mistral import LAYER_NAMES, NAMES
from engine.service.fake_worker import write_clip
from studio.planning.presets import load_cards
from tests.engine.models.assistants import tiny

FILMS: dict[str, ModelCard] = load_cards()


@pytest.fixture(scope="session")
def models_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("assistants")


@pytest.fixture(scope="session")
def vision_card(models_root: Path) -> AssistantCard:
    tiny.write_vision_chat(models_root / "seer")
    return tiny.card(models_root, "seer", "vision_chat", ["refiner", "critic"])


@pytest.fixture(scope="session")
def describer_card(models_root: Path) -> AssistantCard:
    tiny.write_describer(models_root / "describer")
    return tiny.card(models_root, "describer", "describer", ["refiner", "critic"])


@pytest.fixture(scope="session")
def captioner(models_root: Path) -> tuple[AssistantCard, torch.nn.Module]:
    """And the model in transformers' own layout that it was made from."""
    names = {theirs: ours for ours, theirs in (*NAMES.items(), *LAYER_NAMES.items())} | {"model.layers": "layers"}
    model = tiny.write_captioner(models_root / "captioner", names)
    return tiny.card(models_root, "captioner", "captioner", ["refiner"]), model


@pytest.fixture(scope="session")
def guard_cards(models_root: Path) -> dict[str, AssistantCard]:
    adapter = models_root / "adapter"
    adapter.mkdir()
    down, up = torch.ones(2, 32), torch.full((32, 2), 0.5)
    layer = "base_model.model.model.layers.0.self_attn.q_proj"
    save_file({f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}, adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text(json.dumps({"lora_alpha": 4, "r": 2, "peft_type": "LORA"}))
    cards: dict[str, AssistantCard] = {}
    for form in ("qwen3guard", "llama_guard_3", "aegis"):
        tiny.write_text_guard(models_root / form, form)
        parts = {"adapter": "adapter"} if form == "aegis" else {}
        cards[form] = tiny.card(models_root, form, form, ["guard"], **parts)
    return cards


@pytest.fixture(scope="session")
def frame_card(models_root: Path) -> AssistantCard:
    classifier = models_root / "guardrail/safety_filter.pt"
    tiny.write_frame_classifier(models_root / "siglip", classifier)
    parts = {"classifier": "guardrail/safety_filter.pt"}
    return tiny.card(models_root, "siglip", "frame_classifier", ["guard"], **parts)


class Media:
    """A picture ``p...`` and a clip ``c...`` by hash, and the steps of the work on them."""

    PICTURE, CLIP = "a" * 64, "c" * 64

    def __init__(self, folder: Path) -> None:
        self.folder, self.steps = folder, list[tuple[int, int]]()
        frames = np.random.default_rng(0).integers(0, 256, (9, 48, 80, 3), dtype=np.uint8)
        Image.fromarray(frames[0]).save(folder / self.PICTURE, format="PNG")
        write_clip(folder / "clip.mp4", frames, 8)
        (folder / "clip.mp4").rename(folder / self.CLIP)

    def work(self) -> Work:
        self.steps.clear()
        return Work(self.folder.joinpath, FILMS.__getitem__, lambda step, of: self.steps.append((step, of)))


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Media:
    return Media(tmp_path_factory.mktemp("media"))
