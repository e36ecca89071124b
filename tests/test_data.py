"""Pictures in, tensors out: every kind of file, the splits, the composites, determinism."""

import csv
import hashlib
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from scgan_lib import config, data, loop, stage0
from scgan_lib.data import TrainingSet, center_crop, composite, luma_u8, photos, read_rgb
from scgan_lib.paths import ROOT, UserError, cache_dir
from scgan_lib.saliency import saliency_maps

CREDITS = ROOT / "data" / "mini" / "credits.csv"


def rows():
    with open(CREDITS, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- reading --------------------------------------------------------------------------------------


def test_every_mode_becomes_rgb(tmp_path):
    def saved(name, image):
        image.save(tmp_path / name)
        return read_rgb(tmp_path / name)

    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    gray3 = np.repeat(ramp[..., None], 3, 2)
    np.testing.assert_array_equal(saved("gray.png", Image.fromarray(ramp)), gray3)
    wide = Image.fromarray(ramp.astype(np.uint16) * 257)
    np.testing.assert_array_equal(saved("wide.png", wide), gray3)
    dark = Image.fromarray(ramp.astype(np.uint16))  # 16 bit, nearly black: stays so
    assert saved("dark.png", dark).max() <= 1
    np.testing.assert_array_equal(saved("bits.png", Image.fromarray(ramp > 99)),
                                  np.where(gray3 > 99, 255, 0))  # fmt: skip
    cmyk = saved("cmyk.tif", Image.new("CMYK", (5, 4), (0, 255, 255, 0)))
    assert cmyk.shape == (4, 5, 3) and cmyk[0, 0, 0] > 200 and cmyk[0, 0, 1:].max() < 60
    palette = saved("palette.gif", Image.new("RGB", (5, 4), (255, 0, 0)).convert("P"))
    np.testing.assert_array_equal(palette, np.broadcast_to([255, 0, 0], (4, 5, 3)))


@pytest.mark.parametrize(
    ("wide", "tags", "expected"),
    [
        (np.uint16([[0, 65535]]), {262: 0, 258: (16,)}, [255, 0]),
        (np.uint16([[0, 65535]]), {262: 1, 258: (16,)}, [0, 255]),
        (np.uint16([[0, 4095]]), {262: 1, 258: (12,)}, [0, 255]),
        (np.uint16([[0, 4095]]), {262: 1, 258: (16,), 281: (4095,)}, [0, 255]),
        (np.float32([[0, 1.0]]), {262: 1, 258: (32,)}, [0, 255]),
        (np.float32([[0, 128.0]]), {262: 1, 341: (256.0,)}, [0, 128]),
    ],
)
def test_the_range_of_a_wide_tiff_comes_from_its_tags(wide, tags, expected):
    rgb = np.asarray(data.to_rgb_mode(Image.fromarray(wide), tags))
    assert rgb[0, :, 0].tolist() == expected


def test_transparency_is_laid_on_white(tmp_path):
    image = np.zeros((1, 3, 4), np.uint8)
    image[0, :, 3] = (0, 255, 128)
    Image.fromarray(image).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_rgb(tmp_path / "a.png")[0, :, 0], [255, 0, 127], atol=1)
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30])
    palette.save(tmp_path / "p.png", transparency=0)
    assert (read_rgb(tmp_path / "p.png") == 255).all()
    assert data.open_picture(tmp_path / "p.png").mode == "RGBA"


