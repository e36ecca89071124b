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
# # 6 · Evaluation: what Table 1 says, and what it does not
#
# **After this chapter you can** define each column of Table 1 by an equation and a few lines of
# code, and check its number; say how each can mislead; compute how wide the interval around a mean
# of a few dozen photos is; and see what a mean hides.
#
# **Time:** 40 minutes to read, about a minute to run. **Before this:** [chapter
# 5](05_stage2_adversarial_training.ipynb) trained both stages. If you have not run it, the import
# cell below trains both stages now, which takes as long as chapters 4 and 5. (If the output says
# that a file "cannot be fetched", nothing has failed: the run uses another network in its place
# and names it.)

# %% tags=["parameters"]
profile = "mini"
seed = 0

# %% jupyter={"source_hidden": true} tags=["hide-input"]
import json
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter
from scipy.stats import binomtest
from skimage.color import rgb2lab
from skimage.metrics import structural_similarity

from scgan_lib import config, evaluation, metrics, paper, statistics, tables, training, viz
from scgan_lib.paths import ROOT

viz.use_style()
p = config.from_environment(profile, seed)
_ = training.train(p, stage=2)  # trained already: returns at once

# %% [markdown]
# ## One protocol, one command
#
# `evaluation.evaluate` colorizes the test photos with each method, scores the pictures, and writes
# a row for each photo and method to `metrics.csv`. Everything after this cell reads files: a table
# or a figure can be made again without any network. The column `set` separates photos from
# *composites*, cut-outs laid on photos, which are used further down. In the code, `scores` has the
# rows of the photos, `exact` those of the composites; each has one column for each measure. `stems`
# are the names of the test pictures.

# %%
everything, skipped = evaluation.evaluate(p)
scores, exact = tables.split_sets(everything)  # of photos, of composites
stems = viz.stems(p.results)  # names of the test pictures
print(evaluation.PROTOCOL)
print(f"\n{len(stems)} test photos, {exact['image'].nunique()} composites, ", end="")
print(f"{len(skipped)} pictures skipped; methods: {', '.join(scores['method'].unique())}")

# %% [markdown]
# The scores depend on the printed settings. Papers on colorization differ in each of them (cut a
# square out or squash the picture into a square; 8-bit integers or floats; which data range, see
# SSIM below; which colour space). So a small difference in PSNR between two papers may come from
# the settings alone.
#
# The methods `stage1` and `scgan` (stage 2) are the two stages of this profile. `tiny` is stage 1
# of the profile `tiny`: a wider network, trained on 68,000 other photographs (chapter 4). The other
# three have no trained network:
#
# - **gray**: a copy of the input. Every method is compared with it.
# - **mean colour**: the input, with the mean chroma of the training photos added at each pixel. The
#   added colour is the same for every photo.
# - **real**: the photo itself. No method can do better in PSNR, SSIM or the chroma errors, and it
#   is the reference for colourfulness.


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def picture(method, stem):
    """uint8 (H, W, 3): what `method` made of the test photo `stem`."""
    return viz.picture(p.results, method, stem)


real, fake = picture("real", stems[0]), picture("scgan", stems[0])
viz.strip(
    {viz.LABELS[m]: picture(m, stems[0]) for m in ("gray", "mean_color", "stage1", "scgan", "real")}
)

# %% [markdown]
# *The first test photo under all methods but `tiny`.* In the code, `picture(method, stem)` reads
# any such picture; `real` is this photo, and `fake` is SCGAN's picture of it.
#
# ## PSNR
#
# PSNR is the peak signal-to-noise ratio, in decibels (dB). MSE is the mean squared error over all
# pixels and channels:
#
# $$\mathrm{PSNR}(c, \hat c) = 10 \log_{10} \frac{255^2}{\mathrm{MSE}(c, \hat c)} .$$
#
# 3 dB more means half the squared error. In code, and checked against the library:

# %%
mse = np.mean((real.astype(float) - fake) ** 2)
mine = 10 * np.log10(255**2 / mse)
np.testing.assert_allclose(mine, metrics.psnr(real, fake), rtol=1e-12)
print(f"{stems[0]}: PSNR {mine:.2f} dB")

# %% [markdown]
# **The trap: pale colours score better.** Suppose that we turn the hue of a real photo and keep its
# brightness and saturation. The result may be fully plausible (a blue car in place of a red one),
# but PSNR punishes it. If we then make this wrong colour weaker, the error becomes smaller.
#
# The cell turns the two chroma numbers Cb and Cr, which JPEG uses too; 128 means no colour. Read
# them as one complex number. Multiplying it by $e^{i\theta}$ turns the hue, and multiplying it by a
# number below 1 makes the colour weaker.


# %%
def turned(rgb, degrees, strength=1.0):
    """Turn the chroma (Cb, Cr) of uint8 (H, W, 3) by an angle and scale it; luma is kept."""
    ycc = np.asarray(Image.fromarray(rgb).convert("YCbCr")).astype(float)
    chroma = (ycc[..., 1] - 128) + 1j * (ycc[..., 2] - 128)
    chroma *= strength * np.exp(1j * np.radians(degrees))
    ycc[..., 1], ycc[..., 2] = chroma.real + 128, chroma.imag + 128
    return np.asarray(
        Image.fromarray(ycc.round().clip(0, 255).astype(np.uint8), "YCbCr").convert("RGB")
    )


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def marked(rgb):
    return rgb, f"{metrics.psnr(real, rgb):.1f} dB, CCI {metrics.cci(rgb):.0f}"


panels = {"hue + 60°": turned(real, 60), "hue + 60°, half": turned(real, 60, 0.5)}
panels |= {"hue + 180°": turned(real, 180), "gray": picture("gray", stems[0])}
viz.strip(
    {"real": (real, f"CCI {metrics.cci(real):.0f}")} | {k: marked(x) for k, x in panels.items()}
)

