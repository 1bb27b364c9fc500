"""Which words count: the author's, the accepted ones of a refiner, and the author's again once they change."""

import pytest

from studio.document.edits import AcceptRefinement, ChangeScene, Edit, MergeScenes, apply
from studio.document.formats.yaml_file import from_text, to_text
from studio.document.refinement import origin_of, refinement_state, with_counting_words
from studio.document.storyboard import Refinement, Scene, Storyboard
from studio.errors import StoryboardError

STYLE = "predict2"
PLAIN = Scene(id="one", prompt="a boat", chunk_prompts=("it sinks",))
REFINED = PLAIN.model_copy(
    update={
        "refinement": Refinement(
            text="A red boat drifts.", chunk_texts=("It sinks slowly.",), source="tiny", of=origin_of(PLAIN, STYLE)
        )
    }
)


def after(*edits: Edit) -> Scene:
    storyboard = Storyboard(scenes=(REFINED, Scene(id="two", prompt="a car")))
    for edit in edits:
        storyboard = apply(storyboard, edit)
    return storyboard.scenes[0]


def test_a_refinement_counts_once_it_is_accepted() -> None:
    assert refinement_state(REFINED, STYLE) == "proposed" and with_counting_words(REFINED, STYLE).prompt == "a boat"
    scene = after(AcceptRefinement(scene_id="one"))
    words = with_counting_words(scene, STYLE)
    assert (words.prompt, words.chunk_prompts) == ("A red boat drifts.", ("It sinks slowly.",))
    assert refinement_state(scene, "segments") == "outdated", "another model reads other prompts"
    assert refinement_state(after(AcceptRefinement(scene_id="one", style="segments")), "segments") == "accepted"


def test_words_that_change_afterwards_count_until_the_refinement_is_accepted_as_it_is() -> None:
    edits = AcceptRefinement(scene_id="one"), ChangeScene(scene_id="one", field="prompt", value="a ship")
    scene = after(*edits)
    assert refinement_state(scene, STYLE) == "outdated" and with_counting_words(scene, STYLE).prompt == "a ship"
    assert refinement_state(after(*edits, AcceptRefinement(scene_id="one")), STYLE) == "accepted"


def test_a_refinement_is_edited_refused_and_gone_with_a_merge() -> None:
    edited = after(ChangeScene(scene_id="one", field="refinement.text", value="Mine."))
    assert edited.refinement and edited.refinement.text == "Mine." and edited.refinement.source == "tiny, edited"
    refused = ChangeScene(scene_id="one", field="refinement", value=None)
    assert after(refused).refinement is None and after(MergeScenes(scene_id="one")).refinement is None
    for late in AcceptRefinement(scene_id="one"), ChangeScene(scene_id="one", field="refinement.text", value="x"):
        with pytest.raises(StoryboardError, match="ask the refiner again"):
            after(refused, late)


def test_a_file_holds_a_refinement_only_where_there_is_one() -> None:
    storyboard = Storyboard(scenes=(REFINED, Scene(id="two", prompt="a car")))
    text = to_text(storyboard)
    assert from_text(text) == storyboard and text.count("refinement:") == 1
