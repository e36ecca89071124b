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
# the operations and the memory of a run *before* you pay for it; say which conditions must hold if
# several processes train one network, and check them; and start a training on one GPU, on several
# GPUs, and on several machines.
#
# **Time:** 20 minutes to read, about a minute to run on two CPU cores.
#
# **Before this:** chapters [4](04_stage1_l1_pretraining.ipynb) and
# [5](05_stage2_adversarial_training.ipynb). This project has not run the paper's setting, so no
# number below is a result of it. Operations and memory are computed. For each measured number, the
# text says where it was measured.

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
# ## The same code, other settings
#
# **The paper says:** train on ImageNet in two stages, and evaluate on 10,000 validation images. The
# first public version of the authors' code uses every tenth training image, about 128,000 in all,
# with eight pictures per batch: ten epochs of stage 1 (160,000 steps) and thirty epochs of stage 2
# (480,000 steps).
#
# **The code does** the same with the profile `imagenet`, apart from the differences that each
# chapter lists at its end. It first trains the global encoder, VGG-16-Gray, to classify gray
# pictures, as in the paper. This is *stage 0*: 750,750 steps of 256 pictures, on all of ImageNet.
# `--set global_weights=FILE` loads finished weights instead. The costs below do not include stage
# 0.
#
# No step of training or evaluation depends on the name of the profile. The table shows all settings
# that differ and can change a result, except those for stage 0, logging and the test set, and
# `generator_norm`, which matters for the number of processes (below). The comments in
# `scgan_lib/config.py` explain them. `data` is empty for `imagenet`, because you give the folder
# yourself (see *The commands*):

# %% jupyter={"source_hidden": true} tags=["hide-input"]
pair = {q.name: q.settings() for q in (p, big)}
for settings in pair.values():
    settings |= {f"λ {name}": value for name, value in settings.pop("loss").items()}
rows = {k: {n: str(x[k]) for n, x in pair.items()} for k in pair[p.name]}
other = {k for k, v in rows.items() if len(set(v.values())) > 1 and k[:6] != "stage0"}
other.add("generator_norm")  # the same in both
pd.DataFrame({k: rows[k] for k in rows if k in other - {"name", "samples", "test_images"}}).T

# %% [markdown]
# ## Count before you run
#
# We can count the operations of a step without doing the arithmetic. PyTorch has a device called
# `meta`: its tensors have a shape but no content. A step on `meta` calls all operations of a real
# step except the optimiser's, including the backward pass and the gradient penalty, but takes
# almost no time. A counter adds up the multiplications and additions of every convolution and
# matrix product.


# %%
def on_meta(q):
    """Generator, critics and features of profile `q` as shapes, with optimisers that do nothing."""
    # stage1_steps=0: otherwise stage 2 loads the weights that stage 1 has trained
    players = training.players_of(replace(q, stage1_steps=0, global_weights=""), 2)
    for network in (players.generator, *players.critics.values(), players.features):
        network.to("meta")
    idle = SimpleNamespace(zero_grad=lambda **_: None, step=lambda: None)
    players.generator_optimizer = players.critic_optimizer = idle
    return players


def batch_of(q, count):
    size = dict(device="meta", size=(count, 1, q.image_size, q.image_size))
    one = torch.zeros(**size)
    return {"gray": one, "rgb": one.expand(-1, 3, -1, -1), "saliency": one}


# takes the place of the Accelerator, which a training step calls for the backward pass
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
# *Operations per picture, in GFLOP (10⁹ operations): for inference, and for one training step of
# each stage.* A backward pass costs about as much as two forward passes. So a step of stage 1 of
# `imagenet` takes three times the operations of inference. For `mini` it takes only 1.2 times as
# many: most operations are in the frozen VGG-16, which needs no backward pass. **Look at** stage 2,
# which takes about 3.5 times the operations of stage 1. The critics score real, generated and mixed
# pictures, need a double backward pass for the penalty, and score the generated pictures again for
# the generator.
#
# **Check.** At full size, the number of trainable parameters must equal that of the released code:
# 58,755,200 in the generator and 5,766,144 in each critic.


# %%
def trainable(network):
    return sum(x.numel() for x in network.parameters() if x.requires_grad)


large = shapes[big.name]
assert trainable(large.generator) == 58_755_200
assert {trainable(c) for c in large.critics.values()} == {5_766_144}

