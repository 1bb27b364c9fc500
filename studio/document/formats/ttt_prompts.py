"""TTT-Video's prompt files: several videos, each a list of 3 s segments. In and out, without loss.

Comes in: the text of a ``.json`` file (a list of videos, or one video as the authors' guide shows it) or a ``.jsonl``
file (a video a line), or storyboards. Goes out: a ``Storyboard`` for each video, a scene for each segment; or the text
of such a file. Does not know models or rendering, nor where scene tokens are in a text: they are no part of these.

A segment is ``{text, requires_scene_transition, neg_text}``. The flag is the transition: ``cut`` where it is true, else
``continue``; the first segment's means nothing, as in the authors' code. ``neg_text`` null is the empty text, as there.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from engine.contract.frames import num_segments_for
from studio.document.formats.plain_yaml import YamlError, parse_json
from studio.document.prompts import chunk_prompts, join_look
from studio.document.refinement import storyboard_to_render
from studio.document.storyboard import MAX_SCENES, Scene, Storyboard, read_document
from studio.document.validation import show, suggestion
from studio.errors import Problem, StoryboardError

Form = Literal["json", "jsonl"]
FIELDS = ("text", "requires_scene_transition", "neg_text")
SEGMENT_S = 3.0
MODEL = "ttt-video-mlp-5b"
MAX_VIDEOS = 200


@dataclass(frozen=True, slots=True)
class PromptSegment:
    """As the authors' code reads it. ``text`` None: the file says null, which only they let through."""

    text: str | None
    scene_transition: bool
    negative: str | None


Video = tuple[PromptSegment, ...]


def read_videos(text: str, form: Form) -> tuple[Video, ...]:
    """Every video of a file. Raises StoryboardError naming video and segment, or the line."""
    if form == "json":
        try:
            values = parse_json(text)
        except YamlError as error:
            raise StoryboardError.at("", str(error)) from error
        if not isinstance(values, list):
            raise StoryboardError.at("", f"must be a list of videos, each a list of segments, not {show(values)}")
        if values and all(isinstance(value, dict) for value in cast(list[object], values)):
            return (_video(cast(object, values), "video 1"),)
        return tuple(_video(value, f"video {number}") for number, value in enumerate(cast(list[object], values), 1))
    lines = text.removesuffix("\n").split("\n")
    return tuple(_video(_line(line, number), f"line {number}") for number, line in enumerate(lines, start=1))


def _line(line: str, number: int) -> object:
    if not line.strip():
        raise StoryboardError.at(f"line {number}", "is blank; each line is one video, so take it out")
    try:
        return parse_json(line, number)
    except YamlError as error:
        raise StoryboardError.at("", str(error)) from error


def _video(value: object, where: str) -> Video:
    if not isinstance(value, list):
        raise StoryboardError.at(where, f"must be a list of segments, not {show(value)}; put [ ] around them")
    values = cast(list[object], value)
    return tuple(_segment(each, number, where) for number, each in enumerate(values, start=1))


def _segment(value: object, number: int, video: str) -> PromptSegment:
    where = f"{video}, segment {number}"
    if not isinstance(value, dict):
        raise StoryboardError.at(where, f'must be a group such as {{"text": "..."}}, not {show(value)}')
    fields = cast(dict[str, object], value)
    for name in fields:
        if name not in FIELDS:
            raise StoryboardError.at(where, f"{name}: unknown key{suggestion(name, FIELDS)}")
    if "text" not in fields:
        raise StoryboardError.at(where, "text: there is none; write what is to be seen")
    for name in ("text", "neg_text"):
        if not isinstance(fields.get(name), str | None):
            raise StoryboardError.at(where, f"{name}: must be text in quotes, not {show(fields[name])}")
    # The authors' code takes whatever Python holds for true; the first segment's flag is never heeded.
    begins = number > 1 and bool(fields.get("requires_scene_transition"))
    return PromptSegment(cast(str | None, fields["text"]), begins, cast(str | None, fields.get("neg_text")))


