"""Why a take is not what is written now: two jobs compared field by field, in words.

Comes in: the job of a take, the job that the plan would give now, and names to say it with. Goes out: reasons such as
``prompt changed`` or ``preset changed (draft -> balanced)``. Does not know scenes' other takes or the library.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.contract.cards import ModelCard
from engine.contract.jobs import FromMedia, FromTake, Job, JobConditioning
from studio.presets import Preset


@dataclass(frozen=True, slots=True)
class Names:
    """What is not in a job: the scene's own words and the look, presets, and how the scene before it stands."""

    prompt: str
    look: str
    negative_prompt: str
    negative_look: str
    presets: Mapping[str, Preset]
    card: ModelCard
    before_number: int
    before_state: str


def reasons(old: Job, new: Job, names: Names) -> tuple[str, ...]:
    """What changed from the take's job to the one that would be rendered now; never empty where recipes differ."""
    found = (*_model(old, new), *_words(old, new, names), *_frames(old, new, names), *_settings(old, new, names))
    return found or ("its settings changed",)


def _model(old: Job, new: Job) -> Iterator[str]:
    if old.model != new.model:
        yield f"model changed ({old.model} -> {new.model})"
    elif old.weights != new.weights:
        yield "the model's weights changed"
    if old.pipeline != new.pipeline:
        yield "the engine draws differently since an update"


def _words(old: Job, new: Job, names: Names) -> Iterator[str]:
    before, now = old.segments[0], new.segments[0]
    if before.prompt != now.prompt:
        yield f"{_which(before.prompt, names.prompt.strip(), names.look.strip(), 'prompt', 'look')} changed"
    if before.negative_prompt != now.negative_prompt:
        own, look = names.negative_prompt.strip(), names.negative_look.strip()
        yield f"{_which(before.negative_prompt, own, look, 'negative prompt', 'negative look')} changed"


def _which(before: str, own: str, look: str, prompt_word: str, look_word: str) -> str:
    """Which of the two changed, from the words of both together before and each alone now."""
    if look and before.endswith(look):
        return prompt_word
    rest = before.removeprefix(own)
    if not before.startswith(own) or (own and rest and rest[0] not in ", "):
        return prompt_word
    return look_word if look else f"{prompt_word} or look"


def _frames(old: Job, new: Job, names: Names) -> Iterator[str]:
    if old.num_frames != new.num_frames:
        yield f"duration changed ({old.num_frames / old.fps:g} s -> {new.num_frames / new.fps:g} s)"
    if old.size_px != new.size_px:
        yield f"size changed ({_size(old)} -> {_size(new)})"
    if old.fps != new.fps:
        yield f"frames a second changed ({old.fps} -> {new.fps})"
    if old.conditioning != new.conditioning:
        yield _conditioning(old.conditioning, new.conditioning, names)


def _size(job: Job) -> str:
    return f"{job.size_px[0]} x {job.size_px[1]}"


def _conditioning(old: JobConditioning | None, new: JobConditioning | None, names: Names) -> str:
    match old, new:
        case FromTake(), FromTake():
            return _continued(old, new, names)
        case _, FromTake():
            return f"continues scene {names.before_number} now"
        case FromTake(), _:
            return "no longer continues the scene before it"
        case None, FromMedia():
            return f"{_said(new)} added"
        case FromMedia(), None:
            return f"{_said(old)} taken away"
        case _:
            return f"{_said(new)} changed" if new else "conditioning changed"


def _continued(old: FromTake, new: FromTake, names: Names) -> str:
    if old.recipe == new.recipe:
        return f"takes over {new.num_frames} frames of scene {names.before_number}, not {old.num_frames}"
    if names.before_state == "fresh":
        return f"continues scene {names.before_number}, which changed"
    return f"continues scene {names.before_number}, which is {names.before_state}"


def _said(conditioning: JobConditioning) -> str:
    return "picture" if conditioning.kind == "image" else "clip"


def _settings(old: Job, new: Job, names: Names) -> Iterator[str]:
    if old.seed != new.seed:
        yield "seed changed"
    if _quality(old) != _quality(new):
        before, now = _preset_of(old, names), _preset_of(new, names)
        if before and now:
            yield f"preset changed ({before} -> {now})"
        else:
            yield from _one_by_one(old, new)
    if _noise(old) != _noise(new):
        yield "the model's noise levels changed"


def _quality(job: Job) -> tuple[object, ...]:
    return (job.sampler.name, job.sampler.num_steps, job.guidance_scale, job.speed.precision)


def _noise(job: Job) -> tuple[float, ...]:
    return (job.sampler.sigma_max, job.sampler.sigma_min, job.sampler.rho)


def _preset_of(job: Job, names: Names) -> str:
    """The preset whose settings a job has, "" where none has them."""
    for preset in names.presets.values():
        precision = preset.speed_for(names.card).precision
        if _quality(job) == (preset.sampler, preset.num_steps, preset.guidance_for(names.card), precision):
            return preset.name
    return ""


def _one_by_one(old: Job, new: Job) -> Iterator[str]:
    if old.sampler.name != new.sampler.name:
        yield f"sampler changed ({old.sampler.name} -> {new.sampler.name})"
    if old.sampler.num_steps != new.sampler.num_steps:
        yield f"steps changed ({old.sampler.num_steps} -> {new.sampler.num_steps})"
    if old.guidance_scale != new.guidance_scale:
        yield f"guidance changed ({old.guidance_scale:g} -> {new.guidance_scale:g})"
    if old.speed.precision != new.speed.precision:
        yield f"precision changed ({old.speed.precision} -> {new.speed.precision})"
