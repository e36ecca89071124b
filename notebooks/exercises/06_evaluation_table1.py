# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises 6 · Metrics by hand, and how sure a mean is
#
# For chapter 6 (`06_evaluation_table1.ipynb`). Write the body of each function, then run the cell
# below it. A test cell that says nothing has passed.

# %%
import numpy as np

from scgan_lib import metrics, statistics

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1 · PSNR (2 points)
#
# $$\mathrm{PSNR}(c, \hat c) = 10 \log_{10} \frac{255^2}{\mathrm{MSE}(c, \hat c)} .$$
#
# The mean squared error runs over all pixels and channels. Identical pictures have an infinite
# PSNR. Mind the type: differences of 8-bit numbers wrap around (0 - 10 gives 246).


# %% solution="psnr"
def psnr(real, fake):
    """PSNR in dB of two uint8 pictures (H, W, 3)."""
    ### BEGIN SOLUTION
    mse = np.mean((real.astype(float) - fake) ** 2)
    return 10 * np.log10(255**2 / mse) if mse else np.inf
    ### END SOLUTION


# %% test="psnr" points=2
black, dark = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 10, np.uint8)
np.testing.assert_allclose(psnr(dark, black), 28.1308, atol=1e-3)  # 10 log10(65025 / 100)
np.testing.assert_allclose(psnr(black, dark), 28.1308, atol=1e-3)
assert psnr(dark, dark) == np.inf
### BEGIN HIDDEN TESTS
one, two = rng.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
np.testing.assert_allclose(psnr(one, two), metrics.psnr(one, two))
### END HIDDEN TESTS

# %% [markdown]
# ## 2 · SSIM of one channel (4 points)
#
# In every 7x7 window that lies inside the picture,
#
# $$\mathrm{SSIM} = \frac{(2\mu_c\mu_{\hat c} + C_1)(2\sigma_{c\hat c} + C_2)}
# {(\mu_c^2 + \mu_{\hat c}^2 + C_1)(\sigma_c^2 + \sigma_{\hat c}^2 + C_2)},$$
#
# with $C_1 = (0.01 \cdot 255)^2$ and $C_2 = (0.03 \cdot 255)^2$; then the mean over all windows.
# Variances and covariance are those of a sample: the sum over the 49 pixels is divided by 48.
# `np.lib.stride_tricks.sliding_window_view` gives all windows at once.


# %% solution="ssim"
def ssim(real, fake):
    """SSIM of two uint8 pictures of one channel (H, W), at least 7x7."""
    ### BEGIN SOLUTION
    windows = np.lib.stride_tricks.sliding_window_view
    x, y = (windows(v.astype(float), (7, 7)).reshape(-1, 49) for v in (real, fake))
    mu_x, mu_y = x.mean(1), y.mean(1)
    variances = x.var(1, ddof=1) + y.var(1, ddof=1)
    covariance = ((x - mu_x[:, None]) * (y - mu_y[:, None])).sum(1) / 48
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    above = (2 * mu_x * mu_y + c1) * (2 * covariance + c2)
    return np.mean(above / ((mu_x**2 + mu_y**2 + c1) * (variances + c2)))
    ### END SOLUTION


# %% test="ssim" points=4
flat, brighter = np.full((9, 9), 100, np.uint8), np.full((9, 9), 110, np.uint8)
np.testing.assert_allclose(ssim(flat, flat), 1)
# no variance: (2 · 100 · 110 + 6.5025) / (100² + 110² + 6.5025)
np.testing.assert_allclose(ssim(flat, brighter), 22006.5025 / 22106.5025)
dot = np.full((7, 7), 100, np.uint8)
dot[3, 3] = 149  # one window: mean 101, variance (48² + 48 · 1²) / 48 = 49
hole = np.full((7, 7), 102, np.uint8)
hole[3, 3] = 53  # the same mean, the same variance, covariance -49
np.testing.assert_allclose(ssim(dot, hole), (58.5225 - 98) / (58.5225 + 98))
### BEGIN HIDDEN TESTS
one = rng.integers(100, 104, (12, 15), dtype=np.uint8)
two = one + rng.integers(0, 3, one.shape, dtype=np.uint8)
theirs = metrics.ssim(np.repeat(one[..., None], 3, 2), np.repeat(two[..., None], 3, 2))
np.testing.assert_allclose(ssim(one, two), theirs, rtol=1e-6)
### END HIDDEN TESTS

