"""Generator and critics of SCGAN, top to bottom.

The paper's symbols: x `gray` (B,1,H,W); c, G_c(x) `rgb`, `rgb_hat` (B,3,H,W); s, G_s(x)
`saliency`, `saliency_hat` (B,1,H,W). Colours and gray lie in [-1, 1], saliency in [0, 1].
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scgan_lib.layers import ConvBlock, advance_spectral_norm, initialise
from scgan_lib.vgg import FoldedVGG, VGGFeatures

__all__ = ["FoldedGlobal", "Generator", "GlobalEncoder", "PatchCritic", "VGGFeatures", "luma"]


def luma(rgb: Tensor) -> Tensor:
    """BT.601 luma .299 R + .587 G + .114 B of (B,3,H,W), as (B,1,H,W), in the input's range."""
    weights = rgb.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (rgb * weights).sum(1, keepdim=True)


class GlobalEncoder(nn.Module):
    """VGG-16-Gray: thirteen 3x3 convolutions, every max-pool replaced by a stride of 2, and pool5.

    gray (B,1,H,W) -> (B, 8·width, H/32, W/32).
    """

    def __init__(self, width: int = 64, norm: str = "batch", spectral: bool = True) -> None:
        super().__init__()
        self.out_channels = 8 * width
        c_in = 1
        for stage, (scale, depth) in enumerate([(1, 2), (2, 2), (4, 3), (8, 3), (8, 3)], start=1):
            for i in range(1, depth + 1):
                stride = 2 if i == depth and stage < 5 else 1  # in place of the max-pool after it
                more = dict(norm="none" if stage == i == 1 else norm, spectral=spectral)
                block = ConvBlock(c_in, scale * width, stride=stride, **more)
                self.add_module(f"conv{stage}_{i}", block)
                c_in = scale * width
        self.add_module("pool5", ConvBlock(c_in, c_in, stride=2, norm=norm, spectral=spectral))

    def forward(self, gray: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        x = gray
        for block in self.children():
            x = block(x)
        return x if size is None or x.shape[-2:] == size else F.adaptive_avg_pool2d(x, size)


class FoldedGlobal(nn.Module):
    """Global features from a frozen ImageNet VGG-16 whose first layer is folded to one channel.

    conv4_3 and conv5_3 (max-pooling kept), averaged to the fusion map, each channel normalised by
    its running mean and variance, then projected by a trainable 1x1 convolution. Differs from the
    paper's encoder: trained on colour images, pooling kept, frozen, two layers instead of one.
    """

    def __init__(self, trunk: FoldedVGG, out_channels: int) -> None:
        super().__init__()
        self.trunk, self.out_channels = trunk, out_channels
        self.norm = nn.BatchNorm2d(1024, affine=False)
        self.project = nn.Conv2d(1024, out_channels, 1, bias=False)
        self.register_state_dict_post_hook(_leave_out_trunk)
        self.register_load_state_dict_post_hook(_miss_no_trunk)

    def forward(self, gray: Tensor, size: tuple[int, int]) -> Tensor:
        with torch.no_grad():
            maps = [F.adaptive_avg_pool2d(f, size) for f in self.trunk(gray)]
        return F.leaky_relu(self.project(self.norm(torch.cat(maps, 1))), 0.2)


def _leave_out_trunk(module: FoldedGlobal, state: dict, prefix: str, _) -> None:
    """Of 60 MB, and the same for all runs: a state dict holds what is trained."""
    for name in [name for name in state if name.startswith(f"{prefix}trunk.")]:
        del state[name]


def _miss_no_trunk(module: FoldedGlobal, keys: NamedTuple) -> None:
    keys.missing_keys[:] = [name for name in keys.missing_keys if "trunk." not in name]


class SaliencyBranch(nn.Module):
    """Three decoder maps (1/8, 1/4, 1/2), each to `width` channels at 1/2, joined, to 1/1, sigmoid.

    -> saliency_hat (B,1,H,W) in [0,1].
    """

    def __init__(self, channels: list[int], width: int, norm: str, spectral: bool) -> None:
        super().__init__()
        more = dict(norm=norm, spectral=spectral)
        half, quarter, eighth = channels
        self.from_eighth = nn.Sequential(
            ConvBlock(eighth, width, upsample=True, **more),
            ConvBlock(width, width, upsample=True, **more),
        )
        self.from_quarter = ConvBlock(quarter, width, upsample=True, **more)
        self.from_half = ConvBlock(half, width, **more)
        self.join = ConvBlock(3 * width, width, upsample=True, **more)
        self.final = ConvBlock(width, 1, norm="none", spectral=spectral, activation=nn.Sigmoid())

    def forward(self, eighth: Tensor, quarter: Tensor, half: Tensor) -> Tensor:
        size = half.shape[-2:]
        maps = [self.from_eighth(eighth), self.from_quarter(quarter), self.from_half(half)]
        return self.final(self.join(torch.cat([crop(m, size) for m in maps], 1)))


class Generator(nn.Module):
    """gray (B,1,H,W) -> rgb_hat (B,3,H,W) in [-1,1] and saliency_hat (B,1,H,W) in [0,1].

    A U-Net of `levels` (5 or more) convolutions down (the first 7x7 without stride) and up, skip
    connections; global features join where the map has 1/32 of the input's side (before the 7th
    convolution). `width=64, saliency_width=128, levels=9` is the released network: 58,755,200
    trainable numbers. `encoder`: None builds VGG-16-Gray, a FoldedVGG is wrapped frozen, False
    leaves global features out. `keep_luminance` gives the result the input's luma (it may then
    leave [-1,1] a little; clamp when you make a picture). `unit_range`: inside, the layers work in
    [0,1], as the authors' later files do. `fidelity="released"`: convolutions keep torch's
    initialisation and spectral norm iterates at inference too.
    """

    def __init__(
        self,
        width: int = 64,
        saliency_width: int = 128,
        levels: int = 9,
        *,
        encoder: FoldedVGG | bool | None = None,
        norm: str = "batch",
        spectral: bool = True,
        keep_luminance: bool = False,
        unit_range: bool = False,
        fidelity: str = "paper",
    ) -> None:
        super().__init__()
        if levels < 5:
            raise ValueError(f"levels={levels}: the saliency branch needs at least 5")
        self.keep_luminance, self.unit_range = keep_luminance, unit_range
        self.fidelity, self.levels = fidelity, levels
        channels = [min(width * 2**i, 8 * width) for i in range(levels)]
        self.fusion = min(6, levels - 1)  # index of the convolution that sees global features
        if encoder is False:
            self.global_encoder = None
        elif isinstance(encoder, FoldedVGG):
            self.global_encoder = FoldedGlobal(encoder, 8 * width)
        else:
            self.global_encoder = GlobalEncoder(width, norm, spectral)
        extra = self.global_encoder.out_channels if self.global_encoder else 0

        more = dict(spectral=spectral)
        self.down = nn.ModuleList([ConvBlock(1, width, 7, norm="none", **more)])
        for i in range(1, levels):
            c_in = channels[i - 1] + (extra if i == self.fusion else 0)
            last = "none" if i == levels - 1 else norm
            self.down.append(ConvBlock(c_in, channels[i], stride=2, norm=last, **more))
        self.up = nn.ModuleList()  # up[0] gives the map of level levels-2, the last that of 0
        for level in range(levels - 2, -1, -1):
            c_in = channels[level + 1] * (1 if level == levels - 2 else 2)
            self.up.append(ConvBlock(c_in, channels[level], upsample=True, norm=norm, **more))
        self.to_rgb = ConvBlock(2 * width, 3, norm="none", activation=nn.Tanh(), **more)
        self.saliency = SaliencyBranch(channels[1:4], saliency_width, norm, spectral)
        if fidelity == "paper":
            initialise(self)

    def forward(self, gray: Tensor) -> tuple[Tensor, Tensor]:
        if self.fidelity == "released" and not self.training:
            advance_spectral_norm(self)
        inner = (gray + 1) / 2 if self.unit_range else gray
        skips, x = [], inner
        for i, block in enumerate(self.down):
            if i == self.fusion and self.global_encoder is not None:
                x = torch.cat([x, self.global_encoder(inner, tuple(x.shape[-2:]))], 1)
            x = block(x)
            skips.append(x)
        decoder = {}
        for level, block in zip(reversed(range(self.levels - 1)), self.up, strict=True):
            x = decoder[level] = crop(block(x), skips[level].shape[-2:])
            x = torch.cat([skips[level], x], 1)
        rgb_hat = 2 * self.to_rgb(x) - 1 if self.unit_range else self.to_rgb(x)
        saliency_hat = crop(self.saliency(decoder[3], decoder[2], decoder[1]), gray.shape[-2:])
        if self.keep_luminance:
            rgb_hat = rgb_hat + (gray - luma(rgb_hat))
        return rgb_hat, saliency_hat


class PatchCritic(nn.Module):
    """PatchGAN critic, D_c on (gray, rgb) or D_s on (gray, rgb ⊙ saliency): scores (B,1,h,w).

    7x7, then `layers` 3x3 convolutions of stride 2, then two 4x4. With 3 layers every score sees
    69x69 pixels (the paper says 70) and a 256x256 image gives 30x30 scores; `width=64` has
    5,766,144 trainable numbers. `norm="batch"` is the released choice; a gradient penalty needs a
    critic that treats each sample by itself: none, instance or layer.
    """

    def __init__(
        self,
        width: int = 64,
        *,
        layers: int = 3,
        norm: str = "layer",
        spectral: bool = False,
        fidelity: str = "paper",
    ) -> None:
        super().__init__()
        self.fidelity = fidelity
        more = dict(spectral=spectral)
        blocks = [ConvBlock(4, width, 7, norm="none", **more)]
        c = width
        for _ in range(layers):
            blocks.append(ConvBlock(c, min(2 * c, 8 * width), stride=2, norm=norm, **more))
            c = min(2 * c, 8 * width)
        blocks.append(ConvBlock(c, c, 4, padding=1, norm=norm, **more))
        blocks.append(ConvBlock(c, 1, 4, padding=1, norm="none", activation=nn.Identity(), **more))
        self.blocks = nn.Sequential(*blocks)
        if fidelity == "paper":
            initialise(self)

    def forward(self, gray: Tensor, image: Tensor) -> Tensor:
        if self.fidelity == "released" and not self.training:
            advance_spectral_norm(self)
        return self.blocks(torch.cat([gray, image], 1))


def crop(x: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Cut rows and columns that rounding up in the encoder added; nothing for multiples."""
    return x[..., : size[0], : size[1]]
