"""Why a take is not what is written now: two jobs compared field by field, in words.

Comes in: the job of a take, the job that the plan would give now, and names to say it with. Goes out: reasons such as
``prompt changed`` or ``preset changed (draft -> balanced)``. Does not know scenes' other takes or the library.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.contract.cards import ModelCard
from engine.contract.jobs import FromMedia, FromModel, FromTake, Job, JobConditioning
from studio.planning.presets import Preset


@dataclass(frozen=True, slots=True)
class ReasonScope:
    """What is not in a job: the scene's own words and the look, presets, and how the scene before it stands."""

    prompt: str
    look: str
    negative_prompt: str
    negative_look: str
    presets: Mapping[str, Preset]
    card: ModelCard
    before_number: int
    before_state: str


def reasons(old: Job, new: Job, names: ReasonScope) -> tuple[str, ...]:
    """What changed from the take's job to the one that would be rendered now; never empty where recipes differ."""
    found = [*model_reasons(old, new), *_words(old, new, names)]
    if old.num_frames != new.num_frames:
        found.append(f"duration changed ({old.num_frames / old.fps:g} s -> {new.num_frames / new.fps:g} s)")
    found += [*frame_reasons(old, new), *_start(old, new, names)]
    found += setting_reasons(old, new, names.presets, names.card)
    return tuple(found) or ("its settings changed",)


def model_reasons(old: Job, new: Job) -> Iterator[str]:
    if old.model != new.model:
        yield f"model changed ({old.model} -> {new.model})"
    elif old.weights != new.weights:
        yield "the model's weights changed"
    if old.pipeline != new.pipeline:
        yield "the engine draws differently since an update"


def _words(old: Job, new: Job, names: ReasonScope) -> Iterator[str]:
    before, now = old.segments[0], new.segments[0]
    if before.prompt != now.prompt:
        yield f"{which(before.prompt, names.prompt.strip(), names.look.strip(), 'prompt', 'look')} changed"
    else:
        yield from _later_words(old, new)
    if before.negative_prompt != now.negative_prompt:
        own, look = names.negative_prompt.strip(), names.negative_look.strip()
        yield f"{which(before.negative_prompt, own, look, 'negative prompt', 'negative look')} changed"


def _later_words(old: Job, new: Job) -> Iterator[str]:
    pairs = list(zip(old.segments, new.segments, strict=False))
    numbers = [number for number, (before, now) in enumerate(pairs, start=1) if before.prompt != now.prompt]
    if numbers:
        parts = "part" if len(numbers) == 1 else "parts"
        yield f"prompt of {parts} {', '.join(map(str, numbers))} changed"


def which(before: str, own: str, look: str, prompt_word: str, look_word: str) -> str:
    """Which of the two changed, from the words of both together before and each alone now."""
    if look and before.endswith(look):
        return prompt_word
    rest = before.removeprefix(own)
    if not before.startswith(own) or (own and rest and rest[0] not in ", "):
        return prompt_word
    return look_word if look else f"{prompt_word} or look"


def frame_reasons(old: Job, new: Job) -> Iterator[str]:
    if old.size_px != new.size_px:
        yield f"size changed ({_size(old)} -> {_size(new)})"
    if old.fps != new.fps:
        yield f"frames a second changed ({old.fps} -> {new.fps})"


def _size(job: Job) -> str:
    return f"{job.size_px[0]} x {job.size_px[1]}"


def _start(old: Job, new: Job, names: ReasonScope) -> Iterator[str]:
    if isinstance(old.conditioning, FromModel) and isinstance(new.conditioning, FromModel):
        yield from _first_frame(old, old.conditioning, new, new.conditioning)
    elif old.conditioning != new.conditioning:
        yield _conditioning(old.conditioning, new.conditioning, names)
    yield from _re_imagined(old, new)


