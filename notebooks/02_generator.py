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
# # 2 · The generator: one gray picture in, colours and saliency out
#
# **After this chapter you can** say what each part of SCGAN's generator is for and which shape
# every layer gives; compute a spectral norm by hand; double the size of a map (up-sample) with a
# quarter of the multiplications; and fold a colour network so that it reads gray pictures.
#
# **Time:** about 30 minutes to read, about a minute to run. Nothing is trained here. The networks
# of the profile `mini` work at 64 pixels a side (`image_size`); pictures are loaded and scored at
# 256 (`judge_size`).
#
# **Before this:** [chapter 1](01_data_and_saliency.ipynb) (gray, rgb, saliency). You should know
# what a convolution, its stride, batch normalisation, max-pooling and singular values are.

# %% tags=["parameters"]
profile = "mini"
seed = 0

# %% jupyter={"source_hidden": true} tags=["hide-input"]
import inspect

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from scgan_lib import colorize, config, data, layers, metrics, networks, paper, pretrained, viz
from scgan_lib.vgg import IMAGENET_MEAN, IMAGENET_STD, FoldedVGG, vgg16_layers

viz.use_style()
p = config.from_environment(profile, seed, global_weights="")  # nothing trained is needed here
torch.manual_seed(seed)
pictures = [data.test_picture(photo, p.judge_size) for photo in data.photos(p, "val")[:22]]
real = torch.stack([data.to_chw(picture) for picture in pictures])  # (N, 3, 256, 256) uint8
print(f"profile {p.name}: networks see {p.image_size} pixels, {len(real)} validation photos here")

# %% [markdown]
# ## The problem and the idea
#
# A gray pixel says how bright a thing is, but not which colour it has: the same gray may be grass,
# sand or a face. To choose the colour, a network has to answer three questions:
#
# | question | where the answer comes from | part of the network |
# |---|---|---|
# | *What is this picture?* a beach, a kitchen | the whole picture | **global encoder** (VGG-16) |
# | *Where exactly does the thing end?* | fine detail | **U-Net** with skip connections |
# | *What matters here?* the parrot, not the sky | saliency | **saliency branch** on the decoder |
#
# A *map* is the output of a layer: channels times height times width. A *U-Net* has an *encoder*,
# which makes the map smaller step by step, and a *decoder*, which makes it larger again. A *skip
# connection* hands a map of the encoder to the decoder, where the decoder's map has the same size.
# *VGG-16* is a network of 13 convolutions, trained to recognise the 1,000 classes of ImageNet; the
# map that it makes of the picture is called the *global features*.
#
# SCGAN's own idea is the third row. The generator has two outputs: colours $G_c(x)$ and a saliency
# map $G_s(x)$. Two terms of the losses in [chapter 3](03_losses_and_critics.ipynb) use only their
# product $G_c(x)\odot G_s(x)$, the *salient area*. The attention loss compares it with the salient
# area of the real photo, and the second *critic* (a network that scores how real a picture looks)
# scores it. To do well in both, the network has to know where the object is and to colour it well.
# This needs no class labels: the saliency of a real photo comes from the teacher of chapter 1.
#
# ```
#              ┌──────────── global encoder (VGG-16, gray) ───────────┐
#              │                                                      ▼ joined
# gray x ──────┴──► 7x7 ─► ↓2 ─► ↓2 ─► ↓2 ─► ↓2 ─► ↓2 ─────────────► [+] ─► ↓2 ─► …
#                    │      │     │     │     │     │                        │
#                    skip   skip  skip  skip  skip  skip                     ▼
#                    ▼      ▼     ▼     ▼     ▼     ▼                        …
# colours G_c(x) ◄─ 3x3 ◄─ ↑2 ◄─ ↑2 ◄─ ↑2 ◄─ ↑2 ◄─ ↑2 ◄──────────────────────┘
#                                 │1/2  │1/4  │1/8
#                                 └─────┴─────┴──► saliency branch ─► G_s(x)
# ```

