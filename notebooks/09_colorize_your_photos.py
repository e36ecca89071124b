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
# # 9 · Colorize your own photographs
#
# **After this chapter you can** colorize one photograph or a whole folder; say what to expect from
# the weights; predict which damage of an old print costs colour, and which does not; and test a
# cure before you trust it.
#
# **Time:** 15 minutes to read, about a minute to run. Nothing is trained here.
#
# **Before this:** nothing. If you have trained the networks in chapters 4 and 5, yours are used,
# else the ones that come with the project. [Chapter 6](06_evaluation_table1.ipynb) explains the
# paired bootstrap.
#
# To use a photograph of your own, write its full path between the quotes of `picture`.

# %% tags=["parameters"]
profile = "mini"
seed = 0
picture = ""

# %%
import hashlib
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter, ImageOps
from scipy.ndimage import gaussian_filter
from skimage.data import camera

from scgan_lib import colorize, config, data, metrics, paper, statistics, viz
from scgan_lib.paths import ROOT
from scgan_lib.progress import MARK
from scgan_lib.widgets import Compare

viz.use_style()
p = config.from_environment(profile, seed)

# %%
shipped = colorize.newest_weights(config.load("mini"))
weights = (colorize.newest_weights(p) or shipped).resolve()
generator, net, facts = colorize.load_generator(weights)
colorizer, tiny = colorize.Colorizer(generator, net), colorize.Colorizer.load("tiny")
print("weights: results/" + weights.as_posix().rpartition("/results/")[2])
print(f"profile {net.name}, stage {facts.get('stage', '?')}; the network sees the picture", end=" ")
print(f"with its short side at {net.image_size} pixels")

# %% [markdown]
# ## What to expect from the weights
#
# | weights | training photographs | what they colour |
# |---|---|---|
# | `mini`, trained in this course | 174 | sky, sand, dry grass: what fills most of a picture |
# | `tiny`, the default of `scgan colorize` | 68,000 of 64 pixels | also fur, skin, wood; paler |
# | `smoke`, for tests | 24 | a tint, or nothing |
#
# Both `mini` and `tiny` leave clothes, cars and fruit nearly gray, or give them the colour of their
# surroundings. A network of the released size, trained on a million large photographs, should do
# better, but no such weights exist: the authors did not publish theirs. The profile `imagenet`
# trains them if you have the data and the GPUs.
#
# **The colours are a guess.** The gray picture does not say whether a dress was red or green. The
# network predicts what was common in its training photographs, and another network predicts
# something else. Keep the original, and say that the picture was *colorized* when you pass it on.
#
# ## One photograph
#
# This photograph by Lav Varshney (CC0) comes with scikit-image, as a gray picture of 512 pixels a
# side. No training has seen it. **Drag** the border and compare the two sets of weights; the lists
# below the picture choose what is on each side. In the shipped run both make the sky blue, and
# `mini` adds an orange stain at the bottom. *Saliency* is the predicted map of what stands out.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
photo = data.open_picture(picture) if picture else Image.fromarray(camera())
painted, saliency = colorizer.both(photo)
gray = data.luma_u8(np.asarray(photo.convert("RGB")))
views = {"gray": gray, f"weights of {net.name}": painted, "weights of tiny": tiny(photo)}
cci = [metrics.cci(np.asarray(x.convert("RGB"))) for x in list(views.values())[1:]]
caption = "colourfulness (CCI): {:.1f} with these weights, {:.1f} with tiny's".format(*cci)
small = dict(side=256, quality=65, width=448)  # pictures in this page, so that it stays light
Compare(views | {"saliency": saliency}, caption=caption, right=1, **small)

# %% [markdown]
# If the colours are too pale or too strong, `--chroma 1.5` multiplies them (in Python:
# `colorizer.chroma = 1.5`). Wrong colours become stronger, too.
#
# ## What happens to a picture on the way
#
# The network sees a small picture: your photograph $x$, shrunk by $S$ until its short side has the
# size of the training pictures. It predicts small colours $G_c(Sx)$. Only their *chroma*, what they
# add to the small gray picture, is enlarged by $L$ and added to your photograph:
#
# $$ x + L\bigl(G_c(Sx) - Sx\bigr). $$
#
# Brightness and detail are thus those of your photograph, pixel by pixel, and the chroma is coarse:
# our eyes are less sharp for colour than for brightness. (A profile that does not keep the
# luminance, as `imagenet`, gives $L(G_c(Sx))$.) `colorize.fit_cube` then reduces the chroma where a
# colour would leave the range 0..255.

