"""Metrics: the authors' numbers, hand-computed values and properties."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise, waves
from hypothesis import given, settings
from hypothesis import strategies as st

from scgan_lib import metrics

OFFICIAL = json.loads((Path(__file__).parent / "data" / "official_metrics.json").read_text())
# Metric -> its key in official_metrics.json.
PAIRED = {"psnr": "psnr_uint8_255", "ssim": "ssim_uint8_255", "nrmse": "nrmse"}
SINGLE = {"cci": "cci", "cni": "cni"}


def image(name: str) -> np.ndarray:
    return waves(np.random.RandomState((zlib.crc32(name.encode()) + 11) % 2**32), 3, 96)


def to_u8(image_01: np.ndarray) -> np.ndarray:
    return np.round(np.clip(image_01, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def official_pair(row: dict) -> tuple[np.ndarray, np.ndarray]:
    base = image(f"ref{row['k']}")
    luma = np.tensordot([0.299, 0.587, 0.114], base, 1)
    real = to_u8(luma + row["gain"] * (base - luma))
    fake = 0.7 * real.transpose(2, 0, 1) / 255 + 0.3 * image(f"hyp{row['k']}")
    return real, to_u8(fake)


def batch(*images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


PAIRS = [official_pair(row) for row in OFFICIAL["rows"]]
REALS, FAKES = (batch(*side) for side in zip(*PAIRS, strict=True))


@pytest.mark.parametrize(("name", "key"), (PAIRED | SINGLE).items())
def test_metrics_equal_the_authors_numbers(name, key):
    metric, count = getattr(metrics, name), 2 if name in PAIRED else 1
    arrays = [metric(*pair[:count]) for pair in PAIRS]
    np.testing.assert_allclose(arrays, [row[key] for row in OFFICIAL["rows"]], rtol=0, atol=1e-6)
    tensors = metric(*(REALS, FAKES)[:count])
    assert tensors.dtype == torch.float64 and tensors.shape == (len(PAIRS),)
    np.testing.assert_allclose(tensors, arrays, rtol=0, atol=1e-12)


def constant(*rgb: int, size: int = 16) -> np.ndarray:
    return np.full((size, size, 3), rgb, np.uint8)


def test_hand_computed_values():
    half = constant(0, 0, 0)
    half[:8] = (100, 100, 100)
    assert metrics.psnr(constant(10, 10, 10), constant(20, 20, 20)) == pytest.approx(
        10 * math.log10(255**2 / 100)
    )
    assert metrics.nrmse(constant(10, 10, 10), constant(20, 20, 20)) == pytest.approx(1.0)
    assert metrics.cci(half) == 0  # gray
    # rg = 255, yb = 127.5, no spread: 0.3 * sqrt(255^2 + 127.5^2)
    assert metrics.cci(constant(255, 0, 0)) == pytest.approx(0.3 * math.hypot(255, 127.5))
    # hue 40, L = .5, S = 153 / 255 = .6: skin alone
    skin = constant(204, 153, 51)
    assert metrics.cni(skin) == pytest.approx(math.exp(-0.5 * ((0.6 - 0.76) / 0.52) ** 2))
    assert metrics.cni(constant(9, 9, 9)) == metrics.cni(constant(255, 255, 255)) == 0
    assert metrics.cni(constant(255, 0, 51)) == 0  # hue 348 lies in no band
    assert metrics.mean_saturation(skin) == pytest.approx(0.75)
    assert metrics.mean_saturation(constant(0, 0, 0)) == 0


def test_cci_ratio_of_values_and_of_images():
    assert metrics.cci_ratio([16.0, 20.0, 15.999, 20.001]) == 0.5
    assert metrics.cci_ratio(torch.tensor([18.0, float("nan"), 50.0])) == 0.5
    above = constant(60, 0, 0)  # 0.3 * hypot(60, 30) = 20.1
    assert metrics.cci_ratio([above, constant(55, 0, 0)]) == 0.5  # and 18.4
    assert metrics.cci_ratio(batch(above, constant(55, 0, 0))) == 0.5
    assert metrics.cci_ratio(REALS) == np.mean([row["cci_in_16_20"] for row in OFFICIAL["rows"]])


def test_chroma_errors_of_a_known_bleeding():
    """A red object on the left half, on gray; its red runs two columns over the edge.

    The band is three columns on each side, so two of its six columns are wrong, each by the
    chroma of pure red in Lab: a* = 80.09, b* = 67.20, so 104.55 (gray has none).
    """
    real = constant(119, 119, 119, size=20)
    mask = np.zeros((20, 20), bool)
    mask[:, :10] = True
    real[mask] = (255, 0, 0)
    fake = real.copy()
    fake[:, 10:12] = (255, 0, 0)
    red = math.hypot(80.0925, 67.2032)
    assert red == pytest.approx(104.55, abs=0.01)
    for kind in (mask, mask.astype(np.uint8) * 255):
        error = metrics.boundary_chroma_error(real, fake, kind)
        assert error == pytest.approx(2 / 6 * red, abs=0.01)
        assert metrics.salient_chroma_error(real, fake, kind) == 0
    tensors = torch.from_numpy(mask)[None, None].expand(2, 1, 20, 20)
    several = metrics.boundary_chroma_error(batch(real, real), batch(fake, fake), tensors)
    np.testing.assert_allclose(several, error, atol=1e-12)
    fake[:, :10] = (119, 119, 119)  # the object lost its colour
    assert metrics.salient_chroma_error(real, fake, mask) == pytest.approx(red, abs=0.01)


def test_chroma_errors_without_edge_or_object_are_nan():
    image = constant(9, 80, 200)
    for mask in (np.zeros((16, 16), bool), np.ones((16, 16), bool)):
        assert math.isnan(metrics.boundary_chroma_error(image, image, mask))
    assert math.isnan(metrics.salient_chroma_error(image, image, np.zeros((16, 16), bool)))
    assert metrics.salient_chroma_error(image, image, np.ones((16, 16), bool)) == 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_identity_symmetry_and_no_colour_in_gray(seed):
    x, y = (torch.from_numpy(noise(3, 3, 12, 10, seed=seed + k)) for k in (0, 1))
    assert metrics.psnr(x, x).isinf().all() and not metrics.nrmse(x, x).any()
    assert torch.equal(metrics.ssim(x, x), torch.ones(3, dtype=torch.float64))
    assert torch.equal(metrics.psnr(x, y), metrics.psnr(y, x))
    assert torch.equal(metrics.ssim(x, y), metrics.ssim(y, x))
    assert not torch.equal(metrics.nrmse(x, y), metrics.nrmse(y, x))  # the real image is the norm
    gray, moved = x[:1, :1].expand(1, 3, 12, 10), x.flatten(2)[..., torch.randperm(120)].view_as(x)
    for metric in (metrics.cci, metrics.cni, metrics.mean_saturation):
        assert metric(gray) == 0
        np.testing.assert_allclose(metric(moved), metric(x), atol=1e-12)  # wherever the colours are


@pytest.mark.parametrize(
    ("name", "images", "why"),
    [
        ("psnr", (constant(1, 2, 3) / 255, constant(1, 2, 3)), "uint8"),
        ("ssim", (constant(1, 2, 3), constant(1, 2, 3, size=17)), "sizes differ"),
        ("ssim", (constant(1, 2, 3, size=6), constant(1, 2, 3, size=6)), "7x7"),
    ],
)
def test_wrong_inputs_are_named(name, images, why):
    with pytest.raises(ValueError, match=why):
        getattr(metrics, name)(*images)
