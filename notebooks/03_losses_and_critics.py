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
# # 3 · Losses and critics: the six equations
#
# **After this chapter you can** write each of the paper's six equations as a few lines of code, and
# say what it asks for; say what a critic is (a second network, which scores how real a picture
# looks) and compute which pixels one of its scores depends on; compute the gradient penalty, and
# say why BatchNorm breaks it; and explain why the weight λ of each loss matters.
#
# **Time:** about 30 minutes to read, under a minute to run. No generator is trained here.
#
# **Before this:** [chapter 2](02_generator.ipynb). You should know what a gradient is.

# %% tags=["parameters"]
profile = "mini"
seed = 0

# %% jupyter={"source_hidden": true} tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.patches import Rectangle
from torch.testing import assert_close
from torch.utils.data import default_collate

from scgan_lib import config, data, losses, networks, paper, pretrained, viz
from scgan_lib.vgg import VGGFeatures

viz.use_style()
p = config.from_environment(profile, seed)
torch.manual_seed(seed)
items = data.TrainingSet(p, stage=1, length=p.batch)
batch = default_collate([items[i] for i in range(min(p.batch, 8))])
gray, rgb, saliency = batch["gray"], batch["rgb"], batch["saliency"]
print("gray", tuple(gray.shape), "rgb", tuple(rgb.shape), "saliency", tuple(saliency.shape))

# %% [markdown]
# ## A stand-in for the generator
#
# To study losses, we need a prediction that is wrong in a way we understand. We make the real
# colours $c$ (`rgb`) pale, with 0.4 of their chroma, and call the result $\hat c$ (`rgb_hat`). We
# blur the real saliency $s$ (a mean over 9x9 pixels), multiply it by 0.7, and call the result
# $\hat s$ (`saliency_hat`). They take the place of $G_c(x)$ and $G_s(x)$.
#
# In each section, the code computes the loss by hand (`mine`) and checks it against the library.

# %%
rgb_hat = gray + 0.4 * (rgb - gray)
saliency_hat = 0.7 * F.avg_pool2d(saliency, 9, stride=1, padding=4, count_include_pad=False)


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def show(tensor):
    """(3,H,W) in [-1, 1] or (1,H,W) in [0, 1] -> uint8 picture."""
    picture = data.to_u8(tensor) if len(tensor) == 3 else (tensor * 255).to(torch.uint8)
    return picture.permute(1, 2, 0).numpy()


columns = {"c": rgb, "ĉ, pale": rgb_hat, "s": saliency, "ŝ, blurred": saliency_hat}
viz.grid([{name: show(x[i]) for name, x in columns.items()} for i in range(4)], blocks=2)

# %% [markdown]
# *c and s are the truth, ĉ and ŝ our stand-in.* In the shipped run (profile `mini`, seed 0) the
# left block shows two composites: cut-outs laid on photographs, so their saliency is known exactly.
#
# ## Equation 1: the pixel loss
#
# $$ L_{pixel} = \lVert c - G_c(x) \rVert_1 $$
#
# Here $\lVert\cdot\rVert_1$ is the *mean* (not the sum) of the absolute differences over all
# channels of all pixels.

# %%
mine = (rgb - rgb_hat).abs().mean()
assert_close(mine, losses.pixel_loss(rgb_hat, rgb))
error = (rgb - rgb_hat).abs().mean(1, keepdim=True)  # (B, 1, H, W)
print(f"pixel loss {mine:.4f}")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
viz.grid(
    [
        {"c": show(rgb[i]), "ĉ": show(rgb_hat[i]), "|c − ĉ|": show(error[i] / error.max())}
        for i in range(4)
    ],
    blocks=2,
)

# %% [markdown]
# *Bright: a large error.* Where the photo is gray anyway, a pale guess costs nothing. Colourful
# things cost much, but they are often small and hardly change a mean over all pixels.
#
# What does this loss *want* where the colour cannot be known? Take a number that says how red or
# how green a pixel is, and ten photos that look the same in gray. In six of them the number is −0.5
# (green), in four it is +0.6 (red). The network must predict the same number for all ten. Which one
# is best? The cell computes the expected loss of 401 guesses. It also prints two statistics of this
# batch's chroma: R−Y, G−Y and B−Y, where Y is the luma.

# %%
guess = torch.linspace(-1, 1, 401)
truth, share = torch.tensor([-0.5, 0.6]), torch.tensor([0.6, 0.4])
away = guess[:, None] - truth
absolute, squared = (away.abs() * share).sum(1), (away.square() * share).sum(1)
assert abs(guess[squared.argmin()] - (truth * share).sum()) < 0.01  # the mean
assert abs(guess[absolute.argmin()] + 0.5) < 0.01  # the median: the majority

