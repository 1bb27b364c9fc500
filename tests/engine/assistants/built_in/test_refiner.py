"""The built-in refiner on the bundled model's vocabulary: what sentences become, and what is said about it."""

import random
from pathlib import Path

import pytest

from engine.assistants.built_in.refiner import refine
from engine.assistants.built_in.vocabulary import FILE, Vocabulary, read_vocabulary, vocabulary_of
from engine.contract.cards import ModelCard
from engine.contract.errors import Rejected
from engine.storage.card_files import read_cards
from tools.diorama import captions, world

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return read_cards(ROOT / "presets" / "models")["diorama"]


@pytest.fixture(scope="module")
def vocabulary(card: ModelCard) -> Vocabulary:
    found = vocabulary_of(card)
    assert found is not None
    return found


SENTENCES = {
    "a ship at sunset": "an orange boat sails to the right on the sea",
    "A crimson sports car races through dunes to the right": "a red car drives to the right in the desert",
    "A majestic eagle soars over the snowy mountains": "a red butterfly rises in the snow",
    "a violet baloon drifting upwards into the night": "a purple balloon rises at night",
    "a chartreuse butterfly resting on a cactus": "a green butterfly stays in place in the desert",
    "a train comes from the right through the desert": "a blue car drives to the left in the desert",
    "a zorgle flies over the forest": "a red butterfly flies to the right in a meadow",
    "no car, a blue boat that isn't moving": "a blue boat stays in place on the sea",
    "a boat on the left sails to the right under a green sky": "an orange boat sails to the right on the sea",
    "Ein Hund": "a red ball rolls to the right in a meadow",
    "": "a red ball rolls to the right in a meadow",
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_any_sentence_becomes_one_that_the_model_knows(sentence: str, vocabulary: Vocabulary, card: ModelCard) -> None:
    refined = refine(sentence, vocabulary, card.vocabulary)
    assert refined.text == SENTENCES[sentence]
    assert set(refined.text.split()) <= set(card.vocabulary)


def test_what_is_changed_chosen_and_left_out_has_its_note(vocabulary: Vocabulary, card: ModelCard) -> None:
    notes = refine("two eagles and a castle at sunset", vocabulary, card.vocabulary).notes
    assert '"eagles" becomes a butterfly: it flies with wings.' in notes
    assert '"sunset" becomes the sea: it has the low sun.' in notes
    assert "No colour is given: orange, which stands out there." in notes
    assert "One subject is drawn, not several." in notes
    assert 'Left out: "castle".' in notes


def test_it_is_the_subject_of_the_scene_before(vocabulary: Vocabulary, card: ModelCard) -> None:
    refined = refine("it sinks", vocabulary, card.vocabulary, before="a green boat sails to the left at night")
    assert refined.text == "a green boat falls down at night"


def test_every_caption_of_the_training_is_read_as_what_it_says(vocabulary: Vocabulary) -> None:
    rng, combinations = random.Random(5), world.all_combinations()
    for combination in rng.sample(combinations, 200):
        text = captions.plain_caption(combination, rng)
        expected = {name: getattr(combination, name) for name in ("subject", "colour", "motion", "setting")}
        assert vocabulary.read(text).values() == expected, text


def test_a_sentence_in_the_models_own_words_stays_as_it_is(vocabulary: Vocabulary, card: ModelCard) -> None:
    own = "A clip of a crimson sailboat, gliding left over the waves, 4k."
    known = "a crimson sailboat glides leftwards over the waves, 4k"
    assert refine(known, vocabulary, card.vocabulary).text == known
    assert refine(known, vocabulary, card.vocabulary).notes == ()
    assert refine(own, vocabulary, card.vocabulary).text == "a red boat sails to the left on the sea"


def test_a_vocabulary_that_is_not_one_names_file_and_key(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=FILE):
        read_vocabulary(tmp_path / "absent")
    (tmp_path / FILE).write_text("attributes: []\n")
    with pytest.raises(Rejected, match="attributes"):
        read_vocabulary(tmp_path)
