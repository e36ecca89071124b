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
# **You will learn** to colorize one picture and a whole folder, of any size and kind, with the
# originals left as they are; what happens to a picture on the way; how old photographs differ from
# the gray copies that the network was trained on, and what that costs; and which cures help.
#
# **Time:** 20 minutes to read, about a minute to run. Nothing is trained here.
#
# **Before this:** nothing. If you have trained the networks in chapters 4 and 5, yours are used,
# else the ones that came with the project.
#
# To use a photograph of your own, write its full path between the quotes of `picture`.

# %% tags=["parameters"]
profile = "mini"
seed = 0
picture = ""

# %%
import copy
import hashlib
import inspect
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import ExifTags, Image, ImageFilter, ImageOps
from scipy.ndimage import gaussian_filter
from skimage.data import camera

from scgan_lib import colorize, config, data, metrics, paper, statistics, viz
from scgan_lib.paths import ROOT
from scgan_lib.progress import MARK
from scgan_lib.widgets import Compare, Explore

viz.use_style()
p = config.from_environment(profile, seed)
small = dict(side=256, quality=65, width=448)  # pictures in this page, so that it stays light

# %%
shipped = colorize.newest_weights(config.load("mini"))
weights = (colorize.newest_weights(p) or shipped).resolve()
generator, net, facts = colorize.load_generator(weights)
colorizer = colorize.Colorizer(generator, net)
print("weights: results/" + weights.as_posix().rpartition("/results/")[2])
print(f"profile {net.name}, stage {facts.get('stage', '?')}; the network sees the picture", end=" ")
print(f"with its short side at {net.image_size} pixels")

# %% [markdown]
# ## What to expect
#
# `Colorizer.load("mini")` does the same in one line. What comes out depends on what the network has
# seen. The networks of `mini` learned from 174 photographs. They know what fills most of a picture:
# sky turns blue, sand and dry grass turn brown. A coat, a face or a car mostly stays gray, or takes
# the colour of what lies around it. The networks of `smoke` have hardly been trained at all: expect
# a tint, or nothing.
#
# **The colours are a guess, not a memory.** The gray picture does not say whether a dress was red
# or green. A network paints what was common in its training photographs, and another network paints
# something else. So keep the original, and when you pass a picture on, say that it was *colorized*.
#
# ## One photograph
#
# This one has no colours to compare with: it travels with scikit-image as a gray picture of 512
# pixels a side. Lav Varshney took it and gave it free (CC0). No training has seen it. **Drag** the
# border in the picture ([chapter 7](07_compare_interactively.ipynb) tells all that these controls
# can do). **Look at** the sky first, then at the lawn, then at the man. *Saliency* is the network's
# own map of what stands out ([chapter 4](04_stage1_l1_pretraining.ipynb)).

# %%
photo = data.open_picture(picture) if picture else Image.fromarray(camera())
painted, saliency = colorizer.both(photo)
gray = data.luma_u8(np.asarray(photo.convert("RGB")))
views = {"gray": gray, "colours": painted, "saliency": saliency}
cci = metrics.cci(np.asarray(painted.convert("RGB")))
Compare(views, caption=f"colorized; colourfulness (CCI) {cci:.1f}", right=1, **small)

# %% [markdown]
# ## The strength of the colours
#
# Safe colours are pale colours (chapter 4 says why). `chroma` multiplies them: 1 is as painted, 0
# is gray. **Turn** it up: the sky may gain, but every stain gains as well. A stain is a colour that
# the network gave to the wrong place. It was there before, only too pale to be seen.


# %%
def strength(chroma=1.0):
    """The picture with its colours multiplied by `chroma`, and a caption."""
    loud = copy.copy(colorizer)
    loud.chroma = chroma
    result = loud(photo).convert("RGB")
    return {"gray": gray, "result": result}, f"CCI {metrics.cci(np.asarray(result)):.1f}"