chroma = (rgb - gray).transpose(0, 1).flatten(1)  # (3, pixels)
print("median of R−Y, G−Y, B−Y over this batch:", np.round(chroma.median(1).values.numpy(), 3))
print("their mean absolute value:              ", np.round(chroma.abs().mean(1).numpy(), 3))

# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(5, 2.4))
for name, curve in (("absolute error", absolute), ("squared error", squared)):
    best = guess[curve.argmin()]
    ax.plot(guess, curve, label=f"{name}: best guess {best:+.2f}")
    ax.plot(best, curve.min(), "o", color=ax.lines[-1].get_color())
ax.set(xlabel="guess", ylabel="expected loss")
ax.legend()
plt.show()

# %% [markdown]
# *Expected loss of every guess; the dots mark the best ones.* The squared error prefers the *mean*,
# a colour that none of the ten photos has. The absolute error prefers the *median*. With only two
# possible colours the median is one of them. With many it lies somewhere in the middle.
#
# If a network knows nothing about a pixel, its best guesses are the medians over all pixels,
# printed above the figure. They are near 0, which is gray; the real colours are much farther from
# gray (second line). So a network trained with equation 1 alone gives pale colours where it is
# unsure.

# %% [markdown]
# ## Equation 2: the attention loss
#
# $$ L_{attention} = \lVert c \odot s - G_c(x) \odot G_s(x) \rVert_1 $$
#
# This is the same distance, between *salient areas*: $c \odot s$ multiplies the colours of each
# pixel by its saliency. In our range, zero is mid-gray, so what is not salient becomes mid-gray.

# %%
salient, salient_hat = rgb * saliency, rgb_hat * saliency_hat
mine = (salient - salient_hat).abs().mean()
assert_close(mine, losses.attention_loss(rgb_hat, saliency_hat, rgb, saliency))
error = (salient - salient_hat).abs().mean(1, keepdim=True)
print(f"attention loss {mine:.4f}")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
columns = {"c": rgb, "c⊙s": salient, "ĉ⊙ŝ": salient_hat, "difference": error / error.max()}
viz.grid([{name: show(x[i]) for name, x in columns.items()} for i in range(4)], blocks=2)

# %% [markdown]
# *The product keeps the object and drops the rest.* This loss has two effects. First, errors on the
# object count twice, in equation 1 and again here. Second, it trains the saliency branch: no other
# loss compares the predicted map directly with the true one, $s$ (exact, or from the teacher of
# chapter 1). Suppose the colours were right, $\hat c = c$. Then
#
# $$ L_{attention} = \tfrac1{N}\sum |c|\,|s - \hat s| , $$
#
# and this is smallest if $\hat s = s$ at each pixel ($N$ is the number of values). But each pixel
# is weighted by $|c|$: where the picture is near mid-gray, the map is hardly trained. The next cell
# checks this formula and prints the cost of each of our two errors alone. In the shipped run, the
# wrong map costs more than twice as much as the pale colours.

# %%
only_map = losses.attention_loss(rgb, saliency_hat, rgb, saliency)
assert_close(only_map, (rgb.abs() * (saliency - saliency_hat).abs()).mean())
print(f"right colours, wrong map: {only_map:.4f}; right map, pale colours: ", end="")
print(f"{losses.attention_loss(rgb_hat, saliency, rgb, saliency):.4f}")

# %% [markdown]
# ## Critics that look at patches
#
# Equations 1 and 2 compare with *the* true picture. A **critic** asks another question: does this
# look like a photograph at all? It learns to give high scores to real pictures and low scores to
# generated ones. Pale guesses get low scores, because real photos are not pale.
#
# SCGAN has two critics with the same architecture. $D_c$ sees the gray input and the colours. $D_s$
# sees the gray input and the salient area. Both are *PatchGANs*: they give a map of scores, each
# for one patch, instead of a single score. How large is the patch? Go back from one score through
# the layers. Take a convolution with kernel size $k$ and stride $t$. To compute $r$ neighbouring
# pixels of its output, it reads $(r-1)\,t + k$ neighbouring pixels of its input.
#
# `receptive_field` does this from the last layer to the first. `first_pixel` gives the column in
# which the patch of a score begins (a negative one lies in the mirrored border). `full` is the
# critic at the paper's size. `released` has BatchNorm, as in the released code; the assert compares
# its number of parameters with theirs.


# %%
def receptive_field(critic):
    r = 1
    for block in reversed(critic.blocks):
        r = (r - 1) * block.conv.stride[0] + block.conv.kernel_size[0]
    return r


def first_pixel(critic, i):
    """The first pixel that score `i` of a row sees: padding moves it to the left."""
    for block in reversed(critic.blocks):
        i = i * block.conv.stride[0] - block.padding
    return i


with torch.device("meta"):
    full = networks.PatchCritic(width=64)
    scores = full(torch.zeros(1, 1, 256, 256), torch.zeros(1, 3, 256, 256))
    released = networks.PatchCritic(width=64, norm="batch")
