"""What all tests share: a fixed random state and a tiny profile that trains in seconds."""

import csv
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from scgan_lib import config, loop

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
