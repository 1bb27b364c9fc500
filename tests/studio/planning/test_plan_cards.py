"""Every model card of the project has a plan, at the card's own settings.

Comes in: the cards in ``presets/models``. Goes out: plans. Does not know weights.
"""

import pytest

from engine.contract.cards import ModelStatus
from engine.contract.jobs import FromModel
from studio.document.storyboard import Scene, Storyboard
from studio.planning.presets import load_cards, load_presets
from tests.studio.planning.factories import (
    planned,
)

CARDS = load_cards()


@pytest.mark.parametrize("name", CARDS)
def test_every_model_there_is_has_a_plan_at_its_own_settings(name: str) -> None:
    every = {each: ModelStatus(card=CARDS[each], fingerprint="a" * 64, available=True) for each in CARDS}
    own = CARDS[name]
    storyboard = Storyboard(
        model=name,
        aspect=own.default_aspect,
        preset="quality",
        scenes=(Scene(id="a", prompt="a red ball"), Scene(id="b", prompt="a blue ball")),
    )
    plan = planned(storyboard, models=every, presets=load_presets())
    assert {scene.state for scene in plan.scenes} == {"missing"}
    job = plan.jobs[0]
    assert (job.size_px, job.fps, job.sampler.name) == (own.sizes_px[own.default_aspect], own.fps, own.sampler.name)
    assert (job.sampler.num_steps, job.guidance_scale) == (own.num_steps, own.guidance_scale)
    assert job.segments[0].negative_prompt == own.negative_prompt
    assert isinstance(job.conditioning, FromModel) == (own.first_frame is not None)
    assert (len(plan.jobs) == 1) == (own.joint is not None)
