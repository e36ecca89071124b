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
# **After this chapter you can** say what problem SCGAN solves, and how; name its parts and its six
# equations; explain what it means to *replicate* a paper whose weights and saliency maps were never
# published; and choose the chapters that you need.
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
# A colour photograph has three numbers per pixel, and a gray photograph has one. Many colours have
# the same gray. So a gray photograph has many plausible colorizations.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
photos = data.photos(p, "test")[:3]
colors = [data.test_picture(photo, 256) for photo in photos]
panels = [{"input": data.luma_u8(rgb), "original": rgb} for rgb in colors]
viz.strip(
    {f"{name}{' ' * i}": picture for i, row in enumerate(panels) for name, picture in row.items()}
)

# %% [markdown]
# *Three photographs of the test set, in gray (the input of the network) and in colour.*
#
# A network that is trained to minimise the mean error typically fails in three ways:
#
# | failure | what it looks like | why |
# |---|---|---|
# | **dullness** | everything is nearly gray | the mean of all possible colours is pale |
# | **semantic confusion** | a crowd is coloured like trees | objects are not recognised |
# | **colour bleeding** | the red of a roof runs into the sky | borders are not found |
#
# Some older methods add edges or class maps to the input. But many edges are not borders of
# objects, and class maps need labelled data.
#
# ## The idea
#
# The main object of a picture is often small and colourful. The rest is often one flat colour: sky,
# grass or road. In a mean over all pixels, this background has most of the weight. So SCGAN also
# predicts a **saliency map**: a number from 0 to 1 for each pixel that says how much the pixel
# stands out. The product of colours and map is the **salient area**.
#
# A **critic** is a network that learns to tell real pictures from generated ones (the discriminator
# of a GAN). SCGAN has losses and a critic for the whole picture, and one more loss and one more
# critic for the salient area. The photographs need no class labels, but each needs a saliency map.
# Another method, the **teacher**, makes these maps.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
files = saliency.saliency_maps([photo.path for photo in photos[:2]], p.teacher, cache_dir())
rows = []
for rgb, file in zip(colors, files, strict=False):
    s = data.center_crop(data.read_rgb(file), 256)[..., 0]
    rows.append({"photo c": rgb, "saliency s": s, "salient area c ⊙ s": viz.salient_area(rgb, s)})
viz.grid(rows, blocks=2)

# %% [markdown]
# *Photo, saliency map from the teacher of this run ([chapter 1](01_data_and_saliency.ipynb)), and
# their product pixel by pixel (⊙). Colours lie in [−1, 1], so a saliency of 0 gives 0, which is
# mid-gray.*
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
# | $c$, $G_c(x)$ | true colours, predicted colours | `rgb`, `rgb_hat` | (B, 3, H, W), [−1, 1] |
# | $s$, $G_s(x)$ | teacher's, predicted map | `saliency`, `saliency_hat` | (B, 1, H, W), [0, 1] |
# | $c \odot s$ | salient area | `salient`, `salient_hat` | (B, 3, H, W) |
# | $D_c$, $D_s$ | the two critics | `color_critic`, `salient_critic` | one score per patch |
# | $\phi_l$ | VGG-16 features, conv3_3 | `VGGFeatures` | |
#
# B, H and W are batch size, height and width. Both critics also see the gray input, which the
# drawing leaves out.
#
# Six equations define the training. This course was written without the text of the paper: the
# journal's is behind a paywall, and the preprint could not be fetched. What the course says about
# the paper comes from two public sources: the authors' repository (MIT), and a published review of
# the paper. The equations are numbered as in the review. If both sources leave something open, the
# tables of differences (below) say "not stated". The next cell prints the equations from the
# library, each with the functions that compute it.

# %%
parts = []
for number, equation in paper.EQUATIONS.items():
    functions = ", ".join(f"`{path.removeprefix('scgan_lib.')}`" for path in equation.functions)
    parts.append(f"**({number})** {equation.title}: {functions}\n\n$$ {equation.latex} $$")
Markdown("\n\n".join(parts))

# %% [markdown]
# In words: the predicted colours should be close to the real ones everywhere (1) and in the salient
# area (2). They should look real to the critics, as a whole and in the salient area (3). Their
# VGG-16 features should be close to those of the real picture (5). Equation 4 trains each critic:
# here $c$ and $\hat c$ are the real and the generated picture, or their salient areas, and $z$ is a
# random mixture of both. Equation 6 is the sum that the generator minimises, with weights
# $\lambda$.
#
# A GAN that starts from random weights often trains badly. So there are **two stages**, both with
# saliency guidance:
#
# 1. training of the generator alone, with equations 1 and 2
#    ([chapter 4](04_stage1_l1_pretraining.ipynb));
# 2. training of both critics and the generator in turn, with all six equations
#    ([chapter 5](05_stage2_adversarial_training.ipynb)).
#
# This is equation 2 in the library (with a mean over all values instead of a sum):

