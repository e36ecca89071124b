"""Stage 0: VGG-16-Gray learns to see before the generator asks it what a picture shows.

Two ways. `labels`: classify gray pictures, the paper's way, on ImageNet. `features`:
no labels; foretell from the gray picture what a frozen RGB VGG-16 sees in the colour one. The
encoder is saved alone, for `global_encoder=vgg16_gray` and `global_weights=<file>`.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import set_seed
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils.data import DataLoader, Subset

from scgan_lib import pretrained, training
from scgan_lib.colorize import pick_device
from scgan_lib.config import Profile
from scgan_lib.data import (
    Photo,
    TrainingSet,
    decoded_photos,
    make_batch,
    photos,
    random_crop,
    test_picture,
    verify_hashes,
)
from scgan_lib.layers import advance_spectral_norm
from scgan_lib.networks import GlobalEncoder
from scgan_lib.paths import UserError, atomic_write
from scgan_lib.progress import progress
from scgan_lib.vgg import CONV5_3, IMAGENET_MEAN, IMAGENET_STD, vgg16_layers

KINDS = ("labels", "features")
# A mean over 512 channels gives each row of the head 1/512 of a gradient: SGD would hardly move.
FEATURE_SCALE = 64.0
MEASURED = 512  # crops from which the channels' mean and variance are taken


# --- pictures and what is asked of them -----------------------------------------------------------


def labelled(profile: Profile, *splits: str) -> list[tuple[Photo, str]]:
    """(photo, class) of `splits`: the coarse kind in credits.csv, else the folder's name.

    `train_images` and `test_images` take pictures evenly from the list, so that no class is lost.
    A split that a small folder lacks is left out; UserError when all are empty.
    """
    found: list[Photo] = []
    for split in splits:
        try:
            every = photos(replace(profile, train_images=0, train_every=1, test_images=0), split)
        except UserError:
            if split == splits[-1] and not found:
                raise
            continue
        limit = {"train": profile.train_images, "test": profile.test_images}.get(split)
        count = min(limit or len(every), len(every))
        found += [every[i * len(every) // count] for i in range(count)]
    root, kinds = profile.data_path, {}
    if (root / "credits.csv").is_file():
        with open(root / "credits.csv", newline="", encoding="utf-8") as file:
            kinds = {root / row["file"]: row.get("coarse") for row in csv.DictReader(file)}
    return [(p, kinds.get(p.path) or p.path.parent.name) for p in found]


class GrayPictures(TrainingSet):
    """Item i -> gray (1,S,S), rgb (3,S,S) in [-1,1], label int. Random crop and flip, or centre.

    As in `TrainingSet`, what item i shows depends on (seed, i) alone. `length=0`: each picture
    once, in order, its centre crop.
    """

    def __init__(
        self, profile: Profile, found: list[tuple[Photo, str]], classes: list[str], length: int = 0
    ) -> None:
        self.profile, self.stage, self.random = profile, 0, length > 0
        self.photos = [p for p, _ in found]
        self.pictures = decoded_photos(self.photos, profile) if self.random else None
        self.labels = [classes.index(c) if c in classes else -1 for _, c in found]
        self.length = length or len(found)

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        views = make_batch(self.raw(item))
        return {k: views[k] for k in ("gray", "rgb", "label")}

    def raw(self, item: int) -> dict[str, Tensor]:
        index = self._shuffled(item) if self.random else item
        if self.random:
            rng = np.random.default_rng([self.profile.seed, 0, item])
            pixels = random_crop(self.pictures[index], self.profile, rng)
        else:
            pixels = test_picture(self.photos[index], self.profile.image_size)
        label = torch.tensor(self.labels[index])
        return {"u8": torch.from_numpy(pixels.copy()), "label": label}


class TrunkTarget(nn.Module):
    """What is to be foretold: conv5_3 (after ReLU) of a frozen VGG-16 for the colour picture.

    rgb (B,3,H,W) in [-1,1] -> (B,512,H/32,W/32). Each channel has mean 0 and variance 1 over the
    first crops of `pictures`, measured once and then fixed, so that every channel weighs the
    same and a picture's target does not hang on its neighbours in the batch.
    """

    def __init__(self, state: dict[str, Tensor], pictures: GrayPictures, device: str) -> None:
        super().__init__()
        self.features = vgg16_layers(3, CONV5_3 + 1)
        self.load_state_dict({name: state[name] for name in self.state_dict()})
        self.features.requires_grad_(False)
        self.norm = nn.BatchNorm2d(512, affine=False, momentum=None)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.to(device)
        some = Subset(pictures, range(min(MEASURED, len(pictures))))
        for part in DataLoader(some, 64, num_workers=pictures.profile.workers):
            self(part["rgb"].to(device))
        self.eval()

    @torch.no_grad()
    def forward(self, rgb: Tensor) -> Tensor:
        features = self.features(((rgb + 1) / 2 - self.mean) / self.std)  # (B, 512, H/16, W/16)
        return self.norm(F.avg_pool2d(features, 2))


# --- networks -------------------------------------------------------------------------------------


def build(profile: Profile, kind: str, classes: int = 0, folded: bool = False) -> nn.Sequential:
    """`encoder` and `head`: gray (B,1,H,W) -> logits (B,classes) or a map (B,512,H/32,W/32).

    labels: average over the map, dropout ½, one linear layer. features: one 1x1 convolution.
    Torch's own initialisation: the N(0, 0.02²) of the GAN is so small in narrow networks that
    the first steps of SGD throw them about.
    """
    encoder = GlobalEncoder(profile.width, profile.generator_norm, profile.generator_spectral)
    if folded:
        start_folded(encoder, pretrained.fold_to_gray(pretrained.vgg16_trunk(profile.vgg)))
    wide = encoder.out_channels
    if kind == "features":
        head: nn.Module = nn.Conv2d(wide, 512, 1)
    else:
        average = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
        head = nn.Sequential(*average, nn.Dropout(0.5), nn.Linear(wide, classes))
    return nn.Sequential(OrderedDict(encoder=encoder, head=head))


@torch.no_grad()
def start_folded(encoder: GlobalEncoder, folded: dict[str, Tensor]) -> None:
    """Copy the 13 convolutions of an ImageNet VGG-16 folded to one channel into `encoder`.

    Its biases have no place here (the convolutions have none; the norm layers learn their own),
    and `pool5` keeps its own start. UserError unless width = 64; nothing is copied then.
    """
    names = [n for n in folded if n.endswith(".weight")]
    names.sort(key=lambda n: int(n.split(".")[1]))
    pairs = []
    for (ours, block), name in zip(list(encoder.named_children())[:13], names, strict=True):
        wrapped = parametrize.is_parametrized(block.conv, "weight")
        weight = block.conv.parametrizations.weight.original if wrapped else block.conv.weight
        if weight.shape != folded[name].shape:
            raise UserError(
                f"stage 0 cannot start from the folded VGG-16: {ours} has shape "
                f"{[*weight.shape]}, VGG-16 {[*folded[name].shape]}; set width=64 or leave "
                "--folded out"
            )
        pairs.append((weight, folded[name]))
    for weight, value in pairs:
        weight.copy_(value)
    advance_spectral_norm(encoder, iterations=15)


@torch.no_grad()
def evaluate(
    model: nn.Module, target: TrunkTarget | None, pictures: GrayPictures, batch: int
) -> dict[str, float]:
    """On gray held-out centre crops: top-1 and top-5 in percent, or the unexplained share.

    The share is the squared error over that of the best constant, 0: 1 means nothing was learned.
    """
    device = next(model.parameters()).device
    model.eval()
    sums: dict[str, float] = {}
    for part in DataLoader(pictures, batch, num_workers=pictures.profile.workers):
        out = model(part["gray"].to(device))
        if target is not None:
            wanted = target(part["rgb"].to(device))
            values = {"error": float((out - wanted).square().sum())}
            values["constant"] = float(wanted.square().sum())
        else:
            order = out.argsort(1, descending=True).cpu() == part["label"][:, None]
            values = {f"top{k}": 100.0 * int(order[:, :k].sum()) for k in (1, 5)}
        sums = {k: sums.get(k, 0.0) + v for k, v in values.items()}
    model.train()
    if target is not None:
        return {"unexplained": sums["error"] / sums["constant"]}
    return {k: v / len(pictures) for k, v in sums.items()}


# --- a run ----------------------------------------------------------------------------------------


def settings(profile: Profile, kind: str, folded: bool) -> dict:
    """The numbers that the encoder depends on: what the folder is bound to."""
    names = (
        "name", "seed", "precision", "fidelity", "data", "image_size", "min_scale", "train_images",
        "width", "generator_norm", "generator_spectral", "vgg",
    )  # fmt: skip
    chosen = {k: v for k, v in profile.settings().items() if k in names or k.startswith("stage0_")}
    if kind == "labels" and not folded:
        del chosen["vgg"]  # no VGG-16 is asked
    return chosen | {"kind": kind, "folded": folded}


def rate(profile: Profile, step: int) -> float:
    """Factor of the learning rate: a tenth after every `stage0_tenth_every` steps."""
    return 0.1 ** (step // profile.stage0_tenth_every)


def train(
    profile: Profile, kind: str = "labels", folded: bool = False, until: int | None = None
) -> Path:
    """Train the encoder, or go on with it, or do nothing if it is done. -> its weights.

    SGD with momentum and weight decay; cross-entropy of the classes, or mean squared error of the
    features. Writes `log.csv`, checkpoints and `final.safetensors` below
    `results/<profile>/runs/stage0/`; `until` stops after that step. `folded` starts from VGG-16
    (width 64 only). UserError for one class, no held-out pictures, a run with other settings.
    """
    if kind not in KINDS:
        raise UserError(f"stage 0 learns from one of {KINDS}, not {kind!r}")
    pick_device(profile.device)
    if kind == "features" or folded:
        profile = replace(profile, vgg=pretrained.vgg16_trunk(profile.vgg).source)
    folder, final = training.stage_folder(profile, 0), training.final_weights(profile, 0)
    folder.mkdir(parents=True, exist_ok=True)
    training._claim(folder, settings(profile, kind, folded))
    if final.is_file():
        return final

    steps, batch_size = profile.stage0_steps, profile.stage0_batch
    known, held_out = labelled(profile, "train"), labelled(profile, "val", "test")
    verify_hashes([p for p, _ in known if p.sha256])
    classes = sorted({name for _, name in known}) if kind == "labels" else []
    if kind == "labels":
        held_out = [(p, name) for p, name in held_out if name in classes]
        if len(classes) < 2 or not held_out:
            raise UserError(
                f"{profile.data_path}: classes {classes[:3]}, {len(held_out)} held-out pictures "
                "of them; put pictures of each class in a folder of its own, or use --features"
            )

    items = GrayPictures(profile, known, classes, steps * batch_size)
    set_seed(profile.seed * 10)
    accelerator = training._accelerator(profile, batch_size)
    model = build(profile, kind, len(classes), folded)
    optimizer = torch.optim.SGD(
        model.parameters(), profile.stage0_lr, profile.stage0_momentum,
        weight_decay=profile.stage0_weight_decay,
    )  # fmt: skip
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: rate(profile, s))
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    target = None
    if kind == "features":
        state = pretrained.vgg16_trunk(profile.vgg).state
        target = TrunkTarget(state, items, accelerator.device)

    start, seconds = training._resume(folder, accelerator)
    plain, main = accelerator.unwrap_model(model), accelerator.is_main_process
    log = training._Log(folder / "log.csv", start, main)
    loader = training._loader(replace(profile, batch=batch_size), start, steps, accelerator, items)
    test = GrayPictures(profile, held_out, classes)
    tests = training._sample_steps(steps, profile.samples)
    scores: dict[str, float] = {}

    begun = saved = time.monotonic()
    bar = progress(
        total=steps * batch_size, initial=start * batch_size,
        desc=f"stage 0, {kind}", unit="image", disable=not main,
    )  # fmt: skip
    model.train()
    for step, batch in enumerate(loader, start + 1):
        # Dropout of step k depends on k alone: a resumed run draws what an unbroken one draws.
        torch.manual_seed((profile.seed * steps + step) * 1000 + accelerator.process_index)
        out = model(batch["gray"])
        if target is None:
            loss, scale = F.cross_entropy(out, batch["label"]), 1.0
        else:
            loss, scale = F.mse_loss(out, target(batch["rgb"])), FEATURE_SCALE
        lr, value = scheduler.get_last_lr()[0], loss.detach()
        training._update(optimizer, scale * loss, accelerator)
        scheduler.step()
        bar.update(batch_size)
        spent, stop = time.monotonic() - begun, step == until
        report = step % profile.log_every == 0 or step in tests or step == steps
        due = begun + spent - saved > profile.checkpoint_seconds
        save = (training._due(due, report, accelerator) or stop) and step < steps
        if (report or save) and not math.isfinite(value):
            raise UserError(
                f"{folder}: step {step}: the loss is not finite; lower stage0_lr; "
                "the last checkpoint is untouched"
            )
        if report and main:
            row = {
                "step": step, "seconds": seconds + spent,
                "images_per_s": (step - start) * batch_size / spent, "lr": lr, "loss": float(value),
            }  # fmt: skip
            if step in tests or step == steps:
                scores = evaluate(plain, target, test, batch_size)
                row |= scores
            log.add(row)
            bar.set_postfix(loss=float(value), **scores, refresh=False)
        if save:
            training._checkpoint(folder, accelerator, step, seconds + spent)
            saved = begun + spent
        if stop:
            break
    bar.close()
    if until is not None and until < steps:
        return folder
    accelerator.wait_for_everyone()
    if main:
        scores |= {"images": len(test), "classes": len(classes), "steps": steps}
        _save(plain.encoder, profile, final, kind=kind, folded=folded, metrics=scores)
        for old in folder.glob("checkpoint-*"):
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return final


def _save(encoder: GlobalEncoder, profile: Profile, path: Path, **facts) -> None:
    """The encoder alone, with the profile and `facts` as metadata; whole or not at all."""
    state = {k: v.detach().cpu().contiguous() for k, v in encoder.state_dict().items()}
    metadata = {"stage": "0", "profile": json.dumps(profile.settings())}
    with atomic_write(path) as part:
        save_file(state, part, metadata | {k: json.dumps(v) for k, v in facts.items()})


def facts(path: Path) -> dict:
    """What a file of stage 0 says of itself: `kind`, `folded`, `metrics` (on held-out pictures)."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    return {k: json.loads(v) for k, v in metadata.items() if k in ("kind", "folded", "metrics")}
