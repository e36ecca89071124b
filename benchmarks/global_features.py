"""Does the trained network use its global features? Give it those of another photograph and see.

    python benchmarks/global_features.py --source tiny-imagenet-200.zip

Colours validation photographs of Tiny ImageNet, ten of each class, four times with each of the
shipped networks: with their own global features, those of another photograph of the same class,
those of a photograph of another class, and the mean of all. Nothing is trained. Scores: PSNR, CCI,
and top-1 of EfficientNet-Lite0 among the 200 classes. Writes results/tiny/global-features.json:
for each measure the mean, then the paired difference to the own features and half of its 95 %
interval over photographs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scgan_lib import pretrained, tiny
from scgan_lib.colorize import inference_form, load_generator
from scgan_lib.metrics import cci, psnr
from scgan_lib.networks import Generator, luma
from scgan_lib.paths import ROOT, atomic_write
from scgan_lib.pictures import to_pm1, to_u8
from scgan_lib.progress import progress

WEIGHTS = {"stage 1": "generator.safetensors", "SCGAN": "scgan.safetensors"}
PART = 40  # photographs at a time


def sample(data: tiny.Tiny, each: int) -> tuple[Tensor, Tensor]:
    """uint8 (200·each,3,64,64) and label, class after class, of the photographs with colour."""
    found = []
    for label in range(len(data.wnids)):
        index = np.flatnonzero((data.split == "val") & (data.label == label))
        rgb = torch.from_numpy(np.array(data.rgb[index])).permute(0, 3, 1, 2)
        found.append(rgb[torch.as_tensor(cci(rgb)) > 1][:each])
    return torch.cat(found), torch.arange(len(found)).repeat_interleave(each)


def donors(features: Tensor, each: int) -> dict[str, Tensor]:
    """Whose features each photograph gets: (N,C,h,w) of its own, and those of others."""
    by_class = features.unflatten(0, (-1, each))
    return {
        "own": features,
        "same class": by_class.roll(1, 1).flatten(0, 1),
        "other class": by_class.roll(1, 0).flatten(0, 1),
        "mean": features.mean(0, keepdim=True).expand_as(features),
    }


@torch.inference_mode()
def scores(generator: Generator, rgb: Tensor, label: Tensor, data: tiny.Tiny) -> pd.DataFrame:
    """A row for each photograph: psnr, cci and top1 (percent) with the features of each donor."""
    judge, encoder = pretrained.load_judge("efficientnet-lite0"), generator.global_encoder
    gray = to_pm1(luma(rgb.float()).round())
    features = torch.cat([encoder(part) for part in gray.split(PART)])
    columns = {}
    for donor, given in donors(features, len(rgb) // len(data.wnids)).items():
        parts = zip(gray.split(PART), given.split(PART), label.split(PART), strict=True)
        made, right = [], []
        for one, theirs, true in progress(list(parts), desc=donor, unit="part"):
            hook = encoder.register_forward_hook(lambda *_, theirs=theirs: theirs)
            u8 = to_u8(generator(one)[0])
            hook.remove()
            made.append(u8)
            right.append(pretrained.restrict(judge(u8), data.wnids).argmax(1) == true)
        u8 = torch.cat(made)
        columns[donor, "psnr"], columns[donor, "cci"] = psnr(u8, rgb), cci(u8)
        columns[donor, "top1"] = 100.0 * torch.cat(right)
    return pd.DataFrame({key: np.asarray(value) for key, value in columns.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="tiny-imagenet-200.zip")
    parser.add_argument("--cache", default=None)
    parser.add_argument("--each", type=int, default=10, help="photographs of each class")
    parser.add_argument("--out", type=Path, default=ROOT / "results/tiny/global-features.json")
    args = parser.parse_args()
    data = tiny.open_tiny(args.source, args.cache)
    rgb, label = sample(data, args.each)
    facts: dict[str, Any] = {"n": len(rgb)}
    for name, file in WEIGHTS.items():
        generator = inference_form(load_generator(ROOT / "results/tiny" / file)[0])
        rows = scores(generator, rgb, label, data)
        facts[name] = {}
        for donor, measure in rows:
            gap = rows[donor, measure] - rows["own", measure]
            numbers = (rows[donor, measure].mean(), gap.mean(), 1.96 * gap.sem())
            facts[name].setdefault(donor, {})[measure] = [round(float(x), 4) for x in numbers]
    with atomic_write(args.out) as part:
        part.write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
