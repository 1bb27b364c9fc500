"""The example storyboards: each is read, is in the file's own form, and can be rendered whole by the bundled model."""

from pathlib import Path

import pytest

from engine.contract.cards import ModelStatus
from engine.storage.media import probe
from studio.document.formats.yaml_file import from_text, read_file, to_text
from studio.planning.plan import plan
from studio.planning.presets import load_cards, load_presets

EXAMPLES = sorted((Path(__file__).parents[3] / "assets" / "examples").glob("*.yaml"))


def test_there_are_examples() -> None:
    assert "a-day-in-the-diorama" in {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_planned_without_a_word_of_complaint(path: Path) -> None:
    storyboard = read_file(path)
    card = load_cards()[storyboard.model]
    media = {
        scene.conditioning.media: probe(path.parent / scene.conditioning.media)
        for scene in storyboard.scenes
        if scene.conditioning
    }
    models = {card.name: ModelStatus(card=card, fingerprint="f" * 64, available=True)}
    for preset in load_presets():
        made = plan(storyboard, presets=load_presets(), models=models, media=media, preset=preset)
        assert [note.text for note in made.notes] == []
        assert len(made.jobs) == len(storyboard.scenes)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_written_as_the_studio_writes_it(path: Path) -> None:
    written = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert to_text(read_file(path)).splitlines() == written


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_survives_being_saved(path: Path) -> None:
    assert from_text(to_text(read_file(path))) == read_file(path)
