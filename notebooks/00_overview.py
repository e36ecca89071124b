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
# # 0 · SCGAN on one page
#
# **After this chapter you can** say what problem SCGAN solves and with which idea; name its parts
# and its six equations; explain what it means to *replicate* a paper whose weights and data were
# never published; and choose your way through this course.
#
# **Time:** 15 minutes to read, half a minute to run.
#
# **Before this:** nothing. You should know what a convolutional network is.
#
# The paper: *SCGAN: Saliency Map-guided Colorization with Generative Adversarial Network*, Y. Zhao,
# L.-M. Po, K.-W. Cheung, W.-Y. Yu, Y. A. U. Rehman, IEEE Transactions on Circuits and Systems for
# Video Technology 31(8), 2021, [arXiv 2011.11377](https://arxiv.org/abs/2011.11377).

# %% tags=["parameters"]
profile = "mini"
seed = 0

# %%
import inspect
from dataclasses import fields
from pathlib import Path

import pandas as pd
from IPython.display import Markdown, display

from scgan_lib import config, data, losses, paper, saliency, viz
from scgan_lib.paths import UserError, cache_dir

viz.use_style()
p = config.from_environment(profile, seed)

# %% [markdown]
# ## The problem
#
# A gray photograph keeps one number a pixel where the scene had three. Many colours give the same
# gray, so colorization has no single right answer. It has plausible ones.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
photos = data.photos(p, "test")[:3]
colors = [data.test_picture(photo, 256) for photo in photos]
panels = [{"what is given": data.luma_u8(rgb), "what was there": rgb} for rgb in colors]
viz.strip(
    {f"{name}{' ' * i}": picture for i, row in enumerate(panels) for name, picture in row.items()}
)

# %% [markdown]
# *Three photographs of the test set. The network sees the left one of each pair.*
#
# A network that minimises the mean error fails in typical ways:
#
# | failure | what it looks like | why |
# |---|---|---|
# | **dullness** | all is nearly gray | the mean of all possible colours has little colour |
# | **semantic confusion** | a crowd is painted like trees | it does not know *what* it sees |
# | **colour bleeding** | red runs into the sky | it does not know *where* the thing ends |
#
# Older methods add edges or class maps. Edges often carry no meaning, and class maps need labelled
# data.
#
# ## The idea
#
# What stands out in a picture is usually small and rich in colours. The rest is mostly one flat
# colour: sky, grass, road. In a mean over all pixels the background dominates. So SCGAN also
# predicts a **saliency map**: how much each pixel stands out, from 0 to 1. The product of colours
# and map is the **salient area**. The losses and the critics look at the whole picture *and* at the
# salient area. No labels are needed, so any photographs will do.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
files = saliency.saliency_maps([photo.path for photo in photos[:2]], p.teacher, cache_dir())
rows = []
for rgb, file in zip(colors, files, strict=False):
    s = data.center_crop(data.read_rgb(file), 256)[..., 0]
    rows.append({"photo c": rgb, "saliency s": s, "salient area c ⊙ s": viz.salient_area(rgb, s)})
viz.grid(rows, blocks=2)

# %% [markdown]
# *Photo, saliency map from this project's teacher ([chapter 1](01_data_and_saliency.ipynb)), and
# their product. Colours lie in [−1, 1], so a weight of 0 gives 0, which is mid-gray.*
#
# ## The method
#
# ```
#               ┌──────────────────────────────────────────┐
#               │ global encoder: VGG-16 for gray pictures │   what is it?
#               └───────────────────┬──────────────────────┘
#                                   ▼
#  gray x ──► U-Net: down ──────► middle ──────► up ───┬──► colours G_c(x) ────────► critic D_c
#                └───────── skip connections ─────┘    │        │
#                                                      │        ⊙ ──► salient area ─► critic D_s
#                                                      │        │
#                                                      └──► saliency branch: G_s(x)
# ```
#
# | symbol | meaning | name in code | shape, range |
# |---|---|---|---|
# | $x$ | gray picture | `gray` | (B, 1, H, W), [−1, 1] |
# | $c$, $G_c(x)$ | colours, predicted colours | `rgb`, `rgb_hat` | (B, 3, H, W), [−1, 1] |
# | $s$, $G_s(x)$ | teacher's, predicted map | `saliency`, `saliency_hat` | (B, 1, H, W), [0, 1] |
# | $c \odot s$ | salient area | `salient`, `salient_hat` | (B, 3, H, W) |
# | $D_c$, $D_s$ | the two critics | `color_critic`, `salient_critic` | one score a patch |
# | $\phi_l$ | VGG-16 features, conv3_3 | `VGGFeatures` | |
#
# Six equations define the training. The journal's text of the paper is behind a paywall, and this
# course was written without it. What it says of the paper comes from two public sources: a
# published review of the paper, which also gives the equations their numbers, and the authors'
# repository (MIT). Where these leave something open, the tables of differences say "not stated".
# The equations are printed here from the library, each with the functions that compute it.

