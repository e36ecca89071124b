"""The blocks that generator and critics are made of.

Every convolution of SCGAN is *reflect-pad → convolution without bias (spectrally normalised) →
normalisation → LeakyReLU(0.2)*; some first double their map by repeating each pixel.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from scgan_lib import fast
from scgan_lib.fast import upsample_convolve as upsample_convolve  # chapter 02 shows it


def normalisation(kind: str, channels: int) -> nn.Module:
    """Norm layer by name: `batch`, `instance`, `layer` (one group: all of a sample), `none`."""
    kinds = {
        "batch": nn.BatchNorm2d,
        "instance": partial(nn.InstanceNorm2d, affine=True),
        "layer": partial(nn.GroupNorm, 1),
        "none": nn.Identity,
    }
    if kind not in kinds:
        raise ValueError(f"unknown normalisation {kind!r}: choose one of {', '.join(kinds)}")
    return kinds[kind](channels)


class ConvBlock(nn.Module):
    """[nearest x2 →] reflect-pad → convolution → normalisation → activation.

    x (B,c_in,H,W) -> (B,c_out,H',W'); H' = 2H with `upsample`, H/stride without (rounded up).
    `padding=None` keeps the size of an odd kernel. `block.fused = False` turns off `fast`.
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
    ) -> None:
        super().__init__()
        conv = nn.Conv2d(c_in, c_out, kernel, stride, bias=False)
        self.conv = spectral_norm(conv) if spectral else conv
        self.padding = kernel // 2 if padding is None else padding
        self.upsample, self.fused = upsample, True
        same_size = stride == 1 and kernel == 2 * self.padding + 1 and not upsample
        self.narrow = same_size and c_out <= fast.MOST_NARROW  # `fast.narrow_convolve` fits
        self.norm = normalisation(norm, c_out)
        self.activation = nn.LeakyReLU(0.2) if activation is None else activation

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.conv.weight, self.conv.bias  # the weight once: spectral norm makes it
        y = fast.convolve(self, x, weight, bias) if self.fused else None
        if y is None:
            if self.upsample:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = F.pad(x, (self.padding,) * 4, mode="reflect")
            y = F.conv2d(x, weight, bias, self.conv.stride)
        return self.activation(self.norm(y))

    @torch.no_grad()
    def fold(self) -> None:
        """Put spectral norm and BatchNorm, as they are now, into the convolution, for good.

        With γ, β, μ, σ² of the norm: w <- w γ/√(σ²+ε), b = β − μ γ/√(σ²+ε). Call it in eval mode.
        """
        old, norm, weight = self.conv, self.norm, self.conv.weight.detach().clone()
        folds = isinstance(norm, nn.BatchNorm2d)
        # a new layer: copies share the class in which a parametrisation puts its weight
        new = nn.Conv2d(old.in_channels, old.out_channels, old.kernel_size, old.stride, bias=folds)
        self.conv = new.to(weight).requires_grad_(False)
        if folds:
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            weight *= scale[:, None, None, None]
            self.conv.bias.copy_(norm.bias - norm.running_mean * scale)
            self.norm = nn.Identity()
        self.conv.weight.copy_(weight)


def initialise(module: nn.Module, std: float = 0.02) -> None:
    """Draw every trainable convolution from N(0, std²) and every norm's gain from N(1, std²).

    The released `weights_init` looks for a parameter that spectral norm has renamed, and so leaves
    all convolutions at torch's default; this one reaches them through the parametrisation.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            for weight in layer.parameters():  # one: there is no bias where it is trainable
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
