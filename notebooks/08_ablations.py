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
# **After this chapter you can** plan an ablation: train a method again without one part, with the
# same budget and several seeds; distinguish an effect from chance; and say which parts of SCGAN
# make a difference here.
#
# **Time:** 25 minutes to read, half a minute to run. Nothing is trained here: `make ablations`
# trains all variants once, with three seeds. The first cell prints how long that took.
#
# **Before this:** [chapter 3](03_losses_and_critics.ipynb) for the losses that are removed;
# [chapter 6](06_evaluation_table1.ipynb) for the measures and the paired bootstrap.

# %% tags=["parameters"]
profile = "mini"
seed = 0

# %% jupyter={"source_hidden": true} tags=["hide-input"]
import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Image, display
from scipy.stats import t as student

from scgan_lib import ablations, colorize, config, data, paper, paths, statistics, tables, viz

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
# The paper makes three claims about single parts. The saliency map prevents colour bleeding and
# keeps rare colours. The second critic sees only the salient area and improves the objects. The
# start from stage 1 keeps the GAN out of bad minima. We can test each claim in the same way: **what
# happens without this part?** The paper's own ablation results are not available to this project,
# so we cannot compare ours with them.
#
# ## The code does
#
# A variant is the full method without one part, with as few changed settings as possible. The table
# is computed from the settings that the training uses.


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
# **A smaller budget.** To save time, each training is shorter than that of chapters 4 and 5. So
# `full` is the method of Table 1 with a shorter training, and its results differ:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
own = config.from_environment(profile, 0)
for stage in (1, 2):
    here, before = (getattr(q, f"stage{stage}_steps") for q in (base, own))
    print(f"stage {stage}: {here} updates for a variant, {before} in chapter {3 + stage}")

# %% [markdown]
# **The same number of updates.** All variants have the same number of generator updates and see the
# same number of pictures. *No stage 1* makes all its updates in stage 2, with the learning rate of
# stage 2. So it changes two things at once.
#
# **Shared stage 1.** If a variant differs only in stage 2, it starts from the same stage 1 as the
# full method of that seed. This saves time and removes one source of random variation.
#
# **Check.** The numbers of updates are equal, and variants share a stage 1 exactly if its settings
# are equal.

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
# ## Two kinds of chance
#
# If we train the same variant with two seeds, the means differ. If we score it on other photos, the
# means differ, too. These are two kinds of spread. Neither can be computed from the other:
#
# - **over images**: would other photos show the same difference *between these trained networks*?
#   The paired bootstrap of chapter 6 answers this question. Many photos make its interval narrow.
# - **over seeds**: would *other trained networks* of the same two recipes show it? Only more seeds
#   can answer this question, not more photos.
#
# The simulation below compares two recipes that are **equally good**. Each training has a random
# deviation, with a standard deviation of 0.1 dB. We apply four tests to a thousand such pairs.

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
# *How often each test finds a difference although there is none.* The test over images is wrong
# most of the time: it measures very precisely which of the trainings happened to end better. It
# helps to require that all seeds agree, but three signs agree by chance in one case out of four.
#
# **Check.** The signs of $n$ seeds agree by chance with probability $2 \cdot 2^{-n} = 2^{1-n}$.

# %%
chance = 2.0 ** (1 - SEEDS)
assert abs(seeds_agree.mean() - chance) < 4 * np.sqrt(chance * (1 - chance) / TRIALS)
assert abs(beyond.mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / TRIALS)
factors = {n: student.ppf(0.975, n - 1) / np.sqrt(n) for n in (2, 3, 5, 10)}
for n, factor in factors.items():
    print(f"{n:2d} seeds: one sign by chance in {2.0 ** (1 - n):.1%}; a difference must exceed")
    print(
        f"          {factor:.2f} × the standard deviation between seeds to be beyond their spread"
    )

