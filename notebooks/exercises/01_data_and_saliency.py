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
# # Exercises 1 · Gray, composites, marks
#
# For chapter 1 (`01_data_and_saliency.ipynb`). Write the body of each function, then run the cell
# below it. A test cell that says nothing has passed.

# %%
import numpy as np
from PIL import Image

from scgan_lib import pictures

# %% [markdown]
# ## 1 · Luma (2 points)
#
# The network's input is the luma of the picture,
#
# $$x = 0.299\,R + 0.587\,G + 0.114\,B ,$$
#
# rounded to the nearest whole number. `astype` cuts, it does not round.


# %% solution="luma"
def luma(rgb):
    """Gray of a picture: uint8 (H, W, 3) -> uint8 (H, W)."""
    ### BEGIN SOLUTION
    return np.rint(rgb @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    ### END SOLUTION


# %% test="luma" points=2
colours = np.uint8([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]])  # one row of four
gray = luma(colours)
assert gray.shape == (1, 4) and gray.dtype == np.uint8
red, green, blue, white = gray[0]
assert red == 76  # 0.299 · 255 = 76.245
assert green == 150  # 0.587 · 255 = 149.685
assert blue == 29  # 0.114 · 255 = 29.07
assert white == 255  # the weights sum to 1
### BEGIN HIDDEN TESTS
noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
assert (luma(noise) == pictures.luma_u8(noise)).all()
### END HIDDEN TESTS

# %% [markdown]
# ## 2 · A composite and its exact saliency (3 points)
#
# A cut-out with transparency $\alpha$ is laid on a photo:
#
# $$c = \alpha\,c_{object} + (1-\alpha)\,c_{photo}, \qquad s = \alpha .$$
#
# In the files, $\alpha$ is a whole number from 0 to 255; here $s$ lies in $[0, 1]$. Round the
# colours to the nearest whole number.


# %% solution="composite"
def composite(photo, cutout):
    """uint8 photo (H, W, 3) and RGBA cut-out (H, W, 4) -> uint8 picture (H, W, 3), saliency (H, W).

    The saliency is a float in [0, 1]. The photo itself stays as it is.
    """
    ### BEGIN SOLUTION
    alpha = cutout[..., 3:] / 255  # (H, W, 1)
    picture = alpha * cutout[..., :3] + (1 - alpha) * photo
    return np.rint(picture).astype(np.uint8), alpha[..., 0]
    ### END SOLUTION


# %% test="composite" points=3
photo = np.full((1, 3, 3), 100, np.uint8)
cutout = np.uint8([[[200, 150, 0, 0], [200, 150, 0, 51], [200, 150, 0, 255]]])
picture, saliency = composite(photo, cutout)
assert picture.dtype == np.uint8
assert picture[0, 0].tolist() == [100, 100, 100]  # outside the object: the photo
assert picture[0, 1].tolist() == [120, 110, 80]  # 51 / 255 = 0.2: 0.2 · 200 + 0.8 · 100 = 120
assert picture[0, 2].tolist() == [200, 150, 0]  # the object
np.testing.assert_allclose(saliency, [[0, 0.2, 1]])
assert (photo == 100).all(), "the photo was changed"
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(0)
photo = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
cutout = rng.integers(0, 256, (8, 8, 4), dtype=np.uint8)
layers = (Image.fromarray(x).convert("RGBA") for x in (photo, cutout))
theirs = np.asarray(Image.alpha_composite(*layers).convert("RGB")).astype(int)
assert abs(composite(photo, cutout)[0] - theirs).max() <= 1  # Pillow rounds in another way
### END HIDDEN TESTS

# %% [markdown]
# ## 3 · Marks for a saliency map (3 points)
#
# *MAE* is the mean of $|s - m|$ over all pixels, where $m$ is 1 on the object and 0 elsewhere.
# *IoU* cuts the map at one half ($s \ge 0.5$ is object) and divides the common area by the joint
# area. When you are done: which of the two can an empty map win?


# %% solution="marks"
def marks(found, mask):
    """Saliency map (H, W) in [0, 1] and bool mask (H, W), not empty -> (MAE, IoU)."""
    ### BEGIN SOLUTION
    inside = found >= 0.5
    return abs(found - mask).mean(), (inside & mask).sum() / (inside | mask).sum()
    ### END SOLUTION


# %% test="marks" points=3
found = np.array([[0.9, 0.6], [0.5, 0.1]])
mask = np.array([[True, False], [True, False]])
error, overlap = marks(found, mask)
np.testing.assert_allclose(error, 0.325)  # (0.1 + 0.6 + 0.5 + 0.1) / 4
np.testing.assert_allclose(overlap, 2 / 3)  # cut at one half, the map has three pixels, two right
### BEGIN HIDDEN TESTS
mask = np.zeros((10, 10), bool)
mask[4, 4] = True
np.testing.assert_allclose(marks(0.0 * mask, mask), (0.01, 0))  # an empty map: small MAE, no IoU
np.testing.assert_allclose(marks(1.0 * mask, mask), (0, 1))
### END HIDDEN TESTS
