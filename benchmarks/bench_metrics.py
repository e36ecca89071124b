"""Scoring pairs of pictures: the library against the plain way, in one run.

Five metrics (PSNR, SSIM, NRMSE, CCI, CNI) of pairs of 256x256 pictures. The plain way is what
scripts in the wild do: scikit-image for the first three, NumPy for CCI, and for CNI a Python loop
over the pixels. It is timed on a few pairs only and scaled to all of them, since 500 would take
minutes. The numbers of those pairs are compared.

`python benchmarks/bench_metrics.py` prints the result.
"""

from __future__ import annotations

import math
import statistics
import time

import numpy as np
import torch
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity

from scgan_lib import config, data, metrics
from scgan_lib.data import luma_u8, test_picture

SIZE, PAIRS = 256, 500
TOLERANCE = 1e-6


def pairs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Photos of data/mini and the same with a part of their chroma, (count, 3, 256, 256) uint8."""
    photos = data.photos(config.load("mini"), "test")
    reals = [test_picture(photo, SIZE) for photo in photos[:count]]
    real = np.stack([reals[i % len(reals)] for i in range(count)])
    gray = luma_u8(real)[..., None].astype(float)
    strength = np.linspace(0.2, 0.9, count)[:, None, None, None]  # no pair is like another
    fake = np.rint(gray + strength * (real - gray)).clip(0, 255).astype(np.uint8)
    return tuple(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()) for x in (real, fake))


def ours(real: torch.Tensor, fake: torch.Tensor) -> np.ndarray:
    """(5, B): the library's numbers of a batch."""
    both = [metrics.psnr(real, fake), metrics.ssim(real, fake), metrics.nrmse(real, fake)]
    return torch.stack([*both, metrics.cci(fake), metrics.cni(fake)]).numpy()


def plain(real: np.ndarray, fake: np.ndarray) -> list[float]:
    """The five numbers of one pair (H, W, 3), the plain way."""
    r, g, b = fake.astype(float).transpose(2, 0, 1)
    rg, yb = r - g, (r + g) / 2 - b
    return [
        peak_signal_noise_ratio(real, fake, data_range=255),
        structural_similarity(real, fake, data_range=255, channel_axis=-1),
        normalized_root_mse(real, fake),
        math.hypot(rg.std(), yb.std()) + 0.3 * math.hypot(rg.mean(), yb.mean()),
        plain_cni(fake),
    ]


def plain_cni(image: np.ndarray) -> float:
    """CNI of uint8 (H, W, 3), pixel by pixel."""
    saturations: dict[tuple, list[float]] = {band: [] for band in metrics.CNI_BANDS}
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            r, g, b = image[i, j] / 255
            high, low = max(r, g, b), min(r, g, b)
            light, chroma = (high + low) / 2, high - low
            if chroma == 0:
                continue
            if high == r:
                hue = (60 * ((g - b) / chroma) + 360) % 360
            elif high == g:
                hue = 60 * ((b - r) / chroma) + 120
            else:
                hue = 60 * ((r - g) / chroma) + 240
            saturation = chroma / (1 - abs(2 * light - 1))
            for (start, end), found in saturations.items():
                if saturation > 0.1 and 0.2 < light < 0.8 and start <= hue <= end:
                    found.append(saturation)
    score = 0.0
    for band, found in saturations.items():
        if found:
            a, width = metrics.CNI_BANDS[band]
            score += len(found) * math.exp(-0.5 * ((sum(found) / len(found) - a) / width) ** 2)
    return score / max(sum(map(len, saturations.values())), 1)


def case(runs: int = 5, count: int = PAIRS) -> dict:
    """Time `runs` rounds, each both ways, one after the other. Seconds are for `count` pairs.

    -> ratio (median), least and largest, seconds of both (medians), the largest difference of a
    number, and what was done. AssertionError where a number differs.
    """
    real, fake = pairs(count)
    ours(real[:8], fake[:8])  # the first call is slower
    quick, slow, error = [], [], 0.0
    for run in range(runs):
        start = time.perf_counter()
        numbers = ours(real, fake)
        quick.append(time.perf_counter() - start)
        chosen = [(run * 37 + 11) % count, (run * 101 + count // 2) % count]
        slices = [[x[i].permute(1, 2, 0).numpy() for x in (real, fake)] for i in chosen]
        start = time.perf_counter()
        expected = [plain(*pair) for pair in slices]
        slow.append((time.perf_counter() - start) / len(chosen) * count)
        error = max(error, np.abs(numbers[:, chosen].T - expected).max())
    assert error < TOLERANCE, f"the two ways differ by {error:g}"
    ratios = [s / q for s, q in zip(slow, quick, strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "largest": max(ratios),
        "ours_s": statistics.median(quick),
        "reference_s": statistics.median(slow),
        "difference": float(error),
        "note": f"{count} pairs of {SIZE}x{SIZE}; the plain way was timed on 2 pairs a run and "
        f"scaled to {count}; {torch.get_num_threads()} threads here, one there",
    }


if __name__ == "__main__":
    for key, value in case().items():
        print(f"{key:14} {value:.4g}" if isinstance(value, float) else f"{key:14} {value}")
