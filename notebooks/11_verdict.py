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
# # 11 · Verdict: which claims hold here?
#
# **After this chapter you can** say for each claim of the paper what this project measured, and
# whether that supports the claim; tell "we found no effect" from "there is no effect"; and choose
# the experiment that would teach you most.
#
# **Time:** 10 minutes to read, seconds to run. Nothing is trained: the chapter reads results that
# the other chapters made.
#
# **Words:** `mini` is the small training of this course, on 174 photographs. `tiny` is the large
# one, on 68,000 photographs of Tiny ImageNet, 64 pixels a side, with 200 classes. The *judge* is a
# classifier, EfficientNet-Lite0. *CCI* measures how strong the colours are; stronger is not always
# better. A *composite* is an object cut out and laid on a photograph, so its mask is exact.
#
# **Before this:** [chapter 6](06_evaluation_table1.ipynb) for the measures,
# [chapter 8](08_ablations.ipynb) for the ablations.

# %% tags=["parameters"]
profile = "mini"
seed = 0

# %%
import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from scgan_lib import config, statistics, viz
from scgan_lib.paths import ROOT

viz.use_style()
own = config.load(profile).results  # the ablations of this profile, else those of the repository
small = own if (own / "table2.csv").is_file() else ROOT / "results/mini"
table2 = pd.read_csv(small / "table2.csv", index_col="method")
short = json.loads((ROOT / "results/tiny/ablations-short.json").read_text("utf-8"))

# %% [markdown]
# ## What the paper claims
#
# The paper names two problems of colorization by learning: *semantic confusion* (the network does
# not know which thing it sees, and so takes a wrong colour) and *colour bleeding* (a colour crosses
# the edge of its object). Each part of SCGAN has a purpose:
#
# | part | its purpose in the paper |
# |---|---|
# | critics, stage 2 | colours that look real, not the pale mean of all possible colours |
# | saliency guidance | less bleeding, and strong colours for the main object |
# | second critic, on the salient area | the same two, through a second adversarial loss |
# | global features of a classifier | correct colours for each kind of object |
# | stage 1 before stage 2 | a good start: a GAN from random weights ends in a bad minimum |
#
# We cannot test everything. "Look real" would need people; we test how strong the colours are, and
# whether a classifier recognises the object. Bleeding is the colour error near an object's edge.
#
# ## A rule for the verdict, fixed before we look
#
# For each part, we train with it and without it, with three seeds each, and measure every test
# photograph. This gives the effect of the part: the mean difference, its 95 % interval over
# photographs, and the difference of each seed.
#
# - **Supported:** the interval excludes 0, all seeds have one sign, and it is the claimed sign.
# - **Opposite:** the same, but with the other sign.
# - **Not shown:** everything else. This is *not* evidence that the part does nothing. The interval
#   says how large an effect could hide in it.


# %%
def verdict(low, high, seeds_agree, seeds, claimed):
    """`claimed`: +1 where the part should raise the measure, -1 where it should lower it."""
    if low * high <= 0 or seeds_agree < seeds:
        return "not shown"
    return "supported" if np.sign(low) == claimed else "opposite"


for seeds_agree, claimed in ((3, +1), (3, -1), (2, +1)):
    print(verdict(0.2, 0.9, seeds_agree, 3, claimed), end=", ")

# %% [markdown]
# ## The evidence
#
# Two ablations are available:
#
# | | Table 2 of `mini` | short ablation of `tiny` |
# |---|---|---|
# | parts left out | all five | three, in stage 2 only; all start from one stage 1 |
# | training | 240 and 60 steps of 16 | 100 steps of 16 |
# | seeds | 3 | 3 |
# | tested on | 66 photographs, 39 composites | 1,000 photographs with labels and boxes |
# | recognition | same answer as on the real photo | true label (top-1) |
#
# Table 2 has *variant minus full*. The effect of the part is the negative of that.


# %%
def of_table2(variant, measure):
    """(effect, low, high, seeds that agree, seeds) of the part that `variant` lacks."""
    get = table2.loc[variant].get
    ends = ("difference", "difference_high", "difference_low")  # minus swaps low and high
    effect, low, high = (-get(f"{measure}_{end}", np.nan) for end in ends)
    return effect, low, high, get(f"{measure}_seeds_agree", 0), get(f"{measure}_seeds", 0)


