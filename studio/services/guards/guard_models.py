"""The models that judge: of texts, behind the block list and in order; and the classifier of a take's frames.

Comes in: the guard's setting, the host. Goes out: a ``TextGuard`` for each model, a function that asks the classifier.
Nothing is asked or connected before something is judged. Does not know policies, scenes or what follows.
"""

from collections.abc import Iterator

from engine.assistants.guard_endpoint import EndpointGuard
from engine.contract.assistant_cards import AssistantCard, AssistantFormat
from engine.contract.assistants import CheckTakeRequest, CheckTextRequest, Verdict
from engine.contract.errors import AssistantFailed
from studio.errors import StudioError
from studio.services.assistants.host import AssistantHost
from studio.services.assistants.local_assistants import LocalAssistant
from studio.services.assistants.settings import AUTO, BUILT_IN, OFF, AssistantSetting, GuardSetting
from studio.services.guards.take_guard import AskClassifier
from studio.services.guards.text_guards import TextGuard

TEXT_FORMATS: tuple[AssistantFormat, ...] = ("qwen3guard", "llama_guard_3", "aegis")
"""``auto`` takes the first that is here."""
NOBODY = "guard"
"""The project that the engine's jobs of guards are of: one verdict serves all projects."""


class EndpointTextGuard:
    def __init__(self, host: AssistantHost, setting: AssistantSetting) -> None:
        self._host = host
        self._setting = setting
        self.key = f"endpoint:{setting.use}#{setting.model}"

    @property
    def name(self) -> str:
        return self._setting.model or self._setting.use

    def check(self, text: str) -> Verdict:
        """Raises AssistantFailed, PresetError."""
        endpoint = self._host.endpoint("guard", self._setting)
        return EndpointGuard(endpoint).answer(CheckTextRequest(text=text))


class LocalTextGuard:
    """``fingerprints``: of the weights that the engine has, by card; grows as it is asked."""

    def __init__(self, host: AssistantHost, name: str, fingerprints: dict[str, str]) -> None:
        self._host = host
        self._fingerprints = fingerprints
        self.name = name

    @property
    def key(self) -> str | None:
        """None before the engine said which weights it has."""
        known = self._fingerprints.get(self.name)
        return f"local:{self.name}:{known}" if known else None

    def check(self, text: str) -> Verdict:
        """Raises EngineError: no card, no weights, no engine, no answer."""
        card = _card(self._host, self.name)
        if card.format not in TEXT_FORMATS:
            raise AssistantFailed(f"{card.title}: judges no texts. Name another guard.")
        self._fingerprints[self.name] = self._host.local.status(self.name).fingerprint
        answer = LocalAssistant(self._host.local, card, NOBODY).answer(CheckTextRequest(text=text))
        return _verdict(answer, card)


class UnknownGuard:
    """In place of guards whose cards cannot be read: every text fails for that reason."""

    name = "guard"
    key = None

    def __init__(self, error: StudioError) -> None:
        self._error = error

    def check(self, text: str) -> Verdict:
        raise self._error


def model_guards(host: AssistantHost, setting: GuardSetting, fingerprints: dict[str, str]) -> tuple[TextGuard, ...]:
    return tuple(_guards(host, (setting, *setting.also), fingerprints))


def _guards(
    host: AssistantHost, settings: tuple[AssistantSetting, ...], fingerprints: dict[str, str]
) -> Iterator[TextGuard]:
    for setting in settings:
        if setting.is_endpoint:
            yield EndpointTextGuard(host, setting)
        elif setting.use == AUTO:
            try:
                here = _first_here(host, TEXT_FORMATS)
            except StudioError as error:  # a card of the host's own that is wrong
                yield UnknownGuard(error)
                continue
            if here is not None:
                yield LocalTextGuard(host, here.name, fingerprints)
        elif setting.use not in (BUILT_IN, OFF):
            yield LocalTextGuard(host, setting.use, fingerprints)


def classifier_of(host: AssistantHost, setting: GuardSetting) -> AskClassifier | None:
    """Asks the classifier of frames; None where ``auto`` finds none. One that is named fails when it is not here."""
    name = setting.video_model
    if name == AUTO:
        try:
            here = _first_here(host, ("frame_classifier",))
        except StudioError:  # the guard of texts says so
            return None
        if here is None:
            return None
        name = here.name

    def ask(request: CheckTakeRequest) -> Verdict:
        card = _card(host, name)
        return _verdict(LocalAssistant(host.local, card, NOBODY).answer(request), card)

    return ask


def _first_here(host: AssistantHost, formats: tuple[AssistantFormat, ...]) -> AssistantCard | None:
    here = [card for card in host.local.cards().values() if card.format in formats and host.local.is_here(card)]
    return min(here, key=lambda card: formats.index(card.format), default=None)


def _card(host: AssistantHost, name: str) -> AssistantCard:
    card = host.local.cards().get(name)
    if card is None or "guard" not in card.kinds:
        raise AssistantFailed(f"{name}: no guard has a card of this name. See `storyboard models list`.")
    return card


def _verdict(answer: object, card: AssistantCard) -> Verdict:
    if not isinstance(answer, Verdict):
        raise AssistantFailed(f"{card.title}: the engine sent another kind of answer. Is it of this version?")
    return answer