# %% [markdown]
# So a cell of Table 2 is bold if the interval over images excludes 0 **and** all seeds have the
# same sign. Bold means "worth another three seeds". We call a bold difference a *finding* only if
# its t interval over seeds also excludes 0 (`_seeds_low` and `_seeds_high` in `table2.csv`).
#
# ## Table 2
#
# The brackets contain the difference to *full*: its mean, its interval over images, and how many
# seeds have this sign. Bold: the interval excludes 0 and all seeds agree.

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
# **Check.** We compute one cell by hand from `ablations.csv`: first the difference for each seed,
# then the mean over seeds, then the bootstrap over photos.

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
# Each **dot** is a seed, each **bar** is the interval over images of the seeds' mean, and 0 is the
# full method. In the row *full*, the dots are its seeds around their mean: this spread is chance.
# **Look for** bars that exclude 0 while their dots lie on both sides of 0: such a difference may be
# chance of the seeds. The shipped run has several.

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
# *Differences to the full method that exceed both kinds of chance. Empty: not a finding.* One or
# two of about forty differences may still be chance.
#
# ## With your own eyes
#
# The figure shows the same test photos for all variants of the first seed, in the fixed order of
# the gallery. Compare *no adversarial* with *full*: what do the critics change? Look at *no
# saliency*: does colour cross the edge of the main object more often? Could you distinguish the
# variants without their titles?

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
# Three seeds can show that a part has a large effect. They cannot show that a part has *no* effect:
# "not distinguishable" means no effect, or a small one. Half of the t interval over seeds shows how
# large an effect must be to be found here:

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
# *Half of the t interval over seeds of each difference. Smaller effects are not found.*
#
# ## The same question with 68,000 photographs
#
# For `tiny` there is a short ablation of stage 2. All variants start from `tiny`'s stage 1 and are
# trained for 100 steps of 16 photographs, with three seeds. They are scored on every tenth
# validation photograph. These photographs have labels and boxes, so two more measures are possible:
# the top-1 of a classifier, and the colour error inside the box of the labelled object.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
short = json.loads((paths.ROOT / "results/tiny/ablations-short.json").read_text("utf-8"))
HEADS = {"psnr": ("PSNR (dB)", 1), "cci": ("CCI", 1), "top1": ("top-1 (points)", 100)}
HEADS |= {"box_error": ("error in the box (of 255)", 1)}
cells = {}
for name in ("no-adversarial", "no-salient-critic", "no-guidance"):
    cells[name.replace("-", " ")] = {}
    for key, (title, scale) in HEADS.items():
        _, difference, half, *by_seed = (scale * x for x in short[name][key])
        alike = max(sum(x > 0 for x in by_seed), sum(x < 0 for x in by_seed))
        cell = f"{difference:+.2f} ± {half:.2f} ({alike}/{len(by_seed)})"
        cells[name.replace("-", " ")][title] = cell
pd.DataFrame(cells).T.style.set_uuid("short")

# %% [markdown]
# *Full minus variant, so what the removed part adds: mean over 1,000 photographs and three seeds ±
# half of the 95 % interval over photographs, and how many of the three seeds have the more common
# sign.*
#
# The critics add colour and cost PSNR, with every seed. They do not raise top-1. The salient critic
# adds a little colour and makes the error of the object slightly *larger*, with every seed. For the
# saliency guidance as a whole, the seeds do not agree on whether the error of the object changes.
# Each of these trainings saw only 1,600 photographs, so this tests the beginning of stage 2 only.
#
# ## An ablation without training: swap the global features
#
# The global features should tell the network *what it sees*, so that it takes the right colours.
# Training without them needs a stage 1 of its own for each seed. But we can ask a trained network
# directly: does it use them? We let it colour one photograph and give it the global features of
# another one, the *donor*. Nothing else changes. The donor is the next photograph of the gallery.


# %%
network = colorize.inference_form(
    colorize.load_generator(paths.ROOT / "results/tiny/generator.safetensors")[0]
)


def gray_of(photo, size):
    return torch.from_numpy(data.luma_u8(data.test_picture(photo, size)))[None, None]


@torch.inference_mode()
def coloured(photo, donor):
    """`photo` in the colours that the network predicts with the global features of `donor`."""
    theirs = network.global_encoder(data.to_pm1(gray_of(donor, 64)))
    hook = network.global_encoder.register_forward_hook(lambda *_: theirs)
    rgb, _ = colorize.render(network, gray_of(photo, base.judge_size), 64)
    hook.remove()
    return rgb[0].permute(1, 2, 0).numpy()


# %% jupyter={"source_hidden": true} tags=["hide-input"]
shown = data.photos(base, "test")[:12]
panels = []
for photo, donor in zip(shown, shown[1:] + shown[:1], strict=True):
    real, other = (data.test_picture(x, base.judge_size) for x in (photo, donor))
    panels.append({"gray": data.luma_u8(real), "own\nfeatures": coloured(photo, photo),
                   "donor": other, "donor's\nfeatures": coloured(photo, donor),
                   "real": real})  # fmt: skip
viz.grid(panels, blocks=2)

