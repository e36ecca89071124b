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
# # 1 · Data and saliency: what goes in
#
# **After this chapter you can** say which photographs the small profile `mini` uses, and under
# which licences; convert colour to gray, and say what is lost; read one training item; compute a
# saliency map without labels and without a network; and recognise good and bad maps.
#
# **Time:** 30 minutes to read, half a minute to run. The first run takes a few minutes more,
# because it computes the saliency maps of the training photos. **Before this:**
# [chapter 0](00_overview.ipynb).

# %% tags=["parameters"]
profile = "mini"
seed = 0

# %% jupyter={"source_hidden": true} tags=["hide-input"]
import inspect
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from skimage.color import rgb2lab
from skimage.segmentation import slic

from scgan_lib import config, data, paper, saliency, viz
from scgan_lib.paths import UserError, cache_dir

viz.use_style()
p = config.from_environment(profile, seed)
shipped = config.load("mini")  # the photographs of this repository
rng = np.random.default_rng(seed)

# %% [markdown]
# ## The photographs
#
# The paper trains on ImageNet, which we may not redistribute. This project comes with a few hundred
# free photographs and a few hundred *cut-outs* (photographed objects without background).
# `data/mini/credits.csv` names the author and the licence of each, and the software package that
# contained it.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
credits = pd.read_csv(shipped.data_path / "credits.csv")
licences = credits["licence"].str.replace(r"^public-domain.*", "public domain", regex=True)
pd.crosstab([credits["kind"], licences], credits["split"], margins=True)

# %% [markdown]
# *Number of pictures by kind, licence and split.* The 20 **gallery** photos below are the test
# photos that later chapters show first. They were chosen before any training, so good results did
# not influence the choice.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
gallery = [photo for photo in data.photos(shipped, "test") if photo.gallery]
data.verify_hashes(gallery)  # each file has the hash that credits.csv gives
pictures = [data.test_picture(photo, 256) for photo in gallery]
viz.grid([{" " * c: x for c, x in enumerate(row)} for row in (pictures[:10], pictures[10:])])

# %% [markdown]
# *The gallery, in the order of the table below.*

# %% jupyter={"source_hidden": true} tags=["hide-input"]
wanted = ["file", "coarse", "author", "licence", "package"]
rows = credits[credits["gallery"] == 1].fillna("")
table = rows[wanted].assign(file=lambda t: t["file"].str.removeprefix("photos/"))
print("changes:", "; ".join(rows["changes"].unique()))
table.style.set_uuid("credits").hide(axis="index").set_properties(**{"text-align": "left"})

# %% [markdown]
# *The category (`coarse`), author and licence of each gallery photo, and the software package that
# contained it. The line above the table says how the photos were changed.*
#
# ### Splits without a leak
#
# A network that was trained on one photo of a cathedral can colour another photo of it more easily,
# and the test result would be too good. So we split by *subject*: pictures of one subject share a
# `group`, and each group is in one split only. (The next cell checks this for the column `group`.)
# We train on `train`, make all choices (learning rates, loss weights λ) on `val`, and choose
# nothing on `test`.

# %%
for kind, rows in credits.groupby("kind"):
    splits = rows.groupby("group")["split"].nunique()
    assert splits.max() == 1, f"{kind}: a subject is in two splits"
    print(f"{kind}: {len(rows)} pictures of {len(splits)} subjects, none in two splits")

# %% [markdown]
# ## Gray
#
# **What the paper says:** the input $x$ is a gray image. **What this project does:** it computes
# gray as the *luma* of ITU-R BT.601,
#
# $$x = 0.299\,R + 0.587\,G + 0.114\,B .$$
#
# Why these weights? At equal values, green looks brightest to us, red darker, and blue darkest. The
# weights sum to 1, so white stays white. The plain mean of the channels would make pure blue as
# bright as pure green:

# %%
pure = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
colors = pd.DataFrame({name: np.array(rgb) for name, rgb in pure.items()}, index=list("RGB")).T
weights = np.array([0.299, 0.587, 0.114])
mean, luma = colors.mean(axis=1).round(1), (colors @ weights).round(1)
lightness = [rgb2lab(np.uint8([[c]]))[0, 0, 0].round(1) for c in pure.values()]
colors.assign(mean=mean, luma=luma, lightness=lightness)

