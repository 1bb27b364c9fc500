"""Every command line of the five guides becomes the job that it describes: translated as ``docs/coming-from.md`` says,
parsed by our parser, planned over the published cards. Nothing is rendered."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine.contract.cards import ModelCard, ModelStatus
from engine.contract.jobs import FromMedia, FromModel, Job
from engine.contract.media import MediaInfo
from studio.cli.batch import blank_storyboard, storyboard_of_entry
from studio.cli.batch_commands import add_config, batch_options
from studio.cli.generate import PUBLISHED, prompt_of, single_scene
from studio.cli.main import command_parser
from studio.cli.scenes.flags import settings_from_flags, with_default_length, with_settings
from studio.cli.scenes.weights import model_from_flags
from studio.document.formats.reading import batch_in, holds_videos, storyboards_in
from studio.document.formats.text_file import read_text
from studio.document.formats.ttt_config import read_config
from studio.document.storyboard import Storyboard
from studio.planning.plan import plan
from studio.planning.presets import load_cards, load_presets
from tests.studio.cli.coming_from import PAGE, tables, translated
from tests.studio.planning.factories import CLIP, PICTURE

DFM = "torchrun --nproc-per-node 2 examples/megatron/recipes/dit/inference_dit_model.py"
PREDICT1 = (
    "CUDA_HOME=$CONDA_PREFIX PYTHONPATH=$(pwd) python cosmos_predict1/diffusion/inference/video2world.py "
    "--checkpoint_dir checkpoints --diffusion_transformer_dir Cosmos-Predict1-7B-Video2World"
)
VIDEO2WORLD = "python -m examples.video2world --model_size 2B --input_path assets/video2world/input0.jpg"
OURS = "storyboard"
VALUES = {"NUM_GPUS": "8", "PROMPT": "A city bus terminal.", "PROMPT_": "A welding robot."}
VALUES |= {"CONFIG_FILE": "9s.toml", "CHECKPOINT_DIR": "weights", "CHECKPOINT_WEIGHTS_DIR": "weights"}
VALUES |= {"INPUT_FILE": "example-9s.json"}

TEXT2WORLD_BATCH = [{"prompt": f"{name}.", "output_video": f"output/{name}.mp4"} for name in ("a", "b", "c")]
VIDEO2WORLD_BATCH = [
    {"input_video": f"assets/video2world/input{n}.jpg", "prompt": "p", "output_video": f"output/{n}.mp4"}
    for n in range(3)
]
GUIDES_VIDEO = [
    {"text": "First scene description", "requires_scene_transition": False, "neg_text": "Optional negative prompt"},
    {"text": "Second scene description", "requires_scene_transition": True, "neg_text": "Optional negative prompt"},
]
CONFIG = """
[job]
exp_name = "cogvideo-mlp-9s"
[model]
ssm_layer = "ttt_mlp"
mini_batch_size = 16
video_length = "9sec"
[eval]
sampling_fps = 16
sampling_num_frames = 37
image_width = 720
image_height = 480
num_denoising_steps = 50
output_dir = "./output"
t5_model_dir = TODO
vae_checkpoint_path = TODO
[guider]
scale = 6
[parallelism]
dp_replicate = 1
tp_sharding = 2
"""
FILES: dict[str, object] = {
    "assets/text2world/batch_example.json": TEXT2WORLD_BATCH,
    "assets/video2world/batch_example.json": VIDEO2WORLD_BATCH,
    "assets/diffusion/batch_inputs/video2world_ps.jsonl": [{"visual_input": f"video{n}.mp4"} for n in (1, 2)],
    "assets/diffusion/batch_inputs/video2world_wo_ps.jsonl": [
        {"prompt": f"prompt{n}", "visual_input": f"video{n}.mp4"} for n in (1, 2)
    ],
    "example-9s.json": [[*GUIDES_VIDEO, GUIDES_VIDEO[1]]],
    "guide.json": GUIDES_VIDEO,
    "9s.toml": CONFIG,
    "weights/model.safetensors": "x",
}

# Each: (the command as its guide prints it, what its jobs are).
COMMANDS: list[tuple[str, dict[str, Any]]] = [
    # NeMo DFM
    (
        f'{DFM} --prompt "A beautiful monarch butterfly with orange and black wings" --height 704 --width 1280 '
        "--num-video-frames 121 --video-save-path butterfly_monarch.mp4",
        {"size": (1280, 704), "frames": 121, "steps": 35, "guidance": 8, "seed": 0, "out": "butterfly_monarch.mp4"},
    ),
    (
        f'{DFM} --prompt "A blue morpho butterfly in a rainforest" --height 704 --width 1280 --num-video-frames 121 '
        "--num-steps 50 --guidance 9.0 --seed 42 --cp-size 2 --video-save-path morpho_rainforest.mp4",
        {"size": (1280, 704), "frames": 121, "steps": 50, "guidance": 10, "seed": 42, "ranks": 2},
    ),
    (
        f'{DFM} --prompt "A swallowtail butterfly landing on a purple flower" --height 1024 --width 1920 '
        "--num-video-frames 241 --num-steps 100 --guidance 12.0 --video-save-path swallowtail_hq.mp4",
        {"size": (1920, 1024), "frames": 241, "steps": 100, "guidance": 13},
    ),
    (
        f'{DFM} --prompt "A small white butterfly" --height 480 --width 848 --num-video-frames 61 --num-steps 15 '
        "--video-save-path butterfly_fast.mp4",
        {"size": (848, 480), "frames": 61, "steps": 15},
    ),
    (
        f'{DFM} --prompt "A butterfly in a garden" --negative-prompt "blurry, low quality, distorted, watermark" '
        "--video-save-path butterfly_clean.mp4",
        {"negative": "blurry, low quality, distorted, watermark", "steps": 35},
    ),
    (
        "torchrun --nproc-per-node 4 examples/megatron/recipes/dit/inference_dit_model.py --prompt x --cp-size 4",
        {"ranks": 4},
    ),
    # TTT-Video
    (
        'torchrun --nproc_per_node=<NUM_GPUS> --rdzv_backend c10d --rdzv_endpoint="localhost:0" '
        "--local-ranks-filter 0 --role rank --tee 3 sample.py --job.config_file <CONFIG_FILE> "
        "--checkpoint.init_state_dir=<CHECKPOINT_DIR> --eval.input_file=<INPUT_FILE>",
        {
            "size": (720, 480),
            "frames": 145,
            "steps": 50,
            "guidance": 6,
            "ranks": 8,
            "negative": "Optional negative prompt",
        },
    ),
    (
        "torchrun --nproc_per_node=8 sample.py --eval.input_file=guide.json --checkpoint.init_state_dir=weights "
        "--eval.t5_model_dir=weights --eval.vae_checkpoint_path=weights/model.safetensors --eval.output_dir out "
        "--eval.image_width 480 --eval.image_height 320 --eval.num_denoising_steps 20 --guider.scale 4 "
        "--eval.dtype float16 --parallelism.dp_replicate=8 --parallelism.dp_sharding=1 --wandb.disable",
        {"size": (480, 320), "frames": 97, "steps": 20, "guidance": 4, "precision": "float16", "out": "out"},
    ),
    # Cosmos-Predict2 Text2World
    (
        'python -m examples.text2world --model_size 2B --prompt "${PROMPT_}" --save_path output/text2world_2b.mp4',
        {"model": "cosmos-predict2-2b-video2world-720p-16fps", "size": (1280, 704), "frames": 93, "steps": 35}
        | {"guidance": 8, "seed": 0, "start": FromModel, "out": "output/text2world_2b.mp4"},
    ),
    (
        "python -m examples.text2world --model_size 2B --batch_input_json assets/text2world/batch_example.json",
        {"jobs": 3, "frames": 93, "steps": 35, "guidance": 8, "start": FromModel},
    ),
    (
        'torchrun --nproc_per_node=${NUM_GPUS} -m examples.text2world --model_size 2B --prompt "${PROMPT_}" '
        "--save_path output/text2world_2b_${NUM_GPUS}gpu.mp4 --num_gpus ${NUM_GPUS} --disable_guardrail "
        "--disable_prompt_refiner",
        {"ranks": 8, "guard": "off", "refine": False, "out": "output/text2world_2b_8gpu.mp4"},
    ),
    (
        'python -m examples.video2video_sdedit --model_size 2B --prompt "${PROMPT}" --text2image_edit_strength 0.4 '
        '--video2world_edit_strength 0.8 --input_video_path "assets/video2world/input3.mp4" '
        "--save_path output/video2video_2b.mp4",
        {"start": FromModel, "strength": (0.4, 0.8), "frames": 93},
    ),
    # Cosmos-Predict2 Video2World
    (
        f'{VIDEO2WORLD} --num_conditional_frames 1 --prompt "${{PROMPT}}" --save_path output/video2world_2b.mp4',
        {"start": FromMedia, "input_frames": 1, "frames": 93, "steps": 35, "guidance": 8},
    ),
    (
        "python -m examples.video2world --model_size 14B --input_path assets/video2world/input0.jpg "
        '--num_conditional_frames 1 --prompt "${PROMPT}" --save_path output/video2world_14b.mp4 --offload_guardrail '
        "--offload_prompt_refiner",
        {"model": "cosmos-predict2-14b-video2world-720p-16fps", "input_frames": 1},
    ),
    (
        "python -m examples.video2world --model_size 2B --batch_input_json assets/video2world/batch_example.json",
        {"jobs": 3, "start": FromMedia, "input_frames": 1},
    ),
    (
        "python -m examples.video2world --model_size 2B --input_path assets/video2world/input3.mp4 "
        '--num_conditional_frames 5 --prompt "${PROMPT}" --save_path output/video2world_2b_5frames.mp4',
        {"start": FromMedia, "input_frames": 5},
    ),
    (
        f'{VIDEO2WORLD} --prompt "${{PROMPT}}" --disable_prompt_refiner --save_path output/without.mp4',
        {"refine": False, "start": FromMedia},
    ),
    (
        "torchrun --nproc_per_node=${NUM_GPUS} examples/video2world.py --model_size 2B --input_path "
        'assets/video2world/input0.jpg --prompt "${PROMPT}" --save_path output/gpus.mp4 --num_gpus ${NUM_GPUS}',
        {"ranks": 8, "start": FromMedia},
    ),
    (
        "python -m examples.video2world_bestofn --model_size 2B --input_path assets/video2world/input0.jpg --prompt "
        '"${PROMPT}" --num_generations 4 --num_critic_trials 5 --disable_guardrail --save_path output/demo.mp4',
        {"takes": 4, "guard": "off"},
    ),
    (
        "PYTHONPATH=. torchrun --nproc_per_node=${NUM_GPUS} examples/video2world_lvg.py --model_size 14B "
        '--num_chunks 6 --input_path assets/video2world_lvg/example_input.jpg --prompt "${PROMPT}" '
        "--save_path output/video2world_2b_lvg_example1.mp4 --num_gpus ${NUM_GPUS} --disable_guardrail "
        "--disable_prompt_refiner",
        {"segments": 6, "frames": 6 * 93 - 5 * 5, "ranks": 8},
    ),
    (
        "python -m examples.video2world_lvg --num_chunks 2 --num_conditional_frames 1 --prompt x "
        "--input_path assets/video2world/input0.jpg",
        {"segments": 2, "frames": 2 * 93 - 1},
    ),
    (
        'python -m examples.video2world --model_size 2B --input_path a.jpg --prompt "${PROMPT}" --natten '
        "--save_path output/video2world_2b_with_natten.mp4",
        {"model": "cosmos-predict2-2b-video2world-720p-16fps-natten"},
    ),
    (
        "python -m examples.video2world --fps 10 --resolution 480 --prompt x --input_path a.jpg --aspect_ratio 9:16 "
        '--guidance 5 --seed 3 --negative_prompt "" --dit_path weights/model.safetensors --load_ema --use_cuda_graphs',
        {"base": "cosmos-predict2-2b-video2world-480p-10fps", "guidance": 6, "seed": 3, "negative": "", "frames": 61},
    ),
    # Cosmos-Predict1
    (
        f"{PREDICT1} --input_image_or_video_path assets/diffusion/video2world_input0.jpg --num_input_frames 1 "
        "--offload_prompt_upsampler --video_save_name diffusion-video2world-7b",
        {"wordless": True, "start": FromMedia, "frames": 121, "steps": 35, "guidance": 8, "input_frames": 1},
    ),
    (
        "python cosmos_predict1/diffusion/inference/video2world.py --checkpoint_dir checkpoints "
        "--diffusion_transformer_dir Cosmos-Predict1-14B-Video2World --input_image_or_video_path a.jpg "
        "--num_input_frames 1 --offload_tokenizer --offload_diffusion_transformer --offload_text_encoder_model "
        "--offload_prompt_upsampler --offload_guardrail_models --video_save_name diffusion-video2world-14b",
        {"model": "cosmos-predict1-14b-video2world", "wordless": True, "offload": "components"},
    ),
    (
        "torchrun --nproc_per_node=${NUM_GPUS} cosmos_predict1/diffusion/inference/video2world.py "
        "--num_gpus ${NUM_GPUS} --checkpoint_dir c --diffusion_transformer_dir Cosmos-Predict1-7B-Video2World "
        "--input_image_or_video_path a.jpg --num_input_frames 1 --offload_prompt_upsampler --video_save_name b",
        {"ranks": 8, "wordless": True},
    ),
    (
        f"{PREDICT1} --batch_input_path assets/diffusion/batch_inputs/video2world_ps.jsonl --num_input_frames 9 "
        "--offload_prompt_upsampler --video_save_folder diffusion-video2world-7b-batch",
        {"jobs": 2, "wordless": True, "input_frames": 9, "out": "diffusion-video2world-7b-batch"},
    ),
    (
        f"{PREDICT1} --batch_input_path assets/diffusion/batch_inputs/video2world_wo_ps.jsonl --num_input_frames 9 "
        "--disable_prompt_upsampler --video_save_folder diffusion-video2world-7b-batch-wo-ps",
        {"jobs": 2, "refine": False, "start": FromMedia, "input_frames": 9, "frames": 121},
    ),
]


class AnyMedia(Mapping[str, MediaInfo]):
    """Whatever a scene names: a picture or a long clip, by its suffix."""

    def __getitem__(self, name: str) -> MediaInfo:
        clip = CLIP.model_copy(update={"num_frames": 200, "fps": 24})
        return clip if name.endswith(".mp4") else PICTURE

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(())

    def __len__(self) -> int:
        return 1


@cache
def published() -> dict[str, ModelCard]:
    cards = load_cards()
    table = cards["dfm-dit-xl"].model_extra or {}
    larger = table["dfm"].model_copy(update={"max_patches": 120, "max_frames": 64})
    return cards | {"dfm-dit-xl": cards["dfm-dit-xl"].model_copy(update={"dfm": larger})}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands are called, with the files that they name."""
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = isinstance(content, list) and name.endswith(".jsonl")
        text = "".join(json.dumps(each) + "\n" for each in content) if lines else json.dumps(content)  # type: ignore[union-attr]
        path.write_text(content if isinstance(content, str) else text)
    return tmp_path


