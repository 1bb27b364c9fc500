"""Models that stay: how many, which leaves first, and how often a batch of Text2World scenes reads its two models."""

import gc
import shutil
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from engine.contract import wire
from engine.contract.errors import Rejected
from engine.contract.events import EngineEvent, JobEvent, Stage
from engine.contract.jobs import FromModel, Job
from engine.runtime.link import ControlFlags
from engine.runtime.memory.budget import host_free_bytes, module_bytes
from engine.runtime.memory.model_cache import ModelCache, ModelKey
from engine.runtime.pipeline import run
from engine.runtime.ranks import Ranks
from engine.runtime.render_context import RankContext
from engine.service.dispatcher import upcoming_pictures
from engine.service.store import Waiting
from engine.storage.workspace import Workspace
from tests.engine.runtime.group import tiny_job

ALONE = Ranks(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def cards(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, and others under other names that are read from the same files."""
    tiny_job(root)
    folder = tmp_path_factory.mktemp("memory") / "cards"
    shutil.copytree(root / "cards", folder)
    for name in ("painter", "third"):
        (folder / f"{name}.yaml").write_text("base: tiny\nmakes: picture\n")
    return folder


@dataclass
class Rig:
    context: RankContext
    sent: list[JobEvent | EngineEvent] = field(default_factory=list)

    @property
    def loads(self) -> list[str]:
        """Which phases began by loading a model."""
        return [event.phase for event in self.sent if isinstance(event, Stage) and event.stage == "load"]


def rig_of(root: Path, cards: Path, workspace: Path, budget_bytes: int | None) -> Rig:
    models = ModelCache(ALONE, cards, root / "models", budget_bytes=budget_bytes)
    sent: list[JobEvent | EngineEvent] = []
    return Rig(RankContext(ALONE, models, Workspace.at(workspace), sent.append, ControlFlags()), sent)


def text2world_jobs(root: Path) -> list[Job]:
    plain = tiny_job(root, num_steps=1)
    return [
        tiny_job(root, num_steps=1, prompt=prompt, conditioning=first_frame_of(plain, prompt))
        for prompt in ("a red ball", "a blue box", "a green cone")
    ]


def first_frame_of(job: Job, prompt: str) -> FromModel:
    settings = {"size_px": job.size_px, "seed": 3, "sampler": job.sampler, "guidance_scale": 1.0}
    settings |= {"prompt": prompt, "negative_prompt": "", "precision": "float32"}
    return FromModel.model_validate({"kind": "model", "model": "painter", "weights": job.weights, **settings})


def render_all(jobs: list[Job], rig: Rig) -> list[str]:
    """As the dispatcher gives them to the ranks. -> hashes of the takes."""
    found: list[str] = []
    for number, job in enumerate(jobs):
        behind = [Waiting(other, 0) for other in jobs[number + 1 :]]
        rig.context.flags.upcoming = wire.Upcoming(job_id=job.id, pictures=upcoming_pictures(job, behind))
        (take,) = run(job, rig.context)
        found.append(take.media)
    return found


def test_three_text2world_scenes_load_two_models_once_each(root: Path, cards: Path, tmp_path: Path) -> None:
    jobs = text2world_jobs(root)
    roomy = rig_of(root, cards, tmp_path / "roomy", 10**9)
    narrow = rig_of(root, cards, tmp_path / "narrow", 1)
    takes = render_all(jobs, roomy)
    assert roomy.loads == ["first_frame", "film"], "both are kept"
    assert render_all(jobs, narrow) == takes, "the order of loading changes no pixel"
    assert narrow.loads == ["first_frame", "film"], "one fits: all first frames are made before the film model comes"


def test_first_frames_of_other_projects_and_models_are_not_made_ahead(root: Path) -> None:
    first, second, third = text2world_jobs(root)
    other = third.model_copy(update={"project_id": "other"})
    assert upcoming_pictures(first, [Waiting(each, 0) for each in (first, second, other)]) == (second.conditioning,)
    assert upcoming_pictures(tiny_job(root), [Waiting(second, 0)]) == ()


def test_the_one_used_longest_ago_leaves_and_its_memory_is_free(root: Path, cards: Path) -> None:
    weights = tiny_job(root).weights
    keys = [ModelKey(name, weights, "float32") for name in ("tiny", "painter", "third")]
    models = ModelCache(ALONE, cards, root / "models", budget_bytes=10**9)
    networks = {key.name: weakref.ref(models.model(key).network) for key in keys[:2]}
    models.model(keys[0])
    one = models._kept[keys[0]].num_bytes
    models._budget_bytes = int(2.5 * one) + 2 * 10**5  # the encoder's file
    models.model(keys[2])
    gc.collect()
    assert [models.holds(key) for key in keys] == [True, False, True]
    assert networks["painter"]() is None and networks["tiny"]() is not None
    models.drop()
    gc.collect()
    assert networks["tiny"]() is None


def test_what_is_on_the_device_will_need_room_on_the_host() -> None:
    away, here = torch.nn.Linear(8, 8, device="meta"), torch.nn.Linear(8, 8)
    assert module_bytes(away, here) == 2 * module_bytes(here) == 2 * module_bytes(away, here, on_host=True)
    assert module_bytes(here, here) == module_bytes(here), "what two share is counted once"


def test_free_memory_is_a_budget(monkeypatch: pytest.MonkeyPatch, root: Path, cards: Path, tmp_path: Path) -> None:
    assert 10**8 < host_free_bytes() < 10**14
    key = ModelKey("tiny", tiny_job(root).weights, "float32")
    rig = rig_of(root, cards, tmp_path, None)
    assert rig.context.models.fits_beside(key)
    monkeypatch.setenv("STORYBOARD_MODEL_MEMORY_GB", "0.000001")
    rig.context.models.model(ModelKey("painter", key.weights, "float32"))
    assert not rig.context.models.fits_beside(key)
    monkeypatch.setenv("STORYBOARD_MODEL_MEMORY_GB", "much")
    with pytest.raises(Rejected, match='"much" is no number of gigabytes'):
        rig.context.models.fits_beside(key)