def of_short(variant, measure):
    """The same from the short ablation, whose file has full minus variant.

    half: of the 95 % interval over photographs. The first number is the variant's own mean.
    """
    _, effect, half, *by_seed = short[variant][measure]
    agree = sum(np.sign(x) == np.sign(effect) for x in by_seed)
    return effect, effect - half, effect + half, agree, len(by_seed)


# %% jupyter={"source_hidden": true} tags=["hide-input"]
PARTS = {  # part -> its variant in Table 2 and in the short ablation
    "critics": ("no-adversarial", "no-adversarial"),
    "saliency guidance": ("no-saliency", "no-guidance"),
    "second critic": ("no-salient-critic", "no-salient-critic"),
    "global features": ("no-global", None),
    "stage 1": ("no-stage1", None),
}
CLAIMS = [  # part, what it should do, measure in Table 2, in the short ablation, claimed sign
    ("critics", "stronger colours (CCI)", "cci", "cci", +1),
    ("critics", "the price: lower PSNR", "psnr", "psnr", -1),
    ("critics", "easier to recognise (%)", "agree", "top1", +1),
    ("saliency guidance", "less error at edges", "boundary_chroma", None, -1),
    ("saliency guidance", "less error in the object", "salient_chroma", "box_error", -1),
    ("second critic", "less error at edges", "boundary_chroma", None, -1),
    ("second critic", "less error in the object", "salient_chroma", "box_error", -1),
    ("global features", "easier to recognise (%)", "agree", None, +1),
    ("global features", "nearer to the real photo (PSNR)", "psnr", None, +1),
    ("stage 1", "nearer to the real photo (PSNR)", "psnr", None, +1),
    ("stage 1", "nearer to the real photo (SSIM)", "ssim", None, +1),
    ("stage 1", "less error at edges", "boundary_chroma", None, -1),
]
rows = []
for part, effect, first, second, claimed in CLAIMS:
    found = {"mini": (of_table2, PARTS[part][0], first), "tiny": (of_short, PARTS[part][1], second)}
    row = {"part": part, "it should give": effect}
    for name, (read, variant, measure) in found.items():
        missing = not (measure and variant) or (name == "mini" and variant not in table2.index)
        numbers = (np.nan,) if missing else read(variant, measure)
        if np.isnan(numbers[0]):
            row |= {name: "", f"verdict, {name}": ""}
            continue
        mean, low, high = (100 * x if measure == "top1" else x for x in numbers[:3])  # agree: in %
        digits = 3 if measure in ("ssim", "box_error", "top1") else 2
        row[name] = f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
        row[name] += f"; {numbers[3]:.0f}/{numbers[4]:.0f}"
        row[f"verdict, {name}"] = verdict(low, high, *numbers[3:], claimed)
    rows.append(row)
evidence = pd.DataFrame(rows)
evidence.style.hide(axis="index").set_uuid("evidence")

# %% [markdown]
# *Effect of the part: mean [95 % interval over photographs]; how many seeds have the sign of the
# mean. Errors: on `mini` in units of Lab, near the edge or inside the object of the composites; on
# `tiny` inside the box of the labelled object, of 255.*

# %% jupyter={"source_hidden": true} tags=["hide-input"]
held = evidence.set_index(["part", "it should give"])
if small == ROOT / "results/mini":  # the verdicts that the text below states
    mini, tiny = held["verdict, mini"], held["verdict, tiny"]
    critics = {("critics", "stronger colours (CCI)"), ("critics", "the price: lower PSNR")}
    first = {("stage 1", "less error at edges"), ("stage 1", "nearer to the real photo (SSIM)")}
    assert set(mini[mini == "supported"].index) == critics | first and "opposite" not in set(mini)
    assert set(tiny[tiny == "supported"].index) == critics
    assert list(tiny[tiny == "opposite"].index) == [("second critic", "less error in the object")]
print(f"{len(held)} claims; cells by verdict:")
print(held.filter(like="verdict").stack().value_counts().drop("").to_string())

