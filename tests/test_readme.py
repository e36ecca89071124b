"""What README promises is so."""

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
from scgan_lib.statistics import paired_difference
from scgan_lib.tables import split_sets

README = (ROOT / "README.md").read_text()
TEXT = " ".join(README.split())


def mini_rows() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the 66 photographs, those of the 39 composites."""
    return split_sets(pd.read_csv(ROOT / "results/mini/metrics.csv"))


def test_links_and_pictures_exist():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) > 10
    assert [x for x in links if not x.startswith("http") and not (ROOT / x).exists()] == []


def test_table_is_the_committed_one():
    shown = README.partition("<!-- table1:begin -->")[2].partition("<!-- table1:end -->")[0]
    committed = (ROOT / "results/mini/table1.md").read_text()
    table, whole = (
        [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
         if line.startswith("|") and "---" not in line]
        for text in (shown, committed)
    )  # fmt: skip
    chosen = [whole[0].index(title) for title in table[0]]
    assert len(chosen) == 6 and table == [[row[i] for i in chosen] for row in whole]


def test_what_the_runs_say_is_what_they_gave():
    rows, composites = mini_rows()
    assert rows["image"].nunique() == 66
    mean = rows.groupby("method")[["psnr", "cci", "agree"]].mean()
    assert mean.psnr["gray"] + 1.0 <= mean.psnr["stage1"] and mean.psnr["gray"] < mean.psnr["scgan"]
    assert mean.psnr["scgan"] < mean.psnr["stage1"]
    assert mean.cci["stage1"] < mean.cci["scgan"] < mean.cci["real"]
    assert rows[rows.method == "real"].cci.between(16, 20).mean() < 0.05
    assert max(mean.agree["stage1"], mean.agree["scgan"]) <= mean.agree["gray"]
    for measure in ("boundary_chroma", "salient_chroma"):  # no less bleeding than a gray copy
        wide = composites.pivot(index="image", columns="method", values=measure)
        _, low, high = paired_difference(wide["scgan"], wide["gray"])
        assert len(wide) == 39 and low < 0 < high


def test_what_the_ablations_say_is_what_they_gave():
    """Differences beyond the spread of the images and of the three seeds."""
    table = pd.read_csv(ROOT / "results/mini/table2.csv", index_col="method")
    found, hints = set(), set()
    for measure in ("psnr", "ssim", "cci", "boundary_chroma"):
        hint = table[f"{measure}_told"].abs() == 1
        beyond = table[f"{measure}_seeds_low"] * table[f"{measure}_seeds_high"] > 0
        hints |= {f"{variant} {measure}" for variant in table.index[hint & ~beyond]}
        found |= {f"{variant} {measure}" for variant in table.index[hint & beyond]}
    assert found == {"no-adversarial cci"}
    said = "adversarial psnr, adversarial ssim, stage1 ssim, perceptual cci, saliency cci, "
    said += "saliency ssim, salient-critic cci"
    assert hints == {f"no-{what}" for what in said.split(", ")}
    paler = -table["cci_difference"].round(1)
    assert [*paler[["no-adversarial", "no-saliency", "no-salient-critic"]]] == [10.9, 2.9, 1.5]


def test_the_shipped_weights_give_the_committed_numbers(monkeypatch, tmp_path):
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))  # no run of our own in the way
    committed = mini_rows()[0].query("method == 'scgan'").set_index("image")["psnr"]
    colorizer = Colorizer.load("mini")
    for photo in data.photos(config.load("mini"), "test")[:6]:
        real = data.test_picture(photo, 256)
        gray = Image.fromarray(data.luma_u8(real))
        measured = psnr(real, np.asarray(colorizer(gray)))
        assert abs(measured - committed[photo.stem]) < 0.05, photo.stem


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("validation", "the {n:,} validation photographs that have colour"),
        ("validation", "score {psnr:.2f} dB, a gray copy {psnr_gray:.2f} dB"),
        ("validation", "gray copy on {better_percent:.0f} % of these"),
        ("validation", "CCI {cci:.1f}, real photographs {cci_real:.1f}"),
        ("validation-stage2", "reaches CCI {cci:.1f}"),
        ("validation-stage2", "{psnr:.2f} dB, SSIM {ssim:.3f} against {ssim_gray:.3f}"),
        ("validation-stage1-chroma", "is as colourful at {psnr:.2f} dB"),
    ],
)
def test_the_scores_of_the_travelling_weights(file, sentence):
    facts = json.loads((ROOT / f"results/tiny/{file}.json").read_text())["colour"]
    means = {key: value[0] for key, value in facts.items() if key != "n"}
    assert sentence.format(n=facts["n"], **means) in TEXT


def test_what_the_judges_recognise_of_tiny():
    for file, judge in (("validation-10000", "EfficientNet-Lite0"), ("vgg16-judge", "VGG-16")):
        rows = pd.read_csv(ROOT / f"results/tiny/{file}.csv.gz")
        top1 = 100 * rows.groupby("method")["top1"].mean()
        ours = top1[["stage1", "scgan", "stage1_chroma_1.75", "gray", "real"]]
        shares = re.search(f"{judge} recognises.*?real photographs", TEXT)[0]
        assert re.findall(r"([\d.]+) %", shares) == [f"{share:.1f}" for share in ours]


@pytest.mark.parametrize(
    ("file", "variant", "measure", "sentence"),
    [
        ("ablations-short", "no-adversarial", "cci", "raises CCI by {:.1f} ± {:.1f}"),
        ("ablations-short", "no-adversarial", "psnr", "lowers PSNR by {:.2f} ± {:.2f} dB"),
        ("ablations-short", "no-salient-critic", "box_error", "{:.2f} ± {:.2f} larger"),
        ("from-start", "global features", "psnr", "no difference shown ({:.2f} ± {:.2f} dB"),
        ("from-start", "stage 1", "psnr", "PSNR {:.2f} ± {:.2f} dB lower"),
    ],
)
def test_the_short_ablations_of_tiny_are_those_of_their_files(file, variant, measure, sentence):
    facts = json.loads((ROOT / f"results/tiny/{file}.json").read_text())[variant]
    assert sentence.format(*np.abs(facts[measure][1:3])) in TEXT


def test_speed_is_that_of_the_committed_bench():
    lines = json.loads((ROOT / "benchmarks/bench.json").read_text())["lines"]
    ratios = [lines[f"full {name}"]["ratio"] for name in ("inference", "stage 1", "stage 2")]
    said = "inference {:.1f} times as fast, a stage-1 step {:.1f}, a stage-2 step {:.1f}"
    assert said.format(*ratios) in TEXT
    assert all(line["difference"] < 1e-4 for line in lines.values())


def test_profiles_and_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"`{name}`" in README for name in PROFILES)
    targets = set(re.findall(r"make ([a-z]+)", README))
    assert [x for x in targets if not re.search(rf"^{x}:", makefile, re.M)] == []


def test_chapters_and_their_executed_copies_agree_and_are_small_enough_for_git():
    assert chapters.pair("mini", check=True) == []
    assert max(p.stat().st_size for p in (ROOT / "notebooks").glob("*.ipynb")) < 600_000
    lines = [x for p in (ROOT / "notebooks").glob("*.py") for x in p.read_text().splitlines()]
    assert not [x for x in lines if re.match(r"# *%(\s|$)", x)]  # a comment for the site: not shown


def test_licence_texts_travel_with_the_data():
    credits = pd.read_csv(ROOT / "data/mini/credits.csv")
    texts = {p.stem for p in (ROOT / "data/mini/licences").glob("*.txt")}
    assert {x for x in credits["licence"] if not x.startswith("public-domain")} <= texts
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
