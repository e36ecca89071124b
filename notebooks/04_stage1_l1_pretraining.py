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
# # 4 · Stage 1: the generator learns alone
#
# **After this chapter you can** say what the first stage trains, and with which settings; read its
# log and its pictures over time; measure what the saliency branch has learned; explain why the
# colours are pale; and check that a killed run resumes exactly.
#
# **Time:** 15 minutes to read. The training cell takes some minutes on a two-core laptop with the
# profile `mini`, and seconds with `smoke`. If the stage is already trained, it returns at once.
#
# **Before this:** [chapter 3](03_losses_and_critics.ipynb), equations 1 and 2.

# %% tags=["parameters"]
profile = "mini"
seed = 0

# %% jupyter={"source_hidden": true} tags=["hide-input"]
import inspect
import json
import os
import tempfile
from unittest import mock

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from skimage.color import rgb2lab

from scgan_lib import colorize, config, data, loop, metrics, paper, saliency, tables, training, viz
from scgan_lib.paths import ROOT, cache_dir

viz.use_style()
p = config.from_environment(profile, seed)

# %% [markdown]
# ## Why two stages
#
# If a GAN starts from random weights, noise is easy to distinguish from photographs. The critic
# rejects every generated picture, and the generator learns little from it. So in the paper the
# generator is first trained alone, with the two losses that need no critic:
#
# $$\begin{aligned}
# &\lambda_1 \lVert c - G_c(x)\rVert_1 \\
# &+ \lambda_2 \lVert c\odot s - G_c(x)\odot G_s(x)\rVert_1 .
# \end{aligned}$$
#
# When stage 2 begins, the colours are already plausible, so the critics have to learn finer
# differences.
#
# ## The settings of this run

# %% jupyter={"source_hidden": true} tags=["hide-input"]
stage1 = {
    "training photos": len(data.photos(p, "train")),
    "cut-outs laid on them, share of a batch": p.composites,
    "pixels a side": p.image_size,
    "batch": p.batch,
    "steps": p.stage1_steps,
    "passes over the photos": round(p.stage1_steps * p.batch / len(data.photos(p, "train")), 1),
    "optimiser": f"{p.optimizer}, β {p.betas}, weight decay {p.weight_decay}",
    "learning rate": f"{p.stage1_lr}, schedule: {p.schedule}",
    "λ pixel, λ attention": (p.loss.pixel, p.loss.attention),
    "saliency teacher": p.teacher,
}
pd.Series(stage1, name=f"profile {p.name}").astype(str).to_frame()

# %% [markdown]
# The paper's run (profile `imagenet`) uses the same code with other settings: 256 pixels, batches
# of 8, and about 128,000 photos, each seen ten times.
#
# ## One step
#
# The first function is one whole step of stage 1. Both stages use the second function. It adds
# equation 2 only if saliency guidance is on; `saliency_guidance=False` is the ablation without
# guidance.

# %%
print(inspect.getsource(training.stage1_step))
print(inspect.getsource(training.guided_terms))

# %% [markdown]
# ## Train
#
# This cell trains the stage or resumes an interrupted run.

# %%
weights = training.train(p, 1)
print("weights:", weights.relative_to(p.results))

# %% [markdown]
# ## The log

