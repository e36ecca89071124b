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
# the critics learn; and measure the trade-off between colourful pictures and accurate ones.
#
# **Time:** 20 minutes to read. The training cell takes some minutes on a two-core laptop with the
# profile `mini`, and seconds with `smoke`. If the stage is already trained, it returns at once.
#
# **Before this:** [chapter 4](04_stage1_l1_pretraining.ipynb) trains the generator that starts
# here; [chapter 3](03_losses_and_critics.ipynb) explains the losses.

# %% tags=["parameters"]
profile = "mini"
seed = 0

# %% jupyter={"source_hidden": true} tags=["hide-input"]
import inspect

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest

from scgan_lib import colorize, config, data, metrics, paper, statistics, tables, training, viz
from scgan_lib.paths import ROOT

viz.use_style()
p = config.from_environment(profile, seed)

# %% [markdown]
# ## The game
#
# The colours of stage 1 are pale: where several colours are plausible, the L1 loss favours a value
# between them. Stage 2 adds two critics: $D_c$ scores colour pictures, and $D_s$ scores salient
# areas (pictures weighted by the saliency map). Both also receive the gray picture. In each step,
# the generator colours a batch, and both critics are updated. Then the generator is updated: the
# critics' gradient tells it which change raises their scores. The losses of stage 1 remain, and
# the perceptual loss is added. These losses keep the colours close to the real picture. The
# generator minimises (eq. 6 of chapter 3; here each λ has the name of its loss)
#
# $$\lambda_{pix} L_{pix} + \lambda_{att} L_{att} + \lambda_{per} L_{per} + \lambda_{adv} L_{adv},$$
#
# where $L_{adv}$ is minus the sum of the two critics' mean scores of the generated pictures. Each
# critic minimises its mean score of generated pictures minus its mean score of real ones, plus the
# weighted gradient penalty.
#
# In this chapter, *stage 1* and *SCGAN* also name the generators at the end of the two stages.
# *PSNR* (in dB) measures how close a picture is to the real photo, *SSIM* (1 is best) how similar
# its structure is, *CCI* how colourful it is. The *shipped run* is the one whose results are in
# the repository. The *gallery* is a fixed set of test photos.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
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
# *The order of the updates, drawn from the settings of the profile.* The next cell prints the code
# of one step. `turn` is true in the steps that update the generator (in `mini`, all steps),
# `guided_terms` computes the losses of stage 1, and `values` go to the log. Follow `rgb_hat`. The
# critics receive it *detached*, so that their update does not change the generator. The
# generator's own loss uses the same tensor without detaching it. So the generator runs only once
# per step. While the generator is updated, the critics are frozen: gradients pass through them but
# are not stored in them.

# %%
print(inspect.getsource(training.stage2_step))

# %% [markdown]
# ## The settings of this run

# %% jupyter={"source_hidden": true} tags=["hide-input"]
stage2 = {
    "steps": p.stage2_steps,
    "batch": p.batch,
    "learning rate: generator, critics": (p.stage2_lr, p.critic_lr),
    "kind of GAN": p.gan,
    "gradient penalty applied to": f"{p.penalty_patches} of the patch scores",
    "critics": "colour and salient" if p.salient_critic else "colour",
    "critic: width, strided layers, norm": (p.critic_width, p.critic_layers, p.critic_norm),
    "average of the generator's weights (EMA), decay": p.ema or "none",
} | {f"λ {name}": value for name, value in vars(p.loss).items()}
table = pd.DataFrame({f"profile {p.name}": stage2})
usual = config.LossWeights()
table["released"] = pd.Series({f"λ {name}": value for name, value in vars(usual).items()})
table.astype(object).fillna("").astype(str)

# %% [markdown]
# The column *released* shows the λ of the authors' code. In `mini`, only λ adversarial differs.
# The released value belongs to a training with 256 pixels, a different critic and half a million
# steps. Chapter 3 shows that the right λ depends on the size of the pictures and on the penalty.
# The settings of `mini` were chosen on *validation* photos, so its numbers on these photos may be
# too good. No choice was made on the test photos of chapter 6.
#
# ## Train

# %%
before = training.train(p, 1)  # done in chapter 4: returns at once
after = training.train(p, 2)
print("weights:", after.relative_to(p.results))

