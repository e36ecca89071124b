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
# # 8 · Ablations: which part does what?
#
# **After this chapter you can** take a method apart: train it again with one part missing, under
# the same budget and with several seeds; distinguish an effect from luck; and say which parts of
# SCGAN make a difference here.
#
# **Time:** 25 minutes to read, half a minute to run. The training behind it is not done here:
# `make ablations` trains all variants with three seeds, once. How long that took is printed below.
#
# **Before this:** [chapter 3](03_losses_and_critics.ipynb) for the losses that are taken away,
# [chapter 6](06_evaluation_table1.ipynb) for the measures and the paired bootstrap.

# %% tags=["parameters"]
profile = "mini"
seed = 0

# %% jupyter={"source_hidden": true} tags=["hide-input"]
import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Image, display
from scipy.stats import t as student

from scgan_lib import ablations, config, paper, statistics, tables, viz

viz.use_style()
base = ablations.budgeted(profile)
home = ablations.home(base)  # one folder for all seeds
csv = home / "ablations.csv"
there = csv.is_file()
if there:
    rows = pd.read_csv(csv, dtype={"image": str, "variant": str})
    facts = json.loads(csv.with_suffix(".json").read_text())
    minutes = sum(facts["seconds"].values()) / 60
    print(f"{rows['variant'].nunique()} rows of the table, seeds {facts['seeds']},", end=" ")
    print(f"{minutes:.0f} minutes of training in {len(facts['seconds'])} stages")
else:
    print(
        f"No {csv.name} for profile {profile} yet; make it with: make ablations PROFILE={profile}"
    )

# %% [markdown]
# ## The paper says
#
# Three claims of the paper are about parts. The saliency map keeps colours from bleeding and rare
# colours from being averaged away. The second critic, which sees only the salient area, makes
# objects better. Starting from stage 1 keeps the GAN out of bad minima. Each can be tested in the
# same way: **what happens without it?** The paper's own ablation figures are not available to this
# project, so there is nothing to compare with.
#
# ## The code does
#
# A variant is the full method with the fewest settings changed that take one part away. The table
# is computed from the settings that are used in training.


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def change(name):
    """`setting: before -> after` of everything that differs from the full method."""
    return ", ".join(f"{k}: {a} → {b}" for k, (a, b) in ablations.changed(base, name).items())


variants = pd.DataFrame(
    {
        "what changes": [change(n) for n in ablations.VARIANTS],
        "which means": [ablations.MEANING[n] for n in ablations.VARIANTS],
        "stage 1 of": [ablations.stage1_owner(base, n) for n in ablations.VARIANTS],
    },
    index=[*ablations.VARIANTS],
)
variants.style.set_uuid("variants")

# %% [markdown]
# **A budget of their own.** To save time, each training is shorter than that of chapters 4 and 5.
# So `full` is the same method as in Table 1, trained more briefly, and its numbers differ:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
own = config.from_environment(profile, 0)
for stage in (1, 2):
    here, before = (getattr(q, f"stage{stage}_steps") for q in (base, own))
    print(f"stage {stage}: {here} updates for a variant, {before} in chapter {3 + stage}")

# %% [markdown]
# **The same number of updates.** Every variant makes the same number of generator updates on as
# many pictures. *No stage 1* makes all of them in stage 2, at the learning rate of stage 2. So it
# changes two things at once.
#
# **Shared stage 1.** Where a variant differs in stage 2 only, it starts from the same stage 1 as
# the full method of that seed. That saves time and removes a source of luck.
#
# **Check.** Equal numbers of updates, and sharing exactly where the settings of stage 1 are equal.

# %%
updates = {n: ablations.variant(base, n) for n in ablations.VARIANTS}
updates = {n: p.stage1_steps + p.stage2_steps for n, p in updates.items()}
assert set(updates.values()) == {base.stage1_steps + base.stage2_steps}
for name in ablations.VARIANTS:
    first = {"saliency_guidance", "global_encoder", "global_weights"}  # what stage 1 depends on
    own = bool(first & set(ablations.changed(base, name)))
    expected = "" if name == "no-stage1" else name if own else "full"
    assert ablations.stage1_owner(base, name) == expected
print(
    f"{base.stage1_steps} + {base.stage2_steps} updates of {base.batch} pictures for each variant"
)