assert sum(w.numel() for w in released.parameters()) == 5_766_144
print(f"full critic: a score sees {receptive_field(full)} pixels; ", end="")
print(f"256 x 256 pixels give {scores.shape[-2]} x {scores.shape[-1]} scores")

# %% [markdown]
# The paper says 70x70, the number known from the PatchGAN of pix2pix. The layers, which we take
# from the released code, give 69x69. We also *measure* it: the gradient of one score is non-zero
# only at the pixels that the score depends on. `plain` has the layers of the full critic (with
# fewer channels, which does not change the patch), `own` those of this profile's critic. The
# picture's first channel serves as the gray input.


# %%
def seen(critic, size, i):
    """|gradient| of the score in row and column i, by the pixels of a random picture."""
    torch.manual_seed(0)
    image = torch.randn(1, 3, size, size).requires_grad_()
    score = critic(image.detach()[:, :1], image)[0, 0, i, i]
    return torch.autograd.grad(score, image)[0].abs().sum((0, 1))  # (H, W)


plain = networks.PatchCritic(width=4, norm="none")
own = networks.PatchCritic(width=4, norm="none", layers=p.critic_layers)
field, own_field = receptive_field(plain), receptive_field(own)
influence = seen(plain, 128, 7)
columns = influence.sum(0).nonzero()[:, 0]
assert field == receptive_field(full) == len(columns) == 69
assert first_pixel(plain, 7) == columns[0]
print(f"measured: columns {columns[0]} to {columns[-1]}, {len(columns)} pixels, as computed")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
photo = data.test_picture(data.photos(p, "val")[0], 256)
small = data.center_crop(photo, p.image_size)
middle = p.image_size // 2 ** (p.critic_layers + 1) - 1
left = [first_pixel(own, i) for i in range(2 * middle + 1)]  # first and last patch inside the photo
inside = [i for i, x in enumerate(left) if 0 <= x <= p.image_size - own_field] or [middle]
fig, axes = plt.subplots(1, 3, figsize=(6.75, 2.4))
for ax, picture, critic, places in (
    (axes[0], photo, plain, [(6, 6), (15, 15), (23, 20)]),
    (axes[1], small, own, [(inside[0], inside[0]), (inside[-1], inside[-1])]),
):
    ax.imshow(picture)
    r = receptive_field(critic)
    for place, color in zip(places, ("white", "yellow", "cyan"), strict=False):
        x, y = (first_pixel(critic, i) - 0.5 for i in place)
        ax.add_patch(Rectangle((x, y), r, r, fill=False, edgecolor=color))
    ax.set_title(f"{r} of {len(picture)} pixels")
axes[2].imshow(influence[columns[0] : columns[-1] + 1, columns[0] : columns[-1] + 1], cmap="magma")
axes[2].set_title("how much each pixel counts")
for ax in axes:
    ax.set_axis_off()
plt.show()

# %% [markdown]
# *Left: what three scores of the full critic see. Middle: two scores of this profile's critic, the
# first and the last whose patch lies inside the photo. Right: the influence of each pixel on one
# score of an untrained critic; the middle of the patch counts most.* A patch of the full critic is
# large enough for a texture and too small for the scene. So it can say whether the colours of a
# part look natural; the other losses say which colours are the true ones. (In `mini`, a patch
# covers 37 of the 64 pixels of a side, much more of the scene.)
#
# A critic may use *layer norm*, which brings the whole map of one picture, all channels together,
# to mean 0 and variance 1. Then every score depends a little on every pixel:

# %%
with_norm = seen(networks.PatchCritic(width=4, norm="layer"), 128, 7)
patch = slice(int(columns[0]), int(columns[-1]) + 1)
outside = 1 - with_norm[patch, patch].sum() / with_norm.sum()
print(f"layer norm: {outside:.1%} of the influence comes from outside the 69x69 patch")

# %% [markdown]
# ## Equation 3: what the generator wants from the critics
#
# $$\begin{aligned}
# L_{adv} = &-\mathbb{E}[D_c(G_c(x))] \\
#           &- \mathbb{E}[D_s(G_c(x)\odot G_s(x))]
# \end{aligned}$$
#
# The generator wants high scores from both critics, so its loss is minus the two mean scores.
# $\mathbb{E}$ is the mean over the pictures of the batch and over the patches. The equation does
# not show the gray picture, which both critics also get.

# %%
torch.manual_seed(1)


def make_critic():
    return networks.PatchCritic(
        p.critic_width, layers=p.critic_layers, norm=p.critic_norm, spectral=p.critic_spectral
    )


