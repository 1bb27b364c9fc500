"""Guards of the published classes, tiny and random: what they are asked to the letter, that their answers are read, and
that an answer without a label is an error."""

import re
from pathlib import Path

import pytest
import torch

from engine.assistants.guard_answers import FRAME_CLASSES
from engine.contract.assistant_cards import AssistantCard
from engine.contract.assistants import CheckTakeRequest, CheckTextRequest, Verdict
from engine.contract.errors import AssistantFailed, Rejected
from engine.models import assistants
from engine.models.assistants.frame_classifier import FrameClassifier, load_classifier
from engine.models.assistants.text_guards import TextGuard, aegis_text
from engine.storage.media import frames_at
from tests.engine.models.assistants import tiny
from tests.engine.models.assistants.conftest import Media

TEXT = CheckTextRequest(text="a boat")


def guard(card: AssistantCard, root: Path) -> TextGuard:
    loaded = assistants.load(card, root)
    assert isinstance(loaded, TextGuard)
    return loaded


@pytest.mark.parametrize("form", ["qwen3guard", "llama_guard_3", "aegis"])
def test_an_answer_without_a_label_is_an_error(
    form: str, guard_cards: dict[str, AssistantCard], models_root: Path, media: Media
) -> None:
    loaded = guard(guard_cards[form], models_root)
    with pytest.raises(AssistantFailed, match="gave no verdict") as failed:
        loaded.answer(TEXT, media.work())
    text, sampling, _ = loaded._asks[form]
    spoken = loaded.chat.continued(text(TEXT.text), sampling, lambda tokens: None)
    if line := " ".join(spoken.split())[:40]:
        assert line in str(failed.value), "the parser gets what the model wrote"
    assert 0 < len(media.steps) <= sampling.max_tokens
    with pytest.raises(Rejected, match="asked to check take"):
        loaded.answer(CheckTakeRequest(media=Media.CLIP), media.work())


@pytest.mark.parametrize(
    ("form", "after", "spoken", "category"),
    [
        ("qwen3guard", "\n", "Safety: Unsafe\nCategories: Violent", "Violent"),
        ("llama_guard_3", "t", "unsafe\nS9", "Indiscriminate Weapons"),
        ("aegis", "]", "unsafe\nO11", "Threat"),
    ],
)
def test_what_a_guard_says_is_its_verdict(
    form: str,
    after: str,
    spoken: str,
    category: str,
    guard_cards: dict[str, AssistantCard],
    models_root: Path,
    media: Media,
) -> None:
    loaded = guard(guard_cards[form], models_root)
    tiny.make_say(loaded.chat, after, spoken)
    found = loaded.answer(TEXT, media.work())
    assert not found.safe and [finding.category for finding in found.findings] == [category]


def test_what_guards_are_asked(guard_cards: dict[str, AssistantCard], models_root: Path) -> None:
    qwen, llama = (guard(guard_cards[form], models_root) for form in ("qwen3guard", "llama_guard_3"))
    assert qwen._qwen_text("a boat") == "<|im_start|>user\na boat<|im_end|>\n<|im_start|>assistant\n"
    lines = llama._llama_text("a boat").splitlines()
    assert lines[0] == "S1: Violent Crimes" and lines[-2:] == ["S14: Code Interpreter Abuse", "User: a boat"]
    asked = aegis_text("a boat")
    assert asked.startswith("[INST] Task: ") and asked.endswith("[/INST]") and "\nUser: a boat\n" in asked
    assert re.findall(r"^(O\d+): ", asked, re.MULTILINE) == [f"O{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12)]


def test_the_adapter_is_merged(guard_cards: dict[str, AssistantCard], models_root: Path) -> None:
    merged = guard(guard_cards["aegis"], models_root).chat.model
    plain_card = guard_cards["aegis"].model_copy(update={"parts": guard_cards["llama_guard_3"].parts})
    plain = guard(plain_card, models_root).chat.model  # the same seed: the same base
    states = merged.state_dict(), plain.state_dict()
    changed = [name for name in states[0] if not torch.equal(states[0][name], states[1][name])]
    assert changed == ["model.layers.0.self_attn.q_proj.weight"]
    difference = states[0][changed[0]] - states[1][changed[0]]
    torch.testing.assert_close(difference, torch.full((32, 32), 4 / 2 * 2 * 0.5), rtol=0, atol=1e-5)


def test_frames_are_classified_by_features_and_network(
    frame_card: AssistantCard, models_root: Path, media: Media
) -> None:
    classifier = assistants.load(frame_card, models_root)
    assert isinstance(classifier, FrameClassifier)
    found = classifier.answer(CheckTakeRequest(media=Media.CLIP), media.work())
    assert isinstance(found, Verdict) and media.steps == [(3, 3)], "9 frames at 8 fps, two a second"
    names = {FRAME_CLASSES[index] for index in classifier.classes(frames_at(media.folder / Media.CLIP, [0, 4, 8]))}
    assert {each.category for each in found.findings} == names - {"Safe"} and found.safe == (names == {"Safe"})
    assert classifier.answer(CheckTakeRequest(media=Media.PICTURE), media.work()).source == "siglip"


def test_a_file_that_is_no_classifier_is_refused(tmp_path: Path) -> None:
    torch.save({"model": {"weight": torch.zeros(2)}}, tmp_path / "safety_filter.pt")
    with pytest.raises(Rejected, match="no classifier of frames"):
        load_classifier(tmp_path / "safety_filter.pt")
