"""Presets and model cards from YAML, strictly: an unknown key is an error that names file and key.

Comes in: the folders ``presets/quality``, ``presets/models`` and ``presets/assistants``. Goes out: ``Preset``,
``ModelCard`` and ``AssistantCard`` values. Does not know scenes, weights or what a sampler does.
"""

from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, Field, ValidationError, create_model

from engine.contract.assistant_cards import AssistantCard
from engine.contract.card_values import Precision
from engine.contract.cards import ModelCard
from engine.contract.errors import Rejected
from engine.contract.families import FAMILIES
from engine.contract.jobs import GuidanceBranches, Offload, SamplerSettings, Speed
from engine.contract.samplers import SamplerName
from engine.contract.values import Identifier, Value
from engine.storage.card_files import assistant_card_folders, card_paths, own_cards, with_base
from studio.document.formats.plain_yaml import YamlError, parse
from studio.document.storyboard import SpeedSettings
from studio.document.validation import problems_in, show
from studio.errors import PresetError

PRESETS_FOLDER = Path(__file__).resolve().parents[2] / "presets"
QUALITY_FOLDER = PRESETS_FOLDER / "quality"
MODELS_FOLDER = PRESETS_FOLDER / "models"
PROMPTING_FOLDER = PRESETS_FOLDER / "prompting"
"""How to write prompts, a list for each family, and one for models that know few words."""

T = TypeVar("T", bound=BaseModel)


class Preset(Value):
    """How much work a scene gets. ``model``: the value of the model card."""

    name: Identifier
    """The file's name."""
    title: Annotated[str, Field(strict=True, min_length=1)]
    summary: Annotated[str, Field(strict=True, min_length=1)]
    order: int
    """Its position in a list, the quickest first."""
    sampler: SamplerName | Literal["model"]
    num_steps: Annotated[int, Field(strict=True, ge=1, le=1000)] | Literal["model"]
    guidance_scale: Annotated[float, Field(strict=True, ge=0, le=100)] | Literal["model"]
    precision: Precision | Literal["model"]
    offload: Offload
    guidance: GuidanceBranches
    preview_every: Annotated[int, Field(strict=True, ge=1, le=5)]

    def sampler_for(
        self, card: ModelCard, name: SamplerName | None = None, num_steps: int | None = None
    ) -> SamplerSettings:
        """``name``, ``num_steps``: instead of the preset's. The card's sampler replaces one that it does not allow."""
        defaults = card.sampler
        requested = name or (defaults.name if self.sampler == "model" else self.sampler)
        return SamplerSettings(
            name=requested if requested in defaults.allowed else defaults.name,
            num_steps=num_steps or (card.num_steps if self.num_steps == "model" else self.num_steps),
            schedule=defaults.schedule,
            sigma_max=defaults.sigma_max,
            sigma_min=defaults.sigma_min,
            rho=defaults.rho,
        )

    def guidance_for(self, card: ModelCard) -> float:
        return card.guidance_scale if self.guidance_scale == "model" else self.guidance_scale

    def speed_for(self, card: ModelCard) -> Speed:
        return Speed(
            precision=card.precision if self.precision == "model" else self.precision,
            offload=self.offload,
            guidance=self.guidance,
            preview_every=self.preview_every,
        )


def with_speed(preset: Preset, speed: SpeedSettings) -> Preset:
    """The preset with what a storyboard says of its own."""
    return preset.model_copy(update=speed.model_dump(exclude_none=True))


def load_presets(folder: Path = QUALITY_FOLDER) -> dict[str, Preset]:
    """All presets by name, the quickest first. Raises PresetError for the first file that is wrong."""
    presets = [_read(path, Preset) for path in _files(folder)]
    return {preset.name: preset for preset in sorted(presets, key=lambda preset: (preset.order, preset.name))}


def load_cards(
    folder: Path = MODELS_FOLDER, models_root: Path | None = None, run_cards: Path | None = None
) -> dict[str, ModelCard]:
    """All model cards by name, with the owner's under ``models_root``. Raises PresetError for the first wrong file.

    ``run_cards``: cards that commands made; one that cannot be read any more is left out.
    """
    _files(folder)
    folders = (folder, own_cards(models_root)) if models_root else (folder,)
    cards = {path: _read(path, ModelCard, folders) for path in card_paths(*folders).values()}
    for path in card_paths(run_cards).values() if run_cards else ():
        with suppress(PresetError):
            cards[path] = _read(path, ModelCard, (*folders, path.parent))
    for path, card in cards.items():
        _check_card(path, card)
    return {card.name: card for card in cards.values()}