color_critic, salient_critic = make_critic(), make_critic()
mine = -color_critic(gray, rgb_hat).mean() - salient_critic(gray, salient_hat).mean()
scores = color_critic(gray, rgb_hat), salient_critic(gray, salient_hat)
assert_close(mine, losses.adversarial_loss(*scores))
print(
    f"adversarial loss {mine.item():+.5f} with untrained critics, scores {tuple(scores[0].shape)}"
)

# %% [markdown]
# ## Equation 4: what a critic wants
#
# $$\begin{aligned}
# L_D = {}&\mathbb{E}[D(\hat c)] - \mathbb{E}[D(c)] \\
#    &+ \lambda_{gp}\,\mathbb{E}_z\big[(\lVert\nabla_z D(z)\rVert_2 - 1)^2\big]
# \end{aligned}$$
#
# $D$ stands for either critic; for $D_s$, read $c$ and $\hat c$ as the salient areas. The sum of
# the first two terms is low if real pictures get high scores and generated ones low scores. The
# *gap* is minus this sum: the mean score of the real pictures minus that of the generated ones. The
# third term, with $\lambda_{gp} = 10$, is the subject of the next two sections. (An untrained
# critic has a gap near 0, and its sign means nothing.)

# %%
real_score, fake_score = color_critic(gray, rgb), color_critic(gray, rgb_hat)
mine = fake_score.mean() - real_score.mean()
assert_close(mine, losses.critic_loss(real_score, fake_score))
assert_close(-mine, losses.critic_loss(fake_score, real_score))
print(f"critic loss {mine.item():+.5f}; the gap, real minus generated, is {-mine.item():+.5f}")

# %% [markdown]
# ### The penalty, in one dimension
#
# With the first two terms alone, a critic can cheat: if it multiplies its scores by 1000, the gap
# is 1000 times larger. The loss has no lowest value. WGAN-GP, the method behind equation 4, adds a
# *gradient penalty* (GP): between generated and real pictures the slope of $D$ should be 1. Take
# the simplest critic, $D(z) = w z$ with one number $z$: its slope is $w$. Let the real $z$ be
# larger than the generated one by $\Delta$, and write $\lambda$ for $\lambda_{gp}$. Then the loss
# $L$ and its best slope $w^*$ are
#
# $$\begin{aligned}
# L(w) &= -\Delta\, w + \lambda\,(|w| - 1)^2, \\
# w^* &= 1 + \frac{\Delta}{2\lambda}.
# \end{aligned}$$

# %%
delta, w = 1.5, torch.linspace(0, 4, 401)
curves = {lam: -delta * w + lam * (w.abs() - 1) ** 2 for lam in (0, 1, 10)}
for lam in (1, 10):
    assert abs(w[curves[lam].argmin()] - (1 + delta / (2 * lam))) < 0.011

# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(5, 2.6))
for lam, loss in curves.items():
    ax.plot(w, loss, label=f"λ = {lam}")
    if lam:
        ax.plot(w[loss.argmin()], loss.min(), "o", color=ax.lines[-1].get_color())
ax.set(xlabel="w, the slope of the critic", ylabel="critic's loss", ylim=(-6, 12))
ax.legend()
plt.show()

# %% [markdown]
# *Without a penalty the loss falls for ever; with λ = 10 the best slope is a little above 1.* At
# slope 1, the gap is the distance $\Delta$ between real and generated. That is why chapter 5 plots
# the gap. (The W in WGAN stands for Wasserstein, the name of such a distance.)
#
# ### The penalty on pictures
#
# A picture has many numbers, so the slope becomes the norm of the gradient of $D$ with respect to
# all of them. This gradient is taken at points $z = t\,c + (1-t)\,\hat c$ on the line between a
# real picture and its generated counterpart. For each *sample* (each picture of the batch), one $t$
# is drawn uniformly from 0 to 1, and $\mathbb{E}_z$ is the mean over these points.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
ts = (0.0, 0.25, 0.5, 0.75, 1.0)
viz.strip({f"t = {t}": show((t * rgb + (1 - t) * rgb_hat)[0]) for t in ts})

# %% [markdown]
# *The line from the generated picture, t = 0, to the real one, t = 1.*
#
# The cell computes the penalty by hand, and then for a critic whose gradient is known. The
# untrained critic is nearly flat (the printed norms are near 0), so its penalty is nearly
# $(0 - 1)^2 = 1$.

# %%
t = torch.rand(len(rgb), 1, 1, 1)
z = (t * rgb + (1 - t) * rgb_hat).requires_grad_()
one_number = color_critic(gray, z).flatten(1).mean(1)  # D(x, z): (B,)
(slope,) = torch.autograd.grad(one_number.sum(), z)  # samples do not mix: each gets its own
norm = slope.flatten(1).norm(dim=1)  # one norm a sample: (B,)
mine = (norm - 1).square().mean()
assert_close(
    mine, losses.gradient_penalty(color_critic, gray, rgb, rgb_hat, mix=t), rtol=1e-4, atol=1e-6
)

