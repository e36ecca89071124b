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
# # 7 · Compare with your own eyes
#
# **After this chapter you can** compare one photo as gray copy, stage 1, SCGAN and real photo, and
# over the training steps; find the photos with extreme values of a measure; and say how chroma
# strength, luminance, input size, and a mix of the weights of both stages change a picture.
#
# **Time:** 20 minutes to read and look, half a minute to run. Nothing is trained here.
#
# **Before this:** [chapter 6](06_evaluation_table1.ipynb). This chapter uses the weights and the
# pictures that chapters 4, 5 and 6 have written to `results/`. The *shipped run* has profile `mini`
# and seed 0.

# %% tags=["parameters"]
profile = "mini"
seed = 0

# %%
import copy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from PIL import Image

from scgan_lib import colorize, config, data, metrics, paper, tables, training, viz
from scgan_lib.paths import UserError
from scgan_lib.widgets import Compare, Explore, Gallery

viz.use_style()
p = config.from_environment(profile, seed)
weights = {name: training.final_weights(p, n) for n, name in ((1, "stage 1"), (2, "SCGAN"))}
needed = [p.results / "metrics.csv", p.results / "outputs" / "scgan", *weights.values()]
for path in needed:
    if not path.exists():
        raise UserError(f"{path}: missing; run chapters 4, 5 and 6 on profile {p.name} first")

on_photos, on_composites = tables.split_sets(pd.read_csv(p.results / "metrics.csv"))
table = on_photos.pivot(index="image", columns="method")
made = on_composites.pivot(index="image", columns="method")  # cut-outs on photos, with exact masks
photos = [stem for stem in viz.stems(p.results) if stem in table.index][:200]
small = dict(side=160, quality=65, width=340)  # small pictures keep the page small
print(f"{len(photos)} test photos under {len(table['psnr'].columns)} methods, ", end="")
print(f"{len(made)} test composites")

# %% [markdown]
# ## Why look, when there is a table?
#
# The paper begins with *visible* failures: a crowd is coloured like trees (semantic confusion), or
# red runs into the sky (bleeding). Table 1 measures the colour error at the object's edge, on
# composites, where this edge is known exactly. Bleeding raises it, but so does a wrong colour of
# the object. No column measures semantic confusion alone. And a mean over photos hides that a
# method can be better on some photos and worse on others. In the pictures you see which mistakes a
# method makes, and where.
#
# **How the controls work.** Drag the border in the picture, or click the picture and use the arrow
# keys; `Home` and `End` move the border to the ends. A digit chooses the picture on the right,
# `Shift` and a digit the one on the left. The two lists below the picture do the same. These
# controls work in a running notebook and in a saved page. A few others need Python to compute a new
# picture. In a saved page, a line above them says so, and you can only choose among a few settings
# that were computed beforehand.
#
# *Gray* is the input. The network of `mini` sees it shrunk to 64 pixels a side. The measures are of
# pictures of 256 pixels. The pictures in a saved page have at most 160 (in one section 208), to
# keep the file small.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
stem = photos[0]
pair = {name: viz.picture(p.results, m, stem) for m, name in (("gray", "gray"), ("real", "real"))}
Compare(pair, caption="Left: the gray input. Right: the real photo.", **small)

# %% [markdown]
# ## One photo, six views
#
# Choose the photo with the slider below the picture, or click a thumbnail. **First** set the left
# picture to *stage 1* and the right one to *SCGAN*, and drag slowly: does stage 2 change whole
# regions or single objects? **Then** compare *SCGAN* with *real*, and follow the edge of the main
# object: does a colour cross it?
#
# *Saliency* is the predicted map. *Salient area* is its product with the colours; the second critic
# scores it. The line under the picture shows the measures of that photo (chapter 6): a higher PSNR
# or SSIM is nearer to the real photo, and CCI is the colourfulness. The control contains four
# photos, to keep the file small. To see all photos in a running notebook, replace the line that
# begins with `chosen =` by `chosen = photos`, and run the cell again.

# %%
METHODS = {"gray": "gray", "stage1": "stage 1", "scgan": "SCGAN"}