# %% [markdown]
# ## Two kinds of luck
#
# Train the same variant with two seeds, and the means differ. Score it on other photos, and they
# differ too. These are two spreads, and neither can be computed from the other:
#
# - **over images**: would other photos show the same difference *between these trained networks*?
#   The paired bootstrap of chapter 6 answers that, and many photos make it narrow.
# - **over seeds**: would *other trained networks* of the same two recipes show it? Only more seeds
#   answer that, however many photos there are.
#
# The simulation below invents two recipes that are **equally good**. Each training has luck of its
# own: a standard deviation of 0.1 dB. Four tests are applied to a thousand such pairs.

# %%
random = np.random.default_rng(0)
SEEDS, PHOTOS, TRIALS, LUCK, NOISE = 3, 66, 1000, 0.1, 0.3
of_seed = random.normal(0, LUCK * np.sqrt(2), (TRIALS, SEEDS, 1))  # one training minus another
difference = of_seed + random.normal(0, NOISE, (TRIALS, SEEDS, PHOTOS))  # dB, a photo at a time
photo_mean = difference.mean(1)  # (TRIALS, PHOTOS): averaged over the seeds, as in Table 2
half = 1.96 * photo_mean.std(1, ddof=1) / np.sqrt(PHOTOS)
images_say = np.abs(photo_mean.mean(1)) > half
seed_means = difference.mean(2)
seeds_agree = np.abs(np.sign(seed_means).sum(1)) == SEEDS
spread = seed_means.std(1, ddof=1) / np.sqrt(SEEDS)
beyond = np.abs(seed_means.mean(1)) > student.ppf(0.975, SEEDS - 1) * spread
rates = {
    "interval over images excludes 0": images_say,
    "all seeds have one sign": seeds_agree,
    "both: bold in Table 2": images_say & seeds_agree,
    "t interval over seeds excludes 0": beyond,
}
pd.Series(
    {k: 100 * v.mean() for k, v in rates.items()}, name="false alarms, %"
).to_frame().style.format("{:.0f}").set_uuid("alarms")

# %% [markdown]
# *How often each test sees a difference where there is none.* The test over images is wrong most of
# the time: it measures precisely which of two trainings was lucky. Asking the seeds to agree helps,
# but three signs are equal by luck in one case of four.
#
# **Check.** $n$ seeds agree in sign by luck with probability $2 \cdot 2^{-n} = 2^{1-n}$.

# %%
chance = 2.0 ** (1 - SEEDS)
assert abs(seeds_agree.mean() - chance) < 4 * np.sqrt(chance * (1 - chance) / TRIALS)
assert abs(beyond.mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / TRIALS)
factors = {n: student.ppf(0.975, n - 1) / np.sqrt(n) for n in (2, 3, 5, 10)}
for n, factor in factors.items():
    print(f"{n:2d} seeds: one sign by luck in {2.0 ** (1 - n):.1%}; a difference must exceed")
    print(
        f"          {factor:.2f} × the standard deviation between seeds to be beyond their spread"
    )

# %% [markdown]
# So a cell of Table 2 is bold where the interval over images excludes 0 **and** all seeds have one
# sign. Read bold as "worth another three seeds". We call a difference a *finding* only if its t
# interval over seeds excludes 0 as well (`_seeds_low` and `_seeds_high` in `table2.csv`).
#
# ## Table 2
#
# In brackets the difference to *full*: mean, interval over images, and how many seeds have this
# sign. Bold: the interval excludes 0 and all seeds agree.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
if there:
    table = tables.table2(home)
    shown = tables.style(table)
else:
    head = ["mean (difference to full [interval over images]; seeds that agree)"]
    shown = pd.DataFrame("", index=[*ablations.VARIANTS], columns=head).style
    print(f"What would be here: a row for each variant. Run: make ablations PROFILE={profile}")
shown.set_uuid("table2")

# %% [markdown]
# **Check.** One cell by hand, from `ablations.csv`: the difference within a seed first, then the
# mean over seeds, then the bootstrap over photos.

# %%
if there:
    photos, composites = tables.split_sets(rows)
    other = next(n for n in photos["variant"].unique() if n not in ("gray", "real", "full"))
    cube = photos.set_index(["variant", "seed", "image"])["psnr"]
    by_seed = (cube[other] - cube["full"]).unstack()  # (seeds, photos)
    mean, low, high = statistics.bootstrap_interval(by_seed.mean())
    row = table.numbers.loc[other]
    ours = row[["psnr_difference", "psnr_difference_low", "psnr_difference_high"]]
    np.testing.assert_allclose([mean, low, high], ours.astype(float), atol=0.02)
    print(f"{other} minus full: PSNR {mean:+.3f} dB [{low:+.3f}, {high:+.3f}]")
    print("a seed at a time:", by_seed.mean(axis=1).round(3).to_dict())

