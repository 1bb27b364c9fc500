"""Changes to a storyboard: pure functions (Storyboard, ...) -> Storyboard, and ``Edit`` values that name them.

Comes in: a storyboard and what to change. Goes out: the changed storyboard, checked, or a ``StoryboardError`` that
names the field. Does not know who asked, where it is saved or how many revisions there were. Nothing here is random:
the caller passes the id of a new scene, or it is the next free ``scene-N``.
"""

from collections.abc import Collection
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, Field, JsonValue, TypeAdapter, ValidationError

from engine.contract.values import Identifier, Value
from studio.document.refinement import accepted, edited_source
from studio.document.storyboard import Conditioning, FirstFrame, Scene, Storyboard, free_id
from studio.document.validation import problems_in, show, suggestion
from studio.errors import StoryboardError

_FIXED_SCENE_FIELDS = {"id": "add a scene instead", "chosen_take": "choose a take instead"}
_FIXED_STORYBOARD_FIELDS = {"scenes": "change a scene instead"}
_GROUPS = ("conditioning", "first_frame", "overrides", "refinement", "speed")
"""Fields of a scene or storyboard that have fields of their own."""


def add_scene(
    storyboard: Storyboard, position: int | None = None, scene_id: str | None = None, **fields: object
) -> Storyboard:
    """A new scene at a position (None: at the end) with these fields."""
    at = len(storyboard.scenes) if position is None else _clamped(position, len(storyboard.scenes))
    scene = _checked_scene({"id": scene_id or _free_id(storyboard), **fields}, f"scenes[{at}]")
    return _with_scenes(storyboard, (*storyboard.scenes[:at], scene, *storyboard.scenes[at:]))


def duplicate_scene(storyboard: Storyboard, scene_id: str, new_id: str | None = None) -> Storyboard:
    """A copy right after the scene: same prompts and settings, no chosen take. It joins by a cut."""
    position = storyboard.position_of(scene_id)
    scene = storyboard.scenes[position]
    copy = _changed(scene, position, id=new_id or _free_id(storyboard), chosen_take=None, transition="cut")
    return _with_scenes(storyboard, (*storyboard.scenes[: position + 1], copy, *storyboard.scenes[position + 1 :]))


def delete_scene(storyboard: Storyboard, scene_id: str) -> Storyboard:
    position = storyboard.position_of(scene_id)
    return _with_scenes(storyboard, (*storyboard.scenes[:position], *storyboard.scenes[position + 1 :]))


def move_scene(storyboard: Storyboard, scene_id: str, position: int) -> Storyboard:
    """The scene at a position counted without it: 0 is first, anything past the end is last."""
    scene = storyboard.scene(scene_id)
    others = tuple(other for other in storyboard.scenes if other.id != scene_id)
    at = _clamped(position, len(others))
    return _with_scenes(storyboard, (*others[:at], scene, *others[at:]))


def split_scene(storyboard: Storyboard, scene_id: str, at_s: float, new_id: str | None = None) -> Storyboard:
    """Two scenes of one: the second begins after ``at_s`` seconds and continues the first."""
    position = storyboard.position_of(scene_id)
    scene = storyboard.scenes[position]
    if not 0 < at_s < scene.duration_s:
        message = f"a split must lie inside the scene, between 0 and {scene.duration_s:g} s, not at {at_s:g} s"
        raise StoryboardError.at(f"scenes[{position}].duration_s", message)
    first = _changed(scene, position, duration_s=round(at_s, 6))
    rest = _changed(
        scene,
        position + 1,
        id=new_id or _free_id(storyboard),
        duration_s=round(scene.duration_s - at_s, 6),
        transition="continue",
        conditioning=None,
        first_frame=FirstFrame(),
        continue_num_frames=None,
        seed=None,
        notes="",
        chosen_take=None,
    )
    return _with_scenes(storyboard, (*storyboard.scenes[:position], first, rest, *storyboard.scenes[position + 1 :]))


def merge_scenes(storyboard: Storyboard, scene_id: str) -> Storyboard:
    """This scene and the next as one: texts joined, durations added, everything else of the first."""
    position = storyboard.position_of(scene_id)
    if position + 1 == len(storyboard.scenes):
        raise StoryboardError.at(f"scenes[{position}]", "is the last scene; there is no next one to merge it with")
    first, second = storyboard.scenes[position : position + 2]
    merged = _changed(
        first,
        position,
        prompt=_joined_text(first.prompt, second.prompt, " "),
        chunk_prompts=_merged_chunk_prompts(first.chunk_prompts, second.chunk_prompts),
        refinement=None,
        negative_prompt=_merged_negative(first.negative_prompt, second.negative_prompt),
        notes=_joined_text(first.notes, second.notes, "\n"),
        duration_s=round(first.duration_s + second.duration_s, 6),
    )
    return _with_scenes(storyboard, (*storyboard.scenes[:position], merged, *storyboard.scenes[position + 2 :]))


