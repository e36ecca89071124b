"""What README promises is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import chapters
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scgan_lib import config, data
from scgan_lib.colorize import Colorizer
from scgan_lib.config import PROFILES
from scgan_lib.metrics import psnr
from scgan_lib.paths import ROOT
from scgan_lib.tables import split_sets

README = (ROOT / "README.md").read_text()


def photo_rows(profile: str) -> pd.DataFrame:
    return split_sets(pd.read_csv(ROOT / f"results/{profile}/metrics.csv"))[0]


def test_links_and_pictures_exist():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) > 10
    assert [x for x in links if not x.startswith("http") and not (ROOT / x).exists()] == []


def test_table_is_the_committed_one():
    shown = README.partition("<!-- table1:begin -->")[2].partition("<!-- table1:end -->")[0]
    table = (ROOT / "results/mini/table1.md").read_text()
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert len(rows) > 6 and all(row in table for row in rows)


def test_table_comes_from_the_committed_metrics():
    rows = photo_rows("mini")
    assert rows["image"].nunique() == 66
    for method in ("gray", "stage1", "scgan"):
        mean = rows[rows["method"] == method]["psnr"].mean()
        assert re.search(rf"(?<![\d.]){mean:.2f}(?!\d)", README), (method, mean)


def test_what_the_runs_say_is_what_they_gave():
    rows = photo_rows("mini")
    mean = rows.groupby("method")[["psnr", "cci", "agree"]].mean()
    assert mean.psnr["gray"] + 1.0 <= mean.psnr["stage1"] and mean.psnr["gray"] < mean.psnr["scgan"]
    assert mean.psnr["scgan"] < mean.psnr["stage1"]
    assert mean.cci["stage1"] < mean.cci["scgan"] < mean.cci["real"]
    assert rows[rows.method == "real"].cci.between(16, 20).mean() < 0.05
    assert max(mean.agree["stage1"], mean.agree["scgan"]) <= mean.agree["gray"]


def test_what_is_said_of_bleeding_is_what_the_composites_gave():
    """Paired differences to the gray copy over 39 composites; bounds of 1.96 standard errors."""
    composites = split_sets(pd.read_csv(ROOT / "results/mini/metrics.csv"))[1]
    assert composites["image"].nunique() == 39
    low, high = {}, {}
    for measure in ("boundary_chroma", "salient_chroma"):
        wide = composites.pivot(index="image", columns="method", values=measure)
        for method in ("stage1", "scgan"):
            d = wide[method] - wide["gray"]
            half = 1.96 * d.std() / len(d) ** 0.5
            low[method, measure], high[method, measure] = d.mean() - half, d.mean() + half
    for measure in ("boundary_chroma", "salient_chroma"):
        assert low["scgan", measure] < 0 < high["scgan", measure]
    assert low["stage1", "salient_chroma"] < -1  # at the edge of what 39 composites can tell
    assert -0.5 < high["stage1", "salient_chroma"] < 0.5


def test_what_the_ablations_say_is_what_they_gave():
    rows = pd.read_csv(ROOT / "results/mini/ablations.csv")
    photos, composites = split_sets(rows)
    chroma = composites.groupby(["variant", "seed"])[["boundary_chroma", "salient_chroma"]].mean()
    mean = photos.groupby(["variant", "seed"])[["psnr", "ssim", "cci"]].mean().join(chroma)
    change = mean - mean.loc["full"].reindex(mean.index.get_level_values("seed")).to_numpy()
    assert change.loc["full"].abs().to_numpy().max() == 0
    assert set(change.groupby("variant").size().drop(["gray", "real"], errors="ignore")) == {3}
    assert (change.loc["no-adversarial"][["psnr", "ssim"]] > 0).all(axis=None)
    assert (change.loc["no-adversarial", "cci"] < 0).all()
    assert (change.loc["no-stage1", "ssim"] < 0).all()
    assert (change.loc["no-stage1", "boundary_chroma"] > 0).all()
    found = set()
    for measure in ("psnr", "ssim", "cci", "boundary_chroma"):
        part = composites if measure == "boundary_chroma" else photos
        values = part.set_index(["variant", "image", "seed"])[measure].unstack()
        for variant in set(change.index.get_level_values(0)) - {"full", "gray", "real"}:
            d = (values.loc[variant] - values.loc["full"]).dropna()  # (images, seeds)
            over = [(m.mean(), m.std() / len(m) ** 0.5) for m in (d.mean(axis=1), d.mean())]
            # intervals over images (normal) and over three seeds (t): both leave 0 out
            if all(abs(x) > k * s for (x, s), k in zip(over, (1.96, 4.303), strict=True)):
                found.add((variant, measure))
    assert found == {
        ("no-adversarial", "psnr"), ("no-adversarial", "ssim"), ("no-adversarial", "cci"),
        ("no-stage1", "ssim"), ("no-stage1", "boundary_chroma"),
    }  # fmt: skip
    for variant in ("no-saliency", "no-salient-critic"):  # not one sign in all three seeds
        signs = change.loc[variant][["psnr", "ssim", "boundary_chroma"]].gt(0).sum()
        assert signs.between(1, 2).all(), (variant, signs)


def test_the_shipped_weights_give_the_committed_numbers(monkeypatch, tmp_path):
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))  # no run of our own in the way
    rows = pd.read_csv(ROOT / "results/mini/metrics.csv").query("method == 'scgan'")
    committed = rows.set_index("image")["psnr"]
    colorizer = Colorizer.load("mini")
    for photo in data.photos(config.load("mini"), "test")[:6]:
        real = data.test_picture(photo, 256)
        gray = Image.fromarray(data.luma_u8(real))
        measured = psnr(real, np.asarray(colorizer(gray)))
        assert abs(measured - committed[photo.stem]) < 0.05, photo.stem


def test_the_travelling_weights_score_what_readme_and_card_say():
    facts = json.loads((ROOT / "results/tiny/validation.json").read_text())["colour"]
    mean = {k: v[0] for k, v in facts.items() if k != "n"}
    card = (ROOT / "results/tiny/card.md").read_text()
    assert f"{facts['n']:,} validation photographs that have colour" in README
    assert f"score {mean['psnr']:.2f} dB, a gray copy {mean['psnr_gray']:.2f} dB" in README
    assert f"CCI {mean['cci']:.1f}, real photographs {mean['cci_real']:.1f}" in README
    assert f"{mean['psnr']:.2f} ± " in card and f"{mean['psnr_gain']:.2f} ± " in card
    facts = json.loads((ROOT / "results/tiny/validation-stage2.json").read_text())["colour"]
    stage2 = {k: v[0] for k, v in facts.items() if k != "n"}
    said = f"reaches CCI {stage2['cci']:.1f}, and spends the whole gain in PSNR for it: "
    assert said + f"{stage2['psnr']:.2f} dB, SSIM {stage2['ssim']:.3f} against" in README
    assert abs(stage2["psnr_gain"]) < facts["psnr_gain"][1]  # no gain and no loss beyond the error
    for name in ("top1", "top1_gray", "top1_real"):
        assert f"{stage2[name]:.0f} %" in README and f"{stage2[name]:.1f} ± " in card


def test_speed_is_that_of_the_committed_bench():
    lines = json.loads((ROOT / "benchmarks/bench.json").read_text())["lines"]
    inference, stage1, stage2 = (
        f"{lines[f'full {name}']['ratio']:.1f}" for name in ("inference", "stage 1", "stage 2")
    )
    said = f"inference {inference} times as fast, a stage-1 step {stage1}, a stage-2 step {stage2}"
    assert said in README
    notes = (ROOT / "benchmarks/NOTES.md").read_text()
    for name, line in lines.items():
        row = re.search(rf"^{name} +([\d.]+)x +([\d.]+) to +([\d.]+) ", notes, re.M)
        told = [f"{line[key]:.2f}" for key in ("ratio", "least", "largest")]
        assert row and [*row.groups()] == told, name
    assert all(line["difference"] < 1e-4 for line in lines.values())


def test_profiles_and_targets_exist():
    for name in PROFILES:
        assert f"`{name}`" in README
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_chapters_and_their_executed_copies_agree():
    assert chapters.pair("mini", check=True) == []


@pytest.mark.parametrize("line", re.findall(r"^scgan (\w+)", README, re.M))
def test_commands_exist(line):
    from scgan_lib.cli import _parser

    with pytest.raises(SystemExit) as stop:
        _parser().parse_args([line, "--help"])
    assert stop.value.code == 0


def test_licence_texts_travel_with_the_data():
    credits = pd.read_csv(ROOT / "data/mini/credits.csv")
    texts = {p.stem for p in (ROOT / "data/mini/licences").glob("*.txt")}
    named = {x for x in credits["licence"] if not x.startswith("public-domain")}
    assert named <= texts
    assert Path(ROOT / "LICENSE").read_text().startswith("MIT License")