def test_rotation_of_the_camera_is_followed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90°
    Image.new("RGB", (20, 10)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_rgb(tmp_path / "turned.jpg").shape == (20, 10, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp", "gif"])
def test_damaged_pictures_are_named_in_one_line(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:12], b"", b"<html>no</html>"):
        path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            read_rgb(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file_folder_and_bomb(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no such file"):
        read_rgb(tmp_path / "none.jpg")
    with pytest.raises(UserError):
        read_rgb(tmp_path)
    Image.new("L", (100, 100)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match=r"large\.png"):
        read_rgb(tmp_path / "large.png")


def test_luma_by_hand():
    rgb = np.array(
        [[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [10, 20, 30]]],
        np.uint8,
    )
    # 76.245, 149.685, 29.07, 255, 2.99 + 11.74 + 3.42 = 18.15
    np.testing.assert_array_equal(luma_u8(rgb), [[76, 150, 29, 255, 18]])


def test_ranges_by_hand():
    u8 = np.array([[0, 255, 51]], np.uint8)
    torch.testing.assert_close(data.to_pm1(u8), torch.tensor([[-1.0, 1.0, -0.6]]))
    np.testing.assert_array_equal(data.to_u8(data.to_pm1(np.arange(256, dtype=np.uint8))),
                                  np.arange(256))  # fmt: skip
    assert data.to_u8(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


def test_item_by_hand():
    item = data.make_batch({"u8": torch.tensor([[[255, 0, 0, 51]]], dtype=torch.uint8)})
    assert {k: tuple(v.shape) for k, v in item.items()} == {
        "gray": (1, 1, 1), "rgb": (3, 1, 1), "saliency": (1, 1, 1)
    }  # fmt: skip
    torch.testing.assert_close(item["rgb"].flatten(), torch.tensor([1.0, -1.0, -1.0]))
    assert item["gray"].item() == pytest.approx(0.299 * 2 - 1, abs=1e-6)
    assert item["saliency"].item() == pytest.approx(0.2, abs=1e-6)


def test_center_crop_takes_the_middle():
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 2:6] = 200
    np.testing.assert_array_equal(center_crop(image, 4), np.full((4, 4, 3), 200))
    assert center_crop(image.transpose(1, 0, 2), 6).shape == (6, 6, 3)


# --- data sets ------------------------------------------------------------------------------------


def test_shipped_files_match_their_hashes():
    p = config.load("mini")
    found = [x for s in ("train", "val", "test") for k in ("photo", "cutout")
             for x in photos(p, s, k)]  # fmt: skip
    assert len(found) == len(rows()) == 262 + 232
    data.verify_hashes(found)


def test_no_subject_and_no_file_is_in_two_splits():
    """Neither a group (photos of one subject) nor the same source picture crosses splits."""
    for key in ("group", "sha256", "source_sha256", "file"):
        splits = {}
        for row in rows():
            if row[key]:
                splits.setdefault((row["kind"], row[key]), set()).add(row["split"])
        assert not {k: v for k, v in splits.items() if len(v) > 1}, key


def test_splits_are_disjoint_fixed_and_the_gallery_comes_first():
    p = config.load("mini")
    names = {s: [x.path.name for x in photos(p, s)] for s in ("train", "val", "test")}
    assert [len(n) for n in names.values()] == [174, 22, 66]
    assert len(set().union(*map(set, names.values()))) == 262
    gallery = [x.gallery for x in photos(p, "test")]
    assert sum(gallery) == 20 and all(gallery[:20])
    few = photos(config.load("mini", test_images=7, train_images=5), "test")
    assert [x.path.name for x in few] == names["test"][:7]


def small_set(root):
    """Two photos with a credits.csv."""
    (root / "photos").mkdir(parents=True)
    header = "file,kind,split,imagenet_class,gallery,licence,sha256"
    lines = [header]
    for i in range(2):
        path = root / "photos" / f"{i}.png"
        Image.new("RGB", (40, 40), (i, 9, 9)).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"photos/{i}.png,photo,train,,0,CC0-1.0,{digest}")
    (root / "credits.csv").write_text("\n".join(lines) + "\n")


def test_a_changed_or_missing_file_is_named_with_the_cure(tmp_path, tiny):
    small_set(tmp_path / "set")
    p = tiny(data=str(tmp_path / "set"), composites=0.0)
    victim = tmp_path / "set" / "photos" / "1.png"
    Image.new("RGB", (40, 40), "red").save(victim)
    with pytest.raises(UserError) as caught:
        TrainingSet(p, 1, 4)
    text = str(caught.value)
    assert str(victim) in text and "sha256" in text and "git checkout" in text and "\n" not in text
    victim.unlink()
    with pytest.raises(UserError, match=r"1\.png.*missing"):
        TrainingSet(p, 1, 4)


def test_a_changed_cutout_is_named_too(tmp_path, tiny):
    target = tmp_path / "mini"
    shutil.copytree(ROOT / "data" / "mini", target)
    p = tiny(data=str(target))
    victim = photos(p, "train", "cutout")[3].path
    victim.write_bytes(victim.read_bytes() + b"x")
    with pytest.raises(UserError, match=victim.name):
        TrainingSet(p, 1, 4)


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
        name.touch()
    p = config.load("folder", data=str(tmp_path))
    split = {s: {x.path for x in photos(p, s)} for s in ("train", "val", "test")}
    assert len(set().union(*split.values())) == 60 == sum(map(len, split.values()))
    (tmp_path / "b" / "0.jpg").unlink()  # the others stay where they were
    again = {s: {x.path for x in photos(p, s)} for s in split}
    assert all(split[s] - again[s] <= {tmp_path / "b" / "0.jpg"} for s in split)


def test_an_imagenet_tree_keeps_train_and_validation_apart(tmp_path):
    for folder in ("train", "val"):
        for wnid in ("n01440764", "n02102040"):
            (tmp_path / folder / wnid).mkdir(parents=True)
            for i in range(20):
                (tmp_path / folder / wnid / f"{wnid}_{folder}_{i}.JPEG").touch()
    p = config.load("imagenet", data=str(tmp_path))
    assert [x.path.name for x in photos(p, "train")] == [  # one in ten, as the first public version
        f"{wnid}_train_{i}.JPEG" for wnid in ("n01440764", "n02102040") for i in (0, 18)
    ]
    assert len(photos(replace(p, train_every=1), "train")) == 40
    assert len(stage0.labelled(p, "train")) == 40  # stage 0 takes all
    val, test = ({x.path for x in photos(p, s)} for s in ("val", "test"))
    assert len(val) + len(test) == 40 and not val & test and len(test) > len(val) > 0
    assert all("/val/" in str(path) for path in val | test)


def test_hidden_files_are_no_data_and_linked_folders_are(tmp_path):
    for name in ("a.jpg", "._a.jpg", ".b.1.part.png", ".ipynb_checkpoints/c.jpg"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).touch()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "d.png").touch()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "more")
    (tmp_path / "more" / "back").symlink_to(tmp_path / "set")  # ends all the same
    p = config.load("folder", data=str(tmp_path / "set"))
    assert [x.name for x in data.list_pictures(p.data_path)] == ["a.jpg", "d.png"]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("val/val_annotations.txt", "v_0.JPEG\tn02\t0\t0\t9\t9"),
        ("val.txt", "v_0.JPEG n02"),
        ("LOC_val_solution.csv", "ImageId,PredictionString\nv_0,n02 1 2 3 4"),
        ("none.txt", ""),
    ],
)
def test_a_flat_val_has_its_label_file_or_is_refused(tmp_path, file, line):
    for name in ("train/n01/images/t_0.JPEG", "val/images/v_0.JPEG"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / file).write_text(line)
    p = config.load("imagenet", data=str(tmp_path))
    if line:
        assert [x.label for x in data._all_photos(p)] == ["n01", "n02"]
    else:
        with pytest.raises(UserError, match=r"v_0\.JPEG: no label.*val_annotations\.txt"):
            data._all_photos(p)


