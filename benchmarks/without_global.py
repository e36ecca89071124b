"""Does the network need its global features? Train on without them and see what stays lost.

    python benchmarks/without_global.py --source tiny-imagenet-200.zip

Two copies of the shipped stage 1 of `tiny` go on with stage 1, on the same batches: one as it is,
one whose global features are replaced by their mean over 2,000 training photographs. So the second
can learn to do without, and cannot see a photograph's global features. Writes to `--out`: the two
networks, `curve.csv` (held-back training photographs) and, on the validation photographs with
colour, `scores.csv` and `without-global.json`: for each measure the mean, then the paired
difference to the first copy and half of its 95 % interval over photographs. The files
`without-global.json` and `without-global.csv` of results/tiny are these two, with the defaults.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scgan_lib import pretrained, tiny
from scgan_lib.colorize import inference_form, load_generator
from scgan_lib.config import load
from scgan_lib.data import TrainingSet, make_batch
from scgan_lib.metrics import cci, psnr
from scgan_lib.networks import Generator, luma
from scgan_lib.paths import ROOT
from scgan_lib.pictures import to_pm1, to_u8
from scgan_lib.progress import progress
from scgan_lib.training import Players, rate, stage1_step

STAGE1 = ROOT / "results/tiny/generator.safetensors"
PART = 40  # photographs at a time


def gray_of(u8: Tensor) -> Tensor:
    """uint8 colour (N,3,H,W) -> the network's input (N,1,H,W) in [-1,1]."""
    return to_pm1(luma(u8.float()).round())


def pictures(data: tiny.Tiny, index: np.ndarray) -> Tensor:
    """uint8 (N,3,64,64): those of these rows that have colour."""
    rgb = torch.from_numpy(np.array(data.rgb[index])).permute(0, 3, 1, 2)
    return rgb[torch.as_tensor(cci(rgb)) > 1]


@torch.inference_mode()
def mean_features(generator: Generator, rgb: Tensor) -> Tensor:
    """The global features (1,C,h,w), averaged over photographs."""
    encoder = generator.eval().global_encoder
    return torch.cat([encoder(gray_of(part), (2, 2)) for part in rgb.split(PART)]).mean(
        0, keepdim=True
    )


class Constant(torch.nn.Module):
    """In place of the global encoder: the same features for every photograph."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.register_buffer("features", features.clone())
        self.out_channels = features.shape[1]

    def forward(self, gray: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        return self.features.expand(len(gray), -1, -1, -1)


@torch.inference_mode()
def colorized(generator: Generator, rgb: Tensor) -> Tensor:
    parts = progress(rgb.split(PART), total=-(-len(rgb) // PART), desc="colorize", unit="part")
    return torch.cat([to_u8(generator(gray_of(part))[0]) for part in parts])


def train(networks: dict[str, Generator], data: tiny.Tiny, args: argparse.Namespace) -> None:
    """`args.steps` steps of stage 1 for each network, on the same batches."""
    profile = load("tiny", data=str(args.source), batch=args.batch, stage1_lr=args.lr)
    items = TrainingSet(profile, 1, args.steps * args.batch)
    held = pictures(data, data.indices("held")[:: args.every])
    players = {}
    for name, network in networks.items():
        trained = [p for p in network.train().parameters() if p.requires_grad]
        adamw = torch.optim.AdamW(trained, args.lr, profile.betas, weight_decay=0.02, fused=True)
        players[name] = Players(network, generator_optimizer=adamw)
    plain = SimpleNamespace(backward=lambda loss: loss.backward())
    with open(args.out / "curve.csv", "w", newline="", buffering=1) as file:
        log = csv.writer(file)
        log.writerow(["step", *(f"{name}_psnr" for name in networks)])
        for step in progress(range(args.steps + 1), total=args.steps + 1, desc="train"):
            if step % 100 == 0 or step == args.steps:
                means = []
                for network in networks.values():
                    means.append(psnr(colorized(network.eval(), held), held).mean())
                    network.train()
                log.writerow([step, *(f"{float(x):.4f}" for x in means)])
            if step == args.steps:
                break
            raw = [items.raw(i)["u8"] for i in range(step * args.batch, (step + 1) * args.batch)]
            batch = make_batch({"u8": torch.stack(raw)})
            for player in players.values():
                for group in player.generator_optimizer.param_groups:
                    group["lr"] = args.lr * rate(profile, step, args.steps)
                stage1_step(player, batch, profile, plain)


def score(networks: dict[str, Generator], data: tiny.Tiny, args: argparse.Namespace) -> None:
    judge = pretrained.load_judge("efficientnet-lite0")
    index = data.indices("val")[: args.validation]
    rgb = torch.from_numpy(np.array(data.rgb[index])).permute(0, 3, 1, 2)
    coloured = torch.as_tensor(cci(rgb)) > 1
    rgb, label = rgb[coloured], torch.as_tensor(data.label[index])[coloured]
    columns: dict[tuple[str, str], np.ndarray] = {}
    for name, network in networks.items():
        u8 = colorized(inference_form(network.eval()), rgb)
        columns[name, "psnr"] = np.asarray(psnr(u8, rgb))
        columns[name, "cci"] = np.asarray(cci(u8))
        print(name, columns[name, "psnr"].mean(), flush=True)
        parts = zip(u8.split(PART), label.split(PART), strict=True)
        with torch.inference_mode():
            right = [
                pretrained.restrict(judge(one), data.wnids).argmax(1) == true
                for one, true in progress(list(parts), desc=f"judge {name}", unit="part")
            ]
        columns[name, "top1"] = 100.0 * torch.cat(right).numpy()
    rows = pd.DataFrame(columns)
    rows.to_csv(args.out / "scores.csv", index=False, float_format="%.4f")
    facts = dict(n=len(rows), steps=args.steps, batch=args.batch, lr=args.lr)
    for name, measure in rows:
        gap = rows[name, measure] - rows["with", measure]
        numbers = (rows[name, measure].mean(), gap.mean(), 1.96 * gap.sem())
        facts.setdefault(name, {})[measure] = [round(float(x), 4) for x in numbers]
    (args.out / "without-global.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default="tiny-imagenet-200.zip")
    parser.add_argument("--out", type=Path, default=Path("build/without-global"))
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--every", type=int, default=10, help="each n-th held-back photograph")
    parser.add_argument("--validation", type=int, default=5_000, help="photographs to score")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    data = tiny.open_tiny(args.source)
    torch.manual_seed(0)
    networks = {name: load_generator(STAGE1)[0] for name in ("with", "without")}
    known = pictures(data, data.indices("train")[::34][:2100])[:2000]
    features = mean_features(networks["without"], known)
    networks["without"].global_encoder = Constant(features)
    train(networks, data, args)
    for name, network in networks.items():
        torch.save({k: v.half() for k, v in network.state_dict().items()}, args.out / f"{name}.pt")
    score(networks, data, args)


if __name__ == "__main__":
    main()