# %% [markdown]
# ## How to read the log
#
# Each number in the log comes from one batch, so it varies a lot. Ask four questions, in this
# order.
#
# 1. **Do the critics learn?** Each critic has a *gap*: its mean score of real pictures minus that
#    of generated ones. It must become positive. If it stays at zero, the critic cannot tell real
#    pictures from generated ones, and its gradient is of no use to the generator.
# 2. **Does the penalty work?** It is $(\lVert\nabla_z D(z)\rVert - 1)^2$, with $z$ between a real
#    and a generated picture. A value near 0 means a gradient norm near 1, as intended. A value
#    near 1 usually means that the gradient norm is near 0. A large value means that the norm is
#    much too large. A critic can enlarge its gap simply by scaling its scores; the penalty
#    prevents this.
# 3. **Does the generator respond?** If the gap grows and then shrinks while the penalty stays
#    small, the generator has probably reduced the differences that the critics see.
# 4. **What happens to the pixel loss?** If it rises, the colours are less accurate than before. A
#    small rise is expected. A steep rise suggests that $\lambda_{adv}$ is too large.
#
# Do not judge by the adversarial loss: the critics change all the time, so its level says nothing
# about quality.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
log = pd.read_csv(training.stage_folder(p, 2) / "log.csv")
shown = log.iloc[np.unique(np.linspace(0, len(log) - 1, 8).round().astype(int))]
shown = shown.set_index("step")
losses = [x for x in ("pixel", "attention", "perceptual", "adversarial") if x in log]
critics = [f"{x}_{what}" for what in ("gap", "penalty") for x in ("color", "salient")]
words = {x: x.replace("_", " ").replace("color", "colour") for x in critics}
viz.numbers(shown[losses].rename("step {}".format), 4, "losses")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
critics = shown[[x for x in critics if x in log]]
viz.numbers(critics.rename(index="step {}".format, columns=words), 4, "critics")

# %% [markdown]
# *Rows of the log of stage 2: the losses above, the critics' gaps and penalties below.*

# %% jupyter={"source_hidden": true} tags=["hide-input"]
CURVES = {
    "stage 1: losses": (1, ["pixel", "attention"]),
    "stage 2: losses": (2, ["pixel", "attention", "perceptual"]),
    "stage 2: adversarial": (2, ["adversarial"]),
    "stage 2: the critics' gap": (2, ["color_gap", "salient_gap"]),
    "stage 2: gradient penalties": (2, ["color_penalty", "salient_penalty"]),
}
logs = {s: pd.read_csv(training.stage_folder(p, s) / "log.csv", index_col="step") for s in (1, 2)}
figure, axes = plt.subplots(2, 3, figsize=(viz.PAGE, 4), layout="constrained")
for ax, (title, (stage, columns)) in zip(axes.flat, CURVES.items(), strict=False):
    for i, column in enumerate(x for x in columns if x in logs[stage]):
        known = logs[stage][column].dropna()
        smooth = known.rolling(max(1, len(known) // 25), 1, center=True).mean()
        ax.plot(known, color=f"C{i}", alpha=0.25, linewidth=0.6)
        ax.plot(smooth, color=f"C{i}", label=column.replace("_", " ").replace("color", "colour"))
    ax.set_title(title)
axes[1, 1].set(yscale="log")
axes[1, 1].yaxis.set_major_formatter("{x:g}")
axes[1, 1].yaxis.set_minor_formatter(plt.NullFormatter())
for stage, one in logs.items():
    axes[1, 2].plot(1e4 * one["lr"], color=f"C{stage - 1}", label=f"stage {stage}")
axes[1, 2].set(title="generator's learning rate", ylabel="$10^{-4}$")
for ax in axes.flat:  # the legend in one line between title and data, where it hides nothing
    ax.set_title(ax.get_title(), pad=13)
    ax.set_xlabel("step")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 0.98), borderaxespad=0, ncols=3,
              handlelength=1.2, columnspacing=1, handletextpad=0.4)  # fmt: skip
_ = viz.save(figure, p.figures, "training_curves")