# --- training pictures ----------------------------------------------------------------------------


def test_items_depend_on_seed_stage_and_number_alone(tiny):
    p = tiny()
    one, other = TrainingSet(p, 1, 40), TrainingSet(p, 1, 100)
    for i in (7, 3, 0, 31):  # any order
        for key, value in one[i].items():
            assert torch.equal(value, other[i][key])
    assert not torch.equal(one[7]["rgb"], TrainingSet(p, 2, 40)[7]["rgb"])
    assert not torch.equal(one[7]["rgb"], TrainingSet(replace(p, seed=1), 1, 40)[7]["rgb"])


def test_items_have_the_shapes_and_ranges_that_networks_expect(tiny):
    p = tiny()
    for i in range(6):
        item = TrainingSet(p, 1, 10)[i]
        assert item["gray"].shape == item["saliency"].shape == (1, 32, 32)
        assert item["rgb"].shape == (3, 32, 32) and item["rgb"].abs().max() <= 1
        assert 0 <= item["saliency"].min() and item["saliency"].max() <= 1
        weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
        torch.testing.assert_close(item["gray"], (item["rgb"] * weights).sum(0, keepdim=True))


def test_an_epoch_shows_every_photo_once(tiny):
    items = TrainingSet(tiny(composites=0.0), 1, 36)
    epochs = [[items._shuffled(12 * e + i) for i in range(12)] for e in range(3)]
    assert all(sorted(order) == list(range(12)) for order in epochs)
    assert len({tuple(order) for order in epochs}) == 3