# %% [markdown]
# *The same photo with its hue turned by 60°, the same at half the strength, with its hue turned by
# 180°, and without colour. (CCI, the color colorfulness index, says how strong the colours are; it
# has its own section below.)*

# %% jupyter={"source_hidden": true} tags=["hide-input"]
some = [picture("real", s) for s in stems[:12]]
strength = np.linspace(0, 1, 6)
fig, ax = plt.subplots(figsize=(4, 2.2))
for degrees in (0, 30, 60, 90):
    error = [np.mean([((c - turned(c, degrees, k).astype(float)) ** 2).mean() for c in some])
             for k in strength]  # fmt: skip
    ax.plot(strength, 10 * np.log10(255**2 / np.maximum(error, 1)), label=f"hue off by {degrees}°")
ax.set(xlabel="strength of the colours (0: gray, 1: real)", ylabel="PSNR of the mean error (dB)")
_ = ax.legend()

# %% [markdown]
# *How PSNR changes with the strength of colours whose hue is off by some angle (mean error of 12
# test photos).* Write chroma as a complex number, and measure it in units of the real chroma, so
# that the real one is 1. A predicted chroma of strength $k$ whose hue is off by an angle $\theta$
# is then $k e^{i\theta}$, and its squared error is
# $|1 - k e^{i\theta}|^2 = 1 - 2k\cos\theta + k^2$, which is smallest at $k = \cos\theta$. (In R, G
# and B, where PSNR is computed, this holds only roughly.) So a method that is 60° off does best at
# about half strength, and at full strength it is no better than gray. At 90° any colour at all
# makes the error larger than gray's. A method that is unsure of the hue has to be pale to score
# well. So the table needs the gray row.
#
# ## SSIM
#
# Structural similarity compares means $\mu$, variances $\sigma^2$ and the covariance
# $\sigma_{c\hat c}$ of the two pictures in a window that moves over them (here 7x7 pixels). It is
# computed for each window and each channel, and then averaged:
#
# $$\mathrm{SSIM} = \frac{(2\mu_c\mu_{\hat c} + C_1)(2\sigma_{c\hat c} + C_2)}
# {(\mu_c^2 + \mu_{\hat c}^2 + C_1)(\sigma_c^2 + \sigma_{\hat c}^2 + C_2)},$$
# $$C_1 = (0.01\,L)^2,\quad C_2 = (0.03\,L)^2 .$$
#
# $L$ is the **data range**: 255 for 8-bit pictures. In the code, a variance is the mean of the
# squares minus the square of the mean, and a covariance likewise.


# %%
def window(v):
    """Means over all 7x7 windows that lie inside: (H, W, 3) -> (H-6, W-6, 3)."""
    return uniform_filter(v, (7, 7, 1))[3:-3, 3:-3]


c, c_hat = real.astype(float), fake.astype(float)
mu, mu_hat = window(c), window(c_hat)
sample = 49 / 48  # variance of a sample, not of a population
var, var_hat = sample * (window(c * c) - mu**2), sample * (window(c_hat**2) - mu_hat**2)
cov = sample * (window(c * c_hat) - mu * mu_hat)
c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
mine = (2 * mu * mu_hat + c1) * (2 * cov + c2) / ((mu**2 + mu_hat**2 + c1) * (var + var_hat + c2))
np.testing.assert_allclose(mine.mean(), metrics.ssim(real, fake), atol=1e-6)
print(f"{stems[0]}: SSIM {mine.mean():.4f}")

# %% [markdown]
# **The trap: the data range.** The released evaluation script works on images in [0, 1] but leaves
# $L$ at 2, the range of [−1, 1]. With $L = 2$ in place of 1, $C_1$ and $C_2$ are four times as
# large. They stand in both the numerator and the denominator, so they pull the quotient towards 1.
# So the same pictures score higher:


# %%
def ssim_01(a, b, data_range):
    return structural_similarity(a / 255, b / 255, data_range=data_range, channel_axis=2)


rows = {}
for method in ("gray", "stage1", "scgan"):
    pairs = [(picture("real", s), picture(method, s)) for s in stems[:12]]
    right, wrong = (np.mean([ssim_01(a, b, L) for a, b in pairs]) for L in (1, 2))
    np.testing.assert_allclose(right, np.mean([metrics.ssim(a, b) for a, b in pairs]), atol=1e-5)
    assert wrong > right
    rows[viz.LABELS[method]] = {
        "SSIM, range 1": right,
        "SSIM, range 2": wrong,
        "excess": wrong - right,
    }
viz.numbers(pd.DataFrame(rows).T, 4, "excess")  # 4 digits; the name only goes into the HTML

# %% [markdown]
# *SSIM of 12 test photos with the right and the wrong data range, floats in [0, 1]; "excess" is the
# difference.* The same mistake in PSNR adds $20\log_{10} 2 \approx 6$ dB. That script has another
# mistake: with $a$ the real picture and $b$ the prediction, it takes the mean of $|a|$ (`slip` in
# the code) where $|a-b|$ is meant (`meant`). So one of its numbers does not depend on the
# prediction at all (on this photo, the gray copy has the smaller error $|a-b|$):

# %%
for name, other in {"SCGAN": fake, "gray copy": picture("gray", stems[0])}.items():
    slip, meant = np.abs(real / 255).mean(), np.abs(real / 255 - other / 255).mean()
    print(f"{name:10} mean |a| = {slip:.4f}   mean |a - b| = {meant:.4f}")

# %% [markdown]
# ## CCI, the colourfulness
#
# Hasler and Suesstrunk asked people how colourful photographs look and found a formula that fits
# their answers. It uses two axes, red against green ($rg$) and yellow against blue ($yb$), for
# values 0..255, and the standard deviation $\sigma$ and the mean $\mu$ of each over all pixels:
#
# $$rg = R - G, \qquad yb = \tfrac12 (R + G) - B,$$
# $$\mathrm{CCI} = \sqrt{\sigma_{rg}^2 + \sigma_{yb}^2} + 0.3 \sqrt{\mu_{rg}^2 + \mu_{yb}^2} .$$
#
# The first term asks how *different* the colours of a picture are. The second asks how far the
# picture as a whole lies from gray. (`np.hypot(a, b)` is $\sqrt{a^2 + b^2}$.)