def views(stem):
    """Six labelled pictures of one test photo."""
    shown = {name: viz.picture(p.results, method, stem) for method, name in METHODS.items()}
    saliency = viz.picture(p.results, "saliency", stem)
    shown |= {"saliency": saliency, "salient area": viz.salient_area(shown["SCGAN"], saliency)}
    return shown | {"real": viz.picture(p.results, "real", stem)}


def measures(stem):
    """The photo's rows of metrics.csv in one line."""
    row, names = table.loc[stem], METHODS | {"real": "real"}
    psnr = ", ".join(f"{names[m]} {row['psnr', m]:.1f}" for m in METHODS)
    ssim = ", ".join(f"{names[m]} {row['ssim', m]:.3f}" for m in METHODS)
    cci = ", ".join(f"{names[m]} {row['cci', m]:.0f}" for m in ("stage1", "scgan", "real"))
    return f"PSNR in dB: {psnr}. SSIM: {ssim}. CCI: {cci}."


spread = np.linspace(0, min(len(photos), 20) - 1, 4).astype(int)  # places in the gallery
chosen = [photos[i] for i in np.unique(spread)]
Gallery(
    {stem: views(stem) for stem in chosen},
    captions={stem: measures(stem) for stem in chosen},
    right=2,
    **small,
)

# %% [markdown]
# **Check.** The line must show the measures of the picture above it. So we compute PSNR and CCI
# again from the files, for every photo as gray copy, stage 1 and SCGAN.

# %%
for stem in photos:
    real = viz.picture(p.results, "real", stem)
    for method in METHODS:
        shown = viz.picture(p.results, method, stem)
        recomputed = [metrics.psnr(real, shown), metrics.cci(shown)]
        stored = [table.loc[stem, (name, method)] for name in ("psnr", "cci")]
        np.testing.assert_allclose(recomputed, stored, rtol=1e-6, atol=1e-6)
print(f"PSNR and CCI of {len(photos) * len(METHODS)} pictures agree with metrics.csv")

# %% [markdown]
# ## Along training time
#
# During both stages, a few gallery photos were colorized at fixed steps, which lie closer together
# at the start of a stage. The slider moves along eight of these steps, from the untrained generator
# to the end of stage 2. (In the shipped run, the end of stage 1, step 640, is not among the eight.)
# **Look for** the order in which objects get their colour: do large, plain areas come first?
# **Then** go to the first steps of stage 2: does the picture change at once or gradually?
#
# The photo is the one whose colours differ most between the first and the last of the eight steps.
# In a running notebook, you can choose another photo in the second cell below; its *moment* is the
# place of the step, from 0 to 7. In a saved page, that cell has one other photo, at the last step.

# %%
shots = {}
for stage in (1, 2):
    for path in sorted((training.stage_folder(p, stage) / "samples").glob("step_*.npz")):
        if stage == 1 or int(path.stem[5:]):  # step 0 of stage 2: the end of stage 1
            shots[f"{int(path.stem[5:])} of stage {stage}"] = np.load(path)
keep = np.unique(np.linspace(0, len(shots) - 1, 8).round().astype(int))
shots = {name: shots[name] for name in np.array(list(shots))[keep]}
first, *_, last = shots.values()
sampled = data.photos(p, "test")[: len(first["rgb"])]
moved = [viz.color_error(a, b).mean() for a, b in zip(first["rgb"], last["rgb"], strict=True)]
number = int(np.argmax(moved))
names, end = [photo.stem for photo in sampled], len(shots) - 1


def painted_at(photo=names[number], moment=end):
    """Pictures and caption of a photo at one of the kept steps, 0 being the first."""
    step, shot = list(shots.items())[moment]
    index = names.index(photo)
    real = data.test_picture(sampled[index], p.judge_size)
    rgb, saliency = shot["rgb"][index], shot["saliency"][index]
    pictures = {"gray": data.luma_u8(real), "colours": rgb, "saliency": saliency, "real": real}
    measured = f"PSNR {metrics.psnr(real, rgb):.1f} dB, CCI {metrics.cci(rgb):.1f}"
    return pictures, f"{photo}, step {step}: {measured}"