# %%
resize = partial(F.interpolate, mode="bicubic", antialias=True)
x = data.to_pm1(gray)[None, None]  # (1, 1, H, W) in [-1, 1]
scale = net.image_size / min(gray.shape)
with torch.inference_mode():
    seen = resize(x, size=[max(net.image_size, round(n * scale)) for n in gray.shape])  # S x
    answer, _ = generator(seen)  # (1, 3, h, w)
    chroma = resize(answer - seen, size=gray.shape)  # (1, 3, H, W)
    sum_of_both = x + chroma if net.keep_luminance else resize(answer, size=gray.shape)
    mine = colorize.fit_cube(sum_of_both)[0].permute(1, 2, 0).numpy()

# %% [markdown]
# **Check.** These lines give the picture that the library gives. And its luma is that of the input:
# the chroma has none, `fit_cube` keeps it, and rounding three channels changes it by 0.5 at most.

# %%
result = np.asarray(painted.convert("RGB"))
far = np.abs((mine + 1) * 127.5 - result).mean()
off = np.abs(result @ data.LUMA - gray).max()
assert far < 0.5 and (off < 0.51 or not net.keep_luminance), (far, off)
print(f"mean difference from the library's picture: {far:.2f} of 255 (rounding alone: 0.25)")
print(f"largest difference of luma from the input: {off:.2f} of 255")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
small_gray, small_answer, wide = ((t[0].permute(1, 2, 0).numpy() + 1) / 2 for t in
                                  (seen, answer, chroma))  # fmt: skip
steps = {"your photograph": gray, "what the network\nsees": small_gray[..., 0].clip(0, 1)}
steps |= {"what it predicts": small_answer.clip(0, 1), "its chroma,\nenlarged": wide.clip(0, 1)}
viz.strip(steps | {"result": result})

# %% [markdown]
# *The prediction is as coarse as the picture that the network sees. The chroma is shown on
# mid-gray: what is gray there gets no colour.* **Look at** the edges of the chroma: where it is
# wider than the object, its colour spreads over the edge by some pixels.
#
# **A sepia print** scanned in colour gives the same result as its gray copy, because only the luma
# goes in: the brown does not mislead the network, and it is not in the result.

# %%
test = data.photos(p, "test")[:24]  # the gallery first
truth = np.stack([data.test_picture(photo, p.judge_size) for photo in test])
sepia = np.rint(data.luma_u8(truth[0])[..., None] * [1.0, 0.87, 0.68]).astype(np.uint8)
scanned_in_colour, gray_copy = (
    np.asarray(colorizer(Image.fromarray(scan))) for scan in (sepia, data.luma_u8(sepia))
)
assert (scanned_in_colour == gray_copy).all()

# %% [markdown]
# ## Old photographs are not gray copies
#
# **The paper says** what $x$ is: the gray copy of a colour photograph. The network was trained and
# measured on such copies of clean digital photographs. An old print differs from them. We imitate
# the differences on test photographs, whose true colours are known:
#
# - **orthochromatic**: until about 1930 most film was blind to red. Lips and red roofs come out
#   dark, blue skies nearly white. Here: half green, half blue, no red.
# - **faded**: black has become gray and white has become darker. 0..255 becomes 90..192.
# - **grain**, **heavy grain**: noise in soft clumps, standard deviation 10 and 20.
# - **soft lens**: blurred with a radius of 4 pixels in 256.
# - **small scan**: 48 pixels a side, enlarged.
# - **all at once**: an orthochromatic plate, soft, with heavy grain, and faded.
#
# These are rough models. A real print has its own tone curve, its own grain, and scratches.


# %%
def faded(gray):
    return np.rint(90 + 0.4 * gray).astype(np.uint8)


def grainy(gray, number, strength=20):
    """Clumps of noise, different for each photo and the same in each run."""
    noise = gaussian_filter(np.random.default_rng(number).normal(size=gray.shape), 1)
    return (gray + strength * noise / noise.std()).clip(0, 255).round().astype(np.uint8)


def soft(gray, radius=4):
    return np.asarray(Image.fromarray(gray).filter(ImageFilter.GaussianBlur(radius)))


def scanned(gray, pixels=48):
    little = Image.fromarray(gray).resize((pixels, pixels), Image.BICUBIC)
    return np.asarray(little.resize(gray.shape[::-1], Image.BICUBIC))


def orthochromatic(rgb):
    return np.rint(rgb @ [0, 0.5, 0.5]).astype(np.uint8)