# %%
def cci(rgb):
    r, g, b = np.moveaxis(rgb.astype(float), 2, 0)
    rg, yb = r - g, (r + g) / 2 - b
    return np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())


for s in stems:
    np.testing.assert_allclose(cci(picture("real", s)), metrics.cci(picture("real", s)), rtol=1e-9)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
flat = np.full((64, 64, 3), (200, 120, 40), np.uint8)
halves = flat.copy()
halves[:, 32:] = (40, 120, 200)
noise = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
examples = {
    "gray": np.full_like(flat, 128),
    "one colour": flat,
    "two colours": halves,
    "noise": noise,
}
viz.strip({name: (x, f"CCI {cci(x):.1f}") for name, x in examples.items()}, width=4)

# %% [markdown]
# *Invented pictures: one colour has only the second term; two colours and noise have almost only
# the first.*

# %% jupyter={"source_hidden": true} tags=["hide-input"]
ordered = scores[scores["method"] == "real"].sort_values("cci")
picked = ordered.iloc[np.linspace(0, len(ordered) - 1, 7).round().astype(int)]
viz.strip({f"CCI {row.cci:.0f}": picture("real", row.image) for row in picked.itertuples()})

# %% [markdown]
# *Real test photos, from the least to the most colourful.*
#
# **The trap: "optimal".** In the literature, a CCI between 16 and 20 is called optimal: people are
# said to like such pictures best. The *CCI ratio* of the paper is the share of pictures inside that
# band. So what do real photographs score?

# %%
low, high = metrics.CCI_RANGE
ratio = scores.groupby("method", sort=False)["cci"].agg(["mean", metrics.cci_ratio])
ratio.columns = ["mean CCI", f"CCI ratio (share in {low:g}..{high:g})"]
viz.numbers(ratio, 3, "ratio")

# %% [markdown]
# *The row "real" is the reference.* Real photos are far more colourful than pictures inside the
# band, so a high ratio means "much paler than real photos", and not "good". This course prints the
# ratio because the paper does, and never calls its largest value the best.
#
# A second trap: some scripts take $|rg|$ and $|yb|$. With the absolute value, red and green count
# as the same, and so do yellow and blue. Then the numbers of two papers can no longer be compared:


# %%
def cci_absolute(rgb):
    r, g, b = np.moveaxis(rgb.astype(float), 2, 0)
    rg, yb = abs(r - g), abs((r + g) / 2 - b)
    return np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())


photos = [picture("real", s) for s in stems]
print(f"real photos: mean CCI {np.mean([cci(x) for x in photos]):.1f} signed (ours), "
      f"{np.mean([cci_absolute(x) for x in photos]):.1f} with absolute values")  # fmt: skip

# %% [markdown]
# ## The judge
#
# The *judge* is a classifier that looks at the finished pictures. If the colours are right, it
# should recognise the object. The paper asks a VGG-16 and counts **top-1** hits: the photos whose
# true label is the classifier's first answer. The released code asks a VGG-16 that its author
# trained, so its hits cannot be compared with the hits in other papers. Here the judge is a public
# network, and its name stands in the heads of the columns below. (In the shipped run it is
# EfficientNet-Lite0, a small network that knows the 1,000 classes of ImageNet. The *shipped run* is
# the one whose results lie in the repository: profile `mini`, seed 0.) Most photos here have no
# label, so we also ask: does the judge give the *same answer* as on the real photo? The share of
# photos for which it does is the **agreement**.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
manifest = json.loads((p.results / "manifest.json").read_text())
judge = manifest["judge"]
asked = {"agree": "agreement", "top1": "top-1"}
answers = {m: scores.pivot(index="image", columns="method", values=m).dropna() for m in asked}
answers = {m: table for m, table in answers.items() if len(table)}
heads = {m: f"{judge}: {asked[m]}, n = {len(table)}" for m, table in answers.items()}
order = scores["method"].unique()
judged = pd.DataFrame({heads[m]: table.mean() for m, table in answers.items()})
viz.numbers(judged.reindex(order), 3, "judged") if heads else "no judge in this run"

# %% [markdown]
# *Share of the n photos on which the judge gives the true label (top-1), or the same answer as on
# the real photo (agreement).* Compare with the row "gray": without colour, this classifier gives
# the same answer on about two thirds of the photos of the shipped run. A colorizer can gain only on
# the rest, and wrong colours can do harm. The column *top-1* counts only photos that have a true
# label, and it shows how little a few photos can tell. In the shipped run there are 21 of them, and
# on these the mean colour has more hits than the real photos.
#
# How much does a difference of a few photos mean? Suppose that for the judge SCGAN's colours and
# gray are equally good. Look only at the photos on which one of the two has a hit and the other
# does not. (For agreement, a hit is the same answer as on the real photo.) Which of the two wins
# such a photo is then like the toss of a coin (this is the sign test). `binomtest` says how often
# that many tosses are at least as uneven as the result; this share is printed as "by chance in … of
# cases". In the code, a hit is 1 and a miss is 0, so SCGAN has won where the difference is 1, and
# lost where it is −1. The last line of the print is about three photos won and none lost.

# %%
for m, table in answers.items():
    won, lost = ((table["scgan"] - table["gray"]) == x for x in (1, -1))
    won, lost = int(won.sum()), int(lost.sum())
    luck = binomtest(won, won + lost).pvalue if won + lost else 1.0
    print(
        f"{asked[m]}: SCGAN won {won} and lost {lost} of {len(table)} photos against gray: ", end=""
    )
    print(f"as uneven by chance in {luck:.0%} of cases (p = {luck:.2f})")