# %% [markdown]
# On `mini`, four cells support their claim; on `tiny`, two do. One cell of `tiny` is the opposite:
# with the second critic, the error in the object is larger, by 0.07 of 255, which is too little to
# see. Everything else is not shown. Read the intervals of these cells:
#
# - With the global features, agreement may rise by 11 points or fall by half a point: 66
#   photographs are too few to tell.
# - With the saliency guidance, the error in the object is smaller on `mini` with all three seeds,
#   but the interval reaches from −1.4 to +0.4. On `tiny`, the error in the box grows by 0.07 of 255
#   at most.
# - With the critics, top-1 of `tiny` is one point lower with all three seeds. The interval just
#   reaches 0, so this is close to "opposite".
#
# ## The whole method
#
# Does the complete SCGAN make better pictures than simpler methods? The profile `tiny` gives the
# answer with the most photographs: 4,000 of its validation photographs, twenty of each of 200
# classes. Besides the gray copy there are two more baselines that cost nothing: the mean colour of
# the training photographs laid over each picture, and stage 1 with its chroma multiplied by 1.75,
# which makes it about as colourful as SCGAN (chapter 5). There is one training of each stage, with
# one seed, so the rule above cannot be applied.

# %%
NAMES = {"gray": "gray copy", "mean_color": "one mean colour", "stage1": "stage 1",
         "stage1_chroma_1.75": "stage 1, chroma × 1.75", "scgan": "SCGAN",
         "real": "real photo"}  # fmt: skip
metrics = pd.read_csv(ROOT / "results/tiny/validation-4000.csv").pivot(
    index="image", columns="method"
)
metrics = metrics.replace(np.inf, np.nan)  # a gray photograph equals its gray copy
fig, axes = plt.subplots(1, 3, figsize=(viz.PAGE, 1.9), sharey=True, layout="constrained")
for (measure, title, scale), ax in zip(
    (("psnr", "PSNR (dB)", 1), ("cci", "CCI", 1), ("top1", "top-1 (%)", 100)), axes, strict=True
):
    values = scale * metrics[measure][[*NAMES]]
    for y, method in enumerate(NAMES):
        color = viz.COLORS.get(method, viz.COLORS["stage1"])
        half = 1.96 * values[method].sem()
        ax.errorbar(values[method].mean(), y, xerr=half, fmt="o", color=color, markersize=4)
    ax.set(xlabel=title, yticks=range(len(NAMES)), yticklabels=NAMES.values())
    ax.grid(axis="x", alpha=0.3)
axes[0].invert_yaxis()

# %% [markdown]
# *Means over the photographs with 95 % intervals (1.96 standard deviations of the mean). The real
# photo has no PSNR, because it would be compared with itself. The differences below are paired, so
# their intervals (bootstrap, chapter 6) are much narrower.*

# %%
hand = "stage1_chroma_1.75"
for one, other in (("stage1", "gray"), ("scgan", "gray"), ("scgan", "stage1"), ("scgan", hand)):
    print(f"{NAMES[one]} minus {NAMES[other]}:", end="")
    for measure, scale, unit in (("psnr", 1, "dB"), ("cci", 1, "CCI"), ("top1", 100, "points")):
        gap = scale * (metrics[measure][one] - metrics[measure][other])
        mean, low, high = statistics.bootstrap_interval(gap)
        print(f" {mean:+.2f} [{low:+.2f}, {high:+.2f}] {unit}", end=";")
    print()

