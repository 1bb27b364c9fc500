"""Assistants: what a refiner, a guard and a critic are asked, and what they answer.

A refiner rewrites a prompt in the language that a model was trained on. A guard judges a text or a finished take. A
critic scores a take. Comes in: texts, and stored media by hash. Goes out: values that the studio keeps beside the
scene or the take; none of them is part of a recipe (a refined prompt is, once the author accepts it, because it then is
the prompt). Does not know how an answer is made: by rules, by an endpoint, or by a model of the engine.
"""

from typing import Annotated, Literal

from pydantic import Field

from engine.contract.values import Identifier, Sha256, Value

AssistantKind = Literal["refiner", "guard", "critic"]

PromptStyle = Literal["general", "predict1", "predict2", "segments", "vocabulary"]
"""How the prompts of a model are written.

predict1, predict2: as the captions of NVIDIA's models. segments: a text for each 3 s, with the neighbours in mind.
vocabulary: in the words that a small model knows. general: a plain description of a film.
"""

NUM_TRIALS = 5
"""How often a critic that samples its answers is asked (Cosmos-Reason1's best of n)."""


class RefineRequest(Value):
    """Rewrite ``prompt`` for the film model ``model``.

    ``before`` and ``after``: the prompts of the neighbouring scenes. ``media``: the picture or clip that the scene
    starts from; without one ``media_kind`` is "".
    """

    kind: Literal["refine"] = "refine"
    prompt: str
    model: Identifier
    before: str = ""
    after: str = ""
    media: Sha256 | None = None
    media_kind: Literal["", "image", "clip"] = ""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of a model that samples: another seed asks for another text."""


class CheckTextRequest(Value):
    """Judge a prompt, negative or refined ones included."""

    kind: Literal["check_text"] = "check_text"
    text: str


class CheckTakeRequest(Value):
    """Judge the frames of a finished take or a stored picture."""

    kind: Literal["check_take"] = "check_take"
    media: Sha256


class CritiqueRequest(Value):
    """Score a clip. ``prompt``: what it should show; "": not known."""

    kind: Literal["critique"] = "critique"
    media: Sha256
    prompt: str = ""
    num_trials: int = Field(default=NUM_TRIALS, ge=1, le=100)
    seed: int = Field(default=0, ge=0, lt=2**32)


AssistantRequest = Annotated[
    RefineRequest | CheckTextRequest | CheckTakeRequest | CritiqueRequest, Field(discriminator="kind")
]


class Refinement(Value):
    """``source``: who wrote it, as it is shown (``built in``, a model's name). ``notes``: what was changed, and why."""

    kind: Literal["refinement"] = "refinement"
    text: str = Field(min_length=1)
    source: str
    notes: tuple[str, ...] = ()


class Finding(Value):
    """``category``: of the guard's own list. ``detail``: what was seen, as text an author can act on. ``frame``: None
    of a text."""

    category: str
    detail: str
    frame: int | None = Field(default=None, ge=0)


class Verdict(Value):
    """Safe, or not and why. ``source``: which guard."""

    kind: Literal["verdict"] = "verdict"
    safe: bool
    source: str
    findings: tuple[Finding, ...] = ()


class Trial(Value):
    """One answer of a critic that samples: ``passed`` None where the answer could not be read."""

    passed: bool | None
    text: str


class Critique(Value):
    """``score``: 0 (worst) to 1. ``reasons``: the measures or faults behind it, the most important first."""

    kind: Literal["critique"] = "critique"
    score: float = Field(ge=0, le=1)
    source: str
    reasons: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()

    @property
    def grade(self) -> int:
        """0 to 20. What is finer than that orders no takes: it is how sure a reader is, and not what one sees."""
        return round(20 * self.score)


AssistantAnswer = Annotated[Refinement | Verdict | Critique, Field(discriminator="kind")]


class AssistantJob(Value):
    """A request for a model that the engine runs.

    ``model``: an assistant's card; ``weights``: the fingerprint of its files.
    """

    id: Identifier
    project_id: Identifier
    model: Identifier
    weights: Sha256
    request: AssistantRequest

    @property
    def media(self) -> Sha256 | None:
        """The stored file that the request is about, if any."""
        return None if isinstance(self.request, CheckTextRequest) else self.request.media


def fits(request: AssistantRequest, answer: AssistantAnswer) -> bool:
    """Whether an answer is of the kind that a request asks for."""
    match request:
        case RefineRequest():
            return isinstance(answer, Refinement)
        case CheckTextRequest() | CheckTakeRequest():
            return isinstance(answer, Verdict)
        case CritiqueRequest():
            return isinstance(answer, Critique)