# %% [markdown]
# ## Shapes, layer by layer
#
# In the drawing, `7x7` and `3x3` are convolutions that keep the side, `↓2` is a convolution with
# stride 2 (it halves the side), and `↑2` doubles the side and then convolves. `[+]` *concatenates*
# two maps: their channels are put one behind the other. `…` stands for further steps down and up.
# The labels 1/2, 1/4 and 1/8 give the side of a decoder map as a fraction of the picture's.
#
# The function `shapes` (hidden in the next cell) runs a network once and notes the output of every
# block. We apply it to the paper's full network, on torch's `meta` device, which has shapes but no
# numbers and so costs nothing. `width` is the number of channels of the first block, `levels` the
# number of blocks on the way down, and `saliency_width` the number of channels inside the saliency
# branch. In the table, *in* and *out* are numbers of channels, and *of side* is the side of the map
# as a fraction of the picture's.


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def shapes(generator, size, device="cpu"):
    """Output shape and trainable parameters of every block, in the order in which they run."""
    rows = []
    blocks = (layers.ConvBlock, networks.FoldedGlobal)
    for name, module in generator.named_modules():
        if isinstance(module, blocks):
            count = sum(w.numel() for w in module.parameters() if w.requires_grad)

            # the defaults keep the values of this round of the loop
            def note(module, inputs, output, name=name, count=count):
                c_in = inputs[0].shape[1]
                rows.append([name, c_in, *output.shape[1:], f"1/{size // output.shape[-1]}", count])

            module.register_forward_hook(note)
    generator.eval()(torch.zeros(1, 1, size, size, device=device))
    return pd.DataFrame(rows, columns=["block", "in", "out", "H", "W", "of side", "trainable"])


# %%
with torch.device("meta"):
    full = networks.Generator(width=64, saliency_width=128, levels=9)
shapes(full, 256, "meta").style.hide(axis="index").format(thousands=",")


# %% [markdown]
# `down.0` keeps the picture's side, and `down.1` to `down.5` halve it to 1/32. Then VGG-16 runs on
# the same gray input, and its map is concatenated with that of `down.5`. That is why `down.6` has
# twice as many input channels as `down.5` gives. `down.6`, `down.7` and `down.8` lead to a single
# pixel, which has seen the whole picture. The decoder goes back up. From `up.1` to `to_rgb`, half
# of a block's input channels come from the block before, and the other half through the skip
# connection.
#
# The next cell asserts that the global encoder, the saliency branch, the rest (the U-Net) and the
# whole generator have as many trainable parameters as in the authors' released code.


# %%
def trainable(module):
    return sum(w.numel() for w in module.parameters() if w.requires_grad)


counts = {
    "global encoder": trainable(full.global_encoder),
    "saliency branch": trainable(full.saliency),
    "whole generator": trainable(full),
}
assert counts["global encoder"] == 17_077_952
assert counts["saliency branch"] == 1_624_448
assert counts["whole generator"] == 58_755_200
rest = counts["whole generator"] - counts["global encoder"] - counts["saliency branch"]
assert rest == 40_052_800
for name, count in counts.items():
    print(f"{name:16} {count:>11,}")

# %% [markdown]
# This is the generator of your profile: the same Python class with other settings. In `mini`, the
# step after `[+]` already gives the single pixel. (`folded_vgg16` is explained in "The global
# encoder". If the output says that a file "cannot be fetched", nothing has failed: an offline copy
# of VGG-16 is used.)

# %%
mine = colorize.build_generator(p)
print(f"width {p.width}, levels {p.levels}, {p.image_size} pixels, encoder {p.global_encoder}")
times = trainable(full) / trainable(mine)
print(f"{trainable(mine):,} trainable parameters; the paper's has {times:.1f} times as many")
shapes(mine, p.image_size).style.hide(axis="index").format(thousands=",")

# %% [markdown]
# ### Where do the global features join?
#
# In `forward`, the first `torch.cat` concatenates the global features with the map of the encoder.
# `decoder[1]`, `[2]` and `[3]` are the maps for the saliency branch, at 1/2, 1/4 and 1/8.
# `fidelity` and `keep_luminance` are explained below; `unit_range` is for weights trained with the
# authors' later code, which uses $[0, 1]$. `crop` cuts off what rounding has added (see "Try it",
# question 2). [Chapter 8](08_ablations.ipynb) shows what the global features do to the colours: it
# swaps those of two photographs.

# %%
print(inspect.getsource(networks.Generator.forward))

# %% [markdown]
# ## One block
#
# Nearly every layer does the same four things. It pads by *reflection* (the map is mirrored at its
# border, so no frame of zeros leaks in). It convolves without bias (the normalisation adds one). It
# normalises. It applies a LeakyReLU with slope 0.2. A block of the decoder first doubles its map
# (`upsample`). `fast.convolve` gives the same result in a faster way, or `None` where the plain way
# is the faster one.

