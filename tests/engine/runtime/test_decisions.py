"""Decisions of docs/models.md that no golden number holds: one rank, in this process, on the tiny model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.contract.errors import EngineError
from engine.contract.frames import start_step
from engine.contract.jobs import Reimagine
from engine.diffusion.denoisers import Conditioning, NetworkDenoiser
from engine.diffusion.guidance import Guided
from engine.diffusion.noise import seeded_noise
from engine.models.model import Model
from engine.runtime.conditioning import condition
from engine.runtime.link import ControlFlags
from engine.runtime.memory.model_cache import ModelCache, model_key
from engine.runtime.pipeline import run
from engine.runtime.ranks import Ranks
from engine.runtime.render_context import RankContext, RenderContext
from engine.runtime.sampling import first_state
from engine.storage.media import Frames, MediaStore
from engine.storage.takes import finished_takes
from engine.storage.workspace import Workspace
from tests.engine.runtime.group import tiny_job

ALONE = Ranks(0, 1, torch.device("cpu"))


class Nowhere:
    """A sink whose frames nobody wants."""

    tail: Frames = np.zeros((0, 32, 48, 3), np.uint8)

    def start(self) -> None: ...
    def write(self, frames: Frames) -> None: ...
    def leave(self) -> None: ...


def context_of(root: Path, workspace: Path) -> RankContext:
    models = ModelCache(ALONE, root / "cards", root / "models")
    return RankContext(ALONE, models, Workspace(workspace), lambda event: None, ControlFlags())


def model_of(root: Path, context: RankContext) -> Model:
    return context.models.model(model_key(tiny_job(root)))


def test_an_empty_negative_prompt_is_the_empty_texts_embedding(root: Path, tmp_path: Path) -> None:
    """Not zeros, not the prompt's own (which would switch guidance off without a word)."""
    context = context_of(root, tmp_path)
    model = model_of(root, context)
    assert model.codecs is not None
    with torch.inference_mode(), RenderContext(tiny_job(root), context, model, Nowhere(), "film") as work:
        conditioning = condition(work, 0).conditioning
    assert conditioning.negative_text is not None
    encoded = model.codecs.load_text_encoder()([""], model.card.traits.text_length(1, (48, 32)))
    torch.testing.assert_close(conditioning.negative_text, encoded)
    assert float(conditioning.negative_text.abs().max()) > 0
    network, x = NetworkDenoiser(model.network), torch.randn(1, 6, 3, 4, 6)
    guided, alone = (Guided(network, scale)(x, 2.0, conditioning) for scale in (3.0, 1.0))
    assert not torch.allclose(guided, alone), "guidance is at work"


def test_without_guidance_there_is_no_negative_branch(root: Path, tmp_path: Path) -> None:
    context = context_of(root, tmp_path)
    job = tiny_job(root, guidance_scale=1.0)
    with torch.inference_mode(), RenderContext(job, context, model_of(root, context), Nowhere(), "film") as work:
        conditioning: Conditioning = condition(work, 0).conditioning
    assert conditioning.negative_text is None


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_a_clip_is_encoded_as_every_picture_is(root: Path, tmp_path: Path, strength: float) -> None:
    """In [-1, 1] (the script's first phase passes [0, 1]); the noise is added to the clip, at strength 1 too."""
    Image.new("RGB", (48, 32), (230, 20, 90)).save(tmp_path / "picture.png")
    context = context_of(root, tmp_path)
    model = model_of(root, context)
    media = MediaStore(context.workspace.media).put_file(tmp_path / "picture.png")
    job = tiny_job(root, num_steps=5, reimagine=Reimagine(media=media, strength=strength), seed=11)
    assert model.codecs is not None
    with torch.inference_mode(), RenderContext(job, context, model, Nowhere(), "film") as work:
        inputs = condition(work, 0)
        state = first_state(work, 0, inputs.init_latents, NetworkDenoiser(model.network))
        frames = np.broadcast_to(np.array([230, 20, 90], np.uint8), (9, 32, 48, 3))
        clip = model.codecs.autoencoder.encode(frames)
    assert inputs.init_latents is not None
    torch.testing.assert_close(inputs.init_latents, clip)
    first = start_step(5, strength)
    assert state.step == first
    noise = seeded_noise((1, 6, 3, 4, 6), 11)
    torch.testing.assert_close(state.x, clip + noise * work.sigmas[first])


@pytest.mark.parametrize(("strength", "first"), [(1.0, 0), (0.9, 3), (0.8, 6), (0.7, 10), (0.5, 17), (0.0, 35)])
def test_strengths_begin_where_the_script_does(strength: float, first: int) -> None:
    """And 0, with which the script fails, is what is left: the clean evaluation."""
    assert start_step(35, strength) == first


@pytest.mark.parametrize("answer", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_film(root: Path, tmp_path: Path, answer: float) -> None:
    """Weights that are damaged within their numbers: no black take that stands for its recipe ever after."""
    context = context_of(root, tmp_path)
    next(model_of(root, context).network.parameters()).fill_(answer)
    job = tiny_job(root, num_steps=4)
    with pytest.raises(EngineError, match="tiny: the network answered with"):
        run(job, context)
    assert finished_takes(context.workspace, job) is None and not list(context.workspace.takes.iterdir())
