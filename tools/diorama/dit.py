"""Trains the diffusion network on cached latents.

In: latents, coverage and attributes of the rendered clips, the trained text encoder. Out: a checkpoint with the
weights and their running average. Does not know: pixels, the autoencoder, how the result is measured.
Legend: B batch, C channels, T h w latent frames, height and width, S tokens of one frame, D width, L text length.
"""

import math
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

import engine.models.cosmos.network as cosmos
from engine.diffusion.denoisers import SIGMA_CONDITIONAL
from engine.layers.attention import SingleRankLayout, attend_plain
from engine.models.cosmos.network import CosmosConfig, CosmosDiT
from tools.diorama import captions, clips, text
from tools.diorama.optim import Optimizer, Team
from tools.diorama.training import Clock, load_state, log, save_state

CONFIG = CosmosConfig(
    width=224,
    num_blocks=6,
    num_heads=4,
    in_channels=32,
    out_channels=32,
    text_width=text.WIDTH,
    adaln_lora_dim=48,
    rope_theta=100.0,
    rope_ratio_h=1.0,
    rope_ratio_w=1.0,
    extra_pos_embed=(5, 4, 6),
)
BATCH, MUON_RATE, ADAM_RATE = 32, 0.02, 2e-3
EMPTY_SHARE, GIVEN_ONE_SHARE, GIVEN_TWO_SHARE = 0.12, 0.32, 0.08
SUBJECT_WEIGHT, TRUTH_WEIGHT, TRUTH_BLOCK = 4.0, 0.3, 3
AVERAGE_KEEP, EMBEDDING_SCALE = 0.998, 5.0


def make_network() -> CosmosDiT:
    """Starts as nearly the identity: the output reads the very directions that the patch embedding writes.

    The embedding is scaled up, because the learnable positions come in at unit size before every block.
    """
    network = CosmosDiT(CONFIG)
    latent_features = CONFIG.in_channels * CONFIG.patch_spatial**2
    directions = nn.init.orthogonal_(torch.empty_like(network.patch_embed.weight))
    network.patch_embed.weight.data.copy_(EMBEDDING_SCALE * directions)
    by_channel = directions[:, :latent_features].unflatten(1, (CONFIG.in_channels, -1))  # (D, C, ph * pw)
    network.final.linear.weight.data.copy_(0.6 * by_channel.transpose(1, 2).flatten(1).T)
    nn.init.zeros_(network.time_embed.linear_2.weight)
    for name, parameter in network.named_parameters():
        if name.endswith("up.weight") and "modulation" in name:
            nn.init.normal_(parameter, std=0.02)
    return network


class Truth(nn.Module):
    """Training only: predicts from a middle block's tokens what the renderer knows of each token."""

    def __init__(self) -> None:
        super().__init__()
        self.coverage = nn.Linear(CONFIG.width, 1)
        self.names = nn.ModuleList(nn.Linear(CONFIG.width, n) for n in text.NUM_CLASSES)

    def loss(self, tokens: Tensor, coverage: Tensor, attributes: Tensor) -> Tensor:
        """tokens: (B, T, S, D); coverage: (B, T, h, w); attributes: (B, 4)."""
        tokens = F.layer_norm(tokens.float(), tokens.shape[-1:])
        per_token = F.avg_pool2d(coverage, CONFIG.patch_spatial).flatten(2)
        total = F.binary_cross_entropy_with_logits(self.coverage(tokens)[..., 0], per_token.clamp(0, 1))
        for k, head in enumerate(self.names):
            logits = head(tokens).flatten(1, 2).transpose(1, 2)
            total = total + 0.5 * F.cross_entropy(logits, attributes[:, k, None].expand(-1, logits.shape[-1]))
        return total


