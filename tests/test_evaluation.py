"""Folders of pictures: what is scored, what is named; the bootstrap; the manifest."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from scgan_lib import config, data, evaluation, metrics
from scgan_lib.evaluation import score
from scgan_lib.paths import ROOT, UserError
from scgan_lib.statistics import bootstrap_interval, paired_difference


class FirstPixel:
    """A judge that sees class R of the first pixel, and next to it R+1, R+2 ..."""

    name = "first pixel"

    def __call__(self, rgb_u8):
        distance = (torch.arange(1000)[None] - rgb_u8[:, 0, 0, 0].long()[:, None]) % 1000
        return -distance.float()


def picture(seed, size=16):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def save(folder, **pictures):
    folder.mkdir(exist_ok=True)
    for name, rgb in pictures.items():
        stem, _, suffix = name.rpartition("_")
        Image.fromarray(rgb).save(folder / f"{stem}.{suffix}")
    return folder


@pytest.fixture
def folders(tmp_path):
    real = save(tmp_path / "real", a_png=picture(0), b_png=picture(1), c_png=picture(2))
    mine = save(tmp_path / "mine", a_bmp=picture(3), b_tif=picture(1), c_ppm=picture(5))
    return real, mine


def test_every_number_is_the_metric_of_its_pair(folders):
    real, mine = folders
    table, skipped = score(real, {"mine": mine})
    assert not skipped
    assert list(table.columns) == evaluation.COLUMNS
    assert list(table["method"]) == ["mine"] * 3 + ["gray"] * 3 + ["real"] * 3
    row = table.iloc[0]
    assert (row["image"], row["method"]) == ("a", "mine")
    for name in ("psnr", "ssim", "nrmse"):
        assert row[name] == getattr(metrics, name)(picture(0), picture(3))
    assert row["cci"] == metrics.cci(picture(3)) and row["cni"] == metrics.cni(picture(3))
    assert row["saturation"] == metrics.mean_saturation(picture(3))
    assert np.isinf(table.iloc[1]["psnr"])  # b is a copy
    assert np.isinf(table[table.method == "real"]["psnr"]).all()
    assert (table[table.method == "gray"]["cci"] == 0).all()
    unmeasured = ["top1", "top5", "agree", "judge_class", "boundary_chroma", "salient_chroma"]
    assert table[[*unmeasured]].isna().all(axis=None)
    assert (table["set"] == "photos").all()


def test_judge_with_and_without_labels(folders):
    real, mine = folders
    first = {s: int(picture(i)[0, 0, 0]) for i, s in enumerate("abc")}
    labels = {"a": int(picture(3)[0, 0, 0]), "b": first["b"] + 4}
    table, _ = score(real, {"mine": mine}, FirstPixel(), labels)
    table = table.set_index(["method", "image"])
    mine = table.loc["mine"]
    assert mine["judge_class"].tolist() == [int(picture(i)[0, 0, 0]) for i in (3, 1, 5)]
    assert mine["agree"].tolist() == [0, 1, 0]
    assert mine["top1"].tolist()[:2] == [1, 0] and mine["top5"].tolist()[:2] == [1, 1]
    assert np.isnan(mine.loc["c", "top1"])  # no label
    assert (table.loc["real", "agree"] == 1).all()


def test_masks_give_the_chroma_errors_where_there_are_any(folders, tmp_path):
    real, mine = folders
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    masks = save(tmp_path / "masks", a_png=mask, c_png=mask[:8])
    table, skipped = score(real, {"mine": mine}, masks=masks)
    row = table.iloc[0]
    expected = metrics.boundary_chroma_error(picture(0), picture(3), mask)
    assert row["boundary_chroma"] == pytest.approx(expected)
    assert row["salient_chroma"] == metrics.salient_chroma_error(picture(0), picture(3), mask)
    assert table.iloc[1:3]["boundary_chroma"].isna().all()
    assert [(s.method, s.image) for s in skipped] == [("masks", "c")]


def test_bad_pictures_are_named_counted_and_the_rest_is_scored(tmp_path):
    names = ["fine", "missing", "truncated", "small", "twice"]
    real = save(tmp_path / "real", **{f"{n}_png": picture(i) for i, n in enumerate(names)})
    mine = save(
        tmp_path / "mine",
        fine_png=picture(9),
        truncated_png=picture(9),
        small_png=picture(9, size=8),
        extra_png=picture(9),
        twice_png=picture(9),
        twice_bmp=picture(8),
    )
    cut = mine / "truncated.png"
    cut.write_bytes(cut.read_bytes()[:200])
    (mine / "notes.txt").write_text("no picture")
    table, skipped = score(real, {"mine": mine})
    assert set(table[table.method == "mine"]["image"]) == {"fine", "twice"}
    assert set(table[table.method == "gray"]["image"]) == set(names)
    reasons = {s.image: s.reason for s in skipped}
    assert {s.method for s in skipped} == {"mine"} and len(skipped) == 5
    assert reasons["missing"] == "missing"
    assert reasons["extra"] == "no real photo of this name"
    assert "truncated.png: not a readable picture" in reasons["truncated"]
    assert str(tmp_path) not in reasons["truncated"]
    assert reasons["small"] == "small.png: 8x8 pixels, the real photo has 16x16"
    assert "same name as twice.bmp" in reasons["twice"]


def test_missing_and_empty_folders_name_themselves(folders, tmp_path):
    real, _ = folders
    with pytest.raises(UserError, match="nowhere"):
        score(real, {"mine": tmp_path / "nowhere"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty"):
        score(tmp_path / "empty", {})


def test_metrics_csv_reads_back_the_same_numbers(folders, tmp_path):
    table, _ = score(folders[0], {"mine": folders[1]}, FirstPixel())
    evaluation.write_metrics(table, tmp_path / "metrics.csv")
    back = pd.read_csv(tmp_path / "metrics.csv")
    pd.testing.assert_frame_equal(back, table, check_exact=True, check_dtype=False)


# --- a profile's pictures -------------------------------------------------------------------------


@pytest.fixture
def outputs(tiny, tmp_path):
    """Three photos and three composites, without any generator, and somebody's copies of them."""
    profile = tiny()
    folders = evaluation.write_outputs(profile, weights={})
    shutil.copytree(folders["real"], tmp_path / "theirs")
    return profile, folders, tmp_path / "theirs"


