"""`make reproduce` as a user runs it: the chapters on `smoke`, headless, in order, then again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pandas as pd
import pytest

from scgan_lib.paths import ROOT

pytestmark = pytest.mark.notebooks


def make(*words: str) -> subprocess.CompletedProcess:
    call = ["make", *words]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=2400)


def reproduce(folder: Path, *more: str) -> subprocess.CompletedProcess:
    return make("reproduce", "PROFILE=smoke", f"SCGAN_OUTPUT={folder}", *more)


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    """A folder that holds what `make reproduce PROFILE=smoke` made."""
    folder = tmp_path_factory.mktemp("reproduce")
    run = reproduce(folder, "-j2")
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-4000:]
    assert all(word in run.stdout for word in ("SCGAN", "Pictures:", "Time of", "Next: `make lab`"))
    return folder


@pytest.mark.parametrize(("profile", "limit"), [("smoke", 3600), ("imagenet", 20 * 86400)])
def test_long_trainings_are_not_cut_off_and_processes_train_before_chapter_4(profile, limit):
    words = (f"PROFILE={profile}", "PROCESSES=3", "SCGAN_OUTPUT=absent")
    lines = make("-n", "reproduce", *words).stdout.splitlines()
    chapters = [line for line in lines if "tools/chapters.py run" in line]
    assert chapters and all(line.endswith(f"--timeout {limit}") for line in chapters)
    (launch,) = (i for i, line in enumerate(lines) if "--nproc_per_node 3" in line)
    places = [next(i for i, x in enumerate(lines) if f"notebooks/{c}" in x) for c in ("03", "04")]
    assert places[0] < launch < places[1]


def files(folder: Path) -> dict[str, int]:
    kinds = (".csv", ".md", ".tex", ".jpg", ".pdf", ".ipynb", ".safetensors")
    return {
        str(p.relative_to(folder)): p.stat().st_mtime_ns
        for p in folder.rglob("*")
        if p.suffix in kinds
    }


def test_everything_is_there(output):
    made = files(output)
    wanted = [f"results/smoke/{name}" for name in ("metrics.csv", "table1.md", "table1.tex")]
    wanted += [f"results/smoke/runs/stage{stage}/final.safetensors" for stage in (1, 2)]
    for name in ("gallery", "training_curves", "evolution", "bleeding", "best_and_worst"):
        wanted += [f"figures/smoke/{name}.{kind}" for kind in ("jpg", "pdf")]
    assert {*wanted} <= made.keys()
    chapters = sorted(p.stem for p in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
    assert sorted(Path(n).stem for n in made if "/notebooks/" in n) == chapters


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


def test_only_what_was_deleted_is_made_again(output):
    before = files(output)
    gone = {"results/smoke/table1.md", "results/smoke/table1.tex"}
    for name in gone:
        (output / name).unlink()
    run = reproduce(output)
    assert run.returncode == 0, run.stderr
    after = files(output)
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert gone <= changed
    assert not any("notebooks" in n or "runs/" in n or "metrics" in n for n in changed)
    rest = make("-n", "reproduce", "PROFILE=smoke", f"SCGAN_OUTPUT={output}").stdout
    assert "bin/scgan" not in rest and "chapters.py run" not in rest  # nothing is left to do