class Data:
    """Normalised latents, coverage and attributes of the training clips, and their captions as embeddings."""

    def __init__(self, cache: Path, device: str) -> None:
        statistics = torch.load(cache / "latent_statistics.pt", weights_only=True)
        self.set = clips.load_set(cache / "training")
        self.latents = torch.from_numpy(np.load(cache / "training" / "latents.npy"))
        self.mean, self.std = (statistics[k].view(-1, 1, 1, 1) for k in ("mean", "std"))
        self.tokenizer, self.encoder = text.load_tokenizer(cache / "tokenizer"), text.load_trained(cache).to(device)
        self.device = device

    @torch.no_grad()
    def batch(self, rng: random.Random, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """-> latents (B, C, T, h, w), text (B, L, D), coverage (B, T, h, w), attributes (B, 4)."""
        picked = rng.choices(range(len(self.latents)), k=size)
        texts = [captions.caption(self.set.combination(i), rng)[0] for i in picked]
        texts = ["" if rng.random() < EMPTY_SHARE else text for text in texts]
        ids, mask = text.tokens_of(self.tokenizer, texts)
        embedded = text.embed(self.encoder, ids.to(self.device), mask.to(self.device))
        latents = ((self.latents[picked].float() - self.mean) / self.std).to(self.device)
        coverage = torch.from_numpy(self.set.coverage[picked]).float().to(self.device)
        return latents, embedded, coverage, torch.from_numpy(self.set.attributes[picked]).to(self.device)


def draw_t(size: int) -> Tensor:
    """(B,) in (0, 1): half uniform in [0.5, 1], where motion is decided; half logit-normal(0.3, 1.1)."""
    high = 0.5 + 0.5 * torch.rand(size)
    middle = torch.sigmoid(0.3 + 1.1 * torch.randn(size))
    return torch.where(torch.rand(size) < 0.5, high, middle).clamp(1e-3, 0.999)


def _given(size: int, num_frames: int) -> Tensor:
    """(B, T), 1 where the latent frame is given clean: none, the first, or the first two."""
    draw = torch.rand(size)
    count = (draw < GIVEN_ONE_SHARE + GIVEN_TWO_SHARE).long() + (draw < GIVEN_TWO_SHARE).long()
    return (torch.arange(num_frames)[None] < count[:, None]).float()


class Trainer:
    """One step: noise, forward, loss weighted towards the subject, plus the truth read from a middle block."""

    def __init__(self, network: CosmosDiT, truth: Truth, device: str) -> None:
        self.network, self.truth, self.device = network, truth, device
        self.layout, self.forward = SingleRankLayout(attend_plain), network
        self._tokens: Tensor | None = None
        network.blocks[TRUTH_BLOCK].register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple, output: Tensor) -> None:
        self._tokens = output

    def loss(
        self, x0: Tensor, embedded: Tensor, coverage: Tensor, attributes: Tensor, truth_weight: float
    ) -> tuple[Tensor, float]:
        size, _, num_frames = x0.shape[:3]
        t = draw_t(size).to(self.device)
        given = _given(size, num_frames).to(self.device)
        noise = torch.randn_like(x0)
        plane = given[:, None, :, None, None]
        at = t.view(-1, 1, 1, 1, 1)
        noisy = torch.where(plane > 0, x0, (1 - at) * x0 + at * noise)
        timesteps = torch.where(given > 0, SIGMA_CONDITIONAL, t[:, None])
        mask = plane.expand(-1, 1, -1, *x0.shape[3:])
        with torch.autocast(self.device, torch.bfloat16):
            velocity = self.forward(noisy, timesteps, embedded, mask, layout=self.layout)
        weight = (1 + SUBJECT_WEIGHT * coverage)[:, None] * (1 - plane)
        error = ((velocity.float() - (noise - x0)).square() * weight).sum() / (weight.sum() * x0.shape[1])
        truth_loss = self.truth.loss(self._tokens, coverage, attributes)
        return error + truth_weight * truth_loss, error.item()


def _is_hidden(name: str) -> bool:
    return name.startswith(("blocks.", "time_embed.")) and "norm" not in name


def train(cache: Path, minutes: float, device: str, compiled: bool, num_processes: int) -> None:
    """Goes on from the cache folder's checkpoint until the minutes are spent, restarts counted in.

    Processes of one thread each, that meet once a step, waste less than one process of several threads.
    """
    if num_processes == 1:
        _train_rank(0, cache, minutes, device, compiled, Team())
        return
    meeting = cache / "dit_meeting"
    meeting.unlink(missing_ok=True)
    torch.multiprocessing.spawn(_join, (cache, minutes, device, compiled, num_processes, meeting), num_processes)


