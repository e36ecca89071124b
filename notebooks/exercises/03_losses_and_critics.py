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
# # Exercises 3 · Losses, the penalty, and a critic that cheats
#
# For chapter 3 (`03_losses_and_critics.ipynb`). Write the body of each function, then run the
# cell below it. A test cell that says nothing has passed.

# %%
import torch
from torch.testing import assert_close

from scgan_lib import losses, networks

# %% [markdown]
# ## 1 · The pixel loss, eq. 1 (1 point)
#
# $$L_{pixel} = \lVert c - \hat c \rVert_1 ,$$
#
# here the mean over every channel of every pixel of every picture.


# %% solution="pixel-loss"
def pixel_loss(rgb_hat, rgb):
    """Mean absolute difference of two (B, 3, H, W) tensors, a scalar tensor."""
    ### BEGIN SOLUTION
    return (rgb - rgb_hat).abs().mean()
    ### END SOLUTION


# %% test="pixel-loss" points=1
rgb = torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1)
rgb_hat = torch.tensor([0.5, 0.0, 0.0]).view(1, 3, 1, 1)
assert_close(pixel_loss(rgb_hat, rgb), torch.tensor(0.5))  # (0.5 + 0 + 1) / 3
### BEGIN HIDDEN TESTS
rgb, rgb_hat = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
assert_close(pixel_loss(rgb_hat, rgb), losses.pixel_loss(rgb_hat, rgb))
### END HIDDEN TESTS

# %% [markdown]
# ## 2 · Salient area and the attention loss, eq. 2 (2 points)
#
# The *salient area* of a picture is $c \odot s$: each pixel's colours times its saliency. Eq. 2
# compares the real salient area with the predicted one,
#
# $$L_{attention} = \lVert c \odot s - \hat c \odot \hat s \rVert_1 .$$


# %% solution="attention-loss"
def attention_loss(rgb_hat, saliency_hat, rgb, saliency):
    """Eq. 2, a mean: colours are (B, 3, H, W), saliency maps are (B, 1, H, W)."""
    ### BEGIN SOLUTION
    return (rgb * saliency - rgb_hat * saliency_hat).abs().mean()
    ### END SOLUTION


# %% test="attention-loss" points=2
rgb, rgb_hat = torch.ones(1, 3, 1, 2), torch.full((1, 3, 1, 2), 0.5)
saliency = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)  # the left pixel is the object
saliency_hat = torch.tensor([0.5, 0.5]).view(1, 1, 1, 2)
# left |1 · 1 - 0.5 · 0.5| = 0.75, right |1 · 0 - 0.5 · 0.5| = 0.25, their mean 0.5
assert_close(attention_loss(rgb_hat, saliency_hat, rgb, saliency), torch.tensor(0.5))
nothing = torch.zeros(1, 1, 1, 2)  # where nothing is salient, wrong colours cost nothing
assert_close(attention_loss(rgb_hat, nothing, rgb, nothing), torch.tensor(0.0))
### BEGIN HIDDEN TESTS
four = [torch.rand(2, channels, 4, 5) for channels in (3, 1, 3, 1)]
assert_close(attention_loss(*four), losses.attention_loss(*four))
### END HIDDEN TESTS

# %% [markdown]
# ## 3 · The gradient penalty of a given critic (4 points)
#
# $$z = t\,c + (1-t)\,\hat c, \qquad
# \mathbb{E}_z\big[(\lVert\nabla_z D(z)\rVert_2 - 1)^2\big] .$$
#
# $D$ is one number a picture: the *mean* of its patch scores. The norm runs over all numbers of one
# picture, the mean $\mathbb{E}$ over the pictures. The penalty must have a gradient of its own, for
# the critic learns from it.


