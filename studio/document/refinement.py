"""Which words of a scene are rendered: the author's, or those that a refiner wrote and the author accepted.

Comes in: scenes, the style of prompts that their model reads. Goes out: whether a scene's refinement counts, and scenes
with the words that count. Pure. Does not know refiners, models or who asks.

A refinement remembers what it was made from. Where that has changed since, it is outdated: the author's words count
again until it is made anew or accepted as it is, so that no edit of a prompt is ever without effect.
"""

from collections.abc import Mapping
from typing import Literal

from studio.document.storyboard import RefinedFrom, Refinement, Scene, Storyboard

RefinementState = Literal["", "proposed", "accepted", "outdated"]
""""": there is none."""

EDITED = ", edited"
MAX_SOURCE = 300


def origin_of(scene: Scene, style: str) -> RefinedFrom:
    """What a refinement made now would be made from."""
    media = scene.conditioning.media if scene.conditioning else ""
    return RefinedFrom(prompt=scene.prompt, chunk_prompts=scene.chunk_prompts, media=media, style=style)


def asked_with(scene: Scene, style: str) -> str:
    """What a refinement made now would be made from, as one text to compare."""
    return origin_of(scene, style).model_dump_json()


def refinement_state(scene: Scene, style: str) -> RefinementState:
    if scene.refinement is None:
        return ""
    if scene.refinement.of != origin_of(scene, style):
        return "outdated"
    return "accepted" if scene.refinement.accepted else "proposed"


def with_counting_words(scene: Scene, style: str) -> Scene:
    """The scene with its accepted words as its prompts; without a ``refinement`` where that does not count."""
    if scene.refinement is None:
        return scene
    if refinement_state(scene, style) != "accepted":
        return scene.model_copy(update={"refinement": None})
    words = {"prompt": scene.refinement.text, "chunk_prompts": scene.refinement.chunk_texts}
    return scene.model_copy(update=words)


def storyboard_to_render(storyboard: Storyboard, style: str) -> Storyboard:
    scenes = tuple(with_counting_words(scene, style) for scene in storyboard.scenes)
    return storyboard if scenes == storyboard.scenes else storyboard.model_copy(update={"scenes": scenes})


def with_refinements(storyboard: Storyboard, refinements: Mapping[str, Refinement | None]) -> Storyboard:
    """``refinements``: by scene; other scenes stay as they are."""
    scenes = [
        scene.model_copy(update={"refinement": refinements[scene.id]}) if scene.id in refinements else scene
        for scene in storyboard.scenes
    ]
    return storyboard.model_copy(update={"scenes": tuple(scenes)})


def accepted(refinement: Refinement, scene: Scene, style: str = "") -> Refinement:
    """As what counts from now on, also where it was made from other words. ``style`` "": the one it was made for."""
    return refinement.model_copy(update={"accepted": True, "of": origin_of(scene, style or refinement.of.style)})


def edited_source(source: str) -> str:
    """Who wrote a refinement that the author has changed."""
    return source if source.endswith(EDITED) else f"{source[: MAX_SOURCE - len(EDITED)]}{EDITED}"


def outdated_refinements(storyboard: Storyboard, style: str) -> list[Scene]:
    """Scenes whose accepted refinement does not count, since it was made from something else."""
    scenes = [scene for scene in storyboard.scenes if scene.refinement is not None and scene.refinement.accepted]
    return [scene for scene in scenes if refinement_state(scene, style) == "outdated"]