three = binomtest(3, 3).pvalue
print(f"3 won and none lost, of any number of photos: by chance in {three:.0%} of cases")

# %% [markdown]
# So a lead of three photos shows nothing. In the shipped run, SCGAN and gray are not
# distinguishable in either measure. The number of all photos does not matter: only those count on
# which the two differ.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
said = scores.pivot(index="image", columns="method", values="judge_class").dropna()
same = said.eq(said["real"], axis=0)  # the answer on the real photo is the one asked for
kinds = {
    "brought back": same["scgan"] & ~same["gray"],
    "lost": ~same["scgan"] & same["gray"],
    "not found": ~same["scgan"] & ~same["gray"],
}
cases = [(kind, stem) for kind, mask in kinds.items() for stem in said.index[mask][:2]]


def answered(method, stem):
    """A picture with the judge's answer, to be written below it."""
    number = int(said.loc[stem, method])
    name = manifest.get("judge_classes", {}).get(str(number), f"class {number}")
    return picture(method, stem), textwrap.shorten(name, 22, placeholder="…")


if cases:
    rows = [{viz.LABELS[m]: answered(m, s) for m in ("gray", "scgan", "real")} for _, s in cases]
    confusion = viz.grid(rows, [kind for kind, _ in cases], blocks=2)
    viz.save(confusion, p.figures, "judge_confusion")
else:
    confusion = "no judge in this run, or none that changes its mind"
confusion

# %% [markdown]
# *Up to two photos of each kind, with the judge's answer below each picture. An answer counts as
# right here if it is the judge's answer on the real photo, even if that answer is wrong. "Brought
# back": given with the predicted colours, but not on gray. "Lost": given on gray, but not with the
# colours. "Not found": given on neither.*
#
# ## Bleeding, and colours of the object
#
# The paper claims less colour *bleeding* (colour that runs over the edge of its object) and truer
# salient objects, but measures neither. Two numbers measure them. They use the colour space Lab, in
# which L\* is the lightness and a\*, b\* are two chroma axes. Let
# $d = \sqrt{\Delta a^{*2} + \Delta b^{*2}}$ be the distance between real and predicted chroma at a
# pixel ($\Delta$: difference). Then
#
# - **boundary chroma error**: mean $d$ in a band of 3 pixels on both sides of the object's edge;
# - **salient chroma error**: mean $d$ inside the object.
#
# For both we must know where the object ends, to the pixel. An invented case shows how the two
# numbers behave: a red square on gray, whose red runs over the edge by $n$ pixels.
#
# The cell compares them with values computed by hand. `d` is the distance between the gray of pixel
# (0, 0) and the red of pixel (32, 32). The red that runs over covers $(32 + 2n)^2 - 32^2$ pixels,
# each of them wrong by `d`, and the band has $(32 + 6)^2 - (32 - 6)^2$ pixels. The boundary error
# is the mean over the band.

# %%
mask = np.zeros((64, 64), bool)
mask[16:48, 16:48] = True
gray64 = np.full((64, 64, 3), 120, np.uint8)


def red_square(n):
    """The square, grown by n pixels, in red on gray."""
    out = gray64.copy()
    out[16 - n : 48 + n, 16 - n : 48 + n] = (200, 60, 50)
    return out


d = np.linalg.norm(np.diff(rgb2lab(red_square(0)[[0, 32], [0, 32]]), axis=0)[0, 1:])
band = (32 + 6) ** 2 - (32 - 6) ** 2  # pixels
panels = {}
for n in range(4):
    bleeding = metrics.boundary_chroma_error(red_square(0), red_square(n), mask)
    np.testing.assert_allclose(bleeding, d * ((32 + 2 * n) ** 2 - 32**2) / band, rtol=1e-6)
    assert metrics.salient_chroma_error(red_square(0), red_square(n), mask) == 0
    panels[f"{n} pixels over"] = (red_square(n), f"boundary error {bleeding:.1f}")
inside = metrics.salient_chroma_error(red_square(0), gray64, mask)
np.testing.assert_allclose(inside, d, rtol=1e-6)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
viz.strip(panels | {"no colour": (gray64, f"salient error {inside:.1f}")}, width=5)

# %% [markdown]
# *A red square whose red runs over its edge, and one without any red.*
#
# Now with real pictures. A **composite** is a cut-out of the test split laid over a test photo. The
# alpha of the cut-out (its opacity, 0..255) says for each pixel how much of it is object, so we
# know the object's edge exactly. Every run is scored on the same composites. The figure shows two
# of them: the composite, its mask, the band (white) in which the boundary error is measured, and
# the gray copy with its boundary error. `band_of` looks at a square around each pixel. The pixel
# lies in the band if the square holds object (`maximum_filter`), but not only object
# (`minimum_filter`).


# %%
def of_composite(method, name):
    return viz.picture(p.results, method, name, composite=True)


def band_of(mask, width=metrics.BAND):
    """Pixels with one from the other side of the edge within `width` pixels, in a square."""
    inside = mask >= 128
    return maximum_filter(inside, 2 * width + 1) & ~minimum_filter(inside, 2 * width + 1)


# %% jupyter={"source_hidden": true} tags=["hide-input"]
names = sorted(exact["image"].unique())  # empty where a data set has no cut-outs
rows = []
for name in names[:2]:
    true, alpha = of_composite("real", name), of_composite("mask", name)
    row = {"composite": true, "mask": alpha, "band": band_of(alpha)}
    gray_error = metrics.boundary_chroma_error(true, of_composite("gray", name), alpha)
    rows.append(row | {"gray": (of_composite("gray", name), f"boundary error {gray_error:.1f}")})
viz.grid(rows, blocks=2) if rows else "This data set has no cut-outs: nothing to measure here."

