"""TTT-Video's prompt files: the texts of every segment with scene tokens, and their negatives, exactly.

Comes in: a case with files and what the authors' code makes of each. Does not know tokenizers.
"""

from typing import Any

import pytest

from engine.contract.scene_tokens import END_SCENE, START_SCENE, SegmentText, with_scene_tokens
from studio.document.formats.reading import ttt_form
from studio.document.formats.ttt_prompts import Video, read_videos, storyboards_of
from studio.errors import StoryboardError
from tests.goldens.runner import Case, Description, kind


def recognises(description: Description) -> bool:
    return any("file_content" in case for case in description.get("cases", []) if isinstance(case, dict))


@kind("ttt_text", recognises=recognises)
def check(case: Case) -> None:
    tokens = case.description["tokens"]
    assert (tokens["end"], tokens["start"]) == (END_SCENE, START_SCENE)
    for each in case.description["cases"]:
        if "error" in each:
            with pytest.raises(StoryboardError):
                storyboards_of(videos_of(each))
        else:
            check_texts(each)
    print(f"{len(case.description['cases'])} files, exact")


def check_texts(case: dict[str, Any]) -> None:
    """A text that the file has as null stays null: there is nothing to put a token to."""
    videos, where = videos_of(case), case["name"]
    assembled = [with_scene_tokens([SegmentText(s.text or "", s.scene_transition) for s in video]) for video in videos]
    texts = [
        [None if segment.text is None else text for segment, (text, _) in zip(video, given, strict=True)]
        for video, given in zip(videos, assembled, strict=True)
    ]
    assert texts == case["segment_texts"], where
    assert [[segment.negative for segment in video] for video in videos] == case["negatives_as_parsed"], where
    encoded = [
        [n for _, n in with_scene_tokens([SegmentText("", s.scene_transition, s.negative or "") for s in video])]
        for video in videos
    ]
    assert encoded == case["negatives_as_encoded"], where


def videos_of(case: dict[str, Any]) -> tuple[Video, ...]:
    return read_videos(case["file_content"], ttt_form(case["file_name"]))