# %% [markdown]
# ## What we see
#
# **Dots** are seeds, **bars** the interval over images of their mean, 0 is the full method. In the
# row *full*, the dots are its own seeds around their mean: their spread is luck. **Look for** bars
# that exclude 0 while their dots lie on both sides of it: such a difference is luck of the seeds.
# In the shipped run there are several.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
CHROMA = ("boundary_chroma", "salient_chroma")  # measured on composites, all else on photos
TITLES = {"psnr": "PSNR, dB ↑", "ssim": "SSIM ↑", "agree": "agreement, % ↑", "cci": "CCI"}
TITLES |= {m: viz.MEASURES[m] + " ↓" for m in CHROMA}


def dots_and_bars(ax, measure, names):
    """One measure's differences to the full method, a line a variant."""
    part = composites if measure in CHROMA else photos
    means = part.replace(np.inf, np.nan).groupby(["variant", "seed"])[measure].mean()
    means = means * (100 if measure == "agree" else 1)
    ax.axvline(0, color="#8a8a8a", linewidth=0.7)
    for y, name in enumerate(names):
        reference = means["full"].mean() if name == "full" else means["full"]
        dots = means[name] - reference  # seed by seed
        ax.plot(dots, np.full(len(dots), y), "o", color="#0072b2", markersize=2.8)
        if name != "full":
            interval = [f"{measure}_difference_low", f"{measure}_difference_high"]
            bar = table.numbers.loc[name, interval].astype(float)
            ax.plot(bar, [y, y], color="#d55e00", linewidth=3.2, alpha=0.45, zorder=0)
    ax.set(xlabel=TITLES[measure], yticks=range(len(names)), ylim=(len(names) - 0.5, -0.5))
    ax.set_yticklabels([n.replace("-", " ").replace("stage1", "stage 1") for n in names])
    ax.grid(False, axis="y")