# %% [markdown]
# The boundary error is the mean distance in that band, the salient error the mean distance inside
# the object (alpha of 128 or more). By hand (`1:` leaves out the lightness):

# %%
for name in names[:4]:
    true, alpha = of_composite("real", name), of_composite("mask", name)
    lab, lab_hat = (rgb2lab(x)[..., 1:] for x in (true, of_composite("scgan", name)))
    distance = np.linalg.norm(lab - lab_hat, axis=2)
    row = exact[(exact["method"] == "scgan") & (exact["image"] == name)].iloc[0]
    np.testing.assert_allclose(distance[band_of(alpha)].mean(), row["boundary_chroma"], atol=1e-6)
    np.testing.assert_allclose(distance[alpha >= 128].mean(), row["salient_chroma"], atol=1e-6)
    print(
        f"{name:24} boundary {row['boundary_chroma']:5.1f}   salient {row['salient_chroma']:5.1f}"
    )

# %% jupyter={"source_hidden": true} tags=["hide-input"]
both = ["boundary_chroma", "salient_chroma"]
if names:
    errors = exact.set_index(["method", "image"])[both]
    order = errors.loc["scgan"].sort_values("boundary_chroma", kind="stable").index
    rows = []
    for name in order[[0, len(order) // 2, -1]]:
        row = {m: of_composite(m, name) for m in ("real", "mask", "stage1", "scgan")}
        wrong = viz.color_error(row["real"], row["scgan"]) / viz.WHITE
        for method in ("stage1", "scgan"):
            edge, inside = errors.loc[(method, name)]
            row[method] = row[method], f"edge {edge:.1f}\ninside {inside:.1f}"
        rows.append({viz.LABELS.get(m, m): x for m, x in row.items()} | {"chroma error": wrong})
    bleeding = viz.grid(rows)
    viz.save(bleeding, p.figures, "bleeding")
else:
    bleeding = "no cut-outs, no composites"
bleeding

# %% [markdown]
# *Three composites; from top to bottom, SCGAN's boundary error is the smallest, the middle and the
# largest of all. Below each picture: its boundary error ("edge") and its salient error ("inside").
# Last column: $d$ at each pixel, white from 50 on.* Is the last column bright *along the edge*,
# inside and outside? That is bleeding: a colour that does not stop where the thing ends. Is it
# bright *all over* the object? Then the object has the wrong colour or none. In that case the inner
# half of the band is wrong too, even without any bleeding. So read the boundary error together with
# the salient error. In the shipped run the seahorse and the flower are gray or brown: their own
# colour is missing.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
chroma = exact.groupby("method", sort=False)[both].mean()
for m in both if names else ():
    errors = exact.pivot(index="image", columns="method", values=m)
    for method in ("mean_color", "stage1", "scgan"):
        mean, *ends = statistics.paired_difference(errors[method], errors["gray"])
        worse, better = ends[0] > 0, ends[1] < 0
        says = "larger error" if worse else "smaller error" if better else "not distinguishable"
        title = f"{viz.MEASURES[m]}, {viz.LABELS[method]} minus gray"
        print(f"{title:52} {mean:+.2f} [{ends[0]:+.2f}, {ends[1]:+.2f}]: {says}")
viz.numbers(chroma, 2, "chroma")

# %% [markdown]
# *Mean over composites; above it, paired differences with 95 % intervals (the next section says how
# they are made).* The row "gray" has no colour that could bleed. Its two errors are the distance of
# the real pictures from gray, in the band and in the object, and a method is of use only if its
# errors are smaller. The print says "larger error" if both ends of the interval are above 0 (larger
# than gray's), and "smaller error" if both are below 0. In the shipped run, all three intervals of
# the boundary error contain 0. So near the edge none of the three methods is shown to be better, or
# worse, than no colour at all. Inside the object, only the interval of stage 1 lies below 0, and
# only just. These numbers compare methods. They do not say how large the errors are on photographs,
# because a cut-out does not belong to its background.

# %% [markdown]
# ## How sure is a mean? The bootstrap
#
# Suppose SCGAN's mean PSNR is above the gray copy's. Would that hold for other test photos? We have
# no others. The **bootstrap** (Efron) draws new test sets *from the one we have*, with replacement:
# some photos appear twice, some not at all. The spread of the means over many such sets shows how
# much the mean depends on the photos that we happen to have.
#
# **Pairing matters.** A hard photo is hard for all methods. So the same photos are drawn for both
# methods: we draw from the *differences*, one for each photo.
#
# In the code, each row of `drawn` is one new test set: the indices of $n$ photos. `paired` uses the
# same rows for both methods; `unpaired` draws other photos for gray, only for the figure. At the
# end, our interval is compared with the library's, which uses other random numbers. So the two
# agree only to within 0.05 dB.

# %%
wide = scores.pivot(index="image", columns="method", values="psnr")[["scgan", "gray"]]
wide = wide[np.isfinite(wide).all(axis=1)]  # a photo that is gray itself has an infinite PSNR
difference = (wide["scgan"] - wide["gray"]).to_numpy()
rng = np.random.default_rng(0)
n = len(difference)
drawn = rng.integers(0, n, (10_000, n))  # 10,000 test sets
paired = difference[drawn].mean(axis=1)
other = rng.integers(0, n, (10_000, n))
unpaired = wide["scgan"].to_numpy()[drawn].mean(1) - wide["gray"].to_numpy()[other].mean(1)
ends = np.percentile(paired, [2.5, 97.5])
mean, *theirs = statistics.paired_difference(wide["scgan"], wide["gray"])
np.testing.assert_allclose(ends, theirs, atol=0.05)
print(f"SCGAN minus gray: {mean:+.2f} dB, 95 % interval {ends[0]:+.2f} .. {ends[1]:+.2f}")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6, 2))
bins = np.linspace(min(unpaired.min(), 0), unpaired.max(), 80)
ax.hist(unpaired, bins, color="#bbbbbb", label="unpaired: other photos for each method")
ax.hist(paired, bins, alpha=0.8, label="paired: the same photos for both")
ax.axvspan(*ends, color="C1", alpha=0.15, label="95 % interval, paired")
ax.axvline(0, color="black", linewidth=0.8)
ax.set(xlabel="mean PSNR of SCGAN minus gray (dB)", yticks=[])
_ = fig.legend(loc="outside upper center", ncols=3)

