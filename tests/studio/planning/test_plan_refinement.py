"""Accepted words of a refiner are what is rendered, and say so where they make a take stale."""

from studio.document.edits import AcceptRefinement, ChangeScene, apply
from tests.studio.planning.factories import CARD, board, planned, rendered

REFINEMENT = {"text": "A red boat drifts.", "of": {"prompt": "a boat", "style": CARD.traits.prompt_style}}


def test_accepted_words_are_rendered_and_outdated_ones_are_not() -> None:
    plain = board({"prompt": "a boat", "duration_s": 2}, look="at night")
    takes = rendered(plain)
    proposed = apply(plain, ChangeScene(scene_id="scene-1", field="refinement", value=REFINEMENT))
    assert planned(proposed, takes=takes).scenes[0].state == "fresh", "nobody has accepted it"
    accepted = apply(proposed, AcceptRefinement(scene_id="scene-1"))
    plan = planned(accepted, takes=takes)
    assert plan.jobs[0].segments[0].prompt == "A red boat drifts. at night"
    assert plan.scenes[0].reason == "refined prompt is used now"
    edited = apply(accepted, ChangeScene(scene_id="scene-1", field="refinement.text", value="Mine."))
    assert planned(edited, takes=rendered(accepted)).scenes[0].reason == "refined prompt changed"
    outdated = planned(apply(accepted, ChangeScene(scene_id="scene-1", field="prompt", value="a ship")), takes=takes)
    assert outdated.jobs[0].segments[0].prompt == "a ship, at night"
    assert any("made from other words" in note.text for note in outdated.notes)
