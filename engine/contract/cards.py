"""Model cards: what a model is, which frames and sizes it can make, and how it is sampled.

Comes in: the values of a card's document. Goes out: ``ModelCard``, whose family is one of ``families.FAMILIES`` and
whose settings are of that family. Does not know files, torch, storyboards or processes (``engine.storage.card_files``
reads cards and finds the files that they name).
"""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from engine.contract.card_values import BaseCard
from engine.contract.families import FAMILIES
from engine.contract.families.traits import FamilyTraits
from engine.contract.values import Value


class ModelCard(BaseCard):
    """One model. A document may name a ``base`` card and hold only what differs from it."""

    @property
    def traits(self) -> FamilyTraits:
        """What the model's family says of this card."""
        return FAMILIES[self.family](self)

    @model_validator(mode="before")
    @classmethod
    def _read_settings(cls, document: Any) -> Any:
        """Replaces the family's group by its settings; refuses a family or a group that nobody knows."""
        if not isinstance(document, Mapping):
            return document
        values = dict(cast(Mapping[str, Any], document))
        for key in sorted(values.keys() - cls.model_fields.keys() - FAMILIES.keys()):
            raise _refused(key, "extra_forbidden", values[key])
        if "family" not in values:
            return values
        family = str(values["family"])
        if family not in FAMILIES:
            message = f"no model family is called {family}; known: {', '.join(FAMILIES)}"
            raise _refused("family", _message(message), family)
        for key in sorted(values.keys() - cls.model_fields.keys()):
            group = values.pop(key)
            if key == family and group is not None:
                values[key] = _settings(family, group)
            elif group is not None:
                raise _refused(key, _message(f"a card of family {family} has no group {key}"), group)
        return values

    @model_validator(mode="after")
    def _check_autoencoder(self) -> "ModelCard":
        kinds = self.traits.autoencoder_kinds
        if self.autoencoder.kind not in kinds:
            kind = self.autoencoder.kind
            raise _message(f"{kind} is no autoencoder of family {self.family}; known: {', '.join(kinds)}")
        return self


def _settings(family: str, group: Any) -> Value:
    """The family's group, with errors that name it."""
    try:
        return FAMILIES[family].settings_type.model_validate(group)
    except ValidationError as error:
        details = [
            InitErrorDetails(
                type=each["type"], loc=(family, *each["loc"]), input=each["input"], ctx=each.get("ctx", {})
            )
            for each in error.errors()
        ]
        raise ValidationError.from_exception_data("ModelCard", details) from error


def _message(text: str) -> PydanticCustomError:
    return PydanticCustomError("family", "{text}", {"text": text})


def _refused(key: str, kind: str | PydanticCustomError, value: Any) -> ValidationError:
    return ValidationError.from_exception_data("ModelCard", [InitErrorDetails(type=kind, loc=(key,), input=value)])


class ModelStatus(Value):
    """A card with what one machine knows of it. ``fingerprint`` is "" where the weights are not there.

    ``missing``: names of the parts of which no file is there.
    """

    card: ModelCard
    fingerprint: str
    available: bool
    reason: str = ""
    missing: tuple[str, ...] = ()
