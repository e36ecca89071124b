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
# **After this chapter you can** say what stage 1 trains, and with which settings; read its log, and
# the pictures made during training; measure what the saliency branch has learned; explain why the
# colours are pale; and check that an interrupted run resumes exactly.
#
# **Time:** 15 minutes to read. The training cell takes some minutes on a two-core laptop with the
# profile `mini`, and seconds with `smoke`. If the stage is already trained, the cell returns at
# once.
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

from scgan_lib import (
    colorize,
    config,
    data,
    loop,
    metrics,
    paper,
    saliency,
    statistics,
    tables,
    training,
    viz,
)
from scgan_lib.paths import ROOT, cache_dir

viz.use_style()
p = config.from_environment(profile, seed)

# %% [markdown]
# ## Why two stages
#
# If a GAN starts from random weights, its pictures are easy to distinguish from photographs. The
# usual argument is that the generator then learns little from the critics. So in the paper the
# generator is first trained alone, with the weighted sum of equations 1 and 2. Neither needs a
# critic:
#
# $$\begin{aligned}
# &\lambda_1 \lVert c - G_c(x)\rVert_1 \\
# &+ \lambda_2 \lVert c\odot s - G_c(x)\odot G_s(x)\rVert_1 .
# \end{aligned}$$
#
# Here $x$ is the gray input, $c$ the true colours, $s$ the true saliency map, and $G_c(x)$ and
# $G_s(x)$ are the predictions. (Equation 5 needs no critic either, but is added only in stage 2.)
# Stage 2 starts from the weights of stage 1. Chapter 8 tries training without stage 1.
#
# ## The settings of this run

# %% jupyter={"source_hidden": true} tags=["hide-input"]
stage1 = {
    "training photos": len(data.photos(p, "train")),
    "composites, share of a batch": p.composites,
    "pixels a side": p.image_size,
    "batch": p.batch,
    "steps": p.stage1_steps,
    "passes over the photos, composites left out": round(
        p.stage1_steps * (p.batch - int(p.composites * p.batch)) / len(data.photos(p, "train")), 1
    ),
    "optimiser": f"{p.optimizer}, β {p.betas}, weight decay {p.weight_decay}",
    "learning rate": f"{p.stage1_lr}, schedule: {p.schedule}",
    "λ pixel, λ attention": (p.loss.pixel, p.loss.attention),
    "saliency teacher": p.teacher,
}
pd.Series(stage1, name=f"profile {p.name}").astype(str).to_frame()