def test_composites_lie_beside_the_photos_with_their_masks(outputs):
    profile, folders, _ = outputs
    assert [*folders] == ["real", "gray", "mean_color"]
    home = folders["real"].parent / "composites"
    made = data.test_composites(profile)
    assert len(made) == 3 and sorted(p.name for p in home.iterdir()) == [
        "gray", "mask", "mean_color", "real"
    ]  # fmt: skip
    for name, rgb, mask in made:
        assert (np.asarray(Image.open(home / "real" / f"{name}.png")) == rgb).all()
        assert (np.asarray(Image.open(home / "mask" / f"{name}.png")) == mask).all()
        assert (
            np.asarray(Image.open(home / "gray" / f"{name}.png"))[..., 1] == data.luma_u8(rgb)
        ).all()


def test_photos_have_no_masks_and_composites_no_judge(outputs):
    profile, folders, theirs = outputs
    table, skipped = evaluation.score_outputs(folders | {"theirs": theirs}, FirstPixel())
    assert not skipped and len(table) == 3 * 4 + 3 * 3  # theirs: photos alone
    photos, composites = (table[table["set"] == s] for s in ("photos", "composites"))
    errors = ["boundary_chroma", "salient_chroma"]
    assert photos[errors].isna().all(axis=None) and photos["agree"].notna().all()
    assert composites["agree"].isna().all() and composites[errors].notna().all(axis=None)
    assert (composites[composites["method"] == "real"][errors] == 0).all(axis=None)
    name, rgb, mask = data.test_composites(profile)[0]
    gray = np.repeat(data.luma_u8(rgb)[..., None], 3, 2)
    row = composites.set_index(["method", "image"]).loc["gray", name]
    assert row["boundary_chroma"] == metrics.boundary_chroma_error(rgb, gray, mask)
    assert row["salient_chroma"] == metrics.salient_chroma_error(rgb, gray, mask)


