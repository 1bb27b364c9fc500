"""Cosmos models through real ranks, one and two: every published form makes the same film, from text or from frames.

Letters: F H W frames and pixels.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.contract.card_values import LoraUse
from engine.contract.cards import ModelCard
from engine.contract.events import Finished, JobRejected
from engine.contract.jobs import (
    FromMedia,
    FromModel,
    FromTake,
    Job,
    Reimagine,
    SamplerSettings,
    Segment,
    Speed,
    make_job,
)
from engine.storage.card_files import fingerprint
from engine.storage.hashes import FileHashes
from engine.storage.media import MediaStore, read_frames
from engine.storage.takes import write_tail
from engine.storage.workspace import Workspace
from tests.engine.models.cosmos.factories import FORMS, WRAPPINGS, make_predict1, make_predict2, write_card
from tests.engine.models.cosmos.test_networks import LAYERS, lora_file
from tests.engine.models.films import KnownFilms, frames_of, ranks_with
from tests.engine.runtime.group import Group

SIZE_PX = (48, 32)
PREDICT2 = [f"predict2-{form}" for form in FORMS if form not in ("both_ema", "own")]
PREDICT1 = [f"predict1-{wrapping}" for wrapping in WRAPPINGS]


class Rig:
    """A model in every form, and the jobs for them."""

    def __init__(self, root: Path) -> None:
        self.models, self.hashes, self.cards = root / "models", FileHashes(), dict[str, ModelCard]()
        for form in FORMS:
            self._add(root, make_predict2(self.models, form, name=f"predict2-{form}", first_frame="pictures"))
        for wrapping in WRAPPINGS:
            self._add(root, make_predict1(self.models, wrapping, name=f"predict1-{wrapping}"))
        self._add(root, make_predict1(self.models, kind="text2world", name="worlds"))
        cv = make_predict1(self.models, name="predict1-diffusers-autoencoder", autoencoder="diffusers")
        self._add(root, cv)
        self._add(root, make_predict2(self.models, kind="text2image", name="pictures"))
        self._add(root, make_predict2(self.models, kind="text2image", name="fast", fast_tokenizer=True))
        self._add(root, make_predict2(self.models, name="sparse", neighborhood="2b"))
        base = self.cards["predict2-pt"]
        assert base.cosmos is not None
        lora_file(self.models, LAYERS)
        self._add(root, base.model_copy(update={"name": "tuned", "loras": (LoraUse(path="lora.safetensors"),)}))
        averaged = base.cosmos.model_copy(update={"ema": True})
        both = self.cards["predict2-both_ema"]
        self._add(root, both.model_copy(update={"name": "averaged", "cosmos": averaged}))
        (root / "card.json").write_text(base.model_dump_json())
        self.media = MediaStore(Workspace(root / "workspace").media)
        picture = root / "picture.png"
        Image.fromarray(np.random.RandomState(1).randint(0, 256, (40, 60, 3), dtype=np.uint8)).save(picture)
        self.picture = self.media.put_file(picture)

    def _add(self, root: Path, card: ModelCard) -> None:
        write_card(card, root / "cards")
        self.cards[card.name] = card

    def weights(self, name: str) -> str:
        return fingerprint(self.cards[name], self.models, self.hashes)

    def sampler(self, name: str) -> SamplerSettings:
        given = self.cards[name].sampler.model_dump(exclude={"allowed"})
        return SamplerSettings.model_validate({"num_steps": 3, **given})

    def job(self, name: str, overlaps: tuple[int, ...] = (0,), **changes: Any) -> Job:
        """A chunk for each entry of ``overlaps``."""
        card = self.cards[name]
        length = card.chunk_num_frames
        segments = tuple(
            Segment(
                scene_id="scene-1",
                prompt="a red ball",
                negative_prompt="blurry",
                num_frames=length,
                num_overlap_frames=overlap,
                starts_scene=index == 0,
            )
            for index, overlap in enumerate(overlaps)
        )
        settings: dict[str, Any] = {
            "project_id": "project",
            "scene_ids": ("scene-1",),
            "model": name,
            "weights": self.weights(name),
            "segments": segments,
            "size_px": SIZE_PX,
            "fps": card.fps,
            "num_frames": length * len(overlaps) - sum(overlaps),
            "seed": 7,
            "sampler": self.sampler(name),
            "guidance_scale": card.guidance_scale,
            "conditioning": None,
            "speed": Speed(precision="float32"),
        }
        return make_job(**(settings | changes))


ranks = ranks_with(Rig)
KNOWN = KnownFilms()


def test_every_form_of_predict2_is_the_same_film(ranks: tuple[Rig, Group]) -> None:
    rig, group = ranks
    for name in [*PREDICT2, "averaged"] if group.num_ranks == 1 else ["predict2-pt", "predict2-diffusers"]:
        KNOWN.assert_same(frames_of(group, rig.job(name)), "predict2")


def test_every_wrapping_of_predict1_is_the_same_film(ranks: tuple[Rig, Group]) -> None:
    rig, group = ranks
    for name in PREDICT1 if group.num_ranks == 1 else ["predict1-plain", "predict1-diffusers"]:
        KNOWN.assert_same(frames_of(group, rig.job(name)), "predict1")


@pytest.mark.parametrize("name", ["worlds", "sparse", "tuned", "predict1-diffusers-autoencoder"])
def test_other_models_make_films(ranks: tuple[Rig, Group], name: str) -> None:
    rig, group = ranks
    made = frames_of(group, rig.job(name))
    KNOWN.assert_same(made, name)
    plain = KNOWN.get("predict2" if name in ("sparse", "tuned") else "predict1")
    assert plain is None or made.shape != plain.shape or not np.array_equal(made, plain)


@pytest.mark.parametrize("name", ["pictures", "fast"])
def test_picture_models_make_one_frame(ranks: tuple[Rig, Group], name: str) -> None:
    rig, group = ranks
    made = frames_of(group, rig.job(name))
    assert len(made) == 1
    KNOWN.assert_same(made, name)


@pytest.mark.parametrize("name", ["predict2-pt", "predict1-plain"])
def test_a_picture_is_animated(ranks: tuple[Rig, Group], name: str) -> None:
    rig, group = ranks
    given = FromMedia(kind="image", media=rig.picture, num_frames=1)
    KNOWN.assert_same(frames_of(group, rig.job(name, conditioning=given)), f"{name} from a picture")


CONTINUED = pytest.mark.parametrize(("name", "overlap"), [("predict2-diffusers", 5), ("predict1-diffusers", 9)])


@CONTINUED
def test_a_take_is_continued(ranks: tuple[Rig, Group], name: str, overlap: int) -> None:
    rig, group = ranks
    before = FromTake(recipe="e" * 64, num_frames=overlap)
    folder = group.workspace / "takes" / before.recipe
    folder.mkdir(parents=True, exist_ok=True)
    write_tail(folder, np.random.RandomState(2).randint(0, 256, (overlap, 32, 48, 3), dtype=np.uint8))
    job = rig.job(name, overlaps=(overlap,), conditioning=before)
    KNOWN.assert_same(frames_of(group, job), f"{name} continues a take")


@CONTINUED
def test_a_second_chunk_continues_the_first_without_loss(ranks: tuple[Rig, Group], name: str, overlap: int) -> None:
    rig, group = ranks
    both = frames_of(group, rig.job(name, overlaps=(0, overlap)))
    first = rig.job(name)
    frames_of(group, first)
    before = FromTake(recipe=first.recipe, num_frames=overlap)
    alone = frames_of(group, rig.job(name, overlaps=(overlap,), seed=first.seed + 1, conditioning=before))
    assert len(alone) > 0 and np.array_equal(both[-len(alone) :], alone)


def test_a_first_frame_is_made_and_animated(ranks: tuple[Rig, Group]) -> None:
    """Predict2's Text2World: the picture model's frame, then the film, bit for bit that of the frame as a file."""
    rig, group = ranks
    first = FromModel(
        model="pictures",
        weights=rig.weights("pictures"),
        prompt="a red ball",
        negative_prompt="blurry",
        size_px=SIZE_PX,
        seed=7,
        sampler=rig.sampler("pictures"),
        guidance_scale=5.0,
        precision="float32",
    )
    film = frames_of(group, rig.job("predict2-pt", conditioning=first))
    picture = group.workspace / "pictures" / f"{first.recipe}.png"
    KNOWN.assert_same(read_frames(picture, 1), "first frame")
    same = FromMedia(kind="image", media=rig.media.put_file(picture), num_frames=1)
    assert np.array_equal(film, frames_of(group, rig.job("predict2-pt", conditioning=same)))


def test_a_clip_is_re_imagined(ranks: tuple[Rig, Group]) -> None:
    rig, group = ranks
    job = rig.job("predict2-pt")
    assert isinstance(group.run(job)[-1], Finished)
    clip = rig.media.put_file(group.workspace / "takes" / job.recipe / "take.mp4")
    weak, strong = (
        frames_of(group, rig.job("predict2-pt", seed=9, reimagine=Reimagine(media=clip, strength=strength)))
        for strength in (0.0, 1.0)
    )
    assert not np.array_equal(weak, strong)


def test_a_file_of_another_size_is_refused_and_the_ranks_live_on(ranks: tuple[Rig, Group]) -> None:
    rig, group = ranks
    card = rig.cards["predict2-pt"]
    wrong = card.model_copy(
        update={"name": "wrong", "network": card.network.model_copy(update={"width": 2048, "num_blocks": 28})}
    )
    rig._add(group.root, wrong)
    end = group.run(rig.job("wrong"))[-1]
    assert isinstance(end, JobRejected) and "Expected: Cosmos-Predict2 Video2World of width 2048" in end.reason
    assert isinstance(group.run(rig.job("predict2-pt", seed=99))[-1], Finished)
