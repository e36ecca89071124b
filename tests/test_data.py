"""Pictures in, tensors out: every kind of file, the splits, the composites, determinism."""

import csv
import hashlib
import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import PIXEL, batches, imagenet_tree
from PIL import Image

from scgan_lib import config, data, pictures, stage0
from scgan_lib.data import TrainingSet, composite, luma_u8, photos, read_rgb
from scgan_lib.paths import ROOT, UserError

# --- reading --------------------------------------------------------------------------------------


RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
RED = Image.new("RGB", (16, 16), (255, 0, 0))


@pytest.mark.parametrize(
    ("name", "image", "expected", "tolerance"),
    [
        ("gray.png", Image.fromarray(RAMP), RAMP[..., None], 0),
        ("wide.png", Image.fromarray(RAMP.astype(np.uint16) * 257), RAMP[..., None], 0),
        ("dark.png", Image.fromarray(RAMP.astype(np.uint16)), 0, 1),  # 16 bit, nearly black
        ("bits.png", Image.fromarray(RAMP > 99), 255 * (RAMP > 99)[..., None], 0),
        ("cmyk.tif", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), (255, 0, 0), 60),
        ("palette.gif", RED.convert("P"), (255, 0, 0), 0),
    ],
)
def test_every_mode_becomes_rgb(tmp_path, name, image, expected, tolerance):
    image.save(tmp_path / name)
    rgb = read_rgb(tmp_path / name)
    assert rgb.dtype == np.uint8 and rgb.shape == (16, 16, 3)
    assert np.abs(rgb.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize(
    ("wide", "tags", "expected"),
    [
        (np.uint16([[0, 65535]]), {262: 0, 258: (16,)}, [255, 0]),
        (np.uint16([[0, 4095]]), {262: 1, 258: (12,)}, [0, 255]),
        (np.uint16([[0, 4095]]), {262: 1, 258: (16,), 281: (4095,)}, [0, 255]),
        (np.float32([[0, 128.0]]), {262: 1, 341: (256.0,)}, [0, 128]),
        (np.float32([[-1.0, 1.0]]), {340: (-1.0,), 341: (1.0,)}, [0, 255]),
        (np.int32([[0, -1]]), {258: (32,), 339: (1,)}, [0, 255]),  # unsigned, as Pillow reads it
        (np.float32([[0, 2.0]]), {}, None),
        (np.float32([[0, np.nan]]), {}, None),
        (np.int32([[0, 255]]), {258: (32,), 339: (2,)}, None),
    ],
)
def test_the_range_of_a_wide_tiff_comes_from_its_tags(wide, tags, expected):
    image = Image.fromarray(wide)
    image.tag_v2 = tags
    if expected is None:
        with pytest.raises(ValueError, match="no tag tells their range"):
            pictures.to_rgb_mode(image)
        return
    rgb = np.asarray(pictures.to_rgb_mode(image))
    assert rgb[0, :, 0].tolist() == expected


def test_transparency_is_laid_on_white_and_rotation_followed(tmp_path):
    image = np.zeros((1, 3, 4), np.uint8)
    image[0, :, 3] = (0, 255, 128)
    Image.fromarray(image).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_rgb(tmp_path / "a.png")[0, :, 0], [255, 0, 127], atol=1)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90°
    Image.new("RGB", (20, 10)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_rgb(tmp_path / "turned.jpg").shape == (20, 10, 3)


def test_ranges_and_luma_by_hand():
    colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [10, 20, 30]]
    # 76.245, 149.685, 29.07, 255, 2.99 + 11.74 + 3.42 = 18.15
    np.testing.assert_array_equal(luma_u8(np.uint8([colours])), [[76, 150, 29, 255, 18]])
    torch.testing.assert_close(
        data.to_pm1(np.array([[0, 255, 51]], np.uint8)), torch.tensor([[-1.0, 1.0, -0.6]])
    )
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(data.to_u8(data.to_pm1(every)), every)
    assert data.to_u8(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


# --- data sets ------------------------------------------------------------------------------------


def test_shipped_files_match_their_hashes_and_no_subject_is_in_two_splits():
    """Neither a group (photos of one subject) nor the same source picture crosses splits."""
    with open(ROOT / "data" / "mini" / "credits.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    p = config.load("mini")
    splits = {s: photos(p, s) for s in ("train", "val", "test")}
    assert [len(found) for found in splits.values()] == [174, 22, 66]
    found = [x for s in splits for x in (*splits[s], *photos(p, s, "cutout"))]
    assert len({x.path for x in found}) == len(found) == len(rows) == 262 + 232
    data.verify_hashes(found)
    for key in ("group", "sha256", "source_sha256", "file"):
        places = {(row["kind"], row[key], row["split"]) for row in rows if row[key]}
        assert len(places) == len({place[:2] for place in places}), key
    gallery = [x.gallery for x in splits["test"]]  # comes first
    assert sum(gallery) == 20 and all(gallery[:20])
    assert photos(config.load("mini", test_images=7, train_images=5), "test") == splits["test"][:7]


def test_a_changed_or_missing_file_is_named_with_the_cure(tmp_path, tiny, monkeypatch):
    first, *others = photos(tiny(), "train")
    victim = replace(first, path=tmp_path / "victim.png")
    monkeypatch.setattr(data, "photos", lambda *_: [victim, *others])
    with pytest.raises(UserError, match=r"victim\.png.*missing"):
        TrainingSet(tiny(composites=0.0), 1, 4)
    victim.path.write_bytes(first.path.read_bytes() + b"x")
    with pytest.raises(UserError, match=r"victim\.png.*sha256.*git checkout"):
        TrainingSet(tiny(composites=0.0), 1, 4)


def test_no_folder_says_which_variable(tmp_path):
    for name, variable in (("imagenet", "IMAGENET"), ("folder", "DATA")):
        for where in ("", str(tmp_path / "none")):
            with pytest.raises(UserError, match=f"{variable}=DIR"):
                photos(config.load(name, data=where), "train")
    with pytest.raises(UserError, match="no train pictures"):
        photos(config.load("folder", data=str(tmp_path)), "train")


def test_a_plain_folder_is_split_by_name_alone(tmp_path):
    for i in range(60):
        name = tmp_path / ("a" if i % 2 else "b") / f"{i}.jpg"
        name.parent.mkdir(exist_ok=True)
        name.write_bytes(PIXEL)
    p = config.load("folder", data=str(tmp_path))
    split = {s: {x.path for x in photos(p, s)} for s in ("train", "val", "test")}
    assert len(set().union(*split.values())) == 60 == sum(map(len, split.values()))
    (tmp_path / "b" / "0.jpg").unlink()  # the others stay where they were
    again = {s: {x.path for x in photos(p, s)} for s in split}
    assert all(split[s] - {tmp_path / "b" / "0.jpg"} == again[s] for s in split)


def test_an_imagenet_tree_keeps_train_and_validation_apart(tmp_path):
    p = config.load("imagenet", data=str(imagenet_tree(tmp_path, 20, 20)))
    assert [x.path.name for x in photos(p, "train")] == [  # one in ten, as the first public version
        f"{wnid}_train_{i}.JPEG" for wnid in ("n01", "n02") for i in (0, 18)
    ]
    assert len(photos(replace(p, train_every=1), "train")) == 40
    assert len(stage0.labelled(p, "train")) == 40  # stage 0 takes all
    val, test = ({x.path for x in photos(p, s)} for s in ("val", "test"))
    assert len(val) + len(test) == 40 and not val & test and len(test) > len(val) > 0
    assert all("/val/" in str(path) for path in val | test)


def test_a_flat_val_has_its_label_file_or_is_refused(tmp_path):
    for name in ("train/n01/t_0.JPEG", "val/v_0.JPEG"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(PIXEL)
    p = config.load("imagenet", data=str(tmp_path))
    with pytest.raises(UserError, match=r"v_0\.JPEG: no label.*LOC_val_solution\.csv"):
        photos(p, "test")
    text = "ImageId,PredictionString\nv_0,n02 1 2 3 4"
    (tmp_path / "LOC_val_solution.csv").write_text(text)
    assert [x.label for split in ("train", "test") for x in photos(p, split)] == ["n01", "n02"]


@pytest.mark.parametrize("kind", ["folder", "imagenet"])
def test_damaged_training_pictures_are_named_and_left_out_up_to_a_twentieth(
    tmp_path, monkeypatch, capsys, kind
):
    monkeypatch.setenv("SCGAN_CACHE", str(tmp_path / "cache"))
    trees = [imagenet_tree(tmp_path / name, 40, 40) for name in ("good", "some", "many")]
    good, some, many = (config.load(kind, data=str(tree), train_every=1) for tree in trees)
    files = [x.path.relative_to(trees[0]) for x in photos(good, "train")]
    assert "damaged" not in capsys.readouterr().err
    (trees[1] / files[3]).write_bytes(PIXEL[:-1])
    found = [x.path.relative_to(trees[1]) for x in photos(some, "train")]
    assert found == files[:3] + files[4:]
    told = capsys.readouterr().err
    assert f"1 of {len(files)} training pictures" in told and str(files[3]) in told
    damaged = len(files) // 20 + 1
    for path in files[3 : 3 + damaged]:
        (trees[2] / path).write_bytes(b"")
    text = rf"{damaged} of {len(files)} .* more than 5%: .*{files[3]}.*replace or remove"
    with pytest.raises(UserError, match=text):
        photos(many, "train")
    with pytest.raises(UserError, match=f"{len(files)} of {len(files)} .* have no colour"):
        TrainingSet(good, 1, 1)


# --- training pictures ----------------------------------------------------------------------------


def test_items_depend_on_seed_stage_and_number_alone_and_have_shapes_and_ranges(tiny):
    p = tiny()
    one, other = TrainingSet(p, 1, 40), TrainingSet(p, 1, 100)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    for i in (7, 3, 0, 31):  # any order
        item, again = one[i], other[i]
        assert all(torch.equal(value, again[key]) for key, value in item.items())
        assert item["gray"].shape == item["saliency"].shape == (1, 32, 32)
        assert item["rgb"].shape == (3, 32, 32) and item["rgb"].abs().max() <= 1
        assert 0 <= item["saliency"].min() and item["saliency"].max() <= 1
        torch.testing.assert_close(item["gray"], (item["rgb"] * weights).sum(0, keepdim=True))
    assert not torch.equal(one[7]["rgb"], TrainingSet(p, 2, 40)[7]["rgb"])
    assert not torch.equal(one[7]["rgb"], TrainingSet(replace(p, seed=1), 1, 40)[7]["rgb"])


def test_crops_carry_their_saliency_along_and_an_epoch_shows_every_photo_once(
    tiny, tmp_path, monkeypatch
):
    """Each photo is its own saliency, but for its blue."""
    monkeypatch.setenv("SCGAN_CACHE", str(tmp_path / "cache"))
    for folder in ("set", "maps"):
        (tmp_path / folder).mkdir()
        for i in range(20):
            values = 11 * i + np.random.default_rng(i).integers(0, 8, (12, 15)).astype(np.uint8)
            gray = np.asarray(Image.fromarray(values).resize((60, 48), Image.BICUBIC))
            picture = np.dstack([gray, gray, gray + 20]) if folder == "set" else gray
            Image.fromarray(picture).save(tmp_path / folder / f"{i}.png")
    Image.new("L", (60, 48), 99).save(tmp_path / "set/no colour.png")  # is left out
    folders = dict(data=str(tmp_path / "set"), teacher=f"folder:{tmp_path / 'maps'}")
    items = TrainingSet(tiny(**folders, composites=0.0, train_images=6), 1, 12)
    shown = []
    for i in range(12):
        item = items[i]
        as_gray = item["saliency"] * 2 - 1 + 0.114 * 20 / 127.5
        torch.testing.assert_close(as_gray, item["gray"], rtol=0, atol=1e-5)
        shown.append(int(item["saliency"].mean() * 255) // 11)  # the number of the photo
    assert len({*shown[:6]}) == 6 and {*shown[:6]} == {*shown[6:]} and shown[:6] != shown[6:]


@pytest.mark.parametrize(("share", "batch", "expected"), [(0.0, 5, 0), (0.2, 5, 1), (0.2, 14, 2)])
def test_the_first_of_each_batch_are_composites(share, batch, expected, tiny):
    """So many of each batch, never above a fifth, over free photos; the others are as without."""
    items, plain = (TrainingSet(tiny(composites=c, batch=batch), 1, 28) for c in (share, 0.0))
    assert items.in_batch == expected <= batch / 5
    assert all(items.photos[i].free for i in items.backgrounds)
    other = [i for i in range(28) if not torch.equal(items[i]["rgb"], plain[i]["rgb"])]
    assert other == [i for i in range(28) if i % batch < expected]


def test_saliency_of_a_composite_is_its_alpha():
    """White with a ramp of alpha over black: picture and saliency are one and the same."""
    cutout = np.full((30, 20, 4), 255, np.uint8)
    cutout[..., 3] = np.linspace(0, 255, 20).astype(np.uint8)
    black = np.zeros((64, 64, 3), np.uint8)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        picture, saliency = composite(black, Image.fromarray(cutout), rng)
        assert picture.shape == (64, 64, 3) and saliency.shape == (64, 64)
        np.testing.assert_allclose(picture, np.repeat(saliency[..., None], 3, 2), atol=1)
        extent = np.ptp(np.nonzero(saliency)[0]) + 1
        assert 0.45 * 64 - 2 <= extent <= 0.9 * 64 + 2


@pytest.mark.parametrize(
    ("stage", "known"),
    [(1, "785cae22bf24c9e37065318e158bd0d9"), (2, "e5de2a16e95726385b2caf39307e8be2")],
)
def test_training_pictures_stay_the_same_to_the_last_bit(stage, known):
    items = TrainingSet(config.load("smoke"), stage, 64)
    digest = hashlib.sha256()
    for i in (0, 1, 7, 16, 40):
        digest.update(items.raw(i)["u8"].numpy().tobytes())
    assert digest.hexdigest()[:32] == known


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_their_items_wherever_a_run_begins_with_any_number_of_workers(tiny, workers):
    items = pickle.loads(pickle.dumps(TrainingSet(tiny(workers=workers), 1, 15)))  # as macOS does
    found = batches(items, 1, 3, 5)
    assert len(found) == 2
    for k, batch in enumerate(found, 1):
        for key, value in batch.items():
            assert torch.equal(value, torch.stack([items[5 * k + i][key] for i in range(5)]))


# --- what is tested -------------------------------------------------------------------------------


def test_a_balanced_subset_is_even_over_classes_and_the_same_for_every_run():
    found = [data.Photo(Path(f"{c}{i}.png"), "test", c) for c in "abc" for i in range(9)]
    found.append(data.Photo(Path("d0.png"), "test", "d"))  # d has one
    chosen = data.balanced(found, 12)
    counts = Counter(p.label for p in chosen)
    assert counts["d"] == 1 and sorted(counts[c] for c in "abc") == [3, 4, 4]
    assert data.balanced(found[::-1], 12) == chosen
    assert data.balanced(found, 8) == chosen[:8]  # more photos only add to fewer


def test_test_composites_are_the_same_for_every_seed_and_their_mask_is_exact():
    few = dict(judge_size=64, test_images=8)
    made = data.test_composites(config.load("mini", **few))
    again = data.test_composites(config.load("mini", seed=5, **few))
    assert len(made) == len(again) == 8
    free = [data.test_picture(p, 64) for p in photos(config.load("mini"), "test") if p.free]
    used = []
    for a, b in zip(made, again, strict=True):
        assert (a.rgb == b.rgb).all() and (a.mask == b.mask).all()
        assert a.rgb.shape == (64, 64, 3) and 0 < (a.mask >= 128).mean() < 0.8
        outside = a.mask == 0  # there the background shines through, untouched
        used += [i for i, photo in enumerate(free) if (photo[outside] == a.rgb[outside]).all()]
    assert len(used) == len({*used}) == 8  # each on a photo of its own


def test_a_list_names_the_test_photos_and_what_it_cannot_use(tmp_path):
    root, file = imagenet_tree(tmp_path / "tree", 12, 12), tmp_path / "list.txt"
    lines = ["n02/n02_val_3.JPEG", "val/n01/n01_val_0.JPEG  # by its whole path", ""]
    lines += ["n02/n02_val_3.JPEG", "train/n01/n01_train_0.JPEG"]
    file.write_text("\n".join(lines))
    p = config.load("imagenet", data=str(root), test_list=str(file))
    chosen = photos(p, "test")
    assert [x.path.name for x in chosen] == ["n02_val_3.JPEG", "n01_val_0.JPEG"]
    assert {x.split for x in chosen} == {"test"} and [x.label for x in chosen] == ["n02", "n01"]
    assert [*data.listed(p)[1]] == ["train/n01/n01_train_0.JPEG"]
    assert len(photos(replace(p, train_every=1), "train")) == 24  # the list is of test photos alone
    file.write_text("nowhere.png\n")
    with pytest.raises(UserError, match=r"list\.txt: names no test picture \(nowhere\.png"):
        photos(p, "test")
