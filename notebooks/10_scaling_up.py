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
# # 10 · Scaling up: from a laptop to ImageNet
#
# **After this chapter you can** name the settings in which `mini` differs from the paper's; compute
# what a run costs *before* you pay for it (operations and memory); say what must stay equal when
# several processes train one network, and check it; and start a training on one GPU, on several,
# and on several machines.
#
# **Time:** 20 minutes to read, about a minute to run on two CPU cores.
#
# **Before this:** chapters [4](04_stage1_l1_pretraining.ipynb) and
# [5](05_stage2_adversarial_training.ipynb). This project has not run the paper's setting, so no
# number below is a result of it. Operations and memory are computed; a measured number says where
# it was measured.

# %% tags=["parameters"]
profile = "mini"
seed = 0

# %%
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from scgan_lib import colorize, config, data, losses, paper, training, viz
from scgan_lib.paths import ROOT

viz.use_style()
p = config.from_environment(profile, seed)
big = config.load("imagenet", device="cpu")

# %% [markdown]
# ## The same code, other numbers
#
# **The paper says:** train on ImageNet, in two stages, and judge 10,000 validation images. The
# first public version of the authors' code takes one training image in ten, about 128,000, with ten
# epochs of stage 1 and thirty of stage 2, eight pictures in a batch.
#
# **The code does** the same with the profile `imagenet`. No step of training or evaluation asks for
# a profile's name. What differs is in this table (stage 0, logging and the test set left out):

# %% jupyter={"source_hidden": true} tags=["hide-input"]
pair = {q.name: q.settings() for q in (p, big)}
for settings in pair.values():
    settings |= {f"λ {name}": value for name, value in settings.pop("loss").items()}
rows = {k: {n: str(x[k]) for n, x in pair.items()} for k in pair[p.name]}
other = {k for k, v in rows.items() if len(set(v.values())) > 1 and k[:6] != "stage0"}
pd.DataFrame({k: rows[k] for k in rows if k in other - {"name", "samples", "test_images"}}).T

# %% [markdown]
# ## Count before you run
#
# How many operations does a step need? We can count them without running it. PyTorch has a device
# called `meta`: its tensors have a shape and no content. A step on `meta` calls all operations of a
# real one, backward pass and gradient penalty included, and takes no time. A counter beside it adds
# up the multiplications and additions of every convolution and matrix product.


# %%
def on_meta(q):
    """Generator, critics and features of profile `q` as shapes, with optimisers that do nothing."""
    players = training.players_of(replace(q, stage1_steps=0), 2)
    for network in (players.generator, *players.critics.values(), players.features):
        network.to("meta")
    idle = SimpleNamespace(zero_grad=lambda **_: None, step=lambda: None)
    players.generator_optimizer = players.critic_optimizer = idle
    return players


def batch_of(q, count):
    size = dict(device="meta", size=(count, 1, q.image_size, q.image_size))
    one = torch.zeros(**size)
    return {"gray": one, "rgb": one.expand(-1, 3, -1, -1), "saliency": one}


alone = SimpleNamespace(backward=lambda loss: loss.backward())


def gflop(q, players, what):
    """Operations for one picture, in units of 10⁹; a multiplication and an addition are two."""
    batch = batch_of(q, q.batch)
    with FlopCounterMode(display=False) as counter:
        if what == "inference":
            with torch.no_grad():
                players.generator(batch["gray"])
        elif what == "stage 1":
            training.stage1_step(players, batch, q, alone)
        else:
            training.stage2_step(players, batch, q, alone, 1)
    return counter.get_total_flops() / q.batch / 1e9


# %%
shapes = {q.name: on_meta(q) for q in (p, big)}
kinds = ("inference", "stage 1", "stage 2")
counted = {q.name: {kind: gflop(q, shapes[q.name], kind) for kind in kinds} for q in (p, big)}
viz.numbers(pd.DataFrame(counted).T, 1, "gflop")

# %% [markdown]
# *Operations for one picture: to colorize it once, and in one training step of each stage.* A step
# of stage 1 is about three times an inference, as the backward pass costs two forward passes (less
# where a part is frozen). **Look at** stage 2: the critics judge real, painted and mixed pictures
# at full size, go backward twice for the penalty, and then judge once more for the generator.
#
# **Check.** At full size the number of trainable parameters must be the released code's:
# 58,755,200 in the generator and 5,766,144 in a critic.