# %% [markdown]
# *8-bit values. The last column is the CIE lightness L\* (0..100), a model of how bright a colour
# looks. Luma and lightness give the three colours the same order.*
#
# **Check.** The equation in one line of code must give the library's result:

# %%
rgb = pictures[0]  # (256, 256, 3) uint8
gray = np.rint(rgb @ weights).astype(np.uint8)  # (256, 256)
assert (gray == data.luma_u8(rgb)).all()
print(inspect.getsource(data.luma_u8))

# %% [markdown]
# All colours of the same luma become the same gray, so this information is lost. Each patch below
# has a luma of 128, within half an 8-bit step. The network receives the same input for all of them.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
red, blue = np.meshgrid(np.linspace(0, 255, 7).round(), [10, 128, 245], indexing="xy")
green = ((128 - 0.299 * red - 0.114 * blue) / 0.587).round().clip(0, 255)
patches = np.stack([red, green, blue], axis=-1).astype(np.uint8)  # (3, 7, 3)
same = abs(patches @ weights - 128) < 0.5
patches[~same] = 255  # no such colour in 8 bits: left white
viz.strip({"colours of luma 128": patches, "their gray": data.luma_u8(patches) * same
           + np.uint8(255) * ~same}, width=5)  # fmt: skip

# %% [markdown]
# *Left: red increases to the right, blue increases downwards, and green is chosen so that the luma
# is 128. Right: the gray input of the network.*
#
# ## Ranges
#
# Files contain values 0..255. The generator ends in a tanh, so its colours lie in [−1, 1]; all
# colours and grays have this range: $v_{\pm1} = v/127.5 - 1$. (The first public version of the
# authors' code uses $(v - 128)/128$.) Saliency is a weight and lies in [0, 1]. Converting an 8-bit
# value to [−1, 1] and back must not change it:

# %%
v = np.arange(256, dtype=np.uint8)
assert (data.to_u8(data.to_pm1(v)).numpy() == v).all()
theirs = (v - 128.0) / 128  # the first public version's formula
ours = data.to_pm1(v).numpy()
print(f"ours {ours.min():+.4f} .. {ours.max():+.4f}, theirs {theirs.min():+.4f} .. "
      f"{theirs.max():+.4f}, largest difference {abs(ours - theirs).max():.4f}")  # fmt: skip

# %% [markdown]
# *Our range is symmetric and includes both ends. The other formula never reaches +1. The two differ
# by at most about one 8-bit step, 2/255.*
#
# ## What the network sees
#
# `TrainingSet` returns one dictionary per item, with `gray`, `rgb` and `saliency`. Photo and map
# are cropped and flipped together. The photo, the crop and the flip depend only on the seed, the
# stage and the number of the item. So a resumed run sees the same pictures as a run without
# interruption. The next cell makes the set twice and compares two items:

# %%
few = replace(p, train_images=p.train_images or 400)  # on ImageNet, a few are enough to look at
items = data.TrainingSet(few, stage=1, length=4 * p.batch)
again = data.TrainingSet(few, stage=1, length=4 * p.batch)
for i in (0, p.batch + 3):
    for name, value in items[i].items():
        torch.testing.assert_close(value, again[i][name], rtol=0, atol=0)
for name, value in items[0].items():
    print(f"{name:9}{tuple(value.shape)!s:14} {value.min():+.2f} .. {value.max():+.2f}")


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def hwc(x):
    """[-1, 1] (C, H, W) -> uint8 (H, W) or (H, W, 3), to be looked at."""
    return data.to_u8(x).permute(1, 2, 0).numpy()


batch = [items[i] for i in range(min(10, p.batch))]
rows = []
for item in batch:
    row = {"gray": hwc(item["gray"]), "rgb": hwc(item["rgb"])}
    row |= {"saliency": item["saliency"][0].numpy()}
    rows.append(row | {"salient area": hwc(item["rgb"] * item["saliency"])})
viz.grid(rows, blocks=2)

