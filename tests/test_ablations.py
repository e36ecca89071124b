"""Ablations: what a variant changes, one stage 1 for many, resume, failures, Table 2's words."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pandas as pd
import pytest
from conftest import TINY

from scgan_lib import ablations, cli, tables, training
from scgan_lib.evaluation import COLUMNS
from scgan_lib.paths import UserError

NO_VGG = {"global_encoder": "none", "loss": "{perceptual: 0.0, adversarial: 0.01}"}
SMALL = TINY | NO_VGG | {"stage1_steps": 2, "stage2_steps": 1, "samples": 0}
ONLY = ("no-salient-critic", "no-stage1")


def call(*more, **overrides):
    settings = [x for k, v in (SMALL | overrides).items() for x in ("--set", f"{k}={v}")]
    words = ["ablate", "--profile", "smoke", "--seeds", "0", "1", "--only", *ONLY, *settings, *more]
    return cli.main([str(w) for w in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
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


# --- variants -------------------------------------------------------------------------------------


def test_variants_change_exactly_what_they_name():
    base = ablations.budgeted("mini", stage1_steps=240, stage2_steps=60)
    assert {n: ablations.changed(base, n) for n in ablations.VARIANTS} == {
        "full": {},
        "no-saliency": {"saliency_guidance": (True, False), "salient_critic": (True, False)},
        "no-salient-critic": {"salient_critic": (True, False)},
        "no-perceptual": {"loss.perceptual": (5.0, 0.0)},
        "no-adversarial": {"loss.adversarial": (0.01, 0.0)},
        "no-global": {"global_encoder": ("folded_vgg16", "none")},
        "no-stage1": {"stage1_steps": (240, 0), "stage2_steps": (60, 300)},
    }
    assert ablations.MEANING.keys() == ablations.VARIANTS.keys()
    profile = ablations.variant(base, "no-perceptual", 2)
    assert profile.seed == 2 and profile.results.parts[-2:] == ("ablations", "no-perceptual-seed2")
    with pytest.raises(UserError, match="unknown ablation 'no-colour'"):
        ablations.variant(base, "no-colour")


def test_stage_1_is_shared_where_its_settings_are_equal():
    base = ablations.budgeted("mini")
    assert {n: ablations.stage1_owner(base, n) for n in ablations.VARIANTS} == {
        "full": "full",
        "no-saliency": "no-saliency",
        "no-salient-critic": "full",
        "no-perceptual": "full",
        "no-adversarial": "full",
        "no-global": "no-global",
        "no-stage1": "",
    }


# --- the command ----------------------------------------------------------------------------------


def test_the_command_leaves_table_and_provenance(folder):
    rows = pd.read_csv(folder / "ablations.csv")
    assert list(rows.columns[:3]) == ["image", "variant", "seed"]
    assert set(COLUMNS) - {"method"} <= set(rows.columns) and "method" not in rows
    names = {"full", *ONLY, "gray", "real"}
    photos = rows[rows["set"] == "photos"]
    assert photos.groupby(["variant", "seed"]).size().to_dict() == {
        (n, s): 3 for n in names for s in (0, 1)
    }
    masked = rows[rows["set"] == "composites"]
    assert set(masked["variant"]) == names and masked["boundary_chroma"].notna().all()
    facts = json.loads((folder / "ablations.json").read_text())
    assert facts["budget"] == {"stage1_steps": 2, "stage2_steps": 1, "batch": 5}
    assert facts["seeds"] == [0, 1] and facts["failed"] == {} and facts["commit"]
    assert facts["variants"]["no-stage1"] == {"stage1_steps": 0, "stage2_steps": 3}
    assert set(facts["seconds"]) == {
        f"{n}, seed {s}, stage {stage}"
        for s in (0, 1)
        for n, stage in (("full", 1), ("full", 2), *((n, 2) for n in ONLY))
    }
    text = (folder / "table2.md").read_text()
    assert "| full" in text and "| no salient critic" in text and "/2)" in text


def test_a_shared_stage_1_is_the_same_file_and_no_stage1_has_none(folder):
    for seed in (0, 1):
        of = [folder / f"ablations/{n}-seed{seed}/runs/stage1" for n in ("full", *ONLY)]
        first, copy = ((p / "final.safetensors").read_bytes() for p in of[:2])
        assert first == copy
        assert not of[2].exists()
    a, b = (folder / f"ablations/full-seed{s}/runs/stage1/final.safetensors" for s in (0, 1))
    assert a.read_bytes() != b.read_bytes()


def test_a_rerun_does_nothing_and_goes_on_where_something_is_missing(again, capsys):
    before, table = weights(again), (again / "ablations.csv").read_bytes()
    assert call() == 0
    said = capsys.readouterr().out.splitlines()
    assert not [x for x in said if "stage" in x and x.endswith(": starts")]
    assert weights(again) == before and (again / "ablations.csv").read_bytes() == table
    gone = "no-stage1-seed1/runs/stage2/final.safetensors"
    (again / "ablations" / gone).unlink()
    assert call() == 0
    said = capsys.readouterr().out.splitlines()
    assert [x for x in said if "stage" in x and x.endswith(": starts")] == [
        "no-stage1, seed 1, stage 2: starts"
    ]
    after = weights(again)
    assert {k for k in after if after[k] != before[k]} == {gone}
    assert (again / "ablations.csv").read_bytes() == table  # same seed, same weights


def test_other_settings_are_refused_and_the_old_table_stays(again, capsys):
    table = (again / "ablations.csv").read_bytes()
    assert call(stage1_steps=3) == 2
    text = capsys.readouterr()
    assert "stage1_steps 2 -> 3" in text.err and "no ablation could be scored" in text.err
    assert (again / "ablations.csv").read_bytes() == table


def test_one_failure_does_not_stop_the_rest(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))
    real = training.train

    def train(profile, stage):
        if profile.variant == "no-stage1":
            raise UserError("a loss is not finite")
        return real(profile, stage)

    monkeypatch.setattr(training, "train", train)
    assert call() == 1
    errors = [x for x in capsys.readouterr().err.splitlines() if x.startswith("failed:")]
    assert errors == [f"failed: no-stage1, seed {s}, stage 2: a loss is not finite" for s in (0, 1)]
    rows = pd.read_csv(tmp_path / "results/smoke/ablations.csv")
    assert set(rows["variant"]) == {"full", "no-salient-critic", "gray", "real"}
    assert "Not trained, so no row:" in (tmp_path / "results/smoke/table2.md").read_text()


def test_several_at_a_time_run_apart_and_name_what_failed(capfd):
    tasks = {"a": (os.getpid,), "b": (math.sqrt, -1), "c": (math.sqrt, 1)}
    failed = ablations._perform(tasks, jobs=2)
    assert failed.keys() == {"b"} and failed["b"].startswith("ValueError")
    said = capfd.readouterr().out
    assert "a: starts" in said and "c: done in" in said and "b: failed" in said


# --- Table 2 on invented numbers ------------------------------------------------------------------

PHOTOS = [f"p{i:02d}" for i in range(20)]
EASE = np.linspace(-3, 3, len(PHOTOS))  # the photos' own spread, common to all
WOBBLE = 0.05 * np.cos(np.arange(len(PHOTOS)))  # small, mean about 0


def invented(tmp_path, differences, sets=True):
    """Table 2 of `full` and variants whose PSNR is off by differences[name][seed]."""
    frames = []
    for name, by_seed in {"full": [0.0] * 3, **differences}.items():
        for seed, off in enumerate(by_seed):
            wobble = WOBBLE * (name != "full")
            numbers = {"psnr": 22 + EASE + off + wobble, "ssim": 0.9 + 0 * EASE, "cci": 20 + EASE}
            frame = pd.DataFrame({"image": PHOTOS, "variant": name, "seed": seed} | numbers)
            frames.append(frame.assign(agree=1.0, set="photos"))
            exact = frame[["image", "variant", "seed"]].iloc[:5].assign(set="composites")
            exact["boundary_chroma"] = 10 - 2 * off + wobble[:5]
            frames.append(exact.assign(psnr=99.0))  # a composite's PSNR is no photo's
    pd.concat(frames).to_csv(tmp_path / "ablations.csv", index=False)
    facts = {"profile": "mini", "judge": "J", "vgg": "V", "commit": "abc"}
    (tmp_path / "ablations.json").write_text(json.dumps(facts))
    return tables.table2(tmp_path)


def test_a_difference_that_all_seeds_share_is_told(tmp_path):
    table = invented(tmp_path, {"no-global": [-0.5, -0.6, -0.7]})
    row = table.numbers.loc["no-global"]
    assert row["psnr_difference"] == pytest.approx(-0.6 + WOBBLE.mean())
    assert row["psnr_difference_low"] < row["psnr_difference"] < row["psnr_difference_high"] < 0
    assert (row["psnr_seeds"], row["psnr_seeds_agree"], row["psnr_told"]) == (3, 3, -1)
    # t interval over seeds: standard deviation 0.1, t(0.975, 2) = 4.3027
    half = 4.3027 * 0.1 / math.sqrt(3)
    assert row["psnr_seeds_high"] - row["psnr_seeds_low"] == pytest.approx(2 * half, rel=1e-4)
    assert row["psnr_beyond_seeds"] == 1 and row["psnr_n"] == 20
    assert row["boundary_chroma_n"] == 5 and row["boundary_chroma_told"] == 1
    assert row["boundary_chroma_difference"] == pytest.approx(1.2 + WOBBLE[:5].mean())
    said = table.notes[0]
    assert "No global against full: worse in PSNR, boundary chroma error" in said
    assert "not told apart in SSIM" in said
    assert ("no global", "PSNR (dB) ↑") in table.bold and ("no global", "SSIM ↑") not in table.bold
    assert table.cells.loc["no global", "PSNR (dB) ↑"].endswith("; 3/3)")
    assert "no global in PSNR" in table.notes[1]


def test_a_difference_that_flips_its_sign_is_luck(tmp_path):
    table = invented(tmp_path, {"no-global": [0.9, 0.5, -0.2]})  # mean 0.4, far from 0 over images
    row = table.numbers.loc["no-global"]
    assert row["psnr_difference_low"] > 0.3
    assert (row["psnr_seeds_agree"], row["psnr_told"], row["psnr_luck"]) == (2, 0, 1)
    assert "No global against full: luck of the seed in PSNR, boundary" in table.notes[0]
    assert not table.bold
    assert table.notes[1].endswith("(95 % t interval over seeds): none.")
    # five measures are there: psnr, ssim, agreement, cci, its ratio, boundary; 3 seeds: a quarter
    assert "in 25 % of cases. That is up to 1.5 of these 6 comparisons" in table.notes[1]


def test_a_variant_with_fewer_seeds_has_its_own_odds(tmp_path):
    table = invented(tmp_path, {"no-global": [0.9, 0.5, -0.2], "no-stage1": [0.1, -0.1]})
    # six comparisons at a quarter and six at a half: 1.5 + 3
    said = "in 25 % of cases; 2 of no stage 1 in 50 %. That is up to 4.5 of these 12 comparisons"
    assert said in table.notes[1]
    assert "Not all seeds were trained: no stage 1." in table.notes


def test_seeds_that_agree_may_still_be_within_their_own_spread(tmp_path):
    table = invented(tmp_path, {"no-global": [0.1, 0.2, 1.5]})
    row = table.numbers.loc["no-global"]
    assert row["psnr_told"] == 1 and row["psnr_beyond_seeds"] == 0
    assert "better in PSNR" in table.notes[0] and "over seeds): none" in table.notes[1]


def test_one_seed_tells_nothing(tmp_path):
    table = invented(tmp_path, {"no-global": [0.9, 0.5, -0.2]})
    rows = pd.read_csv(tmp_path / "ablations.csv")
    rows[rows["seed"] == 0].to_csv(tmp_path / "ablations.csv", index=False)
    table = tables.table2(tmp_path)
    assert table.numbers.loc["no-global", "psnr_told"] == 0 and not table.bold
    assert "in its only seed different in PSNR" in table.notes[0]
    assert table.notes[1].startswith("One seed:")


def test_table_2_is_byte_identical_when_made_again_and_names_what_is_missing(tmp_path):
    invented(tmp_path, {"no-stage1": [0.1, 0.2, 0.3]})
    names = [f"table2.{kind}" for kind in ("csv", "md", "tex")]
    first = [(tmp_path / n).read_bytes() for n in names]
    tables.table2(tmp_path)
    assert [(tmp_path / n).read_bytes() for n in names] == first
    assert "| no stage 1" in first[1].decode()
    rows = pd.read_csv(tmp_path / "ablations.csv")
    rows[rows["variant"] != "full"].to_csv(tmp_path / "ablations.csv", index=False)
    with pytest.raises(UserError, match=r"ablations\.csv: no rows of the variant 'full'"):
        tables.table2(tmp_path)
    (tmp_path / "ablations.csv").unlink()
    with pytest.raises(UserError, match=r"ablations\.csv: no such file.*make ablations"):
        tables.table2(tmp_path)