# %%
print(inspect.getsource(layers.ConvBlock.forward))

# %% [markdown]
# ## Spectral normalisation, by hand
#
# GAN training is usually more stable when each layer can enlarge its input only by a bounded
# factor. *Spectral normalisation* divides a weight matrix $W$ by its largest singular value
# $\sigma(W)$. Then $\|W x\| / \sigma(W) \le \|x\|$ for every $x$. (The released code does this for
# every convolution; `mini` does not.) For a convolution, $W$ is the kernel written as a matrix,
# (out) × (in·3·3), with one row for each output channel. A full singular value decomposition in
# every training step would be slow; the **power iteration** is cheap. Start with a random $u$ and
# repeat
#
# $$\begin{aligned}
# v &\leftarrow \frac{W^\top u}{\|W^\top u\|}, \\
# u &\leftarrow \frac{W v}{\|W v\|}, \\
# \sigma &\approx u^\top W v .
# \end{aligned}$$
#
# Let $\sigma_1 > \sigma_2$ be the two largest singular values, and write $u$ as a sum of singular
# vectors. Compared with the part that belongs to $\sigma_1$, each round multiplies all other parts
# by $(\sigma_2/\sigma_1)^2$ or less, so in the end only the first part is left. The weights change
# little from one training step to the next, so torch keeps $u$ and does only *one* round per step.
#
# The first half of the cell is the iteration by hand. The second half gives the same weight to a
# block of the library: `parametrizations.weight.original` is the stored weight, `conv.weight` is
# that weight divided by $\sigma$, and `advance_spectral_norm` does 40 rounds.

# %%
torch.manual_seed(0)
weight = torch.randn(32, 16, 3, 3)
W = weight.flatten(1)  # (32, 144): a row for each output channel
u, estimates = F.normalize(torch.randn(32), dim=0), []
for _ in range(40):
    v = F.normalize(W.T @ u, dim=0)
    u = F.normalize(W @ v, dim=0)
    estimates.append(float(u @ W @ v))
exact = float(torch.linalg.svdvals(W)[0])

block = layers.ConvBlock(16, 32, norm="none", spectral=True)
block.conv.parametrizations.weight.original.data = weight
layers.advance_spectral_norm(block, iterations=40)
torch.testing.assert_close(block.eval().conv.weight, weight / estimates[-1], rtol=1e-3, atol=1e-5)
assert abs(estimates[-1] / exact - 1) < 1e-3
print(f"σ by power iteration {estimates[-1]:.4f}, by SVD {exact:.4f}; torch divides by the same")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(5, 2.4))
ax.semilogy(range(1, 41), np.clip(1 - np.array(estimates) / exact, 1e-7, None))
ax.set(xlabel="rounds of power iteration", ylabel="relative error of σ")
plt.show()

# %% [markdown]
# *The estimate rises to the exact σ from below. In the later rounds the curve is nearly a straight
# line: each round multiplies the error by about the same factor.*
#
# A caution: this $\sigma$ says how much the kernel can enlarge one 3x3 piece of the map. With
# stride 1, each pixel belongs to nine such pieces. Their squared lengths add up to nine times that
# of the map, so the whole convolution can enlarge the map by up to $\sqrt{9}\,\sigma = 3\,\sigma$
# (apart from the border): bounded, but not by $\sigma$.
#
# This run uses:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
print(f"profile {p.name}: spectral norm: generator {p.generator_spectral}, ", end="")
print(f"critics {p.critic_spectral}")
print(f"normalisation: generator {p.generator_norm}, critics {p.critic_norm}")