def test_somebodys_composites_are_scored_where_they_are_given(outputs):
    _, folders, theirs = outputs
    home = folders["real"].parent / "composites"
    shutil.copytree(home / "gray", theirs / "composites")
    next((theirs / "composites").iterdir()).unlink()
    # under the name of one of our own methods: theirs, and not ours, is scored
    table, skipped = evaluation.score_outputs(folders | {"mean_color": theirs})
    scored = table[(table["method"] == "mean_color") & (table["set"] == "composites")]
    gray = table[(table["method"] == "gray") & (table["set"] == "composites")]
    both = scored.merge(gray, on="image")
    assert len(both) == 2 and (both["boundary_chroma_x"] == both["boundary_chroma_y"]).all()
    assert [(s.method, s.image.split("/")[0], s.reason) for s in skipped] == [
        ("mean_color", "composites", "missing")
    ]


def test_rows_of_weights_that_are_not_here_are_never_lost(tiny):
    profile = tiny()
    path = profile.results / "metrics.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("image,method,psnr\na,scgan,20\n")
    with pytest.raises(UserError, match=r"metrics\.csv: has rows of scgan"):
        evaluation.evaluate(profile)
    assert path.read_text() == "image,method,psnr\na,scgan,20\n"


@pytest.mark.parametrize("name", ["real", "scgan", "", "mask", "composites"])
def test_names_of_our_own_methods_are_refused(tiny, tmp_path, name):
    with pytest.raises(UserError, match="choose another"):
        evaluation.evaluate(tiny(), {name: tmp_path})


# --- bootstrap ------------------------------------------------------------------------------------


def test_bootstrap_interval_agrees_with_the_normal_one():
    x = np.random.default_rng(0).normal(5, 2, 400)
    mean, low, high = bootstrap_interval(x, seed=1)
    half = 1.96 * x.std() / 20
    assert mean == pytest.approx(x.mean())
    assert (low, high) == (
        pytest.approx(mean - half, abs=0.02),
        pytest.approx(mean + half, abs=0.02),
    )
    assert bootstrap_interval(x, seed=1) == bootstrap_interval(x, seed=1)
    assert bootstrap_interval(x, seed=2) != bootstrap_interval(x, seed=1)


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
    mean, low, high = paired_difference(b, b)
    assert (mean, low, high) == (0, 0, 0)


# --- manifest -------------------------------------------------------------------------------------


def test_manifest_says_what_the_result_depends_on(tmp_path):
    profile = config.load("smoke", seed=3)
    (tmp_path / "metrics.csv").write_text("image,method\n")
    skipped = [evaluation.Skipped("mine", "x", "missing")]
    path = tmp_path / "manifest.json"
    evaluation.write_manifest(
        path,
        profile,
        judge="J",
        vgg="V",
        skipped=skipped,
        seconds={"stage1": 1.5},
        at=ROOT / "data",
    )
    read = json.loads(path.read_text())
    assert (read["profile"], read["seed"], read["judge"], read["vgg"]) == ("smoke", 3, "J", "V")
    assert read["settings"]["data"] == "data/mini" and read["at"] == "data"
    assert read["skipped"] == [{"method": "mine", "image": "x", "reason": "missing"}]
    assert read["seconds"] == {"stage1": 1.5} and read["protocol"] == evaluation.PROTOCOL
    assert len(read["metrics_sha256"]) == 64 and read["versions"]["torch"] and read["commit"]
    elsewhere = config.load("folder", data=str(tmp_path / "photos"))
    read = evaluation.write_manifest(path, elsewhere)
    assert read["settings"]["data"] == "photos"  # no path of this machine
    assert str(tmp_path) not in path.read_text()
