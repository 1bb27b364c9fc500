"""What models are asked, by style, and what becomes of a request."""

from collections.abc import Sequence

import numpy as np

from engine.assistants.endpoint import Message, Picture, Sampling
from engine.assistants.refiner.chat import refined
from engine.assistants.refiner.pictures import jpeg_of
from engine.contract.assistants import PromptStyle, Refinement, RefineRequest

PICTURE = jpeg_of(np.full((2, 8, 2048, 3), 90, np.uint8))
SHA = "0" * 64


class Model:
    """Keeps what it was asked."""

    def __init__(self, answer: str = "A red boat drifts.") -> None:
        self.answer = answer
        self.messages: Sequence[Message] = ()
        self.sampling = Sampling()

    def __call__(self, messages: Sequence[Message], sampling: Sampling) -> str:
        self.messages, self.sampling = messages, sampling
        return self.answer

    @property
    def parts(self) -> list[str | Picture]:
        return [part for message in self.messages for part in message.parts]

    @property
    def text(self) -> str:
        return "\n".join(part for part in self.parts if isinstance(part, str))


def ask(model: Model, style: PromptStyle, request: RefineRequest, max_tokens: int = 512) -> Refinement:
    return refined(request, style, max_tokens, model, lambda: PICTURE, "tiny")


def test_predict2_sends_words_and_picture_and_keeps_neighbours_out_of_a_plain_request() -> None:
    model = Model()
    answer = ask(model, "predict2", RefineRequest(prompt="a boat", model="m", media=SHA, media_kind="image"))
    assert answer == Refinement(text="A red boat drifts.", source="tiny")
    assert [message.role for message in model.messages] == ["system", "user"]
    assert model.messages[1].parts == ("a boat", PICTURE) and "80 to 100 words" in model.text


def test_predict1_uses_its_trained_instruction_or_writes_from_the_picture_alone() -> None:
    model = Model()
    ask(model, "predict1", RefineRequest(prompt="a boat", model="m"))
    assert model.parts == ["Upsample the short caption to a long caption: a boat"]
    assert (model.sampling.max_tokens, model.sampling.temperature) == (512, 0.01)
    answer = ask(model, "predict1", RefineRequest(prompt="a boat", model="m", media=SHA, media_kind="clip"))
    assert PICTURE in model.parts and "a boat" not in model.text
    assert "the clip's last frame alone" in answer.notes[0]
    model.answer = ""
    long = " ".join(["word"] * 251)
    assert ask(model, "predict1", RefineRequest(prompt=long, model="m")).text == long


def test_any_style_writes_a_missing_prompt_from_the_picture() -> None:
    answer = ask(Model(), "general", RefineRequest(prompt=" ", model="m", media=SHA, media_kind="image"))
    assert answer.notes == ("Written from the picture.",)


def test_a_segment_has_its_neighbours_in_view() -> None:
    model = Model()
    ask(model, "segments", RefineRequest(prompt="she runs", model="m", before="she waits", after=""))
    assert model.messages[1].parts == ("Before it: she waits\n\nThe text to rewrite: she runs",)


def test_an_answer_is_no_longer_than_the_model_reads() -> None:
    answer = ask(Model("One two three four. " * 20), "general", RefineRequest(prompt="a", model="m"), max_tokens=32)
    assert len(answer.text.split()) == 20 and "Shortened to 20 words" in answer.notes[0]


def test_a_picture_is_sent_small() -> None:
    assert PICTURE.content_type == "image/jpeg" and len(PICTURE.content) < 10_000
