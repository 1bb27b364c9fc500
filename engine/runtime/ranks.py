"""The group of ranks: the only file that calls ``torch.distributed``.

Comes in: torchrun's environment. Goes out: ``Ranks`` (agreement: one input, one decision on every rank) and ``Ulysses``
(tokens of one sample spread over the ranks). With one rank every collective is the identity and no group is made.
Does not know jobs, samplers or models.

Letters: B batch, T latent frames, S tokens of one frame, A heads, d head width, n ranks (``cp_size``).
"""

import datetime
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from engine.contract.environment import RANKS_STORE_VARIABLE
from engine.contract.errors import Cancelled, EngineError, Interrupted, Rejected
from engine.layers.attention import Attend, attend, attend_frames

COLLECTIVE_TIMEOUT_S = 1200
"""Longer than the engine service's own patience with a silent group (``stall_timeout_s``), which is what ends one: the
other ranks wait while rank 0 reads a text encoder of 45 GB. An idle group speaks every ``IDLE_BEAT_S``."""
IDLE_BEAT_S = 10.0
SHARED_DTYPES = (
    torch.float64,
    torch.float32,
    torch.bfloat16,
    torch.float16,
    torch.uint8,
    torch.int32,
    torch.int64,
)
DTYPES = {str(dtype): dtype for dtype in SHARED_DTYPES}