moments = {step: painted_at(moment=i) for i, step in enumerate(shots)}
frames = {step: pictures for step, (pictures, _) in moments.items()}
captions = {step: caption for step, (_, caption) in moments.items()}
Gallery(frames, kind="step", captions=captions, thumbnails=False, right=1, **small)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
others = [name for name in names if name != names[number]][:1]
examples = {f"{name}, last step": {"photo": name} for name in others}
controls = dict(photo=names, moment=(0, end, 1))
Explore(painted_at, **controls, examples=examples, kind="photo", right=1, **small)

# %% [markdown]
# The next figure shows the steps side by side, for the first two gallery photos:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
rows = [
    {f"step {name}".replace(" of ", "\n"): shot["rgb"][i] for name, shot in shots.items()}
    | {"\nreal": data.test_picture(photo, p.judge_size)}
    for i, photo in enumerate(sampled)
]
_ = viz.save(viz.grid(rows[:5]), p.figures, "evolution")
viz.grid(rows[:2])

# %% [markdown]
# *Two gallery photos over both stages. Step 0 of stage 1 is the untrained generator; the last
# column before the real photo is the end of stage 2.* Which of the eight pictures is closest to the
# real photo by PSNR? We check this for one photo, that of the step slider:

# %%
real = data.test_picture(sampled[number], p.judge_size)
path = [metrics.psnr(real, shot["rgb"][number]) for shot in shots.values()]
best = int(np.argmax(path))
print(f"{sampled[number].stem}: PSNR {path[0]:.2f} dB at first, {path[-1]:.2f} dB at last")
print(f"highest at step {list(shots)[best]}: {path[best]:.2f} dB")
print(
    f"the last of these pictures is {'not ' * (best < len(path) - 1)}the closest to the real photo"
)

# %% [markdown]
# ## Choose by measure
#
# Means hide extreme cases. So we sort the photos by a measure, with the most extreme photo first
# (*rank* 1). *Changed most by stage 2* sorts by the mean colour distance between stage 1 and SCGAN.
# **Look at** the *colour error*, the distance between the chroma values in Lab (0 is black, 50 or
# more is white): is it large on one object, or on the whole background? **Then ask** whether you
# would also choose this picture as the worst.
#
# Two of the orders need the exact edge of the object, so they sort *composites* (cut-outs on
# photos). *Largest error at the edge* sorts by the *boundary chroma error*, the distance from the
# real colour in a narrow band along the object's edge ([chapter 6](06_evaluation_table1.ipynb)
# defines it). *Falsest object* sorts by the *salient chroma error*, the same distance inside it. A
# wrong colour of the object raises the boundary error even without bleeding. In the shipped run,
# the same composite is first in both orders: a magenta flower became pale brown. Its boundary error
# is about that of the gray copy (38.2 and 37.9).


# %%
def distance(method):
    """Mean colour distance of SCGAN's pictures from another method's."""
    pairs = {s: [viz.picture(p.results, m, s) for m in (method, "scgan")] for s in photos}
    return pd.Series({s: viz.color_error(a, b).mean() for s, (a, b) in pairs.items()})


error, change = distance("real"), distance("stage1")
psnr, cci = table["psnr"].loc[photos], table["cci"].loc[photos]
orders = {
    "worst PSNR": psnr["scgan"].sort_values(),
    "most gained on gray (dB)": (psnr["scgan"] - psnr["gray"]).sort_values(ascending=False),
    "largest colour error (Lab)": error.sort_values(ascending=False),
    "dullest (CCI − real)": (cci["scgan"] - cci["real"]).sort_values(),
    "changed most by stage 2": change.sort_values(ascending=False),
}


exact = {"boundary_chroma": "largest error at the edge", "salient_chroma": "falsest object"}
exact = {name: m for m, name in exact.items() if m in made and made[m]["scgan"].notna().any()}
all_orders = orders | {
    name: made[m]["scgan"].dropna().sort_values(ascending=False) for name, m in exact.items()
}


def exact_measures(stem):
    """The composite's errors at the edge and inside the object, in one line."""
    parts = [f"{name} {made.loc[stem, (exact[name], 'scgan')]:.1f}" for name in exact]
    return (
        ", ".join(parts)
        + f" (gray: {made.loc[stem, ('boundary_chroma', 'gray')]:.1f} at the edge)."
    )