examples = {f"chroma × {k:g}": {"chroma": k} for k in (0.5, 1, 2, 3)}
Explore(strength, chroma=(0.0, 4.0, 0.25), examples=examples, **small)

# %% [markdown]
# In Python it is `colorizer.chroma = 1.5`, on the command line `--chroma 1.5`.
#
# **Check.** Strength 0 is the gray picture, and colourfulness grows with the strength.

# %%
levels = [np.asarray(strength(k)[0]["result"]) for k in (0.0, 0.5, 1.0, 2.0)]
assert (levels[0] == gray[..., None]).all()
print("CCI at strengths 0, 0.5, 1, 2:", ", ".join(f"{metrics.cci(x):.2f}" for x in levels))
assert sorted(map(metrics.cci, levels)) == [*map(metrics.cci, levels)]

# %% [markdown]
# ## What happens to a picture on the way
#
# **The paper says:** a network takes a gray image $x$ of 256 pixels and gives a colour image of the
# same size.
#
# **The code does** this, so that any size may come in and the same size goes out. All of it stands
# in one function:

# %%
print(inspect.getsource(colorize.render))

# %% [markdown]
# With $S$ for shrinking and $L$ for enlarging, the result is
#
# $$ x + L\bigl(G_c(Sx) - Sx\bigr). $$
#
# What $G_c$ adds to the small gray picture is its *chroma*. It may be as coarse as the network's
# picture: our eyes are sharp for light and dark and blunt for colour. Light and dark come from
# your picture, pixel by pixel. (A profile that does not keep the luminance, as `imagenet`, shows
# the network's own picture $L(G_c(Sx))$.) The same by hand, with another library's filters:

# %%
side, (h, w) = net.image_size, gray.shape
scale = side / min(h, w)
extent = tuple(max(side, round(x * scale)) for x in (w, h))
seen = np.array(Image.fromarray(gray).resize(extent, Image.BICUBIC))
with torch.inference_mode():
    answer = generator(data.to_pm1(seen)[None, None])[0][0].permute(1, 2, 0).numpy()
answer = (answer + 1) * 127.5


def enlarge(coarse):
    """Each channel of a float32 array (h, w, 3), brought up to the photo's size."""
    channels = [Image.fromarray(np.ascontiguousarray(x)) for x in np.moveaxis(coarse, -1, 0)]
    return np.stack([np.asarray(x.resize((w, h), Image.BICUBIC)) for x in channels], -1)


chroma = enlarge(answer - seen[..., None])
mine = gray[..., None] + chroma if net.keep_luminance else enlarge(answer)
inside = ((mine >= 0) & (mine <= 255)).all(-1)  # the others are drawn to gray, see below
mine = mine.clip(0, 255).round().astype(np.uint8)
result = np.asarray(painted.convert("RGB"))
far = np.abs(mine.astype(int) - result)[inside].mean()
assert far < 1, far
print(f"by hand and by the library: mean difference {far:.3f} of 255")

# %%
steps = {"your picture": gray, f"what the network\nsees: {extent[0]} × {extent[1]}": seen}
steps |= {"what it answers": answer / 255, "its chroma,\nenlarged": chroma / 255 + 0.5}
viz.strip(steps | {"result": result})

# %% [markdown]
# *From left to right. The answer is as coarse as the picture that the network saw. The chroma is
# shown on mid-gray: what is gray there gets no colour.* **Look at** the edges of the chroma: where
# it is wider than the thing it belongs to, colour will leave the thing by some pixels.
#
# ## What may be relied on
#
# **Check 1.** The luma of the result is the luma of the input. The chroma has none; a colour that
# would leave the range 0..255 is drawn towards its gray until it fits (`colorize.fit_cube`); three
# channels rounded to whole numbers are half a level off at most. So the largest difference has to
# be 0.5:

# %%
test = data.photos(p, "test")
truth = [data.test_picture(x, p.judge_size) for x in test[:8]]
off = []
for given in [gray, *map(data.luma_u8, truth)]:
    out = np.asarray(colorizer(Image.fromarray(given)))
    off.append(np.abs(out @ data.LUMA - given).max())