# a linear critic D(z) = <w, z> has the gradient w everywhere: a closed form to check against
direction = torch.randn(rgb.shape[1:], requires_grad=True)
penalty = losses.gradient_penalty(
    lambda gray, z: (z * direction).sum((1, 2, 3))[:, None], gray, rgb, rgb_hat
)
length = direction.norm()
assert_close(penalty, (length - 1) ** 2)
penalty.backward()  # and the penalty's own gradient reaches the critic's weights
assert_close(direction.grad, (2 * (length - 1) * direction / length).detach())
print(f"untrained critic: norms {norm.min():.1e} to {norm.max():.1e}, penalty {mine:.3f}")

# %% [markdown]
# ### One number a picture: mean or sum?
#
# A PatchGAN gives $n$ scores for a picture, but the penalty needs one number. Eq. 3 and 4 average
# the scores, so here the penalty holds the slope of their **mean** near 1. Many implementations
# take their **sum** (`torch.autograd.grad` with `grad_outputs` all ones). If the slope of the sum
# is held near 1, the slope of the mean is held near $1/n$.
#
# This limits the gap. From $\hat c$ to $c$, the mean score can rise by at most slope times
# distance. With the penalty on the sum, the gap is therefore at most about
# $\lVert c - \hat c\rVert_2 / n$, and the gradients that reach the generator are $n$ times smaller.
#
# `learn` trains a small critic to distinguish the photos of the batch from our stand-in; `patches`
# says which of the two the penalty is on.

# %%
n_scores = real_score[0].numel()
distance = (rgb - rgb_hat).flatten(1).norm(dim=1).mean()
print(f"{n_scores} scores a picture; distance to the stand-in {distance:.2f}")
print(f"the gap is at most {distance:.2f} with the penalty on the mean,")
print(f"and at most {distance / n_scores:.4f} with the penalty on the sum")


def learn(patches, steps=30):
    torch.manual_seed(0)
    critic = networks.PatchCritic(width=8, layers=2, norm="none")
    optimizer = torch.optim.Adam(critic.parameters(), 1e-3, betas=(0.5, 0.9))
    gaps = []
    for _ in range(steps):
        real_score, fake_score = critic(gray, rgb), critic(gray, rgb_hat)
        penalty = losses.gradient_penalty(critic, gray, rgb, rgb_hat, patches=patches)
        loss = losses.critic_loss(real_score, fake_score) + 10 * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        gaps.append((real_score.mean() - fake_score.mean()).item())
    return gaps


gaps = {patches: learn(patches) for patches in ("sum", "mean")}
for patches, gap in gaps.items():
    print(f"penalty on the {patches}: gap {gap[-1]:+.2g} after {len(gap)} steps")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(5, 2.4))
for patches, gap in gaps.items():
    ax.plot(gap, label=f"penalty on the {patches}")
ax.set(xlabel="critic steps on one batch", ylabel="gap")
ax.set_yscale("symlog", linthresh=1e-3)
ax.legend()
plt.show()

# %% [markdown]
# *The same small critic, batch and $\lambda_{gp}$; only the penalty differs.* Both gaps are still
# below their limits. So the weight of the adversarial loss, $\lambda_{adv}$ ($\lambda_3$ in
# equation 6), means nothing by itself. One must also know whether the penalty is on the mean or on
# the sum (the setting `penalty_patches`), and how many scores there are.
#
# ### Why BatchNorm breaks it
#
# The penalty needs the gradient of each sample's own score. With BatchNorm, the score and the
# gradient of a picture depend on the other pictures in its batch. We measure three things on a
# small critic, for each kind of normalisation (`instance` normalises each channel of each sample by
# itself):
#
# 1. *leak*: how strongly the score of sample 0 depends on the pixels of the other samples, divided
#    by how strongly it depends on its own;
# 2. *company*: how much the gradient of sample 0 changes when the rest of its batch is replaced by
#    other pictures;
# 3. *sum*: to save time, the penalty takes one gradient for the whole batch, that of all samples'
#    scores added up. How far is it, for sample 0, from the gradient of sample 0's own score?


# %%
def relative(a, b):
    return float((a - b).norm() / b.norm())


rows, first, others = [], torch.arange(4), torch.tensor([0, 4, 5, 6])
for kind in ("none", "instance", "layer", "batch"):
    torch.manual_seed(0)
    critic = networks.PatchCritic(width=8, layers=2, norm=kind)
    z, x = rgb[first % len(rgb)].clone().requires_grad_(), gray[first % len(rgb)]
    score = critic(x, z)
    (alone,) = torch.autograd.grad(score[0].sum(), z, retain_graph=True)  # of sample 0's score
    (together,) = torch.autograd.grad(score.sum(), z)
    z2, x2 = rgb[others % len(rgb)].clone().requires_grad_(), gray[others % len(rgb)]
    (exchanged,) = torch.autograd.grad(critic(x2, z2)[0].sum(), z2)  # beside other pictures
    leak = float(alone[1:].norm() / alone[0].norm())
    rows.append([kind, leak, relative(exchanged[0], alone[0]), relative(together[0], alone[0])])