# %%
parts = []
for number, equation in paper.EQUATIONS.items():
    functions = ", ".join(f"`{path.removeprefix('scgan_lib.')}`" for path in equation.functions)
    parts.append(f"**({number})** {equation.title}: {functions}\n\n$$ {equation.latex} $$")
Markdown("\n\n".join(parts))

# %% [markdown]
# In words: be right (1), be right where it matters (2), look real as a whole and in the salient
# area (3, judged by 4), and have the same textures and parts (5). Equation 6 adds them up.
#
# A GAN that starts from random weights falls into bad minima. So there are **two stages**, with
# saliency guidance in both:
#
# 1. the generator alone, equations 1 and 2 ([chapter 4](04_stage1_l1_pretraining.ipynb));
# 2. generator and both critics in turn, all six
#    ([chapter 5](05_stage2_adversarial_training.ipynb)).
#
# The library reads like the paper. Equation 2 is this:

# %%
print(inspect.getsource(losses.attention_loss))

# %% [markdown]
# ## What a replication means here
#
# *Reproducing* would be: take the authors' code, data and weights, and get their numbers.
# That cannot be done by anybody:
#
# - the colorizer's weights were never published;
# - the saliency maps of the training set (made with PFAN, another network) were never published;
# - the published code has one critic where the paper has two.
#
# So this is a **replication**: the method is built anew from its description, and each claim is
# measured anew, with baselines and intervals. Three rules keep it honest.
#
# 1. **No number is quoted that was not computed here.** The paper's own Table 1 is not copied;
#    what nobody could measure stays blank and says why.
# 2. **Every table carries its yardsticks**: a gray copy of the input (no method at all) and the
#    real photograph (the upper bound).
# 3. **Small runs are not compared with the paper.** The default profile trains for minutes on
#    under two hundred photos. It shows *how* the method works. The paper used ImageNet; the profile
#    `imagenet` does the same, with the same code.
#
# ## Profiles
#
# A profile is a set of numbers. All profiles run through the same lines of code.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
shown = ["image_size", "width", "global_encoder", "critic_norm", "keep_luminance", "composites"]
shown += ["batch", "stage1_steps", "stage2_steps", "optimizer", "schedule"]
profiles = {name: config.load(name) for name in config.PROFILES}
table = pd.DataFrame({name: {k: str(getattr(q, k)) for k in shown} for name, q in profiles.items()})
table.loc["images seen in stage 2"] = [f"{q.stage2_steps * q.batch:,}" for q in profiles.values()]
table.loc["use"] = ["continuous integration", "the shipped photographs, a laptop",
                    "Tiny ImageNet, one GPU: the weights that travel",
                    "any directory of pictures", "the paper's setting, GPUs"]  # fmt: skip
table

# %% [markdown]
# A profile is frozen and checked. A misspelled setting is an error that names its neighbours,
# since a silent typo would cost a night of training:

# %%
try:
    config.load("mini", stage1_step=10)
except UserError as error:
    print(error)

# %% [markdown]
# ## The map
#
# | chapter | question it answers |
# |---|---|
# | 0 overview | what is this? |
# | [1 data and saliency](01_data_and_saliency.ipynb) | what goes in: photographs, gray, saliency |
# | [2 generator](02_generator.ipynb) | which network makes colours and saliency |
# | [3 losses and critics](03_losses_and_critics.ipynb) | equations 1 to 6, one by one, checked |
# | [4 stage 1](04_stage1_l1_pretraining.ipynb) | learning to be right on the average |
# | [5 stage 2](05_stage2_adversarial_training.ipynb) | learning to look real, and what that costs |
# | [6 evaluation](06_evaluation_table1.ipynb) | how good is it? Table 1 |
# | [7 compare](07_compare_interactively.ipynb) | look for yourself, with sliders |
# | [8 ablations](08_ablations.ipynb) | which part of the method does the work? |
# | [9 your photographs](09_colorize_your_photos.ipynb) | what old prints need |
# | [10 scaling up](10_scaling_up.ipynb) | what ImageNet costs, many GPUs as one |
#
# **Ways through.** A tour of half an hour: chapters 0, 5, 7. To build it: 2 to 5. To judge the
# paper's claims: 6, 8, 10. For your own photographs: 9, or just
# `scgan colorize old_photos/ -o coloured/`, which leaves the originals untouched.
#
# Data flows one way. *The paper*: `networks`, `layers`, `fast`, `losses`, `training`, `metrics`.
# *What goes in*: `pictures`, `data`, `saliency`, `tiny`, `vgg`, `pretrained`, `authors`. *What
# comes out*: `evaluation` (`metrics.csv`), `statistics`, `tables`, `viz`, `ablations`. *What people
# touch*: `colorize`, `batch`, `page`, `export`, `widgets`, `cli`. *How it runs*: `config`, `loop`,
# `stage0`, `paths`. The whole library is meant to be read. Its modules, with what each says of
# itself:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
modules = sorted(Path(inspect.getfile(config)).parent.glob("*.py"))
about = {m.stem: m.read_text(encoding="utf-8") for m in modules if m.stem != "__init__"}
first = {name: text.split('"""')[1].strip().splitlines()[0] for name, text in about.items()}
with pd.option_context("display.max_colwidth", None):
    display(pd.DataFrame({"what it is": first}).replace("`", "", regex=True))

