"""Muon for matrices and kernels, AdamW for the rest, behind one small class.

In: named parameters and two rates. Out: steps. Does not know: what the parameters mean, schedules, checkpoints.
Muon: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks", with their coefficients.
"""

from collections.abc import Iterable

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


class Optimizer:
    """Muon moves every parameter of two or more axes that `is_hidden` names; AdamW moves the others."""

    def __init__(
        self, named: Iterable[tuple[str, nn.Parameter]], is_hidden, muon_rate: float, adam_rate: float
    ) -> None:
        named = [(n, p) for n, p in named if p.requires_grad]
        self.hidden = [p for n, p in named if p.ndim >= 2 and is_hidden(n)]
        kept = {id(p) for p in self.hidden}
        others = [p for _, p in named if id(p) not in kept]
        self.adam = torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.muon_rate, self.adam_rate = muon_rate, adam_rate
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
        for (rows, columns), group in self._groups().items():
            nesterov = torch.stack([(p.grad + momentum * m).reshape(rows, columns) for p, m in group])
            scale = self.muon_rate * factor * max(1.0, rows / columns) ** 0.5
            for (p, _), update in zip(group, orthogonalised(nesterov).to(nesterov.dtype), strict=True):
                p.add_(update.reshape(p.shape), alpha=-scale)

    def _moved(self, momentum: float) -> None:
        for p, m in zip(self.hidden, self.momenta, strict=True):
            if p.grad is not None:
                m.mul_(momentum).add_(p.grad)

    def _groups(self) -> dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]]:
        """Parameters of one matrix shape together, so that they are orthogonalised in one go."""
        groups: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = {}
        for p, m in zip(self.hidden, self.momenta, strict=True):
            if p.grad is not None:
                groups.setdefault((p.shape[0], p[0].numel()), []).append((p, m))
        return groups

    def state_dict(self) -> dict:
        return {"adam": self.adam.state_dict(), "momenta": self.momenta}

    def load_state_dict(self, state: dict) -> None:
        self.adam.load_state_dict(state["adam"])
        for m, saved in zip(self.momenta, state["momenta"], strict=True):
            m.copy_(saved)