def change_scene(storyboard: Storyboard, scene_id: str, field: str, value: object) -> Storyboard:
    """One field of one scene; ``conditioning.media``, ``first_frame.seed``, ``overrides.num_steps`` reach deeper.

    ``conditioning.media`` set to nothing takes the conditioning away.
    """
    position = storyboard.position_of(scene_id)
    path = f"scenes[{position}]"
    values = storyboard.scenes[position].model_dump()
    _set_field(values, field, value, Scene, _FIXED_SCENE_FIELDS, path)
    if field in ("refinement.text", "refinement.chunk_texts"):
        values["refinement"]["source"] = edited_source(values["refinement"]["source"])
    changed = _checked_scene(values, path)
    return _with_scenes(storyboard, (*storyboard.scenes[:position], changed, *storyboard.scenes[position + 1 :]))


def accept_refinement(storyboard: Storyboard, scene_id: str, accept: bool = True, style: str = "") -> Storyboard:
    """What the refiner wrote counts as it is, or no longer. Raises StoryboardError where there is nothing."""
    scene = storyboard.scene(scene_id)
    if scene.refinement is None:
        where = f"scenes[{storyboard.position_of(scene_id)}].refinement"
        raise StoryboardError.at(where, "the scene has no refined prompt any more; ask the refiner again")
    refused = scene.refinement.model_copy(update={"accepted": False})
    changed = accepted(scene.refinement, scene, style) if accept else refused
    return change_scene(storyboard, scene_id, "refinement", changed)


def change_storyboard(storyboard: Storyboard, field: str, value: object) -> Storyboard:
    """One field of the storyboard itself: title, aspect, size_px, fps, look, model, seed ..."""
    values: dict[str, Any] = dict(storyboard)
    _set_field(values, field, value, Storyboard, _FIXED_STORYBOARD_FIELDS, "")
    return _checked_storyboard(values)


def choose_take(storyboard: Storyboard, scene_id: str, take_id: str | None, seed: int | None) -> Storyboard:
    """The take that the film shows. The scene gets the take's seed too: what is chosen is what would be rendered."""
    position = storyboard.position_of(scene_id)
    chosen = _changed(storyboard.scenes[position], position, chosen_take=take_id, seed=seed)
    return _with_scenes(storyboard, (*storyboard.scenes[:position], chosen, *storyboard.scenes[position + 1 :]))


def clear_take(storyboard: Storyboard, scene_id: str) -> Storyboard:
    """No take chosen: the film shows the newest. The seed stays."""
    return choose_take(storyboard, scene_id, None, storyboard.scene(scene_id).seed)


def _set_field(
    values: dict[str, Any],
    field: str,
    value: object,
    model: type[BaseModel],
    fixed: dict[str, str],
    path: str,
) -> None:
    """Writes one field into a dump of the model. Raises StoryboardError for a field that is not there to be changed."""
    head, _, inner = field.partition(".")
    where = f"{path}.{field}" if path else field
    if head in fixed:
        raise StoryboardError.at(where, f"cannot be changed like a field; {fixed[head]}")
    if head not in model.model_fields:
        changeable = set(model.model_fields) - set(fixed)
        raise StoryboardError.at(where, "unknown key" + suggestion(head, changeable))
    if not inner:
        values[head] = value
    elif field == "conditioning.media" and not value:
        values["conditioning"] = None
    elif head == "refinement" and values["refinement"] is None:
        raise StoryboardError.at(where, "the scene has no refined prompt any more; ask the refiner again")
    else:
        group = _group_of(values[head]) if head in _GROUPS else None
        if group is None:
            raise StoryboardError.at(where, f"{head} is one value; it has no {show(inner)} in it")
        values[head] = {**group, inner: value}


def _group_of(value: object) -> dict[str, Any]:
    return value.model_dump() if isinstance(value, BaseModel) else cast(dict[str, Any], value or {})


def _changed(scene: Scene, position: int, **changes: object) -> Scene:
    return _checked_scene({**scene.model_dump(), **changes}, f"scenes[{position}]")


def _checked_scene(values: dict[str, Any], path: str) -> Scene:
    try:
        return Scene.model_validate(values)
    except ValidationError as error:
        raise StoryboardError(problems_in(error, Scene, path)) from error


def _checked_storyboard(values: dict[str, Any]) -> Storyboard:
    try:
        return Storyboard.model_validate(values)
    except ValidationError as error:
        raise StoryboardError(problems_in(error, Storyboard)) from error


def _with_scenes(storyboard: Storyboard, scenes: tuple[Scene, ...]) -> Storyboard:
    return _checked_storyboard({**dict(storyboard), "scenes": scenes})


def _free_id(storyboard: Storyboard) -> str:
    return free_id({scene.id for scene in storyboard.scenes})


