"""The paired bootstrap over images, against normal theory."""

import numpy as np
import pytest

from scgan_lib.statistics import bootstrap_interval, paired_difference


def test_bootstrap_interval_agrees_with_the_normal_one():
    x = np.random.default_rng(0).normal(5, 2, 400)
    mean, low, high = bootstrap_interval(x, seed=1)
    half = 1.96 * x.std() / 20
    assert mean == pytest.approx(x.mean())
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.02)
    assert bootstrap_interval(x, seed=1) == (mean, low, high)


def test_bootstrap_leaves_out_nan():
    assert bootstrap_interval([1.0, np.nan, 1.0]) == (1, 1, 1)
    assert np.isnan(bootstrap_interval([np.nan, np.nan])).all()


def test_paired_difference_sees_what_separate_intervals_cannot():
    rng = np.random.default_rng(0)
    photo = rng.normal(20, 5, 60)  # photos differ far more than the methods
    a, b = photo + 0.3 + rng.normal(0, 0.2, 60), photo
    _, low_a, high_a = bootstrap_interval(a)
    _, low_b, high_b = bootstrap_interval(b)
    assert low_a < high_b and low_b < high_a
    mean, low, high = paired_difference(a, b)
    assert 0.2 < low < mean < high < 0.4
    assert paired_difference(b, b) == (0, 0, 0)