# %%
def trainable(network):
    return sum(x.numel() for x in network.parameters() if x.requires_grad)


large = shapes[big.name]
assert trainable(large.generator) == 58_755_200
assert {trainable(c) for c in large.critics.values()} == {5_766_144}

# %% [markdown]
# ## From operations to days
#
# A stage costs *steps × batch × operations a picture*. Divide by what your machine does in a
# second, and you have the time. A second of this machine is known if `mini` was trained on it: the
# log says how many pictures a second it took.

# %%
stages = ((1, "stage1_steps"), (2, "stage2_steps"))
cost = {
    q.name: {
        f"stage {n}": getattr(q, steps) * q.batch * counted[q.name][f"stage {n}"] * 1e9
        for n, steps in stages
    }
    for q in (p, big)
}
total = pd.DataFrame(cost).T / 1e15
total["both"] = total.sum(axis=1)
viz.numbers(total, 3, "total")

# %% [markdown]
# *Operations of the whole training, in units of 10¹⁵.*


# %%
def measured(q, stage):
    """Operations a second in the training that this profile has done here, or None."""
    log = training.stage_folder(q, stage) / "log.csv"
    if not log.exists():
        return None
    rate = pd.read_csv(log)["images_per_s"].iloc[-1]
    return rate * counted[q.name][f"stage {stage}"] * 1e9


speeds = {f"stage {n}": measured(p, n) for n, _ in stages}
if all(speeds.values()):
    print(f"{p.name} was trained here at", end=" ")
    print(", ".join(f"{v / 1e9:.0f} GFLOP/s in {k}" for k, v in speeds.items()))
    days = sum(cost[big.name][k] / v for k, v in speeds.items()) / 86_400
    print(f"at that speed the imagenet profile would take {days:,.0f} days")
else:
    print("no training log here: run chapters 4 and 5 first")
for speed in (1e12, 1e13, 1e14):
    days = sum(cost[big.name].values()) / speed / 86_400
    print(f"at {speed / 1e12:g} TFLOP/s: {days:.1f} days")

# %% [markdown]
# The last lines are arithmetic, not a measurement. A GPU's data sheet gives the speed of large
# matrix products. A network reaches a part of it, and which part you can only measure: train a
# hundred steps (below), take *pictures a second* from `log.csv`, and multiply by the table.
#
# ## Memory
#
# A training step keeps three things: the weights with their gradients and Adam's two moments, four
# numbers of four bytes each; the *activations*, everything that the forward pass leaves for the
# backward pass; and what is in work at the moment. The first does not depend on the batch. The
# second grows with it, and autograd tells us what it keeps, on `meta` as well:


# %%
def kept_gb(q, players):
    """(weights and all that belongs to them, activations a picture) of stage 1 in 10⁹ bytes."""
    generator, storages = players.generator, {}

    def note(tensor):
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage.nbytes()
        return tensor

    batch = batch_of(q, q.batch)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        training.guided_terms(*generator(batch["gray"]), batch, q)
    own = {x.untyped_storage()._cdata for x in (*generator.parameters(), *generator.buffers())}
    activations = sum(size for key, size in storages.items() if key not in own)
    return 16 * trainable(generator) / 1e9, activations / q.batch / 1e9


memory = {}
for q in (p, big):
    fixed, each = kept_gb(q, shapes[q.name])
    memory[q.name] = {"weights, gradients, moments": fixed, "activations of one picture": each}
    memory[q.name] |= {f"batch {n}": fixed + n * each for n in (8, 16, 64)}
viz.numbers(pd.DataFrame(memory).T, 2, "memory")

# %% [markdown]
# *GB (10⁹ bytes) in stage 1, 32-bit numbers, without what is in work at the moment. Half precision
# about halves the activations.* Stage 2 adds two critics, whose penalty keeps the graph of a
# gradient. The benchmark of this project has measured what a whole process takes at the full size,
# on a CPU, with **one** picture in a batch:

# %%
lines = json.loads((ROOT / "benchmarks" / "bench.json").read_text())["lines"]
for name in ("full inference", "full stage 1", "full stage 2"):
    print(f"{name.removeprefix('full ')}: {lines[name]['ours_mb'] / 1000:.1f} GB")