table = pd.DataFrame(rows, columns=["normalisation", "leak", "company", "sum"])
table.style.hide(axis="index").format(precision=4)

# %%
alone, mixing = table[table.normalisation != "batch"], table[table.normalisation == "batch"]
assert (alone[["leak", "company", "sum"]] < 1e-3).all(axis=None)
assert (mixing[["leak", "company", "sum"]] > 1e-3).all(axis=None)
print("zero but for rounding: none, instance, layer; not zero: batch")

# %% [markdown]
# BatchNorm mixes the samples, so the WGAN-GP paper forbids it in the critic. The released code has
# both, BatchNorm and the penalty. Here the default is a critic that treats each sample by itself;
# `critic_norm="batch"` repeats the released choice.
#
# ### Two other critic losses
#
# For comparison, the library has two more kinds. Each is a mean over the scores:
#
# - *hinge* (`gan="hinge"`): $\max(0, 1 - D(c)) + \max(0, 1 + D(\hat c))$ for the critic,
#   $-D(\hat c)$ for the generator;
# - *least squares* (`gan="lsgan"`): $\tfrac12 (D(c) - 1)^2 + \tfrac12 D(\hat c)^2$ for the critic,
#   $\tfrac12 (D(\hat c) - 1)^2$ for the generator.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
score = torch.linspace(-3, 3, 121)
fig, axes = plt.subplots(1, 2, figsize=(6.75, 2.2), sharey=True)
for kind in ("wgan-gp", "hinge", "lsgan"):
    nothing = {"wgan-gp": 0.0, "hinge": -1.0, "lsgan": 0.0}[kind]  # a fake score that costs nothing
    real_cost = [losses.critic_loss(s, torch.tensor(nothing), kind) for s in score]
    line = "--" if kind == "hinge" else "-"
    axes[0].plot(score, real_cost, line, label=kind)
    axes[1].plot(score, [losses.adversarial_loss(s, None, kind) for s in score], line, label=kind)
axes[0].set(title="critic: cost of a real picture", xlabel="score")
axes[1].set(title="generator: cost of a generated picture", xlabel="score")
axes[0].legend()
plt.show()

# %% [markdown]
# *Left: the hinge loss (dashed) is zero once a real picture scores more than 1; least squares
# (`lsgan`) pulls the score to 1; the Wasserstein loss (`wgan-gp`) falls for ever, so it needs the
# penalty. Right: for the generator, hinge and Wasserstein are the same loss.*
#
# ## Equation 5: the perceptual loss
#
# $$ L_{perc} = \lVert \phi_l(c) - \phi_l(G_c(x)) \rVert_1 $$
#
# $\phi_l$ is the output of layer $l$ of a pre-trained VGG-16: its *features*. The layer is conv3_3
# (the third convolution of the third group), after the ReLU. The loss is small if the network gives
# both pictures similar features, so it matters what the network was trained for. The usual VGG-16
# has learned to recognise things. The one of the shipped run was then fine-tuned to find edges, so
# it may react more to outlines and less to things.
#
# The picture is first normalised with ImageNet's mean and standard deviation (chapter 2):
# `features` does this itself, the check does it by hand.