# %% [markdown]
# Stage 1 has the highest PSNR, and its top-1 equals SCGAN's. SCGAN has much stronger colours, and
# its PSNR is one dB lower. Stage 1 with chroma × 1.75 has nearly the same strength of colour as
# SCGAN; its PSNR is 0.13 dB higher than SCGAN's, and its top-1 is one point lower. (SCGAN's lead in
# PSNR over gray copies is small here; on all 9,808 photographs with colour, chapter 6, it is −0.00
# ± 0.09 dB.) Even one mean colour has a higher PSNR than SCGAN, and no higher top-1 than gray
# copies: PSNR rewards colours that are never far from the truth, and pale ones are safe.
#
# ## The verdict
#
# **Colours can be learned from gray pictures: yes.** After stage 1, the pictures are one dB nearer
# to the real ones than gray copies are, and the judge recognises about three points more of them.
#
# **The critics give stronger colours: yes, and PSNR falls.** All six pairs of trainings, on two
# sets of photographs, agree about both. The paper, too, reports a PSNR below that of other methods.
# In recognition we found no gain from the critics: none in the ablations, and none between stage 1
# and SCGAN, where the interval allows one point in either direction.
#
# **Stage 1 should come before stage 2: partly shown, on `mini`.** Without it, with the same number
# of updates, SSIM is .007 lower and the error at edges is 1.1 larger. For PSNR it is not shown.
#
# **Saliency guidance, the main idea of the paper: not shown,** neither at edges nor inside objects.
# **The second critic: not shown on `mini`; on `tiny` the opposite,** by an amount that nobody sees.
#
# **Global features against semantic confusion: not shown.** As for the guidance inside objects, all
# three seeds of `mini` have the claimed sign, but the interval includes 0.
#
# So stage 1 alone has all of SCGAN's gain over gray copies in PSNR and in top-1. Stage 2 adds
# colour, and gives back most of the gain in PSNR. The part that gives the method its name has not
# shown an effect. This does not refute the paper. Our trainings are small; the next section says
# what follows.
#
# ## What these results cannot say
#
# - **Size.** The paper trains on 128,000 photographs of 256 pixels, and its networks have five
#   times as many weights. Here the networks see 64 pixels, and the longest adversarial training had
#   1,368 steps of 16 photographs.
# - **One training.** The whole method was compared with one seed. Another seed may change these
#   numbers by more than the intervals show.
# - **Saliency.** The authors' maps were never published. Ours come from a method without learned
#   weights (chapter 1), and they are poorer. A guidance with poor maps may fail where a guidance
#   with good maps works.
# - **One judge.** Top-1 is the answer of one classifier, EfficientNet-Lite0. The paper used a
#   VGG-16.
# - **No people.** Nobody was asked which picture looks better.
# - **Several comparisons.** There are seventeen verdicts. Some may be wrong by chance; chapter 8
#   simulates how often such a rule raises a false alarm.
#
# ## What to try next
#
# In the order of what you would learn for the cost ([chapter 10](10_scaling_up.ipynb) computes the
# operations; the times on a GPU are not measured):
#
# 1. **A longer stage 2 of `tiny`**, with three seeds, and with and without the saliency guidance:
#    `make ablations PROFILE=tiny`. It tests the main idea of the paper on 68,000 photographs.
# 2. **Better saliency maps**: the maps of `u2netp` (chapter 1) are better than ours on pictures of
#    200 pixels and more, so train on such pictures: `PROFILE=folder`. If the guidance helps then,
#    the maps were the problem.
# 3. **Global features**: `tiny` without them (`global_encoder=none`). The network that gives these
#    features finds the right class for 26 % of the gray photographs, among 200 classes. The
#    authors' network finds it for 57 %, among 1,000. Better features may change the result.
# 4. **The paper's setting**: `make reproduce PROFILE=imagenet`.
#
# ## Try it
#
# **1.** Give the reason for each cell that is "not shown": its interval, its seeds, or both. How
# often would three seeds agree by chance on one sign?
# <details><summary>Solution</summary>
#
# Compare the two ends of the interval with 0, then the two numbers behind it. Three signs agree by
# chance in $2 \cdot 2^{-3} = 25$ % of cases, and on the claimed sign in half of these.
# </details>
#
# **2.** How many photographs would you need for an interval of ± 1 point of the difference in top-1
# between SCGAN and gray copies?
# <details><summary>Solution</summary>
#
# ```python
# gap = 100 * (metrics["top1"]["scgan"] - metrics["top1"]["gray"])
# print(f"{(1.96 * gap.std()) ** 2:,.0f} photographs")
# ```
# The standard deviation of the difference decides, not that of a single method: on most photographs
# both have the same result. More photographs do not replace more seeds.
# </details>
#
# ## Three lines to remember
#
# 1. Fix the rule for a verdict before you look at the numbers.
# 2. "Not shown" does not mean "no effect": look at how large an effect the interval still allows.
# 3. Compare with the cheapest method that could do the same.
#
# This is the end of the course. [Chapter 0](00_overview.ipynb) has the list of chapters.
