"""What all tests share: a fixed random state, tiny profiles, weights, pictures and trees."""

import csv
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scgan_lib import cli, config, loop
from scgan_lib.colorize import build_generator, save_generator

TINY = dict(
    device="cpu", vgg="hed", image_size=32, judge_size=48, levels=5, width=4, saliency_width=4,
    critic_width=4, batch=5, composites=0.2, train_images=12, test_images=3, stage1_steps=6,
    stage2_steps=4, samples=1, log_every=1, checkpoint_seconds=1e9,
)  # fmt: skip


@pytest.fixture(autouse=True)
def fixed_random_state():
    torch.manual_seed(0)
    if os.environ.get("OMP_NUM_THREADS") == "1":
        torch.set_num_threads(1)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """`tiny(**overrides)`: the smoke profile, smaller still; results go to a folder of the test."""
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))
    return lambda **overrides: config.load("smoke", **(TINY | overrides))


@pytest.fixture
def untied(tiny):
    """`tiny` without a VGG-16: no frozen trunk, no perceptual loss; hardly any time."""
    weights = {"perceptual": 0.0}

    def load(**overrides):
        loss = weights | overrides.pop("loss", {})
        return tiny(**(dict(global_encoder="none", loss=loss) | overrides))

    return load


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """Untrained weights whose colours can be seen."""
    torch.manual_seed(0)
    profile = config.load("smoke", global_encoder="none", width=4, saliency_width=4)
    generator = build_generator(profile)
    generator.to_rgb.conv.weight.data.mul_(30)
    path = tmp_path_factory.mktemp("weights") / "some.safetensors"
    save_generator(generator, profile, path, stage=1)
    return path


@pytest.fixture
def colours(weights):
    """`scgan colorize` with these weights: `colours(*inputs, out=folder, more=words)`."""

    def call(*inputs, out, more=()):
        paths = map(str, inputs)
        return cli.main(["colorize", *paths, "-o", str(out), "--weights", str(weights), *more])

    return call


def noise(*shape, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def waves(random: np.random.RandomState, channels: int, size: int) -> np.ndarray:
    """The recipe `image` of tests/data/official_*.json: (C,size,size) in 0..1."""
    row, column = np.mgrid[:size, :size] / size
    out = np.zeros((channels, size, size))
    for plane in out:
        for _ in range(8):
            fy, fx, phase, a = (random.uniform(*r) for r in ((0, 6), (0, 6), (0, 6.28), (0.2, 1)))
            plane += a * np.cos(2 * np.pi * (fy * row + fx * column) + phase)
    return (out - out.min()) / (out.max() - out.min())


class FirstPixel:
    """A judge that sees class R of the first pixel, and next to it R+1, R+2 ..."""

    name = "first pixel"

    def __call__(self, rgb_u8):
        distance = (torch.arange(1000)[None] - rgb_u8[:, 0, 0, 0].long()[:, None]) % 1000
        return -distance.float()


PIXEL = b"P5 1 1 255 7"  # a whole picture file (PGM)


def imagenet_tree(root: Path, *counts: int) -> Path:
    """An ImageNet tree of one picture: so many training and validation files of each class."""
    for number, count in enumerate(counts, 1):
        for split in ("train", "val"):
            wnid = f"n{number:02d}"
            (root / split / wnid).mkdir(parents=True)
            for i in range(count):
                (root / split / wnid / f"{wnid}_{split}_{i}.JPEG").write_bytes(PIXEL)
    return root


def log_of(folder: Path) -> list[dict[str, float]]:
    """The rows of a stage's log without its times; an empty cell is 0."""
    with open(folder / "log.csv", newline="") as file:
        rows = [{k: float(v or 0) for k, v in row.items()} for row in csv.DictReader(file)]
    return [{k: v for k, v in r.items() if k not in ("seconds", "images_per_s")} for r in rows]


def batches(items, start, steps, size, processes=1) -> list[dict[str, torch.Tensor]]:
    """The batches of steps start+1 ... steps; those of several processes one after the other."""
    accelerator = SimpleNamespace(
        num_processes=processes, device=torch.device("cpu"), prepare=lambda loader: loader
    )
    return [*loop.batches(items, start, steps, size, accelerator)]


def pytest_collection_modifyitems(items):
    """The long files first: two workers take a file each (`make test`)."""
    long = ("test_reproduce.py", "test_browser.py", "test_training.py", "test_stage0.py")
    items.sort(key=lambda item: item.path.name not in long)
