"""The paired bootstrap over images: how far a mean, or a difference of means, can be trusted."""

import numpy as np
import pandas as pd
from scipy.special import stdtrit


def intervals(values, seed: int = 0) -> np.ndarray:
    """Ends (2, columns) of the 95 % bootstrap intervals of the means of (images, columns).

    Images are drawn with replacement, the same for all columns: differences of two columns are
    therefore paired. nan is left out of a mean. Percentile method: Efron and Tibshirani, 1993.
    """
    values = np.asarray(values, dtype=np.float64)
    known = (~np.isnan(values)).astype(float)
    rng, rows, means = np.random.default_rng(seed), len(values), []
    block = rows * np.arange(100)[:, None]  # 100 blocks of 100 resamples: memory for many images
    for _ in range(100):
        drawn = rng.integers(0, rows, (100, rows)) + block
        count = np.bincount(drawn.ravel(), minlength=100 * rows).reshape(100, rows).astype(float)
        with np.errstate(invalid="ignore"):
            means.append((count @ np.nan_to_num(values)) / (count @ known))
    return pd.DataFrame(np.concatenate(means)).quantile([0.025, 0.975]).to_numpy()


def bootstrap_interval(values, seed: int = 0) -> tuple[float, float, float]:
    """(mean, low, high): the mean over images and its 95 % bootstrap interval; nan left out."""
    values = pd.Series(values, dtype=float)
    low, high = intervals(values.to_frame(), seed)[:, 0]
    return float(values.mean()), float(low), float(high)


def paired_difference(a, b, seed: int = 0) -> tuple[float, float, float]:
    """(mean, low, high) of a - b over the images that both have: see `bootstrap_interval`.

    `a` and `b` hold one number an image, in the same order. An interval that excludes 0 is the
    project's meaning of "these images tell the two methods apart".
    """
    return bootstrap_interval(np.asarray(a, float) - np.asarray(b, float), seed)


def summary(values: pd.DataFrame, shown: list, least: int) -> pd.DataFrame:
    """Numbers of each column of `values`, whose lines are (run, image); nan and inf are left out.

    `mean`, `low`, `high`, `n`: over images, of an image's mean over the runs `shown`. `runs`: how
    many there are, with the mean, standard deviation and 95 % t interval of the runs' own means.
    `told`: the sign of a mean whose interval over images excludes 0 and that has this sign in all
    runs, at least `least` of them; else 0. `agree`: in how many runs it has this sign.
    """
    infinite = np.isinf(values.loc[shown]).sum()
    values = values.replace([np.inf, -np.inf], np.nan)
    images = values.loc[shown].groupby("image", sort=False).mean()
    runs = values.groupby("run").mean().T
    found = pd.DataFrame({"mean": images.mean(), "n": images.count(), "infinite": infinite})
    found["low"], found["high"] = intervals(images)
    found["runs"], found["runs_mean"] = runs.count(axis=1), runs.mean(axis=1)
    found["runs_sd"] = runs.std(axis=1)
    half = stdtrit(found["runs"] - 1, 0.975) * runs.sem(axis=1)
    found["runs_low"], found["runs_high"] = found["runs_mean"] - half, found["runs_mean"] + half
    found["agree"] = (runs.mul(found["mean"], axis=0) > 0).sum(axis=1)
    sure = (found["low"] * found["high"] > 0) & (found["agree"] == found["runs"])
    found["told"] = np.sign(found["mean"]).where(sure & (found["runs"] >= least), 0)
    return found
