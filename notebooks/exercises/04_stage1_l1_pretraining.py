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
# # Exercises 4 · The rate, the safe guess, one step of stage 1
#
# For chapter 4 (`04_stage1_l1_pretraining.ipynb`). Write the body of each function, then run the
# cell below it. A test cell that says nothing has passed.

# %%
import math

import torch
from torch.testing import assert_close

from scgan_lib import losses

# %% [markdown]
# ## 1 · The cosine schedule (2 points)
#
# The learning rate of the small profiles follows half a cosine from its full value to 0. At step
# $i$ of $n$ it is multiplied by
#
# $$\tfrac12 \big(1 + \cos(\pi\, i / n)\big) ,$$
#
# and it stays at 0 after step $n$.


# %% solution="cosine-schedule"
def rate(step, steps):
    """Factor of the learning rate at `step`, between 0 and 1."""
    ### BEGIN SOLUTION
    return 0.5 * (1 + math.cos(math.pi * min(step / steps, 1)))
    ### END SOLUTION


# %% test="cosine-schedule" points=2
assert rate(0, 300) == 1
assert abs(rate(100, 300) - 0.75) < 1e-9  # cos 60° = 0.5
assert abs(rate(150, 300) - 0.5) < 1e-9
assert abs(rate(300, 300)) < 1e-9
assert abs(rate(400, 300)) < 1e-9  # after the end
### BEGIN HIDDEN TESTS
curve = [rate(step, 40) for step in range(41)]
assert curve == sorted(curve, reverse=True)
assert all(abs(curve[i] + curve[40 - i] - 1) < 1e-9 for i in range(41))
### END HIDDEN TESTS

# %% [markdown]
# ## 2 · The safe guess (3 points)
#
# One gray pixel may have several colours $v_j$, the $j$-th in a share $q_j$ of all photos. The
# network has to give one number $g$ for all of them. Find the one with the smallest expected loss,
#
# $$\min_g \sum_j q_j\, |v_j - g|^r ,$$
#
# where $r = 1$ is the absolute and $r = 2$ the squared error. Try the given guesses one by one (or
# all at once), no formula is needed.


# %% solution="safe-guess"
def safe_guess(values, shares, r, guesses):
    """The best of `guesses` (N,) for colours `values` (J,) that occur in `shares` (J,)."""
    ### BEGIN SOLUTION
    expected = (shares * (values - guesses[:, None]).abs() ** r).sum(1)  # (N,)
    return guesses[expected.argmin()]
    ### END SOLUTION


# %% test="safe-guess" points=3
guesses = torch.linspace(-1, 1, 201)  # -1, -0.99, ..., 1
values, shares = torch.tensor([-0.5, 0.6]), torch.tensor([0.6, 0.4])
assert abs(safe_guess(values, shares, 1, guesses) + 0.5) < 0.001  # the median: the majority
assert abs(safe_guess(values, shares, 2, guesses) + 0.06) < 0.001  # the mean, 0.4·0.6 - 0.6·0.5
### BEGIN HIDDEN TESTS
values, shares = torch.tensor([-0.9, 0.0, 0.8]), torch.tensor([0.3, 0.3, 0.4])
assert abs(safe_guess(values, shares, 1, guesses)) < 0.001  # gray, though 0.8 is more frequent
assert abs(safe_guess(values, shares, 2, guesses) - 0.05) < 0.001
### END HIDDEN TESTS

# %% [markdown]
# ## 3 · One step of stage 1 (4 points)
#
# Paint, compare, learn: minimise
#
# $$\lambda_1 L_{pixel} + \lambda_2 L_{attention}$$
#
# by one step of the optimiser. Use `losses.pixel_loss` and `losses.attention_loss`. Gradients of
# the step before must not be left over.


# %% solution="stage1-step"
def stage1_step(generator, optimizer, batch, pixel, attention):
    """One update with weights λ `pixel` and `attention`; returns the loss before it, as a float.

    `generator(gray)` gives (rgb_hat, saliency_hat); `batch` has gray, rgb and saliency.
    """
    ### BEGIN SOLUTION
    rgb_hat, saliency_hat = generator(batch["gray"])
    total = pixel * losses.pixel_loss(rgb_hat, batch["rgb"])
    total = total + attention * losses.attention_loss(
        rgb_hat, saliency_hat, batch["rgb"], batch["saliency"]
    )
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    return total.item()
    ### END SOLUTION


# %% test="stage1-step" points=4
# A generator of two numbers: it paints everything in v · gray, and says saliency u everywhere.
v, u = torch.tensor(0.5, requires_grad=True), torch.tensor(0.5, requires_grad=True)
optimizer = torch.optim.SGD([v, u], lr=0.1)
batch = {"gray": torch.ones(2, 1, 4, 4), "rgb": torch.ones(2, 3, 4, 4)}
batch["saliency"] = torch.ones(2, 1, 4, 4)


def generator(gray):
    return v * gray.expand(-1, 3, -1, -1), u * torch.ones_like(gray)


# |1 - v| + 2 |1 - v u| = 0.5 + 2 · 0.75; by v: -1 - 2u = -2, by u: -2v = -1
assert abs(stage1_step(generator, optimizer, batch, pixel=1, attention=2) - 2.0) < 1e-5
assert_close(torch.stack([v, u]).detach(), torch.tensor([0.7, 0.6]))
# 0.3 + 2 · 0.58; by v: -2.2, by u: -1.4
assert abs(stage1_step(generator, optimizer, batch, pixel=1, attention=2) - 1.46) < 1e-5
assert_close(torch.stack([v, u]).detach(), torch.tensor([0.92, 0.74]))
