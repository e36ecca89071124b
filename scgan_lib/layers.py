"""The blocks that generator and critics are made of.

Every convolution of SCGAN is *reflect-pad → convolution without bias (spectrally normalised) →
normalisation → LeakyReLU(0.2)*; some first double their map by repeating each pixel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm


def normalisation(kind: str, channels: int) -> nn.Module:
    """Norm layer by name: `batch`, `instance`, `layer` (one group: all of a sample), `none`."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    if kind == "layer":
        return nn.GroupNorm(1, channels)
    if kind == "none":
        return nn.Identity()
    raise ValueError(f"unknown normalisation {kind!r}: none, instance, layer or batch")


def upsample_convolve(x: Tensor, weight: Tensor) -> Tensor:
    """Nearest x2, reflect-pad 1, 3x3 convolution, without ever making the large map.

    Repeated pixels let neighbouring taps be added beforehand: an output row 2i sees the small rows
    (i-1, i) through (w0, w1+w2), a row 2i+1 sees (i, i+1) through (w0+w1, w2); columns alike. One
    2x2 convolution with four times the channels on the small map (edges replicated), interleaved,
    is therefore equal, with 2.25 times fewer multiplications.

    Shapes: x (B,C,H,W), weight (K,C,3,3) -> (B,K,2H,2W).
    """
    b, _, h, w = x.shape
    rows = (
        torch.stack([weight[:, :, 0], weight[:, :, 1] + weight[:, :, 2]], 2),
        torch.stack([weight[:, :, 0] + weight[:, :, 1], weight[:, :, 2]], 2),
    )  # each (K,C,2,3): the even and the odd output row
    kernels = [
        torch.stack(pair, 3)
        for r in rows
        for pair in (
            (r[..., 0], r[..., 1] + r[..., 2]),
            (r[..., 0] + r[..., 1], r[..., 2]),
        )
    ]
    y = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), torch.cat(kernels))  # (B,4K,H+1,W+1)
    k = weight.shape[0]
    ee, eo, oe, oo = y.split(k, 1)
    even = torch.stack([ee[..., :h, :w], eo[..., :h, 1:]], -1)  # (B,K,H,W,2)
    odd = torch.stack([oe[..., 1:, :w], oo[..., 1:, 1:]], -1)
    return torch.stack([even, odd], 3).reshape(b, k, 2 * h, 2 * w)


class ConvBlock(nn.Module):
    """[nearest x2 →] reflect-pad → convolution → normalisation → activation.

    x (B,c_in,H,W) -> (B,c_out,H',W'); H' = 2H with `upsample`, H/stride without (rounded up).
    `padding=None` keeps the size of an odd kernel. `fused=False` up-samples literally.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        padding: int | None = None,
        upsample: bool = False,
        norm: str = "batch",
        spectral: bool = True,
        activation: nn.Module | None = None,
        fused: bool = True,
    ) -> None:
        super().__init__()
        conv = nn.Conv2d(c_in, c_out, kernel, stride, bias=False)
        self.conv = spectral_norm(conv) if spectral else conv
        self.padding = kernel // 2 if padding is None else padding
        self.upsample, self.fused = upsample, fused
        self.norm = normalisation(norm, c_out)
        self.activation = nn.LeakyReLU(0.2) if activation is None else activation

    def forward(self, x: Tensor) -> Tensor:
        if self.upsample and self.fused:
            x = upsample_convolve(x, self.conv.weight)
        else:
            if self.upsample:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = self.conv(F.pad(x, (self.padding,) * 4, mode="reflect"))
        return self.activation(self.norm(x))


def initialise(module: nn.Module, std: float = 0.02) -> None:
    """Draw every trainable convolution from N(0, std²) and every norm's gain from N(1, std²).

    The released `weights_init` looks for a parameter that spectral norm has renamed, and so leaves
    all convolutions at torch's default; this one reaches them through the parametrisation.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            wrapped = parametrize.is_parametrized(layer, "weight")
            weight = layer.parametrizations.weight.original if wrapped else layer.weight
            if weight.requires_grad:
                nn.init.normal_(weight, 0.0, std)
        elif isinstance(layer, nn.BatchNorm2d | nn.GroupNorm | nn.InstanceNorm2d):
            if layer.weight is not None:
                nn.init.normal_(layer.weight, 1.0, std)
                nn.init.zeros_(layer.bias)
    advance_spectral_norm(module, iterations=15)


@torch.no_grad()
def advance_spectral_norm(module: nn.Module, iterations: int = 1) -> None:
    """Run power iterations of every spectral norm below `module`, in whatever mode it is.

    torch iterates in training only; the released layer iterates on every forward, at inference
    too, so that its outputs depend on how often it was called (DEVIATIONS: power-iteration).
    """
    for layer in module.modules():
        if parametrize.is_parametrized(layer, "weight"):
            part = layer.parametrizations.weight[0]
            mode = part.training
            part.train()
            for _ in range(iterations):
                _ = layer.weight
            part.train(mode)