def _clamped(position: int, length: int) -> int:
    return max(0, min(position, length))


def _merged_chunk_prompts(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return first if first == second else (*first, *second)


def _merged_negative(first: str | None, second: str | None) -> str | None:
    """The model's own only where neither scene has one."""
    return None if first is None and second is None else _joined_text(first or "", second or "", ", ")


def _joined_text(first: str, second: str, between: str) -> str:
    if first == second or not second:
        return first
    return f"{first}{between}{second}" if first else second


class AddScene(Value):
    """``after``: the id of the scene that it follows; ``position`` counts where that is None or gone."""

    kind: Literal["add_scene"] = "add_scene"
    position: int | None = None
    after: Identifier | None = None
    scene_id: Identifier | None = None
    prompt: str = ""
    duration_s: float = 3.0
    transition: Literal["cut", "continue", "crossfade"] = "cut"
    conditioning: Conditioning | None = None


class DuplicateScene(Value):
    kind: Literal["duplicate_scene"] = "duplicate_scene"
    scene_id: Identifier
    new_id: Identifier | None = None


class DeleteScene(Value):
    kind: Literal["delete_scene"] = "delete_scene"
    scene_id: Identifier


class MoveScene(Value):
    kind: Literal["move_scene"] = "move_scene"
    scene_id: Identifier
    position: int


class SplitScene(Value):
    kind: Literal["split_scene"] = "split_scene"
    scene_id: Identifier
    at_s: float
    new_id: Identifier | None = None


class MergeScenes(Value):
    """The scene with the one after it."""

    kind: Literal["merge_scenes"] = "merge_scenes"
    scene_id: Identifier


class ChangeScene(Value):
    kind: Literal["change_scene"] = "change_scene"
    scene_id: Identifier
    field: str
    value: JsonValue


class AcceptRefinement(Value):
    """The scene's refinement counts from now on, as it is; ``accepted`` False: the author's own words do again.

    ``style``: of the model that it is for now; "": the one it was made for.
    """

    kind: Literal["accept_refinement"] = "accept_refinement"
    scene_id: Identifier
    accepted: bool = True
    style: str = ""


class ChangeStoryboard(Value):
    kind: Literal["change_storyboard"] = "change_storyboard"
    field: str
    value: JsonValue


class ChooseTake(Value):
    """``seed``: the take's. ``take_id`` None: no take is chosen and the newest is shown; the seed stays."""

    kind: Literal["choose_take"] = "choose_take"
    scene_id: Identifier
    take_id: Identifier | None
    seed: int | None = None


Edit = Annotated[
    AddScene
    | DuplicateScene
    | DeleteScene
    | MoveScene
    | SplitScene
    | MergeScenes
    | ChangeScene
    | AcceptRefinement
    | ChangeStoryboard
    | ChooseTake,
    Field(discriminator="kind"),
]

EDIT: TypeAdapter[Edit] = TypeAdapter(Edit)
"""Reads and writes any edit as JSON: ``EDIT.validate_json(text)``, ``EDIT.dump_json(edit)``."""


def apply(storyboard: Storyboard, edit: Edit, reserved_ids: Collection[str] = ()) -> Storyboard:
    """The storyboard after an edit. Raises StoryboardError, and then nothing has changed.

    ``reserved_ids``: ids that a new scene must not get, since deleted scenes have left takes under them.
    """
    unused = free_id({*(scene.id for scene in storyboard.scenes), *reserved_ids})
    match edit:
        case AddScene():
            fields = {name: getattr(edit, name) for name in ("prompt", "duration_s", "transition", "conditioning")}
            return add_scene(storyboard, _position_of(storyboard, edit), edit.scene_id or unused, **fields)
        case DuplicateScene():
            return duplicate_scene(storyboard, edit.scene_id, edit.new_id or unused)
        case DeleteScene():
            return delete_scene(storyboard, edit.scene_id)
        case MoveScene():
            return move_scene(storyboard, edit.scene_id, edit.position)
        case SplitScene():
            return split_scene(storyboard, edit.scene_id, edit.at_s, edit.new_id or unused)
        case MergeScenes():
            return merge_scenes(storyboard, edit.scene_id)
        case ChangeScene():
            return change_scene(storyboard, edit.scene_id, edit.field, edit.value)
        case AcceptRefinement():
            return accept_refinement(storyboard, edit.scene_id, edit.accepted, edit.style)
        case ChangeStoryboard():
            return change_storyboard(storyboard, edit.field, edit.value)
        case ChooseTake():
            seed = storyboard.scene(edit.scene_id).seed if edit.seed is None else edit.seed
            return choose_take(storyboard, edit.scene_id, edit.take_id, seed)


def _position_of(storyboard: Storyboard, edit: AddScene) -> int | None:
    ids = [scene.id for scene in storyboard.scenes]
    return ids.index(edit.after) + 1 if edit.after in ids else edit.position