if net.keep_luminance:
    assert max(off) < 0.51, off
print(f"{len(off)} pictures; largest difference of luma: {max(off):.3f} of 255")

# %% [markdown]
# **Check 2.** Only the luma counts. A colour photo, its gray copy and a sepia print that is scanned
# in colour: each gives the result of its luma, to the last bit. The brown of an old print does not
# mislead the network, and it does not survive either.

# %%
scene = truth[0]
copy_of_it = np.repeat(data.luma_u8(scene)[..., None], 3, axis=2)
sepia = (copy_of_it * [1.0, 0.87, 0.68]).round().astype(np.uint8)


def painted_from(rgb_or_gray):
    return np.asarray(colorizer(Image.fromarray(rgb_or_gray)))


assert (painted_from(scene) == painted_from(copy_of_it)).all()
assert (painted_from(scene) == painted_from(data.luma_u8(scene))).all()
assert (painted_from(sepia) == painted_from(data.luma_u8(sepia))).all()
brown, plain = painted_from(sepia), painted_from(scene)
print(f"sepia print: luma {data.luma_u8(sepia).mean() - copy_of_it.mean():+.1f} of 255;", end=" ")
print(f"colours {viz.color_error(plain, brown).mean():.2f} Lab units from those of the gray print")
viz.strip(
    {"in colour": scene, "result": plain, "sepia": sepia, "result of sepia": brown}, width=4.5
)

# %% [markdown]
# The two results need not be alike: a brown tone is darker than the gray that it replaced, and the
# network answers to what it is shown.
#
# **Check 3.** Kinds of files. One gray picture is written in nine ways, the last one lying on its
# side with the note "turn me" that cameras and phones leave in a file (EXIF). All have to give the
# size of the upright picture and the same colours. JPEG loses a little; the others lose nothing.

# %%
print_u8 = Image.fromarray(data.luma_u8(data.read_rgb(test[0].path)))
print_u8 = ImageOps.fit(print_u8, (288, 192))
clear = print_u8.convert("RGB")
alpha = Image.linear_gradient("L").resize(print_u8.size)
clear.putalpha(alpha.point(lambda a: max(a, 1)))  # what cannot be seen at all would not count
deep = Image.fromarray(np.asarray(print_u8).astype(np.uint16) * 257)
note = Image.Exif()
note[ExifTags.Base.Orientation] = 6  # "the top of the picture is at the right"
kinds = {
    "gray, PNG": (print_u8, "png", {}),
    "in colour mode, WebP": (print_u8.convert("RGB"), "webp", {"lossless": True}),
    "16 bits, PNG": (deep, "png", {}),
    "16 bits, TIFF": (deep, "tif", {}),
    "transparent, PNG": (clear, "png", {}),
    "palette, PNG": (print_u8.convert("P"), "png", {}),
    "for print (CMYK), TIFF": (print_u8.convert("CMYK"), "tif", {}),
    "JPEG": (print_u8, "jpg", {"quality": 95}),
    "turned by EXIF, PNG": (print_u8.transpose(Image.ROTATE_90), "png", {"exif": note}),
}

# %%
expected, rows = np.asarray(colorizer(print_u8)), []
with tempfile.TemporaryDirectory() as folder:
    for number, (kind, (image, suffix, options)) in enumerate(kinds.items()):
        file = Path(folder) / f"{number}.{suffix}"
        image.save(file, **options)
        out = colorizer(file)
        rgb = np.asarray(out.convert("RGB"))
        same = out.size == print_u8.size and rgb.shape == expected.shape
        far = np.abs(rgb.astype(int) - expected).mean() if same else np.nan
        alpha = "A" in image.getbands()
        ok = far < 3 if kind == "JPEG" else far == 0
        ok &= out.mode == ("RGBA" if alpha else "RGB")
        ok &= not alpha or out.getchannel("A").tobytes() == image.getchannel("A").tobytes()
        rows.append([kind, image.mode, image.size, out.mode, out.size, far, "yes" if ok else "NO"])
