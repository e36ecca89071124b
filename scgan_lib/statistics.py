"""The paired bootstrap over images: how far a mean, or a difference of means, can be trusted."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def bootstrap_means(values, n: int = 10_000, seed: int = 0) -> np.ndarray:
    """Means (n, columns) of n resamples, with replacement, of the rows of (images, columns).

    All columns see the same resampled images: differences of two columns are therefore paired.
    nan is left out of a mean. Efron and Tibshirani, 1993.
    """
    values = np.atleast_2d(np.asarray(values, dtype=np.float64).T).T
    known = ~np.isnan(values)
    rng, rows, means = np.random.default_rng(seed), len(values), []
    for size in _chunks(n, max(1, 2_000_000 // max(rows, 1))):
        drawn = rng.integers(0, rows, (size, rows)) + rows * np.arange(size)[:, None]
        count = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(float)
        with np.errstate(invalid="ignore"):
            means.append((count @ np.where(known, values, 0)) / (count @ known))
    return np.concatenate(means)


def _chunks(total: int, size: int) -> Iterable[int]:
    return (min(size, total - start) for start in range(0, total, size))


def interval(means: np.ndarray) -> np.ndarray:
    """Ends (2, columns) of the 95 % percentile interval of resampled means (n, columns)."""
    known = ~np.isnan(means)
    return np.array(
        [
            np.percentile(m[k], [2.5, 97.5]) if k.any() else [np.nan] * 2
            for m, k in zip(means.T, known.T, strict=True)
        ]
    ).T


def bootstrap_interval(values, n: int = 10_000, seed: int = 0) -> tuple[float, float, float]:
    """(mean, low, high): the mean over images and its 95 % bootstrap interval; nan left out."""
    values = np.asarray(values, dtype=np.float64)
    if np.isnan(values).all():
        return (np.nan,) * 3
    low, high = interval(bootstrap_means(values, n, seed))[:, 0]
    return float(np.nanmean(values)), float(low), float(high)


def paired_difference(a, b, n: int = 10_000, seed: int = 0) -> tuple[float, float, float]:
    """(mean, low, high) of a - b over the images that both have: see `bootstrap_interval`.

    `a` and `b` hold one number an image, in the same order. An interval that excludes 0 is the
    project's meaning of "these images tell the two methods apart".
    """
    return bootstrap_interval(np.asarray(a, float) - np.asarray(b, float), n, seed)
