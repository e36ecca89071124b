"""What README promises is so."""

from __future__ import annotations

import json
import re

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


def test_table_is_the_committed_one_and_comes_from_the_committed_metrics():
    shown = README.partition("<!-- table1:begin -->")[2].partition("<!-- table1:end -->")[0]
    committed = (ROOT / "results/mini/table1.md").read_text()
    table, whole = (
        [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
         if line.startswith("|") and "---" not in line]
        for text in (shown, committed)
    )  # fmt: skip
    chosen = [whole[0].index(title) for title in table[0]]
    assert len(chosen) == 6 and table == [[row[i] for i in chosen] for row in whole]
    assert shown.count("\n- ") == 2
    rows = photo_rows("mini")
    assert rows["image"].nunique() == 66
    for method in ("gray", "stage1", "scgan"):
        mean = rows[rows["method"] == method]["psnr"].mean()
        assert re.search(rf"(?<![\d.]){mean:.2f}(?!\d)", shown), (method, mean)


def test_what_the_runs_say_is_what_they_gave():
    rows = photo_rows("mini")
    mean = rows.groupby("method")[["psnr", "cci", "agree"]].mean()
    assert mean.psnr["gray"] + 1.0 <= mean.psnr["stage1"] and mean.psnr["gray"] < mean.psnr["scgan"]
    assert mean.psnr["scgan"] < mean.psnr["stage1"]
    assert mean.cci["stage1"] < mean.cci["scgan"] < mean.cci["real"]
    assert rows[rows.method == "real"].cci.between(16, 20).mean() < 0.05
    assert max(mean.agree["stage1"], mean.agree["scgan"]) <= mean.agree["gray"]


@pytest.mark.parametrize(
    ("method", "measure", "low", "high"),
    [
        ("scgan", "boundary_chroma", (-np.inf, 0), (0, np.inf)),
        ("scgan", "salient_chroma", (-np.inf, 0), (0, np.inf)),
        ("stage1", "salient_chroma", (-np.inf, -1), (-0.5, 0.5)),  # at the edge of what 39 can tell
    ],
)
def test_what_is_said_of_bleeding_is_what_the_composites_gave(method, measure, low, high):
    """Paired differences to the gray copy; bounds of 1.96 standard errors."""
    composites = split_sets(pd.read_csv(ROOT / "results/mini/metrics.csv"))[1]
    wide = composites.pivot(index="image", columns="method", values=measure)
    difference = wide[method] - wide["gray"]
    half = 1.96 * difference.std() / len(difference) ** 0.5
    assert len(difference) == 39
    assert low[0] < difference.mean() - half < low[1]
    assert high[0] < difference.mean() + half < high[1]


