"""Critics without a model of the engine: the score by measures and attributes, and a vision-language endpoint's."""

import base64
from pathlib import Path

import numpy as np
import pytest

from engine.assistants.critic import NUM_STILLS, Knowledge, asked_of_endpoint, knowledge_of, measured, read_clip
from engine.assistants.endpoint import ChatEndpoint, EndpointAddress
from engine.contract.errors import AssistantFailed, Rejected
from engine.storage.card_files import read_cards
from engine.storage.video import VideoWriter
from tests.fake_endpoint import FakeEndpoint, media_of, texts_of
from tools.diorama import world

ROOT = Path(__file__).parents[3]
TRUTH = world.render(world.Combination("boat", "red", "right", "ocean"), 3).frames
RIGHT, WRONG = "a red boat sails to the right on the sea", "a red car drives to the left on the sea"


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    known = knowledge_of(read_cards(ROOT / "presets" / "models")["diorama"])
    assert known is not None
    return known


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "boat.mp4"
    with VideoWriter(path, (96, 64), 8) as writer:
        writer.start()
        writer.write(TRUTH)
        writer.complete()
    return path


def test_what_was_asked_for_scores_high_and_what_was_not_low(knowledge: Knowledge, clip: Path) -> None:
    right, wrong = (measured(read_clip(clip), prompt, knowledge) for prompt in (RIGHT, WRONG))
    assert right.score > 0.9 and right.reasons == ("subject, colour, motion and setting are as asked",)
    assert wrong.score < 0.1
    assert wrong.reasons[:2] == ("the subject is boat, not car", "the motion is right, not left")


def test_only_what_is_asked_counts_and_a_scene_may_be_asked_to_stay(knowledge: Knowledge) -> None:
    still = np.repeat(TRUTH[:1], 17, axis=0)
    assert measured(still, "something red", knowledge).score < 0.1
    asked = measured(still, "a red boat stays in place", knowledge)
    assert asked.score > 0.9 and asked.reasons == ("subject, colour and motion are as asked",)


def test_a_further_prompt_of_a_long_scene_is_not_held_against_it(knowledge: Knowledge) -> None:
    back = np.concatenate([TRUTH, TRUTH[::-1]])
    assert measured(back, RIGHT, knowledge).score < 0.5
    assert measured(back, RIGHT, knowledge, num_prompted=len(TRUTH)).score > 0.9


def test_without_knowledge_faults_alone_are_measured() -> None:
    assert measured(TRUTH, WRONG).reasons == ("no fault was measured",)
    black = measured(np.zeros_like(TRUTH), WRONG)
    assert black.score == 0 and "100% of the frames are black" in black.reasons
    assert "it does not join the scene before it" in measured(TRUTH, "", None, 255 - TRUTH).reasons


def test_a_picture_is_no_clip() -> None:
    with pytest.raises(Rejected, match="is a picture"):
        read_clip(ROOT / "assets" / "examples" / "pictures" / "boat-at-sea.png")


def test_an_endpoint_is_asked_five_times_with_the_clip(fake_endpoint: FakeEndpoint, clip: Path) -> None:
    answers = iter(["<answer>No</answer>"] * 3 + ["<answer>Yes</answer>", "who knows"])
    fake_endpoint.answer = lambda body: next(answers)
    critique = asked_of_endpoint(ChatEndpoint(EndpointAddress(fake_endpoint.url)), clip, RIGHT, seed=7)
    assert critique.score == 0.75 and [trial.passed for trial in critique.trials] == [True, True, True, False, None]
    body = fake_endpoint.asked[1]
    assert media_of(body) == [f"data:video/mp4;base64,{base64.b64encode(clip.read_bytes()).decode()}"]
    assert RIGHT in texts_of(body)
    sampling = {
        name: body[name] for name in ("temperature", "top_p", "top_k", "repetition_penalty", "max_tokens", "seed")
    }
    assert list(sampling.values()) == [0.6, 0.95, 50, 1.05, 4096, 8]


def test_an_endpoint_that_takes_no_clips_is_shown_stills(fake_endpoint: FakeEndpoint, clip: Path) -> None:
    fake_endpoint.answer, fake_endpoint.fault, fake_endpoint.faults_left = "<answer>No</answer>", "refusal", 1
    critique = asked_of_endpoint(ChatEndpoint(EndpointAddress(fake_endpoint.url)), clip, num_trials=2)
    assert critique.score == 1 and len(critique.trials) == 2
    assert [url.split(";")[0] for url in media_of(fake_endpoint.asked[-1])] == ["data:image/png"] * NUM_STILLS


def test_an_endpoint_that_never_answers_gives_no_score(fake_endpoint: FakeEndpoint, clip: Path) -> None:
    fake_endpoint.fault = "html"
    with pytest.raises(AssistantFailed, match="a web page"):
        asked_of_endpoint(ChatEndpoint(EndpointAddress(fake_endpoint.url, num_tries=1)), clip)
