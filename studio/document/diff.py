"""What an edit changed, as a value: which fields, which scenes, which order. It can be applied, reversed and compared.

Comes in: two versions of a storyboard. Goes out: ``StoryboardDiff``, what the journal holds: undo applies them
reversed, and two tabs' edits are distinguished by what they touch. Pure; does not know the database, edits by name, or
who made them.
"""

from collections.abc import Sequence
from typing import Any

from engine.contract.values import Value
from studio.document.storyboard import Storyboard, document_of, read_document

Pair = tuple[Any, Any]
"""A field's value before and after, as JSON."""

Touched = tuple[str, str]
"""(scene id or "" for the storyboard itself, field); the field is "*" for a scene that is added or removed."""


class StoryboardDiff(Value):
    """``order``: all scene ids before and after, where they differ."""

    fields: dict[str, Pair] = {}
    scenes: dict[str, dict[str, Pair]] = {}
    removed: dict[str, dict[str, Any]] = {}
    added: dict[str, dict[str, Any]] = {}
    order: tuple[tuple[str, ...], tuple[str, ...]] | None = None

    def __bool__(self) -> bool:
        return bool(self.fields or self.scenes or self.removed or self.added or self.order)


def diff_between(before: Storyboard, after: Storyboard) -> StoryboardDiff:
    old, new = _document(before), _document(after)
    old_scenes, new_scenes = _by_id(old.pop("scenes")), _by_id(new.pop("scenes"))
    shared = {
        scene_id: _pairs(old_scenes[scene_id], new_scenes[scene_id])
        for scene_id in old_scenes
        if scene_id in new_scenes
    }
    orders = (tuple(old_scenes), tuple(new_scenes))
    return StoryboardDiff(
        fields=_pairs(old, new),
        scenes={scene_id: pairs for scene_id, pairs in shared.items() if pairs},
        removed={scene_id: scene for scene_id, scene in old_scenes.items() if scene_id not in new_scenes},
        added={scene_id: scene for scene_id, scene in new_scenes.items() if scene_id not in old_scenes},
        order=orders if orders[0] != orders[1] else None,
    )


def apply_diff(storyboard: Storyboard, diff: StoryboardDiff) -> Storyboard:
    """The storyboard after a diff: changes of deleted scenes are left out, scenes that its order does not name stay."""
    document = _document(storyboard)
    scenes = _by_id(document["scenes"])
    document.update({name: pair[1] for name, pair in diff.fields.items()})
    for scene_id, pairs in diff.scenes.items():
        if scene_id in scenes:
            scenes[scene_id].update({name: pair[1] for name, pair in pairs.items()})
    for scene_id in diff.removed:
        scenes.pop(scene_id, None)
    scenes.update({scene_id: scene for scene_id, scene in diff.added.items() if scene_id not in scenes})
    order = _ordered(list(scenes), diff.order[1]) if diff.order else list(scenes)
    document["scenes"] = [scenes[scene_id] for scene_id in order]
    return read_document(document)


def reversed_diff(diff: StoryboardDiff) -> StoryboardDiff:
    return StoryboardDiff(
        fields=_swapped(diff.fields),
        scenes={scene_id: _swapped(pairs) for scene_id, pairs in diff.scenes.items()},
        removed=diff.added,
        added=diff.removed,
        order=(diff.order[1], diff.order[0]) if diff.order else None,
    )


def touched(diff: StoryboardDiff) -> set[Touched]:
    """What another diff could overwrite. Order is not part of it: a move loses no text."""
    fields = {("", name) for name in diff.fields}
    scenes = {(scene_id, name) for scene_id, pairs in diff.scenes.items() for name in pairs}
    return fields | scenes | {(scene_id, "*") for scene_id in (*diff.removed, *diff.added)}


def collisions(ours: set[Touched], theirs: set[Touched]) -> set[Touched]:
    """What both touched; a scene that one side removed collides with any change of it on the other."""
    whole_scenes = {scene_id for scene_id, name in ours | theirs if name == "*"}
    scenes_of_both = {scene_id for scene_id, _ in ours} & {scene_id for scene_id, _ in theirs}
    return (ours & theirs) | {item for item in ours if item[0] in whole_scenes & scenes_of_both}


def _document(storyboard: Storyboard) -> dict[str, Any]:
    return document_of(storyboard)


def _by_id(scenes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {scene["id"]: scene for scene in scenes}


def _pairs(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Pair]:
    return {name: (old.get(name), new.get(name)) for name in new if old.get(name) != new.get(name)}


def _swapped(pairs: dict[str, Pair]) -> dict[str, Pair]:
    return {name: (after, before) for name, (before, after) in pairs.items()}


def _ordered(present: list[str], wanted: Sequence[str]) -> list[str]:
    """The present ids in the wanted order; one that is not in it stays behind the one it stood behind."""
    ordered = [scene_id for scene_id in wanted if scene_id in present]
    for position, scene_id in enumerate(present):
        if scene_id not in ordered:
            before = present[position - 1] if position else None
            ordered.insert(ordered.index(before) + 1 if before else 0, scene_id)
    return ordered