# %% [markdown]
# *Means of 10,000 resampled test sets. The paired means vary less. If the paired interval excludes
# 0 (black line), these photos distinguish the two methods.* The interval does *not* say what would
# change with another seed of the training, another data set or another way of resizing. It says
# only how much depends on the choice of photos.
#
# **Another seed.** The same training, started with other random numbers, ends in another network.
# Only training again shows that spread: `make reproduce SEEDS="0 1 2"` runs each seed. In Table 1,
# each interval is then followed by the word "runs" and the mean ± the standard deviation of the
# runs' own means. If a difference is positive in one run and negative in another, the table marks
# neither method as better, even if the interval over photos is narrow. The results of other seeds
# on this machine:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
others = [config.from_environment(profile, s) for s in range(5) if s != seed]
others = [q.results for q in others if (q.results / "metrics.csv").is_file()]
means = {
    q.name: tables.split_sets(pd.read_csv(q / "metrics.csv"))[0]
    .groupby("method", sort=False)["psnr"]
    .mean()
    for q in [p.results, *others]
}
if others:
    display(viz.numbers(pd.DataFrame(means), 2, "seeds"))
else:
    print(f"Only one run is here, seed {seed}: nothing to say about the spread over seeds.")

# %% [markdown]
# *Where there are several runs: mean PSNR (dB), one column per run.* From three runs, the standard
# deviation is known only to about ±50 % (its relative error is about $1/\sqrt{2(n-1)}$, for $n = 3$
# runs).
#
# ## Table 1

# %%
viz.save(viz.gallery(p.results), p.figures, "gallery")  # the pictures behind the numbers, as a file
tables.style(tables.table1(p.results))

# %% [markdown]
# The table is made from `metrics.csv` and `manifest.json` (the settings of the run) alone and is
# written as `table1.csv`, `table1.md` and `table1.tex` beside them. The lines below it are part of
# it. The table shows top-1 if all photos have labels, and otherwise agreement. A number is bold
# only if it is the best of the trained methods and the mean colour, and if the interval of its
# paired difference to the second best excludes 0. In the shipped run no number is bold. Stage 1 has
# the highest PSNR, but its lead over `tiny` could be chance. In agreement, the mean colour, stage 1
# and `tiny` are below the gray copy, and SCGAN equals it (see the sign test).
#
# In plain counts of photos:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
by = {m: t.set_index("image") for m, t in scores.groupby("method")}
gap = {m: (by[m]["cci"] - by["real"]["cci"]).abs() for m in ("stage1", "scgan")}
counts = {
    "stage 1 is nearer to the real photo than gray is (PSNR)": by["stage1"].psnr > by["gray"].psnr,
    "SCGAN is nearer to the real photo than gray is (PSNR)": by["scgan"].psnr > by["gray"].psnr,
    "SCGAN is nearer to the real photo than stage 1 is (PSNR)": by["scgan"].psnr
    > by["stage1"].psnr,
    "SCGAN is more colourful than stage 1": by["scgan"].cci > by["stage1"].cci,
    "SCGAN's CCI is nearer to the real photo's than stage 1's": gap["scgan"] < gap["stage1"],
}
for statement, true in counts.items():
    print(f"{true.sum():4} of {len(true)} photos: {statement}")

# %% [markdown]
# ## The same measures on 9,808 photographs
#
# Table 1 is of a few dozen photos. The profile `tiny` has 10,000 validation photographs of 200
# classes, each with its true label. 9,808 of them have colours. Chapters 4 and 5 explain how their
# scores were made; here they are only read from files in the repository. *Top-1* is the share of
# all 10,000 photographs on which EfficientNet-Lite0, which has to choose among the 200 classes,
# gives the true label.
#
# `tables.measured` reads a file of scores. Each measure in it is a pair: the mean, and half of its
# 95 % interval (1.96 standard errors). The endings `_gray` and `_real` stand for
# the numbers of the gray copies and of the real photographs. `validation-10000.csv.gz` has the
# judge's answers.


# %%
judged = pd.read_csv(ROOT / "results/tiny/validation-10000.csv.gz").pivot(
    index="image", columns="method"
)
rows = {  # row of the table: file of its scores, ending of its keys, method in the csv
    "gray copy": ("-stage2", "_gray", "gray"),
    "stage 1": ("", "", "stage1"),
    "stage 1, chroma × 1.75": ("-stage1-chroma", "", "stage1_chroma_1.75"),
    "SCGAN": ("-stage2", "", "scgan"),
    "real photo": ("-stage2", "_real", "real"),
}
for name, (file, ending, method) in rows.items():
    hits = 100 * judged["top1"][method]
    top1 = (hits.mean(), 1.96 * hits.sem())
    rows[name] = (tables.measured(f"validation{file}") | {f"top1{ending}": top1}, ending)
first, gan = rows["stage 1"][0], rows["SCGAN"][0]
n = gan["n"]

# %% jupyter={"source_hidden": true} tags=["hide-input"]
large = tables.intervals(rows, top1=(f"top-1 (%), n = {len(judged):,}", 1))
large.style.set_uuid("tiny").set_caption(f"n = {n:,}")

