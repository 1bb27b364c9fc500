"""Families of models behind the table: their settings in a card, their traits, and refusals that name what is known."""

from typing import Any

import pytest
from pydantic import ValidationError

from engine.contract.cards import ModelCard
from engine.contract.families import FAMILIES
from engine.contract.families.dfm import DfmSettings
from engine.contract.families.traits import JointCost
from engine.contract.families.ttt import TttSettings
from studio.planning.presets import load_cards

CARDS = load_cards()
TTT, DFM, DIORAMA = CARDS["ttt-video-mlp-5b"], CARDS["dfm-dit-xl"], CARDS["diorama"]


def joint_cost(card: ModelCard, num_segments: int = 3, num_branches: int = 1) -> JointCost:
    cost = card.traits.joint_cost((720, 480), num_segments, num_branches)
    assert cost is not None
    return cost


def with_layers(ssm_layer: str) -> ModelCard:
    settings = TTT.settings_as(TttSettings)
    assert settings is not None
    return TTT.model_copy(update={"ttt": settings.model_copy(update={"ssm_layer": ssm_layer})})


@pytest.mark.parametrize("name", CARDS)
def test_a_card_survives_its_json(name: str) -> None:
    card = CARDS[name]
    again = ModelCard.model_validate_json(card.model_dump_json())
    assert again == card and type(again.traits) is FAMILIES[card.family]
    assert again.settings_as(FAMILIES[card.family].settings_type) == card.settings_as(
        FAMILIES[card.family].settings_type
    )


def test_settings_are_of_the_card_s_family() -> None:
    assert DFM.settings_as(DfmSettings) == DfmSettings(norm_eps=1e-5, max_frames=34, max_patches=40)
    assert DFM.settings_as(TttSettings) is None and TTT.settings_as(DfmSettings) is None
    assert ModelCard.model_validate({**DIORAMA.model_dump(), "cosmos": None, "ttt": None}) == DIORAMA


REFUSED: list[tuple[ModelCard, dict[str, Any], str, str]] = [
    (DIORAMA, {"family": "sora"}, "family", "no model family is called sora; known: cosmos, ttt, dfm"),
    (DIORAMA, {"dfm": {}}, "dfm", "a card of family cosmos has no group dfm"),
    (DIORAMA, {"colour": "red"}, "colour", "not permitted"),
    (DIORAMA, {"colour": None}, "colour", "not permitted"),
    (TTT, {"ttt": {"ssm_layer": "rnn", "mini_batch_size": 4, "base_lr": 1}}, "ttt.ssm_layer", "ttt_mlp"),
    (TTT, {"ttt": {"ssm_layer": "none", "mini_batch_size": 4, "base_lr": 1, "x": 1}}, "ttt.x", "not permitted"),
    (TTT, {"autoencoder": {**TTT.autoencoder.model_dump(), "kind": "wan"}}, "", "family ttt; known: cogvideox"),
    (DFM, {"autoencoder": {**DFM.autoencoder.model_dump(), "kind": "wan"}}, "", "family dfm; known: cv4x8x8"),
]


@pytest.mark.parametrize(("card", "changes", "place", "text"), REFUSED)
def test_what_a_family_does_not_know_is_refused_by_name(
    card: ModelCard, changes: dict[str, Any], place: str, text: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        ModelCard.model_validate({**card.model_dump(), **changes})
    (error,) = caught.value.errors()
    assert ".".join(map(str, error["loc"])) == place and text in error["msg"]


def test_a_card_without_a_family_is_refused() -> None:
    with pytest.raises(ValidationError, match="family\n  Field required"):
        ModelCard.model_validate({key: value for key, value in DIORAMA.model_dump().items() if key != "family"})


def test_the_published_lengths_have_the_published_numbers_of_tokens() -> None:
    """Text and video tokens of 3 s to 63 s, as test-time-training/ttt-video-dit configures its training stages."""
    tokens = {number: joint_cost(TTT, number).num_tokens for number in (1, 3, 6, 10, 21)}
    assert tokens == {1: 18048, 3: 51456, 6: 101376, 10: 168320, 21: 351168}


def test_guidance_in_one_batch_holds_two_sequences() -> None:
    one, two = (joint_cost(TTT, 3, branches).memory_bytes for branches in (1, 2))
    weights = TTT.network.num_parameters * 2
    assert two - weights == 2 * (one - weights) > 0


def test_layers_of_test_time_training_cost_more_the_bigger_their_inner_model() -> None:
    none, linear, mlp = (joint_cost(with_layers(kind)) for kind in ("none", "ttt_linear", "ttt_mlp"))
    assert none.ratio == 1.0 < linear.ratio < mlp.ratio
    assert mlp.memory_bytes == linear.memory_bytes


def test_only_joint_models_have_a_joint_cost() -> None:
    assert DIORAMA.traits.joint_cost((96, 64), 3, 1) is None and DFM.traits.joint_cost((96, 64), 3, 1) is None
