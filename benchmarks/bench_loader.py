"""The training pictures alone: decoded once (ours) against decoded every time (reference).

`case(runs)` is the line "loader" of `make bench`: batches of 64 at 256x256 from the shipped photos,
in turns, in one process; the pictures of both sides are compared first. Beside it: images/s with 0,
1 and 2 workers, at the size of `mini` too, and peak memory, also with eight times as many files.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from scgan_lib import config, data, loop
from scgan_lib.config import Profile
from scgan_lib.data import TrainingSet
from scgan_lib.paths import UserError, cache_dir
from scgan_lib.saliency import saliency_maps

LARGE = config.load("mini", image_size=256, batch=64)
MINI = config.load("mini")
ALONE = SimpleNamespace(num_processes=1, device=torch.device("cpu"), prepare=lambda loader: loader)


class DecodedEachTime(Dataset):
    """What the loader did before, for sets too large to keep: open, decode, crop; floats out."""

    def __init__(self, profile: Profile, length: int) -> None:
        self.items = TrainingSet(profile, 1, length)
        photos = self.items.photos
        self.maps = saliency_maps([p.path for p in photos], profile.teacher, cache_dir())
        self.cutouts = data.photos(profile, "train", "cutout")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        p, items = self.items.profile, self.items
        rng = np.random.default_rng([p.seed, 1, item])
        composed = item % p.batch < items.in_batch
        index = int(rng.choice(items.backgrounds)) if composed else items._shuffled(item)
        photo = Image.fromarray(data.read_rgb(items.photos[index].path))
        saliency = data.open_picture(self.maps[index]).convert("L")
        side = min(photo.size) * rng.uniform(p.min_scale, 1.0)
        left, top = (rng.uniform(0, extent - side) for extent in photo.size)
        box, size = (left, top, left + side, top + side), (p.image_size,) * 2
        pair = [np.asarray(x.resize(size, Image.BICUBIC, box=box)) for x in (photo, saliency)]
        if rng.random() < 0.5:
            pair = [a[:, ::-1] for a in pair]
        if composed:
            path = self.cutouts[rng.integers(len(self.cutouts))].path
            pair = data.composite(pair[0], data.open_picture(path).convert("RGBA"), rng)
        u8 = torch.from_numpy(np.dstack(pair))
        return data.make_batch({"u8": u8})


def batches(side: str, profile: Profile, steps: int) -> Iterator[dict[str, torch.Tensor]]:
    """`steps` batches as a training run gets them, on the CPU."""
    if side == "ours":
        items = data.TrainingSet(profile, 1, steps * profile.batch)
        return iter(loop.batches(items, 0, steps, profile.batch, ALONE))
    items = DecodedEachTime(profile, steps * profile.batch)
    loader = DataLoader(items, profile.batch, num_workers=profile.workers)
    return iter(loader)


def ratio(runs: int) -> dict[str, float]:
    """Seconds a batch of each side, in turns; every batch compared."""
    both = [batches(side, LARGE, runs + 1) for side in ("reference", "ours")]
    pairs, difference = [], 0.0
    for _ in range(runs + 1):
        times, views = [], []
        for side in both:
            start = time.perf_counter()
            views.append(next(side))
            times.append(time.perf_counter() - start)
        pairs.append(times)
        difference = max(difference, *((views[0][k] - v).abs().max() for k, v in views[1].items()))
    pairs = pairs[1:]  # the first one warms up
    ratios = sorted(a / b for a, b in pairs)
    reference, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "ratio": statistics.median(ratios), "least": ratios[0], "largest": ratios[-1],
        "reference_s": reference, "ours_s": ours, "difference": float(difference),
    }  # fmt: skip


def images_per_s(side: str, profile: Profile, workers: int, steps: int) -> float:
    """Delivered when nothing waits for them; start-up and what it put in stock left out."""
    stock = 2 * workers + 1
    stream = batches(side, replace(profile, workers=workers), stock + steps)
    for _ in range(stock):
        next(stream)
    start = time.perf_counter()
    for _ in range(steps):
        next(stream)
    return steps * profile.batch / (time.perf_counter() - start)


# --- memory: a process of its own each ------------------------------------------------------------


def peak_mb(*arguments: str) -> float:
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{' '.join(command)}: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.splitlines()[-1])


def own_peak_mb() -> float:
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def peak_of_batches(side: str) -> float:
    """Six batches of 64 at 256x256."""
    for _ in batches(side, LARGE, 6):
        pass
    return own_peak_mb()


def peak_of_files(copies: int) -> float:
    """The 262 shipped photos `copies` times as files of their own, each of them cropped once."""
    every = [p for split in ("train", "val", "test") for p in data.photos(MINI, split)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SCGAN_CACHE"] = folder
        found = []
        for copy in range(copies):
            for photo in every:
                path = Path(folder) / f"{copy}-{photo.path.name}"
                shutil.copy(photo.path, path)
                with open(path, "ab") as file:
                    file.write(bytes([copy]))  # after the picture's end: another content, a new key
                found.append(replace(photo, path=path))
        pictures = data.decoded_photos(found, LARGE)
        rng = np.random.default_rng(0)
        for i in range(len(pictures)):
            data.random_crop(pictures[i], LARGE, rng)
    return own_peak_mb()


# --- the line of `make bench` ---------------------------------------------------------------------


def case(runs: int) -> dict:
    """Ratio with its spread, seconds a batch, largest difference, images/s, peak memory in MB."""
    row = ratio(max(runs, 1))
    row["images_per_s"] = {
        f"{name}, {workers} workers, {side}": images_per_s(side, profile, workers, steps)
        for name, profile, steps in (("64 x 256 px", LARGE, 6), ("mini: 16 x 64 px", MINI, 24))
        for workers in (0, 1, 2)
        for side in ("reference", "ours")
    }
    for side in ("reference", "ours"):
        row[f"{side}_mb"] = peak_mb("--peak", side)
    row["files_mb"] = {str(262 * n): peak_mb("--files", str(n)) for n in (1, 8)}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peak", choices=("reference", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--files", type=int, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.peak:
        print(peak_of_batches(a.peak))
    elif a.files:
        print(peak_of_files(a.files))
    else:
        print(json.dumps(case(a.runs), indent=1))


if __name__ == "__main__":
    main()