def extreme(order, rank=1):
    ranked, composite = all_orders[order], order in exact
    rank = min(rank, len(ranked))
    stem = ranked.index[rank - 1]
    shown = {m: viz.picture(p.results, m, stem, composite) for m in ("scgan", "gray", "real")}
    wrong = np.clip(viz.color_error(shown["real"], shown["scgan"]) / viz.WHITE, 0, 1)
    pictures = {"SCGAN": shown["scgan"], "gray": shown["gray"], "colour error": wrong}
    line = exact_measures(stem) if composite else measures(stem)
    text = f"{stem}: {order} {ranked.iloc[rank - 1]:.1f}, place {rank} of {len(ranked)}. {line}"
    return pictures | {"real": shown["real"]}, text


firsts = {name: {"order": name, "rank": 1} for name in all_orders}
ranks = (1, max(len(ranked) for ranked in all_orders.values()), 1)
Explore(extreme, order=[*all_orders], rank=ranks, examples=firsts, kind="first by", **small)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
places = pd.DataFrame({name: order.rank(method="first") for name, order in orders.items()})
for name, order in orders.items():
    if order.iloc[0] > order.iloc[-1]:  # lists that start with the largest value
        places[name] = len(places) + 1 - places[name]
viz.numbers(places.corr(), 2, "agreement")

# %% [markdown]
# *Rank correlation between the orders, over all test photos: 1 is the same order, 0 is no relation,
# −1 is the reverse order.* In the shipped run (66 photos), low PSNR and large colour error agree
# well (0.96): the brightness is given, so the PSNR measures the distance of the colours from those
# of one real picture. Chapter 6 explains what this means for Table 1. The gain over gray and the
# change by stage 2 agree little with the other orders (−0.32 to 0.37).

# %% [markdown]
# ## Chroma strength and luminance
#
# From the gray input $x$, the network predicts a colour picture $\hat c$. We can separate its luma
# $Y(\hat c)$ (brightness, chapter 1) from its chroma $\hat c - Y(\hat c)$, and combine them again:
#
# $$ \hat c_k = y + k\,(\hat c - Y(\hat c)), $$
# $$ y = x \quad\text{or}\quad y = Y(\hat c). $$
#
# $k$ is the *chroma strength*: 1 gives the predicted chroma, 0 gives gray. $y = x$ *keeps the
# input's luminance*; $y = Y(\hat c)$ takes the network's own luma. The network of a small profile
# sees a small picture, so its own luma is coarse. **Look at** fine detail while you switch *keep
# luminance*; in a saved page, compare *network's luma* with *chroma × 1*. The first photo shown is
# chosen by a rule: of the half of the photos to which SCGAN gives the higher CCI, it loses the most
# detail when it is shrunk to the network's size. **Then** increase $k$ (a saved page has only 0.5,
# 1 and 2): at which strength does the picture look most natural, and is the PSNR highest there?

# %%
stages = {name: colorize.load_generator(path)[0] for name, path in weights.items()}


def paint(generator, gray, pixels):
    """The network's own picture (H,W,3): `gray` shrunk to `pixels` a side, painted, enlarged."""
    reduced = Image.fromarray(gray).resize((pixels, pixels), Image.BICUBIC)
    rgb, _ = colorize.render(generator, torch.from_numpy(np.array(reduced))[None, None], pixels)
    own = Image.fromarray(rgb[0].permute(1, 2, 0).numpy())
    return np.asarray(own.resize(gray.shape[::-1], Image.BICUBIC))


def blend(own, gray, chroma=1.0, keep_luminance=True):
    """The equation above, in 8 bits."""
    luma = (own @ data.LUMA)[..., None]
    y = gray[..., None] if keep_luminance else luma
    return (y + chroma * (own - luma)).clip(0, 255).round().astype(np.uint8)


def scores(real, rgb):
    cci = f"CCI {metrics.cci(rgb):.1f} (real: {metrics.cci(real):.1f})"
    return f"PSNR {metrics.psnr(real, rgb):.1f} dB, {cci}"


star = cci["scgan"].idxmax()  # the photo to which SCGAN gives the highest CCI


def unseen(photo):
    """Mean detail of the gray picture that is lost at the network's size."""
    gray = viz.picture(p.results, "gray", photo)[..., 0]
    small_one = Image.fromarray(gray).resize((p.image_size,) * 2, Image.BICUBIC)
    return np.abs(gray.astype(float) - small_one.resize(gray.shape[::-1], Image.BICUBIC)).mean()


