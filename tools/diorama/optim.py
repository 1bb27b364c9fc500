"""Muon for matrices and kernels, AdamW for the rest, behind one small class.

In: named parameters and two rates. Out: steps. Does not know: what the parameters mean, schedules, checkpoints.
Muon: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks", with their coefficients.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


def orthogonalised(matrices: Tensor, num_steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly, by Newton-Schulz iteration. matrices: (N, rows, columns)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT.contiguous() if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(num_steps):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


@dataclass(frozen=True, slots=True)
class Team:
    """Processes that train one network together. `sum` adds a flat tensor over all of them, in place."""

    rank: int = 0
    size: int = 1
    sum: Callable[[Tensor], None] = lambda flat: None


class Optimizer:
    """Muon moves every parameter of two or more axes that `is_hidden` names; AdamW moves the others."""

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter]],
        is_hidden: Callable[[str], bool],
        muon_rate: float,
        adam_rate: float,
        team: Team | None = None,
    ) -> None:
        named = [(n, p) for n, p in named if p.requires_grad]
        self.hidden = [p for n, p in named if p.ndim >= 2 and is_hidden(n)]
        kept = {id(p) for p in self.hidden}
        others = [p for _, p in named if id(p) not in kept]
        self.adam = torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.muon_rate, self.adam_rate, self.team = muon_rate, adam_rate, team or Team()
        self.momenta = [torch.zeros_like(p) for p in self.hidden]

    def parameters(self) -> list[nn.Parameter]:
        return [*self.hidden, *(p for g in self.adam.param_groups for p in g["params"])]

    def zero_grad(self) -> None:
        for p in self.parameters():
            p.grad = None

    @torch.no_grad()
    def step(self, factor: float, momentum: float = 0.95) -> None:
        """One step of both, their rates times `factor`."""
        for group in self.adam.param_groups:
            group["lr"] = self.adam_rate * factor
        self.adam.step()
        self._moved(momentum)
        updates = self._updates(momentum)
        for p, update in zip(self.hidden, updates, strict=True):
            p.add_(update, alpha=-self.muon_rate * factor * max(1.0, p.shape[0] / p[0].numel()) ** 0.5)

    def _updates(self, momentum: float) -> list[Tensor]:
        """One orthogonalised matrix a parameter; each process of the team does its share of them."""
        updates = [torch.zeros_like(p) for p in self.hidden]
        for (rows, columns), members in self._groups().items():
            mine = members[self.team.rank :: self.team.size]
            if not mine:
                continue
            nesterov = [self.hidden[i].grad + momentum * self.momenta[i] for i in mine]
            done = orthogonalised(torch.stack([n.reshape(rows, columns) for n in nesterov]))
            for i, update in zip(mine, done, strict=True):
                updates[i] = update.to(updates[i].dtype).reshape(updates[i].shape)
        return self._shared(updates) if self.team.size > 1 else updates

    def _shared(self, updates: list[Tensor]) -> list[Tensor]:
        flat = torch.cat([u.flatten() for u in updates])
        self.team.sum(flat)
        return [f.view_as(u) for f, u in zip(flat.split([u.numel() for u in updates]), updates, strict=True)]

    def _moved(self, momentum: float) -> None:
        for p, m in zip(self.hidden, self.momenta, strict=True):
            if p.grad is not None:
                m.mul_(momentum).add_(p.grad)

    def _groups(self) -> dict[tuple[int, int], list[int]]:
        """Indices of the parameters of one matrix shape, so that they are orthogonalised in one go."""
        groups: dict[tuple[int, int], list[int]] = {}
        for i, p in enumerate(self.hidden):
            if p.grad is not None:
                groups.setdefault((p.shape[0], p[0].numel()), []).append(i)
        return groups

    def state_dict(self) -> dict:
        return {"adam": self.adam.state_dict(), "momenta": self.momenta}

    def load_state_dict(self, state: dict) -> None:
        self.adam.load_state_dict(state["adam"])
        for m, saved in zip(self.momenta, state["momenta"], strict=True):
            m.copy_(saved)