# %% [markdown]
# **Look at** the penguin with the features of the pig on a meadow: its ground becomes green. The
# opera house becomes brown with the features of the cat, and the building above it blue with those
# of the opera house. The edges stay where they are: the global features decide *which* colours, the
# rest of the network decides *where*.
#
# Is the effect more than these few pictures? A script (`benchmarks/global_features.py`) did the
# same with 2,000 validation photographs of Tiny ImageNet, ten of each class. A donor of the *same
# class* shows another thing of the same kind. The *mean* of all features says nothing about the
# photograph.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
swapped = json.loads((paths.ROOT / "results/tiny/global-features.json").read_text("utf-8"))
cells = {}
for weights in ("stage 1", "SCGAN"):
    for donor, measures in swapped[weights].items():
        cell = cells[f"{weights}, {donor}"] = {}
        for key, title in (("psnr", "PSNR (dB)"), ("cci", "CCI"), ("top1", "top-1 (%)")):
            mean, gap, half = measures[key]
            cell[title] = f"{mean:.2f}" + f" ({gap:+.2f} ± {half:.2f})" * (donor != "own")
pd.DataFrame(cells).T.style.set_uuid("swapped")

# %% [markdown]
# *Means over photographs; in brackets the difference to the own features ± half of its 95 %
# interval over photographs.*
#
# ## Which parts work?
#
# **Stage 1 makes the result better.** Chapters 4 and 6 show that it is closer to the real photos
# than a gray copy, with 174 training photos and with 68,000. Here, a stage 2 without stage 1 ends
# with a lower SSIM and a larger error at the edges of objects. (It also had another learning rate.)
# **The critics make stronger colours, but at a price.** Without them, the pictures are much paler,
# and they have a higher PSNR and SSIM. Critics are not needed for stronger colours alone: chapter 5
# shows on 9,808 photographs that stage 1 with its chroma multiplied by a constant has the same
# colourfulness and a higher PSNR. (One classifier recognises slightly more of SCGAN's pictures.)
#
# **For the saliency guidance, the main idea of the paper, we found no effect.** The same holds for
# the second critic, the perceptual loss and the global encoder. This does not mean that they are
# useless. With three seeds, 174 photos and short training, we find only large effects (the table
# above shows how large), and the saliency maps themselves are poor (chapter 4). In the short
# ablation of `tiny`, too, neither the guidance nor the salient critic reduces the error of the
# object. We do not know whether they help with more data and longer training.
#
# ## What differs from the paper
#
# The paper's setting has about 128,000 training photos. The table lists the switches of this
# chapter:

# %%
paper.show_deviations("salient-critic", "global-encoder", "working-size")

# %% [markdown]
# ## Try it
#
# **1.** Is the same photo the hardest for all variants? Compute the correlation of PSNR over photos
# between two variants. Why is the *paired* interval so much narrower than the interval of a mean?
# <details><summary>Solution</summary>
#
# ```python
# wide = photos[photos["seed"] == 0].pivot(index="image", columns="variant", values="psnr")
# print(wide.drop(columns="real").corr().round(3))
# ```
# Nearly the same photos are hard for all variants, because their real colours are strong. The
# difference on one photo removes this common part, and the rest varies less.
# </details>
#
# **2.** Repeat the simulation with 2, 5 and 10 seeds. How many seeds are needed so that "bold" is
# wrong in fewer than 5 % of cases?
# <details><summary>Solution</summary>
#
# The probability of agreement by chance is $2^{1-n}$: 50 %, 6 %, 0.2 %. With six seeds it is below
# 5 %. With ten seeds, the rule is too strict: a single unlucky training hides a real effect. Then
# the t interval is the better test.
# </details>
#
# **3.** Add an ablation of your own, for example a training without composites. Which settings of
# stage 1 change? Can it share the stage 1 of `full`?
# <details><summary>Solution</summary>
#
# ```python
# ablations.VARIANTS["no-composites"] = {"composites": 0.0}
# print(ablations.changed(base, "no-composites"), ablations.stage1_owner(base, "no-composites"))
# failed = ablations.run(base, [0, 1, 2], only=["no-composites"])  # trains: minutes
# ```
# Stage 1 sees other batches, so this variant needs its own stage 1.
# </details>
#
# ## Three lines to remember
#
# 1. Other photos and other seeds are two kinds of chance. More photos do not replace more seeds.
# 2. Here, stage 1 and the critics make a difference. We found no effect of the saliency guidance.
# 3. If no effect is found, say how large an effect would have been found.
#
# **Next:** [chapter 9, your own photographs](09_colorize_your_photos.ipynb).
