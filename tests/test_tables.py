"""Tables from files alone: order, intervals, bold type, blank cells, byte-identity, damage."""

import json

import numpy as np
import pandas as pd
import pytest

from scgan_lib import tables
from scgan_lib.paths import UserError
from scgan_lib.statistics import bootstrap_interval, paired_difference

IMAGES = [f"p{i:02d}" for i in range(40)]
MANIFEST = {
    "profile": "mini",
    "seed": 0,
    "judge": "Some_Judge",
    "vgg": "folded VGG-16",
    "commit": "abc123",
    "protocol": "Squares of 256 pixels.",
    "skipped": [{"method": "mine", "image": "p00", "reason": "missing"}],
}


def rows(method, psnr, cci, seed=0, **more):
    """Numbers around a mean; the photos' own spread is common to all methods."""
    photo = np.random.default_rng(7).normal(0, 3, len(IMAGES))
    noise = np.random.default_rng(seed).normal(0, 0.1, len(IMAGES))
    return pd.DataFrame(
        {"image": IMAGES, "method": method, "psnr": psnr + photo + noise, "ssim": 0.9 + photo / 100}
        | {"cci": np.abs(cci + photo), "agree": [1, 0] * 20, "top1": np.nan}
        | more
    )


def example(scgan_psnr=23.0, seed=0):
    return pd.concat(
        [
            rows("real", np.inf, 50, agree=1),
            rows("mine", 21.0, 30, seed + 1),
            rows("scgan", scgan_psnr, 18, seed + 2),
            rows("stage1", 22.5, 10, seed + 3),
            rows("mean_color", 20.0, 12, 4),
            rows("gray", 24.0, 0, 5).assign(cci=0.0),
        ]
    )


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "run", example())


def write(folder, frame, **manifest):
    folder.mkdir(exist_ok=True)
    frame.to_csv(folder / "metrics.csv", index=False)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST | manifest))
    return folder


def words(table):
    return "\n".join(table.notes)


def test_rows_columns_and_cells(folder):
    table = tables.table1(folder)
    assert list(table.cells.index) == [
        "gray copy", "mean colour", "stage 1", "SCGAN", "mine", "real photo",
    ]  # fmt: skip
    assert list(table.cells.columns) == [
        "PSNR (dB) ↑", "SSIM ↑", "agreement with real (Some_Judge, %) ↑", "CCI",
        "CCI ratio (share inside 16..20, %)",
    ]  # fmt: skip
    numbers = table.numbers.loc["scgan"]
    scgan = example().query("method == 'scgan'")
    assert numbers["psnr_mean"] == pytest.approx(scgan["psnr"].mean())
    assert numbers["psnr_low"] < numbers["psnr_mean"] < numbers["psnr_high"]
    assert numbers["ratio_mean"] == pytest.approx(100 * scgan["cci"].between(16, 20).mean())
    cell = "{psnr_mean:.2f} [{psnr_low:.2f}, {psnr_high:.2f}]".format(**numbers)
    assert table.cells.loc["SCGAN", "PSNR (dB) ↑"] == cell
    assert table.cells.loc["real photo", "PSNR (dB) ↑"] == "∞"


def test_bold_only_where_the_paired_difference_excludes_zero(tmp_path, folder):
    # gray has the highest PSNR of all, yet is no contestant; SSIM is equal for all: not bold
    assert tables.table1(folder).bold == {("SCGAN", "PSNR (dB) ↑")}
    close = example(scgan_psnr=22.5)
    a, b = (close[close.method == m]["psnr"] for m in ("scgan", "stage1"))
    _, low, high = paired_difference(a, b)
    assert low < 0 < high
    table = tables.table1(write(tmp_path / "close", close))
    assert not table.bold


def test_five_lines_tell_where_the_numbers_come_from(tmp_path):
    table = tables.table1(write(tmp_path / "mini", with_composites()))
    assert len(table.notes) == 5 and "Pictures skipped: 1." in words(table)
    parts = ("n = 40 images", "profile mini", "seed 0", "Some_Judge", "folded VGG-16", "abc123")
    assert all(part in words(table) for part in (*parts, "n = 12 composites"))
    assert "Not comparable with the paper" in words(table)
    table = tables.table1(write(tmp_path / "big", example(), profile="imagenet", skipped=[]))
    assert len(table.notes) == 2 and "comparable" not in words(table)


