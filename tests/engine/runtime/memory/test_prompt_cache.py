"""Embeddings kept on the disk: a prompt is encoded once, what is damaged is encoded again, a full disk costs nothing.

Letters: B batch, L text length, D width.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.runtime.memory.prompt_cache import PromptEmbeddingCache
from engine.runtime.memory.residency import KeepResident, MoveByComponent

CPU = torch.device("cpu")
KEEPS, MOVES = KeepResident(CPU), MoveByComponent(CPU)


class Encoder(nn.Module):
    """(B, L, 2): the length of each prompt; it remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def forward(self, prompts: list[str], max_tokens: int) -> Tensor:
        self.asked += prompts
        return torch.tensor([float(len(prompt)) for prompt in prompts])[:, None, None].expand(-1, max_tokens, 2)


def texts(folder: Path, encoder: Encoder, name: str = "t5") -> PromptEmbeddingCache:
    return PromptEmbeddingCache(folder, name, lambda: encoder)


def test_a_prompt_is_encoded_once_ever(tmp_path: Path) -> None:
    first, second = Encoder(), Encoder()
    whole = texts(tmp_path, first).encode(["a", "bcd", "a"], 4, MOVES)
    again = texts(tmp_path, second).encode(["bcd", "a"], 4, MOVES)
    assert (first.asked, second.asked) == (["a", "bcd"], [])
    assert whole[:, 0, 0].tolist() == [1, 3, 1] and torch.equal(again, whole[[1, 0]])


@pytest.mark.parametrize(("name", "length"), [("another", 4), ("t5", 5)])
def test_another_encoder_or_length_is_another_text(name: str, length: int, tmp_path: Path) -> None:
    encoder = Encoder()
    for each, tokens in (("t5", 4), (name, length)):
        assert texts(tmp_path, encoder, each).encode(["a"], tokens, KEEPS).shape == (1, tokens, 2)
    assert encoder.asked == ["a", "a"]


@pytest.mark.parametrize("damage", [lambda content: content[:-5], lambda content: b"", lambda content: b"{}" + content])
def test_a_damaged_file_is_written_again(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    encoder = Encoder()
    whole = texts(tmp_path, encoder).encode(["a"], 4, MOVES)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    for _ in range(2):
        assert torch.equal(texts(tmp_path, encoder).encode(["a"], 4, MOVES), whole)
    assert encoder.asked == ["a", "a"], "once for the damage, not again"


def test_what_cannot_be_kept_is_given_all_the_same(tmp_path: Path) -> None:
    encoder = Encoder()
    absent = texts(tmp_path / "no such folder", encoder)
    for _ in range(2):
        assert absent.encode(["a", "bc"], 4, KEEPS)[:, 0, 0].tolist() == [1, 2]
    assert encoder.asked == ["a", "bc", "a", "bc"]


def test_nothing_is_left_of_a_file_that_could_not_take_its_place(tmp_path: Path) -> None:
    kept = texts(tmp_path, Encoder())
    kept.encode(["a"], 4, MOVES)
    (path,) = tmp_path.iterdir()
    path.unlink()
    path.mkdir()
    (path / "in the way").touch()
    assert kept.encode(["a"], 4, MOVES).shape == (1, 4, 2)
    assert list(tmp_path.iterdir()) == [path]
