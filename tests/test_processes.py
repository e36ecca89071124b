"""Several processes do what one does: the same losses, the same weights, checkpoints together."""

import json
import os
import subprocess
import sys
from pathlib import Path

import processes
import pytest
import torch
from conftest import log_of
from safetensors.torch import load_file

from scgan_lib import training
from scgan_lib.paths import ROOT

LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes found, and the folder with their results."""
    folder = tmp_path_factory.mktemp("two")
    env = os.environ | {"SCGAN_OUTPUT": str(folder), "OMP_NUM_THREADS": "1"}
    script = [str(Path(processes.__file__)), str(folder / "found.json")]
    done = subprocess.run(
        [sys.executable, *LAUNCH, *script], env=env, cwd=ROOT, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "found.json").read_text()), folder


def folder_of(root: Path, name: str, stage: int) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCGAN_OUTPUT", str(root))
        return training.stage_folder(processes.profile(name, processes.SETTINGS), stage)


def test_two_processes_have_the_losses_and_weights_of_one(two, tmp_path, monkeypatch):
    """Without BatchNorm and random mixing, both stages, hinge critics."""
    found, folder = two
    assert found[0]["alike"] == found[1]["alike"]
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))
    training.train(processes.profile("alike", processes.ALIKE), 2)
    for stage in (1, 2):
        there, here = folder_of(folder, "alike", stage), folder_of(tmp_path, "alike", stage)
        expected = [pytest.approx(row, rel=2e-3, abs=2e-5) for row in log_of(here)]
        assert log_of(there) == expected and len(expected) == 2
        one, other = (load_file(f / "final.safetensors") for f in (here, there))
        assert one.keys() == other.keys()
        for name, value in one.items():  # a rate of 1.5e-3 moved them by up to 6e-3
            torch.testing.assert_close(other[name], value, rtol=0, atol=2e-4)


def test_processes_keep_the_same_weights_with_the_papers_critics(two):
    """Penalty, norms, spectral buffers: what one process learns all learn, resumed or not."""
    (first, second), folder = two
    for name in ("paper", "resumed", "released", "unguided", "clocks"):
        assert first[name] == second[name], name
    assert first["paper"] == first["resumed"] == first["clocks"] != first["unguided"]
    for row in log_of(folder_of(folder, "paper", 2)):
        assert row["color_penalty"] > 0 and row["salient_penalty"] > 0


def test_a_batch_that_cannot_be_shared_is_refused(two):
    for found in two[0]:
        assert "a batch of 5 cannot be shared evenly by 2 processes" in found["refused"]
        assert found["stage0"] == 4
