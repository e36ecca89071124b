"""Folders of pictures: what is scored, what is named; the manifest."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from conftest import FirstPixel, noise
from PIL import Image

from scgan_lib import data, evaluation, metrics, pretrained
from scgan_lib.evaluation import score
from scgan_lib.paths import ROOT, UserError

CHROMA = ["boundary_chroma", "salient_chroma"]


def picture(seed, size=16):
    return noise(size, size, 3, seed=seed)


def save(folder, **pictures):
    folder.mkdir(parents=True, exist_ok=True)
    for name, rgb in pictures.items():
        Image.fromarray(rgb).save(folder / name.replace("_", "."))
    return folder


@pytest.fixture
def folders(tmp_path):
    real = save(tmp_path / "real", a_png=picture(0), b_png=picture(1), c_png=picture(2))
    mine = save(tmp_path / "mine", a_bmp=picture(3), b_tif=picture(1), c_ppm=picture(5))
    return real, mine


def test_every_number_is_the_metric_of_its_pair(folders):
    real, mine = folders
    table, skipped = score(real, {"mine": mine})
    assert not skipped and [*table.columns] == evaluation.COLUMNS
    assert [*table["method"]] == ["mine"] * 3 + ["real"] * 3
    row = table.iloc[0]
    assert (row["image"], row["method"], row["set"]) == ("a", "mine", "photos")
    for name in ("psnr", "ssim", "nrmse"):
        assert row[name] == getattr(metrics, name)(picture(0), picture(3))
    assert row["cci"] == metrics.cci(picture(3)) and row["cni"] == metrics.cni(picture(3))
    assert np.isinf(table["psnr"]).tolist() == [False, True, False, True, True, True]  # b: a copy
    assert table[["top1", "top5", "agree", "judge_class", *CHROMA]].isna().all(axis=None)


def test_judge_with_and_without_labels(folders):
    real, mine = folders
    labels = {"a": int(picture(3)[0, 0, 0]), "b": int(picture(1)[0, 0, 0]) + 4}
    table, _ = score(real, {"mine": mine}, FirstPixel(), labels)
    table = table.set_index("method")
    mine = table.loc["mine"]
    assert mine["judge_class"].tolist() == [int(picture(i)[0, 0, 0]) for i in (3, 1, 5)]
    assert mine["agree"].tolist() == [0, 1, 0] and table.loc["real", "agree"].eq(1).all()
    assert mine["top1"].tolist()[:2] == [1, 0] and mine["top5"].tolist()[:2] == [1, 1]
    assert mine["top1"].isna().tolist() == [False, False, True]  # c has no label


def test_composites_are_scored_with_their_masks_and_without_judge(folders, tmp_path):
    real, mine = folders
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    home = tmp_path / "composites"
    save(home / "mask", d_png=mask, e_png=mask)
    save(home / "real", d_png=picture(6), e_png=picture(7))
    save(home / "mine", d_png=picture(8))
    table, skipped = score(real, {"mine": mine}, FirstPixel())
    assert [(s.method, s.image, s.reason) for s in skipped] == [("mine", "e", "missing")]
    photos, exact = (table[table["set"] == s] for s in ("photos", "composites"))
    assert photos[CHROMA].isna().all(axis=None) and photos["agree"].notna().all()
    assert exact["agree"].isna().all() and (exact.iloc[1:][CHROMA] == 0).all(axis=None)
    assert exact["method"].tolist() == ["mine", "real", "real"]
    row, pair = exact.iloc[0], (picture(6), picture(8))
    assert row["image"] == "d" and row["psnr"] == metrics.psnr(*pair)
    assert row["boundary_chroma"] == metrics.boundary_chroma_error(*pair, mask)
    assert row["salient_chroma"] == metrics.salient_chroma_error(*pair, mask)


def test_bad_pictures_are_named_counted_and_the_rest_is_scored(tmp_path):
    names = ["fine", "missing", "truncated", "small", "twice"]
    real = save(tmp_path / "real", **{f"{n}_png": picture(i) for i, n in enumerate(names)})
    (real / "empty.png").touch()
    good = ["fine_png", "truncated_png", "extra_png", "empty_png", "twice_png", "twice_bmp"]
    mine = save(tmp_path / "mine", small_png=picture(9, 8), **dict.fromkeys(good, picture(9)))
    (mine / "truncated.png").write_bytes((mine / "fine.png").read_bytes()[:200])
    (mine / "notes.txt").write_text("no picture")
    table, skipped = score(real, {"mine": mine})
    assert set(table[table.method == "mine"]["image"]) == {"fine", "twice"}
    assert set(table[table.method == "real"]["image"]) == set(names)
    assert [s.image for s in skipped if s.method == "real"] == ["empty"] and len(skipped) == 6
    reasons = {s.image: s.reason for s in skipped}
    assert reasons["missing"] == "missing"
    assert reasons["extra"] == "no real photo of this name"
    assert reasons["truncated"].startswith("truncated.png: not a readable picture")
    assert reasons["small"] == "small.png: 8x8 pixels, the real photo has 16x16"
    assert "same name as twice.bmp" in reasons["twice"]


def test_missing_and_empty_folders_name_themselves(folders, tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        score(folders[0], {"mine": tmp_path / "nowhere"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty"):
        score(tmp_path / "empty", {})


def test_a_profile_is_coloured_scored_and_written_with_its_provenance(tiny, monkeypatch):
    monkeypatch.setattr(pretrained, "load_judge", FirstPixel)
    profile = tiny(init=f"{ROOT}/results/x", global_weights="/elsewhere/mine.pth")
    table, skipped = evaluation.evaluate(profile, weights={})
    assert not skipped
    assert table.groupby(["set", "method"]).size().to_dict() == {
        (s, m): 3 for s in ("photos", "composites") for m in ("real", "gray", "mean_color")
    }
    back = pd.read_csv(profile.results / "metrics.csv")  # the same numbers, to the last digit
    pd.testing.assert_frame_equal(back, table, check_exact=True, check_dtype=False)
    facts = json.loads((profile.results / "manifest.json").read_text())
    assert (facts["profile"], facts["seed"], facts["judge"]) == ("smoke", 0, "first pixel")
    assert facts["skipped"] == [] and facts["vgg"] and facts["versions"]["torch"]
    digest = hashlib.sha256((profile.results / "metrics.csv").read_bytes()).hexdigest()
    assert facts["metrics_sha256"] == digest
    assert facts["protocol"] == evaluation.PROTOCOL and len(facts["commit"].strip("+")) == 40
    paths = [facts["settings"][key] for key in ("data", "init", "global_weights")]
    assert paths == ["data/mini", "results/x", "mine.pth"]  # none of this machine
    assert set(facts["judge_classes"]) == {f"{c:.0f}" for c in table["judge_class"].dropna()}


def test_a_damaged_test_photo_is_named_and_the_rest_is_scored(tiny, tmp_path):
    for i in range(20):
        Image.fromarray(picture(i, 40)).save(tmp_path / f"{i}.png")
    profile = tiny(data=str(tmp_path), composites=0.0)
    first, *others = [p.path for p in data.photos(profile, "test")]
    first.write_bytes(first.read_bytes()[:99])
    table, skipped = evaluation.evaluate(profile, weights={})
    assert {*table["image"]} == {p.stem for p in others} and others
    assert [(s.method, s.image) for s in skipped] == [("real", first.stem)]
    assert f"{first}: not a readable picture" in skipped[0].reason


def test_methods_of_earlier_evaluations_are_kept_and_our_names_refused(tiny, tmp_path):
    profile = tiny()
    evaluation.evaluate(profile)
    for name in ("A", "B"):
        table, _ = evaluation.evaluate(profile, {name: profile.results / "outputs" / "gray"})
    count = table.groupby("method").size()
    assert count["A"] == count["B"] == count["gray"] == 6
    rows = pd.read_csv(profile.results / "metrics.csv").set_index(["method", "image", "set"])
    pd.testing.assert_series_equal(rows.psnr["A"], rows.psnr["gray"])
    table, _ = evaluation.evaluate(tiny(judge_size=24))  # other pictures of the same names
    assert not {"A", "B"} & {*table["method"]}
    for name in ("real", "SCGAN", "stage 1", "Gray copy", ""):
        with pytest.raises(UserError, match="a name of our own"):
            evaluation.evaluate(profile, {name: tmp_path})


def test_nothing_is_lost_where_weights_are_not_here(tiny, tmp_path):
    path = tiny().results / "metrics.csv"
    old = save(tiny().results / "outputs" / "real", a_png=picture(0)) / "a.png"
    path.write_text("image,method,psnr\na,scgan,20\n")
    with pytest.raises(UserError, match=r"metrics\.csv: has rows of scgan"):
        evaluation.evaluate(tiny())
    with pytest.raises(UserError, match=r"none\.safetensors"):
        evaluation.evaluate(tiny(), weights={"mine": tmp_path / "none.safetensors"})
    assert old.is_file() and path.read_text() == "image,method,psnr\na,scgan,20\n"