# %% [markdown]
# The program itself with its libraries is part of each of these figures.
#
# ## Several processes, one network
#
# With $P$ GPUs there are $P$ processes. Each holds a copy of the networks and takes its share of
# every batch. Before the optimiser steps, the processes exchange gradients and take their mean. For
# that to be the same training, four things must hold:
#
# 1. **The mean of means is the mean**: all shares are of one size. (A batch that cannot be shared
#    evenly is refused.)
# 2. **The same weights everywhere**, at the start and after each step.
# 3. **Other pictures, other random numbers**: each process has its own part of the batch, and mixes
#    real and painted pictures for the penalty with numbers of its own.
# 4. **Together or not at all**: if one process stops to write a checkpoint because *its* clock says
#    so, and the others go on, they wait for each other for ever. The first process decides.
#
# The first point can be checked by hand. One gradient of a batch of eight, against the mean of two
# gradients of four. (Without the global encoder: the folded one brings its features to mean 0 and
# variance 1 over the batch, which is a BatchNorm of its own.)


# %%
def gradient(generator, batch):
    """Gradient of the pixel loss by all trainable weights, as one long vector."""
    generator.zero_grad(set_to_none=True)
    losses.pixel_loss(generator(batch["gray"])[0], batch["rgb"]).backward()
    return torch.cat([x.grad.flatten() for x in generator.parameters() if x.grad is not None])


def apart(norm):
    """Relative distance of the two gradients, for a generator with this normalisation."""
    q = replace(p, generator_norm=norm, global_encoder="none", train_images=24)
    torch.manual_seed(0)
    generator = colorize.build_generator(q)
    items = [data.TrainingSet(q, 1, 8)[i] for i in range(8)]
    batch = {k: torch.stack([item[k] for item in items]) for k in items[0]}
    whole = gradient(generator, batch)
    shares = [{k: v[part] for k, v in batch.items()} for part in (slice(0, 4), slice(4, 8))]
    mean = sum(gradient(generator, share) for share in shares) / 2
    return ((mean - whole).norm() / whole.norm()).item()


norms = {norm: apart(norm) for norm in ("none", "layer", "batch")}
for norm, distance in norms.items():
    print(f"generator_norm={norm}: the gradients differ by {distance:.2%}")
assert max(norms["none"], norms["layer"]) < 1e-3 < norms["batch"]

# %% [markdown]
# **Look at** the last line. BatchNorm looks *across* a batch, so a process that has four pictures
# normalises by these four. Nothing is broken, but it is another training, as if the batch had been
# smaller: the released code, with eight pictures on each GPU, has the same property. All other
# normalisations work picture by picture, and cannot tell whether they are alone.
#
# ## Two processes, for real
#
# Two processes on this machine's CPU, exchanging gradients over the loopback: the same command as
# with GPUs. Both stages of a tiny run, and beside it the same run in one process. The critics are
# those of the *hinge* loss, which draws no random numbers, so that the two must agree.

# %%
TINY = dict(stage1_steps=6, stage2_steps=4, batch=8, samples=1, log_every=1, gan="hinge")
TINY |= dict(global_encoder="none", train_images=24, vgg="hed")
launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
train = ["-m", "scgan_lib.cli", "train", "--profile", "smoke"]


def logs(folder):
    """The log of both stages of the run below `folder`."""
    paths = (folder / "results" / "smoke" / "runs" / f"stage{n}" / "log.csv" for n in (1, 2))
    return pd.concat([pd.read_csv(path) for path in paths], keys=["stage 1", "stage 2"])


