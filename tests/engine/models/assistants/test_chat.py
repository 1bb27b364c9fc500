"""Refiners and critics of the published classes, tiny and random, loaded by the real code: what they are asked to the
letter, that a seed is an answer, and that the work ends between two tokens."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Qwen2VLImageProcessorPil

from engine.assistants.endpoint import Message, Picture, Sampling
from engine.assistants.refiner.pictures import picture_of
from engine.contract.assistant_cards import AssistantCard
from engine.contract.assistants import CheckTextRequest, Critique, CritiqueRequest, Refinement, RefineRequest
from engine.contract.errors import Cancelled, Rejected
from engine.models import assistants
from engine.models.assistants.assistant import Work
from engine.models.assistants.chat import ChatAssistant
from engine.models.assistants.mistral import LAYER_NAMES, _ordered, config_of
from engine.models.assistants.vision import QwenVision, opened, sampled_places, token_size
from tests.engine.models.assistants import tiny
from tests.engine.models.assistants.conftest import Media

PREDICT1, PREDICT2 = "cosmos-predict1-7b-video2world", "cosmos-predict2-2b-video2world-720p-16fps"
SHORT = Sampling(12, 0.7, None, 3)


def loaded(card: AssistantCard, root: Path) -> ChatAssistant:
    assistant = assistants.load(card, root)
    assert isinstance(assistant, ChatAssistant)
    return assistant


@pytest.fixture(scope="module")
def seer(vision_card: AssistantCard, models_root: Path) -> ChatAssistant:
    return loaded(vision_card, models_root)


def test_a_refiner_that_sees_writes_ascii_and_the_same_for_a_seed(seer: ChatAssistant, media: Media) -> None:
    request = RefineRequest(prompt="a boat", model=PREDICT2, media=Media.PICTURE, media_kind="image", seed=1)
    texts = [seer.answer(request.model_copy(update={"seed": seed}), media.work()) for seed in (1, 1, 2)]
    assert all(isinstance(each, Refinement) and each.text.isascii() and each.source == "seer" for each in texts)
    assert texts[0] == texts[1] != texts[2]
    assert media.steps[0] == (1, 512) and len(media.steps) < 512, "a step for each token"


def test_what_a_model_that_sees_reads(seer: ChatAssistant, media: Media) -> None:
    messages = [Message("system", ("Look.",)), Message("user", ("Well?", picture_of(media.folder / Media.PICTURE)))]
    text = seer.chat.text_of(messages)
    turns = (
        "<|im_start|>system\nLook.<|im_end|>\n<|im_start|>user\nWell?<|image_pad|><|im_end|>\n<|im_start|>assistant\n"
    )
    assert text == turns
    inputs = seer.chat._inputs(text, [part for part in messages[1].parts if isinstance(part, Picture)], None)
    (grid,) = inputs["image_grid_thw"].tolist()
    num_tokens = grid[1] * grid[2] // 4
    assert 256 <= num_tokens <= 1280 and int(inputs["mm_token_type_ids"].sum()) == num_tokens
    assert len(inputs["pixel_values"]) == 4 * num_tokens


def test_patches_are_those_of_transformers(seer: ChatAssistant, media: Media) -> None:
    picture = picture_of(media.folder / Media.PICTURE)
    assert isinstance(seer.chat.vision, QwenVision)
    size = {"shortest_edge": 256 * 28 * 28, "longest_edge": 1280 * 28 * 28}
    theirs = Qwen2VLImageProcessorPil(size=size)(Image.fromarray(opened(picture)), return_tensors="pt")
    _, ours = seer.chat.vision.look("<|image_pad|>", [picture], None)
    assert ours["image_grid_thw"].tolist() == theirs["image_grid_thw"].tolist()
    difference = (ours["pixel_values"] - theirs["pixel_values"]).abs()
    print(f"patches: max {difference.max():.2e}, mean {difference.mean():.2e}")
    assert difference.max() < 1e-5


def test_a_critic_sees_the_clip_and_answers_every_trial(seer: ChatAssistant, media: Media) -> None:
    found = seer.answer(CritiqueRequest(media=Media.CLIP, num_trials=2, seed=5), media.work())
    assert isinstance(found, Critique) and len(found.trials) == 2
    assert found.score == 0.0 and found.reasons == ("none of its answers could be read",)
    assert found.trials[0].text != found.trials[1].text, "each trial has a seed of its own"
    assert media.steps[-1][0] > 4096 and media.steps[-1][1] == 2 * 4096


def test_a_critic_that_finds_nothing_gives_the_best_score(
    vision_card: AssistantCard, models_root: Path, media: Media
) -> None:
    critic = loaded(vision_card, models_root)
    tiny.make_say(critic.chat, "\n", "<answer>No</answer>")
    found = critic.answer(CritiqueRequest(media=Media.CLIP, num_trials=3), media.work())
    assert isinstance(found, Critique) and found.score == 1.0 and [trial.passed for trial in found.trials] == [True] * 3


def test_work_ends_between_two_tokens(seer: ChatAssistant, media: Media) -> None:
    def cancel(step: int, of: int) -> None:
        if step == 1:
            raise Cancelled("the author stopped the job")

    work = Work(media.folder.joinpath, media.work().film_model, cancel)
    with pytest.raises(Cancelled):
        seer.answer(RefineRequest(prompt="a boat", model=PREDICT2), work)
    with pytest.raises(Rejected, match="asked to check text"):
        seer.answer(CheckTextRequest(text="a boat"), work)


def test_a_describer_reads_the_last_frame_alone(describer_card: AssistantCard, models_root: Path, media: Media) -> None:
    describer = loaded(describer_card, models_root)
    request = RefineRequest(prompt="not sent", model=PREDICT1, media=Media.CLIP, media_kind="clip", seed=3)
    found = describer.answer(request, media.work())
    assert isinstance(found, Refinement) and "your words were not sent" in found.notes[0]
    picture = picture_of(media.folder / Media.PICTURE)
    text = describer.chat.text_of([Message("user", (picture, "Describe."))])
    assert text == "[INST][IMG]Describe.[/INST]", "the template is in a file beside the tokenizer"
    assert describer.chat.vision is not None
    spread, seen = describer.chat.vision.look(text, [picture], None)
    rows = ["[IMG]" * 5] * 3  # 80 x 48 pixels, 16 for each mark
    assert spread == f"[INST]{'[IMG_BREAK]'.join(rows)}[IMG_END]Describe.[/INST]"
    assert seen["pixel_values"].shape == (1, 3, 48, 80)


def test_the_captioner_is_the_network_it_was_published_from(
    captioner: tuple[AssistantCard, Any], models_root: Path, media: Media
) -> None:
    card, original = captioner
    assistant = loaded(card, models_root)
    tokens = torch.arange(1, 30)[None]
    with torch.inference_mode():
        difference = (assistant.chat.model(tokens).logits - original(tokens).logits).abs().max()
    print(f"logits: max {difference:.2e}")
    assert difference < 1e-5
    text = assistant.chat.text_of([Message("user", ("Upsample the short caption to a long caption: a boat",))])
    assert text == "[INST]Upsample the short caption to a long caption: a boat[/INST]"
    answers = [assistant.chat.continued(text, SHORT, lambda tokens: None) for _ in range(2)]
    assert answers[0] == answers[1]
    found = assistant.answer(RefineRequest(prompt="word " * 300, model=PREDICT1), media.work())
    assert isinstance(found, Refinement) and found.notes == ("It is long enough as it is.",)


def test_any_chat_model_refines_and_says_that_it_sees_nothing(
    guard_cards: dict[str, AssistantCard], models_root: Path, media: Media
) -> None:
    chat = loaded(guard_cards["qwen3guard"].model_copy(update={"format": "chat", "kinds": ("refiner",)}), models_root)
    request = RefineRequest(prompt="a boat", model="diorama", media=Media.PICTURE, media_kind="image", seed=4)
    found = chat.answer(request, media.work())
    assert isinstance(found, Refinement) and found.notes[0] == "qwen3guard reads text alone: it saw no picture."
    with pytest.raises(Rejected, match="asked to critique"):
        chat.answer(CritiqueRequest(media=Media.CLIP), media.work())


def test_neighbouring_channels_become_halves() -> None:
    """A rotation of pairs of neighbours before is one of the two halves after: scores between positions are equal."""
    width, head = 16, 8
    weight, x = torch.randn(head, width), torch.randn(2, width)
    config = config_of(_shapes(head, width), {"head_dim": head})
    ordered = _ordered("model.layers.0.self_attn.q_proj.weight", weight, config)
    angles = 1e6 ** -(torch.arange(0, head, 2) / head) * torch.tensor([[0.0], [5.0]])
    pairs = torch.view_as_complex((x @ weight.T).reshape(2, head // 2, 2))
    before = torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).reshape(2, head)
    first, second = (x @ ordered.T).chunk(2, dim=1)
    after = torch.cat([first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], 1)
    torch.testing.assert_close(before @ before.T, after @ after.T)


def _shapes(head: int, width: int) -> dict[str, torch.Tensor]:
    layer = {f"model.layers.0.{name}.weight": torch.zeros(head, width) for name in LAYER_NAMES.values()}
    return layer | {"model.embed_tokens.weight": torch.zeros(10, width)}


def test_a_model_without_its_parts_is_refused(vision_card: AssistantCard, models_root: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "seer").mkdir(exist_ok=True)
        (tmp_path / "seer" / name).write_bytes((models_root / "seer" / name).read_bytes())
    with pytest.raises(Rejected, match="the model cannot be read") as refused:
        assistants.load(vision_card, tmp_path)
    assert refused.value.code == "weights"
    config = json.loads((tmp_path / "seer/config.json").read_text())
    assert config["model_type"] == "qwen2_5_vl"


def test_a_template_that_refuses_a_system_message_gets_it_before_the_users(
    guard_cards: dict[str, AssistantCard], models_root: Path
) -> None:
    chat = loaded(guard_cards["qwen3guard"].model_copy(update={"format": "chat"}), models_root).chat
    refuses = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0].content }}"
    )
    chat.tokenizer.chat_template = refuses
    assert chat.text_of([Message("system", ("Rules.",)), Message("user", ("a boat",))]) == "Rules.\na boat"
    chat.tokenizer.chat_template = "{{ raise_exception('nothing at all') }}"
    with pytest.raises(Rejected, match="its chat template failed .nothing at all"):
        chat.text_of([Message("user", ("a boat",))])


def test_a_template_without_a_place_for_pictures_is_refused(seer: ChatAssistant, media: Media) -> None:
    assert seer.chat.vision is not None
    with pytest.raises(Rejected, match="0 places for 1 pictures"):
        seer.chat.vision.look("no place", [picture_of(media.folder / Media.PICTURE)], None)


def test_sizes_and_places() -> None:
    assert token_size(704, 1280, 256 * 784, 1280 * 784) == (700, 1288)
    height, width = token_size(2000, 3000, 256 * 784, 1280 * 784)
    assert height % 28 == width % 28 == 0 and height * width <= 1280 * 784
    height, width = token_size(32, 48, 256 * 784, 1280 * 784)
    assert height % 28 == width % 28 == 0 and height * width >= 256 * 784
    assert sampled_places(77, 16, 16) == (list(range(77)), 16.0)
    places, fps = sampled_places(100, 25, 16)
    assert (places[0], places[-1], len(places), fps) == (0, 99, 64, 16.0)
    assert np.all(np.diff(places) > 0)