columns = ["kind", "mode in", "size in", "mode out", "size out", "mean difference", "ok"]
table = pd.DataFrame(rows, columns=columns)
assert (table["ok"] == "yes").all()
table.style.hide(axis="index").format(precision=2).set_uuid("kinds")

# %% [markdown]
# *Mean difference of the result from that of the plain gray picture, of 255.* Give the *path* of a
# file, as here: a picture that you have opened yourself is taken as its pixels lie.
#
# ## Old photographs are not gray copies
#
# **The paper says** what $x$ is: a gray image, made from a colour photograph. All its measurements
# that are known to this project are of such gray copies, and so was the training: the luma of clean
# digital photographs. An old print differs from that in several ways, and we can imitate each one
# on test photographs, whose true colours are known:
#
# - **orthochromatic**: until about 1930 most film did not see red. Lips and red roofs come out
#   dark, blue skies nearly white. Here: half green, half blue, no red.
# - **faded**: black has turned gray and white has turned darker. 0..255 becomes 90..192.
# - **grain**, **heavy grain**: noise in soft clumps, with a standard deviation of 10 and of 20.
# - **soft lens**: blurred, with a radius of 4 pixels in 256.
# - **small scan**: 48 pixels a side, enlarged.
# - **all at once**: an orthochromatic plate, softened and with heavy grain, that has faded.
#
# These are rough models. A real print has its own curve, its own grain, and scratches.


# %%
def faded(gray):
    return np.rint(90 + 0.4 * gray).astype(np.uint8)


def grainy(gray, number, strength=20):
    """With clumps of noise, drawn anew for each photo and the same in each run."""
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
names = [x.stem for x in test[:24]]  # the gallery first
truth = np.stack([data.test_picture(x, p.judge_size) for x in test[:24]])
inputs = {n: np.stack([f(x, i) for i, x in enumerate(truth)]) for n, f in DAMAGE.items()}
print(f"{len(truth)} test photographs, {len(DAMAGE)} inputs of each")

# %%
network = colorize.inference_form(generator)


def paint(pictures):
    """Colours (N, H, W, 3) of gray pictures (N, H, W) of one size."""
    stack = torch.from_numpy(np.stack(pictures))[:, None]
    done = [colorize.render(network, part, net.image_size, 1.0)[0] for part in stack.split(8)]
    return torch.cat(done).permute(0, 2, 3, 1).numpy()


outputs = {n: paint(x) for n, x in inputs.items()}
far = np.abs(outputs["undamaged"][0].astype(int) - painted_from(inputs["undamaged"][0]))
assert far.max() <= 1  # a batch may round otherwise than one picture
print("a picture in a batch is painted as a single one, within 1 of 255")

# %% [markdown]
# **The measure.** Brightness is wrong from the start in a damaged picture, and that is not the
# network's fault. So we look at the colour alone: the distance to the real photo in the plane of
# Lab's $a^*$ and $b^*$ (`viz.color_error`), mean over every second pixel each way. Beside it stands
# colourfulness (CCI): are the colours gone, or are they wrong? The same photos are used in every
# row, so a *difference* to the undamaged row is taken photo by photo and then resampled
# ([chapter 6](06_evaluation_table1.ipynb) explains the paired bootstrap).


# %%
def errors(colours):
    """Mean distance from the real colours, one number a photo."""
    pairs = zip(truth[:, ::2, ::2], colours[:, ::2, ::2], strict=True)
    return np.array([viz.color_error(a, b).mean() for a, b in pairs])


def cci_of(colours):
    return np.array([metrics.cci(x) for x in colours])


def less(a, b):
    """Mean of a − b over photos and its 95 % interval, as text."""
    return "{:+.2f} [{:+.2f}, {:+.2f}]".format(*statistics.bootstrap_interval(a - b))


