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
# # 5 · Stage 2: generator against two critics
#
# **After this chapter you can** build one step of adversarial training; tell from the log whether
# the critics do their work; and measure what they change in the pictures and what that costs: the
# trade-off between colourful and near to the truth.
#
# **Time:** 20 minutes to read. The training cell takes some minutes on a two-core laptop on the
# profile `mini`, seconds on `smoke`, and no time at all when the stage is already trained.
#
# **Before this:** [chapter 4](04_stage1_l1_pretraining.ipynb) trains the generator that starts
# here; [chapter 3](03_losses_and_critics.ipynb) explains the losses.

# %% tags=["parameters"]
profile = "mini"
seed = 0

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from scgan_lib import colorize, config, data, metrics, paper, statistics, training, viz

viz.use_style()
p = config.from_environment(profile, seed)

# %% [markdown]
# ## The game
#
# Stage 1 gave us safe colours. Now two critics join: $D_c$ compares colour pictures, $D_s$ compares
# salient areas. In every step, the critics learn first. Then the generator learns, and the critics
# show it which direction leads to "more real". The losses of stage 1 stay, and the perceptual loss
# joins them: they keep the colours on the right things.

# %%
fig, ax = plt.subplots(figsize=(6.75, 1.8))
players = {
    "generator runs": "0.6",
    "$D_c$ learns": "C0",
    "$D_s$ learns": "C1",
    "generator learns": "C2",
}
for step in range(1, 5):
    for row, (name, color) in enumerate(players.items()):
        turn = name != "generator learns" or step % p.critic_steps == 0
        absent = name == "$D_s$ learns" and not (p.salient_critic and p.saliency_guidance)
        if turn and not absent:
            start = 4 * step + {0: 0, 1: 1, 2: 1, 3: 2.2}[row]
            ax.broken_barh([(start, 0.9)], (-row - 0.4, 0.8), color=color)
    ax.axvline(4 * step - 0.4, color="0.8", linewidth=0.6)
    ax.text(4 * step + 1.4, 0.7, f"step {step}", ha="center", fontsize=7)
ax.set_yticks([-i for i in range(4)], list(players))
ax.set(xticks=[], ylim=(-3.6, 1.1), xlabel="time →")
ax.grid(False)
plt.show()
print(f"critic updates for each generator update: {p.critic_steps}")

# %% [markdown]
# *The alternation, drawn from the profile's numbers.* Here is the whole step. Follow `rgb_hat`
# through it. The critics get it *detached*, so that their update does not change the generator. The
# generator's own loss uses the same tensor with its history. So the generator runs only once per
# step. While the generator learns, the critics are frozen: gradients pass through them but are not
# stored in them.

# %%
print(inspect.getsource(training.stage2_step))

# %% [markdown]
# ## The numbers of this run

# %%
stage2 = {
    "steps": p.stage2_steps,
    "batch": p.batch,
    "learning rate: generator, critics": (p.stage2_lr, p.critic_lr),
    "kind of GAN": p.gan,
    "the penalty binds the patch scores'": p.penalty_patches,
    "critics": "colour and salient" if p.salient_critic else "colour",
    "critic: width, strided layers, norm": (p.critic_width, p.critic_layers, p.critic_norm),
    "averaged generator, decay": p.ema or "none",
} | {f"λ {name}": value for name, value in vars(p.loss).items()}
table = pd.DataFrame({f"profile {p.name}": stage2})
usual = config.LossWeights()
table["released"] = pd.Series({f"λ {name}": value for name, value in vars(usual).items()})
table.astype(object).fillna("").astype(str)

# %% [markdown]
# Where a λ differs from the released one, chapter 3 gives the reason: the released numbers belong
# to 256 pixels, another critic and half a million steps. The numbers of the small profiles were
# chosen by looking at *validation* photos. Test photos choose nothing.
#
# ## Train

# %%
before = training.train(p, 1)  # done in chapter 4: returns at once
after = training.train(p, 2)
print("weights:", after.relative_to(p.results))

# %% [markdown]
# ## What the log tells
#
# Four questions, in this order.
#
# 1. **Do the critics learn?** The *gap* is the mean score of real pictures minus that of generated
#    ones. It must become positive. If it stays at zero, the critic sees no difference, and the
#    generator is pushed by noise.
# 2. **Does the penalty hold?** It is $(\lVert\nabla\rVert - 1)^2$. A value of 1 means a critic
#    without any slope. A value near 0 means the slope 1 that we want. Large values mean that the
#    critic is out of control.
# 3. **Does the generator respond?** If the gap grows and then shrinks again, the generator has
#    learned what the critics look for.
# 4. **What happens to the pixel loss?** If it rises, the network takes more risk than before. A
#    small rise is the price. A steep rise means that $\lambda_{adv}$ is too large.

