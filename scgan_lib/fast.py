"""The convolutions of `layers.ConvBlock` in two faster forms, equal to the literal one.

benchmarks/NOTES.md has the measurements that the two limits below come from.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST_PIXELS = 64  # of a batch's small maps: below, up-sampling is left to the library
MOST_NARROW = 4  # output channels: above, a convolution is left to the library
# Rows: the even, the odd and the common factor of three taps in one direction.
FACTORS = [[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]


def convolve(block: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    """What the block's convolution makes of x; None where the literal form is the faster one."""
    if block.upsample and x[:, 0].numel() >= LEAST_PIXELS and 1 not in x.shape[-2:]:
        y = upsample_convolve(x, weight)
    elif block.narrow:
        y = narrow_convolve(x, weight, block.padding)
    else:
        return None
    return y if bias is None else y + bias[:, None, None]


def upsample_convolve(x: Tensor, weight: Tensor) -> Tensor:
    """Nearest x2, reflect-pad 1, 3x3 convolution, without ever making the large map.

    In one direction, with s = w0 + w1 + w2: an output 2i is w0 x[i-1] + (w1 + w2) x[i], which is
    s x[i] − w0 (x[i] − x[i-1]), and an output 2i+1 is s x[i] + w2 (x[i+1] − x[i]). In two
    directions that makes nine 1x1 convolutions on the small map and on its differences by column,
    by row and by both: a quarter of the multiplications of the literal form. At the rim the
    differences vanish, as reflection wants.

    Shapes: x (B,C,H,W) with H, W > 1, weight (K,C,3,3) -> (B,K,2H,2W).
    """

    def products(maps: Tensor, kernels: Tensor) -> tuple[Tensor, ...]:
        return F.conv2d(maps, kernels.reshape(-1, c, 1, 1)).chunk(len(kernels), 1)

    def widen(common: Tensor, even: Tensor, odd: Tensor) -> Tensor:
        """(B,K,H,W) and two (B,K,H,W-1) of differences -> (B,K,H,2W)."""
        y = torch.stack([common, common], -1)
        y[..., 1:, 0] += even
        y[..., :-1, 1] += odd
        return y.flatten(3)

    k, c = weight.shape[:2]
    factors = weight.new_tensor(FACTORS)
    taps = (torch.kron(factors, factors) @ weight.reshape(k * c, 9).T).view(3, 3, k, c)
    by_column, by_row = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
    by_both = by_column[..., 1:, :] - by_column[..., :-1, :]
    common = widen(*products(x, taps[2, 2:]), *products(by_column, taps[2, :2]))
    even, odd = products(by_row, taps[:2, 2])
    even_even, even_odd, odd_even, odd_odd = products(by_both, taps[:2, :2].flatten(0, 1))
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
