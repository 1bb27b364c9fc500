"""A TTT-Video model from its card: loaded from every form, and a whole film made with it, from words to frames."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from engine.contract.cards import ModelCard
from engine.contract.errors import Rejected
from engine.contract.samplers import SamplerName
from engine.contract.scene_tokens import SegmentText, with_scene_tokens
from engine.diffusion.denoisers import Conditioning
from engine.diffusion.guidance import Guided, guidance_weight
from engine.diffusion.noise import seeded_noise, step_noise
from engine.diffusion.samplers import SamplerState, sample, step_of
from engine.diffusion.schedules import zero_snr_sigmas
from engine.diffusion.stack import denoiser_for
from engine.models.model import Codecs, Model
from engine.models.ttt.load import load_model, warm_up
from engine.storage.card_files import read_card
from tests.engine.models.ttt.model_factories import AUTOENCODERS, FORMS, make_ttt

PRESETS = Path(__file__).parents[4] / "presets" / "models"
SIZE_PX = (32, 16)


def text_of(model: Model, texts: list[str]) -> Tensor:
    """(1, n, L, D)."""
    assert isinstance(model.codecs, Codecs)
    length = model.card.traits.text_length(len(texts), SIZE_PX)
    return model.codecs.load_text_encoder()(texts, length)[None]


def film(model: Model, num_segments: int, sampler: SamplerName, seed: int = 5) -> np.ndarray:
    """(F, H, W, 3) uint8, made as the runtime makes it, on one rank."""
    assert model.card.ttt is not None and model.codecs is not None
    words = with_scene_tokens([SegmentText(f"scene {i}", i % 2 == 0, "blurry") for i in range(num_segments)])
    given = Conditioning(text_of(model, [text for text, _ in words]), text_of(model, [bad for _, bad in words]))
    sigmas = zero_snr_sigmas(model.card.num_steps)
    inner = denoiser_for(model.card, model.network, model.card.num_steps, model.dtype, None, seed)
    guided = Guided(inner, guidance_weight(model.card.guidance_schedule, model.card.guidance_scale, sigmas))
    num_latents = num_segments * model.card.ttt.segment_latent_frames + 1
    start = seeded_noise((1, 16, num_latents, SIZE_PX[1] // 8, SIZE_PX[0] // 8), seed) * sigmas[0]
    step = step_of(sampler, step_noise(seed))
    latents = sample(step, lambda x, sigma: guided(x, sigma, given), SamplerState(start), sigmas)
    assert latents.isfinite().all()
    return np.concatenate(list(model.codecs.autoencoder.decode(latents)))


@pytest.mark.parametrize("form", FORMS)
def test_a_film_from_every_form(form: str, tmp_path: Path) -> None:
    warm_up()
    card = make_ttt(tmp_path, form, autoencoder=AUTOENCODERS[len(form) % 2], cards_folder=tmp_path / "cards")
    assert read_card(tmp_path / "cards" / f"{card.name}.yaml") == card
    model = load_model(card, tmp_path, "float32", with_codecs=True)
    frames = film(model, 1, "dpmpp_2m_sde")
    assert frames.shape == (9, 16, 32, 3) and frames.std() > 1
    assert np.array_equal(frames, film(model, 1, "dpmpp_2m_sde")), "one seed gives one film"


def test_samplers_lengths_and_precisions(tmp_path: Path) -> None:
    """A trained length and another; the sampler of the guide and of the code; both inner models."""
    films: list[np.ndarray] = []
    for ssm_layer, num_segments, precision in (("ttt_mlp", 2, "float32"), ("ttt_linear", 3, "bfloat16")):
        card = make_ttt(tmp_path, "safetensors", name=ssm_layer.replace("_", "-"), ssm_layer=ssm_layer)
        model = load_model(card, tmp_path, precision, with_codecs=True)
        assert {each.dtype for each in model.network.parameters()} == {model.dtype}
        made = [film(model, num_segments, name) for name in ("dpmpp_2m_sde", "ddim")]
        assert all(frames.shape == (8 * num_segments + 1, 16, 32, 3) for frames in made)
        assert not np.array_equal(*made), "the sampler decides pixels"
        films += made
    assert len({frames.std() for frames in films}) == len(films)


def test_a_rank_without_ends_reads_no_ends(tmp_path: Path) -> None:
    card = make_ttt(tmp_path, "safetensors")
    for path in [*(tmp_path / card.name / "vae").iterdir(), *(tmp_path / card.name / "t5").iterdir()]:
        path.unlink()
    assert load_model(card, tmp_path, "float32", with_codecs=False).codecs is None
    with pytest.raises(Rejected, match="3d-vae.pt"):
        load_model(card, tmp_path, "float32", with_codecs=True)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ttt": None}, "needs the group `ttt`"),
        ({"ttt": {"ssm_layer": "ttt_linear"}}, "of kind ttt_mlp, the card's ssm_layer says ttt_linear"),
        ({"parts": {"network": {"paths": ["elsewhere"]}}}, "elsewhere: not there"),
        ({"loras": [{"path": "my-lora.safetensors"}]}, "my-lora.safetensors: no such LoRA"),
    ],
)
def test_cards_that_do_not_fit(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    card = make_ttt(tmp_path, "safetensors")
    with pytest.raises(Rejected, match=told):
        load_model(changed(card, changes), tmp_path, "float32", with_codecs=False)


def changed(card: ModelCard, changes: dict[str, Any]) -> ModelCard:
    return ModelCard.model_validate(laid_over(card.model_dump(), changes))


def laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    nested = {key: laid_over(below[key], value) for key, value in above.items() if isinstance(value, dict)}
    return {**below, **above, **nested}


@pytest.mark.parametrize("name", ["ttt-video-mlp-5b", "ttt-video-linear-5b"])
def test_cards_say_what_was_trained(name: str) -> None:
    """Lengths, padded texts and steps of the authors' evaluation; its odd text lengths make whole mini-batches."""
    card = read_card(PRESETS / f"{name}.yaml")
    assert card.ttt is not None and card.joint is not None
    frames = {number: card.joint.segment_num_frames * number + 1 for number in card.joint.trained_num_segments}
    assert frames == {1: 49, 3: 145, 6: 289, 10: 481, 21: 1009}
    assert [card.traits.text_length(number, (720, 480)) for number in frames] == [498, 502, 471, 497, 458]
    assert card.joint.segment_num_frames == 4 * card.ttt.segment_latent_frames
    for number in frames:
        tokens = number * card.traits.text_length(number, (720, 480)) + (12 * number + 1) * 1350
        assert tokens % card.ttt.mini_batch_size == 0, number
    assert (card.num_steps, card.guidance_scale, card.guidance_schedule) == (50, 6.0, "ramp")
    assert (card.fps, card.autoencoder.scale, card.ttt.base_lr) == (16, 1.0, 0.1 if "mlp" in name else 1.0)


def test_the_base_s_card_has_the_base_s_own_numbers() -> None:
    card = read_card(PRESETS / "cogvideox-5b-zero-gate.yaml")
    assert (card.autoencoder.scale, card.fps) == (0.7, 8)
    assert card.ttt is not None and card.ttt.ssm_layer == "none"
    assert {card.traits.text_length(number, (720, 480)) for number in range(1, 22)} == {226}