# %%
DAMAGE = {  # name -> gray picture from the colour photo and its number
    "undamaged": lambda rgb, i: data.luma_u8(rgb),
    "orthochromatic": lambda rgb, i: orthochromatic(rgb),
    "faded": lambda rgb, i: faded(data.luma_u8(rgb)),
    "grain": lambda rgb, i: grainy(data.luma_u8(rgb), i, 10),
    "heavy grain": lambda rgb, i: grainy(data.luma_u8(rgb), i),
    "soft lens": lambda rgb, i: soft(data.luma_u8(rgb)),
    "small scan": lambda rgb, i: scanned(data.luma_u8(rgb)),
    "all at once": lambda rgb, i: faded(grainy(soft(orthochromatic(rgb), 2), i)),
}
network = colorize.inference_form(generator)


def paint(pictures):
    """Colours (N, H, W, 3) of gray pictures (N, H, W) of one size."""
    stack = torch.from_numpy(np.stack(pictures))[:, None]
    done = [colorize.render(network, part, net.image_size, 1.0)[0] for part in stack.split(8)]
    return torch.cat(done).permute(0, 2, 3, 1).numpy()


inputs = {n: np.stack([f(x, i) for i, x in enumerate(truth)]) for n, f in DAMAGE.items()}
outputs = {n: paint(x) for n, x in inputs.items()}

# %% [markdown]
# **The measure.** A damaged picture has the wrong brightness from the start, so we look at colour
# alone: the distance to the real photo in the plane of Lab's $a^*$ and $b^*$ (`viz.color_error`),
# mean over every second pixel each way. Beside it stands colourfulness (CCI): is the colour gone,
# or is it wrong? All rows use the same photos, so we take each *difference* photo by photo and
# resample the photos.


# %%
def errors(colours):
    """Mean distance from the real colours, one number a photo."""
    pairs = zip(truth[:, ::2, ::2], colours[:, ::2, ::2], strict=True)
    return np.array([viz.color_error(a, b).mean() for a, b in pairs])


def cci_of(colours):
    return np.array([metrics.cci(x) for x in colours])


def minus(a, b):
    """Mean of a − b over photos, its 95 % interval, and a * if the interval excludes 0."""
    mean, low, high = statistics.paired_difference(a, b)
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]" + " *" * (low > 0 or high < 0)


no_colour = errors(np.repeat(inputs["undamaged"][..., None], 3, axis=-1))
error = {n: errors(x) for n, x in outputs.items()}
colourful = {n: cci_of(x) for n, x in outputs.items()}
E, C = error["undamaged"], colourful["undamaged"]

# %% jupyter={"source_hidden": true} tags=["hide-input"]
rows = {"no colour": [f"{no_colour.mean():.2f}", minus(no_colour, E), "", "0.0", ""]}
for n in DAMAGE:
    rows[n] = [f"{error[n].mean():.2f}", minus(error[n], E), minus(error[n], no_colour)]
    rows[n] += [f"{colourful[n].mean():.1f}", minus(colourful[n], C)]
rows["undamaged"][1] = rows["undamaged"][4] = ""
rows["real photo"] = ["0.00", "", "", f"{cci_of(truth).mean():.1f}", ""]
columns = ["colour error", "minus undamaged", "minus no colour", "CCI", "CCI minus undamaged"]
pd.DataFrame(rows, index=columns).T.style.set_uuid("damage")

# %% [markdown]
# *Colour error over 24 photographs: distance in Lab, smaller is better, about 2 is just visible. In
# brackets the 95 % interval over photographs; a star: it excludes 0. "No colour" has the same error
# for all inputs, because only colour is measured.*
#
# **What we see** in the shipped run: fading raises the error, and so does *all at once*. Grain, a
# soft lens and a small scan make no clear difference. With *all at once* the colours are no clear
# improvement on no colour at all; with each single damage they are. Two cautions: with 24 photos a
# small loss stays unseen, and of twenty comparisons without any effect one would get a star.
#
# **Check.** The same chroma on another brightness is another place in Lab. Does that explain the
# error? We lay the chroma of the *undamaged* input on each damaged picture and measure again.


# %%
def laid(gray, chroma):
    """A gray stack (N, H, W) with chroma (N, H, W, 3) on it, in 8 bits."""
    return (gray[..., None] + chroma).clip(0, 255).round().astype(np.uint8)


undamaged_chroma = outputs["undamaged"].astype(float) - inputs["undamaged"][..., None]
for n in list(DAMAGE)[1:]:
    brightness = (errors(laid(inputs[n], undamaged_chroma)) - E).mean()
    print(f"{n:15} error added {(error[n] - E).mean():+.2f}, by brightness {brightness:+.2f}")