def jobs_of(arguments: list[str]) -> tuple[Any, list[Job]]:
    """The parsed flags, and the jobs that the command would give to the engine."""
    flags = command_parser().parse_args([arguments[0], "--workspace", "ws", *arguments[1:]])
    storyboards, cards = _storyboards(flags, arguments[0])
    models = {name: ModelStatus(card=card, fingerprint="a" * 64, available=True) for name, card in cards.items()}
    jobs: list[Job] = []
    for storyboard in storyboards:
        wordy = [
            scene.model_copy(update={"prompt": scene.prompt or "written by a refiner"}) for scene in storyboard.scenes
        ]
        whole = storyboard.model_copy(update={"scenes": tuple(wordy)})
        planned = plan(whole, presets=load_presets(), models=models, media=AnyMedia())
        assert all(scene.state == "missing" for scene in planned.scenes), [scene.reason for scene in planned.scenes]
        jobs += planned.jobs
    return flags, jobs


def _storyboards(flags: Any, command: str) -> tuple[list[Storyboard], dict[str, ModelCard]]:
    if command == "generate":
        settings, name = settings_from_flags(flags, seed=0), model_from_flags(flags, flags.model)
        cards = _with_own(name)
        one = single_scene(prompt_of(flags), cards[name], flags.preset or PUBLISHED)
        return [with_settings(one, with_default_length(settings, cards[name]), cards[name])], cards
    if flags.config is not None:
        add_config(flags, read_config(flags.config))
    file = read_text(flags.file)
    if holds_videos(file):
        options = batch_options(flags, "ttt-video-mlp-5b")
        cards = _with_own(options.model)
        changes = {"model": options.model, "preset": options.preset}
        videos = [video.model_copy(update=changes) for video in storyboards_in(file)]
        return [with_settings(video, options.settings, cards[options.model]) for video in videos], cards
    batch = batch_in(file)
    assert not batch.bad
    options = batch_options(flags, batch.model)
    cards = _with_own(options.model)
    card = cards[options.model]
    blank = blank_storyboard("Batch", card, options)
    return [storyboard_of_entry(entry, blank, card, options.settings, file.folder) for entry in batch.entries], cards


