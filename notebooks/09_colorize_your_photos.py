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
# **After this chapter you can**
#
# - colorize one photograph or a whole folder;
# - say what to expect from the weights;
# - say which simulated damage of an old print made the colours worse in our test;
# - test a correction before you use it.
#
# **Time:** 15 minutes to read, about a minute to run. Nothing is trained here, you need no GPU, and
# your pictures stay on your computer.
#
# **Before this:** you can colorize your photographs without any other chapter. For the
# measurements, [chapter 6](06_evaluation_table1.ipynb) explains the paired bootstrap. This chapter
# measures with the weights that you trained in chapters 4 and 5; if there are none, with those of
# `mini` that come with the project. (`mini` is a *profile*, a named set of settings.) *The shipped
# run* below means the outputs stored in this notebook, made with `mini`.
#
# **In short:** scan the print (gray or colour makes no difference), cut off its border, then run:
#
# ```sh
# make env                                                 # once, in the folder of this project
# .venv/bin/scgan colorize ~/scans -o ~/scans_colorized    # a folder, or single pictures
# ```
#
# To look at a photograph of your own in this chapter, write its full path between the quotes of
# `picture` in the next cell and run all cells. In Python, this saves the result of one photograph:
#
# ```python
# from scgan_lib import colorize
#
# colorize.Colorizer.load("tiny")("scans/grandma.jpg").save("grandma_colorized.png")
# ```

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
# | `mini`, trained in this course | 174 | large areas: sky, dry grass |
# | `tiny`, default of `scgan colorize` | 68,000, of 64 x 64 pixels | also fur, skin, wood; paler |
# | `smoke`, for tests | 24 | a tint, or nothing |
#
# Both `mini` and `tiny` often leave clothes, cars and fruit nearly gray, or give them the colour of
# their surroundings. The authors of the paper published the code of a larger network, but not its
# weights. We have not trained a network of that size. It should do better, but we cannot show it.
# [Chapter 10](10_scaling_up.ipynb) shows how to train one.
#
# **The colours are a guess.** The gray picture does not show whether a dress was red or green. The
# network predicts colours that were common in its training photographs, and another network
# predicts other colours. Keep the original. When you share the picture, say that it was
# *colorized*.
#
# **Not for colour prints.** The program uses only the brightness of the scan. It loses the real
# colours of a faded colour print or a hand-coloured photograph.
#
# ## One photograph
#
# This photograph by Lav Varshney (CC0) comes with scikit-image, as a gray picture of 512 pixels a
# side. It was not used in any training. **Drag** the border: at first, gray is on the left, and the
# result of the weights printed above is on the right. Choose other pictures in the lists below. In
# the shipped run, both sets of weights make the sky blue, and `mini` adds an orange stain at the
# bottom. The caption gives the colourfulness (CCI): 0 is gray. *Saliency* is a second output of the
# network: bright where it expects the main subject.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
photo = data.open_picture(picture) if picture else Image.fromarray(camera())
painted, saliency = colorizer.both(photo)
gray = data.luma_u8(np.asarray(photo.convert("RGB")))
own = f"weights of {net.name}" + ", trained here" * (net.name == "tiny")
views = {"gray": gray, own: painted, "weights of tiny": tiny(photo)}
cci = [metrics.cci(np.asarray(x.convert("RGB"))) for x in list(views.values())[1:]]
caption = "colourfulness (CCI): {:.1f} with these weights, {:.1f} with tiny's".format(*cci)
small = dict(side=256, quality=65, width=448)  # small pictures keep this page small
Compare(views | {"saliency": saliency}, caption=caption, right=1, **small)