# %%
trunk = pretrained.vgg16_trunk(p.vgg)
features = VGGFeatures(trunk.state)
with torch.no_grad():
    normalised = ((rgb + 1) / 2 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    phi = features.features(normalised)  # (B, 256, H/4, W/4)
    phi_hat = features(rgb_hat)
    mine = (phi - phi_hat).abs().mean()
    assert_close(mine, losses.perceptual_loss(features, rgb_hat, rgb), rtol=1e-4, atol=1e-6)
print(trunk.name)
print(f"perceptual loss {mine:.4f}; spread of φ on this batch {phi.std():.2f}")

# %% [markdown]
# **Mind the scale.** The published ImageNet weights are used as they are. If they cannot be fetched
# (a message says so), as in the shipped run, the *offline trunk* is used: the convolutions of
# another VGG-16, from a Python package. It was trained on values of 0..255, so its features are
# many times larger. We divide them by a constant that makes their standard deviation 1 on the
# training photos at 256 pixels. Even so, never compare perceptual losses of runs that used
# different networks.
#
# What does this loss see that the pixel loss does not? We spoil the photos in several ways.

# %%
spoiled = {
    "pale": rgb_hat,
    "gray": gray.expand_as(rgb),
    "moved 2 px": rgb.roll(2, -1),
    "blurred": F.avg_pool2d(rgb, 3, 1, 1, count_include_pad=False),
    "red ↔ blue": rgb.flip(1),
    "another photo": rgb.roll(1, 0),
}
rows = []
for name, picture in spoiled.items():
    seen_by_vgg = losses.perceptual_loss(features, picture, rgb).item()
    rows.append([name, losses.pixel_loss(picture, rgb).item(), seen_by_vgg])
table = pd.DataFrame(rows, columns=["spoiled", "pixel loss", "perceptual loss"])
table = table.set_index("spoiled").rename_axis(None)
table["perceptual / pixel"] = ratio = table["perceptual loss"] / table["pixel loss"]
print(f"perceptual / pixel is highest for: {ratio.idxmax()}; lowest for: {ratio.idxmin()}")
table.style.format(precision=3)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
last = len(rgb) - 1
viz.strip({"real": show(rgb[last])} | {name: show(x[last]) for name, x in spoiled.items()})

# %% [markdown]
# *One photo, spoiled in each way.* Where the last column of the table is high, the perceptual loss
# reacts strongly and the pixel loss weakly. On the shipped photos the blur has the highest number:
# textures are gone, and the pixel loss is small. The colour swap has the lowest: the pixel loss is
# large, and the perceptual loss reacts less. The map below shows where the features of the gray
# copy are wrong.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
with torch.no_grad():
    wrong = (features(rgb) - features(gray.expand_as(rgb))).abs().mean(1, keepdim=True)
wrong = F.interpolate(wrong / wrong.max(), size=rgb.shape[-1], mode="nearest")
order = wrong.mean((1, 2, 3)).argsort(descending=True)[:4]
viz.grid([{"real": show(rgb[i]), "φ error of gray": show(wrong[i])} for i in order], blocks=4)

# %% [markdown]
# *Bright: large errors of the features. The four photos of the batch with the largest mean.*
#
# The released code feeds φ with the picture as it is, not normalised, and takes the features
# *before* the ReLU. That measures something else, so the released $\lambda_4 = 5$ in equation 6 is
# only a starting point for us:

# %%
released = VGGFeatures(trunk.state, fidelity="released")
one, two = (losses.perceptual_loss(f, rgb_hat, rgb).item() for f in (features, released))
print(f"the paper's reading {one:.4f}, the released one {two:.4f}: {two / one:.2f} times")

# %% [markdown]
# ## Equation 6: the sum, and why λ matters
#
# $$\begin{aligned}
# L_G = {}&\lambda_1 L_{pixel} + \lambda_2 L_{attention} \\
#         &+ \lambda_3 L_{adv} + \lambda_4 L_{perc}
# \end{aligned}$$
#
# The column λ of the table below gives $\lambda_1$ to $\lambda_4$. Stage 1 of the training
# (chapter 4) has the first two terms, stage 2 (chapter 5) all four. What a term does in training
# depends not on its *value* but on its *gradient*. We measure both on the stand-in: the *pull* is
# the norm of the term's gradient with respect to the predicted colours $\hat c$ (the map $\hat s$
# is held fixed).

# %%
c_hat = rgb_hat.clone().requires_grad_()
terms = {
    "pixel": losses.pixel_loss(c_hat, rgb),
    "attention": losses.attention_loss(c_hat, saliency_hat, rgb, saliency),
    "perceptual": losses.perceptual_loss(features, c_hat, rgb),
    "adversarial": losses.adversarial_loss(
        color_critic(gray, c_hat), salient_critic(gray, c_hat * saliency_hat)
    ),
}
lam = {name: getattr(p.loss, name) for name in terms}
assert_close(sum(lam[k] * v for k, v in terms.items()), losses.generator_loss(terms, p.loss))
rows = []
for name, value in terms.items():
    (pull,) = torch.autograd.grad(value, c_hat, retain_graph=True)
    rows.append(
        [name, lam[name], value.item(), lam[name] * value.item(), lam[name] * pull.norm().item()]
    )
table = pd.DataFrame(rows, columns=["term", "λ", "value", "λ · value", "λ · pull"])
table = table.set_index("term").rename_axis(None)
table.style.format("{:.4g}")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(6.75, 2.0))
for ax, column in zip(axes, ("λ · value", "λ · pull"), strict=True):
    ax.barh(table.index, table[column].abs())
    ax.set(xlabel=f"|{column}|, logarithmic", xscale="log")
    ax.invert_yaxis()
plt.show()

