"""Ablations: what a variant changes, one stage 1 for many, resume, failures, Table 2."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TINY

from scgan_lib import ablations, cli, pretrained, tables, training
from scgan_lib.evaluation import COLUMNS
from scgan_lib.paths import UserError

SMALL = TINY | dict(
    global_encoder="none", loss="{perceptual: 0.0, adversarial: 0.01}", batch=2, composites=0.0,
    stage1_steps=1, stage2_steps=1, critic_steps=1, samples=0,
)  # fmt: skip
ONLY = ("no-salient-critic", "no-stage1")


def call(*more, **overrides):
    settings = [x for k, v in (SMALL | overrides).items() for x in ("--set", f"{k}={v}")]
    words = ["ablate", "--profile", "smoke", "--seeds", "0", "1", "--only", *ONLY, *settings, *more]
    return cli.main([str(w) for w in words])


class Judge:
    """Any pure function of the picture, for speed."""

    name = "J"

    def __call__(self, rgb_u8):
        return (torch.arange(1000) * rgb_u8[:, :, 0, 0].sum(1, keepdim=True)) % 997


@pytest.fixture(scope="module", autouse=True)
def judge():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "load_judge", Judge)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory, judge):
    """results/smoke after `scgan ablate` with two seeds, tiny networks, no VGG-16."""
    folder = tmp_path_factory.mktemp("ablations")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCGAN_OUTPUT", str(folder))
        assert call() == 0
    return folder / "results/smoke"


@pytest.fixture
def again(folder, monkeypatch):
    monkeypatch.setenv("SCGAN_OUTPUT", str(folder.parents[1]))
    return folder


def weights(folder):
    found = (folder / "ablations").rglob("final.safetensors")
    return {str(p.relative_to(folder / "ablations")): p.stat().st_mtime_ns for p in found}


@pytest.mark.parametrize(
    ("name", "changed", "stage1_of"),
    [
        ("full", {}, "full"),
        (
            "no-saliency",
            {"saliency_guidance": (True, False), "salient_critic": (True, False)},
            "no-saliency",
        ),
        ("no-salient-critic", {"salient_critic": (True, False)}, "full"),
        ("no-perceptual", {"loss.perceptual": (5.0, 0.0)}, "full"),
        ("no-adversarial", {"loss.adversarial": (0.01, 0.0)}, "full"),
        ("no-global", {"global_encoder": ("folded_vgg16", "none")}, "no-global"),
        ("no-stage1", {"stage1_steps": (240, 0), "stage2_steps": (60, 300)}, ""),
    ],
)
def test_a_variant_changes_what_it_names_and_shares_stage_1_where_it_can(name, changed, stage1_of):
    base = ablations.budgeted("mini")
    assert ablations.changed(base, name) == changed
    assert ablations.stage1_owner(base, name) == stage1_of
    profile = ablations.variant(base, name, 2)
    assert profile.seed == 2 and profile.results.parts[-2:] == ("ablations", f"{name}-seed2")
    assert ablations.MEANING.keys() == ablations.VARIANTS.keys()


# --- the command ----------------------------------------------------------------------------------


def test_the_command_leaves_rows_provenance_and_one_shared_stage_1(folder):
    rows = pd.read_csv(folder / "ablations.csv")
    assert [*rows.columns] == ["image", "variant", "seed", *COLUMNS[2:]]
    names = ["full", *ONLY, "gray", "real"]
    photos, composites = (rows[rows["set"] == s] for s in ("photos", "composites"))
    assert photos.groupby(["variant", "seed"]).size().to_dict() == {
        (n, s): 3 for n in names for s in (0, 1)
    }
    assert set(composites["variant"]) == {*names} and composites["boundary_chroma"].notna().all()
    facts = json.loads((folder / "ablations.json").read_text())
    assert [facts["settings"][k] for k in ("stage1_steps", "stage2_steps", "batch")] == [1, 1, 2]
    assert facts["seeds"] == [0, 1] and facts["failed"] == {} and facts["commit"]
    stages = [("full", 1), *((n, 2) for n in ("full", *ONLY))]
    assert facts["seconds"].keys() == {
        f"{n}, seed {s}, stage {stage}" for s in (0, 1) for n, stage in stages
    }
    assert "| no salient critic" in (folder / "table2.md").read_text()
    full, shared, none = (folder / f"ablations/{n}-seed1/runs/stage1" for n in ("full", *ONLY))
    assert shared.resolve() == full.resolve() and not none.exists()
    other = folder / "ablations/full-seed0/runs/stage1"
    first, second = ((f / "final.safetensors").read_bytes() for f in (full, other))
    assert first != second


def test_a_rerun_trains_only_what_is_missing(again):
    before, table = weights(again), (again / "ablations.csv").read_bytes()
    gone = "no-stage1-seed1/runs/stage2/final.safetensors"
    (again / "ablations" / gone).unlink()
    assert call() == 0
    after = weights(again)
    assert {k for k in after if after[k] != before[k]} == {gone}
    assert (again / "ablations.csv").read_bytes() == table  # same seed, same weights


def test_other_settings_are_refused_and_the_old_table_stays(again, capsys):
    table = (again / "ablations.csv").read_bytes()
    assert call(stage1_steps=3) == 2
    text = capsys.readouterr()
    assert "stage1_steps 1 -> 3" in text.err and "no ablation could be scored" in text.err
    assert (again / "ablations.csv").read_bytes() == table


def test_one_failure_does_not_stop_the_rest(folder, tmp_path, monkeypatch, capsys):
    shutil.copytree(folder, tmp_path / "results/smoke", symlinks=True)
    (tmp_path / "results/smoke/ablations/no-stage1-seed1/runs/stage2/final.safetensors").unlink()
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))

    def train(profile, stage, real=training.train):
        if profile.variant == "no-stage1":
            raise UserError("a loss is not finite")
        return real(profile, stage)

    monkeypatch.setattr(training, "train", train)
    assert call("--only", "no-colour", "no-stage1") == 1
    errors = {x for x in capsys.readouterr().err.splitlines() if x.startswith("failed:")}
    assert errors >= {f"failed: no-stage1, seed {s}: a loss is not finite" for s in (0, 1)}
    assert sum("no-colour" in x for x in errors) == 2
    rows = pd.read_csv(tmp_path / "results/smoke/ablations.csv")  # what was trained before stays
    assert set(rows["variant"]) == {"full", "no-salient-critic", "gray", "real"}


# --- Table 2 on invented numbers ------------------------------------------------------------------

PHOTOS = [f"p{i:02d}" for i in range(20)]
EASE = np.linspace(-3, 3, len(PHOTOS))  # the photos' own spread, common to all
WOBBLE = 0.05 * np.cos(np.arange(len(PHOTOS)))  # small, mean about 0


def invented(tmp_path, variant, *differences):
    """Table 2 of `full` and a variant whose PSNR is off by differences[seed]."""
    frames = []
    for seed, difference in enumerate(differences):
        for name, off in {"full": 0.0, variant: difference}.items():
            wobble = WOBBLE * (name != "full")
            numbers = {"psnr": 22 + EASE + off + wobble, "ssim": 0.9 + 0 * EASE, "cci": 20 + EASE}
            frame = pd.DataFrame({"image": PHOTOS, "variant": name, "seed": seed} | numbers)
            frames.append(frame.assign(agree=1.0, set="photos"))
            exact = frame[["image", "variant", "seed"]].iloc[:5].assign(set="composites")
            exact["boundary_chroma"] = 10 - 2 * off + wobble[:5]
            # a composite's PSNR is no photo's
            frames.append(exact.assign(psnr=99.0, ssim=0.5, cci=20.0))
    pd.concat(frames).to_csv(tmp_path / "ablations.csv", index=False)
    facts = {"profile": "mini", "judge": "J", "vgg": "V", "commit": "abc"}
    (tmp_path / "ablations.json").write_text(json.dumps(facts))
    return tables.table2(tmp_path)


@pytest.mark.parametrize(
    ("differences", "agree", "told"),
    [
        ((-0.5, -0.6, -0.7), 3, -1),
        ((0.9, 0.5, -0.2), 2, 0),  # mean 0.4, far from 0 over images: a sign that flips is luck
        ((0.1, 0.2, 1.5), 3, 1),  # they agree, and are still within their own spread
        ((0.9,), 1, 0),  # one seed tells nothing
    ],
)
def test_a_difference_is_told_when_all_seeds_share_it(tmp_path, differences, agree, told):
    table = invented(tmp_path, "no-global", *differences)
    row, n, cell = table.numbers.loc["no-global"], len(differences), ("no global", "PSNR (dB) ↑")
    assert (row["psnr_seeds"], row["psnr_seeds_agree"], row["psnr_told"]) == (n, agree, told)
    assert row["psnr_difference"] == pytest.approx(np.mean(differences) + WOBBLE.mean())
    low, high = row["psnr_difference_low"], row["psnr_difference_high"]
    assert low < row["psnr_difference"] < high and low * high > 0
    assert (cell in table.bold) == bool(told) and ("no global", "SSIM ↑") not in table.bold
    assert (row["psnr_n"], row["boundary_chroma_n"]) == (20, 5)
    assert row["boundary_chroma_told"] == -told  # lower is better there, and it is twice as far off
    expected = WOBBLE[:5].mean() - 2 * np.mean(differences)
    assert row["boundary_chroma_difference"] == pytest.approx(expected)
    if n > 1:  # t interval over seeds: t(0.975, 2) = 4.3027
        assert table.cells.loc[cell].endswith(f"; {agree}/{n})")
        half = 4.3027 * np.std(differences, ddof=1) / math.sqrt(3)
        assert row["psnr_seeds_high"] - row["psnr_seeds_low"] == pytest.approx(2 * half, rel=1e-4)


def test_table_2_is_the_same_when_made_again_and_names_what_is_missing(tmp_path):
    invented(tmp_path, "no-stage1", 0.1, 0.2, 0.3)
    files = [tmp_path / f"table2.{kind}" for kind in ("csv", "md", "tex")]
    first = [path.read_bytes() for path in files]
    tables.table2(tmp_path)
    assert [path.read_bytes() for path in files] == first and b"| no stage 1" in first[1]
    path = tmp_path / "ablations.csv"
    rows = pd.read_csv(path)
    rows[rows["variant"] != "full"].to_csv(path, index=False)
    with pytest.raises(UserError, match=r"ablations\.csv: no rows of the variant 'full'"):
        tables.table2(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=r"ablations\.csv: no such file.*make ablations"):
        tables.table2(tmp_path)