def storyboards_of(videos: Sequence[Video], form: Form = "json") -> tuple[Storyboard, ...]:
    """A storyboard for each video. Raises StoryboardError with everything that no storyboard can hold."""
    unit = "video" if form == "json" else "line"
    if not videos:
        raise StoryboardError.at("", "holds no videos; write at least one list of segments")
    if len(videos) > MAX_VIDEOS:
        raise StoryboardError.at("", f"holds {len(videos)} videos; at most {MAX_VIDEOS} in one file, so split it")
    storyboards: list[Storyboard] = []
    problems: list[Problem] = []
    for number, video in enumerate(videos, start=1):
        title = f"Video {number} of {len(videos)}"
        try:
            storyboards.append(_storyboard(video, title, f"{unit} {number}"))
        except StoryboardError as error:
            problems += error.problems
    if problems:
        raise StoryboardError(problems)
    return tuple(storyboards)


def _storyboard(video: Video, title: str, where: str) -> Storyboard:
    if not video:
        raise StoryboardError.at(where, "has no segments; write at least one, or take it out")
    if len(video) > MAX_SCENES:
        raise StoryboardError.at(where, f"has {len(video)} segments; at most {MAX_SCENES}")
    scenes: list[Scene] = []
    problems: list[Problem] = []
    for number, segment in enumerate(video, start=1):
        try:
            scenes.append(_scene(segment, number))
        except StoryboardError as error:
            problems += [Problem(f"{where}, segment {number}", _message_of(problem)) for problem in error.problems]
    if problems:
        raise StoryboardError(problems)
    return Storyboard(title=title, model=MODEL, scenes=tuple(scenes))


def _scene(segment: PromptSegment, number: int) -> Scene:
    if segment.text is None:
        raise StoryboardError.at("text", "is null; write what is to be seen")
    document: dict[str, Any] = {"id": f"scene-{number}", "prompt": segment.text, "duration_s": SEGMENT_S}
    document["negative_prompt"] = segment.negative or ""
    document["transition"] = "cut" if number == 1 or segment.scene_transition else "continue"
    return read_document({"scenes": [document]}).scenes[0]


def _message_of(problem: Problem) -> str:
    names = {"prompt": "text", "negative_prompt": "neg_text"}
    field = problem.field.rpartition(".")[2]
    return f"{names.get(field, field)}: {problem.message}"


def to_text(storyboards: Sequence[Storyboard], form: Form = "json") -> str:
    """The storyboards as a prompt file: what is read from it again is the same words.

    A scene of several segments gives one for each 3 s, as it is rendered; the look is appended to each text, and
    accepted words of a refiner stand for the author's. Raises StoryboardError for a storyboard without scenes.
    """
    videos = [_values(storyboard_to_render(storyboard, "segments")) for storyboard in storyboards]
    if form == "json":
        return json.dumps(videos, ensure_ascii=False, indent=2) + "\n"
    return "".join(json.dumps(video, ensure_ascii=False) + "\n" for video in videos)


def _values(storyboard: Storyboard) -> list[dict[str, Any]]:
    if not storyboard.scenes:
        raise StoryboardError.at("scenes", f"{show(storyboard.title)} has none; add one before it is written")
    return [value for place, scene in enumerate(storyboard.scenes) for value in _segments(storyboard, scene, place)]


def _segments(storyboard: Storyboard, scene: Scene, place: int) -> list[dict[str, Any]]:
    negative = _with_look(scene.negative_prompt or "", storyboard.negative_look)
    values: list[dict[str, Any]] = []
    for number, text in enumerate(chunk_prompts(scene, num_segments_for(scene.duration_s, SEGMENT_S))):
        begins = place > 0 and number == 0 and scene.transition != "continue"
        words = (_with_look(text, storyboard.look), begins, negative or None)
        values.append(dict(zip(FIELDS, words, strict=True)))
    return values


def _with_look(text: str, look: str) -> str:
    """The text untouched where there is no look: spaces count, too."""
    return join_look(text, look) if look.strip() else text
