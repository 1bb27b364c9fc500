"""A local assistant as the runtime sees it: its components, and answers to requests.

Comes in: a card's files, requests. Goes out: answers, with a step for each token or frame. Does not know jobs, ranks,
sockets or where media are kept.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from engine.contract.assistant_cards import AssistantCard
from engine.contract.assistants import AssistantAnswer, AssistantRequest
from engine.contract.cards import ModelCard
from engine.contract.errors import Rejected
from engine.contract.values import Sha256


@dataclass(frozen=True, slots=True)
class Work:
    """What one request may use. ``media``: path of a stored file. ``film_model``: a film model's card. ``step``: called
    after each of some steps; it may raise Cancelled, which ends the work."""

    media: Callable[[Sha256], Path]
    film_model: Callable[[str], ModelCard]
    step: Callable[[int, int], None]


class LocalAssistant(ABC):
    def __init__(self, card: AssistantCard, *components: nn.Module) -> None:
        self.card = card
        self.components = components

    @property
    def device(self) -> torch.device:
        return next(self.components[0].parameters()).device

    @abstractmethod
    def answer(self, request: AssistantRequest, work: Work) -> AssistantAnswer:
        """Raises AssistantFailed where what the model says is no answer, Rejected where it cannot be asked this."""

    def cannot(self, request: AssistantRequest) -> Rejected:
        what = f"{self.card.name} is a {' and '.join(self.card.kinds)} of format {self.card.format}"
        return Rejected(
            "model", f"{what}, and was asked to {request.kind.replace('_', ' ')}. Choose another assistant."
        )
