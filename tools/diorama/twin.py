"""A quick whole-clip walk over the modules of diffusers' `AutoencoderKLWan`, for training.

In: the autoencoder and pixels or latents. Out: what its own chunked `encode` and `decode` give (before the clamp, which
blocks gradients). Causal 3D convolutions are done as 2D ones over the channels of three frames; for single frames only
the last tap is used, because the older taps see nothing but padding. Does not know: losses, optimizers.
Legend: B batch, C channels, T latent or feature frames, H W pixels.
"""

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanAttentionBlock,
    WanMidBlock,
    WanResample,
    WanResidualBlock,
    patchify,
    unpatchify,
)
from torch import Tensor, nn

MODEL = {
    "base_dim": 32,
    "z_dim": 32,
    "dim_mult": [1, 2, 2],
    "num_res_blocks": 1,
    "attn_scales": [],
    "temperal_downsample": [True, True],
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "latents_mean": [0.0] * 32,
    "latents_std": [1.0] * 32,
    "scale_factor_temporal": 4,
    "scale_factor_spatial": 8,
}


def _frames(x: Tensor) -> Tensor:
    """(B, C, T, H, W) to (B * T, C, H, W), channels last in memory."""
    b, c, t, h, w = x.shape
    return x.transpose(1, 2).reshape(b * t, c, h, w).contiguous(memory_format=torch.channels_last)


def _clip(x: Tensor, b: int) -> Tensor:
    """(B * T, C, H, W) to (B, C, T, H, W)."""
    return x.unflatten(0, (b, -1)).transpose(1, 2)


def causal(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """A causal convolution over time with stride 1, zeros before the first frame. x: (B, C, T, H, W)."""
    taps, pad = conv.kernel_size[0], conv.kernel_size[1] // 2
    if x.shape[2] == 1:
        taps, weight = 1, conv.weight[:, :, -1]
    else:
        weight = conv.weight.transpose(1, 2).flatten(1, 2)
    if taps == 1:
        stacked, weight = x, weight.reshape(weight.shape[0], -1, *conv.kernel_size[1:])
    else:
        padded = F.pad(x, (0, 0, 0, 0, taps - 1, 0))
        stacked = torch.cat([padded[:, :, i : i + x.shape[2]] for i in range(taps)], 1)
    return _clip(F.conv2d(_frames(stacked), weight, conv.bias, padding=pad), x.shape[0])


def _norm(norm: nn.Module, x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.float().square().mean(1, keepdim=True) + 1e-12).to(x.dtype) * norm.gamma


def _residual(block: WanResidualBlock, x: Tensor) -> Tensor:
    shortcut = x if isinstance(block.conv_shortcut, nn.Identity) else causal(block.conv_shortcut, x)
    x = causal(block.conv1, F.silu(_norm(block.norm1, x)))
    return causal(block.conv2, F.silu(_norm(block.norm2, x))) + shortcut


def _attention(block: WanAttentionBlock, x: Tensor) -> Tensor:
    """One head over the positions of each frame; plain matmul and softmax."""
    frames = _frames(x)
    normed = F.normalize(frames.float(), dim=1).to(x.dtype) * block.norm.scale * block.norm.gamma
    q, k, v = block.to_qkv(normed).flatten(2).transpose(1, 2).chunk(3, -1)
    weights = torch.softmax(q @ k.transpose(1, 2) * q.shape[-1] ** -0.5, -1)
    out = (weights.to(v.dtype) @ v).transpose(1, 2).unflatten(2, frames.shape[2:])
    return x + _clip(block.proj(out), x.shape[0])


def _down(block: WanResample, x: Tensor) -> Tensor:
    """Space by 2; then time by 2, the first frame standing alone."""
    x = _clip(
        F.conv2d(F.pad(_frames(x), (0, 1, 0, 1)), block.resample[1].weight, block.resample[1].bias, 2), x.shape[0]
    )
    if x.shape[2] == 1 or block.mode != "downsample3d":
        return x
    later = F.conv3d(x, block.time_conv.weight, block.time_conv.bias, (2, 1, 1))
    return torch.cat([x[:, :, :1], later.to(x.dtype)], 2)


def _up(block: WanResample, x: Tensor) -> Tensor:
    if x.shape[2] > 1 and block.mode == "upsample3d":
        doubled = causal(block.time_conv, x[:, :, 1:])
        b, c, t, h, w = doubled.shape
        doubled = doubled.reshape(b, 2, c // 2, t, h, w).permute(0, 2, 3, 1, 4, 5).reshape(b, c // 2, 2 * t, h, w)
        x = torch.cat([x[:, :, :1].to(doubled.dtype), doubled], 2)
    larger = _frames(x).repeat_interleave(2, 2).repeat_interleave(2, 3)
    larger = larger.contiguous(memory_format=torch.channels_last)
    return _clip(F.conv2d(larger, block.resample[1].weight, block.resample[1].bias, padding=1), x.shape[0])


def _walk(block: nn.Module, x: Tensor) -> Tensor:
    if isinstance(block, WanResidualBlock):
        return _residual(block, x)
    if isinstance(block, WanMidBlock):
        return _residual(block.resnets[1], _attention(block.attentions[0], _residual(block.resnets[0], x)))
    if block.mode.startswith("down"):
        return _down(block, x)
    return _up(block, x)


def encode(model: AutoencoderKLWan, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """pixels: (B, 3, F, H, W) in [-1, 1] to mean and log-variance (B, z, T, h, w)."""
    encoder = model.encoder
    x = causal(encoder.conv_in, patchify(pixels, 2))
    for block in [*encoder.down_blocks, encoder.mid_block]:
        x = _walk(block, x)
    x = causal(encoder.conv_out, F.silu(_norm(encoder.norm_out, x)))
    mean, log_variance = causal(model.quant_conv, x).float().chunk(2, 1)
    return mean, log_variance.clamp(-30, 20)


def decode(model: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """latents: (B, z, T, h, w), not normalised, to pixels (B, 3, F, H, W), not clamped."""
    decoder = model.decoder
    x = causal(decoder.conv_in, causal(model.post_quant_conv, latents))
    x = _walk(decoder.mid_block, x)
    for block in decoder.up_blocks:
        for part in [*block.resnets, *(block.upsamplers or [])]:
            x = _walk(part, x)
    x = causal(decoder.conv_out, F.silu(_norm(decoder.norm_out, x)))
    return unpatchify(x.float(), 2)


def still_start(model: AutoencoderKLWan) -> None:
    """Older taps zero: on single frames the network is then a 2D one, and a clip is a row of single frames."""
    for module in model.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size == (3, 3, 3):
            module.weight.data[:, :, :-1] = 0


def inflate(model: AutoencoderKLWan) -> None:
    """Time convolutions start by averaging two frames (down) or copying one (up)."""
    for module in model.modules():
        if not isinstance(module, WanResample) or not hasattr(module, "time_conv"):
            continue
        conv, eye = module.time_conv, torch.eye(module.dim)[:, :, None, None]
        conv.weight.data.zero_()
        conv.bias.data.zero_()
        if module.mode == "downsample3d":
            conv.weight.data[:, :, 1], conv.weight.data[:, :, 2] = 0.5 * eye, 0.5 * eye
        else:
            conv.weight.data[:, :, -1] = torch.cat([eye, eye])