# %% jupyter={"source_hidden": true} tags=["hide-input"]
log = pd.read_csv(training.stage_folder(p, 1) / "log.csv")
shown = log.iloc[np.unique(np.linspace(0, len(log) - 1, 8).round().astype(int))]
shown[["step", "lr", "pixel", "attention", "generator"]].style.hide(axis="index").format(
    precision=4
)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(6.75, 2.3))
for name in [x for x in ("pixel", "attention") if x in log]:
    smooth = log[name].rolling(max(1, len(log) // 25), min_periods=1, center=True).mean()
    (line,) = axes[0].plot(log.step, smooth, label=f"{name} loss")
    axes[0].plot(log.step, log[name], color=line.get_color(), alpha=0.25, linewidth=0.6)
axes[0].set(xlabel="step", yscale="log", title="losses, and their running mean")
axes[0].legend()
axes[1].plot(log.step, log.lr)
axes[1].set(xlabel="step", title="learning rate")
plt.show()
head, tail = log.head(max(1, len(log) // 10)), log.tail(max(1, len(log) // 10))
for name in [x for x in ("pixel", "attention") if x in log]:
    before, after = head[name].mean(), tail[name].mean()
    print(f"{name:9} loss: first tenth {before:.4f}, last {after:.4f}, {after / before - 1:+.0%}")

# %% [markdown]
# *Thin lines: every logged batch. Thick lines: running mean.* Read the thick lines, because some
# batches are much harder than others. The pixel loss cannot fall by much: most of a photo is nearly
# gray and has a small loss from the start. The pictures show more.
#
# ## How the colours emerged
#
# During the training, a few gallery photos were colorized at fixed steps. They are test photos: we
# look at them, but make no choice with them.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
files = sorted((training.stage_folder(p, 1) / "samples").glob("step_*.npz"))
keep = np.unique(np.linspace(0, len(files) - 1, 6).round().astype(int))
shots = {int(files[i].stem[5:]): np.load(files[i]) for i in keep}
gallery = data.photos(p, "test")[: len(shots[0]["rgb"])]
rows = []
for i, photo in list(enumerate(gallery))[:4]:
    row = {f"step {step}": shot["rgb"][i] for step, shot in shots.items()}
    rows.append(row | {"real": data.test_picture(photo, p.judge_size)})
viz.grid(rows, width=min(viz.PAGE, 1.2 * len(rows[0])))


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def taught(photos):
    """The teacher's maps of photos, at the judged size: uint8 (N, H, W)."""
    files = saliency.saliency_maps([photo.path for photo in photos], p.teacher, cache_dir())
    return np.stack([data.center_crop(data.read_rgb(f), p.judge_size)[..., 0] for f in files])


teachers = taught(gallery[: len(rows)])
rows = [
    {f"step {n}": x["saliency"][i] for n, x in shots.items()} | {"teacher": teachers[i]}
    for i in range(len(rows))
]
viz.grid(rows, width=min(viz.PAGE, 1.2 * len(rows[0])))

# %% [markdown]
# *Above: the colours, with the real photo on the right. Below: the saliency maps of the same
# photos, with the teacher's map on the right.* Read each row from left to right. In the shipped
# run, the first colour is a pale brown. Then strong wrong colours appear, such as a blue
# background, and disappear again. At the end, most colours are pale. The maps begin as a blur and
# then take the shape of the animal.
#
# ## On validation photos
#
# From here on, we use validation photos, which are in neither the training set nor the test set.

# %%
generator, _, _ = colorize.load_generator(weights)
photos = data.photos(p, "val")[:64]
real = torch.stack([data.to_chw(data.test_picture(photo, p.judge_size)) for photo in photos])
gray = torch.stack([data.to_chw(data.luma_u8(x.permute(1, 2, 0).numpy())) for x in real])
parts = [colorize.render(generator, part, p.image_size) for part in gray.split(8)]
painted, maps = (torch.cat(x) for x in zip(*parts, strict=True))

score = pd.DataFrame(
    {
        "gray copy": metrics.psnr(real, gray.expand(-1, 3, -1, -1)).numpy(),
        "stage 1": metrics.psnr(real, painted).numpy(),
    }
).replace(np.inf, np.nan)  # a photo that is gray itself
gain = score["stage 1"] - score["gray copy"]
print(f"PSNR, mean of {len(score)} validation photos: ", end="")
print(", ".join(f"{name} {value:.2f} dB" for name, value in score.mean().items()))
print(
    f"stage 1 is better on {(gain > 0).mean():.0%}; gain {gain.min():+.1f} to {gain.max():+.1f} dB"
)


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def picture(x):
    return x.permute(1, 2, 0).numpy()


order = gain.sort_values(ascending=False).index
chosen = [*order[:3], *order[-3:]]
rows = [
    {
        "gray": picture(gray[i]),
        "stage 1": (picture(painted[i]), f"{gain[i]:+.1f} dB"),
        "real": picture(real[i]),
    }
    for i in chosen
]
viz.grid(rows, blocks=2)

# %% [markdown]
# *Left block: the three largest gains over a gray copy. Right block: the three smallest.* In the
# shipped run, two of the largest gains are blue skies. The largest losses are a gray sky painted
# blue and a gray background painted green. A missing colour costs nothing relative to the gray
# copy, but a wrong colour lowers the PSNR.
#
# ## What the saliency branch learned
#
# On photographs, the branch learns from a classical teacher (chapter 1). How close are its maps to
# the teacher's maps on photos that it has never seen? As a baseline we use a map that ignores the
# picture: the mean of the teacher's maps of the *training* photos. This map is the same for every
# photo.

# %%
studied = data.photos(p, "train")
studied = studied[:: max(1, len(studied) // 200)]
teachers = taught(photos)
truth, guess = torch.from_numpy(teachers).double() / 255, maps[:, 0].double() / 255
constant = torch.from_numpy(taught(studied)).double().mean(0).expand_as(truth) / 255


def correlation(a, b):
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (a, b))
    return ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-9)).mean().item()


rulers = {"predicted map": guess, "mean map of training photos": constant}
rows = [[n, (m - truth).abs().mean().item(), correlation(m, truth)] for n, m in rulers.items()]
table = pd.DataFrame(rows, columns=["map", "mean absolute error", "correlation"])
table.style.hide(axis="index").format(precision=3)

# %% [markdown]
# *Means over the validation photos.* Read the correlation first: it measures whether the bright
# places are the right ones, independent of the overall brightness. In the shipped run, the mean map
# has the higher correlation. So a map that ignores the picture locates the salient places no worse
# than the branch does. The branch is better only in the mean absolute error, and any map of about
# the right brightness has a small error. Stage 2 computes the salient area from these maps.
# Remember this in chapters 5 and 8.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
rows = []
for i in range(0, len(photos), max(1, len(photos) // 6))[:6]:
    area = viz.salient_area(picture(painted[i]), maps[i, 0].numpy())
    row = {
        "real": picture(real[i]),
        "teacher": teachers[i],
        "predicted": maps[i, 0].numpy(),
    }
    rows.append(row | {"ĉ⊙ŝ": area})
viz.grid(rows, blocks=2)

# %% [markdown]
# *The last column is the salient area that the second critic will judge in stage 2.* If teacher and
# prediction disagree, look at the photo first: the teacher makes mistakes, too (chapter 1).
#
# ## Safe colours
#
# Chapter 3 shows that the median minimises the absolute error. If the colour is uncertain, the
# median is a colour near gray. Here we measure this. Each pixel is a point in the plane of Lab's
# $a^*$ (green to red) and $b^*$ (blue to yellow); gray is at the centre.


# %%
def ab(rgb_u8):
    """(N,3,H,W) uint8 -> the a* and b* of every 16th pixel."""
    return rgb2lab(rgb_u8[..., ::4, ::4].permute(0, 2, 3, 1).numpy())[..., 1:].reshape(-1, 2)


colours = {"real": ab(real), "stage 1": ab(painted)}
chroma = {name: np.linalg.norm(x, axis=1).mean() for name, x in colours.items()}
cci = {"real": metrics.cci(real).mean().item(), "stage 1": metrics.cci(painted).mean().item()}
print(f"mean chroma: real {chroma['real']:.1f}, stage 1 {chroma['stage 1']:.1f}", end="; ")
print(f"stage 1 keeps {chroma['stage 1'] / chroma['real']:.0%}")
print(f"colourfulness (CCI): real {cci['real']:.1f}, stage 1 {cci['stage 1']:.1f}")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, axes = plt.subplots(1, 3, figsize=(6.75, 2.3))
edges = np.linspace(-60, 60, 61)
for ax, (name, x) in zip(axes, colours.items(), strict=False):
    count = np.histogram2d(x[:, 0], x[:, 1], bins=[edges, edges])[0]
    ax.imshow(np.log1p(count).T, origin="lower", extent=[-60, 60, -60, 60], cmap="magma")
    ax.plot(*x.mean(0), "+", color="cyan", markersize=9)
    ax.set(title=name, xlabel="a*", ylabel="b*")
    ax.grid(False)
for name, x in colours.items():
    axes[2].hist(
        np.linalg.norm(x, axis=1), bins=np.linspace(0, 80, 41), histtype="step", label=name
    )
axes[2].set(title="chroma of the pixels", xlabel="distance from gray", yscale="log")
axes[2].legend()
plt.show()

# %% [markdown]
# *Left and middle: how often each colour occurs, on a logarithmic scale. The cross is the mean.
# Right: the distance of the pixels from gray.* The cloud of stage 1 is smaller: it has the common
# colours and lacks the rare ones. This follows from a loss that measures the distance to one true
# picture. The critics of stage 2 are meant to change it.
#
# ## The same code after 68,000 photographs
#
# 174 photos are few. The profile `tiny` trains a wider network on Tiny ImageNet: 68,000 photographs
# of 64 pixels a side, in 200 classes. Its stage 1 took minutes on a large GPU, so we do not train
# it here. Its weights and its results come with the project (`results/tiny/card.md` describes the
# training). The results are for validation photographs that were not used in training. Photographs
# that are gray themselves are left out, because the gray copy is their ground truth.

# %%
folder = ROOT / "results/tiny"
large = tables.measured("validation")
gained, half = large["psnr_gain"]  # a paired difference; half of its 95 % interval
assert large["n"] == 9808 and gained - half > 0
better, half_better = large["better_percent"]
assert better - half_better > 50
print(f"n = {large['n']:,} photographs; ± is half of the 95 % interval")
print(f"stage 1 minus gray copy: {gained:+.2f} ± {half:.2f} dB")
print(f"stage 1 is better on {better:.0f} ± {half_better:.0f} % of the photographs")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
rows = {"gray copy": (large, "_gray"), "stage 1": (large, ""), "real": (large, "_real")}
tables.intervals(rows).style.set_uuid("tiny")

# %% [markdown]
# *Stage 1 of `tiny` on its validation photographs.* The gain is small, but its interval excludes 0.
# The colours are still pale: compare the CCI with that of the real photographs. Many more
# photographs did not make stage 1 colourful, because its loss does not reward strong colours.
#
# Below are the results of both networks on test photos of this course. Neither network was trained
# on them.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
networks = {f"stage 1 of {p.name}": weights, "stage 1 of tiny": folder / "generator.safetensors"}
tested = [data.test_picture(photo, p.judge_size) for photo in data.photos(p, "test")[:20:2]]
rows = [{"gray": data.luma_u8(x)} for x in tested]
for name, file in networks.items():
    network, trained, _ = colorize.load_generator(file)
    for row, true in zip(rows, tested, strict=True):
        one = torch.from_numpy(row["gray"])[None, None]
        rgb = picture(colorize.render(network, one, trained.image_size)[0][0])
        gain_here = metrics.psnr(true, rgb) - metrics.psnr(true, np.stack([row["gray"]] * 3, 2))
        row[name] = rgb, f"{gain_here:+.1f} dB"
viz.grid([row | {"real": true} for row, true in zip(rows, tested, strict=True)], blocks=2)

# %% [markdown]
# *Every second gallery photo; the gallery was chosen before any training. The number below each
# picture is its gain over the gray copy.* Both networks paint skies blue, and both leave fruit and
# the balloon nearly gray. 400 times as many training photographs did not make these pictures
# better: on the 66 test photos, both networks have about the same PSNR (Table 1 in chapter 6). One
# reason may be that `mini` was trained on the collection that these photos come from, and `tiny` on
# another one. We have not tested this.
#
# ## Killed, and resumed exactly
#
# While a stage runs, it writes a *checkpoint* from time to time. A resumed run must give exactly
# the same weights as a run that was never stopped. So a checkpoint contains everything that the
# next step depends on. To see what it contains, we stop a very small run after two steps.

# %%
small = config.load("smoke", stage1_steps=4, samples=1, device=p.device, precision=p.precision)
with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, SCGAN_OUTPUT=folder):
    stopped = training.train(small, 1, until=2)
    inside = sorted(x.name for x in stopped.glob("checkpoint-*/*"))
    where = json.loads(next(stopped.glob("checkpoint-*/progress.json")).read_text())
    resumed = load_file(training.train(small, 1))
    left = list(stopped.glob("checkpoint-*"))
with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, SCGAN_OUTPUT=folder):
    unbroken = load_file(training.train(small, 1))

difference = max((resumed[k].double() - unbroken[k].double()).abs().max().item() for k in unbroken)
if not torch.cuda.is_available():
    assert difference == 0
print(f"stopped after step {where['step']}; in the checkpoint: {', '.join(inside)}")
print(f"largest difference of a weight, resumed against unbroken: {difference:g}")
print("checkpoints left at the end:", len(left))

# %% [markdown]
# | file | what it holds | what would go wrong without it |
# |---|---|---|
# | `model…` | weights and running statistics, without the frozen VGG-16 | everything |
# | `optimizer…` | Adam's two moments of every weight | the first steps after a resume would jump |
# | `random_states…` | the state of every random generator | the random numbers would differ |
# | `progress.json` | step and seconds | steps and time in the log would be wrong |
#
# The order of the photos needs no file: photo, crop and flip of item $i$ depend only on the seed,
# the stage and $i$. The learning rate needs no file, because it depends only on the step. A
# checkpoint is written under a temporary name and renamed when it is complete. A run refuses to
# resume with other settings, and the error message names those that differ.

# %%
print(inspect.getsource(loop._checkpoint))

# %% [markdown]
# ## What differs from the paper and from the released code

# %%
paper.show_deviations("04")

# %% [markdown]
# ## Try it
#
# **1.** Is the network better than a constant tint? Give every validation photo the mean chroma of
# all real photos, and compute the PSNR.
# <details><summary>Solution</summary>
#
# ```python
# mean = (real.double() - gray.double()).mean((0, 2, 3)).view(3, 1, 1)
# tinted = (gray + mean).clamp(0, 255).round().to(torch.uint8)
# print(metrics.psnr(real, tinted).mean())
# ```
# The evaluation in chapter 6 has such a row: `mean_color`.
# </details>
#
# **2.** Multiply the chroma of stage 1 by 0, 0.5, 1, 1.5 and 2. Which factor gives the best PSNR?
# <details><summary>Solution</summary>
#
# ```python
# for k in (0, 0.5, 1, 1.5, 2):
#     x = (gray + k * (painted.double() - gray)).clamp(0, 255).round().to(torch.uint8)
#     print(k, metrics.psnr(real, x).mean().item(), metrics.cci(x).mean().item())
# ```
# A network that was trained to minimise a distance should already have the best factor, so expect
# the maximum near 1. Chapter 5 draws this curve.
# </details>
#
# **3.** Kill a training run of your own in the middle and start it again. What do you see in
# `log.csv`?
# <details><summary>Solution</summary>
#
# Run `make reproduce PROFILE=smoke SEED=1`, press Ctrl-C, and run the same command again. The rows
# after the last checkpoint are removed and written again, so no step appears twice.
# </details>
#
# **Exercises:** three functions to write, each with a test that checks yours. `make exercises`
# puts them in `build/exercises/student/`; the solutions are in
# [exercises/04_stage1_l1_pretraining.py](exercises/04_stage1_l1_pretraining.py).
#
# ## Three lines to remember
#
# 1. Stage 1 trains the generator alone, with the pixel loss and the attention loss.
# 2. Its colours are pale: if the colour is uncertain, a colour near gray has the smallest expected
#    error.
# 3. Compare every result with a baseline that ignores the picture: a gray copy for the colours, the
#    mean map for saliency.
#
# **Next:** [chapter 5, stage 2](05_stage2_adversarial_training.ipynb).
