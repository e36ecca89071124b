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
# # Exercises 2 · Shapes, spectral norm, luminance
#
# For chapter 2 (`02_generator.ipynb`). Write the body of each function, then run the cell below
# it. A test cell that says nothing has passed.

# %%
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from scgan_lib import networks

# %% [markdown]
# ## 1 · Shapes of the encoder (3 points)
#
# A convolution of kernel $k$ and stride $s$ turns a side of $n$ pixels, padded by $p$ on both ends,
# into
#
# $$n' = \left\lfloor \frac{n + 2p - k}{s} \right\rfloor + 1 .$$
#
# The encoder begins with a 7x7 convolution (stride 1, padding 3) that gives `width` channels. Each
# further level is a 3x3 convolution (stride 2, padding 1) with twice the channels of the one
# before, at most `8 * width`.


# %% solution="encoder-shapes"
def encoder_shapes(side, width=64, levels=9):
    """Shapes of the encoder's maps for a picture of side x side: a list of (channels, n, n)."""
    ### BEGIN SOLUTION
    channels, n = width, (side + 2 * 3 - 7) // 1 + 1
    shapes = [(channels, n, n)]
    for _ in range(levels - 1):
        channels, n = min(2 * channels, 8 * width), (n + 2 * 1 - 3) // 2 + 1
        shapes.append((channels, n, n))
    return shapes
    ### END SOLUTION


# %% test="encoder-shapes" points=3
full = encoder_shapes(256)
assert full[:4] == [(64, 256, 256), (128, 128, 128), (256, 64, 64), (512, 32, 32)]
assert [n for _, n, _ in full] == [256, 128, 64, 32, 16, 8, 4, 2, 1]
assert [c for c, _, _ in full[3:]] == [512] * 6
### BEGIN HIDDEN TESTS
assert [n for _, n, _ in encoder_shapes(320)] == [320, 160, 80, 40, 20, 10, 5, 3, 2]
generator = networks.Generator(width=4, saliency_width=4, levels=7, encoder=False)
x, there = torch.zeros(2, 1, 72, 72), []
for block in generator.down:
    x = block(x)
    there.append(tuple(x.shape[1:]))
assert encoder_shapes(72, width=4, levels=7) == there
### END HIDDEN TESTS

# %% [markdown]
# ## 2 · Spectral norm by power iteration (3 points)
#
# Begin with a random unit vector $u$ and repeat
#
# $$v \leftarrow \frac{W^\top u}{\lVert W^\top u\rVert}, \qquad
# u \leftarrow \frac{W v}{\lVert W v\rVert} .$$
#
# Then $\sigma \approx u^\top W v$ is the largest singular value. The kernel of a convolution,
# `(out, in, k, k)`, counts as a matrix with `out` rows. Write the iteration, do not call a singular
# value decomposition.


# %% solution="power-iteration"
def spectral_norm(weight, rounds=100):
    """Largest singular value of a matrix or of a convolution's kernel, as a float."""
    ### BEGIN SOLUTION
    matrix = weight.flatten(1)
    u = F.normalize(torch.randn(len(matrix)), dim=0)
    for _ in range(rounds):
        v = F.normalize(matrix.T @ u, dim=0)
        u = F.normalize(matrix @ v, dim=0)
    return float(u @ matrix @ v)
    ### END SOLUTION


# %% test="power-iteration" points=3
torch.manual_seed(0)
assert abs(spectral_norm(torch.diag(torch.tensor([3.0, 1.0]))) - 3) < 1e-4
assert abs(spectral_norm(torch.tensor([[3.0, 4.0], [0.0, 0.0]])) - 5) < 1e-4  # one row: its length
assert abs(spectral_norm(torch.diag(torch.tensor([-3.0, 1.0]))) - 3) < 1e-4  # never negative
### BEGIN HIDDEN TESTS
kernel = torch.randn(8, 4, 3, 3)
exact = float(torch.linalg.svdvals(kernel.flatten(1))[0])
assert abs(spectral_norm(kernel, rounds=500) / exact - 1) < 1e-3
assert spectral_norm(kernel, rounds=1) < 0.999 * exact  # one round is not enough, and from below
### END HIDDEN TESTS

# %% [markdown]
# ## 3 · Keep the luminance (2 points)
#
# The brightness of the picture is given, the network need not guess it:
#
# $$\hat c \leftarrow \hat c + \big(x - Y(\hat c)\big) ,$$
#
# where $Y = 0.299\,R + 0.587\,G + 0.114\,B$ is the luma (`networks.luma`). The same amount
# is added to all three channels.


# %% solution="keep-luminance"
def keep_luminance(rgb_hat, gray):
    """Colours (B, 3, H, W) with the luma of gray (B, 1, H, W), all in [-1, 1]."""
    ### BEGIN SOLUTION
    return rgb_hat + (gray - networks.luma(rgb_hat))
    ### END SOLUTION


# %% test="keep-luminance" points=2
rgb_hat = torch.tensor([0.5, 0.0, -0.5]).view(1, 3, 1, 1)  # its luma is 0.1495 - 0.057 = 0.0925
kept = keep_luminance(rgb_hat, torch.full((1, 1, 1, 1), 0.2))  # so 0.1075 is added
assert_close(kept.flatten(), torch.tensor([0.6075, 0.1075, -0.3925]))
### BEGIN HIDDEN TESTS
rgb_hat, gray = torch.rand(2, 3, 8, 8) * 2 - 1, torch.rand(2, 1, 8, 8) * 2 - 1
kept = keep_luminance(rgb_hat, gray)
assert_close(networks.luma(kept), gray)
assert_close(kept[:, 0] - kept[:, 2], rgb_hat[:, 0] - rgb_hat[:, 2])  # the chroma is untouched
### END HIDDEN TESTS