# %% [markdown]
# Are the colours too pale? `scgan colorize --chroma 1.5` makes the *chroma* (colour without
# brightness) 1.5 times as strong. Is it too strong? Use `--chroma 0.7`. (In Python:
# `colorizer.chroma = 1.5`.) A factor above 1 makes wrong colours stronger, too.
#
# ## How a picture is colorized
#
# The gray value of a pixel is its *luma*: a weighted mean of red, green and blue. Let $x$ be the
# gray copy of your photograph. $S$ shrinks $x$ until its short side has the size of the training
# pictures. The colour output of the network, $G_c$, predicts a small colour picture $G_c(Sx)$ with
# the luma of $Sx$. Its *chroma* is its difference from $Sx$, so the luma of the chroma is 0. $L$
# enlarges only this chroma, and we add it to $x$:
#
# $$ x + L\bigl(G_c(Sx) - Sx\bigr). $$
#
# So luma and detail are those of your photograph, pixel by pixel. The chroma is coarse, but our
# eyes see colour less sharply than brightness. (The profile `imagenet` works differently: it shows
# the enlarged prediction itself, so its result is less sharp.) Where a colour would leave the range
# 0..255, `colorize.fit_cube` reduces the chroma.

# %%
resize = partial(F.interpolate, mode="bicubic", antialias=True)
x = data.to_pm1(gray)[None, None]  # (1, 1, H, W) in [-1, 1]
scale = net.image_size / min(gray.shape)
with torch.inference_mode():
    seen = resize(x, size=[max(net.image_size, round(n * scale)) for n in gray.shape])  # S x
    answer, _ = generator(seen)  # G_c(S x): (1, 3, h, w)
    chroma = resize(answer - seen, size=gray.shape)  # L(G_c(S x) - S x): (1, 3, H, W)
    sum_of_both = x + chroma if net.keep_luminance else resize(answer, size=gray.shape)
    mine = colorize.fit_cube(sum_of_both)[0].permute(1, 2, 0).numpy()

# %% [markdown]
# **Check.** The cell above must give the library's picture, apart from rounding. And the luma must
# stay that of your photograph: neither adding the chroma nor `fit_cube` changes it. Rounding to
# whole numbers changes it by at most 0.5.

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
# mid-gray: gray means no colour.* **Look at** the edges of the chroma: where the chroma is wider
# than the object, the colour crosses the object's edge by some pixels.
#
# **A sepia print** scanned in colour gives the same result as its gray copy, because only the luma
# is used. The next cell tests this on one photo. It also loads the 24 test photographs that we use
# from here on.

# %%
test = data.photos(p, "test")[:24]  # first those of the gallery (chapter 1)
truth = np.stack([data.test_picture(photo, p.judge_size) for photo in test])
sepia = np.rint(data.luma_u8(truth[0])[..., None] * [1.0, 0.87, 0.68]).astype(np.uint8)
scanned_in_colour, gray_copy = (
    np.asarray(colorizer(Image.fromarray(scan))) for scan in (sepia, data.luma_u8(sepia))
)
assert (scanned_in_colour == gray_copy).all()

# %% [markdown]
# ## Old photographs are not gray copies
#
# **The paper says** that $x$ is the gray copy of a colour photograph. The network was trained and
# measured on gray copies of clean digital photographs. An old print differs from these. We simulate
# the differences on test photographs, because we know their real colours:
#
# - **orthochromatic**: until about 1930 most film was not sensitive to red. Lips and red roofs
#   appear dark, blue skies nearly white. Our model is half green, half blue, and no red.
# - **faded**: black has become gray, and white has become darker. Our model maps 0..255 to 90..192.
# - **grain**, **heavy grain**: noise in soft clumps, with standard deviations of 10 and 20.
# - **soft lens**: a blur with a radius of 4 pixels, in pictures of 256 pixels a side.
# - **small scan**: a scan of 48 pixels a side, enlarged.
# - **all at once**: an orthochromatic picture, then soft lens (radius 2), heavy grain and fading,
#   in this order.
#
# These are rough models: a real print has its own tone curve, grain and scratches.


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
DAMAGE = {  # name -> function: colour photo, its number -> gray picture
    "undamaged": lambda rgb, i: data.luma_u8(rgb),
    "orthochromatic": lambda rgb, i: orthochromatic(rgb),
    "faded": lambda rgb, i: faded(data.luma_u8(rgb)),
    "grain": lambda rgb, i: grainy(data.luma_u8(rgb), i, 10),
    "heavy grain": lambda rgb, i: grainy(data.luma_u8(rgb), i),
    "soft lens": lambda rgb, i: soft(data.luma_u8(rgb)),
    "small scan": lambda rgb, i: scanned(data.luma_u8(rgb)),
    "all at once": lambda rgb, i: faded(grainy(soft(orthochromatic(rgb), 2), i)),
}
network, tiny_network = map(colorize.inference_form, (generator, tiny.generator))


