"""Made first frames in bad luck: damaged pictures, deaths and a cancel in either phase, no place for the picture."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from engine.contract import wire
from engine.contract.cards import ModelCard
from engine.contract.events import Event, Failed, Finished, JobCancelled, Phase, Step
from engine.contract.jobs import FromModel, Job, SamplerSettings, Segment, Speed, make_job
from engine.storage.card_files import fingerprint
from engine.storage.hashes import FileHashes
from engine.storage.media import Frames
from tests.engine.models.cosmos.factories import make_predict2, write_card
from tests.engine.runtime.group import Group

LONG = {"picture_steps": 40, "film_steps": 16}
"""Enough to stop a job midway."""


class Rig:
    """A film model and the picture model that makes its first frames."""

    def __init__(self, root: Path) -> None:
        self.root, self.hashes = root, FileHashes()
        pictures = make_predict2(root / "models", kind="text2image", name="pictures")
        self.film = make_predict2(root / "models", name="film", first_frame="pictures")
        self.pictures = pictures
        for card in (pictures, self.film):
            write_card(card, root / "cards")
        (root / "card.json").write_text(self.film.model_dump_json())

    def weights(self, card: ModelCard) -> str:
        return fingerprint(card, self.root / "models", self.hashes)

    def wish(self, seed: int, num_steps: int) -> FromModel:
        return FromModel(
            model="pictures",
            weights=self.weights(self.pictures),
            prompt="a red ball",
            negative_prompt="",
            size_px=(48, 32),
            seed=seed,
            sampler=sampler(self.pictures, num_steps),
            guidance_scale=2.0,
            precision="float32",
        )

    def job(self, seed: int, picture_steps: int = 3, film_steps: int = 2) -> Job:
        segment = Segment(
            scene_id="scene-1",
            prompt="a red ball",
            negative_prompt="",
            num_frames=9,
            num_overlap_frames=0,
            starts_scene=True,
        )
        return make_job(
            project_id="project",
            scene_ids=("scene-1",),
            model="film",
            weights=self.weights(self.film),
            segments=(segment,),
            size_px=(48, 32),
            fps=8,
            num_frames=9,
            seed=seed,
            sampler=sampler(self.film, film_steps),
            guidance_scale=2.0,
            conditioning=self.wish(seed, picture_steps),
            speed=Speed(precision="float32"),
        )

    def picture(self, job: Job) -> Path:
        assert isinstance(job.conditioning, FromModel)
        return self.root / "workspace/pictures" / f"{job.conditioning.recipe}.png"

    def forget(self, job: Job) -> Frames:
        """-> the film's last frames; the take is removed."""
        folder = self.root / "workspace/takes" / job.recipe
        frames = load_file(folder / "tail.safetensors")["frames"]
        shutil.rmtree(folder)
        return frames


def sampler(card: ModelCard, num_steps: int) -> SamplerSettings:
    return SamplerSettings.model_validate({"num_steps": num_steps, **card.sampler.model_dump(exclude={"allowed"})})


def until(group: Group, phase: Phase) -> None:
    """Until some steps of a phase are done."""
    while not (isinstance(event := group.next_event(), Step) and event.phase == phase and event.step > 3):
        continue


def phases(events: list[Event]) -> set[Phase]:
    return {event.phase for event in events if isinstance(event, Step)}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    return Rig(tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module", params=[1, 2], ids=lambda ranks: f"{ranks} ranks")
def group(rig: Rig, request: pytest.FixtureRequest) -> Iterator[Group]:
    with Group(rig.root, request.param) as group:
        yield group


@pytest.mark.parametrize("share", [None, 0.0, 0.5], ids=["gone", "empty", "cut off"])
def test_a_kept_picture_that_cannot_be_read_is_made_again(rig: Rig, group: Group, share: float | None) -> None:
    if group.num_ranks > 1 and share == 0.0:
        pytest.skip("rank 0 alone reads the picture: seen with one")
    job = rig.job(seed=1)
    assert isinstance(group.run(job)[-1], Finished)
    picture, film = rig.picture(job), rig.forget(job)
    content = picture.read_bytes()
    picture.unlink()
    if share is not None:
        picture.write_bytes(content[: int(len(content) * share)])
    events = group.run(job)
    assert isinstance(events[-1], Finished), events[-1]
    assert "first_frame" in phases(events)
    assert picture.read_bytes() == content and np.array_equal(rig.forget(job), film)


def test_a_cancel_while_the_first_frame_is_made(rig: Rig, group: Group) -> None:
    job = rig.job(seed=100 + group.num_ranks, **LONG)
    group.send(wire.RunJob(job=job, attempt=1))
    until(group, "first_frame")
    group.send(wire.CancelJob(job_id=job.id))
    assert isinstance(group.until_end()[-1], JobCancelled)
    assert not rig.picture(job).exists()
    assert isinstance(group.run(rig.job(seed=1))[-1], Finished), "the group lives on"


@pytest.mark.parametrize("phase", ["first_frame", "film"])
@pytest.mark.parametrize("group", [1], indirect=True, ids=["1 rank"])
def test_a_death_in_either_phase(rig: Rig, group: Group, phase: Phase) -> None:
    job = rig.job(seed=200 + len(phase), **LONG)
    with Group(rig.root, 1) as killed:
        killed.send(wire.RunJob(job=job, attempt=1))
        until(killed, phase)
        killed.kill_a_rank(signal.SIGKILL)
        assert killed.is_gone()
    events = group.run(job)
    assert isinstance(events[-1], Finished), events[-1]
    assert ("first_frame" in phases(events)) == (phase == "first_frame"), "a picture that is there is kept"
    picture, film = rig.picture(job).read_bytes(), rig.forget(job)
    rig.picture(job).unlink()
    assert isinstance(group.run(job)[-1], Finished)
    assert rig.picture(job).read_bytes() == picture and np.array_equal(rig.forget(job), film)


def test_no_place_for_the_picture_is_said_and_the_group_lives_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    with Group(tmp_path, 2) as group:
        media = group.workspace / "media"
        media.write_text("a file where a folder should be")
        end = group.run(rig.job(seed=4))[-1]
        assert isinstance(end, Failed) and "Free some space" in end.reason, end
        media.unlink()
        assert isinstance(group.run(rig.job(seed=4))[-1], Finished)