# %% [markdown]
# *The first items of the first batch, at the input size of the networks. In `mini`, the first two
# (top left) are composites, which the next section explains: their map is an exact mask.*
#
# **Check.** The gray of an item is the luma of its colours. The weights sum to 1, so this also
# holds in [−1, 1]:

# %%
item = items[p.batch - 1]
r, g, b = item["rgb"]
torch.testing.assert_close(item["gray"][0], 0.299 * r + 0.587 * g + 0.114 * b)

# %% [markdown]
# ## Composites: saliency that is known exactly
#
# Every detector makes errors in its maps. To have an exact map, we *make* the picture: we paste a
# cut-out with opacity $\alpha$ on a photo:
#
# $$\begin{aligned}
# c &= \alpha\,c_{object} + (1-\alpha)\,c_{photo}, \\
# s &= \alpha .
# \end{aligned}$$
#
# There are three rules. Cut-out and photo belong to the same split, so that no test data leak into
# the training. Only public-domain and CC0 photos are used as backgrounds. And **at most a fifth of
# a batch** are composites: they teach saliency well, but in early trials of this project, more of
# them made the colours of real photos worse. (Neither is shown here.)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
cutouts = data.photos(shipped, "val", "cutout")
backgrounds = [photo for photo in data.photos(shipped, "val") if photo.free]
composites = []
for cutout, photo in zip(cutouts[::4], backgrounds[::3], strict=False):
    layer = data.open_picture(cutout.path).convert("RGBA")
    composites.append(data.composite(data.test_picture(photo, 256), layer, rng))
viz.grid([{"composite": c, "mask of the cut-out": alpha, "salient area": viz.salient_area(c, alpha)}
          for c, alpha in composites[:4]], blocks=2)  # fmt: skip

# %% [markdown]
# *Validation cut-outs on validation photos. The saliency is the exact mask of the cut-out, even if
# the photo contains another salient object.*

# %%
share = items.in_batch / p.batch
assert share <= 0.2
print(f"profile {p.name}: {items.in_batch} of {p.batch} items of a batch are composites")
try:
    config.load("mini", composites=0.5)
except UserError as error:
    print(error)

# %% [markdown]
# **Check.** Where the saliency is 0, the photo is untouched. The largest saliency is 1 (255 in 8
# bits):

# %%
background = data.test_picture(backgrounds[0], 256)
layer = data.open_picture(cutouts[0].path).convert("RGBA")
picture, alpha = data.composite(background, layer, np.random.default_rng(1))
assert (picture[alpha == 0] == background[alpha == 0]).all()
assert alpha.max() == 255
print(f"{(alpha == 0).mean():.0%} of the pixels untouched, {(alpha == 255).mean():.0%} object, "
      f"{((alpha > 0) & (alpha < 255)).mean():.1%} in between: the soft edge")  # fmt: skip

# %% [markdown]
# ## A saliency teacher for photographs
#
# **What the paper says:** the ground truth $s$ comes from a salient-object detector; the authors
# used PFAN (Zhao & Wu, CVPR 2019). **What was published:** neither their maps nor a way to
# reproduce them. So we choose another detector, our *teacher*. We use two:
#
# - `u2netp`, the small U²-Net (Qin et al., Pattern Recognition 2020), is a deep network that was
#   trained for salient objects. `mini`, `folder` and `imagenet` use it.
# - `robust-background` (Zhu, Liang, Wei, Sun, CVPR 2014) is a classical method without weights.
#   `smoke` and `tiny` use it.
#
# We now build the second one, in one page of code. It looks for the background, not for the object.
#
# **Step 1: superpixels.** Cut the picture into about 200 patches of similar colour (*superpixels*).
# From here on, a patch is a node with a position and a mean colour in Lab. In Lab, distance
# approximates visible difference.

# %%
chosen = next((q for q in data.photos(shipped, "val") if "parrot" in q.stem), backgrounds[0])
full = data.read_rgb(chosen.path)
h, w = (round(n * 240 / max(full.shape[:2])) for n in full.shape[:2])
small = np.asarray(Image.fromarray(full).resize((w, h), Image.BOX))  # (h, w, 3) uint8
lab = rgb2lab(small)
label = slic(small, n_segments=200, compactness=25, max_num_iter=5, start_label=0)  # (h, w)
k = label.max() + 1


