"""One clip from one command: what becomes of its flags, once with a real engine over a fake group, else planned.

What the command lines of the five guides become is in ``test_coming_from.py``.
"""

import json
import os
import threading
from pathlib import Path

import pytest
from PIL import Image

from engine.client.client import EngineClient
from engine.storage.media import probe
from engine.storage.workspace import Workspace
from studio.cli.flags import DONE, FAILED, WRONG
from studio.cli.main import main
from studio.cli.scenes.flags import SceneSettings, with_default_length, with_settings
from studio.cli.scenes.outputs import film_target
from studio.cli.scenes.weights import lora_of
from studio.document.storyboard import Conditioning
from studio.downloads.own_card import OwnLora, OwnWeights, make_own_card
from studio.errors import StoryboardError
from studio.planning.presets import load_cards, load_presets
from tests.studio.planning.factories import CARD, TOGETHER, board, planned


def generate(workspace: Workspace, *arguments: object) -> int:
    return main(["generate", "--workspace", str(workspace.root), *map(str, arguments)])


def piped(folder: Path, text: str) -> Path:
    """A pipe with a text in it, which can be read once."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_text, args=(text,), daemon=True).start()
    return pipe


def test_a_batch_comes_from_a_pipe(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    pipe = piped(tmp_path, '{"visual_input": "a.png"}\n{"prompt": ""}\n')
    arguments = ["batch", str(pipe), "--workspace", str(workspace.root), "--model", "diorama", "--out", str(tmp_path)]
    assert main(arguments) == FAILED
    reported = capsys.readouterr().out
    assert "entry 1: prompt: there is none, and no refiner wrote one" in reported and "0 of 2 made" in reported


def test_a_clip_from_a_pipe_with_its_settings_told_and_its_prompt_beside_it(
    engine: EngineClient,
    workspace: Workspace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pipe = piped(tmp_path, "A red ball in a meadow\n")
    out, weights = tmp_path / "films" / "ball", Path("assets/diorama/transformer").resolve()
    flags = ["--prompt-file", pipe, "--frames", 9, "--seed", 4, "--guidance", 2, "--nvidia-guidance", "--json"]
    flags += ["--network", weights, "--offload", "components", "--precision", "bfloat16", "--save-prompt"]
    assert generate(workspace, *flags, "--out", out) == DONE
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["event"] == "settings" and (lines[0]["num_steps"], lines[0]["guidance_scale"]) == (35, 3)
    assert lines[-1]["path"] == str(out.with_suffix(".mp4")) and probe(out.with_suffix(".mp4")).num_frames == 9
    assert out.with_suffix(".txt").read_text() == "A red ball in a meadow\n"
    (job,) = [status.job for status in engine.jobs()]
    (card,) = [path.stem for path in workspace.cards.iterdir()]
    assert job.model == card and card.startswith("diorama-") and job.seed == 4
    assert (job.speed.offload, job.speed.precision) == ("components", "bfloat16")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "there is no prompt"),
        (["--prompt", " "], "--prompt: is empty"),
        (["--prompt", "a", "--model", "diorma"], "did you mean diorama"),
        (["--prompt", "a", "--size", "wide"], "must be WIDTHxHEIGHT"),
        (["--prompt", "a", "--strength", "0.5"], "name it with --reimagine"),
        (["--prompt", "a", "--input", "a.png", "--reimagine", "b.mp4"], "leave out one of the two"),
        (["--prompt", "a", "--lora", "gone.safetensors"], "gone.safetensors: there is no such file"),
        (["--prompt", "a", "--input", "gone.png"], "gone.png: no such file"),
        (["--prompt", "a", "--out", "a.jpg"], "a film's name ends in .mp4, not in .jpg"),
    ],
)
def test_what_is_wrong_is_said_before_an_engine_starts(
    arguments: list[str], words: str, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(workspace, *arguments) == WRONG
    assert words in capsys.readouterr().err and not workspace.engine_address.exists()


def test_flags_say_the_same_of_every_scene_and_its_own_input_stays() -> None:
    own = Conditioning(media="own.mp4")
    settings = SceneSettings(num_chunks=2, seed=3, num_steps=9, input="in.png", num_input_frames=5, negative_prompt="")
    scenes = with_settings(board({}, {"conditioning": own, "negative_prompt": "fog"}), settings, CARD).scenes
    assert {scene.duration_s for scene in scenes} == {(17 + 12) / CARD.fps}
    assert [(scene.seed, scene.overrides.num_steps, scene.negative_prompt) for scene in scenes] == [(3, 9, "")] * 2
    starts = [scene.conditioning for scene in scenes]
    assert starts[0] == Conditioning(media=str(Path("in.png").resolve()), num_frames=5)
    assert starts[1] == Conditioning(media="own.mp4", num_frames=5)


def test_frames_chunks_and_nothing_give_exactly_as_many_frames() -> None:
    for settings, num_frames in ((SceneSettings(num_frames=13), 13), (SceneSettings(), 17)):
        whole = with_settings(board({}), with_default_length(settings, CARD), CARD)
        assert planned(whole).jobs[0].num_frames == num_frames
    segments = with_settings(board({}), with_default_length(SceneSettings(), TOGETHER), TOGETHER)
    assert segments.scenes[0].duration_s == 3


def test_a_model_that_starts_from_words_alone_refuses_a_picture() -> None:
    with pytest.raises(StoryboardError, match="--input: Together denoises a storyboard from words alone"):
        with_settings(board({}), SceneSettings(input="a.png"), TOGETHER)


def test_every_published_model_is_rendered_as_it_was_published() -> None:
    preset = load_presets()["quality"]
    for card in load_cards().values():
        sampler = preset.sampler_for(card)
        assert (sampler.num_steps, sampler.name) == (card.num_steps, card.sampler.name)
        assert preset.guidance_for(card) == card.guidance_scale


@pytest.mark.parametrize(
    ("out", "picture", "target"),
    [
        ("a.mp4", False, "a.mp4"),
        ("a", False, "a.mp4"),
        ("a", True, "a.jpg"),
        ("a.PNG", True, "a.PNG"),
        ("a.mp4", True, "a.mp4"),
    ],
)
def test_names_of_films_and_pictures(out: str, picture: bool, target: str) -> None:
    assert film_target(Path(out), "b", picture) == Path(target)
    with pytest.raises(StoryboardError, match="--out: a.avi"):
        film_target(Path("a.avi"), "b", picture)


def test_a_lora_with_its_strength() -> None:
    assert lora_of("rain.safetensors:0.8") == OwnLora(Path("rain.safetensors"), 0.8)
    assert lora_of("rain.safetensors") == OwnLora(Path("rain.safetensors"), 1.0)
    with pytest.raises(StoryboardError, match='"much" is not a strength'):
        lora_of("rain.safetensors:much")


def test_a_lora_of_ones_own_is_a_card_over_the_base_named_by_its_content(tmp_path: Path) -> None:
    lora, cards = tmp_path / "rain.safetensors", load_cards()
    lora.write_bytes(b"x")

    def made(strength: float, content: str) -> str:
        weights = OwnWeights(loras=(OwnLora(lora, strength),), ema=True)
        base = cards["cosmos-predict2-2b-video2world-720p-16fps"]
        return make_own_card(base, weights, tmp_path / "cards", lambda path: content * 64, cards)

    name = made(0.8, "a")
    assert name == made(0.8, "a") and len({name, made(0.5, "a"), made(0.8, "b")}) == 3
    card = load_cards(run_cards=tmp_path / "cards")[name]
    assert [(each.path, each.strength) for each in card.loras] == [(str(lora), 0.8)]
    assert card.model_dump()["cosmos"]["ema"] and card.title.endswith("rain.safetensors at 0.8, averaged weights")
    with pytest.raises(StoryboardError, match="--ema: Diorama's|--ema: TTT"):
        weights = OwnWeights(ema=True)
        make_own_card(cards["ttt-video-mlp-5b"], weights, tmp_path, lambda path: "a" * 64, cards)