@pytest.mark.parametrize(("share", "batch", "expected"), [(0.0, 5, 0), (0.2, 5, 1), (0.2, 14, 2)])
def test_composites_switch_and_exact_saliency(share, batch, expected, tiny, monkeypatch):
    """So many of each batch, never above a fifth, over free photos of the training split."""
    laid = []

    def spy(background, cutout, rng):
        picture, saliency = composite(background, cutout, rng)
        laid.append((picture, saliency))
        return picture, saliency

    monkeypatch.setattr(data, "composite", spy)
    items = TrainingSet(tiny(composites=share, batch=batch), 1, 3 * batch)
    assert all(items.photos[i].free for i in items.backgrounds)
    assert len(items.cutouts) == (len(photos(items.profile, "train", "cutout")) if share else 0)
    for start in range(0, 3 * batch, batch):
        laid.clear()
        batch_items = [items[i] for i in range(start, start + batch)]
        assert len(laid) == expected <= batch / 5
        for item, (_, saliency) in zip(batch_items, laid, strict=False):
            torch.testing.assert_close(
                item["saliency"][0], torch.from_numpy(saliency.copy()) / 255.0
            )


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
    # where the cut-out is not, the background stays
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    picture, saliency = composite(noise, Image.fromarray(cutout), np.random.default_rng(2))
    np.testing.assert_array_equal(picture[saliency == 0], noise[saliency == 0])


def test_flip_and_crop_carry_the_saliency_along(tiny):
    """A photo whose saliency is its own gray value: after scale, crop and flip it still is."""
    items = TrainingSet(tiny(composites=0.0), 1, 12)
    gray = [luma_u8(read_rgb(photo.path)) for photo in items.photos]
    items.pictures = [Image.fromarray(np.dstack([g] * 4), mode="RGBX") for g in gray]
    for i in range(12):
        item = items[i]
        torch.testing.assert_close(item["saliency"] * 2 - 1, item["gray"], rtol=0, atol=1e-5)


def decoded_each_time(items, item):
    """The plain way: open the file, crop the exact box, resize once, map and photo apart."""
    p = items.profile
    rng = np.random.default_rng([p.seed, items.stage, item])
    composed = item % p.batch < items.in_batch
    index = int(rng.choice(items.backgrounds)) if composed else items._shuffled(item)
    photo = items.photos[index]
    (path,) = saliency_maps([photo.path], p.teacher, cache_dir())
    pair = [Image.fromarray(read_rgb(photo.path)), Image.open(path).convert("L")]
    side = min(pair[0].size) * rng.uniform(p.min_scale, 1.0)
    left, top = (rng.uniform(0, extent - side) for extent in pair[0].size)
    box, size = (left, top, left + side, top + side), (p.image_size,) * 2
    rgb, map_u8 = (np.asarray(x.resize(size, Image.BICUBIC, box=box)) for x in pair)
    if rng.random() < 0.5:
        rgb, map_u8 = rgb[:, ::-1], map_u8[:, ::-1]
    if composed:
        cutouts = photos(p, "train", "cutout")
        cutout = data.open_picture(cutouts[rng.integers(len(cutouts))].path).convert("RGBA")
        rgb, map_u8 = composite(rgb, cutout, rng)
    return data.make_batch({"u8": torch.from_numpy(np.dstack([rgb, map_u8]))})


@pytest.mark.parametrize("cached", [True, False])
def test_shipped_photos_from_the_cache_are_the_same_to_the_last_bit(tiny, cached):
    items = TrainingSet(tiny(cache_pictures=cached), 1, 40)
    assert items.in_batch == 1
    for i in (0, 1, 4, 5, 17):
        plain = decoded_each_time(items, i)
        for key, value in items[i].items():
            assert torch.equal(value, plain[key]), (i, key)


