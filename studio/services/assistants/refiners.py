"""Which refiner writes the prompts of a model, as an ``Assistant``: rules, an endpoint, or a model of the engine.

Comes in: the host's settings, a model. Goes out: the refiner, or why there is none. Does not know projects or scenes.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from engine.assistants.assistant import Assistant
from engine.assistants.built_in.refiner import SOURCE, refine
from engine.assistants.built_in.vocabulary import Vocabulary, vocabulary_of
from engine.assistants.endpoint import ChatEndpoint, Picture
from engine.assistants.refiner.chat import refined
from engine.assistants.refiner.pictures import picture_of
from engine.contract.assistant_cards import AssistantCard
from engine.contract.assistants import AssistantAnswer, AssistantRequest, Refinement, RefineRequest
from engine.contract.cards import ModelCard
from engine.contract.errors import AssistantFailed
from engine.storage.media import MediaStore
from studio.document.validation import suggestion
from studio.rendering.refining import RefinerChoice
from studio.services.assistants.host import AssistantHost
from studio.services.assistants.local_assistants import LocalAssistant, LocalAssistants
from studio.services.assistants.settings import AUTO, BUILT_IN, OFF

HOW_TO = "Name one in assistants.yaml or with --refiner (docs/refiner.md)"


class BuiltInRefiner:
    """Rules, for a model with a vocabulary of its own."""

    name = SOURCE

    def __init__(self, card: ModelCard, vocabulary: Vocabulary) -> None:
        self._card = card
        self._vocabulary = vocabulary

    def answer(self, request: AssistantRequest) -> Refinement:
        asked = refine_request(request)
        if not asked.prompt.strip():
            raise AssistantFailed("The built-in refiner sees no pictures: write a prompt, however short.")
        return refine(asked.prompt, self._vocabulary, self._card.vocabulary, asked.before)

    def close(self) -> None: ...


class EndpointRefiner:
    """A chat model behind an endpoint. The endpoint belongs to the host, and is closed there."""

    def __init__(self, endpoint: ChatEndpoint, card: ModelCard, store: MediaStore) -> None:
        self._endpoint = endpoint
        self._card = card
        self._store = store

    @property
    def name(self) -> str:
        return self._endpoint.name

    def answer(self, request: AssistantRequest) -> Refinement:
        asked = refine_request(request)

        def picture() -> Picture:
            return picture_of(self._store.path(str(asked.media)))

        style, max_tokens = self._card.traits.prompt_style, self._card.text.max_tokens
        answer = refined(asked, style, max_tokens, self._endpoint.complete, picture, "")
        return answer.model_copy(update={"source": self.name})  # by now the endpoint has said which model it is

    def close(self) -> None: ...


class LocalRefiner:
    """Models of the engine: which one is asked depends on whether there is a picture."""

    def __init__(self, local: LocalAssistants, cards: Sequence[AssistantCard], project_id: str) -> None:
        self._local = local
        self._cards = cards
        self._project_id = project_id

    @property
    def name(self) -> str:
        return self._cards[0].title

    def answer(self, request: AssistantRequest) -> AssistantAnswer:
        asked = refine_request(request)
        card = next((card for card in self._cards if _takes(card, asked)), None)
        if card is None:
            what = "a picture or clip" if asked.media else "a text without a picture"
            raise AssistantFailed(f"{self.name} does not write from {what}, and no other refiner is here. {HOW_TO}.")
        return LocalAssistant(self._local, card, self._project_id).answer(asked)

    def close(self) -> None: ...


def _takes(card: AssistantCard, request: RefineRequest) -> bool:
    """A captioner lengthens texts, a describer writes from pictures, a chat model without eyes needs a text."""
    if request.media is None:
        return card.format != "describer"
    return card.format in ("describer", "vision_chat") or (card.format == "chat" and bool(request.prompt.strip()))


def choose_refiner(host: AssistantHost, card: ModelCard) -> RefinerChoice:
    """Which refiner there is for a model; asks and connects nothing.

    A model that brings a vocabulary is written for by rules, whatever is set: no chat model knows its few words.
    """
    setting = host.settings.refiner
    if setting.use == OFF:
        return RefinerChoice(problem="The refiner is switched off on this machine.")
    if card.built_in:
        return RefinerChoice(SOURCE, "")
    if setting.is_endpoint:
        return RefinerChoice(setting.model or urlsplit(setting.use).netloc, "")
    if setting.use == BUILT_IN:
        reason = f"The built-in refiner writes for models with few words, and {card.title} reads any."
        return RefinerChoice(problem=f"{reason} {HOW_TO}.")
    if local := _local_cards(host, card):
        return RefinerChoice(local[0].title, "", in_engine=True)
    return RefinerChoice(problem=_why_none(host, card))


def refiner_for(host: AssistantHost, card: ModelCard, project_id: str) -> Assistant:
    """The refiner that was chosen. Raises AssistantFailed where there is none, PresetError for wrong settings."""
    choice = choose_refiner(host, card)
    if choice.problem:
        raise AssistantFailed(choice.problem)
    if vocabulary := vocabulary_of(card, host.models_root):
        return BuiltInRefiner(card, vocabulary)
    if host.settings.refiner.is_endpoint:
        return EndpointRefiner(host.endpoint("refiner"), card, host.store)
    return LocalRefiner(host.local, _local_cards(host, card), project_id)


def _local_cards(host: AssistantHost, card: ModelCard) -> list[AssistantCard]:
    """Those that are here: the one that is named, else all that suit, the most particular first."""
    named = host.settings.refiner.use
    suited = host.local.suited("refiner", card.name) if named == AUTO else _named(host, named)
    return [one for one in suited if host.local.is_here(one)]


def _named(host: AssistantHost, name: str) -> list[AssistantCard]:
    card = host.local.cards().get(name)
    return [card] if card and "refiner" in card.kinds else []


def _why_none(host: AssistantHost, card: ModelCard) -> str:
    named = host.settings.refiner.use
    if named == AUTO:
        suited = host.local.suited("refiner", card.name)
        get = f" Download one (storyboard models get {suited[0].name}), or name" if suited else " Name"
        return f"No refiner for {card.title} is here.{get} an endpoint in assistants.yaml (docs/refiner.md)."
    if _named(host, named):
        return f"The refiner {named} is not here. Download it: storyboard models get {named}"
    cards = [one.name for one in host.local.cards().values() if "refiner" in one.kinds]
    return f"There is no refiner {named}{suggestion(named, cards)}. {HOW_TO}."


def refine_request(request: AssistantRequest) -> RefineRequest:
    """Of a question that is put to a refiner."""
    assert isinstance(request, RefineRequest)
    return request