def average(plane):
    """Mean of (h, w) over each superpixel -> (k,)."""
    return np.bincount(label.ravel(), plane.ravel(), k) / np.bincount(label.ravel(), minlength=k)


y, x = np.indices((h, w))
color = np.stack([average(lab[..., c]) for c in range(3)], axis=1)  # (k, 3)
place = np.stack([average((y + 0.5) / h), average((x + 0.5) / w)], axis=1)  # (k, 2), 0..1
patches = np.stack([average(small[..., c].astype(float)) for c in range(3)], axis=1) / 255
viz.strip({"photo": small, f"{k} superpixels": patches[label]}, width=4.5)

# %% [markdown]
# *Each patch is shown in its mean colour.*
#
# **Step 2: what is connected to the image border?** An object may touch the border (the *rim*), but
# the background touches it along much of its length. A step from one patch to a neighbour costs
# their colour difference, minus a threshold for texture (at least 0). All rim patches count as
# neighbours of each other, because an object may cut the background in two. $D_{ij}$ is the cost of
# the cheapest path from $i$ to $j$. It is small within the background, and large from there to the
# parrot. Then $a_{ij} = e^{-D_{ij}^2/2\sigma^2}$ with $\sigma = 10$ is near 1 for patches of the
# same region, and $\sum_j a_{ij}$ is the area of the region around $i$.
#
# The *connectivity* $c_i$ is the part of the region that lies along the rim, divided by the square
# root of the area (the length of a region's outline grows like this root). The background weight
# $w^{bg}_i$ is near 1 if the connectivity is large:
#
# $$\begin{aligned}
# c_i &= \frac{\sum_{j\in rim} a_{ij}}{\sqrt{\sum_j a_{ij}}}, \\
# w^{bg}_i &= 1 - e^{-c_i^2/2}.
# \end{aligned}$$


# %%
def bell(d, sigma):
    return np.exp(-(d**2) / (2 * sigma**2))


def apart(v):
    """Distances between all pairs of rows: (k, n) -> (k, k)."""
    return np.linalg.norm(v[:, None] - v[None], axis=-1)


touching = np.zeros((k, k), dtype=bool)
touching[label[1:], label[:-1]] = touching[label[:, 1:], label[:, :-1]] = True
touching = (touching | touching.T) & ~np.eye(k, dtype=bool)
rim = np.zeros(k, dtype=bool)
rim[np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]])] = True
texture = np.where(touching, apart(color), np.inf).min(axis=1).mean()  # smaller steps cost nothing
i, j = np.nonzero(touching | np.outer(rim, rim))  # all rim patches are neighbours
step = np.maximum(apart(color)[i, j] - texture, 0) + 1e-5
a = bell(dijkstra(sparse.csr_array((step, (i, j)), shape=(k, k))), 10)  # (k, k)
connectivity = a[:, rim].sum(1) / np.sqrt(a.sum(1))
w_bg = 1 - bell(connectivity, 1)

# %% [markdown]
# **Step 3: what differs from the background?** Compute the colour contrast to background patches;
# near patches have more weight. Multiply it by a preference for the middle of the picture, because
# photographers often centre their objects. (This preference is our addition.) Set values up to the
# mean to 0. The result is the foreground weight $w^{fg}$.
#
# **Step 4: combine both into one map.** Find the $s$ that is near 0 where background is likely,
# near 1 where foreground is likely, and similar on nearby patches of similar colour (their $w_{ij}$
# is large):
#
# $$\begin{aligned}
# \min_s\ &\sum_i w^{bg}_i s_i^2 + \sum_i w^{fg}_i (s_i-1)^2 \\
#        &+ \sum_{i<j} w_{ij}(s_i-s_j)^2 .
# \end{aligned}$$
#
# The sum is quadratic, so one linear system gives its minimum, without iteration and without
# training. The solution is then stretched to 0..1.


# %%
def unit(v):
    return (v - v.min()) / (v.max() - v.min())