def _first_frame(old: Job, before: FromModel, new: Job, now: FromModel) -> Iterator[str]:
    """What changed of a made first frame, unless the scene's own words, seed and size say it."""
    if (before.model, before.weights) != (now.model, now.weights):
        yield "the first frame's model changed"
    if before.prompt != now.prompt and (before.prompt, now.prompt) != (old.segments[0].prompt, new.segments[0].prompt):
        yield "first frame's words changed"
    same_negative = old.segments[0].negative_prompt == new.segments[0].negative_prompt
    if before.negative_prompt != now.negative_prompt and same_negative:
        yield "first frame's negative words changed"
    if before.seed != now.seed and (before.seed, now.seed) != (old.seed, new.seed):
        yield "first frame re-rolled"
    if before.size_px != now.size_px and old.size_px == new.size_px:
        yield "first frame's size changed"
    if before.source != now.source and _clip(old) == _clip(new):
        yield "what the first frame is made from changed"
    if before.strength != now.strength:
        yield f"first frame's strength changed ({before.strength:g} -> {now.strength:g})"
    settings = [(one.sampler, one.guidance_scale, one.precision) for one in (before, now)]
    if settings[0] != settings[1]:
        yield "first frame's settings changed"


def _clip(job: Job) -> str:
    return job.reimagine.media if job.reimagine else ""


def _re_imagined(old: Job, new: Job) -> Iterator[str]:
    match old.reimagine, new.reimagine:
        case None, None:
            return
        case None, _:
            yield "a clip is re-imagined now"
        case _, None:
            yield "no clip is re-imagined any more"
        case before, now:
            if before.media != now.media:
                yield "the re-imagined clip changed"
            if before.strength != now.strength:
                yield f"strength changed ({before.strength:g} -> {now.strength:g})"


def _conditioning(old: JobConditioning | None, new: JobConditioning | None, names: ReasonScope) -> str:
    match old, new:
        case FromTake(), FromTake():
            return _continued(old, new, names)
        case _, FromTake():
            return f"continues scene {names.before_number} now"
        case FromTake(), _:
            return "no longer continues the scene before it"
        case _, FromModel():
            return "a picture model makes its first frame now"
        case FromModel(), None:
            return "no picture model makes its first frame any more"
        case ((None | FromModel()), FromMedia()):
            return f"{_said(new)} added"
        case FromMedia(), None:
            return f"{_said(old)} taken away"
        case _:
            return f"{_said(new)} changed" if isinstance(new, FromMedia) else "conditioning changed"


def _continued(old: FromTake, new: FromTake, names: ReasonScope) -> str:
    if old.recipe == new.recipe:
        return f"takes over {new.num_frames} frames of scene {names.before_number}, not {old.num_frames}"
    if names.before_state == "fresh":
        return f"continues scene {names.before_number}, which changed"
    return f"continues scene {names.before_number}, which is {names.before_state}"


def _said(conditioning: FromMedia) -> str:
    if conditioning.taken_from == "start":
        return "first frame of the clip"
    return "picture" if conditioning.kind == "image" else "clip"


def setting_reasons(old: Job, new: Job, presets: Mapping[str, Preset], card: ModelCard) -> Iterator[str]:
    if old.seed != new.seed:
        yield "seed changed"
    if _quality(old) != _quality(new):
        before, now = _preset_of(old, presets, card), _preset_of(new, presets, card)
        if before and now and before != now:
            yield f"preset changed ({before} -> {now})"
        else:
            yield from _one_by_one(old, new)
    if _noise(old) != _noise(new):
        yield "the model's noise levels changed"
    if old.guidance_schedule != new.guidance_schedule:
        yield "how guidance follows the steps changed"


def _quality(job: Job) -> tuple[object, ...]:
    return (job.sampler.name, job.sampler.num_steps, job.guidance_scale, job.speed.precision)


def _noise(job: Job) -> tuple[object, ...]:
    return (job.sampler.schedule, job.sampler.sigma_max, job.sampler.sigma_min, job.sampler.rho)


def _preset_of(job: Job, presets: Mapping[str, Preset], card: ModelCard) -> str:
    """The preset whose settings a job has, "" where none has them."""
    for preset in presets.values():
        sampler, precision = preset.sampler_for(card), preset.speed_for(card).precision
        if _quality(job) == (sampler.name, sampler.num_steps, preset.guidance_for(card), precision):
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
