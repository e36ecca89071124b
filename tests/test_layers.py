"""Blocks: the fused up-sampling, shapes, normalisation."""

import pytest
import torch
import torch.nn.functional as F

from scgan_lib.layers import ConvBlock, narrow_convolve, normalisation, upsample_convolve


def literal(x, weight):
    big = F.interpolate(x, scale_factor=2, mode="nearest")
    return F.conv2d(F.pad(big, (1, 1, 1, 1), mode="reflect"), weight)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (8, 7)])
def test_fused_upsampling_equals_the_literal_one_in_values_and_gradients(size):
    x = torch.randn(2, 3, *size, requires_grad=True)
    weight = torch.randn(5, 3, 3, 3, requires_grad=True)
    fused, plain = upsample_convolve(x, weight), literal(x, weight)
    assert fused.shape == (2, 5, 2 * size[0], 2 * size[1])
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-5)
    direction = torch.randn_like(plain)
    ours = torch.autograd.grad(fused, (x, weight), direction)
    theirs = torch.autograd.grad(plain, (x, weight), direction)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("spectral", [False, True])
def test_block_fused_or_not_is_the_same_function(spectral):
    more = dict(upsample=True, norm="instance", spectral=spectral)
    fused, plain = (ConvBlock(3, 4, fused=f, **more).eval() for f in (True, False))
    plain.load_state_dict(fused.state_dict())
    x = torch.randn(2, 3, 6, 5)
    torch.testing.assert_close(fused(x), plain(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (9, 12)),
        ({"kernel": 7}, (9, 12)),
        ({"stride": 2}, (5, 6)),
        ({"upsample": True}, (18, 24)),
        ({"kernel": 4, "padding": 1}, (8, 11)),
    ],
)
def test_block_shapes_and_no_bias(options, shape):
    block = ConvBlock(3, 4, **options)
    assert block(torch.randn(2, 3, 9, 12)).shape == (2, 4, *shape)
    assert block.conv.bias is None


def test_block_by_hand():
    """A box of ones over a ramp with reflected rim, then LeakyReLU(0.2)."""
    block = ConvBlock(1, 1, norm="none", spectral=False)
    with torch.no_grad():
        block.conv.weight.fill_(1.0)
    x = torch.tensor([[[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0, 8.0]]]])
    y = block(x)
    assert y[0, 0, 1, 1].item() == 36  # the sum of all
    # corner: reflection shows (4,3,4; 1,0,1; 4,3,4)
    assert y[0, 0, 0, 0].item() == 24
    torch.testing.assert_close(block(-x), -0.2 * y)


@pytest.mark.parametrize("kind", ["none", "instance", "layer", "batch"])
def test_normalisation_by_name(kind):
    norm = normalisation(kind, 4)
    x = torch.randn(3, 4, 8, 8) * 5 + 7
    y = norm(x)
    dims = {"instance": (2, 3), "layer": (1, 2, 3), "batch": (0, 2, 3)}.get(kind)
    if dims is None:
        torch.testing.assert_close(y, x)
    else:
        assert y.mean(dims).abs().max() < 1e-5
        torch.testing.assert_close(y.var(dims, unbiased=False), torch.ones_like(y.mean(dims)),
                                   rtol=0, atol=1e-3)  # fmt: skip


def test_an_unknown_normalisation_is_named():
    with pytest.raises(ValueError, match=r"bach.*batch"):
        normalisation("bach", 4)


@pytest.mark.parametrize("channels", [1, 3])
def test_narrow_convolution_equals_the_literal_one_in_values_and_gradients(channels):
    torch.manual_seed(0)
    x = torch.randn(2, 5, 6, 7, dtype=torch.double, requires_grad=True)
    weight = torch.randn(channels, 5, 3, 3, dtype=torch.double, requires_grad=True)
    literal = F.conv2d(F.pad(x, (1,) * 4, mode="reflect"), weight)
    mine = narrow_convolve(x, weight, 1)
    torch.testing.assert_close(mine, literal, rtol=0, atol=1e-12)
    push = torch.randn_like(literal)
    both = [torch.autograd.grad(y, (x, weight), push) for y in (mine, literal)]
    for a, b in zip(*both, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_fold_puts_both_norms_into_the_convolution():
    torch.manual_seed(0)
    for more in ({}, {"upsample": True}, {"activation": torch.nn.Tanh()}):
        block = ConvBlock(6, 3, **more)
        for _ in range(3):  # running statistics that are not 0 and 1
            block(2 + 3 * torch.randn(8, 6, 10, 10))
        block.eval()
        with torch.no_grad():
            block.norm.weight.copy_(torch.tensor([0.5, 1.5, -2.0]))
            block.norm.bias.copy_(torch.tensor([1.0, 0.0, -1.0]))
        x = torch.randn(2, 6, 10, 10)
        before = block(x)
        block.fold()
        assert not torch.nn.utils.parametrize.is_parametrized(block.conv)
        assert isinstance(block.norm, torch.nn.Identity)
        torch.testing.assert_close(block(x), before, rtol=0, atol=1e-5)
