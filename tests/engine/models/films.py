"""Films made by real ranks, and what they are compared by.

Comes in: a group of ranks, a job. Goes out: the lossless frames at a take's end. Does not know which model makes them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from safetensors.numpy import load_file

from engine.contract.events import Finished
from engine.contract.jobs import Job
from engine.storage.media import Frames, probe
from tests.engine.runtime.group import Group

H = TypeVar("H")


def ranks_with(rig: Callable[[Path], H]) -> Callable[..., Iterator[tuple[H, Group]]]:
    """A fixture of one module: what ``rig`` makes in a folder, and real ranks on it, one and then two."""

    @pytest.fixture(scope="module", params=[1, 2], ids=lambda ranks: f"{ranks} ranks")
    def ranks(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[H, Group]]:
        root = tmp_path_factory.mktemp("ranks")
        made = rig(root)
        with Group(root, request.param) as group:
            yield made, group

    return ranks


def frames_of(group: Group, job: Job) -> Frames:
    """The last frames of the one take that a job makes, whose film has the length that the job says."""
    end = group.run(job)[-1]
    assert isinstance(end, Finished), end
    folder = group.workspace / "takes" / job.recipe
    assert probe(folder / "take.mp4").num_frames == job.num_frames
    return load_file(folder / "tail.safetensors")["frames"]


class KnownFilms(dict[str, Frames]):
    """What the first rendering of a name gave, to which every other number of ranks and form is compared.

    Only for films whose way from noise to levels has one rounding, the last: there, sums in another order move a level
    by one at most. A film that starts from frames made and rounded on the way (a second chunk, a made first frame)
    amplifies that one level. Such a film is compared bit for bit, on one group, with a film that starts from the
    same frames as a file; films that start from a given file are compared here.
    """

    def assert_same(self, ours: Frames, name: str) -> None:
        known = self.setdefault(name, ours)
        difference = np.abs(ours.astype(int) - known.astype(int))
        print(f"{name}: max {difference.max()} of 255, mean {difference.mean():.4f}")
        assert difference.max() <= 1, "ranks add up in another order, by a level at most"