colourful = [s for s in photos if cci["scgan"][s] >= cci["scgan"].median()]
detailed = max(colourful, key=unseen)  # of the half with the higher CCI


def strength(photo=detailed, chroma=1.0, keep_luminance=True):
    gray, real = (viz.picture(p.results, m, photo) for m in ("gray", "real"))
    own = paint(stages["SCGAN"], gray[..., 0], p.image_size)
    result = blend(own, gray[..., 0], chroma, keep_luminance)
    return {"gray": gray, "real": real, "result": result}, f"{photo}: {scores(real, result)}"


examples = {f"chroma × {k:g}": {"chroma": k} for k in (0.5, 1, 2)}
examples["network's luma"] = {"keep_luminance": False}
controls = dict(photo=photos, chroma=(0.0, 3.0, 0.25), keep_luminance=True)
larger = small | dict(side=208, width=448)  # so that the page shows the detail
Explore(strength, **controls, examples=examples, **larger)

# %% [markdown]
# **Check.** With $k = 1$ and the input's luminance, the result must be close to that of
# `colorize.render`: only 8-bit rounding and the filter for shrinking differ. We compare eight
# photos and leave clipped pixels out; each mean difference must be below 3 of 255. If a profile
# does not keep the luminance (`imagenet`), the picture of the library is the other case:
# $y = Y(\hat c)$.

# %%
worst = 0.0
for stem in photos[:8]:
    gray = viz.picture(p.results, "gray", stem)[..., 0]
    own = paint(stages["SCGAN"], gray, p.image_size)
    mine = blend(own, gray, 1.0, p.keep_luminance).astype(float)
    inside = ((own > 0) & (own < 255)).all(-1)  # clipping changes the luminance
    worst = max(worst, np.abs(mine - viz.picture(p.results, "scgan", stem))[inside].mean())
assert worst < 3, worst
print(f"largest mean difference from the library's picture: {worst:.2f} of 255")

# %% [markdown]
# ## Saliency over the picture
#
# Here the predicted map lies over the colours, dark for 0 and bright yellow for 1. *Opacity* sets
# how strong it is. The first photo shown, here and in the next section, is the one to which SCGAN
# gives the highest CCI. **Look at** the border of the bright part: does it follow an object, or is
# it only a blurred blob in the middle? **Then** compare the *salient area* with *SCGAN*: where it
# is gray, the second critic does not see the colours.


# %%
def overlay(photo=star, opacity=0.5):
    rgb, saliency = (viz.picture(p.results, m, photo) for m in ("scgan", "saliency"))
    heat = 255 * plt.get_cmap("inferno")(saliency)[..., :3]
    laid = ((1 - opacity) * rgb + opacity * heat).round().astype(np.uint8)
    pictures = {"SCGAN": rgb, "salient area": viz.salient_area(rgb, saliency), "overlay": laid}
    return pictures, f"{photo}: mean saliency {saliency.mean() / 255:.2f}"


steps = {f"{x:.0%}": {"opacity": x} for x in (0.25, 0.5, 0.75, 1.0)}
Explore(overlay, photo=photos, opacity=(0.0, 1.0, 0.05), examples=steps, kind="opacity", **small)

# %% [markdown]
# ## Two settings that need no new training
#
# The loss weights $\lambda$ (chapter 5) act only during training. But stage 2 starts from the
# network of stage 1, so we can mix the network weights $\theta_1$ and $\theta_2$ of the two stages:
# $(1 - t)\,\theta_1 + t\,\theta_2$. The slider $t$ goes from 0 (stage 1) to 1 (stage 2). **Look
# at** how the colours change: everywhere, or only in some places?
#
# *Pixels* is the side of the picture that the network sees. It was trained with one size. **Look
# at** the effect of a larger size: do borders become finer, and do large plain areas keep their
# colour? In the shipped run, most of the sky of this photo is olive at 256 pixels, and the PSNR is
# 14.3 dB (24.0 dB at the trained 64 pixels).

