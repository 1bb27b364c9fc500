"""Attributes from pixels: on rendered truth, and the subject network against its torch form."""

import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from engine.assistants.built_in.attributes import AttributeReader
from engine.assistants.built_in.subject_net import SubjectNet
from tools.diorama import measure, world


@pytest.fixture(scope="module")
def reader() -> AttributeReader:
    return measure.reader()


@pytest.fixture(scope="module")
def truth() -> list[world.Clip]:
    picked = random.Random(8).sample(world.all_combinations(), 20)
    return [world.render(combination, 40 + i) for i, combination in enumerate(picked)]


def test_what_is_drawn_is_the_likeliest(reader: AttributeReader, truth: list[world.Clip]) -> None:
    for clip in truth:
        for name, seen in (reader.read(clip.frames) or {}).items():
            assert seen.value == getattr(clip.combination, name), (clip.combination, name)
            assert sum(seen.likelihoods.values()) == pytest.approx(1, abs=0.05)
            assert seen.likelihoods[seen.value] > 0.5


def test_a_larger_clip_is_read_at_the_models_size(reader: AttributeReader, truth: list[world.Clip]) -> None:
    large = truth[0].frames.repeat(3, axis=1).repeat(3, axis=2)
    assert reader.read(large) == reader.read(truth[0].frames)


def test_nothing_is_read_from_what_is_too_short_or_of_another_shape(reader: AttributeReader) -> None:
    assert reader.read(np.zeros((2, 64, 96, 3), np.uint8)) is None
    assert reader.read(np.zeros((9, 96, 64, 3), np.uint8)) is None


def test_without_a_subject_no_subject_is_named(reader: AttributeReader) -> None:
    seen = reader.read(np.full((9, 64, 96, 3), 200, np.uint8)) or {}
    assert [seen[name].value for name in ("subject", "colour", "motion")] == [None, None, None]


def test_the_subject_network_is_its_torch_form() -> None:
    crops = np.random.default_rng(0).random((3, 3, 40, 40), np.float32)
    twin = measure.SubjectNet()
    twin.load_state_dict({name: tensor.float() for name, tensor in load_file(measure.SUBJECTS_FILE).items()})
    with torch.no_grad():
        expected = twin(torch.from_numpy(crops)).log_softmax(-1).numpy()
    difference = np.abs(SubjectNet(measure.SUBJECTS_FILE).log_probabilities(crops) - expected)
    print(f"largest difference {difference.max():.2e}, mean {difference.mean():.2e}")
    assert difference.max() < 1e-4


def test_the_looks_are_those_of_the_renderer(reader: AttributeReader) -> None:
    assert reader.looks.model_dump(mode="json") == measure.looks()
