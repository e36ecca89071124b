"""Ablations: what a variant changes, one stage 1 for many, resume, failures, Table 2."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from conftest import TINY, FirstPixel

from scgan_lib import ablations, cli, pretrained, tables, training
from scgan_lib.evaluation import COLUMNS
from scgan_lib.paths import UserError

SMALL = TINY | dict(
    global_encoder="none", loss="{perceptual: 0.0, adversarial: 0.0}", batch=2, composites=0.0,
    stage1_steps=1, stage2_steps=1, samples=0,
)  # fmt: skip
ONLY = ("no-salient-critic", "no-stage1")
OFF = (True, False)


def call(*more, **overrides):
    settings = [x for k, v in (SMALL | overrides).items() for x in ("--set", f"{k}={v}")]
    words = ["ablate", "--profile", "smoke", "--seeds", "0", "1", "--only", *ONLY, *settings, *more]
    return cli.main([str(w) for w in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """results/smoke after `scgan ablate` with two seeds, tiny networks, no VGG-16, no critics."""
    folder = tmp_path_factory.mktemp("ablations")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "load_judge", FirstPixel)
        patch.setenv("SCGAN_OUTPUT", str(folder))
        assert call() == 0
        yield folder / "results/smoke"


def weights(folder):
    found = (folder / "ablations").rglob("final.safetensors")
    return {str(p.relative_to(folder / "ablations")): p.stat().st_mtime_ns for p in found}


@pytest.mark.parametrize(
    ("name", "changed", "stage1_of"),
    [
        ("full", {}, "full"),
        ("no-saliency", {"saliency_guidance": OFF, "salient_critic": OFF}, "no-saliency"),
        ("no-salient-critic", {"salient_critic": OFF}, "full"),
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


def test_the_command_leaves_rows_provenance_and_one_shared_stage_1(folder):
    rows = pd.read_csv(folder / "ablations.csv")
    assert [*rows.columns] == ["image", "variant", "seed", *COLUMNS[2:]]
    names = ["full", *ONLY, "gray", "real"]
    assert rows.groupby(["set", "variant", "seed"]).size().to_dict() == {
        (kind, n, s): 3 for kind in ("photos", "composites") for n in names for s in (0, 1)
    }
    facts = json.loads((folder / "ablations.json").read_text())
    assert facts["seeds"] == [0, 1] and facts["failed"] == {} and facts["commit"]
    assert len(facts["seconds"]) == 8  # a stage 1 that is shared counts once
    assert "| no salient critic" in (folder / "table2.md").read_text()
    full, shared, none = (folder / f"ablations/{n}-seed1/runs/stage1" for n in ("full", *ONLY))
    assert shared.resolve() == full.resolve() and not none.exists()


def test_a_rerun_trains_only_what_is_missing(folder):
    before, table = weights(folder), (folder / "ablations.csv").read_bytes()
    gone = "no-stage1-seed1/runs/stage2/final.safetensors"
    (folder / "ablations" / gone).unlink()
    assert call() == 0
    after = weights(folder)
    assert {k for k in after if after[k] != before[k]} == {gone}
    assert (folder / "ablations.csv").read_bytes() == table  # same seed, same weights


def test_one_failure_does_not_stop_the_rest(folder, monkeypatch, capsys):
    def train(profile, stage, real=training.train):
        if profile.variant == "no-stage1":
            raise UserError("a loss is not finite")
        return real(profile, stage)

    monkeypatch.setattr(training, "train", train)
    assert call("--only", "no-stage1") == 1
    errors = {x for x in capsys.readouterr().err.splitlines() if x.startswith("failed:")}
    assert errors == {f"failed: no-stage1, seed {s}: a loss is not finite" for s in (0, 1)}
    rows = pd.read_csv(folder / "ablations.csv")  # what was trained before stays
    assert set(rows["variant"]) == {"full", "no-salient-critic", "gray", "real"}


# --- Table 2 on invented numbers ------------------------------------------------------------------

PHOTOS = [f"p{i:02d}" for i in range(20)]
EASE = np.linspace(-3, 3, len(PHOTOS))  # the photos' own spread, common to all
WOBBLE = 0.05 * np.cos(np.arange(len(PHOTOS)))  # small, mean about 0


def invented(folder, *differences):
    """ablations.csv of `full` and of `no-global`, whose PSNR is off by differences[seed]."""
    frames = []
    for seed, difference in enumerate(differences):
        for name, off in {"full": 0 * WOBBLE, "no-global": difference + WOBBLE}.items():
            frame = pd.DataFrame({"image": PHOTOS, "variant": name, "seed": seed, "set": "photos"})
            frame = frame.assign(psnr=22 + EASE + off, ssim=0.9, cci=20 + EASE, agree=1.0)
            exact = frame.assign(set="composites", psnr=99.0, boundary_chroma=10 - 2 * off)
            frames += [frame, exact.iloc[:5]]  # a composite's PSNR is no photo's
    pd.concat(frames).to_csv(folder / "ablations.csv", index=False)
    (folder / "ablations.json").write_text(json.dumps({"profile": "mini", "judge": "J"}))


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
    invented(tmp_path, *differences)
    table = tables.table2(tmp_path)
    row, n, cell = table.numbers.loc["no-global"], len(differences), ("no global", "PSNR (dB) ↑")
    assert (row["psnr_seeds"], row["psnr_seeds_agree"], row["psnr_told"]) == (n, agree, told)
    assert row["psnr_difference"] == pytest.approx(np.mean(differences) + WOBBLE.mean())
    low, high = row["psnr_difference_low"], row["psnr_difference_high"]
    assert low < row["psnr_difference"] < high and low * high > 0
    assert (cell in table.bold) == bool(told) and ("no global", "SSIM ↑") not in table.bold
    assert (row["psnr_n"], row["boundary_chroma_n"]) == (20, 5)
    assert row["boundary_chroma_told"] == -told  # lower is better there, and it is twice as far off
    expected = -2 * (np.mean(differences) + WOBBLE[:5].mean())
    assert row["boundary_chroma_difference"] == pytest.approx(expected)
    if n > 1:  # t interval over seeds: t(0.975, 2) = 4.3027
        assert table.cells.loc[cell].endswith(f"; {agree}/{n})")
        half = 4.3027 * np.std(differences, ddof=1) / math.sqrt(3)
        assert row["psnr_seeds_high"] - row["psnr_seeds_low"] == pytest.approx(2 * half, rel=1e-4)