# %% [markdown]
# *Means ± half of the 95 % interval. "Chroma × 1.75": stage 1 with its chroma multiplied by 1.75,
# so that it is about as colourful as SCGAN (chapter 5). The real photograph would be compared with
# itself, so it has no PSNR or SSIM here.* On real photographs the judge is right far more often
# than on any prediction. It is right about equally often on stage 1 and on SCGAN, and on both more
# often than on gray copies. The intervals of the three methods overlap, but each is the interval of
# one row alone. A comparison photograph by photograph is sharper. Chapter 5 makes it: SCGAN leads
# "chroma × 1.75" by about one point, and no lead over stage 1 is shown.
#
# ## Past the mean: distributions
#
# A mean does not show whether all photos gained a little or a few gained much. The curves show, for
# each value, the share of photos at or below it. A curve further right has larger values. For PSNR,
# SSIM and the two errors, the curves show the difference to gray on the same photo. Look at such a
# curve where the horizontal axis is 0: its height is the share of photos on which the method is no
# better than gray (for the two errors: no worse than gray). *Mean saturation*, which Table 1 does
# not have, is the mean of (max − min) / max of R, G and B over the pixels: a second measure of how
# strong the colours are.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, axes = plt.subplots(2, 3, figsize=(viz.PAGE, 4.2))
for (measure, title), ax in zip(viz.MEASURES.items(), axes.flat, strict=True):
    if measure in both and not names:
        ax.remove()
        continue
    table = exact if measure in both else scores
    values = table.pivot(index="image", columns="method", values=measure)
    values = values.replace(np.inf, np.nan)[table["method"].unique()]
    if measure in ("psnr", "ssim", *both):
        values = values.sub(values["gray"], axis=0).drop(columns="real")
        title += "\nminus gray's" + ", composites" * (measure in both)
    for method in values.dropna(axis=1, how="all"):
        own = values[method].dropna()
        look = {"color": viz.COLORS.get(method), "label": viz.LABELS.get(method, method)}
        if own.max() - own.min() < 1e-9:
            ax.axvline(own.iloc[0], linewidth=1.1, **look)
        else:
            ax.ecdf(own, linewidth=1.1, **look)
    ax.set(xlabel=title, ylim=(0, 1))
    ax.locator_params(axis="x", nbins=5)  # longer numbers must not touch
    if measure == "cci":
        ax.axvspan(*metrics.CCI_RANGE, color="#f3e3b3", zorder=0, linewidth=0)
        lines = ax.get_legend_handles_labels()  # of all methods, the real photo too
axes[0, 0].set_ylabel("share of photos at or below")
fig.legend(*lines, loc="outside upper center", ncols=6)
_ = viz.save(fig, p.figures, "distributions")

# %% [markdown]
# *One line per method. Gray is a vertical line at 0: its CCI and its saturation are 0, and so is
# its difference to itself. The real photo is left out of the four differences. The last two panels
# are of composites, all others of photos. Yellow: CCI 16..20.* In the panel of CCI, compare where
# the black line (the real photos) ends at the right with where the other lines end: in the shipped
# run no method reaches the most colourful photographs.
#
# ## Best and worst
#
# The cases are chosen by the numbers, not by hand, and there are as many failures as successes.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
own, gray, true = (by[m].replace(np.inf, np.nan) for m in ("scgan", "gray", "real"))
wrong = {s: viz.color_error(picture("real", s), picture("scgan", s)) for s in own.index}
mean_wrong = pd.Series({s: error.mean() for s, error in wrong.items()})
colorful = mean_wrong[true["cci"] > 15]  # no praise for keeping gray gray
gain, surplus = own["psnr"] - gray["psnr"], own["cci"] - true["cci"]
ends = {  # in pairs, a success and a failure; the smallest sign * value comes first
    "best PSNR\n{:.1f} dB": (-1, own["psnr"]),
    "worst PSNR\n{:.1f} dB": (1, own["psnr"]),
    "best SSIM\n{:.3f}": (-1, own["ssim"]),
    "least gain on\ngray {:+.1f} dB": (1, gain),
    "largest gain on\ngray {:+.1f} dB": (-1, gain),
    "largest chroma\nerror, {:.1f} Lab": (-1, mean_wrong),
    "least chroma\nerror, {:.1f} Lab": (1, colorful),
    "too pale: CCI\n{:+.0f} to real": (1, surplus),
    "CCI nearest to\nreal, by {:.1f}": (1, surplus.abs()),
    "too colourful:\nCCI {:+.0f} to real": (-1, surplus),
}
shown, rows, labels = set(), [], []
for text, (sign, values) in ends.items():
    order = (sign * values.dropna()).sort_values(kind="stable").index
    left = [s for s in order if s not in shown]
    if not left:  # a run of a few photos: an empty line keeps both blocks as they are
        rows.append({})
        labels.append("")
        continue
    stem = left[0]
    shown.add(stem)
    row = {viz.LABELS[m]: picture(m, stem) for m in ("gray", "scgan", "real")}
    rows.append(row | {"chroma error": wrong[stem] / viz.WHITE})
    place = order.get_loc(stem) + 1
    value = text.format(values[stem]).replace("-", "−")
    labels.append(value + f"\n(place {place})" * (place > 1))
extremes = viz.grid(rows[::2] + rows[1::2], labels[::2] + labels[1::2], blocks=2)
viz.save(extremes, p.figures, "best_and_worst")
extremes

# %% [markdown]
# *Photos with the highest or the lowest value of a measure. Left block: successes, right block:
# failures. For "least chroma error", only photos with a CCI above 15 count. No photo is shown
# twice: "place 2" means that the photo in first place is in the figure already. Last column:
# distance of the predicted from the real chroma in Lab, white from 50 on; the chroma error is its
# mean. "Too pale" and "too colourful": CCI far below and above the real photo's.* Three questions
# to ask of a failure:
#
# - **Can the colour be known?** If the object has no typical colour, nobody can see its colour in
#   the gray picture. Then a pale guess has the smallest expected squared error.
# - **Was the object taken for something else?** Then the colours would be right on another object.
#   This is called semantic confusion.
# - **Does the error cross an edge?** Then it is bleeding.
#
# ## Does it work, and which part of it?
#
# The cell first prints the mean gain in PSNR over gray for the photographs of `tiny`, ± half of its
# 95 % interval (the pair `psnr_gain`), and the colourfulness (CCI) as a share of that of the real
# photographs. Then it prints the paired differences for this profile. The two asserts say: the
# interval of stage 1's gain lies above 0, and that of SCGAN's gain contains 0.