# %% [markdown]
# ## Up-sampling without the large map
#
# The decoder doubles the height and the width of a map by repeating every pixel (nearest
# neighbour), and then convolves 3x3. Done plainly, this takes nine multiplications (*products*
# below) for each pixel of the *large* map, although the large map holds each value four times. Take
# one dimension, a small row $x$ and the kernel $(w_0, w_1, w_2)$ (`x1` and `w1` in the code). The
# doubled row is $y_{2i} = y_{2i+1} = x_i$, so the row $z$ after the convolution is
#
# $$\begin{aligned}
# z_{2i} &= w_0 y_{2i-1} + w_1 y_{2i} + w_2 y_{2i+1} \\
#        &= w_0\,x_{i-1} + (w_1 + w_2)\,x_i \\
# z_{2i+1} &= w_0 y_{2i} + w_1 y_{2i+1} + w_2 y_{2i+2} \\
#        &= (w_0 + w_1)\,x_i + w_2\,x_{i+1}
# \end{aligned}$$
#
# Each output needs two products in place of three. At the border, reflection gives $y_{-1} = y_1$,
# and $y_1$ is $x_0$: the edge pixel of the small row is repeated.
#
# One more step saves more. With $s = w_0 + w_1 + w_2$ and the difference $d_i = x_{i+1} - x_i$, the
# even output is $s\,x_i - w_0 d_{i-1}$ and the odd one $s\,x_i + w_2 d_i$. Both contain $s\,x_i$,
# so the two outputs together need three products in place of four. In two dimensions we do this
# along the rows and along the columns, which takes $3 \cdot 3 = 9$ products for each small pixel.
# The plain way takes $4 \cdot 9 = 36$.
#
# The cell compares both short forms, and the library's function for two dimensions, with the plain
# way (`literal`). The counts that it prints are for each small pixel and each pair of an input and
# an output channel.

# %%
x1, w1 = torch.randn(6), torch.randn(3)
doubled = x1.repeat_interleave(2)
literal = F.conv1d(F.pad(doubled[None, None], (1, 1), mode="reflect"), w1[None, None])[0, 0]
padded = torch.cat([x1[:1], x1, x1[-1:]])  # x_{-1} = x_0, and the same on the right
# two products each
even = w1[0] * padded[:-2] + (w1[1] + w1[2]) * padded[1:-1]
odd = (w1[0] + w1[1]) * padded[1:-1] + w1[2] * padded[2:]
torch.testing.assert_close(torch.stack([even, odd], 1).flatten(), literal)
# three products for both
step = padded[1:] - padded[:-1]  # d_{-1} ... d_5, 0 at both ends
even, odd = w1.sum() * x1 - w1[0] * step[:-1], w1.sum() * x1 + w1[2] * step[1:]
torch.testing.assert_close(torch.stack([even, odd], 1).flatten(), literal)

# two dimensions, as in the network
x2, w2 = torch.randn(2, 8, 7, 9), torch.randn(5, 8, 3, 3)
large = F.interpolate(x2, scale_factor=2, mode="nearest")
literal = F.conv2d(F.pad(large, (1, 1, 1, 1), mode="reflect"), w2)
torch.testing.assert_close(layers.upsample_convolve(x2, w2), literal, rtol=1e-4, atol=1e-4)
print(f"equal; multiplications: {4 * 9} in the plain way, {3 * 3} in the fast one")

# %% [markdown]
# The results are equal up to rounding, so trained weights work in both ways (`block.fused = False`
# selects the plain one).