# %% [markdown]
# The profile `imagenet` uses the same code with the settings of the authors' first public version:
# 256 pixels, batches of 8, and about 128,000 photos, each seen ten times. It was not run here.
#
# ## One step
#
# The first function is one whole step of stage 1. `players` holds the generator and its optimiser;
# `update` changes the weights once. Both stages use the second function. It adds equation 2 only if
# saliency guidance is on; `saliency_guidance=False` is the ablation without guidance.

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
axes[0].set(xlabel="step", yscale="log", title="losses and running mean")
axes[0].legend()
axes[1].plot(log.step, log.lr)
axes[1].set(xlabel="step", title="learning rate")
plt.show()
head, tail = log.head(max(1, len(log) // 10)), log.tail(max(1, len(log) // 10))
for name in [x for x in ("pixel", "attention") if x in log]:
    before, after = head[name].mean(), tail[name].mean()
    change = f"last tenth {after:.4f}, {after / before - 1:+.0%}"
    print(f"{name:9} loss: first tenth {before:.4f}, {change}")

# %% [markdown]
# *Table: `lr` is the learning rate, `generator` the weighted sum of the two losses. Thin lines:
# every logged batch. Thick lines: running mean.* Read the thick lines, because some batches are
# much harder than others. In the shipped run, the mean pixel loss fell by 19 % from the first to
# the last tenth of the log, and the attention loss by 22 %. The pictures show more.
#
# ## How the colours emerged
#
# During the training, a few gallery photos were colorized at fixed steps. They are test photos: we
# look at them, but base no choice on them.

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
# run, three of the four photos first become a pale brown. Then wrong colours appear, such as blue
# backgrounds. Some disappear again, but part of the meerkats' background is still blue at the end.
# Most colours are then pale. The maps begin as an even gray, become nearly black, and then take the
# rough shape of the animal.
#
# ## On validation photos
#
# The next sections use validation photos, which are in neither the training set nor the test set.
# The settings were chosen on them (chapter 1), so these results may be slightly too good. The
# *gain* is the PSNR (chapter 6) of stage 1 minus that of the gray copy; more is better.

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
mean, low, high = statistics.bootstrap_interval(gain)
print(f"mean gain {mean:+.2f} dB, 95 % interval over photos [{low:+.2f}, {high:+.2f}]; ", end="")
print(f"better on {(gain > 0).mean():.0%}; single gains {gain.min():+.1f} to {gain.max():+.1f} dB")


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
# *Left block: the three largest gains. Right block: the three smallest.* In the shipped run, two of
# the largest gains are blue skies. The largest losses are a cat painted olive green with its
# background (in the photo both are gray to blue), and a gray-blue sky painted bright blue. A
# missing colour costs nothing relative to the gray copy, but a wrong colour lowers the PSNR. The
# mean gain of 0.8 dB is not distinguishable from 0 on 22 photos (interval −0.7 to +2.1).
#
# ## What the saliency branch learned
#
# On photographs, the branch learns from the teacher `u2netp` (chapter 1). How close are its maps to
# the teacher's maps on the validation photos? The baseline is a map that ignores the picture: the
# mean of the teacher's maps of the *training* photos. It is the same for every photo.

# %%
studied = data.photos(p, "train")
studied = studied[:: max(1, len(studied) // 200)]
teachers = taught(photos)
truth, guess = torch.from_numpy(teachers).double() / 255, maps[:, 0].double() / 255
constant = torch.from_numpy(taught(studied)).double().mean(0).expand_as(truth) / 255


def correlation(a, b):
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (a, b))
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-9)


compared = {"predicted map": guess, "mean map of training photos": constant}
numbers = {
    "mean absolute error": [(m - truth).abs().mean((1, 2)).numpy() for m in compared.values()],
    "correlation": [correlation(m, truth).numpy() for m in compared.values()],
}
cells = {name: [f"{values.mean():.3f}" for values in both] for name, both in numbers.items()}
for name, both in numbers.items():
    cells[name].append("{:+.3f} [{:+.3f}, {:+.3f}]".format(*statistics.paired_difference(*both)))
pd.DataFrame(cells, index=[*compared, "difference"]).style.set_uuid("saliency")

# %% [markdown]
# *Means over the validation photos.* The correlation over the pixels of a photo measures whether
# the bright places are the right ones, independent of the overall brightness. The brackets contain
# the 95 % interval of the difference over photos. In the shipped run, the branch has a smaller
# error, but the interval reaches 0. Its correlation is lower, and that interval excludes 0. So
# these 22 photos do not show that the branch is better than a map that ignores the picture; by
# correlation, it is worse. (One training.) Stage 2 computes the salient area from the branch's
# maps. Remember this in chapters 5 and 8.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
rows = []
for i in range(0, len(photos), max(1, len(photos) // 6))[:6]:
    area = viz.salient_area(picture(painted[i]), maps[i, 0].numpy())
    row = {
        "real": picture(real[i]),
        "teacher": teachers[i],
        "predicted": maps[i, 0].numpy(),
    }
    rows.append(row | {"salient area": area})
viz.grid(rows, blocks=2)

# %% [markdown]
# *The last column is the salient area: predicted colours times predicted map. In stage 2, the
# second critic judges such pictures.* If teacher and prediction disagree, look at the photo first:
# the teacher makes mistakes, too (chapter 1).
#
# ## Safe colours
#
# Chapter 3 shows that the median minimises the absolute error. If many colours are possible, their
# median is often near gray. Here we measure how pale the pictures are. Each pixel is a point in the
# plane of Lab's $a^*$ (green to red) and $b^*$ (blue to yellow). Its distance from gray, the
# centre, is called *chroma* here. The CCI measures colourfulness (chapter 6).


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
# Right: the chroma of the pixels.* In the shipped run, the cloud of stage 1 is smaller: it lies
# near the $b^*$ axis, without strong reds and greens. This agrees with a loss that measures the
# distance to one true picture, but does not prove that the loss is the cause. The critics of
# stage 2 are meant to make the colours stronger.
#
# ## The same code after 68,000 photographs
#
# 174 photos are few. The profile `tiny` trains a wider network on Tiny ImageNet: 68,000 photographs
# of 64 pixels a side, in 200 classes. Its stage 1 took minutes on a large GPU; we do not train it
# here. Its weights and its results come with the project (`results/tiny/card.md` describes the
# training). The results are for validation photographs that were not used in training. Photographs
# that are gray themselves are left out, because they equal their gray copy.

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
# *Stage 1 of `tiny` on its validation photographs: one training, intervals over photographs.* The
# gain is small, but its interval excludes 0. The colours are still pale: compare the CCI with that
# of the real photographs. Many more photographs did not make stage 1 colourful. A likely reason
# (not tested) is that its loss does not reward strong colours.
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
# picture is its gain over the gray copy.* In the shipped run, both networks paint some skies blue,
# but hardly the one behind the balloon. Both leave the fruit nearly gray and the balloon brownish.
# `mini` has the larger gain on eight of these ten photos. On the 66 test photos, both networks have
# about the same PSNR (Table 1 in chapter 6). So about 400 times as many training photographs did
# not give better pictures here. One reason may be that `mini` was trained on the collection that
# these photos come from, and `tiny` on another one. We have not tested this, and the networks
# differ in other settings, too.
#
# ## Killed, and resumed exactly
#
# While a stage runs, it writes a *checkpoint* about once a minute. An interrupted run resumes from
# the last one, and must then give exactly the same weights as a run that was never stopped. So a
# checkpoint contains everything that the next step depends on.
#
# We stop a very small run after two of its four steps, list the files of its checkpoint, and resume
# it. Then we compare its weights with those of a run without a stop.

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
# | `model…` | weights, running statistics (not the frozen VGG-16) | the training would be lost |
# | `optimizer…` | Adam's two moments of every trained weight | the next updates would differ |
# | `random_states…` | the states of the random generators | the random numbers would differ |
# | `progress.json` | step and seconds so far | step and time in the log would be wrong |
#
# Two things need no file. The photo, the crop and the flip of item $i$ depend only on the seed, the
# stage and $i$. The learning rate depends only on the step.
#
# A checkpoint is written under a temporary name and renamed when it is complete. A finished run
# keeps its last one, so that it can be continued with more steps. A run refuses to resume with
# other settings, and the error message names those that differ. The next cell prints the function
# that writes a checkpoint.

# %%
print(inspect.getsource(loop._checkpoint))

# %% [markdown]
# ## What differs from the paper and from the released code

# %%
paper.show_deviations("04")

# %% [markdown]
# ## Try it
#
# **1.** Is the network better than a constant tint? Add the mean chroma of all real validation
# photos to each gray photo, and compute the PSNR.
# <details><summary>Solution</summary>
#
# ```python
# mean = (real.double() - gray.double()).mean((0, 2, 3)).view(3, 1, 1)
# tinted = (gray + mean).clamp(0, 255).round().to(torch.uint8)
# print(metrics.psnr(real, tinted).mean())
# ```
# Compare this with the PSNR of stage 1. Table 1 (chapter 6) has such a row, *mean colour*; its tint
# comes from the training photos.
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
# In the shipped run, 0.5 is the best of these factors: chapter 5 draws this curve for the same 22
# photos. So even the pale colours of stage 1 are too strong for the best PSNR on them.
# </details>
#
# **3.** Kill a training run of your own in the middle and start it again. What do you see in
# `log.csv`?
# <details><summary>Solution</summary>
#
# Run `scgan train --stage 1 --seed 1`, press Ctrl-C after two minutes, and run the same command
# again. In `results/mini-seed1/runs/stage1/log.csv`, the rows after the last checkpoint are removed
# and written again, so no step appears twice. (A run that is stopped in its first minute has no
# checkpoint and starts from step 0.)
# </details>
#
# **Exercises:** three functions to write, each with a test that checks yours. `make exercises`
# puts them in `build/exercises/student/`; the solutions are in
# [exercises/04_stage1_l1_pretraining.py](exercises/04_stage1_l1_pretraining.py).
#
# ## Three lines to remember
#
# 1. Stage 1 trains the generator alone, with the pixel loss and the attention loss.
# 2. Its colours are pale: if many colours are possible, a colour near gray often has the smallest
#    expected error.
# 3. Compare every result with a simple baseline: a gray copy for the colours, the mean map for the
#    saliency.
#
# **Next:** [chapter 5, stage 2](05_stage2_adversarial_training.ipynb).
