"""Tables from files alone: order, bold type, blank cells, byte-identity, damage; the bootstrap."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from scgan_lib import tables
from scgan_lib.paths import ROOT, UserError
from scgan_lib.statistics import bootstrap_interval, paired_difference

MINI = ROOT / "results" / "mini"
IMAGES = [f"p{i:02d}" for i in range(40)]
MANIFEST = {"profile": "mini", "seed": 0, "judge": "Some_Judge", "vgg": "folded VGG-16"}
MANIFEST |= {"commit": "abc123", "skipped": [{"method": "mine", "image": "p00", "reason": "gone"}]}
PSNR = "PSNR (dB) ↑"


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
    means = {"mine": (21.0, 30), "scgan": (scgan_psnr, 18), "stage1": (22.5, 10)}
    frames = [rows(m, *mean, seed + i) for i, (m, mean) in enumerate(means.items())]
    frames += [rows("real", np.inf, 50, agree=1), rows("mean_color", 20.0, 12, 4)]
    return pd.concat([*frames, rows("gray", 24.0, 0, 5).assign(cci=0.0)], ignore_index=True)


def with_composites():
    """`example` with 12 composites: SCGAN bleeds least, and the real photo not at all."""
    noise, frames = np.random.default_rng(3).normal(0, 1, 12), [example().assign(set="photos")]
    for method, error in (("gray", 30), ("stage1", 20), ("scgan", 15), ("real", 0)):
        exact = {"image": [f"c{i}" for i in range(12)], "method": method, "set": "composites"}
        exact |= {"psnr": 99.0, "ssim": 0.1, "cci": 18.0}
        exact |= {"boundary_chroma": error + noise * (error > 0), "salient_chroma": 2.0 * error}
        frames.append(pd.DataFrame(exact))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("example") / "run", example())


@pytest.fixture(scope="module")
def table(folder):
    return tables.table1(folder)


def write(folder, frame, **manifest):
    folder.mkdir(exist_ok=True)
    frame.to_csv(folder / "metrics.csv", index=False)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST | manifest))
    return folder


def test_rows_columns_and_cells(table):
    names = ["gray copy", "mean colour", "stage 1", "SCGAN", "mine", "real photo"]
    assert [*table.cells.index] == names
    numbers, scgan = table.numbers.loc["scgan"], example().query("method == 'scgan'")
    assert numbers["psnr_mean"] == pytest.approx(scgan["psnr"].mean())
    assert numbers["psnr_low"] < numbers["psnr_mean"] < numbers["psnr_high"]
    assert numbers["ratio_mean"] == pytest.approx(100 * scgan["cci"].between(16, 20).mean())
    assert numbers["agree_mean"] == 50
    cell = "{psnr_mean:.2f} [{psnr_low:.2f}, {psnr_high:.2f}]".format(**numbers)
    assert table.cells.loc["SCGAN", PSNR] == cell
    assert table.cells.loc["real photo", PSNR] == "∞"


def test_bold_only_where_the_paired_difference_excludes_zero(tmp_path, table):
    # gray has the highest PSNR of all, yet is no contestant; SSIM is equal for all: not bold
    assert table.bold == {("SCGAN", PSNR)}
    close = example(scgan_psnr=22.5)
    a, b = (close[close.method == m]["psnr"] for m in ("scgan", "stage1"))
    _, low, high = paired_difference(a, b)
    assert low < 0 < high
    assert not tables.table1(write(tmp_path / "close", close)).bold


def test_notes_tell_where_the_numbers_come_from(tmp_path):
    notes = "\n".join(tables.table1(write(tmp_path / "mini", with_composites())).notes)
    parts = ["n = 40 images", "profile mini", "seed 0", "Some_Judge", "folded VGG-16", "abc123"]
    parts += ["n = 12 composites", "skipped: 1.", "Not comparable with the paper"]
    assert [part for part in parts if part not in notes] == []
    notes = tables.table1(write(tmp_path / "big", example(), profile="imagenet")).notes
    assert "comparable" not in "\n".join(notes)


def test_labels_make_it_top1_and_blank_and_infinite_values_are_left_out(tmp_path):
    frame = example().assign(top1=1.0).query("method != 'stage1'")
    frame.loc[(frame.method == "gray") & (frame.image == "p03"), "psnr"] = np.inf
    table = tables.table1(write(tmp_path / "a", frame))
    assert table.cells.loc["SCGAN", "top-1 (Some_Judge, %) ↑"] == "100.0 [100.0, 100.0]"
    assert (table.cells.loc["stage 1"] == "").all()
    gray, numbers = frame.query("method == 'gray' and image != 'p03'"), table.numbers.loc["gray"]
    assert numbers["psnr_mean"] == pytest.approx(gray["psnr"].mean())
    assert (numbers["psnr_n"], numbers["psnr_infinite"]) == (39, 1)


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_the_committed_tables_come_from_the_committed_numbers(tmp_path, name):
    for source in ("metrics.csv", "manifest.json", "ablations.csv", "ablations.json"):
        shutil.copy(MINI / source, tmp_path)
    getattr(tables, name)(tmp_path)
    for path in (MINI / f"{name}.{kind}" for kind in ("csv", "md", "tex")):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_other_seeds_add_the_spread_over_runs(tmp_path, folder):
    more = [write(tmp_path / f"s{i}", example(23 + i, seed=10 * i), seed=i) for i in (1, 2)]
    table = tables.table1(folder, more)
    means = [example(23 + i, seed=10 * i).query("method == 'scgan'").psnr.mean() for i in range(3)]
    expected = f"; runs {np.mean(means):.2f} ± {np.std(means, ddof=1):.2f}"
    assert table.cells.loc["SCGAN", PSNR].endswith(expected)
    assert table.bold == {("SCGAN", PSNR)}
    worse = write(tmp_path / "s3", example(20.0, seed=30))  # one run says the contrary
    assert not tables.table1(folder, [*more, worse]).bold


def test_runs_on_other_pictures_are_no_runs_of_the_same(tmp_path):
    folder = write(tmp_path / "run", with_composites())
    other = write(tmp_path / "other", with_composites().replace({"image": {"c0": "other"}}))
    with pytest.raises(UserError, match="other images"):
        tables.table1(folder, [other])


def test_a_file_that_was_changed_is_refused(tmp_path):
    folder = write(tmp_path / "run", example(), metrics_sha256="0" * 64)
    with pytest.raises(UserError, match=r"metrics\.csv: changed since it was written"):
        tables.table1(folder)


def test_chroma_errors_are_of_composites_and_all_else_of_photos(tmp_path, table):
    frame = with_composites()
    exact = tables.table1(write(tmp_path / "exact", frame))
    assert exact.cells[[*table.cells]].equals(table.cells)  # whatever PSNR composites have
    numbers = exact.numbers.loc["scgan"]
    own = frame.query("method == 'scgan' and set == 'composites'")["boundary_chroma"]
    found = numbers[[f"boundary_chroma_{k}" for k in ("mean", "low", "high")]]
    assert [*found] == pytest.approx([*bootstrap_interval(own)])
    assert (numbers["boundary_chroma_n"], numbers["psnr_n"]) == (12, 40)
    assert ("SCGAN", "boundary chroma error ↓") in exact.bold


HEAD, ROW = "image,method,psnr,ssim,cci,agree\n", "p00,scgan,20,0.9,18,1\n"


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("metrics.csv", None, "make it with: scgan evaluate"),
        ("metrics.csv", HEAD, "no rows of photos"),
        ("metrics.csv", HEAD + ROW + ROW, "p00, scgan"),
        ("metrics.csv", HEAD + "p00,gray,,0.9,0\n", "an empty cell in the column 'psnr'"),
        ("manifest.json", "{", "write it anew: scgan evaluate"),
    ],
)
def test_a_damaged_file_is_one_line_and_the_old_table_stays(tmp_path, name, text, why):
    folder = write(tmp_path / "run", example())
    (folder / "table1.csv").write_text("old")
    (folder / name).unlink() if text is None else (folder / name).write_text(text)
    with pytest.raises(UserError) as error:
        tables.table1(folder)
    assert str(error.value).startswith(f"{folder / name}: ") and why in str(error.value)
    assert (folder / "table1.csv").read_text() == "old"


def test_bootstrap_interval_agrees_with_the_normal_one():
    x = np.random.default_rng(0).normal(5, 2, 400)
    mean, low, high = bootstrap_interval(x, seed=1)
    half = 1.96 * x.std() / 20
    assert mean == pytest.approx(x.mean())
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.02)
    assert bootstrap_interval(x, seed=1) == (mean, low, high)


def test_bootstrap_leaves_out_nan():
    assert bootstrap_interval([1.0, np.nan, 1.0]) == (1, 1, 1)
    assert np.isnan(bootstrap_interval([np.nan, np.nan])).all()


def test_paired_difference_sees_what_separate_intervals_cannot():
    rng = np.random.default_rng(0)
    photo = rng.normal(20, 5, 60)  # photos differ far more than the methods
    a, b = photo + 0.3 + rng.normal(0, 0.2, 60), photo
    _, low_a, high_a = bootstrap_interval(a)
    _, low_b, high_b = bootstrap_interval(b)
    assert low_a < high_b and low_b < high_a
    mean, low, high = paired_difference(a, b)
    assert 0.2 < low < mean < high < 0.4
    assert paired_difference(b, b) == (0, 0, 0)