# %% [markdown]
# Hardly any of it: what the damage costs is the network's wrong guess. Two photographs under every
# damage; on the left the one with the median loss by *all at once*, on the right the one with the
# largest.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
order = np.argsort(error["all at once"] - E, kind="stable")
panels = [
    {"input": inputs[n][i], "colorized": outputs[n][i], "real": truth[i]}
    for i in (order[len(order) // 2], order[-1])
    for n in DAMAGE
]
viz.grid(panels, [n.replace(" ", "\n") for n in DAMAGE] * 2, blocks=2)

# %% [markdown]
# *Input, predicted colours and real photo; a row for each damage.* **Look at** *orthochromatic*:
# what was red is now as dark as what was dark, and no filter brings the difference back. **Then**
# *grain* and *small scan*: the network shrinks the picture first, so damage finer than a pixel of
# the small picture hardly reaches it. **Last**, go down the column of colours: does a damage make
# them paler, or does it change their hue? In the shipped run *all at once* turns the blue sky of
# the right photo brown: where the network no longer recognises the scene, it falls back on its most
# frequent colour.
#
# ## The border of the print
#
# Most old prints have a white border, and the network looks at the whole scan. We lay borders
# around the undamaged pictures, colorize, cut the borders off and measure what is inside. A border
# also takes pixels from the photo in the network's small picture. The last row shows what that
# alone costs: its border continues the photo, mirrored.


# %%
def bordered(share, **kind):
    """Colours of the pictures with a border of `share` of their side, without the border."""
    n = round(share * truth.shape[1])
    around = paint(np.pad(inputs["undamaged"], ((0, 0), (n, n), (n, n)), **kind))
    return around[:, n:-n, n:-n]


borders = {f"white, {x:.0%}": bordered(x, constant_values=245) for x in (0.04, 0.1, 0.2)}
borders["black, 20%"] = bordered(0.2, constant_values=10)
borders["mirrored, 20%"] = bordered(0.2, mode="reflect")
rows = {n: [minus(errors(x), E), minus(cci_of(x), C)] for n, x in borders.items()}
columns = ["colour error minus no border", "CCI minus no border"]
pd.DataFrame(rows, index=columns).T.style.set_uuid("borders")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
i = np.argmax(errors(borders["white, 4%"]) - E)
shown = {"no border": outputs["undamaged"][i]} | {n: x[i] for n, x in borders.items()}
viz.strip(shown | {"real": truth[i]})

# %% [markdown]
# *The width is a share of the photo's side. In the strip: the photo that lost most by the narrowest
# border, all borders cut off.* In the shipped run even a white border of 4 % makes the colours
# worse and paler, and the mirrored one makes no clear difference in error: it is the white that
# costs, not the lost pixels. This damage has a sure cure: **cut the border off before you
# colorize.** The result is the first picture of the strip.
#
# ## Cures that need no new network
#
# The network gives only chroma. So it may look at a *cleaned copy*, and its colours may be laid on
# the **untouched** original, grain and all. Three such cures:
#
# - **stretch** the contrast: the darkest hundredth becomes black, the brightest white;
# - **median** of 5 × 5 pixels, against heavy grain;
# - **sharpen**, against a soft lens.
#
# Stretching is also tried on the undamaged picture: a cure that harms it should not be applied to
# every picture.


# %%
def stretch(gray):
    return np.asarray(ImageOps.autocontrast(Image.fromarray(gray), cutoff=1))


def median(gray):
    return np.asarray(Image.fromarray(gray).filter(ImageFilter.MedianFilter(5)))


def sharpen(gray):
    return np.asarray(Image.fromarray(gray).filter(ImageFilter.UnsharpMask(4, 150, 0)))


CURES = {
    "undamaged: stretch": ("undamaged", stretch),
    "faded: stretch": ("faded", stretch),
    "heavy grain: median": ("heavy grain", median),
    "soft lens: sharpen": ("soft lens", sharpen),
    "all at once: stretch": ("all at once", stretch),
    "all at once: median, stretch": ("all at once", lambda gray: stretch(median(gray))),
}
rows = {}
for n, (damage, cure) in CURES.items():
    cleaned = np.stack([cure(x) for x in inputs[damage]])
    colours = laid(inputs[damage], paint(cleaned).astype(float) - cleaned[..., None])
    cured, before = errors(colours), error[damage]
    rows[n] = [f"{before.mean():.2f}", f"{cured.mean():.2f}", minus(cured, before)]
    rows[n] += [f"{(cured < before).sum()} of {len(truth)}", minus(cured, E)]
columns = ["error without", "error with", "with minus without", "photos improved"]
pd.DataFrame(rows, index=[*columns, "with minus undamaged"]).T.style.set_uuid("cures")

# %% [markdown]
# *Colour error without the cure and with it, the colours laid on the untouched original. A mean
# near 0 can hide large gains and large losses, so one column counts the photos that improved.*
#
# **What we see** in the shipped run: most cures do not help. Median and sharpening change nothing
# that 24 photos could show. Stretching makes *undamaged* pictures worse; it helps where all damages
# come together, barely, and even then the error stays above that of the undamaged input. Where a
# cure makes no clear difference, leave it out.
#
# ## A whole folder
#
# `scgan colorize` colours a folder and the folders in it (`scgan` is in `.venv/bin/` after
# `make env`). Here are five gray pictures: one is torn (half of its bytes are missing), and one
# lies deeper.

# %%
work = tempfile.TemporaryDirectory()
prints = Path(work.name) / "prints"
places = ("one.jpg", "two.png", "three.tif", "torn.jpg", "attic/five.jpg")
for photo, place in zip(test, places, strict=False):
    (prints / place).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(data.luma_u8(data.read_rgb(photo.path))).save(prints / place)
whole = (prints / "torn.jpg").read_bytes()
(prints / "torn.jpg").write_bytes(whole[: len(whole) // 2])


def digests():
    return [hashlib.sha256((prints / place).read_bytes()).hexdigest() for place in places]


before = digests()
words = ["colorize", "prints", "-o", "coloured"]
done = subprocess.run(
    [sys.executable, "-m", "scgan_lib.cli", *words], cwd=work.name, text=True,
    env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
)  # fmt: skip
print("$ scgan", *words)
said = (done.stdout + done.stderr).splitlines()
print(*(line for line in said if not line.startswith(MARK)), sep="\n")  # no progress bar
made = sorted(Path(work.name).glob("coloured/**/*.png"))
print("exit status", done.returncode)
print("written:", *(x.relative_to(work.name).as_posix() for x in made))

# %% [markdown]
# The torn picture is named and the others are done. The exit status is 1, so that a script notices
# it. The results are PNG files under the same names. `scgan colorize --help` lists the rest: other
# formats, other weights, a page that shows each picture before and after.
#
# **Check.** The originals have not changed.

# %%
assert len(made) == 4 and done.returncode == 1 and digests() == before
shown = {x.stem: np.asarray(Image.open(x)) for x in made}
work.cleanup()
viz.strip(shown, width=5)

# %% [markdown]
# *The four results, by the weights of `tiny`.*
#
# ## What differs, and the limits

# %%
paper.show_deviations("input-untouched", "working-size", "luminance")

# %% [markdown]
# - **Large scans** cost the network nothing, since it sees the small picture. Memory grows by about
#   50 bytes for each pixel of the result: 24 megapixels need 1.2 GB.
# - **Small objects** are tiny in the network's picture: a face in a group is a few pixels there.
#   Cut such a part out and colorize it alone.
# - **The damages above** are imitations. They show which way a damage works, not how well your
#   album will do.
#
# ## Try it
#
# **1.** A stain in one corner: does it change the colours in the opposite corner?
# <details><summary>Solution</summary>
#
# ```python
# stained, third = inputs["undamaged"].copy(), truth.shape[1] // 3
# stained[:, :third, :third] = 235
# moved = np.abs(paint(stained).astype(float) - outputs["undamaged"])[:, -third:, -third:]
# print(moved.mean(), moved.mean((1, 2, 3)).round(1))
# ```
# It does: the global encoder and the deepest layers of the U-Net see the whole picture, so a fault
# in one place can change the colours in another. Retouch stains and scratches *before* you
# colorize.
# </details>
#
# **2.** At which chroma strength is the error smallest, for the undamaged input and for *all at
# once*? Should the colours be turned up or down when the input is bad?
# <details><summary>Solution</summary>
#
# ```python
# for k in (0, 0.25, 0.5, 0.75, 1, 1.5):
#     for n in ("undamaged", "all at once"):
#         chroma = outputs[n].astype(float) - inputs[n][..., None]
#         print(k, n, errors(laid(inputs[n], k * chroma)).mean().round(2))
# ```
# Down: the less certain a guess is, the smaller the chroma with the smallest expected error. The
# network cannot know how bad its input is unless it was trained on such inputs.
# </details>
#
# ## Three lines to remember
#
# 1. Brightness and detail come from your photograph; only the chroma is predicted, on a small copy.
# 2. Fading and white borders cost colour, fine grain and blur hardly any: cut the border off first.
# 3. Test a cure on undamaged pictures, too; most of those tried here do not help.
#
# **Next:** [chapter 10, scaling up](10_scaling_up.ipynb).