def test_a_batch_made_at_once_is_its_items_one_by_one(tiny):
    items = TrainingSet(tiny(), 1, 5)
    raw = [items.raw(i)["u8"] for i in range(5)]
    assert all(u8.dtype == torch.uint8 and u8.shape == (32, 32, 4) for u8 in raw)
    batch = data.make_batch({"u8": torch.stack(raw), "label": torch.arange(5)})
    assert batch.pop("label").tolist() == [0, 1, 2, 3, 4]
    for i in range(5):
        assert all(torch.equal(value[i], items[i][key]) for key, value in batch.items())


def large_folder(root, n=20):
    root.mkdir()
    rng = np.random.default_rng(0)
    for i in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 15, 3), dtype=np.uint8))
        coarse.resize((600, 480), Image.BICUBIC).save(root / f"{i}.png")
    return str(root)


def test_larger_photos_are_kept_smaller_and_crops_stay_alike(tmp_path, tiny, monkeypatch):
    monkeypatch.setenv("SCGAN_CACHE", str(tmp_path / "cache"))
    white = tmp_path / "maps"
    white.mkdir()
    p = tiny(data=large_folder(tmp_path / "set"), composites=0.0, train_images=3,
             teacher=f"folder:{white}")  # fmt: skip
    for photo in photos(p, "train"):
        Image.new("L", (600, 480), 255).save(white / f"{photo.stem}.png")
    items = TrainingSet(p, 1, 9)
    assert [items.pictures[i].size for i in range(3)] == [(360, 288)] * 3
    for i in range(9):
        ours, plain = items[i], decoded_each_time(items, i)
        assert (ours["saliency"] == 1).all()
        error = (ours["rgb"] - plain["rgb"]).abs()
        assert 0 < error.mean() < 0.01 and error.max() < 0.06  # of a range of 2
    plain = TrainingSet(replace(p, cache_pictures=False), 1, 9)
    assert all(torch.equal(plain[i]["rgb"], items[i]["rgb"]) for i in range(9))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_any_number_of_workers_gives_the_same_batches(tiny, workers):
    p = tiny(workers=workers)
    alone = SimpleNamespace(
        num_processes=1, device=torch.device("cpu"), prepare=lambda loader: loader
    )
    items = TrainingSet(p, 1, 15)
    batches = [*loop.batches(items, 1, 3, p.batch, alone)]
    assert len(batches) == 2
    for k, batch in enumerate(batches, 1):
        for key, value in batch.items():
            assert torch.equal(value, torch.stack([items[5 * k + i][key] for i in range(5)]))


def test_teacher_switch_changes_the_saliency(tiny, tmp_path, monkeypatch):
    classical = TrainingSet(tiny(composites=0.0), 1, 4)[0]
    for photo in photos(tiny(), "train"):
        (tmp_path / "maps").mkdir(exist_ok=True)
        Image.new("L", Image.open(photo.path).size, 255).save(tmp_path / f"maps/{photo.stem}.png")
    monkeypatch.setenv("SCGAN_CACHE", str(tmp_path / "cache"))
    ready = TrainingSet(tiny(composites=0.0, teacher=f"folder:{tmp_path / 'maps'}"), 1, 4)[0]
    assert torch.equal(ready["rgb"], classical["rgb"])
    assert (ready["saliency"] == 1).all() and classical["saliency"].mean() < 0.9


# --- what is tested -------------------------------------------------------------------------------


def imagenet_tree(root, sizes: dict[str, int]):
    """An ImageNet tree: one training picture, and as many validation pictures as given, a class."""
    for wnid, count in sizes.items():
        for split, n in (("train", 1), ("val", count)):
            (root / split / wnid).mkdir(parents=True)
            for i in range(n):
                path = root / split / wnid / f"{wnid}_{split}_{i:03d}.png"
                Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(path)
    return root