def sign(a, b):
    """1 or −1 where the interval of a − b leaves 0 out, else 0: not distinguishable."""
    _, low, high = statistics.bootstrap_interval(a - b)
    return int(low > 0) - int(high < 0)


nothing = errors(np.repeat(inputs["undamaged"][..., None], 3, axis=-1))
error = {n: errors(x) for n, x in outputs.items()}
colourful = {n: cci_of(x) for n, x in outputs.items()}

# %%
E, C = error["undamaged"], colourful["undamaged"]
rows = {"no colour": [f"{nothing.mean():.2f}", less(nothing, E), "", "0.0", ""]}
for n in DAMAGE:
    row = [f"{error[n].mean():.2f}", less(error[n], E), less(error[n], nothing)]
    row += [f"{colourful[n].mean():.1f}", less(colourful[n], C)]
    rows[n] = row if n != "undamaged" else [x if i in (0, 2, 3) else "" for i, x in enumerate(row)]
rows["real photo"] = ["0.00", "", "", f"{cci_of(truth).mean():.1f}", ""]
columns = ["colour error", "minus undamaged", "minus no colour", "CCI", "CCI minus undamaged"]
pd.DataFrame(rows, index=columns).T.style.set_uuid("damage")

# %% [markdown]
# *Colour error: distance in Lab, smaller is better; about 2 can just be seen. In brackets the 95 %
# interval over photographs. Colour alone is measured, so "no colour" is the same for all inputs.*
# In words, from these numbers:


# %%
def verdicts(title, found, words):
    """One line a word: which names got the sign that the word stands for."""
    print(f"{title}:")
    for value, word in words.items():
        print(f"  {word}: {', '.join(n for n, s in found.items() if s == value) or 'none'}")


harmed = [n for n in DAMAGE if n != "undamaged"]
three = lambda more, less: {1: more, -1: less, 0: "not distinguishable"}  # noqa: E731
further = three("further from the truth", "nearer to the truth")
verdicts("colours, against the undamaged input", {n: sign(error[n], E) for n in harmed}, further)
against = {n: sign(error[n], nothing) for n in DAMAGE}
verdicts("colours, against no colour at all", against, three("worse", "better"))
strength_of = {n: sign(colourful[n], C) for n in harmed}
verdicts("colourfulness, against the undamaged input", strength_of, three("more", "less"))

# %% [markdown]
# **How to read it.** The first list asks whether the damage costs anything. The second asks what
# you want to know before you colorize such a picture: are these colours nearer to the truth than
# none? Begin with *undamaged* in it: where the network's colours are no better than none even on a
# good input, there is little for a damage to spoil. "Not distinguishable" is no proof of equality:
# with so few photos a small loss stays unseen. And if no damage did anything, about one verdict in
# twenty would still name a difference. Most of all distrust an interval that ends at 0.
#
# **Check.** Some of the error might come from brightness alone: the same chroma on a darker pixel
# is another place in Lab. So lay the chroma of the *undamaged* input on each damaged picture. The
# colours are now as good as they were, and what is added is not the network's fault.


# %%
def laid(gray, chroma):
    """A gray stack (N, H, W) with chroma (N, H, W, 3) on it, in 8 bits."""
    return (gray[..., None] + chroma).clip(0, 255).round().astype(np.uint8)


def chroma_of(name):
    return outputs[name].astype(float) - inputs[name][..., None]


added = {n: (errors(laid(inputs[n], chroma_of("undamaged"))) - E).mean() for n in harmed}
loss = {n: (error[n] - E).mean() for n in harmed}
print("colour error added, mean over photos: in all, and by brightness alone")
for n in harmed:
    print(f"  {n:15} {loss[n]:+.2f}  {added[n]:+.2f}")

# %% [markdown]
# ## What we see
#
# Two photographs under all kinds of damage. We put the photos in order of the error that *all at
# once* added. Left the one in the middle, right the one that lost most.