def paint(pictures, network=network, size=net.image_size):
    """Colours (N, H, W, 3) of gray pictures (N, H, W) of one size."""
    stack = torch.from_numpy(np.stack(pictures))[:, None]
    done = [colorize.render(network, part, size, 1.0)[0] for part in stack.split(8)]
    return torch.cat(done).permute(0, 2, 3, 1).numpy()


inputs = {n: np.stack([f(x, i) for i, x in enumerate(truth)]) for n, f in DAMAGE.items()}
outputs = {n: paint(x) for n, x in inputs.items()}

# %% [markdown]
# **The measure.** A damaged picture already has the wrong brightness, so we measure colour alone.
# In the colour space Lab, $L^*$ is lightness, and $a^*$ and $b^*$ describe the colour. Our error is
# the distance to the real photo in $a^*$ and $b^*$ (`viz.color_error`), averaged over every second
# row and column. We also print the colourfulness (CCI; 0 is gray, higher is more colourful). If the
# CCI falls, the colours became paler. All rows use the same photos, so we compute the difference
# for each photo and average it. Its 95 % interval comes from a bootstrap over the photos.


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
columns = ["colour error", "change by the damage", "minus no colour", "CCI", "change of CCI"]
pd.DataFrame(rows, index=columns).T.style.set_uuid("damage")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
of_tiny = {n: paint(x, tiny_network, tiny.profile.image_size) for n, x in inputs.items()}
tiny_error = {n: errors(x) for n, x in of_tiny.items()}
rows = {}
for n in DAMAGE:
    rows[n] = [f"{tiny_error[n].mean():.2f}", minus(tiny_error[n], tiny_error["undamaged"])]
    rows[n] += [minus(tiny_error[n], no_colour), f"{cci_of(of_tiny[n]).mean():.1f}"]
rows["undamaged"][1] = ""
pd.DataFrame(rows, index=columns[:4]).T.style.set_uuid("damage-tiny")

# %% [markdown]
# *Colour error over 24 photographs: a distance in Lab; smaller is better, and about 2 is just
# visible. The first table has the weights printed at the top, the second those of `tiny`. A
# negative difference means a smaller error. The brackets contain the 95 % interval over
# photographs. A star means that it excludes 0. "No colour" has the same error for all inputs,
# because only colour is measured.*
#
# **What we see** in the shipped run: with `mini`, *orthochromatic* raises the error from 22.5 to
# 24.3 (its interval nearly reaches 0), *faded* to 24.4, *all at once* to 26.5. With `tiny`, only
# *faded* makes a clear difference (from 23.3 to 24.8). All other changes of the error are not
# clear. With each single kind of damage, and with both sets of weights, the colours are clearly
# better than no colour (27.4). With *all at once*, only those of `tiny` are. In `mini`, *faded*,
# *all at once*, *orthochromatic* and *heavy grain* clearly lower the CCI. Two cautions: a small
# effect may not show with 24 photos. And if no damage had any effect, about one comparison in
# twenty would still get a star by chance. The measurements below use the weights printed at the
# top.
#
# **Check.** In Lab, $a^*$ and $b^*$ also change a little when the same chroma is added to another
# gray value. How much of the error comes from this? We put the *undamaged* chroma on each damaged
# picture. Any error that this adds comes from brightness.


# %%
def laid(gray, chroma):
    """A gray stack (N, H, W) with chroma (N, H, W, 3) on it, as the library adds it."""
    chroma = torch.from_numpy(chroma).movedim(-1, 1).float() / 127.5
    rgb = colorize.fit_cube(data.to_pm1(gray)[:, None] + chroma)
    return data.to_u8(rgb).movedim(1, -1).numpy()