# %% [markdown]
# ## From operations to days
#
# A stage needs *steps × batch × operations per picture*. To get the time, divide this by the
# operations per second of your machine (1 GFLOP/s is 10⁹, 1 TFLOP/s is 10¹² operations per second).
# If `mini` was trained on this machine, we can compute its speed: the log contains the pictures per
# second.

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
# *Operations of the whole training, in units of 10¹⁵. `imagenet` needs about 61,000 times as many
# as `mini`.*


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
# The days are computed, not measured, and the speeds in the last three lines are examples. A GPU's
# data sheet gives the speed of large matrix products. A network reaches only a part of it: on one
# H100, in bf16, stage 1 of `tiny` reached 2.6 % (`benchmarks/NOTES.md`). You have to measure this
# part: train a hundred steps (below), take the pictures per second (`images_per_s`) from `log.csv`,
# and multiply them by the operations per picture.
#
# ## Memory
#
# A training step needs memory for three things. The first is the trainable weights with their
# gradients and Adam's two moments: four numbers of four bytes for each weight. The second is the
# *activations*: everything that the forward pass stores for the backward pass. The third is
# temporary memory. The first does not depend on the batch, but the second grows with it. Autograd
# can report the tensors that it stores, also on `meta`:


# %%
def kept_gb(q, players):
    """(weights and all that belongs to them, activations a picture) of stage 1 in 10⁹ bytes."""
    generator, storages = players.generator, {}

    # called for each tensor that autograd stores; tensors that share a storage count once
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
# *GB (10⁹ bytes) in stage 1, with 32-bit numbers, without temporary memory.* Half precision would
# reduce the activations to about half (not counted here). Stage 2 adds two critics, and the penalty
# stores the graph of a gradient. The benchmark of this project has measured the memory of a whole
# process at full size, on a CPU, with a batch of **one** picture:

# %%
lines = json.loads((ROOT / "benchmarks" / "bench.json").read_text())["lines"]
for name in ("full inference", "full stage 1", "full stage 2"):
    print(f"{name.removeprefix('full ')}: {lines[name]['ours_mb'] / 1000:.1f} GB")

# %% [markdown]
# Each of these values includes temporary memory, the program and its libraries. So a real process
# needs more than the table says: 3.1 GB in stage 1, where the table gives 0.94 + 0.86 = 1.80 GB.
#
# ## Several processes, one network
#
# With $P$ GPUs there are $P$ processes. Each process has a copy of the networks and a share of
# every batch. Before the optimiser's step, the processes exchange their gradients and compute the
# mean (*data parallelism*). This is equivalent to training with one process only if four conditions
# hold:
#
# 1. **All shares have the same size**, so that the mean of the means is the mean of the batch. (The
#    code refuses a batch that cannot be divided evenly.)
# 2. **All processes have the same weights**, at the start and after each step.
# 3. **Each process has its own pictures and its own random numbers.** The pictures are its part of
#    the batch. The random numbers mix real and generated pictures for the penalty.
# 4. **All processes write a checkpoint at the same step.** A checkpoint is due every minute. If
#    each process used its own clock, one could stop for a checkpoint while the others go on, and
#    all would wait for each other. So the first process decides.
#
# We can check the first condition by hand, for an untrained generator with three kinds of
# normalisation: we compare the gradient of a batch of eight with the mean of two gradients of four.
# (The check leaves out the global encoder, because the folded one contains a BatchNorm.)


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
# **Look at** the last line. BatchNorm normalises over the batch, so a process with four pictures
# uses the statistics of these four. This is not an error, but a different training, as if the batch
# were smaller. It concerns `mini` and `imagenet`, whose generators use BatchNorm. The released
# code, with eight pictures on each GPU, has the same property. Layer norm works on each picture
# separately, so the size of the share does not matter.
#
# ## Two real processes
#
# Now we train with two processes on this machine's CPU, with the same command as for GPUs. We run
# both stages of a very small training, once with two processes and once with one. The generator has
# layer norm and no global encoder. The critics use the *hinge* loss (chapter 3), which needs no
# random numbers. So both runs must agree, up to rounding.

# %%
# vgg="hed": the offline VGG-16, for the perceptual loss
TINY = dict(stage1_steps=4, stage2_steps=2, batch=8, samples=1, log_every=1, gan="hinge")
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
# *The generator's loss in every step of both stages. All pairs agree to four decimals.*

# %%
named = [c for c in single if c not in ("step", "seconds", "images_per_s", "lr")]
difference = (single[named] - double[named]).abs().max().max()
assert difference < 5e-3, difference
print("losses compared:", ", ".join(named))
print(f"largest difference: {difference:.0e}")

