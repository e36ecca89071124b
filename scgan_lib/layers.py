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


# Rows: the even, the odd and the common factor of three taps in one direction.
FACTORS = [[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]


def upsample_convolve(x: Tensor, weight: Tensor) -> Tensor:
    """Nearest x2, reflect-pad 1, 3x3 convolution, without ever making the large map.

    In one direction, with s = w0 + w1 + w2: an output 2i is w0 x[i-1] + (w1 + w2) x[i], which is
    s x[i] − w0 (x[i] − x[i-1]), and an output 2i+1 is s x[i] + w2 (x[i+1] − x[i]). In two
    directions that makes nine 1x1 convolutions on the small map and on its differences by column,
    by row and by both: a quarter of the multiplications of the literal form, and equal to it. At
    the rim the differences vanish, as reflection wants.

    Shapes: x (B,C,H,W), weight (K,C,3,3) -> (B,K,2H,2W).
    """
    if 1 in x.shape[-2:]:  # no differences to speak of
        large = F.interpolate(x, scale_factor=2, mode="nearest")
        return F.conv2d(F.pad(large, (1,) * 4, mode="reflect"), weight)

    def convolve(maps: Tensor, kernels: Tensor) -> tuple[Tensor, ...]:
        return F.conv2d(maps, kernels.reshape(-1, c, 1, 1)).chunk(len(kernels), 1)

    def widen(common: Tensor, even: Tensor, odd: Tensor) -> Tensor:
        """(B,K,H,W) and two (B,K,H,W-1) of differences -> (B,K,H,2W)."""
        y = torch.stack([common, common], -1)
        y[..., 1:, 0] += even
        y[..., :-1, 1] += odd
        return y.flatten(3)

    k, c = weight.shape[:2]
    factors = weight.new_tensor(FACTORS)
    taps = torch.kron(factors, factors) @ weight.reshape(k * c, 9).T
    taps = taps.view(3, 3, k, c)  # [row][column]
    by_column, by_row = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
    by_both = by_column[..., 1:, :] - by_column[..., :-1, :]
    common = widen(*convolve(x, taps[2, 2:]), *convolve(by_column, taps[2, :2]))
    even, odd = convolve(by_row, taps[:2, 2])
    even_even, even_odd, odd_even, odd_odd = convolve(by_both, taps[:2, :2].flatten(0, 1))
    y = torch.stack([common, common], 3)  # (B,K,H,2,2W)
    y[:, :, 1:, 0] += widen(even, even_even, even_odd)
    y[:, :, :-1, 1] += widen(odd, odd_even, odd_odd)
    return y.flatten(2, 3)


def narrow_convolve(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """Reflect-pad and a convolution with few output channels, as one product and shifted sums.

    A library's convolution works on eight or more output channels at a time and idles at 3 or 1.
    Here all taps of all outputs are made at once, then shifted and added.

    Shapes: x (B,C,H,W), weight (K,C,n,n) with n = 2·padding + 1 -> (B,K,H,W).
    """
    k, c, n, _ = weight.shape
    h, w = x.shape[-2:]
    taps = F.conv2d(x, weight.permute(2, 3, 0, 1).reshape(n * n * k, c, 1, 1))
    taps = F.pad(taps, (padding,) * 4, mode="reflect").unflatten(1, (n * n, k))
    y = taps[:, 0, :, :h, :w].clone()
    for tap in range(1, n * n):
        i, j = divmod(tap, n)
        y += taps[:, tap, :, i : i + h, j : j + w]
    return y


# Small maps (pixels of a batch) and wide outputs are left to the library: measured, see
# benchmarks/NOTES.md.
LEAST_PIXELS, MOST_NARROW = 64, 4


class ConvBlock(nn.Module):
    """[nearest x2 →] reflect-pad → convolution → normalisation → activation.

    x (B,c_in,H,W) -> (B,c_out,H',W'); H' = 2H with `upsample`, H/stride without (rounded up).
    `padding=None` keeps the size of an odd kernel. `fused=False` computes all of it literally.
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
        same = stride == 1 and kernel == 2 * self.padding + 1
        self.narrow = same and not upsample and c_out <= MOST_NARROW
        self.norm = normalisation(norm, c_out)
        self.activation = nn.LeakyReLU(0.2) if activation is None else activation

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.conv.weight, self.conv.bias  # the weight once: spectral norm makes it
        large = x.shape[0] * x.shape[2] * x.shape[3] >= LEAST_PIXELS
        if self.fused and (self.narrow or (self.upsample and large)):
            if self.upsample:
                x = upsample_convolve(x, weight)
            else:
                x = narrow_convolve(x, weight, self.padding)
            x = x if bias is None else x + bias[:, None, None]
        else:
            if self.upsample:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = F.pad(x, (self.padding,) * 4, mode="reflect")
            x = F.conv2d(x, weight, bias, self.conv.stride)
        return self.activation(self.norm(x))

    @torch.no_grad()
    def fold(self) -> None:
        """Put spectral norm and BatchNorm, as they are now, into the convolution, for good.

        With γ, β, μ, σ² of the norm: w <- w γ/√(σ²+ε), b = β − μ γ/√(σ²+ε). Call it in eval mode.
        """
        old, norm, weight = self.conv, self.norm, self.conv.weight.detach().clone()
        folds = isinstance(norm, nn.BatchNorm2d)
        # a new layer: copies share the class in which a parametrisation puts its weight
        self.conv = nn.Conv2d(
            old.in_channels, old.out_channels, old.kernel_size, old.stride, bias=folds,
            device=weight.device, dtype=weight.dtype,
        )  # fmt: skip
        if folds:
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            weight *= scale[:, None, None, None]
            self.conv.bias.copy_(norm.bias - norm.running_mean * scale)
            self.norm = nn.Identity()
        self.conv.weight.copy_(weight)
        self.conv.requires_grad_(False)


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