contrast = unit((apart(color) * bell(apart(place), 0.4)) @ w_bg)
w_fg = contrast * bell(np.linalg.norm(place - 0.5, axis=1), 0.35)
w_fg[w_fg <= w_fg.mean()] = 0
near = touching.astype(float)
near = near + near @ near > 0  # neighbours, and theirs
w = np.where(near, bell(apart(color), 10) + 0.005, 0)
system = np.diag(w.sum(1) + w_bg + w_fg + 1e-6) - w
s = unit(np.linalg.solve(system, w_fg))
np.testing.assert_allclose(s[label], saliency.superpixel_saliency(small, lab, 200), atol=1e-3)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
final = saliency.robust_background(small)
stages = {"background $w^{bg}$": w_bg, "foreground $w^{fg}$": unit(w_fg), "solved": s}
viz.strip({"photo": small} | {n: v[label] for n, v in stages.items()} | {"final map": final})

# %% [markdown]
# *Step 2 ($w^{bg}$), step 3 ($w^{fg}$, stretched) and step 4 (solved). The assertion above checks
# that the library computes the same map. The library's final map (right) averages two sizes of
# superpixels, aligns the edges with those of the photo by a guided filter, and stretches the
# contrast. (The filter and the contrast are our additions, too.)*
#
# ### Good maps and bad maps
#
# These photographs have no ground-truth maps. A *confident* map is nearly black and white: the mean
# of $4s(1-s)$ is near 0. An *unsure* map is gray: the mean is near 1. We sort the maps of the
# training photos by this number, and show eight from each end of the order. A confident map can
# still be wrong, and an unsure map can be right.

# %%
files = saliency.saliency_maps([x.path for x in items.photos], p.teacher, cache_dir())
maps = [data.read_rgb(f)[..., 0] / 255 for f in files]
doubt = np.array([(4 * m * (1 - m)).mean() for m in maps])
order = doubt.argsort()


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def shown(index, side=128):
    photo = data.center_crop(data.read_rgb(items.photos[index].path), side)
    found = data.center_crop(data.read_rgb(files[index]), side)[..., 0]
    return {"photo": photo, "map": found}


