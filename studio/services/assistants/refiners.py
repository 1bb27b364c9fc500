"""Which refiner writes the prompts of a model, as an ``Assistant``: rules, an endpoint, or a model of the engine.

Comes in: the host's settings, a model. Goes out: the refiner, or why there is none. Does not know projects or scenes.
"""

from engine.assistants.assistant import Assistant
from engine.assistants.built_in.refiner import SOURCE, refine
from engine.assistants.built_in.vocabulary import Vocabulary, vocabulary_of
from engine.assistants.endpoint import ChatEndpoint, Picture
from engine.assistants.refiner.chat import refined
from engine.assistants.refiner.pictures import picture_of
from engine.contract.assistants import AssistantRequest, Refinement, RefineRequest
from engine.contract.cards import ModelCard
from engine.contract.errors import AssistantFailed
from engine.storage.media import MediaStore
from studio.rendering.refining import RefinerChoice
from studio.services.assistants.host import AssistantHost
from studio.services.assistants.settings import BUILT_IN, OFF

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
        return RefinerChoice(setting.model or setting.use, "")
    if setting.use == BUILT_IN:
        reason = f"The built-in refiner writes for models with few words, and {card.title} reads any."
        return RefinerChoice(problem=f"{reason} {HOW_TO}.")
    return RefinerChoice(problem=f"No refiner for {card.title} is set up. {HOW_TO}.")


def refiner_for(host: AssistantHost, card: ModelCard) -> Assistant:
    """The refiner that was chosen. Raises AssistantFailed where there is none, PresetError for wrong settings."""
    choice = choose_refiner(host, card)
    if choice.problem:
        raise AssistantFailed(choice.problem)
    if vocabulary := vocabulary_of(card, host.models_root):
        return BuiltInRefiner(card, vocabulary)
    return EndpointRefiner(host.endpoint("refiner"), card, host.store)


def refine_request(request: AssistantRequest) -> RefineRequest:
    """Of a question that is put to a refiner."""
    assert isinstance(request, RefineRequest)
    return request