# %%
print(inspect.getsource(losses.attention_loss))

# %% [markdown]
# ## What a replication means here
#
# *Reproducing* a paper means running the authors' code on their data, with their weights, and
# getting their numbers. This is not possible here:
#
# - the colorizer's weights were never published;
# - the saliency maps of the training set (made with PFAN, another network) were never published;
# - the published code has one critic where the paper has two.
#
# So this is a **replication**: we build the method again from its description, and we measure each
# claim again, with baselines and intervals. It follows three rules.
#
# 1. **Every result was computed here.** The paper's own Table 1 is not copied. A value that could
#    not be measured is left blank, with the reason.
# 2. **Tables 1 and 2 contain two baselines**: a gray copy of the input (no method at all) and the
#    real photograph (a perfect result).
# 3. **Small runs are not compared with the paper.** The default profile, `mini`, trains for minutes
#    on fewer than two hundred photos. It shows *how* the method works. The paper used ImageNet. So
#    does the profile `imagenet`, with the same code, but it was not run here.
#
# ## Profiles
#
# A profile is a set of settings. All profiles use the same code. Later chapters explain the
# settings.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
shown = ["image_size", "width", "global_encoder", "critic_norm", "keep_luminance", "composites"]
shown += ["batch", "stage1_steps", "stage2_steps", "optimizer", "schedule"]
profiles = {name: config.load(name) for name in config.PROFILES}
table = pd.DataFrame({name: {k: str(getattr(q, k)) for k in shown} for name, q in profiles.items()})
table.loc["batch of stage 2"] = [f"{q.stage2_batch or q.batch}" for q in profiles.values()]
table.loc["images seen in stage 2"] = [
    f"{q.stage2_steps * (q.stage2_batch or q.batch):,}" for q in profiles.values()
]
table.loc["use"] = ["continuous integration", "the shipped photographs, a laptop",
                    "Tiny ImageNet, one GPU: the weights in the repository",
                    "any directory of pictures", "the paper's setting, GPUs"]  # fmt: skip
table

# %% [markdown]
# *The settings of each profile. `batch` is that of stage 1.*
#
# A profile cannot be changed once it is made, and its values are checked. A misspelled setting is
# an error, and the message suggests similar names:

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
# | [1 data and saliency](01_data_and_saliency.ipynb) | what are the inputs and the targets? |
# | [2 generator](02_generator.ipynb) | which network predicts colours and saliency? |
# | [3 losses and critics](03_losses_and_critics.ipynb) | what do equations 1 to 6 compute? |
# | [4 stage 1](04_stage1_l1_pretraining.ipynb) | what does the generator learn without critics? |
# | [5 stage 2](05_stage2_adversarial_training.ipynb) | what do the critics change, at what cost? |
# | [6 evaluation](06_evaluation_table1.ipynb) | how good is it? Table 1 |
# | [7 compare](07_compare_interactively.ipynb) | what do single pictures look like? (sliders) |
# | [8 ablations](08_ablations.ipynb) | which part of the method makes a difference? |
# | [9 your photographs](09_colorize_your_photos.ipynb) | what do old prints need? |
# | [10 scaling up](10_scaling_up.ipynb) | what does ImageNet cost? |
# | [11 verdict](11_verdict.ipynb) | which claims of the paper hold here? |
#
# **Where to start.** For a tour of an hour, read chapters 0, 5 and 7. To build SCGAN, read 2 to 5.
# To judge the paper's claims, read 6, 8 and 11. For your own photographs, read 9, or run
# `scgan colorize old_photos/ -o coloured/`, which leaves the originals untouched.
#
# The library's modules fall into five groups. *The paper*: `paper`, `networks`, `layers`, `fast`,
# `losses`, `training`, `metrics`. *Input*: `pictures`, `data`, `saliency`, `tiny`, `vgg`,
# `pretrained`, `authors`. *Results*: `evaluation` (writes `metrics.csv`), `statistics`, `tables`,
# `viz`, `ablations`. *User interface*: `colorize`, `batch`, `page`, `export`, `widgets`, `cli`.
# *Running it*: `config`, `loop`, `stage0`, `progress`, `paths`. The next table lists all modules
# with the first line of their docstrings:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
modules = sorted(Path(inspect.getfile(config)).parent.glob("*.py"))
about = {m.stem: m.read_text(encoding="utf-8") for m in modules if m.stem != "__init__"}
first = {name: text.split('"""')[1].strip().splitlines()[0] for name, text in about.items()}
with pd.option_context("display.max_colwidth", None):
    display(pd.DataFrame({"what it is": first}).replace("`", "", regex=True))