# %%
order = np.argsort(error["all at once"] - E, kind="stable")
middle, most = order[len(order) // 2], order[-1]
for where, i in (("left", middle), ("right", most)):
    change = error["all at once"][i] - E[i]
    print(f"{where}: {names[i]}, colour error {E[i]:.1f} undamaged, {change:+.1f} all at once")
panels = [
    {"input": inputs[n][i], "colorized": outputs[n][i], "real": truth[i]}
    for i in (middle, most)
    for n in DAMAGE
]
viz.grid(panels, [n.replace(" ", "\n") for n in DAMAGE] * 2, blocks=2)

# %% [markdown]
# *Input, colours and real photo; a row for each kind of damage.* **Look at** *orthochromatic*
# first. Nothing can bring the red back: what was red is now as dark as what was dark, and there is
# no filter for it. **Then** look at *grain* and *small scan* with this in mind: the network sees
# the picture only after it was shrunk to its own size. Damage finer than a pixel of that small
# picture hardly reaches it. **Last** go down the column of colours: does a damage make them paler,
# or does it turn them into others? A network that no longer knows the scene may fall back on the
# colour that was right most often: one brown over all.
#
# ## The border of the print
#
# Most old prints have a white border, and a scan has it, too. Nothing in the photo itself is
# damaged, but the network looks at the whole scan. We lay borders around the undamaged pictures,
# colorize, cut them off again and measure what is inside. A border also takes pixels: the photo
# gets fewer of those that the network sees. So the last row has a border that goes on with the
# photo, mirrored: it takes as many, and it is neither white nor black.


# %%
def bordered(share, **kind):
    """Colours of the pictures with a border of `share` of their side, without the border."""
    n = round(share * truth.shape[1])
    around = paint(np.pad(inputs["undamaged"], ((0, 0), (n, n), (n, n)), **kind))
    return around[:, n:-n, n:-n]


borders = {f"white, {x:.0%}": bordered(x, constant_values=245) for x in (0.04, 0.1, 0.2)}
borders["black, 20%"] = bordered(0.2, constant_values=10)
borders["mirrored, 20%"] = bordered(0.2, mode="reflect")
rows = {n: [less(errors(x), E), less(cci_of(x), C)] for n, x in borders.items()}
found = {f"({n})": sign(errors(x), E) for n, x in borders.items()}
verdicts("colours inside the border, against no border", found, further)
columns = ["colour error minus no border", "CCI minus no border"]
pd.DataFrame(rows, index=columns).T.style.set_uuid("borders")

# %%
i = np.argmax(errors(borders["white, 4%"]) - E)
shown = {"no border": outputs["undamaged"][i]} | {n: x[i] for n, x in borders.items()}
viz.strip(shown | {"real": truth[i]})

# %% [markdown]
# *The border's width is a share of the photo's side. In the strip: the photo that lost most by the
# narrowest border; the borders are cut off.* If *mirrored* costs little and *white* costs much, it
# is not the lost pixels but the white: the network judges the scene by the whole picture. Here is a
# cure that cannot fail: **cut the border off before you colorize**. What is left is the picture of
# the first column.
#
# ## Cures that need no new network
#
# The network gives chroma only. So it may look at a *cleaned copy*, and its colours may then be
# laid on the **untouched** original, grain and all. Three such cures:
#
# - **stretch** the contrast, so that the darkest hundredth is black and the brightest is white;
# - **median** of 5 × 5 pixels, against heavy grain;
# - **sharpen**, against a soft lens.
#
# Stretching is also tried on the undamaged picture. A cure that does harm there should not be given
# to everybody.


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
cleaned = {n: np.stack([cure(x) for x in inputs[d]]) for n, (d, cure) in CURES.items()}
cured = {n: paint(x) for n, x in cleaned.items()}  # on the cleaned copy
back = {n: laid(inputs[d], cured[n].astype(float) - cleaned[n][..., None])
        for n, (d, _) in CURES.items()}  # fmt: skip

# %%
after, untouched = ({n: errors(x[n]) for n in CURES} for x in (cured, back))
rows = {}
for n, (d, _) in CURES.items():
    rows[n] = [f"{error[d].mean():.2f}", f"{untouched[n].mean():.2f}"]
    rows[n] += [less(untouched[n], error[d]), less(after[n], untouched[n])]
    rows[n] += [less(untouched[n], E), f"{(untouched[n] < error[d]).sum()} of {len(truth)}"]
columns = ["error without", "with the cure", "with minus without", "cleaned copy minus original"]
columns += ["with minus undamaged", "photos nearer with it"]
pd.DataFrame(rows, index=columns).T.style.set_uuid("cures")

# %% [markdown]
# *Colour error without the cure and with it, the colours laid on the untouched original. The fourth
# column asks whether the cleaned copy would have been the better place for them, the fifth what is
# left of the damage. The last counts the photos that the cure brought nearer to the truth: a mean
# near 0 may be made of large gains and large losses.* In words:

# %%
helps = {n: sign(untouched[n], error[d]) for n, (d, _) in CURES.items()}
verdicts("the cure", helps, three("makes it worse", "helps"))
place = {n: sign(after[n], untouched[n]) for n in CURES}
verdicts("colours", place, three("better on the original", "better on the cleaned copy"))
remains = {n: sign(untouched[n], E) for n in CURES if n != "undamaged: stretch"}
verdicts("after the cure, against the undamaged input", remains, further)

# %% [markdown]
# Where a cure is "not distinguishable" from doing nothing, do nothing: that is a finding, too.
# Whatever the fourth column says of the colours, the choice between original and cleaned copy is
# yours: the first is the document, the second is easier to look at.

# %%
change = untouched["faded: stretch"] - error["faded"]
ends = np.argsort(change, kind="stable")[[0, 1, -1]]
panels = [
    {
        "faded": inputs["faded"][i],
        "colorized\nas it is": outputs["faded"][i],
        "stretched,\ncolorized": cured["faded: stretch"][i],
        "its colours on\nthe original": (
            back["faded: stretch"][i],
            f"{change[i]:+.1f}".replace("-", "−"),
        ),
        "real": truth[i],
    }
    for i in ends
]
viz.grid(panels, width=5)

# %% [markdown]
# *The two photographs whose colours gained most by stretching, and, in the last row, the one that
# gained least or lost most. Below the fourth picture: the change of the colour error.*
#
# ## A whole folder
#
# One command colours a folder and the folders in it. We make one with five gray pictures: one is
# torn (half of its bytes are missing), one lies deeper. (`scgan` is in `.venv/bin/` after
# `make env`.)

# %%
work = tempfile.TemporaryDirectory()
prints = Path(work.name) / "prints"
places = ("one.jpg", "two.png", "three.tif", "torn.jpg", "attic/five.jpg")
for source, place in zip([x.path for x in test[:5]], places, strict=True):
    (prints / place).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(data.luma_u8(data.read_rgb(source))).save(prints / place)
whole = (prints / "torn.jpg").read_bytes()
(prints / "torn.jpg").write_bytes(whole[: len(whole) // 2])


def digests():
    return {place: hashlib.sha256((prints / place).read_bytes()).hexdigest() for place in places}


before = digests()

# %%
environment = os.environ | {"PYTHONPATH": str(ROOT)}


def scgan(*words):
    """Run the command line as in a terminal, beside the folder; show what it says."""
    shown = [Path(x).name if os.path.isabs(x) else x for x in words]
    print("$ scgan", *shown)
    command = [sys.executable, "-m", "scgan_lib.cli", *words]
    done = subprocess.run(command, cwd=work.name, env=environment, capture_output=True, text=True)
    for line in (done.stdout + done.stderr).splitlines():
        if not line.startswith(MARK):  # lines of the progress bar
            print(line)
    print("exit status", done.returncode)
    return done


order_of_work = ("colorize", "prints", "-o", "coloured", "--weights", str(weights))
first = scgan(*order_of_work)
made = sorted(
    x.relative_to(work.name).as_posix() for x in Path(work.name).glob("coloured/**/*.png")
)
print("written:", *made)

# %% [markdown]
# The torn picture is named and the others are done. The exit status is 1, so that a script notices
# that something was skipped. (You may leave `--weights` out: it is there so that this page uses the
# network of its first cells.) The results are PNG files under the same names, and nothing has
# touched the originals.

# %%
assert len(made) == 4 and first.returncode == 1
assert "4 of 5 pictures written" in first.stdout and "skipped: prints/torn.jpg" in first.stderr
assert digests() == before
for name in made:
    given = next(x for x in places if Path(x).stem == Path(name).stem)
    with Image.open(Path(work.name) / name) as image, Image.open(prints / given) as original:
        assert image.size == original.size
print("all five originals have the hash that they had before")

# %% [markdown]
# **A second run** does not replace what is there, unless you say so:

# %%
second = scgan(*order_of_work)
assert second.returncode == 1 and "0 of 5" in second.stdout and "--overwrite" in second.stderr
assert digests() == before

# %%
shown = {}
for name in made:
    with Image.open(Path(work.name) / name) as image:
        shown[name.removeprefix("coloured/")] = np.asarray(image)
work.cleanup()
viz.strip(shown, width=5)

# %% [markdown]
# *The four results.*
#
# ## What differs, and the limits

# %%
paper.show_deviations("input-untouched", "working-size", "luminance")

# %% [markdown]
# - **The weights.** The course's own learned from 174 photographs, those that `scgan colorize` uses
#   from 68,000 of 64 pixels. A network of the released size, trained on a million large ones,
#   should do much better, but there are no such weights: the authors never published theirs. The
#   profile `imagenet` trains them, if you have the data and the GPUs. If you have trained a
#   generator with the authors' code, `scgan convert` reads its file.
# - **Large pictures.** The network always sees the small picture, so a large scan costs it nothing.
#   Memory grows with the pixels of the result, by about 50 bytes each: 24 megapixels need 1.2 GB
#   more. For the network only the shape counts: a panorama ten times as wide as high costs it ten
#   times as much as a square.
# - **Small things.** What is small in the picture is tiny in the network's. A face in a group is a
#   few pixels there. A part that is cut out and colorized alone is seen with more of them.
# - **Files.** A folder is searched for the endings in `data.IMAGE_SUFFIXES`; give other files by
#   name. Of a file with several pages the first is taken. The result is an 8-bit PNG in sRGB, with
#   `--format` a JPEG, WebP or TIFF. Date, place, author and resolution of the original are kept.
# - **The models of damage** above are imitations. They say in which direction a damage works, not
#   how well your album will do.
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
# The encoder of global features looks at the whole picture to find out what it shows, and the
# deepest layers of the U-Net see most of it. So what is wrong in one place can change the colours
# in another. Retouch stains and scratches *before* you colorize.
# </details>
#
# **2.** At which strength is the colour error smallest, for the undamaged input and for *all at
# once*? Should one turn the colours up or down when the input is bad?
# <details><summary>Solution</summary>
#
# ```python
# for k in (0, 0.25, 0.5, 0.75, 1, 1.5):
#     for n in ("undamaged", "all at once"):
#         print(k, n, errors(laid(inputs[n], k * chroma_of(n))).mean().round(2))
# ```
# The less a guess can be trusted, the weaker it should be. A network cannot know how bad its input
# is unless it has been trained on such inputs.
# </details>
#
# **3.** What does a result say of itself? Find out which weights made it, and at which strength.
# <details><summary>Solution</summary>
#
# ```python
# print(Image.open("coloured/one.png").info["Comment"])
# ```
# A caption under the picture is read more often than a text inside the file. Write both.
# </details>
#
# **Next:** [chapter 10, scaling up](10_scaling_up.ipynb).