# %%
log = pd.read_csv(training.stage_folder(p, 2) / "log.csv")
shown = log.iloc[np.unique(np.linspace(0, len(log) - 1, 8).round().astype(int))]
shown = shown.set_index("step")
losses = [x for x in ("pixel", "attention", "perceptual", "adversarial") if x in log]
critics = [f"{x}_{what}" for what in ("gap", "penalty") for x in ("color", "salient")]
words = {x: x.replace("_", " ").replace("color", "colour") for x in critics}
viz.numbers(shown[losses].rename("step {}".format), 4, "losses")

# %%
critics = shown[[x for x in critics if x in log]]
viz.numbers(critics.rename(index="step {}".format, columns=words), 4, "critics")

# %% [markdown]
# *Lines from the log of stage 2: the losses above, the critics' gaps and penalties here.*

# %%
viz.training_curves(p.results)

# %% [markdown]
# *Both stages. Thin: as logged; thick: running mean.* The same in words, computed from the log
# ("made" means generated):

# %%
part = max(1, len(log) // 5)
head, tail = log.head(part).mean(), log.tail(part).mean()
for critic in [x for x in ("color", "salient") if f"{x}_gap" in log]:
    gap = log[f"{critic}_gap"].rolling(part, min_periods=1).mean()
    verdict = (
        "tells real from made" if tail[f"{critic}_gap"] > 0 else "does not tell real from made"
    )
    name = critic.replace("color", "colour") + " critic"
    print(f"{name:15} {verdict} at the end: gap {tail[f'{critic}_gap']:+.4f}", end="")
    print(f" (its running mean was at most {gap.max():+.4f})", end="")
    if f"{critic}_penalty" in log:
        first, last = head[f"{critic}_penalty"], tail[f"{critic}_penalty"]
        print(f"; penalty {first:.3f} in the first fifth, {last:.3f} in the last", end="")
    print()
for name in [x for x in ("pixel", "attention", "perceptual") if x in log]:
    print(f"{name:15} {head[name]:.4f} -> {tail[name]:.4f} ({tail[name] / head[name] - 1:+.1%})")

# %% [markdown]
# ## How the pictures changed

# %%
files = sorted((training.stage_folder(p, 2) / "samples").glob("step_*.npz"))
keep = np.unique(np.linspace(0, len(files) - 1, 5).round().astype(int))
shots = {int(files[i].stem[5:]): np.load(files[i]) for i in keep}
painted = {step: shot["rgb"] for step, shot in shots.items()}
rows = []
for i, photo in list(enumerate(data.photos(p, "test")[: len(painted[0])]))[:5]:
    row = {"stage 1" if not step else f"step {step}": rgb[i] for step, rgb in painted.items()}
    rows.append(row | {"real": data.test_picture(photo, p.judge_size)})
viz.grid(rows, width=min(viz.PAGE, 1.2 * len(rows[0])))

# %% [markdown]
# *Gallery photos over stage 2; the first column is where stage 1 ended.*
#
# This is what the second critic sees of the finished pictures: the colours, weighted by the
# predicted saliency. Where the map is black, the salient area is mid-gray.

# %%
last = max(shots)
areas = []
for i in range(len(rows[:4])):
    rgb, saliency = painted[last][i], shots[last]["saliency"][i]
    row = {"SCGAN": rgb, "predicted saliency": saliency}
    areas.append(row | {"salient area": viz.salient_area(rgb, saliency)})
viz.grid(areas, blocks=2)

# %% [markdown]
# *The first four of these photos at the end of stage 2.* For each, ask: is the thing that you look
# at first bright in the map? $D_s$ does not judge what is gray in the last column.
#
# ## Before and after, on validation photos

# %%
photos = data.photos(p, "val")[:64]
real = torch.stack([data.to_chw(data.test_picture(photo, p.judge_size)) for photo in photos])
gray = torch.stack([data.to_chw(data.luma_u8(x.permute(1, 2, 0).numpy())) for x in real])


def paint(weights):
    generator, _, _ = colorize.load_generator(weights)
    return torch.cat([colorize.render(generator, x, p.image_size)[0] for x in gray.split(8)])


methods = {"gray": gray.expand(-1, 3, -1, -1), "stage 1": paint(before), "SCGAN": paint(after)}
methods["real"] = real
score = pd.concat(
    {
        name: pd.DataFrame(
            {
                "PSNR": metrics.psnr(real, x).numpy(),
                "SSIM": metrics.ssim(real, x).numpy(),
                "CCI": metrics.cci(x).numpy(),
            }
        )
        for name, x in methods.items()
    },
    names=["method"],
).replace(np.inf, np.nan)  # a picture that equals the real one
mean = score.groupby("method", sort=False).mean().fillna({"PSNR": np.inf})
viz.numbers(mean, 3, "means")

# %% [markdown]
# *Means of the validation photos. A picture that equals the real one has an infinite PSNR.*

# %%
change = (score.loc["SCGAN"] - score.loc["stage 1"]).CCI.sort_values()
chosen = [*change.index[-4:][::-1], *change.index[:4]]
rows = [{name: x[i].permute(1, 2, 0).numpy() for name, x in methods.items()} for i in chosen]
viz.grid(rows, [f"CCI {change[i]:+.0f}" for i in chosen], blocks=2)

# %% [markdown]
# *Left block: the photos that gained most in colourfulness from stage 1 to SCGAN; right block:
# those that gained least, or lost.* For each picture, ask: is the new colour *right*, or only
# *stronger*?
#
# ## The trade-off
#
# There is a cheap way to get more colour: multiply the chroma of stage 1 by a factor $k$. It needs
# no critic. So the honest question is not "is SCGAN more colourful?" It is "is SCGAN nearer to the
# truth than stage 1 *made equally colourful by hand*?" The line below shows stage 1 for $k$ from 0
# to 3.


# %%
def turned_up(k):
    x = gray + k * (methods["stage 1"].double() - gray)
    return x.clamp(0, 255).round().to(torch.uint8)


curve = []
for k in (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3):
    x = turned_up(k)
    curve.append([k, metrics.cci(x).mean().item(), metrics.psnr(real, x).mean().item()])
curve = pd.DataFrame(curve, columns=["k", "CCI", "PSNR"])
fig, ax = plt.subplots(figsize=(5, 3))
ax.plot(curve.CCI, curve.PSNR, ".-", color="0.6", label="stage 1, chroma × k")
for name in ("gray", "stage 1", "SCGAN"):
    color = viz.COLORS[name.lower().replace(" ", "")]
    ax.plot(mean.CCI[name], mean.PSNR[name], "o", color=color, label=name)
ax.axvline(mean.CCI["real"], color="black", linestyle=":", label="CCI of the real photos")
ax.set(xlabel="mean CCI: more colourful →", ylabel="mean PSNR, dB: nearer to the truth →")
ax.legend()
plt.show()

# %% [markdown]
# *Each point is the mean of the validation photos. The upper right is best.* A point above the gray
# line has something that turning up the colour does not give. The curve itself is the lesson:
# beyond its peak, more colour costs PSNR. Whoever reports only one of the two can look as good as
# they like.

# %%
n = len(photos)
two = mean.loc["SCGAN"] - mean.loc["stage 1"]
away = {name: abs(mean.CCI[name] - mean.CCI["real"]) for name in ("stage 1", "SCGAN")}
nearer = "nearer to" if away["SCGAN"] < away["stage 1"] else "farther from"
print(f"means of {n} photos; [...]: 95 % interval of a paired difference (chapter 6)")
print(f"stage 2 changed CCI by {two.CCI:+.1f}, PSNR by {two.PSNR:+.2f} dB, SSIM by {two.SSIM:+.3f}")
print(f"SCGAN's CCI is {nearer} the real photos' than stage 1's is")


def won(other):
    """SCGAN's PSNR minus that of other pictures of the same photos, and what follows from it."""
    theirs = pd.Series(metrics.psnr(real, other).numpy()).replace(np.inf, np.nan)
    difference, low, high = statistics.paired_difference(score.loc["SCGAN"].PSNR, theirs)
    told = "more" if low > 0 else "less" if high < 0 else f"{n} photos do not tell"
    return f"{difference:+.2f} dB [{low:+.2f}, {high:+.2f}]: {told}"


low, high = 0.0, 3.0  # halve until stage 1's mean CCI is SCGAN's
for _ in range(12):
    k = (low + high) / 2
    below = metrics.cci(turned_up(k)).mean().item() < mean.CCI["SCGAN"]
    low, high = (k, high) if below else (low, k)
if abs(metrics.cci(turned_up(k)).mean().item() - mean.CCI["SCGAN"]) < 0.5:
    print(f"against stage 1 turned up to the same CCI (k = {k:.2f}): {won(turned_up(k))}")
else:
    print("no factor k from 0 to 3 brings stage 1 to the same CCI")
print(f"against the gray copy: {won(methods['gray'])}")

# %% [markdown]
# We print *more* only if the whole interval is above 0, and *less* only if it is below 0. Then, for
# photos like these, stage 2 did something that turning up the colour does not do. An interval that
# contains 0 means that these photos are too few to tell, not that there is no difference.
#
# Picture by picture, the spread is large:

# %%
fig, axes = plt.subplots(1, 2, figsize=(6.75, 2.6))
for ax, name in zip(axes, ("CCI", "PSNR"), strict=True):
    one, two = score.loc["stage 1"][name], score.loc["SCGAN"][name]
    ends = [min(one.min(), two.min()), max(one.max(), two.max())]
    ax.plot(ends, ends, color="0.7", linewidth=0.8)
    ax.plot(one, two, ".", color=viz.COLORS["scgan"])
    ax.set(xlabel=f"{name}, stage 1", ylabel=f"{name}, SCGAN")
plt.show()
for name in ("CCI", "PSNR"):
    share = (score.loc["SCGAN"][name] > score.loc["stage 1"][name]).mean()
    print(f"{name} rose on {share:.0%} of the validation photos")

# %% [markdown]
# *One point per photo. Above the line, stage 2 has raised the number.*
#
# The paper, too, finds its PSNR below that of some other methods, and gives PSNR little weight: a
# plausible blue car scores badly if the real one was red. That is a fair point, but it is also an
# excuse for any bad picture. So [chapter 6](06_evaluation_table1.ipynb) asks several judges, each
# with its own weakness, and prints the gray copy and the real photo beside them.

# %% [markdown]
# ## What differs from the paper and from the released code
#
# The released code trains **one** critic, on the colours. It combines BatchNorm with the gradient
# penalty (chapter 3 measures why this is then no longer a penalty). Before stage 2 it sets a
# learning rate for the critic, and then overwrites it with the generator's. It runs the generator
# twice per step. Below are the rows of this chapter, and those about critics from chapter 3:

# %%
paper.show_deviations("05", "salient-critic", "critic-norm", "penalty-patches")

# %% [markdown]
# ## Try it
#
# **1.** How large a part of the change comes from the critics? Train stage 2 without them.
# <details><summary>Solution</summary>
#
# A profile with $\lambda_{adv} = 0$ has no critics. Give it a seed of its own, so that it gets a
# folder of its own:
#
# ```python
# other = config.load(profile, seed=1, loss=vars(p.loss) | {"adversarial": 0.0})
# training.train(other, 2)  # trains its own stage 1 first
# ```
# One seed proves little: see how far two seeds with the same settings differ.
# </details>
#
# **2.** Find the factor $k$ that brings stage 1's mean CCI to that of the real photos. What is its
# PSNR?
# <details><summary>Solution</summary>
#
# ```python
# k = np.interp(mean.CCI["real"], curve.CCI, curve.k)
# print(k, metrics.psnr(real, turned_up(k)).mean())
# ```
# If the real CCI lies beyond the curve, `np.interp` returns its end: stage 1 has too little to turn
# up.
# </details>
#
# **3.** Let the penalty bind the sum of the patch scores, as many implementations do. What happens
# to the gaps, and to CCI?
# <details><summary>Solution</summary>
#
# ```python
# other = config.load(profile, seed=2, penalty_patches="sum")
# training.train(other, 2)
# ```
# The mean of $n$ scores may then have slope $1/n$ only (chapter 3): the gaps stay near zero, the
# critics hardly lead, and $\lambda_{adv}$ would have to be some $n$ times larger for the same pull.
# </details>
#
# **Exercises:** three functions to write, each with a test that checks yours. `make exercises`
# puts them in `build/exercises/student/`; the solutions are in
# [exercises/05_stage2_adversarial_training.py](exercises/05_stage2_adversarial_training.py).
#
# ## Three lines to remember
#
# 1. The critics learn first, from detached pictures; then the generator learns through frozen
#    critics.
# 2. Read gap and penalty together: a gap says little when the penalty shows that the slope is far
#    from 1.
# 3. More colour is easy. Ask whether it is nearer to the truth than stage 1 turned up to the same
#    colourfulness.
#
# **Next:** [chapter 6, evaluation](06_evaluation_table1.ipynb).