# %% [markdown]
# ## Where paper, released code and this course differ
#
# The authors published training code. In eleven places it differs from the paper, has an error, or
# does needless work. This does not discredit the authors: most research code has such places, and
# only published code can be checked. For each place we have made a decision:
#
# - The default follows the **paper** (`fidelity="paper"`).
# - If the **released code** gives another training or other colours, a switch selects its behaviour
#   (`fidelity="released"`, or the setting named below). The other rows have no switch.
# - Every row has a **test** (not in the table) that fails if the switch or the decision has no
#   effect.

# %%
ids = [row.id for row in paper.DEVIATIONS]
paper.show_deviations(*ids[:11])

# %% [markdown]
# *The eleven places.* The remaining rows are other facts about the released code, and the
# differences of this project's small profile. Each chapter shows its own rows again at its end:

# %%
paper.show_deviations(*ids[11:]).set_uuid("rest")

# %% [markdown]
# **Check.** Every switch must be a setting of a profile, or an argument of a function that the row
# names. The cell looks up the settings, but not the arguments.

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
# | PSNR, SSIM | how close is it to the real photo? | a gray copy scores well |
# | top-1, or agreement | is the object still recognised? | depends on the judge, so we name it |
# | CCI | how colourful? | higher is not better |
# | CCI ratio | share of pictures with a CCI in 16..20 | few real photographs lie there |
#
# The *judge* is a public image classifier. *Top-1* is the share of photos for which its first
# answer is the true label. *Agreement* is the share for which it gives the same answer as on the
# real photo. The *CCI* (color colorfulness index) is 0 for gray. Table 1 also has two errors of
# colour on pictures with an exact mask of the object, near its edge and inside it.
#
# [Chapter 6](06_evaluation_table1.ipynb) derives each measure and shows its trap in numbers.
#
# ## A quick look at the results
#
# If this profile has been trained and evaluated on this machine, its pictures and its table appear
# here. `make reproduce` makes both. The front page says how long it takes on two processor cores.
#
# *Mean colour* adds the mean chroma (the colour without the brightness) of the training photos to
# each pixel. `tiny` is stage 1 of the profile `tiny`, which was not trained in this run. The
# shipped run of `mini` has 66 test photos. [Chapter 6](06_evaluation_table1.ipynb) shows the
# intervals.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
has_pictures = (p.results / "outputs" / "scgan").is_dir()
if has_pictures and (p.results / "table1.csv").is_file():
    numbers = pd.read_csv(p.results / "table1.csv").set_index("method").rename_axis(None)
    display(viz.gallery(p.results, count=6))
    names = {"psnr_mean": "PSNR (dB)", "ssim_mean": "SSIM", "agree_mean": "agreement (%)"}
    names = {c: n for c, n in (names | {"cci_mean": "CCI"}).items() if c in numbers}
    means = numbers[[*names]].fillna({"psnr_mean": float("inf")}).rename(columns=names)
    display(viz.numbers(means, 3, "means"))
    note = "*Some of the gallery photos, and means of Table 1.*"
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
# `mini`? By what factor do these numbers differ? By what factor does the number of pixels per image
# differ?
#
# <details><summary>Solution</summary>
#
# The number of images seen is the number of steps times the batch: see the row *images seen in
# stage 2* in the table of profiles. `imagenet` sees 3,840,000 and `mini` 1,600, so the factor is
# 2,400. An image of 256 pixels a side has 16 times as many pixels as one of 64. So a table of
# `mini` cannot be compared with the paper's.
# </details>
#
# **2.** Suppose half of all shirts are red and half are blue, and both have the same gray. Which
# colour minimises the mean squared error? Which one minimises the mean absolute error? What would a
# critic prefer?
#
# <details><summary>Solution</summary>
#
# The mean minimises the squared error: it is a purple that no shirt has. For the absolute error,
# every colour between the two is equally good in each channel, so the loss gives no reason to
# choose a real one. A critic that has seen shirts gives purple a low score. This is one reason why
# the colours of stage 1 are pale, and why stage 2 exists.
# </details>
#
# **3.** Choose one of the eleven places above that has a switch. Find the switch in `scgan_lib/`
# and the test in `tests/`. Which number would change if you changed the switch?
#
# <details><summary>Solution</summary>
#
# The `test` column of `paper.deviations_table()` names the test. For `perceptual-input`, the switch
# is the argument `fidelity` of `VGGFeatures` in `scgan_lib/vgg.py`. It changes the perceptual loss
# of a pair of pictures.
# </details>
#
# ## Three lines to remember
#
# 1. A gray picture has many plausible colours. A network that minimises the mean error predicts
#    pale ones.
# 2. SCGAN also applies a loss and a critic to the salient area, so that the object counts more than
#    its share of the pixels.
# 3. A replication measures each claim again, with a gray copy and the real photograph as baselines.
#
# **Next:** [chapter 1, data and saliency](01_data_and_saliency.ipynb).