def _with_own(name: str) -> dict[str, ModelCard]:
    return published() if name in published() else load_cards(run_cards=Path("ws/cards"))


@pytest.mark.parametrize(("command", "wanted"), COMMANDS, ids=[command[:70] for command, _ in COMMANDS])
def test_a_command_of_the_guides_becomes_its_job(command: str, wanted: dict[str, Any], folder: Path) -> None:
    arguments = translated(command, VALUES)
    flags, jobs = jobs_of(arguments)
    assert len(jobs) == wanted.get("jobs", 1)
    for job in jobs:
        found = found_in(job, flags)
        assert {name: found[name] for name in wanted if name != "jobs"} == {
            n: v for n, v in wanted.items() if n != "jobs"
        }


def found_in(job: Job, flags: Any) -> dict[str, Any]:
    start = job.conditioning
    return {
        "model": job.model,
        "base": job.model.rpartition("-")[0],
        "size": job.size_px,
        "frames": job.num_frames,
        "segments": len(job.segments),
        "steps": job.sampler.num_steps,
        "guidance": job.guidance_scale,
        "seed": job.seed,
        "negative": job.segments[0].negative_prompt,
        "wordless": job.segments[0].prompt == "written by a refiner",
        "precision": job.speed.precision,
        "offload": job.speed.offload,
        "start": type(start),
        "input_frames": start.num_frames if start else 0,
        "strength": (getattr(start, "strength", None), job.reimagine.strength if job.reimagine else None),
        "ranks": flags.ranks,
        "out": str(flags.out),
        "guard": flags.guard,
        "refine": flags.refine,
        "takes": getattr(flags, "takes", 1),
    }


def test_a_critic_alone_is_a_command_of_its_own(folder: Path) -> None:
    arguments = translated("python -m examples.video2world_bestofn --skip_generation --save_path output/mine")
    flags = command_parser().parse_args(arguments)
    assert flags.files == [Path("output/mine")] and flags.report == Path("output/mine")


def test_every_flag_of_ours_on_the_page_is_one(folder: Path) -> None:
    known = {option for name in ("generate", "batch", "critique") for option in options_of(name)}
    flags = {word for rows in tables().values() for row in rows for word in row.ours.split() if word.startswith("--")}
    assert flags <= known, flags - known
    assert "storyboard generate" in PAGE.read_text()


def options_of(name: str) -> set[str]:
    actions = command_parser()._subparsers._group_actions[0].choices[name]._actions  # type: ignore[union-attr, index]
    return {option for action in actions for option in action.option_strings}