def test_what_the_ablations_say_is_what_they_gave():
    photos, composites = split_sets(pd.read_csv(ROOT / "results/mini/ablations.csv"))
    chroma = composites.groupby(["variant", "seed"])[["boundary_chroma"]].mean()
    mean = photos.groupby(["variant", "seed"])[["psnr", "ssim", "cci"]].mean().join(chroma)
    change = mean - mean.loc["full"].reindex(mean.index.get_level_values("seed")).to_numpy()
    seeds = change.drop(index=["full", "gray", "real"], level=0).groupby("variant")
    assert set(seeds.size()) == {3}
    # 95 % intervals over three seeds (Student's t) that leave 0 out
    beyond = seeds.mean().abs() > 4.303 * seeds.std() / 3**0.5
    assert set(beyond.index[beyond.any(axis=1)]) == {"no-adversarial", "no-stage1"}
    found = set()
    for measure in change:
        part = composites if measure == "boundary_chroma" else photos
        values = part.set_index(["variant", "image", "seed"])[measure].unstack()
        for variant in beyond.index:
            of_images = (values.loc[variant] - values.loc["full"]).mean(axis=1).dropna()
            if abs(of_images.mean()) > 1.96 * of_images.sem() and beyond.loc[variant, measure]:
                found.add((variant, measure))
    assert found == {
        ("no-adversarial", "psnr"), ("no-adversarial", "ssim"), ("no-adversarial", "cci"),
        ("no-stage1", "ssim"), ("no-stage1", "boundary_chroma"),
    }  # fmt: skip
    higher = seeds.agg(lambda values: (values > 0).sum())  # in so many seeds of three
    assert higher.loc["no-adversarial", ["psnr", "ssim", "cci"]].tolist() == [3, 3, 0]
    assert higher.loc["no-stage1", ["ssim", "boundary_chroma"]].tolist() == [0, 3]
    for variant in ("no-saliency", "no-salient-critic"):
        assert higher.loc[variant, ["psnr", "ssim", "boundary_chroma"]].between(1, 2).all()


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
    facts = json.loads((ROOT / "results/tiny/validation-stage1-chroma.json").read_text())["colour"]
    turned = {k: v[0] for k, v in facts.items() if k != "n"}
    assert f"multiplied by 1.75 is as colourful at {turned['psnr']:.2f} dB" in README
    assert abs(turned["cci"] - stage2["cci"]) < facts["cci"][1]
    assert turned["psnr"] - stage2["psnr"] > facts["psnr"][1]
    row = f"{turned['psnr']:.2f} ± 0.09 | {turned['ssim']:.4f} ± 0.0013 | {turned['cci']:.1f} ± 0.3"
    assert row in card
    held = {}
    for tag in ("stage1-chroma", "stage2"):
        held[tag] = json.loads((ROOT / f"results/tiny/held-{tag}.json").read_text())["colour"]
        assert f"{held[tag]['cci'][0]:.1f}" in card and f"{held[tag]['top1'][0]:.1f}" in card
    assert abs(held["stage2"]["cci"][0] - held["stage1-chroma"]["cci"][0]) < 0.1
    hand, gan = (
        pd.read_csv(ROOT / f"results/tiny/validation-judged-{tag}.csv", index_col="photo")
        for tag in ("stage1-chroma", "stage2")
    )
    first = pd.read_csv(ROOT / "results/tiny/validation-judged-stage1.csv")["top1"]
    assert f"14.9 ± 0.2 | {first.mean():.1f} ± {1.96 * first.sem():.1f} |" in card
    won, lost = (gan["top1"] > hand["top1"]).sum(), (gan["top1"] < hand["top1"]).sum()
    assert f"SCGAN wins {won} of the {len(gan)} and loses {lost}" in card
    lower = (hand["psnr"] - gan["psnr"]).agg(["mean", "sem"]) * [1, 1.96]
    assert "PSNR is {:.2f} ± {:.2f} dB lower".format(*lower) in card
    for name in ("top1", "top1_gray", "top1_real"):
        assert f"{stage2[name]:.0f} %" in README and f"{stage2[name]:.1f} ± " in card


def test_the_short_ablation_of_tiny_is_that_of_its_file():
    facts = json.loads((ROOT / "results/tiny/ablations-short.json").read_text())
    text = " ".join(README.split())
    gap = {(name, k): v for name, row in facts.items() if isinstance(row, dict)
           for k, v in row.items() if k != "n"}  # fmt: skip
    _, cci, cci_half, *ccis = gap["no-adversarial", "cci"]
    _, psnr_, psnr_half, *psnrs = gap["no-adversarial", "psnr"]
    _, top1, top1_half, *top1s = gap["no-adversarial", "top1"]
    _, guided, guided_half, *guideds = gap["no-guidance", "box_error"]
    _, salient, salient_half, *salients = gap["no-salient-critic", "box_error"]
    assert f"raises CCI by {cci:.1f} ± {cci_half:.1f} and lowers PSNR by {-psnr_:.2f}" in text
    assert f"{-psnr_:.2f} ± {psnr_half:.2f} dB, with every seed. It does not raise top-1" in text
    assert f"({100 * top1:.1f} ± {100 * top1_half:.1f} points)" in text
    assert f"changes by {guided:.2f} ± {guided_half:.2f} (of 255)" in text
    assert f"it is {salient:.2f} ± {salient_half:.2f} larger, with every seed" in text
    assert min(ccis + salients) > 0 > max(psnrs + top1s) and min(guideds) < 0 < max(guideds)
    assert f"{facts['steps']} steps of {facts['batch']} and three seeds" in text
    card = " ".join((ROOT / "results/tiny/card.md").read_text().split())
    begun = f"{facts['steps']} steps of {facts['batch']} from `generator.safetensors`"
    assert f"{begun} and three seeds" in card
    assert facts["full"]["n"] == 1000 and facts["seeds"] == [0, 1, 2]


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
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"`{name}`" in README for name in PROFILES)
    targets = set(re.findall(r"make ([a-z]+)", README))
    assert [x for x in targets if not re.search(rf"^{x}:", makefile, re.M)] == []


def test_chapters_and_their_executed_copies_agree_and_are_small_enough_for_git():
    assert chapters.pair("mini", check=True) == []
    assert max(p.stat().st_size for p in (ROOT / "notebooks").glob("*.ipynb")) < 600_000


def test_licence_texts_travel_with_the_data():
    credits = pd.read_csv(ROOT / "data/mini/credits.csv")
    texts = {p.stem for p in (ROOT / "data/mini/licences").glob("*.txt")}
    assert {x for x in credits["licence"] if not x.startswith("public-domain")} <= texts
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