# %%
assert first["psnr_gain"][0] > first["psnr_gain"][1]  # stage 1 is nearer to the truth than gray
assert abs(gan["psnr_gain"][0]) < gan["psnr_gain"][1]  # SCGAN: not distinguishable from gray
for name, x in {"stage 1": first, "SCGAN": gan}.items():
    print(
        f"tiny, {name:7}: {x['psnr_gain'][0]:+.2f} ± {x['psnr_gain'][1]:.2f} dB over gray", end=", "
    )
    print(f"{x['cci'][0] / x['cci_real'][0]:.0%} of the real colourfulness, n = {x['n']:,}")
for a, b in (("stage1", "gray"), ("scgan", "gray"), ("scgan", "stage1")):
    difference = statistics.paired_difference(by[a].psnr, by[b].psnr)
    print(f"{p.name}, {viz.LABELS[a]} minus {viz.LABELS[b]}: ", end="")
    print("{:+.2f} dB [{:+.2f}, {:+.2f}]".format(*difference))

# %% [markdown]
# **Yes: on average, the colours of stage 1 are nearer to the real photo than gray.** Stage 1 is
# trained with only the two absolute-error (L1) losses of equations 1 and 2. On the photographs of
# `tiny` that it has never seen, its PSNR is about 1 dB above gray's, and 71 of 100 of its pictures
# are nearer to the real photo than the gray copy is (chapter 4). The colours are pale: in `tiny`,
# they have 37 % of the real colourfulness. In the pictures of chapter 4, some skies turn blue, and
# the fruit stays nearly gray.
#
# **Stage 2, the adversarial part, makes the colours stronger. Whether it makes them better depends
# on the measure.** It raises the colourfulness to almost two thirds of the real one. But its PSNR
# is lower than stage 1's: stage 2 loses a part of stage 1's gain over gray in `mini`, and all of it
# in `tiny`. There, multiplying the chroma of stage 1 by 1.75 gives about the same colourfulness and
# a slightly higher PSNR (23.25 dB against 23.11 dB). But the judge recognises about one point more
# of SCGAN's pictures than of those (a second judge does not, chapter 11); no lead over stage 1
# itself is shown (chapter 5). Three things are not known. Would a longer, tuned stage 2 do better?
# In `tiny`, only one short training was scored here. Which pictures do people prefer? Nobody was
# asked. What does the saliency guidance add in `tiny`? In a first *ablation* (a training without
# one part of the method), the colour error on the labelled object did not change in one direction,
# but these trainings had 100 steps. [Chapter 8](08_ablations.ipynb) has the ablations, [chapter
# 11](11_verdict.ipynb) the verdict.
#
# ## What may be concluded
#
# - A difference whose interval excludes 0 says: on photos *like these*, with *this* training run,
#   the one method has the larger mean. Nothing else follows.
# - PSNR says how near a picture is to the real photo, which is only one plausible colouring.
# - CCI says how colourful a picture is, not whether its colours are right. Random colours have a
#   high CCI.
# - Agreement says how often one classifier gives the same answer as on the real photo.
# - Nothing here says anything about the paper's own Table 1. Its photos, sizes and saliency teacher
#   are others.
#
# ## What differs

# %%
paper.show_deviations("06")

# %% [markdown]
# ## Try it
#
# **1.** Make a method of your own: the real photo with its chroma halved. Save its pictures as PNG
# in a folder and score them with `evaluation.evaluate(p, {"half": folder})`. Where in Table 1 does
# it stand? (It cheats, as it has seen the real colours.)
#
# <details><summary>Solution</summary>
#
# `Image.fromarray(turned(picture("real", s), 0, 0.5)).save(folder / f"{s}.png")` for each stem.
# Except for the real photo, it has by far the highest PSNR: compared with gray, halving the chroma
# quarters the squared error, which is about 6 dB. Its CCI is about half of the real photos' CCI,
# since CCI is linear in the chroma. The row appears in Table 1 by itself. Run the chapter again
# without it, to have the table as it was.
# </details>
#
# **2.** Find colours with a CCI between 16 and 20 that are nonsense.
#
# <details><summary>Solution</summary>
#
# Any constant tint will do: gray plus a chroma $(\mu_{rg}, \mu_{yb})$ with
# $0.3\sqrt{\mu_{rg}^2+\mu_{yb}^2} = 18$, that is a length of 60, paints every photo in one colour
# and reaches a CCI ratio near 100 %. The band does not tell whether colours make sense.
# </details>
#
# **3.** How many test photos would make the interval of "SCGAN minus gray" half as wide?
#
# <details><summary>Solution</summary>
#
# Four times as many: the width is proportional to $1/\sqrt{n}$. Try it the other way round: draw
# only `n // 4` photos in `rng.integers(0, n, (10_000, n // 4))` and see the interval double.
# </details>
#
# **Exercises:** four functions to write, each with a test that checks yours. `make exercises`
# puts them in `build/exercises/student/`; the solutions are in
# [exercises/06_evaluation_table1.py](exercises/06_evaluation_table1.py).
#
# ## Three lines to remember
#
# 1. No metric stands alone: PSNR rewards pale colours, CCI rewards any colour, and the judge
#    recognises many things without colour.
# 2. Always print the gray copy and the real photo beside the methods.
# 3. A difference counts only if its paired interval excludes 0, and then only for photos like these
#    and this training run.
#
# **Next:** [chapter 7, compare interactively](07_compare_interactively.ipynb).