def test_labels_make_it_top1_and_no_judge_leaves_blanks(tmp_path):
    labelled = tables.table1(write(tmp_path / "a", example().assign(top1=1.0)))
    assert labelled.cells.loc["SCGAN", "top-1 (Some_Judge, %) ↑"] == "100.0 [100.0, 100.0]"
    frame = example().assign(agree=np.nan).query("method != 'stage1'")
    table = tables.table1(write(tmp_path / "b", frame, judge=""))
    assert (table.cells["agreement with real (no judge, %) ↑"] == "").all()
    assert (table.cells.loc["stage 1"] == "").all()


def test_files_are_byte_identical_when_made_again(folder):
    tables.table1(folder)
    names = ["table1.csv", "table1.md", "table1.tex"]
    first = [(folder / n).read_bytes() for n in names]
    for n in names:
        (folder / n).unlink()
    tables.table1(folder)
    assert [(folder / n).read_bytes() for n in names] == first
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [*names, "metrics.csv", "manifest.json"]
    )
    csv = pd.read_csv(folder / "table1.csv")
    assert list(csv["method"]) == ["gray", "mean_color", "stage1", "scgan", "mine", "real"]
    assert csv.set_index("method").loc["scgan", "psnr_bold"] == 1
    md, tex = (folder / n for n in names[1:])
    assert "| **" in md.read_text() and r"\textbf{" in tex.read_text()
    assert r"Some\_Judge" in tex.read_text() and r"$\uparrow$" in tex.read_text()
    assert tex.read_text().isascii()


def test_other_seeds_add_the_spread_over_runs(tmp_path, folder):
    more = [write(tmp_path / f"s{i}", example(23 + i, seed=10 * i)) for i in (1, 2)]
    table = tables.table1(folder, more)
    means = [example(23 + i, seed=10 * i).query("method == 'scgan'").psnr.mean() for i in range(3)]
    row = table.numbers.loc["scgan"]
    assert row["psnr_runs"] == 3 and row["psnr_runs_mean"] == pytest.approx(np.mean(means))
    assert row["psnr_runs_sd"] == pytest.approx(np.std(means, ddof=1))
    expected = f"; runs {np.mean(means):.2f} ± {np.std(means, ddof=1):.2f}"
    assert table.cells.loc["SCGAN", "PSNR (dB) ↑"].endswith(expected)
    assert "runs" not in table.cells.loc["gray copy", "PSNR (dB) ↑"]  # it has no seed
    assert table.bold == {("SCGAN", "PSNR (dB) ↑")}
    worse = write(tmp_path / "s3", example(20.0, seed=30))  # one run says the contrary
    table = tables.table1(folder, [*more, worse])
    assert not table.bold
    other = write(tmp_path / "s4", example().replace({"image": {"p00": "q"}}))
    with pytest.raises(UserError, match="other images"):
        tables.table1(folder, [other])


def with_composites():
    """`example` with 12 composites: SCGAN bleeds least, and the real photo not at all."""
    spread = np.random.default_rng(3).normal(0, 1, 12)
    parts = [example().assign(set="photos")]
    for method, error in (("gray", 30), ("stage1", 20), ("scgan", 15), ("real", 0)):
        exact = {"image": [f"c{i}" for i in range(12)], "method": method, "set": "composites"}
        exact |= {"psnr": 99.0, "ssim": 0.1, "cci": 18.0, "boundary_chroma": error}
        part = pd.DataFrame(exact | {"salient_chroma": 2.0 * error})
        noise = (method != "real") * spread
        part["boundary_chroma"] += noise
        part["salient_chroma"] += noise
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def test_chroma_errors_are_of_composites_and_all_else_of_photos(tmp_path, folder):
    frame = with_composites()
    table = tables.table1(write(tmp_path / "exact", frame))
    plain = tables.table1(folder)
    for column in plain.cells:  # the composites' 99 dB change no column of photos
        assert (table.cells[column] == plain.cells[column]).all()
    assert [*table.cells][-2:] == ["boundary chroma error ↓", "salient chroma error ↓"]
    numbers = table.numbers.loc["scgan"]
    own = frame.query("method == 'scgan' and set == 'composites'")
    assert numbers["boundary_chroma_mean"] == pytest.approx(own["boundary_chroma"].mean())
    assert numbers["salient_chroma_mean"] == pytest.approx(own["salient_chroma"].mean())
    assert (numbers["boundary_chroma_n"], numbers["psnr_n"]) == (12, 40)
    low, high = numbers["boundary_chroma_low"], numbers["boundary_chroma_high"]
    _, *expected = bootstrap_interval(own["boundary_chroma"])
    assert (low, high) == (pytest.approx(expected[0]), pytest.approx(expected[1]))
    assert table.cells.loc["real photo", "boundary chroma error ↓"] == "0.00 [0.00, 0.00]"
    assert ("SCGAN", "boundary chroma error ↓") in table.bold