# %%
mixed = copy.deepcopy(stages["SCGAN"])
one, two = (stages[name].state_dict() for name in ("stage 1", "SCGAN"))
sizes = [p.image_size * n // 2 for n in (2, 3, 4, 8) if p.image_size * n // 2 <= 512]


def knobs(photo=star, t=1.0, pixels=p.image_size):
    state = {k: torch.lerp(one[k].double(), two[k].double(), t).to(two[k].dtype) for k in one}
    mixed.load_state_dict(state)
    gray, real = (viz.picture(p.results, m, photo) for m in ("gray", "real"))
    rgb, _ = colorize.render(mixed, torch.from_numpy(gray[..., 0].copy())[None, None], pixels)
    result = rgb[0].permute(1, 2, 0).numpy()
    return {"gray": gray, "real": real, "result": result}, f"{photo}: {scores(real, result)}"


examples = {f"t = {t:g}": {"t": t} for t in (0.0, 0.25, 0.5, 0.75, 1.0)}
examples |= {f"{size} pixels": {"pixels": size} for size in sizes[1:]}
Explore(knobs, photo=photos, t=(0.0, 1.0, 0.05), pixels=sizes, examples=examples, **small)

# %% [markdown]
# **Check.** On the first photo and at the trained size, $t = 1$ must give the picture of chapter 6,
# and $t = 0$ that of stage 1, up to one step of 255 (rounding).

# %%
for t, method in ((0.0, "stage1"), (1.0, "scgan")):
    result = knobs(photos[0], t)[0]["result"].astype(int)
    difference = np.abs(result - viz.picture(p.results, method, photos[0])).max()
    assert difference <= 1, (method, difference)  # 1: another machine may round otherwise
    print(f"t = {t:g}: largest difference from outputs/{method}: {difference}")

# %% [markdown]
# Other changes need a new training: other weights $\lambda$, one critic instead of two, no saliency
# guidance, or another network. Such an experiment is an ablation, the same run with one thing
# changed: [chapter 8](08_ablations.ipynb).
#
# ## What differs from the paper
#
# A paper prints pictures that its authors chose. Here the order of the gallery was fixed before any
# training, a measure selects the extreme cases, and in a running notebook you can see all other
# photos. Two rows of the table of differences have a control above, *pixels* and *keep luminance*.
# It changes the setting only after the training:

# %%
paper.show_deviations("working-size", "luminance")

# %% [markdown]
# ## Try it
#
# **1.** Find the photos on which SCGAN has a *lower* PSNR than stage 1. Look at the three with the
# largest difference: for which photo would you keep the picture of stage 1?
# <details><summary>Solution</summary>
#
# ```python
# lost = (psnr["scgan"] - psnr["stage1"]).sort_values()
# Gallery({s: views(s) for s in lost.index[:3]}, captions=lost.map("{:+.1f} dB".format).to_dict(),
#         left=1, right=2)
# ```
# There is no right answer. If stage 2 chose another plausible colour, the PSNR falls, but the
# picture may still be the better one. If it added a patch of wrong colour, the PSNR falls, too.
# </details>
#
# **2.** For one photo, find the chroma strength with the highest PSNR, and the strength with the
# same CCI as the real photo. Are they the same?
# <details><summary>Solution</summary>
#
# ```python
# for k in np.arange(0, 3.1, 0.25):
#     print(k, strength(photos[0], k)[1])
# ```
# PSNR penalises a strong wrong colour more than a missing one, so we expect the first strength to
# be smaller. In the shipped run, this photo has 27.7 dB as a gray copy, and 25.2 dB with a CCI of
# 27 at strength 1. The CCI of the real photo is 20.
# </details>
#
# **3.** Send a friend a comparison that opens in any browser, without Python.
# <details><summary>Solution</summary>
#
# ```python
# Compare(views(photos[0]), caption=measures(photos[0])).save("compare.html", title=photos[0])
# ```
# The result is one file that contains the pictures and the script. It loads nothing else.
# </details>
#
# ## Three lines to remember
#
# 1. Look at single photos as well as means: a method can be better on some photos and worse on
#    others.
# 2. The last training step does not always give the picture with the highest PSNR.
# 3. Chroma strength, input size and a mix of network weights change the picture without training.
#    Other loss weights need a new training.
#
# **Next:** [chapter 8, ablations](08_ablations.ipynb).