@dataclass(frozen=True, slots=True)
class Ranks:
    """``control`` carries decisions (gloo, CPU); ``data`` carries tensors (NCCL on GPUs). None with one rank."""

    rank: int
    size: int
    device: torch.device
    control: dist.ProcessGroup | None = None
    data: dist.ProcessGroup | None = None

    @property
    def leads(self) -> bool:
        """Whether this is rank 0: the one that speaks with the service, reads conditioning, decodes and writes."""
        return self.rank == 0

    def agree(self, number: int) -> int:
        """Rank 0's number, on every rank."""
        if self.control is None:
            return number
        tensor = torch.tensor([number])
        dist.broadcast(tensor, 0, group=self.control)
        return int(tensor.item())

    def share_text(self, text: str) -> str:
        """Rank 0's text, on every rank."""
        if self.control is None:
            return text
        content = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8) if text else torch.zeros(0).byte()
        length = self.agree(content.numel())
        if length == 0:
            return ""
        buffer = content if self.leads else torch.empty(length, dtype=torch.uint8)
        dist.broadcast(buffer, 0, group=self.control)
        return bytes(buffer.tolist()).decode()

    def lead(self, work: Callable[[], None]) -> None:
        """Rank 0 does the work, the others wait. What rank 0 raises as an EngineError is raised on every rank."""
        self._share_outcome(self._outcome(work) if self.leads else None)

    def together(self, work: Callable[[], None]) -> None:
        """Every rank does the work; the first EngineError of any rank is raised on every rank."""
        error = self._outcome(work)
        if self.control is None:
            return self._share_outcome(error)
        failed = torch.tensor([self.size if error is None else self.rank])
        dist.all_reduce(failed, dist.ReduceOp.MIN, group=self.control)
        source = int(failed.item())
        if source < self.size:
            self._share_outcome(error, source)

    def share_tensors(self, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Rank 0 makes named tensors; every rank gets them on its device. Errors as in ``lead``."""
        made: dict[str, Tensor] = {}
        self.lead(lambda: made.update(make()))
        if self.data is None:
            return {name: tensor.to(self.device) for name, tensor in made.items()}
        header = {name: [list(tensor.shape), str(tensor.dtype)] for name, tensor in made.items()}
        shared: dict[str, Tensor] = {}
        for name, (shape, dtype) in json.loads(self.share_text(json.dumps(header))).items():
            buffer = made[name].to(self.device) if self.leads else torch.empty(0)
            if not self.leads:
                buffer = torch.empty(shape, dtype=DTYPES[dtype], device=self.device)
            shared[name] = buffer.contiguous()
            dist.broadcast(shared[name], 0, group=self.data)
        return shared

    @staticmethod
    def _outcome(work: Callable[[], None]) -> EngineError | None:
        try:
            work()
        except EngineError as error:
            return error
        return None

    def _share_outcome(self, error: EngineError | None, source: int = 0) -> None:
        """Raises ``source``'s error, if it has one, on every rank."""
        if self.control is not None:
            content = json.dumps(_error_to_json(error)).encode() if error is not None else b""
            length = torch.tensor([len(content)])
            dist.broadcast(length, source, group=self.control)
            if not length.item():
                return
            here = self.rank == source
            buffer = torch.frombuffer(bytearray(content), dtype=torch.uint8) if here else None
            buffer = torch.empty(int(length.item()), dtype=torch.uint8) if buffer is None else buffer
            dist.broadcast(buffer, source, group=self.control)
            if not here:
                error = _error_from_json(json.loads(bytes(buffer.tolist())))
        if error is not None:
            raise error


def _error_to_json(error: EngineError) -> list[str]:
    return [type(error).__name__, error.code if isinstance(error, Rejected) else "", str(error)]


def _error_from_json(fields: list[str]) -> EngineError:
    name, code, message = fields
    if name == "Rejected":
        return Rejected(code, message)
    kinds: dict[str, type[EngineError]] = {kind.__name__: kind for kind in (Cancelled, Interrupted)}
    return kinds.get(name, EngineError)(message)


def connect() -> Ranks:
    """This process's place in its group, from torchrun's environment variables; alone where there are none.

    Ranks of one machine meet in a file (``engine.service.spawn_ranks``), those of several at torchrun's TCP store.
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
    if size == 1:
        return Ranks(rank, size, device)
    timeout = datetime.timedelta(seconds=COLLECTIVE_TIMEOUT_S)
    shares_device = device.type == "cuda" and torch.cuda.device_count() < size
    backend = "nccl" if device.type == "cuda" and not shares_device else "gloo"
    path = os.environ.get(RANKS_STORE_VARIABLE)
    store = dist.FileStore(path, size) if path else None  # pyright: ignore[reportPrivateImportUsage]
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
    control: Any = dist.new_group(backend="gloo", timeout=timeout)
    return Ranks(rank, size, device, control, dist.group.WORLD)


class Ulysses:
    """Context parallelism by all-to-all (DeepSpeed-Ulysses, arXiv 2309.14509): tokens of each frame split over ranks.

    Outside attention a rank holds S/n tokens of every frame (S padded to a multiple of n). Inside, it holds all tokens
    of A/n heads; the padding is dropped before attention, so that no mask is needed. Plain twin: ``SingleRankLayout``.
    """

    def __init__(self, ranks: Ranks, attend: Attend = attend) -> None:
        assert ranks.data is not None, "one rank needs no Ulysses"
        self.rank, self.size, self.group, self.attend = ranks.rank, ranks.size, ranks.data, attend

    def scatter(self, tokens: Tensor) -> Tensor:
        """(B, T, S, D) -> (B, T, ceil(S/n), D); padding tokens are zeros."""
        return _pad(tokens, self.size).chunk(self.size, dim=2)[self.rank].contiguous()

    def gather(self, tokens: Tensor, tokens_per_frame: int) -> Tensor:
        """(B, T, ceil(S/n), D) -> (B, T, S, D), the same on every rank."""
        parts = [torch.empty_like(tokens) for _ in range(self.size)]
        dist.all_gather(parts, tokens.contiguous(), group=self.group)
        return torch.cat(parts, dim=2)[:, :, :tokens_per_frame]

    def self_attend(self, q: Tensor, k: Tensor, v: Tensor, tokens_per_frame: int) -> Tensor:
        """Each (B, T, S_local, A, d) -> the same shape."""
        q, k, v = self._to_heads(torch.stack([q, k, v]))[:, :, :, :tokens_per_frame]
        return self._to_tokens(_pad(attend_frames(self.attend, q, k, v), self.size))

    def to_heads(self, x: Tensor, tokens_per_frame: int) -> Tensor:
        """(B, T, S_local, A, d) -> (B, T, S, A/n, d)."""
        return self._to_heads(x[None])[0][:, :, :tokens_per_frame]

    def to_tokens(self, x: Tensor) -> Tensor:
        """(B, T, S, A/n, d) -> (B, T, S_local, A, d)."""
        return self._to_tokens(_pad(x, self.size))

    def heads(self, parameter: Tensor) -> Tensor:
        """(A, ...) -> (A/n, ...)."""
        return parameter.chunk(self.size)[self.rank]

    def _to_heads(self, x: Tensor) -> Tensor:
        """(3, B, T, S_local, A, d) -> (3, B, T, n*S_local, A/n, d)."""
        if x.shape[4] % self.size:
            raise Rejected("ranks", f"{x.shape[4]} heads do not divide by {self.size} ranks. Start fewer ranks.")
        sent = x.unflatten(4, (self.size, -1)).movedim(4, 0)  # (n, 3, B, T, S_local, A/n, d)
        return self._exchange(sent).movedim(0, 3).flatten(3, 4)

    def _to_tokens(self, x: Tensor) -> Tensor:
        """(B, T, n*S_local, A/n, d) -> (B, T, S_local, A, d)."""
        sent = x.unflatten(2, (self.size, -1)).movedim(2, 0)  # (n, B, T, S_local, A/n, d)
        return self._exchange(sent).movedim(0, 3).flatten(3, 4)

    def _exchange(self, sent: Tensor) -> Tensor:
        """Part i of the first axis goes to rank i; part i of the answer came from rank i."""
        sent = sent.contiguous()
        received = torch.empty_like(sent)
        dist.all_to_all_single(received, sent, group=self.group)
        return received


def _pad(tokens: Tensor, multiple: int) -> Tensor:
    """(B, T, S, ...) with zeros appended to S up to a multiple."""
    missing = -tokens.shape[2] % multiple
    if not missing:
        return tokens
    return torch.cat([tokens, tokens.new_zeros(*tokens.shape[:2], missing, *tokens.shape[3:])], dim=2)