def test_runs_on_other_composites_are_no_runs_of_the_same(tmp_path):
    folder = write(tmp_path / "run", with_composites())
    other = write(tmp_path / "other", with_composites().replace({"image": {"c0": "other"}}))
    with pytest.raises(UserError, match="other images"):
        tables.table1(folder, [other])
    table = tables.table1(folder, [write(tmp_path / "s1", with_composites(), seed=1)])
    assert "seed 0, 1;" in words(table)


def test_table2_compares_variants_with_the_full_method(tmp_path):
    frames = []
    for seed in range(3):
        for variant, psnr in (("full", 23.0), ("no saliency", 22.0), ("no critic", 23.0)):
            part = rows(variant, psnr, 20, 100 * seed + int(psnr) + len(variant))
            part["boundary_chroma"] = 10.0 + (variant == "no saliency") + part["psnr"] / 100
            frames += [part.assign(seed=seed, set=name) for name in ("photos", "composites")]
    frame = pd.concat(frames).rename(columns={"method": "variant"})
    folder = write(tmp_path / "run", example())
    frame.to_csv(folder / "ablations.csv", index=False)
    (folder / "ablations.json").write_text(json.dumps(MANIFEST))
    table = tables.table2(folder)
    assert list(table.cells.index) == ["full", "no saliency", "no critic"]
    assert "boundary chroma error ↓" in table.cells
    told = table.numbers.loc["no saliency", ["psnr_told", "boundary_chroma_told"]]
    assert [*told] == [-1, 1] and table.numbers.loc["no critic", "psnr_told"] == 0
    assert table.numbers.loc["full", "psnr_runs"] == 3
    assert (table.cells["salient chroma error ↓"] == "").all()
    assert {"table2.csv", "table2.md", "table2.tex"} <= {p.name for p in folder.iterdir()}


def test_notebook_cell_is_stable_and_escaped(tmp_path):
    frame = example().replace({"method": {"mine": "<b>mine"}})
    folder = write(tmp_path / "run", frame)
    html = tables.table1_html(folder).to_html()
    assert html == tables.table1_html(folder).to_html()
    assert "font-weight: bold" in html and "&lt;b&gt;mine" in html and "<b>mine" not in html


def test_infinite_values_are_left_out_and_lpips_is_shown_where_measured(tmp_path):
    frame = example().reset_index(drop=True)
    frame.loc[(frame.method == "gray") & (frame.image == "p03"), "psnr"] = np.inf
    frame["lpips"] = frame["method"].map({"scgan": 0.1, "stage1": 0.2, "real": 0.0})
    table = tables.table1(write(tmp_path / "run", frame))
    gray = frame.query("method == 'gray' and image != 'p03'")["psnr"]
    numbers = table.numbers.loc["gray"]
    assert numbers["psnr_mean"] == pytest.approx(gray.mean())
    assert (numbers["psnr_n"], numbers["psnr_infinite"]) == (39, 1)
    assert table.cells.loc["SCGAN", "LPIPS (AlexNet) ↓"] == "0.100 [0.100, 0.100]"
    assert ("SCGAN", "LPIPS (AlexNet) ↓") in table.bold


def test_missing_files_name_themselves(tmp_path):
    with pytest.raises(UserError, match=r"metrics\.csv.*scgan evaluate"):
        tables.table1(tmp_path)
    folder = write(tmp_path / "run", example())
    (folder / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json: damaged"):
        tables.table1(folder)


ROW = "p00,scgan,{},0.9,18,1\n"
HEAD = "image,method,psnr,ssim,cci,agree\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "No columns"),
        (HEAD, "no rows of photos"),
        (HEAD.replace("ssim", "x") + ROW.format(20), "no column 'ssim'"),
        (HEAD + ROW.format(""), "an empty cell in the column 'psnr'"),
        (HEAD + ROW.format("high"), "Unable to parse string 'high'"),
        (HEAD + ROW.format(20) + ROW.format(21), "two rows of p00, scgan"),
    ],
)
def test_a_damaged_file_is_one_line_and_the_old_table_stays(folder, text, why):
    tables.table1(folder)
    old = (folder / "table1.csv").read_bytes()
    (folder / "metrics.csv").write_text(text)
    with pytest.raises(UserError, match=r"metrics\.csv: damaged .*scgan evaluate") as error:
        tables.table1(folder)
    assert why in str(error.value) and "\n" not in str(error.value)
    assert (folder / "table1.csv").read_bytes() == old