if there:
    names = [n for n in table.numbers.index if n not in ("gray", "real")]
    means = table.numbers.filter(like="_mean").dropna(axis=1, how="all")
    measured = [m for m in TITLES if f"{m}_mean" in means]
    deep = -(-len(measured) // 3)
    size = (viz.PAGE, deep * (0.19 * len(names) + 0.5))
    fig, axes = plt.subplots(deep, 3, figsize=size, squeeze=False, sharey=True)
    for measure, ax in zip(measured, axes.flat, strict=False):
        dots_and_bars(ax, measure, names)
    for ax in axes.flat[len(measured) :]:
        ax.remove()
    viz.save(fig, base.figures, "ablations")
else:
    print("no results yet: make ablations")

# %%
if there:
    found = {}
    for measure, title in TITLES.items():
        if f"{measure}_seeds_low" in table.numbers:
            ends = table.numbers[[f"{measure}_seeds_low", f"{measure}_seeds_high"]].astype(float)
            beyond_seeds = (ends > 0).all(axis=1) | (ends < 0).all(axis=1)
            bold = table.numbers[f"{measure}_told"].fillna(0) != 0
            sizes = table.numbers[f"{measure}_difference"].astype(float).round(3)
            found[title] = sizes.where(bold & beyond_seeds)
    findings = pd.DataFrame(found).dropna(how="all").dropna(axis=1, how="all")
    tested = sum(
        table.numbers[f"{m}_difference"].notna().sum() for m in TITLES if f"{m}_mean" in means
    )
    print(f"{int(findings.notna().sum().sum())} findings among {tested} differences")
    display(findings.style.format(precision=3, na_rep="").set_uuid("findings"))

# %% [markdown]
# *Differences to the full method that are larger than both kinds of luck. Empty: not a finding.* Of
# about forty differences, one or two may pass by luck even so.
#
# ## With your own eyes
#
# The same test photos under all variants of the first seed, in the fixed order of the gallery.
# Compare *no adversarial* with *full*: what do the critics change? Look at *no saliency*: does
# colour cross the edge of the main object more often? Could you name the variants without their
# titles?

# %% jupyter={"source_hidden": true} tags=["hide-input"]
trained = min((home / "ablations").glob("all-seed*/outputs"), default=None)
drawn = base.figures / "ablation_pictures.jpg"
if there and trained:
    scored = {folder.name for folder in trained.iterdir()}
    kept = [n for n in ablations.VARIANTS if n in scored]
    heads = {n: n.replace("-", "\n", 1).replace("-", " ").replace("ge1", "ge 1") for n in kept}
    heads = {"gray": "gray"} | heads | {"real": "real"}
    run = trained.parent
    stems = viz.stems(run)[:4]
    pictures = viz.grid([{heads[n]: viz.picture(run, n, s) for n in heads} for s in stems])
    viz.save(pictures, base.figures, drawn.stem)
    display(pictures)
elif drawn.is_file():  # the pictures are not in git, what was drawn of them is
    display(Image(filename=str(drawn)))
else:
    print(f"no {drawn.name} yet: make ablations PROFILE={profile}")

# %% [markdown]
# ## What three seeds cannot show
#
# They can show that a part matters a lot. They cannot show that a part does *not* matter: "not
# distinguishable" means no effect, or a small one. How small? Half of the t interval over seeds
# says which effects could have been found here at all:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
if there and len(facts["seeds"]) > 1:
    smallest = {}
    for measure, title in TITLES.items():
        if f"{measure}_seeds_low" in table.numbers:
            ends = table.numbers[[f"{measure}_seeds_low", f"{measure}_seeds_high"]].astype(float)
            smallest[title] = (ends.iloc[:, 1] - ends.iloc[:, 0]).div(2)
    grid = pd.DataFrame(smallest).dropna().style.format(precision=3).set_uuid("smallest")
    display(grid)
else:
    print("needs ablations.csv with at least two seeds: make ablations")

# %% [markdown]
# *Half the t interval over seeds of each difference: a smaller effect than this stays unseen.*
#
# ## Does it work, and which part of it?
#
# **Stage 1 works, and it is worth having.** Chapters 4 and 6 show that it is nearer to the truth
# than a gray copy, at 174 training photos and at 68,000. Here, a stage 2 without stage 1 ends with
# a lower SSIM and a larger error at the edges of objects. (It also had another learning rate.)
# **The critics do something, but at a price.** Without them, the pictures are much paler, and
# nearer to the truth by PSNR and SSIM. And for colour alone, critics are not needed: chapter 5
# shows on 9,808 photographs that stage 1 times a constant has the same colourfulness with a higher
# PSNR. (One classifier recognises slightly more of SCGAN's pictures.)
#
# **The saliency guidance, the idea that the paper is named for, makes no difference that we could
# find.** The same holds for the second critic, the perceptual loss and the global encoder. This
# does not say that they are useless. Three seeds, 174 photos and short training find only large
# effects (the table above says how large), and the saliency maps themselves are poor (chapter 4).
# At the size of `tiny` there is only a first ablation of stage 2: 100 steps, one seed, 1,000
# photographs (`results/tiny/ablations-short.json`). There, too, the guidance did not bring the
# object nearer to the truth. Whether it helps with more data and a longer training is not known.
#
# ## What differs from the paper
#
# The paper trains on about 128,000 photos. The switches are those of the table of differences:

# %%
paper.show_deviations("salient-critic", "global-encoder", "working-size")

# %% [markdown]
# ## Try it
#
# **1.** Is the same photo the hardest for all variants? Correlate PSNR over photos between two
# variants, and say why the *paired* interval is so much narrower than that of a mean.
# <details><summary>Solution</summary>
#
# ```python
# wide = photos[photos["seed"] == 0].pivot(index="image", columns="variant", values="psnr")
# print(wide.drop(columns="real").corr().round(3))
# ```
# Nearly the same photos are hard for all, because their true colours are strong. The difference on
# one photo removes what makes it hard for both, and what is left varies less.
# </details>
#
# **2.** Repeat the simulation with 2, 5 and 10 seeds. From how many on is "bold" wrong in fewer
# than 5 % of cases?
# <details><summary>Solution</summary>
#
# Agreement by luck is $2^{1-n}$: 50 %, 6 %, 0.2 %. With six seeds it falls below 5 %. With ten, the
# rule is too strict: a single unlucky training hides a true effect. Then the t interval is the
# better test.
# </details>
#
# **3.** Ablate something of your own: another number of composites, say. Which settings of stage 1
# change, so what can be shared?
# <details><summary>Solution</summary>
#
# ```python
# ablations.VARIANTS["no-composites"] = {"composites": 0.0}
# print(ablations.changed(base, "no-composites"), ablations.stage1_owner(base, "no-composites"))
# failed = ablations.run(base, [0, 1, 2], only=["no-composites"])  # trains: minutes
# ```
# Stage 1 sees other batches, so it needs its own.
# </details>
#
# ## Three lines to remember
#
# 1. Other photos and other seeds are two kinds of luck, and more photos do not replace seeds.
# 2. Here, stage 1 and the critics make a difference; for the saliency guidance none was found.
# 3. "Not found" is not "not there": say how small an effect could have been seen.
#
# **Next:** [chapter 9, your own photographs](09_colorize_your_photos.ipynb).