def _join(
    rank: int, cache: Path, minutes: float, device: str, compiled: bool, num_processes: int, meeting: Path
) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{meeting.absolute()}", rank=rank, world_size=num_processes)
    _train_rank(rank, cache, minutes, device, compiled, Team(rank, num_processes, distributed.all_reduce))


def _train_rank(rank: int, cache: Path, minutes: float, device: str, compiled: bool, team: Team) -> None:
    cosmos.attend = attend_plain  # the backward pass of the fused one is slow in bf16 on a CPU
    torch.manual_seed(0)
    network, truth, data = make_network().to(device), Truth().to(device), Data(cache, device)
    state = load_state(cache / "dit.pt")
    if state is not None:
        network.load_state_dict(state["network"])
        truth.load_state_dict(state["truth"])
    average = {k: v.clone() for k, v in (state["average"] if state else network.state_dict()).items()}
    named = [*network.named_parameters(), *((f"truth.{n}", p) for n, p in truth.named_parameters())]
    optimizer = Optimizer(named, _is_hidden, MUON_RATE, ADAM_RATE, team)
    if state is not None:
        optimizer.load_state_dict(state["optimizer"])
    trainer = Trainer(network, truth, device)
    if compiled:
        trainer.forward = torch.compile(network)
    step, clock = (state or {}).get("step", 0), Clock(minutes, (state or {}).get("spent_s", 0.0))
    rng, errors, factor = random.Random(f"{step}/{rank}"), [], 0.0
    torch.manual_seed(step * team.size + rank)
    while factor >= 0:
        truth_weight = TRUTH_WEIGHT * max(0.1, 1 - 2 * clock.spent_s() / clock.budget_s)
        loss, error = trainer.loss(*data.batch(rng, BATCH // team.size), truth_weight)
        optimizer.zero_grad()
        loss.backward()
        factor = _agreed(optimizer.parameters(), -1.0 if clock.is_over() else clock.factor(step, 40), team)
        norm = torch.nn.utils.clip_grad_norm_(optimizer.parameters(), 1.0)
        if math.isfinite(norm.item()) and factor >= 0:
            optimizer.step(factor)
        step += 1
        _average(average, network, min(AVERAGE_KEEP, step / (step + 20)))
        errors.append(error)
        if rank > 0:
            continue
        if step % 50 == 0:
            line = f"step {step} error {np.mean(errors):.4f} loss {loss.item():.3f} spent {clock.spent_s():.0f} s"
            log(cache / "dit.log", line)
            errors = []
        if clock.should_save() or factor < 0:
            saved = {"network": network.state_dict(), "truth": truth.state_dict(), "average": average, "step": step}
            save_state(cache / "dit.pt", saved | {"optimizer": optimizer.state_dict(), "spent_s": clock.spent_s()})


def _agreed(parameters: list[nn.Parameter], factor: float, team: Team) -> float:
    """Gradients become the team's mean; the rate factor becomes the first process's (below zero: stop)."""
    if team.size == 1:
        return factor
    with_gradient = [p for p in parameters if p.grad is not None]
    flat = torch.cat([*(p.grad.flatten() for p in with_gradient), torch.tensor([factor if team.rank == 0 else 0.0])])
    team.sum(flat)
    for p, gradient in zip(with_gradient, flat[:-1].split([p.numel() for p in with_gradient]), strict=True):
        p.grad = gradient.view_as(p) / team.size
    return float(flat[-1])


@torch.no_grad()
def _average(average: dict[str, Tensor], network: nn.Module, keep: float) -> None:
    for name, value in network.state_dict().items():
        average[name].lerp_(value, 1 - keep)


def load_trained(cache: Path) -> CosmosDiT:
    """The averaged weights, or a fresh network where none was trained yet."""
    network, state = make_network(), load_state(cache / "dit.pt")
    if state is not None:
        network.load_state_dict(state["average"])
    return network.eval()