# %% [markdown]
# ## 3 · CCI, the colourfulness (2 points)
#
# $$rg = R - G, \qquad yb = \tfrac12 (R + G) - B,$$
# $$\mathrm{CCI} = \sqrt{\sigma_{rg}^2 + \sigma_{yb}^2} + 0.3 \sqrt{\mu_{rg}^2 + \mu_{yb}^2} .$$
#
# $rg$ and $yb$ keep their sign; variances are divided by the number of pixels.


# %% solution="cci"
def cci(rgb):
    """Colourfulness of a uint8 picture (H, W, 3)."""
    ### BEGIN SOLUTION
    r, g, b = np.moveaxis(rgb.astype(float), 2, 0)
    rg, yb = r - g, (r + g) / 2 - b
    return np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    ### END SOLUTION


# %% test="cci" points=2
assert cci(np.full((8, 8, 3), 128, np.uint8)) == 0
orange = np.full((8, 8, 3), (200, 120, 40), np.uint8)  # rg = 80, yb = 120, no spread
np.testing.assert_allclose(cci(orange), 0.3 * np.sqrt(80**2 + 120**2))
halves = orange.copy()
halves[:, 4:] = (40, 120, 200)  # rg = -80, yb = -120: the means are 0
np.testing.assert_allclose(cci(halves), np.sqrt(80**2 + 120**2))
### BEGIN HIDDEN TESTS
noise = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
np.testing.assert_allclose(cci(noise), metrics.cci(noise))
### END HIDDEN TESTS

# %% [markdown]
# ## 4 · A paired bootstrap (4 points)
#
# Two methods have coloured the same photos; `a` and `b` hold a number for each photo, in the same
# order. How far can the mean of $a - b$ be trusted? Draw `n` new test sets, each with as many
# photos as the old one, with replacement. In each, the same photos count for both methods. The ends
# of the 95 % interval are the 2.5th and the 97.5th percentile of the mean differences.


# %% solution="paired-bootstrap"
def paired_interval(a, b, n=10_000, seed=0):
    """(mean, low, high): the mean of a - b and its 95 % bootstrap interval."""
    ### BEGIN SOLUTION
    difference = a - b
    photos = np.random.default_rng(seed).integers(0, len(difference), (n, len(difference)))
    low, high = np.percentile(difference[photos].mean(1), [2.5, 97.5])
    return difference.mean(), low, high
    ### END SOLUTION


# %% test="paired-bootstrap" points=4
b = rng.normal(22, 4, 60)  # photos differ much
np.testing.assert_allclose(paired_interval(b + 0.5, b), 0.5)  # and yet this gain is certain
a = b + rng.normal(0.3, 1, 60)
mean, low, high = paired_interval(a, b)
np.testing.assert_allclose(mean, (a - b).mean())
# for 60 photos nearly the normal interval: 1.96 standard errors to each side
error = 1.96 * (a - b).std() / np.sqrt(60)
np.testing.assert_allclose([low, high], [mean - error, mean + error], atol=0.1 * error)
### BEGIN HIDDEN TESTS
theirs = statistics.paired_difference(a, b)
np.testing.assert_allclose(paired_interval(a, b), theirs, atol=0.03)
low, high = paired_interval(np.array([4.0, 0.0]), np.array([0.0, 0.0]))[1:]
assert (low, high) == (0, 4)  # a quarter of the sets has the first photo twice, a quarter the other
### END HIDDEN TESTS