# %% solution="gradient-penalty"
def gradient_penalty(critic, gray, real, fake, t):
    """The penalty, a scalar; `critic(gray, z)` gives scores (B, 1, h, w), t is (B, 1, 1, 1)."""
    ### BEGIN SOLUTION
    z = (t * real + (1 - t) * fake).detach().requires_grad_()
    score = critic(gray, z).flatten(1).mean(1)  # (B,)
    (slope,) = torch.autograd.grad(score.sum(), z, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()
    ### END SOLUTION


# %% test="gradient-penalty" points=4
gray, real, fake = torch.zeros(2, 1, 1, 1), torch.zeros(2, 3, 1, 1), torch.zeros(2, 3, 1, 1)
real[:, 0] = 2  # the way from fake to real: from (0, 0, 0) to (2, 0, 0)
t = torch.tensor([0.5, 1.0]).view(2, 1, 1, 1)

# D(z) = <w, z> has the gradient w everywhere; four equal scores have the mean of one
w = torch.tensor([2.0, 1.0, 2.0]).view(1, 3, 1, 1).requires_grad_()  # of length 3
penalty = gradient_penalty(
    lambda gray, z: (w * z).sum(1, keepdim=True).expand(-1, -1, 2, 2), gray, real, fake, t
)
assert_close(penalty.detach(), torch.tensor(4.0))  # (3 - 1)²
penalty.backward()
assert_close(w.grad, (2 * (3 - 1) * w / 3).detach())

# D(z) = |z|² / 2 has the gradient z: of length 1 for the first picture, 2 for the second
bowl = gradient_penalty(lambda gray, z: z.square().sum(1, keepdim=True) / 2, gray, real, fake, t)
assert_close(bowl.detach(), torch.tensor(0.5))  # (0² + 1²) / 2
### BEGIN HIDDEN TESTS
torch.manual_seed(0)
critic = networks.PatchCritic(width=4, layers=2, norm="none")
gray, real, fake = torch.rand(2, 1, 16, 16), torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
theirs = losses.gradient_penalty(critic, gray, real, fake, mix=t)
assert_close(gradient_penalty(critic, gray, real, fake, t), theirs, rtol=1e-4, atol=1e-6)
### END HIDDEN TESTS

# %% [markdown]
# ## 4 · A critic that cheats (3 points)
#
# A critic wants a large gap: the mean score of real pictures minus that of generated ones. Without
# a penalty, it only has to multiply its scores. With the penalty, a critic that may be any function
# can still cheat: the penalty looks at the slope in a few points only.
#
# In this exercise all real pictures are bright (mean above 0), and all generated ones are dark
# (mean below 0). Return a critic whose gap grows with $k$ while its penalty stays at 1 or less, so
# that
#
# $$L_D = -\text{gap} + 10 \cdot \text{penalty}$$
#
# has no lowest value. *A hint: which function jumps, and is flat on both sides of the jump?*


# %% solution="critic-that-cheats"
def cheating_critic(k):
    """A function critic(gray, image) -> (B, 1) scores, each from its own picture alone."""
    ### BEGIN SOLUTION
    return lambda gray, image: k * torch.sign(image.mean((1, 2, 3)))[:, None]
    ### END SOLUTION


# %% test="critic-that-cheats" points=3
torch.manual_seed(0)
gray, real, fake = torch.zeros(8, 1, 4, 4), torch.rand(8, 3, 4, 4), -torch.rand(8, 3, 4, 4)
for k in (1, 1000):
    critic = cheating_critic(k)
    gap = -losses.critic_loss(critic(gray, real), critic(gray, fake))
    assert gap >= k
    assert losses.gradient_penalty(critic, gray, real, fake) <= 1.001
    assert_close(critic(gray[:1], real[:1]), critic(gray, real)[:1])  # no look at the others

# %% [markdown]
# Why is this no trick for a network of convolutions and LeakyReLU? Such a network is continuous. It
# has to climb the step somewhere, and the random points $z$ can fall on the way up. But remember
# what the cheat looks like in a log: a penalty of 1 says that the critic has no slope where it was
# asked.