# %% [markdown]
# ## Where paper, released code and this course differ
#
# The authors published training code. Read with care, it differs from the paper, or goes wrong,
# in eleven places. None of this discredits the authors: most research code has such places, and
# only published code can be checked at all. A replication has to decide each of them:
#
# - what the **paper** says is the default (`fidelity="paper"`);
# - what the **released code** does is a switch wherever it changes a result (`fidelity="released"`
#   or the setting named below);
# - every row has a **test** that fails if switch or decision does nothing.

# %%
ids = [row.id for row in paper.DEVIATIONS]
paper.show_deviations(*ids[:11])

# %% [markdown]
# *The eleven differences of the released code from the paper.* The remaining rows are facts of the
# released code, and what this project's small profile does otherwise. The chapters show their own
# rows again, at their end:

# %%
paper.show_deviations(*ids[11:]).set_uuid("rest")

# %% [markdown]
# **Check.** A switch that is named must exist: each is a setting of a profile, or an argument that
# is named with its function.

# %%
settings = {field.name for field in fields(config.Profile)}
for row in paper.DEVIATIONS:
    for switch in filter(None, row.switch.split(", ")):
        assert switch in settings or " of " in switch, (row.id, switch)
print(
    f"{len(paper.DEVIATIONS)} rows, {sum(bool(r.switch) for r in paper.DEVIATIONS)} with a switch"
)

# %% [markdown]
# ## What is measured
#
# | column of Table 1 | question | trap |
# |---|---|---|
# | PSNR, SSIM | how near to the real photo? | a gray copy scores well |
# | top-1, or agreement | is the thing still recognised? | depends on the judge: it is named |
# | CCI | how colourful? | more is not better |
# | CCI ratio | share of pictures with a CCI in 16..20 | few real photographs lie there |
#
# [Chapter 6](06_evaluation_table1.ipynb) derives each and shows its trap in numbers.
#
# ## A quick look at the results
#
# If this profile has been trained and evaluated on this machine, its pictures and its table appear
# here. `make reproduce` makes both; the front page says how long that took on two processor cores.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
has_pictures = (p.results / "outputs" / "scgan").is_dir()
if has_pictures and (p.results / "table1.csv").is_file():
    numbers = pd.read_csv(p.results / "table1.csv").set_index("method").rename_axis(None)
    display(viz.gallery(p.results, count=6))
    names = {"psnr_mean": "PSNR (dB)", "ssim_mean": "SSIM", "agree_mean": "agreement (%)"}
    names = {c: n for c, n in (names | {"cci_mean": "CCI"}).items() if c in numbers}
    means = numbers[[*names]].fillna({"psnr_mean": float("inf")}).rename(columns=names)
    display(viz.numbers(means, 3, "means"))
    note = "*Some of the gallery photos, and means of Table 1, of the same run.*"
else:
    note = (
        "*This chapter runs before the training. Pictures and table are on the first page of the "
        "site, and they appear here when this chapter is run again after chapter 6.*"
    )
Markdown(note)

# %% [markdown]
# ## Try it
#
# **1.** How many images does stage 2 of the paper's setting (`imagenet`) see, and how many does
# `mini`? By what factor do they differ? And by what factor do the pixels of one image differ?
#
# <details><summary>Solution</summary>
#
# Images seen are steps times batch, `q.stage2_steps * q.batch`: the row *images seen in stage 2* of
# the table of profiles. Divide its last entry by that of `mini`. An image of 256 pixels a side has
# 16 times as many pixels as one of 64. These two factors are the best reason not to compare a table
# of `mini` with the paper's.
# </details>
#
# **2.** Suppose half of all shirts are red and half are blue, with the same gray. Which colour
# minimises the mean squared error? Which one the mean absolute error? What would a critic say?
#
# <details><summary>Solution</summary>
#
# Squared error: the mean, a purple that no shirt has. Absolute error: any colour between the two is
# equally good in each channel, so the loss gives no reason to choose a real one. A critic that has
# seen shirts rejects purple. This is why stage 1 is dull and why stage 2 exists.
# </details>
#
# **3.** Choose one of the eleven differences above. Find its switch in `scgan_lib/` and its test in
# `tests/`. What number would change if you flipped it?
#
# <details><summary>Solution</summary>
#
# The `test` column of `paper.deviations_table()` names the test. For instance `perceptual-input`:
# `VGGFeatures` in `scgan_lib/vgg.py` takes `fidelity`; the perceptual loss of the same pair of
# pictures differs between `"paper"` and `"released"`.
# </details>
#
# ## Three lines to remember
#
# 1. A gray picture has many plausible colours; a network that minimises the mean error answers with
#    a pale one.
# 2. SCGAN weights losses and critics with a predicted saliency map, so that the object counts as
#    much as the background.
# 3. A replication measures each claim anew, with a gray copy and the real photograph as baselines.
#
# **Next:** [chapter 1, data and saliency](01_data_and_saliency.ipynb).