# %% [markdown]
# *Both stages. Thin lines: logged values. Thick lines: running means. The gradient penalties have
# a logarithmic axis. Each stage counts its own steps.* The next cell compares the first fifth of
# the log of stage 2 with the last:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
part = max(1, len(log) // 5)
head, tail = log.head(part).mean(), log.tail(part).mean()
for critic in [x for x in ("color", "salient") if f"{x}_gap" in log]:
    gap = log[f"{critic}_gap"].rolling(part).mean()
    name = critic.replace("color", "colour") + " critic"
    print(f"{name:15} gap {tail[f'{critic}_gap']:+.4f} in the last fifth", end="")
    print(f" (its running mean was at most {gap.max():+.4f})", end="")
    if f"{critic}_penalty" in log:
        first, last = head[f"{critic}_penalty"], tail[f"{critic}_penalty"]
        print(f"; penalty {first:.3f} in the first fifth, {last:.3f} in the last", end="")
    print()
for name in [x for x in ("pixel", "attention", "perceptual") if x in log]:
    print(f"{name:15} {head[name]:.4f} -> {tail[name]:.4f} ({tail[name] / head[name] - 1:+.1%})")

# %% [markdown]
# In the shipped run, both mean gaps are positive in the last fifth, so the critics see a
# difference. The gap of the salient critic is far below its peak. This agrees with a generator
# that responds, but does not prove it. The gap of the colour critic is only a little below its
# peak, which is no evidence. The penalties fall towards 0, so the gradient norms are near 1. From
# the first to the last fifth, the pixel loss falls by 4 %, but the attention loss rises by a
# fifth: the salient areas (colours and map together) become less accurate. Part of this may be
# chance, because the batches differ.
#
# ## How the pictures changed

# %% jupyter={"source_hidden": true} tags=["hide-input"]
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
# *Gallery photos during stage 2. The first column shows the end of stage 1.* In the shipped run,
# the tint of whole pictures changes (at step 56 they are redder than at 25 and 100). The orange of
# the meerkats and the green of the chameleon are missing in all columns but the last.
#
# The next figure shows salient areas after the last step, as $D_s$ receives them in training.
# Where the saliency map is white, the picture stays. Where the map is black, it becomes mid-gray.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
last = max(shots)
areas = []
for i in range(len(rows[:4])):
    rgb, saliency = painted[last][i], shots[last]["saliency"][i]
    row = {"SCGAN": rgb, "predicted saliency": saliency}
    areas.append(row | {"salient area": viz.salient_area(rgb, saliency)})
viz.grid(areas, blocks=2)

# %% [markdown]
# *The first four of these photos at the end of stage 2.* For each photo, ask: is the object that
# you look at first bright in the map? $D_s$ does not see the colours of the parts that are gray in
# the last column. In the shipped run, the animals are mostly bright, but so is some background,
# such as that between the meerkats.
#
# ## Before and after, on validation photos

# %%
photos = data.photos(p, "val")[:64]  # `mini` has only 22
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
# *Means over the validation photos. A picture that equals the real one has an infinite PSNR: the
# real photo itself, and the gray copy of a photo without colour. Infinite values are left out of
# the means; in the row "real", all are infinite.* In the shipped run (22 photos), stage 2 raises
# the CCI from 22.0 to 30.6 and lowers the PSNR from 22.8 to 21.8 dB. The table has no intervals.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
change = (score.loc["SCGAN"] - score.loc["stage 1"]).CCI.sort_values()
chosen = [*change.index[-4:][::-1], *change.index[:4]]
rows = [{name: x[i].permute(1, 2, 0).numpy() for name, x in methods.items()} for i in chosen]
viz.grid(rows, [f"CCI {change[i]:+.0f}" for i in chosen], blocks=2)

# %% [markdown]
# *Left block: the photos with the largest gain in colourfulness from stage 1 to SCGAN. Right
# block: the photos with the smallest gain, or a loss. The number beside each row is the change of
# CCI.* For each picture, ask: is the new colour *right*, or only *stronger*?
#
# ## The trade-off
#
# *Chroma* is the difference between a colour and the gray of the same brightness. There is an easy
# way to get more colour without critics: multiply the chroma of stage 1 by a factor $k > 1$. So a
# fair comparison needs equal colourfulness. We choose $k$ so that stage 1 has the mean CCI of
# SCGAN. Which of the two is then closer to the real photos?


# %%
def turned_up(k):
    """Stage 1 with k times its chroma: each pixel moves away from its gray (or, k < 1, to it)."""
    x = gray + k * (methods["stage 1"].double() - gray)
    return x.clamp(0, 255).round().to(torch.uint8)


curve = []
for k in (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3):
    x = turned_up(k)
    curve.append([k, metrics.cci(x).mean().item(), metrics.psnr(real, x).mean().item()])
curve = pd.DataFrame(curve, columns=["k", "CCI", "PSNR"])

# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(5, 3))
ax.plot(curve.CCI, curve.PSNR, ".-", color="0.6", label="stage 1, chroma × k")
for name in ("gray", "stage 1", "SCGAN"):
    color = viz.COLORS[name.lower().replace(" ", "")]
    ax.plot(mean.CCI[name], mean.PSNR[name], "o", color=color, label=name)
ax.axvline(mean.CCI["real"], color="black", linestyle=":", label="CCI of the real photos")
ax.set(xlabel="mean CCI: more colourful →", ylabel="mean PSNR, dB: closer to the real photos →")
ax.legend()
plt.show()

# %% [markdown]
# *Gray line: stage 1 for $k$ from 0 to 3; each point is a mean over the validation photos. Higher
# is more accurate. The dotted line shows how colourful the real photos are.* A method above the
# gray line is more accurate than stage 1 at the same colourfulness. Up to the peak of the line,
# more colour also raises the PSNR. Beyond it, more colour lowers the PSNR. In the shipped run, the
# peak is near $k = 0.75$, so stage 1 ($k = 1$) is already beyond it. So always report both numbers.
#
# How far is SCGAN above or below that line? We search, by bisection, for the $k$ at which stage 1
# has the mean CCI of SCGAN, and compare photo by photo:

# %%
least, most = 0.0, 3.0
for _ in range(12):  # bisection: stage 1 gets the mean CCI of SCGAN
    k = (least + most) / 2
    below = metrics.cci(turned_up(k)).mean().item() < mean.CCI["SCGAN"]
    least, most = (k, most) if below else (least, k)

n = len(photos)
print(f"PSNR of SCGAN minus that of each method below, n = {n} photos; [...]: 95 % interval")
for name, other in {
    f"stage 1, chroma × {k:.2f}": turned_up(k),
    "gray copy": methods["gray"],
}.items():
    theirs = pd.Series(metrics.psnr(real, other).numpy()).replace(np.inf, np.nan)
    difference, low, high = statistics.paired_difference(score.loc["SCGAN"].PSNR, theirs)
    verdict = "higher" if low > 0 else "lower" if high < 0 else "not distinguishable"
    print(f"{name:22} {difference:+.2f} dB [{low:+.2f}, {high:+.2f}]: {verdict}", end="; ")
    print(f"CCI {metrics.cci(other).mean():.1f}, SCGAN's {mean.CCI['SCGAN']:.1f}")

# %% [markdown]
# An interval that contains 0 means that these photos do not show which method is better. It does
# not mean that the methods are equal. In the shipped run, both intervals contain 0: 22 photos are
# too few to tell.
#
# The change from stage 1 itself ($k = 1$) to SCGAN varies a lot from photo to photo:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
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
# *One point per photo. Above the line, the value is higher after stage 2.* In the shipped run,
# stage 2 makes all 22 photos more colourful and raises the PSNR of 32 %.
#
# ## The same question with 9,808 photographs
#
# The course also contains the results of a larger training, the profile `tiny`. Its stage 1 was
# trained on 68,000 photographs of 64 pixels (chapter 4). The next cells read these results;
# nothing is trained. Stage 1 of `tiny` with its chroma multiplied by 1.75 is about as colourful as
# SCGAN of `tiny`. This factor was chosen on photographs of the training set that were not used for
# training. The results in the next two cells are for the 9,808 of the 10,000 validation
# photographs that have colour.


# %%
by_hand, gan = tables.measured("validation-stage1-chroma"), tables.measured("validation-stage2")
assert by_hand["n"] == gan["n"] == 9808
assert abs(by_hand["cci"][0] - gan["cci"][0]) < 0.5  # equally colourful
lead = by_hand["psnr"][0] - gan["psnr"][0]
assert lead > 0
print(f"n = {gan['n']:,}: PSNR of stage 1, chroma × 1.75, minus that of SCGAN: {lead:+.2f} dB")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
rows = {"gray copy": (gan, "_gray"), "stage 1": (tables.measured("validation"), "")}
rows |= {"stage 1, chroma × 1.75": (by_hand, ""), "SCGAN": (gan, ""), "real": (gan, "_real")}
tables.intervals(rows).style.set_uuid("tiny")

# %% [markdown]
# *Means ± half of the 95 % interval.* **At the same colourfulness, stage 1 with stronger chroma
# has the higher PSNR.** By PSNR alone, stage 2 is not worth its cost: one factor gives the same
# colourfulness and a smaller error. SCGAN's PSNR is that of the gray copy. (The interval of the
# difference, over all 10,000 photographs, follows below.)
#
# PSNR is only one measure. The second one uses a classifier, the *judge*: EfficientNet-Lite0,
# trained on the colour photographs of ImageNet. For each picture it chooses one of the 200 classes
# of Tiny ImageNet, and the true class is known. *Top-1* is the share of pictures on which it is
# right, and a *point* is one percentage point. If wrong colours mislead the judge, top-1 falls. It
# has judged all 10,000 validation photographs, fifty of each class
# (`results/tiny/validation-10000.csv.gz`), so we can compare photograph by photograph. Those on
# which both methods are right, or both wrong, say nothing about which is better. We count the
# others: two equally good methods would each win about half of them. The *sign test* gives the
# probability $p$ that equally good methods differ at least as much as here.

# %%
judged = pd.read_csv(ROOT / "results/tiny/validation-10000.csv.gz").pivot(
    index="image", columns="method"
)
hand = "stage1_chroma_1.75"
right = judged["top1"]
names = {"gray": "gray copy", "stage1": "stage 1", hand: "stage 1 × 1.75", "scgan": "SCGAN"}
for method, name in (names | {"real": "real photograph"}).items():
    print(f"{name:15}: top-1 {100 * right[method].mean():.1f} %")
won, lost = (int(((right["scgan"] - right[hand]) == x).sum()) for x in (1, -1))
chance = binomtest(won, won + lost).pvalue
print(f"recognised with SCGAN only: {won}; with stage 1 × 1.75 only: {lost}; "
      f"two-sided sign test: p = {chance:.1e}")  # fmt: skip
finite = judged["psnr"].replace(np.inf, np.nan)
gaps = pd.DataFrame({
    "points of top-1: SCGAN minus stage 1": 100 * (right["scgan"] - right["stage1"]),
    "points of top-1: SCGAN minus stage 1 × 1.75": 100 * (right["scgan"] - right[hand]),
    "dB: SCGAN minus stage 1 × 1.75": finite["scgan"] - finite[hand],
})  # fmt: skip
ends = statistics.intervals(gaps)
for name, value, one, two in zip(gaps, gaps.mean(), *ends, strict=True):
    print(f"{value:+.2f} [{one:+.2f}, {two:+.2f}] {name}")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
least, most = ends  # checks what the text below says
assert won > lost and chance < 0.001 and least[1] > 0.5 and most[2] < 0
assert -0.25 < least[0] < 0 < most[0] < 1.1

# %% [markdown]
# **At the same colourfulness, the judge recognises more of SCGAN's pictures.** It is right on
# 36.5 % of the gray copies, 38.8 % of the pictures of stage 1, 38.0 % of those of stage 1 × 1.75,
# 39.2 % of SCGAN's and 55.7 % of the real photographs. (The differences below are computed before
# rounding.) Stage 1 gains 2.3 points over gray, and turning up its chroma loses 0.7 of them. SCGAN
# is as colourful, and no loss is shown: its lead of 1.1 points over stage 1 × 1.75 is unlikely to
# be chance. Its lead over stage 1, 0.4 points, cannot be distinguished from 0 (interval −0.2 to
# 1.0). So most of the gain over the gray copies comes from stage 1. In short: at this
# colourfulness, stage 2 is about one point better for the judge than stage 1 with stronger chroma,
# and about 0.1 dB worse in PSNR. The lead is small: the real photographs are 16.5 points ahead of
# SCGAN. And it depends on the judge: a second one, a VGG-16, does not show it
# ([chapter 11](11_verdict.ipynb)).
#
# **What this does not show.** Stage 2 differs from stage 1 by the critics, the perceptual loss and
# more training steps; [chapter 8](08_ablations.ipynb) leaves out one part at a time. We measured
# one training with one setting, so the intervals do not cover other trainings. It was short (it
# saw 21,888 photographs) and not tuned. A longer or tuned training may give another result.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
networks = {name: colorize.load_generator(ROOT / f"results/tiny/{name}.safetensors")[0]
            for name in ("generator", "scgan")}  # fmt: skip
rows = []
for photo in data.photos(p, "test")[1:20:2]:
    true = data.test_picture(photo, p.judge_size)
    one = torch.from_numpy(data.luma_u8(true))[None, None]
    first, last = (colorize.render(network, one, 64)[0] for network in networks.values())
    strong = (one + 1.75 * (first.double() - one)).clamp(0, 255).round().to(torch.uint8)
    row = {"gray": one.expand(-1, 3, -1, -1), "stage 1": first, "× 1.75": strong, "SCGAN": last}
    rows.append({name: x[0].permute(1, 2, 0).numpy() for name, x in row.items()} | {"real": true})
viz.grid(rows, blocks=2)

# %% [markdown]
# *Both stages of `tiny` on every second gallery photo of this course. × 1.75: stage 1 with its
# chroma multiplied by 1.75.* On the validation photographs, × 1.75 and SCGAN are about equally
# colourful. In these ten pictures, SCGAN gives a red or blue tint to more of the areas that are
# nearly gray in stage 1. Neither of them finds the orange of the palace, the colours of the fish
# or the blue of the water in the last picture.
#
# The paper gives PSNR little weight, because a plausible blue car has a low PSNR if the real car
# was red. But a low PSNR can also mean wrong colours. So [chapter 6](06_evaluation_table1.ipynb)
# uses several measures, each with its own weakness.

# %% [markdown]
# ## What differs from the paper and from the released code
#
# The released code trains **one** critic, on the colours. It combines BatchNorm with the gradient
# penalty (chapter 3 shows why BatchNorm breaks the penalty). Before stage 2, it sets a learning
# rate for the critic and then overwrites it with the generator's. It runs the generator twice per
# step. The table shows the rows of this chapter, and the rows about critics from chapter 3:

# %%
paper.show_deviations("05", "salient-critic", "critic-norm", "penalty-patches")

# %% [markdown]
# ## Try it
#
# **1.** How much of the change comes from the critics? Train stage 2 without them.
# <details><summary>Solution</summary>
#
# A profile with $\lambda_{adv} = 0$ has no critics. Train with and without them from the same seed,
# each in a folder of its own:
#
# ```python
# import os
# from unittest import mock
#
# weights = {}
# for name, weight in (("with", p.loss.adversarial), ("without", 0.0)):
#     other = config.load(profile, seed=1, loss=vars(p.loss) | {"adversarial": weight})
#     with mock.patch.dict(os.environ, SCGAN_OUTPUT=f"build/{name}-critics"):
#         weights[name] = training.train(other, 2)  # trains its own stage 1 first
# ```
# Colour the validation photos with `paint(weights["with"])` and `paint(weights["without"])`, and
# compare CCI and PSNR as above. One seed proves little; chapter 8 has three.
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
# If the real CCI lies beyond the curve, `np.interp` returns the end of the curve: the largest $k$
# is too small.
# </details>
#
# **3.** Apply the gradient penalty to the sum of the patch scores, as many implementations do. What
# happens to the gaps, and to CCI?
# <details><summary>Solution</summary>
#
# ```python
# other = config.load(profile, seed=2, penalty_patches="sum")
# training.train(other, 2)
# ```
# The penalty now keeps the gradient norm of the *sum* of the $n$ patch scores near 1. Their mean
# is the sum divided by $n$, so its gradient norm is near $1/n$ (chapter 3). The gap, a difference
# of means, becomes about $n$ times smaller, and $\lambda_{adv}$ would have to be about $n$ times
# larger for the same effect. With the same $\lambda_{adv}$, the critics should therefore change
# the CCI less.
# </details>
#
# **Exercises:** three functions to write, each with a test that checks yours. `make exercises`
# puts them in `build/exercises/student/`; the solutions are in
# [exercises/05_stage2_adversarial_training.py](exercises/05_stage2_adversarial_training.py).
#
# ## Three lines to remember
#
# 1. In each step the critics are updated on detached pictures. Then the generator is updated, with
#    gradients through the frozen critics.
# 2. Read gap and penalty together: a gap means little if the penalty shows that the gradient norm
#    is far from 1.
# 3. Stronger colour is easy. So compare SCGAN with stage 1 at the same colourfulness. In one
#    training of `tiny`, SCGAN's PSNR was about 0.1 dB lower, and the judge recognised about one
#    point more of its pictures.
#
# **Next:** [chapter 6, evaluation](06_evaluation_table1.ipynb).