stride = max(1, len(order) // 32)  # every stride-th map from each end
best, worst = (ends[: 8 * stride : stride] for ends in (order, order[::-1]))
rows = [shown(i) for i in (*best, *worst)]
viz.grid(rows, ["confident"] * len(best) + ["unsure"] * len(worst), blocks=4)

# %% [markdown]
# *Left: confident maps. Right: unsure maps.* What to look for (in the shipped run of `mini`):
#
# - **Good:** whole animals, flowers, tools and towers with a clear outline, also where they touch
#   the border.
# - **Bad:** a confident map can be empty: on the reef, the network finds no object. The unsure map
#   of the dark sky is almost empty, too. The church is gray, and so is the mountain, except for its
#   peak. Part of the sky between the tower and the arch counts as object.
#
# ### Scored against the truth
#
# Composites have exact masks, so on them we can score both teachers. *MAE* is the mean absolute
# error (0 is perfect). *IoU* cuts the map at one half and compares it with the mask: the area of
# their intersection divided by the area of their union (1 is perfect). Two maps that ignore the
# picture serve as baselines.


# %%
def marks(found, alpha):
    inside, object_ = found >= 0.5, alpha >= 128
    both, joint = (inside & object_).sum(), (inside | object_).sum()
    return {"MAE": abs(found - alpha / 255).mean(), "IoU": both / joint}


# %%
grid_y, grid_x = (np.indices((256, 256)) + 0.5) / 256
middle = bell(np.hypot(grid_y - 0.5, grid_x - 0.5), 0.2)
found = [saliency.robust_background(c) for c, _ in composites]
answers = {saliency.DEFAULT: found, "a blob in the middle": [middle] * len(found)}
answers["nothing stands out"] = [0 * middle] * len(found)
try:
    deep = saliency.teacher("u2netp")
    answers["u2netp"] = [deep(c) for c, _ in composites]
except UserError as error:  # its weights cannot be fetched here
    print(error)
scores = {name: pd.DataFrame([marks(m, a) for m, (_, a) in zip(ms, composites, strict=True)])
          for name, ms in answers.items()}  # fmt: skip
pd.DataFrame({name: t.mean() for name, t in scores.items()}).T.round(3)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
rows = [{"composite": c, "truth": a} for c, a in composites]
for name in (x for x in (saliency.DEFAULT, "u2netp") if x in answers):
    for row, found_map, (_, alpha) in zip(rows, answers[name], composites, strict=True):
        row[name.replace("-", "\n")] = (found_map, f"IoU {marks(found_map, alpha)['IoU']:.2f}")
viz.grid(rows, blocks=2)

# %% [markdown]
# *Mean scores on six validation composites (above), and the maps themselves. Some maps have a low
# score because the background photo contains another salient object, which is not in the mask.* In
# the shipped run, the deep network has the higher mean IoU, 0.67 against 0.48. It is better on four
# of the six, and most of the difference comes from one of them (the orca among the pencils).
#
# Do not read the MAE alone. It rewards an empty map: the objects cover about 18 % of these
# pictures, and "nothing stands out" is right everywhere else. The IoU of the empty map is 0. Six
# composites are few: they can show a large difference, but not a small one.
#
# In `mini`, $G_s$ learns from the maps of `u2netp`, and from the exact masks of composites. Random
# errors of the teacher can average out in training, but the network also learns the systematic
# errors.
#
# ### The cache
#
# One map takes up to a second, so each map is computed once and stored as a PNG file. Its path
# consists of the teacher, the teacher's version, the folder of the photo and the name of the photo.
# If a map is older than its photo, it is computed again.

# %%
where = files[0].relative_to(cache_dir())
print(f"{items.photos[0].path.name}\n -> {where.parts[0]}/{where.parts[1]}/…/{where.name}")
assert where.stem == items.photos[0].path.name

# %% [markdown]
# There is a third teacher with the same interface: `folder:DIR` reads existing maps from a folder
# (those of PFAN, if you have them). An unknown name is an error:

# %%
try:
    saliency.teacher("pfan")
except UserError as error:
    print(error)

# %% [markdown]
# ## What differs

# %%
paper.show_deviations("01")

# %% [markdown]
# The first row matters most. The paper's saliency maps come from PFAN, ours come from other
# methods. All our results about saliency guidance hold for guidance *by our maps*.
#
# ## Try it
#
# **1.** Compute gray as the plain mean of R, G and B. On which gallery photo does it differ most
# from luma, and why?
#
# <details><summary>Solution</summary>
#
# `[abs(x.mean(2) - data.luma_u8(x)).mean() for x in pictures]`, then `np.argmax`. It is the photo
# of citrus fruits. Orange and yellow have much red and green and little blue. Red and green
# together have a weight of 0.886 in luma, but only two thirds in the mean. So the mean makes the
# fruits too dark. Blue has a weight of 0.114 in luma, but a third in the mean. So the mean makes
# the blue water of the reef too bright. Leave out `abs` to see the signs.
# </details>
#
# **2.** Step 2 treats all rim patches as neighbours. Remove `np.outer(rim, rim)`. For which photos
# does this matter?
#
# <details><summary>Solution</summary>
#
# It matters for photos in which the object cuts the background in two, like a tower in front of the
# sky. Each half is then a smaller region of its own, and its connectivity changes. If all rim
# patches are neighbours, the two halves of the sky are one region again.
# </details>
#
# **3.** Does the IoU of the classical teacher rise if you cut the map at its own mean, not at one
# half?
#
# <details><summary>Solution</summary>
#
# In `marks`, replace `found >= 0.5` by `found >= found.mean()`. Unsure maps can gain, because their
# object may be brighter than the rest but below one half. Confident maps change little.
# </details>
#
# **Exercises:** three functions to write, each with a test that checks yours. `make exercises`
# puts them in `build/exercises/student/`; the solutions are in
# [exercises/01_data_and_saliency.py](exercises/01_data_and_saliency.py).
#
# ## Three lines to remember
#
# 1. Gray is luma, a weighted sum of R, G and B. Many colours become the same gray, so the input
#    does not determine the colour.
# 2. A composite has an exact saliency map, because we made it. It is not a real scene, so at most a
#    fifth of a batch are composites.
# 3. On photographs, the saliency maps come from a teacher: a deep network, or a classical method
#    that finds the background by its connection to the image border. Both make errors, and the
#    generator learns from their maps.
#
# **Next:** [chapter 2, the generator](02_generator.ipynb).