# %% [markdown]
# ## Why skip connections
#
# Each step down halves the side of the map. Without skip connections, the decoder would have to
# place every edge from the deepest map alone. How much *position* is left after each step? To see
# it, we shrink the photo itself, by averaging, to the size of each map. (Later cells use `small`,
# the gray photo at the network's size.)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
photo = data.to_pm1(real[min(4, len(real) - 1)][None])
gray = networks.luma(photo)
small = F.interpolate(gray, size=(p.image_size, p.image_size), mode="bicubic", antialias=True)
sides = [p.image_size // 2**i for i in range(p.levels)]
ladder = [F.adaptive_avg_pool2d(small, side) for side in sides]
ladder = [F.interpolate(m, size=(128, 128), mode="nearest") for m in ladder]
viz.strip(
    {f"{side} px": data.to_u8(m)[0, 0].numpy() for side, m in zip(sides, ladder, strict=True)}
)

# %% [markdown]
# *The gray photo at the size of every map on the way down in this profile.* In `mini`, the bird is
# hard to recognise at 8 pixels, and at 1 pixel no position is left. (A real map has many channels
# and can hold more than one such picture.) So a decoder block gets two maps: that of the block
# before says **what** is there, and that of the skip connection says **where**. This suits colour
# well: most edges of colour lie on edges of brightness, and the input has those.

# %% [markdown]
# ## The global encoder
#
# | | paper: VGG-16-Gray | `mini`: folded VGG-16 |
# |---|---|---|
# | reads | gray | gray, through a folded first layer |
# | trained on | gray ImageNet pictures | colour ImageNet pictures (and more: see its name below) |
# | max-pooling | replaced by convolutions of stride 2 | kept: the weights were learned with it |
# | while the colorizer is trained | goes on learning | frozen; a 1x1 convolution behind it learns |
# | features | the last map | conv4_3 and conv5_3, averaged to the size of the map they join |
#
# (conv5_3 is the third convolution of the fifth group; a group ends at a pooling. In the table of
# the paper's network above, conv1_2, conv2_2, conv3_3, conv4_3 and pool5 have stride 2.)
#
# Pre-training the paper's encoder needs ImageNet. So `mini` takes a VGG-16 that was trained on
# colour pictures and *folds* it: the weights of the first layer are summed over the three colour
# channels, and its bias is adapted. For a gray picture $g$, the folded network then gives what the
# colour network gives for $(g, g, g)$. Only the border differs: both pad with zeros, and zero means
# mid-gray to the folded network, but ImageNet's mean colour to the colour network.
#
# Let $m_c$ and $s_c$ be the mean and the standard deviation of colour channel $c$ in ImageNet, and
# $W_c$ and $b$ the weights and the bias of the first layer. The colour network reads the normalised
# channels $n_c = ((g+1)/2 - m_c)/s_c$. Then
#
# $$\begin{aligned}
# &\sum_c W_c\, n_c + b \\
# &= \Big(\sum_c \frac{W_c}{2 s_c}\Big) g
#    + \Big(b + \sum_c W_c \frac{\tfrac12 - m_c}{s_c}\Big).
# \end{aligned}$$
#
# In the second bracket, $W_c$ is convolved with a constant, so its nine weights are summed. The
# cell computes the two brackets by hand and compares them with the library's folded layer. Then it
# compares the first layers of the two networks, without the border (`inside`). A *trunk* is a
# network without its classifying layers, `features.0` is the first convolution of VGG-16, and
# `W3[c]` are its weights for colour `c`.

# %%
trunk = pretrained.vgg16_trunk(p.vgg)
first = vgg16_layers(3, 0)
first.load_state_dict(
    {k.removeprefix("features."): trunk.state[k] for k in ("features.0.weight", "features.0.bias")}
)
std, mean = (torch.tensor(x).view(3, 1, 1, 1) for x in (IMAGENET_STD, IMAGENET_MEAN))
W3, b3 = first[0].weight.detach().transpose(0, 1), first[0].bias.detach()  # (3, 64, 3, 3), (64,)
gray_weight = (W3 / (2 * std)).sum(0)[:, None]
gray_bias = b3 + (W3 * (0.5 - mean) / std).sum((0, 2, 3))

folded = pretrained.fold_to_gray(trunk)
torch.testing.assert_close(gray_weight, folded["features.0.weight"], rtol=1e-4, atol=1e-6)
torch.testing.assert_close(gray_bias, folded["features.0.bias"], rtol=1e-4, atol=1e-5)
n = ((small.expand(-1, 3, -1, -1) + 1) / 2 - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
torch.testing.assert_close(
    F.conv2d(small, gray_weight, gray_bias, padding=1)[inside],
    first(n)[inside],
    rtol=1e-3,
    atol=1e-4,
)
print("folded = colour network on (g, g, g); weights:", trunk.name)

# %% [markdown]
# What does such a network know about a picture without colours? We take its deepest map, conv5_3,
# and average it over each gray photo. That gives 512 numbers a photo. We bring each of them to mean
# 0 and standard deviation 1 over the training photos. Then we look for the training photos
# (`known`) whose numbers are most similar to those of a validation photo (`asked`), by the cosine
# of the angle between them.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
others = data.photos(p, "train")
others = others[:: max(1, len(others) // 80)]
known = torch.stack([data.to_chw(data.center_crop(data.read_rgb(x.path), 64)) for x in others])
asked = torch.stack([data.to_chw(data.center_crop(x, 64)) for x in pictures])

# %%
eyes = FoldedVGG(folded)


@torch.inference_mode()
def signature(rgb_u8):
    # eyes gives the maps conv4_3 and conv5_3: [1] is the second
    deep = torch.cat([eyes(networks.luma(data.to_pm1(part)))[1] for part in rgb_u8.split(16)])
    return deep.mean((2, 3))  # (N, 512)


a, b = signature(asked), signature(known)
center, spread = b.mean(0), b.std(0) + 1e-6
likeness = F.normalize((a - center) / spread) @ F.normalize((b - center) / spread).T

# %% jupyter={"source_hidden": true} tags=["hide-input"]
queries = range(0, len(asked), max(1, len(asked) // 4))[:4]
rows = [[asked[i], *known[likeness[i].topk(5).indices]] for i in queries]
heads = ["asked", "nearest", "2nd", "3rd", "4th", "5th"]
viz.grid([{h: x.permute(1, 2, 0).numpy() for h, x in zip(heads, row, strict=True)} for row in rows])

# %% [markdown]
# *Left: a validation photo. Right: its nearest training photos. The network saw only the gray
# pictures.* Do the neighbours show the same kind of thing as the photo at the left? That would help
# the U-Net to choose colours. In the shipped run (profile `mini`, seed 0, as stored in the
# repository) they mostly do not: five of the 87 training photos searched show cats and nine show
# fish, but the cat in the first row finds no cat, and the fish in the last row finds no fish. Only
# the Taj Mahal finds mostly its own kind: three buildings among five. One reason may be the size:
# with 256 pixels in place of 64 (change both numbers in the hidden cell), the cat finds three cats,
# but the fish only one fish. Another may be that weights "fine-tuned for edges" (see the name
# printed above) have lost part of what they knew about things.

# %% [markdown]
# ## The saliency branch
#
# The branch brings three maps of the decoder, at 1/8, 1/4 and 1/2 of the side, to 1/2, concatenates
# them and enlarges the result to full size. A sigmoid at the end gives values between 0 and 1. The
# branch can be small because it uses the maps of the colour decoder. Its gradient also trains the
# decoder blocks that make these maps.

# %%
print(inspect.getsource(networks.SaliencyBranch.forward))
for name, network in {"paper": full, p.name: mine}.items():
    print(f"{name}: {trainable(network.saliency) / trainable(network):.1%} of the parameters")

# %% [markdown]
# ## An initialisation without effect
#
# GANs usually start from weights drawn from $N(0, 0.02^2)$. The released code has a function for
# that, which looks in every layer for a parameter called `weight`. But spectral normalisation has
# *renamed* this parameter: under the old name there is only a tensor computed from it. So the
# function changes no convolution, and torch's default weights stay. The cell does the same search
# and counts what it finds, on a small network without a global encoder. (`fidelity="released"`
# builds the network as the released code does; `recurse=False` lists only the layer's own
# parameters.)

# %%
torch.manual_seed(0)
small_net = dict(width=8, saliency_width=8, levels=7, encoder=False, fidelity="released")


def search_for_weight(network):
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    found = ["weight" in dict(m.named_parameters(recurse=False)) for m in convolutions]
    return f"{sum(found)} of {len(found)} convolutions"


print("without spectral norm:", search_for_weight(networks.Generator(spectral=False, **small_net)))
print("with spectral norm:   ", search_for_weight(networks.Generator(spectral=True, **small_net)))
assert search_for_weight(networks.Generator(spectral=True, **small_net)).startswith("0 of")

# %% [markdown]
# What does that change? We build the network with torch's default weights (`"released"`) and with
# the initialisation that works (`"paper"`, the library's default). Then we measure the standard
# deviation (*std*) of the stored weights and of the weights that are used, after the division by
# $\sigma$. *σ used* is the largest singular value of the used weights: about 1, as it should be.

# %%
rows = []
for fidelity in ("released", "paper"):
    torch.manual_seed(0)
    network = networks.Generator(spectral=True, **(small_net | {"fidelity": fidelity})).eval()
    for name in ("down.2", "down.4", "up.2"):
        conv = network.get_submodule(name).conv
        stored, used = conv.parametrizations.weight.original.detach(), conv.weight.detach()
        sigma = float(torch.linalg.svdvals(used.flatten(1))[0])
        rows.append([fidelity, name, float(stored.std()), float(used.std()), sigma])
table = pd.DataFrame(rows, columns=["initialisation", "block", "std stored", "std used", "σ used"])
assert np.allclose(table[table.initialisation == "paper"]["std stored"], 0.02, rtol=0.1)
assert np.allclose(table["σ used"], 1, atol=0.05)
assert np.allclose(table["std used"][:3], table["std used"][3:], rtol=0.2)
table.style.hide(axis="index").format(precision=4)

# %% [markdown]
# With `"paper"`, the stored weights have the intended standard deviation of 0.02; with `"released"`
# they have others. But the standard deviations of the used weights are nearly equal, because the
# division by $\sigma$ removes any scale. So the mistake is real, but its effect *at the start* is
# small. Whether it changes the training that follows is not measured here.

# %% [markdown]
# ## Range, and keeping the luminance
#
# Colours lie in $[-1, 1]$, because the last layer is a tanh; 0 is mid-gray. The gray input has the
# same range, and saliency lies in $[0, 1]$.
#
# The paper's network predicts R, G and B, and so the brightness too, although the gray input
# already *gives* it. (Brightness, luminance and luma mean the same here, the gray value.) The small
# profiles (`mini` and `tiny` among them) put the given brightness back (`keep_luminance`) into the
# predicted colours $\hat c$: $\hat c \leftarrow \hat c + (x - Y(\hat c))$, the same amount on all
# three channels, where $Y$ is the luma $.299R + .587G + .114B$. These weights sum to 1, so the luma
# of the result is exactly $x$ (until values outside $[-1, 1]$ are clipped for the picture). The
# network only has to predict the *chroma*, a colour without its luma: $c - Y(c)$.
#
# The cell checks this on random numbers, and then on the network's own output.

# %%
guess = torch.rand(2, 3, 32, 32) * 2 - 1
x = networks.luma(torch.rand(2, 3, 32, 32) * 2 - 1)
kept = guess + (x - networks.luma(guess))
torch.testing.assert_close(networks.luma(kept), x)
if mine.keep_luminance:
    with torch.inference_mode():
        out, _ = mine.eval()(small)
    torch.testing.assert_close(networks.luma(out), small, rtol=0, atol=1e-5)
print(f"profile {p.name}: keep_luminance={p.keep_luminance}, working size {p.image_size} pixels")

# %% [markdown]
# This has a second use. The eye sees brightness sharply and colour coarsely, as JPEG and television
# exploit. So a network may work at a small size, its *working size* (`image_size`): only its chroma
# is enlarged, and the luminance keeps the input's full resolution. How much is lost, even if the
# network is perfect? We shrink the *real* chroma to a working size, enlarge it again, and measure
# the PSNR (closeness to the real photo in dB, more is better; chapter 6 derives it).


# %%
def through(rgb_u8, size):
    """Real luminance at full size with the real chroma seen at `size` pixels."""
    rgb = data.to_pm1(rgb_u8)
    y, full_size = networks.luma(rgb), rgb.shape[-2:]
    low = F.interpolate(rgb - y, size=(size, size), mode="bicubic", antialias=True)
    return data.to_u8(y + F.interpolate(low, size=full_size, mode="bicubic"))


def mean_psnr(x):
    value = metrics.psnr(real, x)
    return value[value.isfinite()].mean().item()  # a gray photo's copy has no error: infinite


gray_copy = data.to_u8(networks.luma(data.to_pm1(real))).expand(-1, 3, -1, -1)
ceiling = {size: through(real, size) for size in (128, 64, 32, 16, 8)}
rows = [[f"chroma at {size} px", mean_psnr(x)] for size, x in ceiling.items()]
rows.append(["no chroma (gray copy)", mean_psnr(gray_copy)])

# %% jupyter={"source_hidden": true} tags=["hide-input"]
shown = [real[min(4, len(real) - 1)], *(x[min(4, len(real) - 1)] for x in ceiling.values())]
names = ["real", *(f"chroma {s} px" for s in ceiling)]
viz.strip({name: x.permute(1, 2, 0).numpy() for name, x in zip(names, shown, strict=True)})

# %% [markdown]
# *Only the chroma is coarse, the luminance is untouched.*

# %% jupyter={"source_hidden": true} tags=["hide-input"]
heads = ["picture", f"mean PSNR of {len(real)} photos, dB"]
pd.DataFrame(rows, columns=heads).style.hide(axis="index").format(precision=1)

# %% [markdown]
# In the shipped run, a network that predicts the chroma perfectly at 64 pixels (the working size of
# `mini`) would reach 41.4 dB; a gray copy has 22.0 dB. The trained networks of [chapter
# 6](06_evaluation_table1.ipynb) are less than 2 dB above a gray copy, so the working size is not
# what limits their PSNR.

# %% [markdown]
# ## What an untrained generator paints
#
# We let a new network colour 8 of the photos. Its batch normalisations have no running statistics
# yet, so they use those of this batch. (The table above has more photos, and so another PSNR of the
# gray copies.)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
torch.manual_seed(seed)
untrained = colorize.build_generator(p).eval()
for module in untrained.modules():  # no running statistics yet: let them be those of this batch
    if isinstance(module, nn.BatchNorm2d):
        module.train()
chosen = real[:: max(1, len(real) // 8)][:8]
gray_u8 = data.to_u8(networks.luma(data.to_pm1(chosen)))
rgb, saliency = colorize.render(untrained, gray_u8, p.image_size)
painted, plain = metrics.psnr(chosen, rgb), metrics.psnr(chosen, gray_u8.expand(-1, 3, -1, -1))
print(f"mean PSNR of these {len(chosen)} photos: {painted.mean():.1f} dB, ", end="")
print(f"of their gray copies {plain.mean():.1f} dB")
columns = zip(
    gray_u8[:, 0].numpy(), rgb.permute(0, 2, 3, 1).numpy(), saliency[:, 0].numpy(), strict=True
)
viz.grid([{"gray x": x, "colours": y, "saliency": s} for x, y, s in columns], blocks=2)

# %% [markdown]
# *The input, the colours and the saliency of random weights.* The brightness is that of the input
# if the profile keeps the luminance, as `mini` does. The colours follow the shapes of the input:
# the skip connections carry its edges even through random filters. But they mean nothing yet. In
# the shipped run their PSNR is 20.8 dB, below the 24.1 dB of the gray copies. The saliency is near
# one half everywhere. To give both outputs a meaning, we need losses: [chapter
# 3](03_losses_and_critics.ipynb).

# %% [markdown]
# ## What differs from the paper and from the released code

# %%
paper.show_deviations("02")

# %% [markdown]
# ## Try it
#
# **1.** How many trainable parameters does the paper's generator have without its global encoder?
# Is it the count of the whole generator minus the count of the global encoder, as printed above?
# <details><summary>Solution</summary>
#
# ```python
# with torch.device("meta"):
#     bare = networks.Generator(encoder=False)
# print(trainable(bare), trainable(full) - trainable(full.global_encoder))
# ```
# No: it has 39,317,952, and the difference is 41,677,248. Without the encoder, `down.6` reads 512
# channels fewer, so it also lacks 512 · 512 · 9 weights.
# </details>
#
# **2.** For which size of picture is the deepest map of the paper's network a single pixel? What
# happens with 320 pixels?
# <details><summary>Solution</summary>
#
# Eight steps of stride 2: $2^8 = 256$. Run `shapes(networks.Generator(width=8, saliency_width=8),
# 320)`: sizes are rounded up on the way down (320, 160, 80, 40, 20, 10, 5, 3, 2), and the decoder
# cuts what the rounding added.
# </details>
#
# **3.** Pad the small row with zeros in place of the repeated edge pixel. Show that the outputs
# `even` and `odd` are then no longer equal to `literal`. Where do they differ?
# <details><summary>Solution</summary>
#
# ```python
# zeros = torch.cat([torch.zeros(1), x1, torch.zeros(1)])
# even = w1[0] * zeros[:-2] + (w1[1] + w1[2]) * zeros[1:-1]
# odd = (w1[0] + w1[1]) * zeros[1:-1] + w1[2] * zeros[2:]
# literal = F.conv1d(F.pad(doubled[None, None], (1, 1), mode="reflect"), w1[None, None])[0, 0]
# print(torch.stack([even, odd], 1).flatten() - literal)
# ```
# Only the first even output and the last odd one differ, so only the border matters.
# </details>
#
# **Exercises:** three functions to write, each with a test that checks yours. `make exercises`
# puts them in `build/exercises/student/`; the solutions are in
# [exercises/02_generator.py](exercises/02_generator.py).
#
# ## Three lines to remember
#
# 1. The encoder says what is there, the skip connections say where, and the global features say
#    what kind of picture it is.
# 2. Spectral normalisation divides a weight matrix by its largest singular value; power iteration
#    finds that value cheaply.
# 3. The brightness is given, so only the chroma has to be guessed, and it may be coarse.
#
# **Next:** [chapter 3, losses and critics](03_losses_and_critics.ipynb).
