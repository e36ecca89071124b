"""Tiny ImageNet from a zip and from a folder; wrong, missing and damaged parts are named."""

import io
import json
import os
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import noise
from PIL import Image
from safetensors.torch import load_file

from scgan_lib import cli, colorize, config, data, evaluation, pretrained, tiny
from scgan_lib.paths import UserError

WNIDS = ["n02124075", "n04067472"]
TRAIN, VAL = tiny.HELD + 2, 3  # a class


def jpeg(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (level, 128, 10)).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture(scope="module")
def layout() -> dict[str, bytes]:
    files = {"wnids.txt": "\n".join(WNIDS).encode()}
    for k, wnid in enumerate(WNIDS):
        for i in range(TRAIN):
            files[f"train/{wnid}/images/{wnid}_{i}.JPEG"] = jpeg(100 * k + i)
        boxes = "".join(f"{wnid}_{i}.JPEG\t1\t2\t{30 + i}\t40\n" for i in range(TRAIN))
        files[f"train/{wnid}/{wnid}_boxes.txt"] = boxes.encode()
    rows = [f"val_{i}.JPEG\t{WNIDS[i % 2]}\t5\t6\t7\t8\n" for i in range(VAL)]
    files["val/val_annotations.txt"] = "".join(rows).encode()
    return files | {f"val/images/val_{i}.JPEG": jpeg(200 + 10 * i) for i in range(VAL)}


def as_zip(files: dict[str, bytes], path):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"tiny-imagenet-200/{name}", content)
    return path


def as_folder(files: dict[str, bytes], path):
    for name, content in files.items():
        target = path / "tiny-imagenet-200" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return path


def test_zip_and_folder_give_the_same_arrays_which_are_made_once(layout, tmp_path):
    path = as_zip(layout, tmp_path / "t.zip")
    a = tiny.open_tiny(path, tmp_path / "a")
    b = tiny.open_tiny(as_folder(layout, tmp_path / "folder"), tmp_path / "b")
    assert a.rgb.shape == (2 * TRAIN + VAL, 64, 64, 3)
    assert np.array_equal(a.rgb, b.rgb) and a.names == b.names
    # name_10 comes after name_9; the red level of the flat pictures says which is which
    reds = a.rgb[[TRAIN - 1, TRAIN + 1], 0, 0, 0]
    assert reds.tolist() == pytest.approx([TRAIN - 1, 101], abs=3)
    assert a.label.tolist() == [0] * TRAIN + [1] * TRAIN + [0, 1, 0]
    assert a.boxes[4].tolist() == [1, 2, 34, 40] and a.boxes[-1].tolist() == [5, 6, 7, 8]
    # the last training photographs of each class are held back
    assert a.indices("train").tolist() == [0, 1, TRAIN, TRAIN + 1]
    assert len(a.indices("held")) == 2 * tiny.HELD and len(a.indices("val")) == VAL
    maps = a.saliency()
    assert maps.shape == a.rgb.shape[:3] and maps.dtype == np.uint8
    assert maps.max() == 0  # flat pictures hold no object
    times = {f: f.stat().st_mtime_ns for f in a.folder.iterdir()}
    moved = path.rename(tmp_path / "moved.zip")
    os.utime(moved, (1, 1))
    again = tiny.open_tiny(moved, tmp_path / "a")
    assert np.array_equal(again.rgb, a.rgb)
    assert np.array_equal(again.saliency(), maps)
    assert {f: f.stat().st_mtime_ns for f in a.folder.iterdir()} == times


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"wnids.txt": None}, "wnids.txt"),
        ({"val/val_annotations.txt": b"val_0.JPEG\tn02124075\t0\t0\t1\t1\n"}, "val_1.JPEG"),
        ({"train/n04067472/images/n04067472_3.JPEG": jpeg(9)[:200]}, "n04067472_3.JPEG"),
        ({f"train/n04067472/images/n04067472_{i}.JPEG": None for i in range(TRAIN)}, "n04067472"),
    ],
)
def test_wrong_parts_are_named(layout, tmp_path, change, named):
    files = {k: v for k, v in (layout | change).items() if v is not None}
    with pytest.raises(UserError, match=named):
        tiny.open_tiny(as_zip(files, tmp_path / "source.zip"), tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("photos.json"))


@pytest.mark.parametrize(("name", "kind"), [("cut.zip", UserError), ("no", FileNotFoundError)])
def test_a_cut_zip_and_a_missing_path_are_named(layout, tmp_path, name, kind):
    path = as_zip(layout, tmp_path / "cut.zip")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(kind, match=name):
        tiny.open_tiny(tmp_path / name, tmp_path / "cache")


# --- as a profile ---------------------------------------------------------------------------------


def test_the_profile_sees_training_held_back_and_validation_photographs(layout, tmp_path):
    p = config.load("tiny", data=str(as_zip(layout, tmp_path / "source.zip")))
    splits = {s: data.photos(p, s) for s in ("train", "val", "test")}
    assert {s: len(found) for s, found in splits.items()} == {"train": 4, "val": 20, "test": VAL}
    assert [x.label for x in splits["test"]] == [WNIDS[0], WNIDS[1], WNIDS[0]]
    # each picture is read from the zip: the red level says which one it is
    reds = [int(data.test_picture(x, 64)[9, 9, 0]) for x in splits["test"]]
    assert reds == pytest.approx([200, 210, 220], abs=2)
    assert evaluation.test_labels(p) == {"val_0": 285, "val_1": 758, "val_2": 285}


def test_from_the_zip_to_table_1(layout, tmp_path, monkeypatch):
    """All three stages, the scores among the 200 classes and the table, by the commands alone."""
    pictures = [name for name in layout if name.endswith(".JPEG")]
    for seed, name in enumerate(pictures):  # flat ones stop BatchNorm
        file = io.BytesIO()
        Image.fromarray(noise(64, 64, 3, seed=seed)).save(file, "JPEG")
        layout = layout | {name: file.getvalue()}
    monkeypatch.setenv("TINY", str(as_zip(layout, tmp_path / "t.zip")))
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path / "out"))
    sizes = "width=8 saliency_width=8 critic_width=8 samples=1 stage0_batch=2 batch=2"
    monkeypatch.setenv("SCGAN_SET", f"{sizes} stage2_batch=1 stage0_steps=2 stage1_steps=2")
    with pytest.raises(UserError, match="no such weights; train stage 0"):
        colorize.build_generator(config.from_environment("tiny"))
    assert cli.main("train --profile tiny --set stage2_steps=1".split()) == 0
    runs = tmp_path / "out" / "results" / "tiny" / "runs"
    settings = {i: json.loads((runs / f"stage{i}/settings.json").read_text()) for i in (0, 1, 2)}
    assert settings[1]["batch"] == 2 and settings[2]["batch"] == 1
    learned = load_file(runs / "stage0" / "final.safetensors")["conv5_3.conv.weight"]
    start = colorize.build_generator(config.from_environment("tiny"))
    assert torch.equal(start.global_encoder.conv5_3.conv.weight, learned)
    assert cli.main("evaluate --profile tiny --set stage2_steps=1".split()) == 0
    assert cli.main("table --profile tiny".split()) == 0
    rows = pd.read_csv(runs.parent / "metrics.csv")
    scored = rows.groupby("method")["top1"].count().to_dict()
    assert scored == dict.fromkeys(("gray", "mean_color", "real", "scgan", "stage1"), VAL)
    assert set(rows["judge_class"]) <= set(pretrained.tiny_classes().values())
    assert "200 classes" in (runs.parent / "table1.md").read_text()