undamaged_chroma = outputs["undamaged"].astype(float) - inputs["undamaged"][..., None]
for n in list(DAMAGE)[1:]:
    brightness = (errors(laid(inputs[n], undamaged_chroma)) - E).mean()
    print(f"{n:15} error added {(error[n] - E).mean():+.2f}, by brightness {brightness:+.2f}")

# %% [markdown]
# In the shipped run, brightness adds at most 0.25: most of the added error comes from other
# predicted colours. The next figure shows two photographs with every kind of damage: on the left,
# the photo to which *all at once* adds the median error; on the right, the one to which it adds
# most.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
order = np.argsort(error["all at once"] - E, kind="stable")
panels = [
    {"input": inputs[n][i], "colorized": outputs[n][i], "real": truth[i]}
    for i in (order[len(order) // 2], order[-1])
    for n in DAMAGE
]
viz.grid(panels, [n.replace(" ", "\n") for n in DAMAGE] * 2, blocks=2)

# %% [markdown]
# *Input, predicted colours and real photo, with one row for each kind of damage.* **Look at**
# *orthochromatic*: in the shipped run, the blue sky of the right photo is lighter than in
# *undamaged*. A pure red would be as dark as black. The gray picture does not show which dark
# objects were red, so no filter can undo it. **Then look at** *grain*: in the shipped run, the
# network sees the photo at only 64 pixels. Each of these is a mean over at least 4 x 4 pixels of
# the photo. This makes the grain weaker, but does not remove it, because neighbouring pixels of a
# clump have similar noise. **Last**, go down the column *colorized*: does the damage make them
# paler, or does it change their hue? In the shipped run, *faded* turns the wall of the left photo
# blue, and *all at once* turns the blue sky of the right photo yellowish. A possible reason for the
# second: if the network does not recognise the scene, it predicts its most frequent colour.
#
# ## The border of the print
#
# Most old prints have a white border, and the network sees the whole scan. We add borders to the
# undamaged pictures, colorize them, cut off the borders, and measure the rest. A border also takes
# up pixels of the small picture, so fewer are left for the photo. To measure this effect alone, the
# row *mirrored* has a border made of the mirrored photo.


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
both = [borders[f"{kind}, 20%"] for kind in ("white", "mirrored")]
rows["white minus mirrored, 20%"] = [minus(*map(f, both)) for f in (errors, cci_of)]
columns = ["change of the colour error", "change of CCI"]
pd.DataFrame(rows, index=columns).T.style.set_uuid("borders")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
i = np.argmax(errors(borders["white, 4%"]) - E)
shown = {"no border": outputs["undamaged"][i]} | {n: x[i] for n, x in borders.items()}
viz.strip(shown | {"real": truth[i]})

# %% [markdown]
# *The width is a share of the photo's side. The strip shows the photo to which the narrowest border
# adds the largest error, with all borders cut off.* In the shipped run, even a white border of 4 %
# makes the colours worse and paler. A mirrored border of 20 % costs as many pixels as a white one.
# It makes the colours paler, too, but less (CCI −3.8, white −13.0), with no clear difference in
# error. The direct difference of the two is clear: the white border adds 2.2 to the error. So most
# of the harm comes from the white colour. A black border of 20 % also makes the colours worse (by
# 2.8), but not clearly paler. **Cut off the border before you colorize**, with any photo editor or
# `PIL.ImageOps.crop(photo, 60)`.
#
# ## Corrections that need no new network
#
# We use only the chroma of the network. So we can give it a *cleaned copy*, and add the chroma to
# the **untouched** original, which keeps its grain. We test three such corrections:
#
# - **stretch** the contrast: the darkest 1 % becomes black, the brightest 1 % becomes white;
# - **median**: each pixel becomes the median of 5 × 5 pixels, against heavy grain;
# - **sharpen**, against a soft lens.
#
# We also stretch the undamaged pictures: a correction that harms them should not be applied to
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
columns = ["error without", "error with", "change by the correction", "photos improved"]
pd.DataFrame(rows, index=[*columns, "minus undamaged"]).T.style.set_uuid("cures")

# %% [markdown]
# *Colour error without and with the correction. The chroma is added to the untouched original. A
# mean near 0 can hide large gains and losses, so one column counts the photos that improved.*
#
# **What we see** in the shipped run: stretching lowers the error of *faded* by 1.7 (its interval
# nearly reaches 0), to about that of the undamaged input. The other five rows show no clear change:
# with *all at once*, stretching also lowers the mean by 1.7, but the interval includes 0. Do not
# use a correction that makes no clear difference. `scgan colorize` applies none of them.
#
# ## A whole folder
#
# `scgan colorize` colorizes a folder and its subfolders, with the weights of `tiny` unless
# `--weights` names others. Our example has five gray pictures: half of the bytes of `torn.jpg` are
# missing, and `five.jpg` is in a subfolder.

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
# The command names the file that it cannot read and colorizes the others. The exit status is 1, so
# that a script can detect the error. The results are PNG files: `prints/one.jpg` becomes
# `coloured/one.png`. An original is never overwritten, and two pictures with the same name get two
# results. A second run skips finished results. `scgan colorize --help` lists the other options:
# formats, weights, and a page that shows each picture before and after.
#
# **Check.** The originals have not changed.

# %%
assert len(made) == 4 and done.returncode == 1 and digests() == before
shown = {x.stem: np.asarray(Image.open(x)) for x in made}
work.cleanup()
viz.strip(shown, width=5)

# %% [markdown]
# *The four results, with the weights of `tiny`.*
#
# ## Differences from the paper, and limits
#
# *Released* is the code of the authors. *Switch* is the setting for this difference, if any.

# %%
paper.show_deviations("input-untouched", "working-size", "luminance")

# %% [markdown]
# - **Large scans** take the network no more time, because it sees the small picture. Reading and
#   writing take longer: 24 megapixels took 7 s in all, 300 megapixels 82 s, on a shared machine.
#   The memory grows by about 17 bytes per pixel: a scan of 24 megapixels needs about 1 GB, one of
#   300 megapixels 5.5 GB (measured in `benchmarks/INPUTS.md`). Pictures of more than 179 megapixels
#   are refused unless `--max-pixels` allows them.
# - **Small objects** have few pixels in the network's picture, for example a face in a group. You
#   can cut out such a part and colorize it alone. (We did not test this, nor pasting it back: the
#   colours may not match at its edge.)
# - **The damage above** is simulated. It shows how such damage changes the colours, but it does not
#   predict the result for your album.
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
# If the numbers are above 0, it does: the global encoder and the deepest layers of the U-Net
# (chapter 2) see the whole picture, so damage in one place can change the colours in another. This
# does not show that they are worse: compare `errors(paint(stained))` with `E`.
# </details>
#
# **2.** Which chroma strength gives the smallest error for the undamaged input, and which for *all
# at once*? Should the colours be stronger or weaker if the input is bad?
# <details><summary>Solution</summary>
#
# ```python
# for k in (0, 0.25, 0.5, 0.75, 1, 1.5):
#     for n in ("undamaged", "all at once"):
#         chroma = outputs[n].astype(float) - inputs[n][..., None]
#         print(k, n, errors(laid(inputs[n], k * chroma)).mean().round(2))
# ```
# We expect weaker colours to be better (compare your numbers): a strong wrong colour costs more
# than a pale one. The network cannot know how bad its input is unless it was trained on such
# inputs.
# </details>
#
# ## Three lines to remember
#
# 1. Luma and detail come from your photograph. The network predicts only the chroma, from a small
#    copy.
# 2. In our test, fading and white or black borders made the colours worse, and with `mini`
#    orthochromatic film, too. For grain, blur and small scans, 24 photos showed no clear change of
#    the error. Cut off the border first.
# 3. Test a correction on undamaged pictures, too. Of those tested here, only one clearly lowered
#    the error: stretching *faded*.
#
# **Next:** [chapter 10, scaling up](10_scaling_up.ipynb).