def load_assistants(folder: Path = MODELS_FOLDER, models_root: Path | None = None) -> dict[str, AssistantCard]:
    """All assistants' cards by name, those for some film models first. ``folder``: of the model cards that they lie
    beside. Raises PresetError for the first wrong file."""
    folders = assistant_card_folders(folder, models_root or folder)
    cards = [_read(path, AssistantCard, folders) for path in card_paths(*folders).values()]
    return {card.name: card for card in sorted(cards, key=lambda card: not card.film_models)}


@cache
def prompt_tips(family: str, few_words: bool = False) -> tuple[str, ...]:
    """How to write prompts for the models of a family; ``few_words``: for one that knows a small vocabulary."""
    path = PROMPTING_FOLDER / f"{'vocabulary' if few_words else family}.yaml"
    if not path.is_file():
        return ()
    return tuple(map(str, cast(list[object], parse(path.read_bytes()))))


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise PresetError(str(folder), "", "holds no .yaml file; put the presets back there")
    return files


def _read(path: Path, model: type[T], folders: tuple[Path, ...] = ()) -> T:
    """``folders``: where another file is looked for that this one may name as ``base``, to say only what differs."""
    try:
        document = _parsed(path.read_bytes())
    except YamlError as error:
        raise PresetError(str(path), "", str(error)) from error
    if not isinstance(document, dict):
        raise PresetError(str(path), "", f"must be a group of `key: value`, not {show(document)}")
    values = cast(dict[str, Any], document)
    if "name" in values and values["name"] != path.stem:
        raise PresetError(str(path), "name", f"must be the file's name, {path.stem}; leave it out")
    try:
        values = with_base(path, values, folders) if folders else values
        return model.model_validate({**values, "name": path.stem})
    except Rejected as error:
        raise PresetError(str(path), "base", str(error)) from error
    except ValidationError as error:
        problem = problems_in(error, _with_settings(model, str(values.get("family"))))[0]
        raise PresetError(str(path), problem.field, problem.message) from error


@lru_cache(maxsize=256)
def _parsed(content: bytes) -> object:
    """The value of a YAML text, to be read only: cards are asked for often, and seldom change."""
    return parse(content)


def _with_settings(model: type[T], family: str) -> type[BaseModel]:
    """``model`` with a family's group of settings as one more field, so that messages know the keys of both."""
    if model is not ModelCard or family not in FAMILIES:
        return model
    fields: dict[str, Any] = {family: (FAMILIES[family].settings_type, None)}
    return create_model("ModelCard", __base__=model, **fields)


def _check_card(path: Path, card: ModelCard) -> None:
    """What a card's fields must be to each other."""
    if card.default_aspect not in card.sizes_px:
        known = ", ".join(card.sizes_px)
        raise PresetError(str(path), "default_aspect", f"{card.default_aspect} is not in sizes_px ({known})")
    factor = card.autoencoder.temporal_factor
    lengths = {
        "chunk_num_frames": (card.chunk_num_frames,),
        "conditioning_num_frames": card.conditioning_num_frames,
        "continue_num_frames": (card.continue_num_frames,),
    }
    for key, numbers in lengths.items():
        if wrong := [number for number in numbers if (number - 1) % factor]:
            raise PresetError(str(path), key, f"{wrong[0]} is not 1 + a multiple of {factor} frames")
    if "continue" in card.capabilities and card.continue_num_frames >= card.chunk_num_frames:
        raise PresetError(str(path), "continue_num_frames", "must be fewer than chunk_num_frames")
    channels = {len(row) for row in card.preview.weight} if card.preview else set[int]()
    if channels - {card.autoencoder.latent_channels}:
        wanted = card.autoencoder.latent_channels
        raise PresetError(str(path), "preview.weight", f"must be 3 rows of {wanted} numbers, one per channel")
