"""TTT-Video models through real ranks: every form of checkpoint, one and two ranks, a take for each scene, refusals."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from engine.contract.cards import ModelCard
from engine.contract.events import Finished, JobRejected, Step
from engine.contract.jobs import Job, SamplerSettings, Segment, Speed, make_job
from engine.contract.scene_tokens import SegmentText, with_scene_tokens
from engine.storage.card_files import fingerprint
from engine.storage.hashes import FileHashes
from engine.storage.media import Frames, probe
from tests.engine.models.films import KnownFilms, ranks_with
from tests.engine.models.ttt.model_factories import AUTOENCODERS, FORMS, make_ttt
from tests.engine.runtime.group import Group

NUM_STEPS = 3
SEGMENT_FRAMES = 8
SIZE_PX = (48, 16)
"""Three tokens a latent frame: two ranks have a padded one."""


class Rig:
    """A model in several forms, and the jobs that render with them."""

    def __init__(self, root: Path, forms: Iterable[str] = FORMS) -> None:
        self.models, self.hashes = root / "models", FileHashes()
        self.cards: dict[str, ModelCard] = {}
        for index, form in enumerate(forms):
            name, autoencoder = f"tiny-{form.replace('_', '-')}", AUTOENCODERS[index % 2]
            self.cards[form] = make_ttt(self.models, form, name, root / "cards", autoencoder=autoencoder)
        (root / "card.json").write_text(next(iter(self.cards.values())).model_dump_json())

    def job(
        self, form: str = "pt", scenes: tuple[int, ...] = (1,), words: str = "a red ball", **changes: object
    ) -> Job:
        """``scenes``: how many segments each has."""
        card = self.cards[form]
        starts = [place == 0 for number in scenes for place in range(number)]
        owners = [f"scene-{index}" for index, number in enumerate(scenes) for _ in range(number)]
        texts = with_scene_tokens([SegmentText(f"{words} {i}", start, "blurry") for i, start in enumerate(starts)])
        segments = tuple(
            Segment(
                scene_id=owner,
                prompt=text,
                negative_prompt=negative,
                num_frames=SEGMENT_FRAMES + (index == 0),
                num_overlap_frames=0,
                starts_scene=start,
            )
            for index, (owner, start, (text, negative)) in enumerate(zip(owners, starts, texts, strict=True))
        )
        settings: dict[str, object] = {
            "project_id": "project",
            "scene_ids": tuple(dict.fromkeys(owners)),
            "model": card.name,
            "weights": fingerprint(card, self.models, self.hashes),
            "segments": segments,
            "size_px": SIZE_PX,
            "fps": card.fps,
            "num_frames": SEGMENT_FRAMES * len(segments) + 1,
            "seed": 7,
            "sampler": sampler("dpmpp_2m_sde"),
            "guidance_scale": card.guidance_scale,
            "guidance_schedule": card.guidance_schedule,
            "conditioning": None,
            "joint": True,
            "speed": Speed(precision="float32"),
        }
        return make_job(**(settings | changes))


def sampler(name: str) -> SamplerSettings:
    given = {
        "name": name,
        "num_steps": NUM_STEPS,
        "schedule": "zero_snr",
        "sigma_max": 80,
        "sigma_min": 0.002,
        "rho": 7,
    }
    return SamplerSettings.model_validate(given)


ranks = ranks_with(Rig)
KNOWN = KnownFilms()


def ends_of_scenes(group: Group, job: Job) -> list[Frames]:
    """The last frames of each scene's take, lossless."""
    events = group.run(job, timeout_s=120)
    assert isinstance(events[-1], Finished), events[-1]
    steps = [event.step for event in events if isinstance(event, Step) and event.stage == "denoise"]
    assert steps == list(range(1, job.num_evaluations + 1)), "one sampler call for the whole storyboard"
    folders = [group.workspace / "takes" / span.recipe for span in job.spans]
    lengths = [probe(folder / "take.mp4").num_frames for folder in folders]
    assert lengths == [span.end - span.start for span in job.spans]
    return [load_file(folder / "tail.safetensors")["frames"] for folder in folders]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_on_one_and_two_ranks(ranks: tuple[Rig, Group], form: str) -> None:
    """Forms of the same weights in float32 are the same film; bfloat16 weights and the base are films of their own."""
    rig, group = ranks
    if group.num_ranks > 1 and form in ("dcp_nested", "safetensors"):
        pytest.skip("what each rank loads does not depend on how many there are: seen with one")
    own = form if form in ("dcp_bare", "diffusers") else "float32"
    (end,) = ends_of_scenes(group, rig.job(form))
    KNOWN.assert_same(end, own)


@pytest.mark.parametrize("name", ["dpmpp_2m_sde", "ddim"])
def test_a_storyboard_is_one_job_with_a_take_for_each_scene(ranks: tuple[Rig, Group], name: str) -> None:
    rig, group = ranks
    ends = ends_of_scenes(group, rig.job(scenes=(1, 2, 1), sampler=sampler(name)))
    assert len(ends) == 3
    for index, end in enumerate(ends):
        KNOWN.assert_same(end, f"{name} scene {index}")


def test_guidance_schedules(ranks: tuple[Rig, Group]) -> None:
    rig, group = ranks
    for schedule in ("constant", "reference_wave"):
        (end,) = ends_of_scenes(group, rig.job(guidance_schedule=schedule))
        KNOWN.assert_same(end, schedule)
        assert not np.array_equal(end, KNOWN["float32"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"words": "a" * 90}, "tokens, and 78 is the most"),
        ({"num_frames": 18}, "fewer than the 18 frames"),
        ({"joint": False}, "all its scenes together"),
        ({"size_px": (40, 32)}, "multiples of 16"),
    ],
)
def test_refused_in_words_and_the_ranks_live_on(
    ranks: tuple[Rig, Group], changes: dict[str, object], told: str
) -> None:
    rig, group = ranks
    end = group.run(rig.job(**changes))[-1]  # type: ignore[arg-type]
    assert isinstance(end, JobRejected) and told in end.reason, end
    ends_of_scenes(group, rig.job(seed=len(told)))