# %% [markdown]
# The losses are not exactly equal, because the order of summation changes the rounding. Adam and
# the critics can amplify such differences, so the check allows 0.005. `tests/test_processes.py`
# checks more: the weights of both processes are equal bit for bit after each kind of run, including
# resumed runs; different clocks do not stop a run; and the batch is divided so that each process
# has composites (chapter 1).
#
# This check on a CPU cannot show the *speed*. We have not measured how much faster two GPUs are
# than one.
#
# ## The commands
#
# ```sh
# export IMAGENET=/data/imagenet                      # with train/ and val/, one folder per class
# scgan train --profile imagenet --stage 1 --set stage0_steps=100 --set stage1_steps=100  # a trial
# make reproduce PROFILE=imagenet                     # one GPU, everything
# make reproduce PROFILE=imagenet PROCESSES=4         # four GPUs train, then the chapters run
# ```
#
# The second command is a trial of the stages 0 and 1: does it fit, and how fast is it? Stage 2
# needs more memory and time: to try it, too, replace `--stage 1` with `--stage 2 --set
# stage2_steps=100`. The trial has other settings than the real run, so the real run refuses to
# resume it. Remove `results/imagenet/runs` first, or write the trial to another folder
# (`SCGAN_OUTPUT=/tmp/trial`).
#
# On several machines with a shared file system, set `IMAGENET` and run the same command on each
# (the tests of this project use one machine only). `FIRST_MACHINE` is the name of one of them:
#
# ```sh
# python -m torch.distributed.run --nnodes 2 --nproc_per_node 4 --rdzv_backend c10d \
#   --rdzv_endpoint FIRST_MACHINE:29500 -m scgan_lib.cli train --profile imagenet
# ```
#
# `batch` is always the *whole* batch. The authors used eight pictures per GPU. With four GPUs, this
# is `--set batch=32` (with `make`: `SET="batch=32"`); with the default of 8, each GPU gets two. To
# see the same number of pictures, use a quarter of the steps and of `halve_every`, the number of
# steps after which the learning rate is halved. The authors' code does not state whether the
# learning rate should grow with the batch.
#
# **Before the first step**, the saliency maps of all training photos are computed once. The teacher
# is `u2netp`, as in `mini`. It took 0.85 seconds per photo on one core (measured once, on 32 photos
# of ImageNet's size, on a busy machine). This is about thirty core-hours for 128,000 photos; the
# classical teacher, that of `tiny`, took about a third of a second per photo. The maps are stored
# in the folder `SCGAN_CACHE`. You can compute them before you rent a GPU: run the trial above with
# `DEVICE=cpu` and one step a stage, and copy the folder to the GPU machine. There, the photos must
# have the same absolute path, and must not be newer than the maps. The data loader's workers decode
# the photos again in each epoch.
#
# **If the cluster stops the run,** the same command resumes from the last checkpoint. The number of
# processes must be the same, because the checkpoint contains the random state of each process.
#
# **For half precision,** use `--set precision=bf16` (or `fp16`). The gradient penalty is still
# computed in 32 bits, because in `fp16` the square of a small gradient would become 0.
# `--set compile=inductor` compiles the generator, but not the critics, because compiled code cannot
# be differentiated twice. `--set channels_last=true` changes the memory layout. All three are off
# by default. `channels_last` is slower on a CPU, and it was slower for the generator of `tiny` on
# one GPU (`benchmarks/NOTES.md`). We have not compared the other two on a GPU.
#
# ## What differs from the paper and from the released code

# %%
paper.show_deviations("resume", "generator-runs", "working-size", "saliency-teacher")

# %% [markdown]
# ## Try it
#
# **1.** What share of the operations of a stage-2 step do the critics need? Count it on `meta`.
# <details><summary>Solution</summary>
#
# If the adversarial loss has weight 0, no critics are built:
#
# ```python
# without = replace(big, loss=replace(big.loss, adversarial=0.0))
# less = gflop(without, on_meta(without), "stage 2")
# print(f"{1 - less / counted['imagenet']['stage 2']:.0%} of the operations")
# ```
# </details>
#
# **2.** You have 300 dollars. One GPU costs 30 dollars a day, and two GPUs are 1.8 times as fast as
# one. When is the second GPU worth its price?
# <details><summary>Solution</summary>
#
# You can pay for ten days of one GPU, or for five days of two. In five days, two GPUs do as much as
# one GPU in nine days. So you get the result earlier, but with a tenth less training. The second
# GPU is worth its price if waiting costs more than this tenth.
# </details>
#
# **3.** Violate condition 3: give both processes the *same* pictures. Which value in the log would
# show the error?
# <details><summary>Solution</summary>
#
# None: the losses look plausible, and the run takes the same time. But both processes have the same
# gradient, so the second one adds nothing, and the gradient is that of half a batch. A comparison
# with one process, as above, shows the error: the losses differ from step 1 on.
# </details>
#
# ## Three lines to remember
#
# 1. You can count the operations, and the memory for weights and activations, on the `meta` device
#    before you rent a GPU.
# 2. Several processes with equal shares give the same gradient as one, unless the network
#    normalises over the batch.
# 3. `batch` is the whole batch, over all GPUs. The same command resumes a stopped run.
#
# **Next:** [chapter 11, verdict](11_verdict.ipynb).