def run(folder, before, **settings):
    """Train by the command line in a folder of its own; -> the log."""
    call = [f"--set={key}={value}" for key, value in (TINY | settings).items()]
    env = {"SCGAN_OUTPUT": str(folder), "DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *before, *train, *call], env=os.environ | env, cwd=ROOT,
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return logs(Path(folder))


# %%
with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
    single = run(one, [], generator_norm="layer")
    double = run(two, launch, generator_norm="layer")

shown = {"one process": single["generator"], "two processes": double["generator"]}
shown = pd.DataFrame(shown).droplevel(1).reset_index(names="stage")
shown.insert(1, "step", [*single["step"]])
shown.style.hide(axis="index").format(precision=4)

# %% [markdown]
# *The generator's loss in every step of both stages.*

# %%
named = [c for c in single if c not in ("step", "seconds", "images_per_s", "lr")]
difference = (single[named] - double[named]).abs().max().max()
assert difference < 5e-3, difference
print("losses compared:", ", ".join(named))
print(f"largest difference: {difference:.0e}")

# %% [markdown]
# The last digits differ because the order of summation changes the rounding, and Adam and the
# critics amplify such differences. `tests/test_processes.py` holds more: the weights of both
# processes are equal bit for bit after each kind of run, resumed runs included; two clocks that
# disagree do not stop a run; and the pieces of a batch are shared so that each process has its
# composites.
#
# What such a check on a CPU cannot show is *speed*. How much faster two GPUs are than one was not
# measured here.
#
# ## The commands
#
# ```sh
# export IMAGENET=/data/imagenet                      # with train/ and val/, a folder a class
# scgan train --profile imagenet --stage 1 --set stage1_steps=100   # does it fit, how fast is it?
# make reproduce PROFILE=imagenet                     # one GPU, everything
# make reproduce PROFILE=imagenet PROCESSES=4         # four GPUs train, then the chapters run
# ```
#
# The trial's settings are not those of the real run: it refuses to go on from it, and says so.
# Remove `results/imagenet/runs/stage1` first, or try in another place (`SCGAN_OUTPUT=/tmp/trial`).
#
# On several machines, with a file system that all of them see, the same on each:
#
# ```sh
# python -m torch.distributed.run --nnodes 2 --nproc_per_node 4 --rdzv_backend c10d \
#   --rdzv_endpoint FIRST_MACHINE:29500 -m scgan_lib.cli train --profile imagenet
# ```
#
# `batch` is always the *whole* batch. The authors gave eight pictures to each GPU; with four GPUs
# that is `--set batch=32`, and to see as many pictures as they did, a quarter of the steps and of
# `halve_every`. Whether the learning rate should grow with the batch, their code does not say.
#
# **Before the first step**, once: every photo gets its saliency map. The classical teacher took
# about a third of a second a photo on one core (timed once, on 32 photos of ImageNet's size, on a
# busy machine): some eleven core-hours for 128,000. It uses all cores. The maps are kept in
# `SCGAN_CACHE`, which may be filled before any GPU is rented: the trial above does it with
# `DEVICE=cpu`. Photos are decoded by the workers, each time anew.
#
# **Killed by the queue?** The same command goes on from the last checkpoint, with the same number
# of processes: each has its own random state in it.
#
# **Half precision:** `--set precision=bf16` (or `fp16`). The gradient penalty stays in 32 bits: the
# square of a small gradient would be 0. `--set compile=inductor` compiles the generator, never the
# critics, because compiled code cannot be differentiated twice; `--set channels_last=true` changes
# the order in memory. All three are off unless you ask: on a GPU they were not measured here, and
# on a CPU the last one takes longer.
#
# ## What differs from the paper and from the released code

# %%
paper.show_deviations("resume", "generator-runs", "working-size", "saliency-teacher")

# %% [markdown]
# ## Try it
#
# **1.** Which part of a stage-2 step is the critics'? Count it without running it.
# <details><summary>Solution</summary>
#
# ```python
# without = replace(big, loss=replace(big.loss, adversarial=0.0))
# less = gflop(without, on_meta(without), "stage 2")
# print(f"{1 - less / counted['imagenet']['stage 2']:.0%} of the operations")
# ```
# </details>
#
# **2.** What does a second GPU buy for 300 dollars, if the day of a GPU costs 30 and two of them
# are 1.8 times as fast as one? When is it worth it?
# <details><summary>Solution</summary>
#
# Ten days of one GPU or five of two; in five days two GPUs do what one does in nine. You get the
# result earlier and a tenth less of it. It is worth it if waiting costs more than that tenth.
# </details>
#
# **3.** Take away condition 3: give both processes the *same* pictures. Which number of the log
# would tell you?
# <details><summary>Solution</summary>
#
# None of the losses: they look plausible, and the run is as slow as before. But the gradients of
# both processes are equal, so the second process adds nothing, and the gradient is that of half a
# batch. Compare with one process, as above: the losses of step 1 differ already.
# </details>
#
# ## Three lines to remember
#
# 1. Operations and memory can be counted on the `meta` device before any GPU is rented.
# 2. Several processes give the gradient of one, unless BatchNorm looks across the batch.
# 3. `batch` is the whole batch; the same command resumes a run that was stopped.
#
# You have reached the end of the course. [Chapter 0](00_overview.ipynb) has the map.
