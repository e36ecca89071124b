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
# # Exercises 5 · The generator's total, a critic's step, a log
#
# For chapter 5 (`05_stage2_adversarial_training.ipynb`). Write the body of each function, then
# run the cell below it. A test cell that says nothing has passed.

# %%
import numpy as np
import torch
from torch.testing import assert_close

from scgan_lib import losses
from scgan_lib.config import LossWeights

# %% [markdown]
# ## 1 · The generator's total, eq. 3 and 6 (2 points)
#
# $$L_{adv} = -\mathbb{E}[D_c(\hat c)] - \mathbb{E}[D_s(\hat c \odot \hat s)] ,$$
# $$L_G = \lambda_1 L_{pixel} + \lambda_2 L_{attention} + \lambda_3 L_{adv} + \lambda_4 L_{perc} .$$
#
# The weights are `weights.pixel`, `weights.attention`, `weights.adversarial` and
# `weights.perceptual`.


# %% solution="generator-total"
def generator_total(pixel, attention, perceptual, color_scores, salient_scores, weights):
    """Eq. 6 from three loss terms and both critics' scores of the generated pictures."""
    ### BEGIN SOLUTION
    adversarial = -color_scores.mean() - salient_scores.mean()
    total = weights.pixel * pixel + weights.attention * attention
    return total + weights.adversarial * adversarial + weights.perceptual * perceptual
    ### END SOLUTION


# %% test="generator-total" points=2
weights = LossWeights(pixel=1.0, attention=10.0, adversarial=0.5, perceptual=5.0)
pixel, attention, perceptual = torch.tensor([0.2, 0.1, 0.4])
color_scores, salient_scores = torch.tensor([1.0, 3.0]), torch.tensor([-2.0, 0.0])
total = generator_total(pixel, attention, perceptual, color_scores, salient_scores, weights)
assert_close(total, torch.tensor(2.7))  # 1 · 0.2 + 10 · 0.1 + 0.5 · (-2 + 1) + 5 · 0.4
### BEGIN HIDDEN TESTS
terms = dict(zip(("pixel", "attention", "perceptual"), torch.rand(3), strict=True))
scores = torch.randn(2, 1, 6, 6), torch.randn(2, 1, 6, 6)
mine = generator_total(*terms.values(), *scores, LossWeights())
terms["adversarial"] = losses.adversarial_loss(*scores)
assert_close(mine, losses.generator_loss(terms, LossWeights()))
### END HIDDEN TESTS

# %% [markdown]
# ## 2 · A step of the colour critic, eq. 4 (4 points)
#
# $$L_D = \mathbb{E}[D(\hat c)] - \mathbb{E}[D(c)]
# + \lambda_{gp}\,\mathbb{E}_z\big[(\lVert\nabla_z D(z)\rVert_2 - 1)^2\big] .$$
#
# Use `losses.critic_loss` and `losses.gradient_penalty`. The critic learns, the generator does not:
# no gradient may reach it.


# %% solution="critic-step"
def critic_step(critic, optimizer, generator, batch, penalty_weight):
    """One update of `critic`; returns the gap before it, real minus generated, as a float.

    `generator(gray)` gives (rgb_hat, saliency_hat); `batch` has gray and rgb.
    """
    ### BEGIN SOLUTION
    gray, real = batch["gray"], batch["rgb"]
    fake = generator(gray)[0].detach()
    real_scores, fake_scores = critic(gray, real), critic(gray, fake)
    loss = losses.critic_loss(real_scores, fake_scores)
    loss = loss + penalty_weight * losses.gradient_penalty(critic, gray, real, fake)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return (real_scores.mean() - fake_scores.mean()).item()
    ### END SOLUTION


# %% test="critic-step" points=4
# A critic of one number: w times the picture's red, which is 1 in real and 0 in generated pictures.
w, v = torch.tensor(0.5, requires_grad=True), torch.tensor(0.0, requires_grad=True)
batch = {"gray": torch.ones(4, 1, 1, 1), "rgb": torch.ones(4, 3, 1, 1)}


def generator(gray):
    return v * gray.expand(-1, 3, -1, -1), gray


def critic(gray, image):
    return w * image[:, :1]


optimizer = torch.optim.SGD([w], lr=0.01)
# -w + 10 (w - 1)², by w: -1 + 20 (w - 1) = -11
assert abs(critic_step(critic, optimizer, generator, batch, penalty_weight=10) - 0.5) < 1e-5
assert_close(w.detach(), torch.tensor(0.61))
assert v.grad is None, "a gradient has reached the generator"
for _ in range(200):
    critic_step(critic, optimizer, generator, batch, penalty_weight=10)
assert_close(w.detach(), torch.tensor(1.05))  # chapter 3: 1 + 1 / (2 · 10)

# %% [markdown]
# ## 3 · The Wasserstein estimate of a log (3 points)
#
# If a critic's slope is about 1, its gap estimates how far generated pictures are from real ones:
# the Wasserstein distance. Batches differ, so take the mean gap over the last fifth of the log:
# `len(gap) // 5` rows, and at least one. The penalty tells whether to trust it: its mean $p$ over
# the same rows is the mean of $(\lVert\nabla\rVert - 1)^2$, so the slope is off by about
# $\sqrt{p}$. Trust the estimate if it is positive and $\sqrt{p} \le 0.5$.


# %% solution="wasserstein-estimate"
def wasserstein_estimate(gap, penalty):
    """Gaps and penalties (N,) of a critic's log -> (the estimate, whether to trust it)."""
    ### BEGIN SOLUTION
    rows = max(1, len(gap) // 5)
    estimate, p = np.mean(gap[-rows:]), np.mean(penalty[-rows:])
    return estimate, bool(estimate > 0 and np.sqrt(p) <= 0.5)
    ### END SOLUTION


# %% test="wasserstein-estimate" points=3
gap = np.array([0.0, 0.1, 0.3, 0.9, 0.8, 0.7, 0.7, 0.6, 0.6, 0.4])
penalty = np.array([1.0, 0.9, 0.5, 0.3, 0.2, 0.2, 0.2, 0.2, 0.16, 0.04])
estimate, trusted = wasserstein_estimate(gap, penalty)
assert abs(estimate - 0.5) < 1e-9 and trusted  # the slope is off by about √0.1 = 0.32
assert not wasserstein_estimate(gap, np.ones(10))[1]  # a penalty of 1: a critic without slope
assert not wasserstein_estimate(-gap, penalty)[1]  # generated pictures score higher than real ones
### BEGIN HIDDEN TESTS
estimate, trusted = wasserstein_estimate(np.array([9.0, 9.0, 0.2]), np.array([0.0, 0.0, 0.3]))
assert abs(estimate - 0.2) < 1e-9 and not trusted  # a short log: the last row; √0.3 = 0.55
assert abs(wasserstein_estimate(np.arange(14.0), np.zeros(14))[0] - 12.5) < 1e-9  # two rows
### END HIDDEN TESTS