def test_a_balanced_subset_is_even_over_classes_and_the_same_for_the_same_seed():
    found = [data.Photo(Path(f"{c}{i}.png"), "test", c) for c in "abcd" for i in range(9)]
    found = [p for p in found if p.label != "d" or p.path.name == "d0.png"]  # d has one
    chosen = data.balanced(found, 12)
    counts = Counter(p.label for p in chosen)
    assert counts["d"] == 1 and sorted(counts[c] for c in "abc") == [3, 4, 4]
    assert data.balanced(found[::-1], 12) == chosen != data.balanced(found, 12, seed=1)
    assert data.balanced(found, 8) == chosen[:8]  # more photos only add to fewer
    assert sorted(p.path for p in data.balanced(found, 99)) == sorted(p.path for p in found)


def test_an_imagenet_test_set_is_balanced_and_no_runs_seed_changes_it(tmp_path):
    root = imagenet_tree(tmp_path, {"n01": 40, "n02": 40, "n03": 6})
    chosen = data.photos(config.load("imagenet", data=str(root), test_images=15), "test")
    counts = Counter(p.label for p in chosen)
    assert sum(counts.values()) == 15 and sorted(counts.values()) == [5, 5, 5]
    assert chosen == sorted(chosen, key=lambda p: p.path.name)
    again = data.photos(config.load("imagenet", seed=7, data=str(root), test_images=15), "test")
    assert again == chosen
    assert config.load("imagenet").test_images == 10_000


def test_a_list_names_the_test_photos_and_what_it_cannot_use(tmp_path):
    root = imagenet_tree(tmp_path / "tree", {"n01": 12, "n02": 12})
    lines = ["n02/n02_val_003.png", "val/n01/n01_val_000.png  # by its whole path", "", "# all"]
    lines += ["n02/n02_val_003.png", "n01/nothing.png", "train/n01/n01_train_000.png"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    p = config.load("imagenet", data=str(root), test_list=str(tmp_path / "list.txt"))
    chosen = data.photos(p, "test")
    assert [x.path.name for x in chosen] == ["n02_val_003.png", "n01_val_000.png"]
    assert {x.split for x in chosen} == {"test"} and [x.label for x in chosen] == ["n02", "n01"]
    assert data.unlisted(p) == {
        "n01/nothing.png": "no such picture in tree",
        "train/n01/n01_train_000.png": "a training picture",
    }
    every = replace(p, train_every=1)
    assert len(data.photos(every, "train")) == 2  # the list is of test photos alone
    assert p.digest() == config.load("imagenet", data=str(root)).digest()  # no setting of training
    (tmp_path / "list.txt").write_text("nowhere.png\n")
    with pytest.raises(
        UserError, match=r"list\.txt: names no test picture \(nowhere\.png: no such"
    ):
        data.photos(p, "test")
    with pytest.raises(UserError, match=r"absent\.txt: no readable list"):
        data.photos(config.load("imagenet", data=str(root), test_list="absent.txt"), "test")


def test_test_composites_are_the_same_for_every_seed_and_their_mask_is_exact():
    profile = config.load("mini", judge_size=64)
    made = data.test_composites(profile)
    again = data.test_composites(config.load("mini", seed=5, judge_size=64))
    cutouts = data.photos(profile, "test", "cutout")
    assert len(made) == len(cutouts) == 39 and [c.name for c in made] == [p.stem for p in cutouts]
    for a, b in zip(made, again, strict=True):
        assert (a.rgb == b.rgb).all() and (a.mask == b.mask).all()
    free = [data.test_picture(p, 64) for p in data.photos(profile, "test") if p.free]
    used = set()
    for _, rgb, mask in made:
        assert rgb.shape == (64, 64, 3) and 0 < (mask >= 128).mean() < 0.8
        outside = mask == 0  # there the background shines through, untouched
        fits = [i for i, photo in enumerate(free) if (photo[outside] == rgb[outside]).all()]
        assert len(fits) == 1
        used |= {*fits}
    assert len(used) == 39  # each on a photo of its own
    few = data.test_composites(config.load("mini", judge_size=64, test_images=4))
    assert [c.name for c in few] == [c.name for c in made[:4]]
    assert all((a.rgb == b.rgb).all() for a, b in zip(few, made, strict=False))


def test_no_composites_where_there_are_no_cutouts(tmp_path):
    root = imagenet_tree(tmp_path, {"n01": 12})
    assert data.test_composites(config.load("imagenet", data=str(root))) == []


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
