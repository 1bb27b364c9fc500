"""DFM models through real ranks: every form of checkpoint, one and two ranks, negative prompts, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.contract.cards import ModelCard
from engine.contract.events import JobRejected
from engine.contract.jobs import Job, SamplerSettings, Segment, Speed, make_job
from engine.models.dfm.consolidate import consolidate
from engine.storage.card_files import fingerprint
from engine.storage.hashes import FileHashes
from tests.engine.models.dfm.factories import FORMS, make_dfm
from tests.engine.models.films import KnownFilms, frames_of, ranks_with
from tests.engine.runtime.group import Group

NUM_FRAMES = 9


class Rig:
    """A model in every form, and the ranks that render with them."""

    def __init__(self, root: Path) -> None:
        self.models, self.hashes = root / "models", FileHashes()
        made = {form: make_dfm(self.models, form, f"tiny-{form.lower()}", root / "cards") for form in FORMS}
        joined = self.models / "tiny-ranks" / "network"
        consolidate([joined], joined / "model.safetensors")
        self.cards: dict[str, ModelCard] = made
        (root / "card.json").write_text(made["iteration"].model_dump_json())

    def job(self, form: str = "iteration", negative: str = "", **changes: object) -> Job:
        card = self.cards[form]
        settings: dict[str, object] = {
            "project_id": "project",
            "scene_ids": ("scene-1",),
            "model": card.name,
            "weights": fingerprint(card, self.models, self.hashes),
            "segments": (
                Segment(
                    scene_id="scene-1",
                    prompt="a red ball",
                    negative_prompt=negative,
                    num_frames=int(str(changes.get("num_frames", NUM_FRAMES))),
                    num_overlap_frames=0,
                    starts_scene=True,
                ),
            ),
            "size_px": (48, 32),
            "fps": 8,
            "num_frames": NUM_FRAMES,
            "seed": 7,
            "sampler": SamplerSettings(
                name="euler", num_steps=3, schedule="karras_to_zero", sigma_max=80.0, sigma_min=0.002, rho=7.0
            ),
            "guidance_scale": card.guidance_scale,
            "conditioning": None,
            "speed": Speed(precision="float32"),
        }
        return make_job(**(settings | changes))


ranks = ranks_with(Rig)
KNOWN = KnownFilms()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_film(ranks: tuple[Rig, Group], form: str) -> None:
    rig, group = ranks
    KNOWN.assert_same(frames_of(group, rig.job(form)), "film")


def test_a_negative_prompt_is_seen(ranks: tuple[Rig, Group]) -> None:
    rig, group = ranks
    without, with_one = (frames_of(group, rig.job(negative=negative)) for negative in ("", "blurry"))
    KNOWN.assert_same(with_one, "negative")
    assert np.abs(without.astype(int) - with_one.astype(int)).max() > 8


def test_fps_is_seen(ranks: tuple[Rig, Group]) -> None:
    rig, group = ranks
    assert not np.array_equal(frames_of(group, rig.job()), frames_of(group, rig.job(fps=30)))


FIVE_STEPS = SamplerSettings(
    name="euler", num_steps=5, schedule="karras_to_zero", sigma_max=80.0, sigma_min=0.002, rho=7.0
)
MEANINGS: dict[str, dict[str, Any]] = {
    "num_steps": {"sampler": FIVE_STEPS},
    "guidance": {"guidance_scale": 3.0},
    "no guidance": {"guidance_scale": 1.0},
    "seed": {"seed": 8},
    "frames": {"num_frames": 13},
    "sizes": {"size_px": (64, 32)},
    "bfloat16": {"speed": Speed(precision="bfloat16")},
}


@pytest.mark.parametrize("name", MEANINGS)
def test_a_parameter_of_the_guide_has_its_meaning(ranks: tuple[Rig, Group], name: str) -> None:
    """Each gives another film, of the size and length that it says (``frames_of``), on one rank and on two."""
    rig, group = ranks
    end, job = frames_of(group, rig.job()), rig.job(**MEANINGS[name])
    other = frames_of(group, job)
    assert other.shape[1:3] == (job.size_px[1], job.size_px[0])
    assert not np.array_equal(other, end)
    if name != "bfloat16":
        KNOWN.assert_same(other, name)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"size_px": (144, 32)}, "144 x 32: more than tiny-iteration can make; its positions end at 128 x 128"),
        ({"num_frames": 25}, "7 latent frames, at most 6"),
        ({"size_px": (40, 32)}, "multiple"),
    ],
)
def test_sizes_beyond_the_model(ranks: tuple[Rig, Group], changes: dict[str, Any], told: str) -> None:
    """Such a job is never planned; where one comes all the same it is refused, and the ranks live on."""
    rig, group = ranks
    end = group.run(rig.job(**changes))[-1]
    assert isinstance(end, JobRejected) and told in end.reason, end
    frames_of(group, rig.job(seed=99))