# %% [markdown]
# *The weighted size of each term, and how hard it pulls at the pixels.* On the shipped photos the
# perceptual loss pulls more than twenty times as hard as the pixel loss: its λ is the released one,
# which has not been tuned for these pictures.
#
# The adversarial term is nearly 0 because the critics are untrained. How hard does a critic of
# slope 1 pull, compared with the pixel loss?
#
# - With the penalty on the mean of the scores, a critic has slope 1 for each picture. The loss is a
#   mean over $B$ pictures, so each picture adds a gradient of norm $1/B$. The norm over all of them
#   is $\sqrt{B \cdot 1/B^2} = 1/\sqrt{B}$. For $D_s$ this is an upper bound, because its gradient
#   reaches $\hat c$ through the factor $\hat s \le 1$.
# - With the penalty on the sum of $n$ scores, it pulls $n$ times less.
# - The pixel loss, for pictures of $S \times S$ pixels, is a mean over $N = 3 S^2 B$ values. Each
#   of them has the gradient $\pm 1/N$, so the norm is $1/\sqrt{N} = 1/\sqrt{B \cdot 3 S^2}$.
#
# So one critic and the pixel loss (whose own λ is 1) pull equally hard at
# $\lambda_{adv} = 1/(\sqrt3\,S)$ with the penalty on the mean, and at
# $\lambda_{adv} = n/(\sqrt3\,S)$ with the penalty on the sum. The cell prints both for this profile
# and for the paper's $S = 256$ pixels and $n = 30 \cdot 30 = 900$ scores.

# %%
pixel_pull = table.loc["pixel", "λ · pull"] / lam["pixel"]
side = rgb.shape[-1]
print(f"penalty on the mean: one critic pulls with at most {len(rgb) ** -0.5:.2g},")
print(f"the pixel loss with {pixel_pull:.2g}: equal at λ = {1 / (3**0.5 * side):.2g}")
print(f"penalty on the sum of {n_scores}: equal at λ = {n_scores / (3**0.5 * side):.2g}")
for n, kind in ((1, "mean"), (900, "sum")):
    print(f"256 pixels, 900 scores, penalty on the {kind}: {n / (3**0.5 * 256):.2g}")
print(f"the released λ is 0.05, this profile's {lam['adversarial']}")

# %% [markdown]
# So at 256 pixels the released 0.05 is a strong weight if the penalty is on the mean of the scores,
# and a weak one if it is on their sum. For a short training, λ has to be found by trying, on
# *validation* photos. Chapter 5 shows the effect of this profile's λ.
#
# ## All six, and where they live

# %% jupyter={"source_hidden": true} tags=["hide-input"]
rows = [[n, e.title, ", ".join(e.functions)] for n, e in paper.EQUATIONS.items()]
pd.DataFrame(rows, columns=["equation", "name", "functions"]).style.hide(axis="index")

# %% [markdown]
# ## What differs from the paper and from the released code

# %%
paper.show_deviations("03")

# %% [markdown]
# ## Try it
#
# **1.** The branch predicts an empty map, $\hat s = 0$. What is the attention loss then? And what
# would it be if equation 2 used the predicted map on both sides,
# $\lVert c \odot \hat s - \hat c \odot \hat s \rVert_1$?
# <details><summary>Solution</summary>
#
# `losses.attention_loss(rgb_hat, 0 * saliency, rgb, saliency)` is the mean of $|c \odot s|$. With
# $\hat s$ on both sides, `losses.attention_loss(rgb_hat, 0 * saliency, rgb, 0 * saliency)`, it is
# 0, whatever the colours are: the branch would only have to empty its map. So $s$ must not come
# from the branch itself.
# </details>
#
# **2.** A critic has four layers with stride 2. How many pixels does a score see? How large must a
# picture be if a patch is to be only a part of it?
# <details><summary>Solution</summary>
#
# `receptive_field(networks.PatchCritic(layers=4))` is 133, so the picture must have more than 133
# pixels a side. In a smaller one, the scores in the middle see almost all of it or all of it, as
# those of an ordinary critic do.
# </details>
#
# **3.** Show that a constant critic, $D(z) = 0 \cdot z$, does not give `nan` in the penalty.
# <details><summary>Solution</summary>
#
# ```python
# losses.gradient_penalty(lambda g, z: 0 * z.sum((1, 2, 3))[:, None], gray, rgb, rgb_hat)
# ```
# It is (0 − 1)² = 1. The library adds $10^{-12}$ under the root, so the root's gradient stays
# finite.
# </details>
#
# **Exercises:** four functions to write, each with a test that checks yours. `make exercises` puts
# them in `build/exercises/student/`; the solutions are in
# [exercises/03_losses_and_critics.py](exercises/03_losses_and_critics.py).
#
# ## Three lines to remember
#
# 1. The absolute error prefers the median of all possible colours, which is often near gray. So the
#    pixel loss alone gives pale pictures.
# 2. A critic's gap means something only while the gradient penalty holds the slope of the critic
#    near 1, and the penalty needs a critic that treats each sample by itself.
# 3. What a loss term does depends on λ times its gradient, not on its value.
#
# **Next:** [chapter 4, stage 1](04_stage1_l1_pretraining.ipynb).
