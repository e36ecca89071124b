"""`make reproduce` as a user runs it: the chapters on `smoke`, headless, in order, then again."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from scgan_lib.paths import ROOT

pytestmark = pytest.mark.notebooks


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    """A folder that holds what `make reproduce PROFILE=smoke` made."""
    folder = tmp_path_factory.mktemp("reproduce")
    run = make(folder)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-4000:]
    assert all(word in run.stdout for word in ("SCGAN", "Pictures:", "Time of", "Next: `make lab`"))
    return folder


def make(folder: Path) -> subprocess.CompletedProcess:
    call = ["make", "reproduce", "PROFILE=smoke", f"SCGAN_OUTPUT={folder}"]
    environment = {**os.environ, "SCGAN_OUTPUT": str(folder)}
    return subprocess.run(
        call, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=2400
    )


@pytest.mark.parametrize(("profile", "limit"), [("smoke", 3600), ("imagenet", 20 * 86400)])
def test_long_trainings_are_not_cut_off_and_processes_train_before_chapter_4(profile, limit):
    call = ["make", "-n", "reproduce", f"PROFILE={profile}", "PROCESSES=3", "SCGAN_OUTPUT=absent"]
    lines = subprocess.run(call, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    chapters = [line for line in lines if "tools/chapters.py run" in line]
    assert chapters and all(line.endswith(f"--timeout {limit}") for line in chapters)
    (launch,) = (i for i, line in enumerate(lines) if "--nproc_per_node 3" in line)
    places = [next(i for i, x in enumerate(lines) if f"notebooks/{c}" in x) for c in ("03", "04")]
    assert places[0] < launch < places[1]


def test_a_folder_with_a_space_and_what_is_typed_wins(tmp_path):
    folder = tmp_path / "my results"
    call = ["make", "-n", "reproduce", "PROFILE=smoke", "SEED=2", f"SCGAN_OUTPUT={folder}"]
    environment = {**os.environ, "PROFILE": "mini", "SEED": "7", "SCGAN_OUTPUT": "/absent"}
    run = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0 and "warning" not in run.stderr, run.stderr
    targets = re.findall(r"run notebooks/\S+ (\S+) -p profile smoke -p seed 2 ", run.stdout)
    assert len(targets) == len(list((ROOT / "notebooks").glob("[0-9]*.py")))
    link = ROOT / targets[0].partition("/results/")[0]
    assert link.resolve() == folder.resolve()
    link.unlink()


def files(folder: Path) -> dict[str, int]:
    kinds = (".csv", ".md", ".tex", ".jpg", ".pdf", ".ipynb", ".safetensors")
    return {
        str(p.relative_to(folder)): p.stat().st_mtime_ns
        for p in folder.rglob("*")
        if p.suffix in kinds
    }


def test_everything_is_there(output):
    made = files(output)
    for name in ("table1.csv", "table1.md", "table1.tex", "metrics.csv"):
        assert f"results/smoke/{name}" in made
    chapters = sorted(p.stem for p in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
    assert sorted(Path(n).stem for n in made if "/notebooks/" in n) == chapters
    of_chapter_06 = ("judge_confusion", "bleeding", "distributions", "best_and_worst")
    for name in ("gallery", "training_curves", "evolution", *of_chapter_06):
        assert f"figures/smoke/{name}.jpg" in made and f"figures/smoke/{name}.pdf" in made
    for stage in (1, 2):
        assert f"results/smoke/runs/stage{stage}/final.safetensors" in made


def test_table_holds_the_rows_and_what_was_measured(output):
    rows = pd.read_csv(output / "results/smoke/metrics.csv")
    assert set(rows["method"]) == {"gray", "mean_color", "stage1", "scgan", "real"}
    assert rows.groupby(["set", "method"])["image"].nunique().eq(8).all()
    assert rows["set"].unique().tolist() == ["photos", "composites"]
    table = (output / "results/smoke/table1.md").read_text()
    gray = rows[(rows["method"] == "gray") & (rows["set"] == "photos")]["psnr"].mean()
    assert f"{gray:.2f}" in table
    for word in ("gray copy", "stage 1", "SCGAN", "real", "EfficientNet-Lite0", "seed"):
        assert word in table


def test_a_second_run_has_nothing_to_do(output):
    before, start = files(output), time.monotonic()
    run = make(output)
    assert run.returncode == 0, run.stderr
    assert files(output) == before
    assert "papermill" not in run.stdout
    assert time.monotonic() - start < 60  # a bound on doing nothing, far above the few seconds


def test_only_what_was_deleted_is_made_again(output):
    before = files(output)
    gone = ("figures/smoke/gallery.jpg", "results/smoke/table1.tex")
    for name in gone:
        (output / name).unlink()
    run = make(output)
    assert run.returncode == 0, run.stderr
    after = files(output)
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert set(gone) <= changed
    assert not any("notebooks" in n or "runs/" in n or "metrics" in n for n in changed)
