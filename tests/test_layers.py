"""Blocks: the faster forms of the convolutions, shapes, normalisation."""

import pytest
import torch
import torch.nn.functional as F

from scgan_lib import fast
from scgan_lib.layers import ConvBlock, normalisation


def literal(x, weight, upsample):
    x = F.interpolate(x, scale_factor=2, mode="nearest") if upsample else x
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight)


@pytest.mark.parametrize("size", [(2, 2), (2, 3), (8, 7)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("upsample", [True, False])
def test_faster_forms_equal_the_literal_one_in_values_and_gradients(size, channels, upsample):
    x = torch.randn(2, 5, *size, dtype=torch.double, requires_grad=True)
    weight = torch.randn(channels, 5, 3, 3, dtype=torch.double, requires_grad=True)
    mine = fast.upsample_convolve(x, weight) if upsample else fast.narrow_convolve(x, weight, 1)
    plain = literal(x, weight, upsample)
    torch.testing.assert_close(mine, plain, rtol=0, atol=1e-12)
    push = torch.randn_like(plain)
    both = [torch.autograd.grad(y, (x, weight), push) for y in (mine, plain)]
    for a, b in zip(*both, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        ({"kernel": 7, "c_out": 3}, (9, 12), (9, 12)),
        ({"stride": 2, "c_out": 1}, (9, 12), (5, 6)),
        ({"kernel": 4, "padding": 1, "c_out": 1}, (9, 12), (8, 11)),
        ({"upsample": True, "spectral": False}, (9, 12), (18, 24)),
        ({"upsample": True}, (1, 40), (2, 80)),  # too small for the faster form
    ],
)
def test_blocks_have_no_bias_and_the_same_values_in_both_forms(options, size, expected):
    block = ConvBlock(3, **({"c_out": 8} | options)).eval()
    assert block.conv.bias is None
    x = torch.randn(2, 3, *size)
    y = block(x)
    assert y.shape == (2, block.conv.out_channels, *expected)
    block.fused = False
    torch.testing.assert_close(y, block(x), rtol=0, atol=1e-5)


def test_block_by_hand():
    """A box of ones over a ramp with reflected rim, then LeakyReLU(0.2)."""
    block = ConvBlock(1, 1, norm="none", spectral=False)
    with torch.no_grad():
        block.conv.weight.fill_(1.0)
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    y = block(x)
    assert y[0, 0, 1, 1].item() == 36  # the sum of all
    assert y[0, 0, 0, 0].item() == 24  # corner: reflection shows (4,3,4; 1,0,1; 4,3,4)
    torch.testing.assert_close(block(-x), -0.2 * y)


@pytest.mark.parametrize(
    ("kind", "dims"), [("instance", (2, 3)), ("layer", (1, 2, 3)), ("batch", (0, 2, 3))]
)
def test_normalisation_by_name(kind, dims):
    x = torch.randn(3, 4, 8, 8) * 5 + 7
    y = normalisation(kind, 4)(x)
    assert y.mean(dims).abs().max() < 1e-5
    assert (y.var(dims, unbiased=False) - 1).abs().max() < 1e-3
    assert torch.equal(normalisation("none", 4)(x), x)
    with pytest.raises(ValueError, match=r"bach.*batch"):
        normalisation("bach", 4)
