"""Saliency: robust background detection, the cache of maps, ready maps, u2netp."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from scgan_lib import config
from scgan_lib.data import test_composites as composites_of
from scgan_lib.paths import UserError
from scgan_lib.saliency import DEFAULT, robust_background, saliency_maps, teacher


def disc(h=160, w=200, radius=40):
    """A red disc on gray, and where it is."""
    y, x = np.indices((h, w))
    inside = (y - h / 2) ** 2 + (x - w / 2) ** 2 < radius**2
    return np.where(inside[..., None], (200, 30, 30), (128, 128, 128)).astype(np.uint8), inside


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photos" / "disc.png"
    path.parent.mkdir()
    Image.fromarray(disc()[0]).save(path)
    return path


def read(path):
    return np.asarray(Image.open(path))


def test_what_does_not_reach_the_rim_is_salient_to_the_pixel():
    """A red disc on gray, a gray one on red, a ground of two halves: not colour alone decides."""
    rgb_u8, inside = disc()
    swapped = np.where(inside[..., None], (128, 128, 128), (200, 30, 30)).astype(np.uint8)
    halves = rgb_u8.copy()
    halves[:80][~inside[:80]] = (120, 180, 240)
    for picture in (rgb_u8, swapped, halves):
        found = teacher(DEFAULT)(picture)
        assert found.dtype == np.float32 and 0 <= found.min() and found.max() <= 1
        assert found[inside].mean() > 0.8 and found[~inside].mean() < 0.2
        assert np.mean((found > 0.5) != inside) < 0.01


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (7, 3), (700, 500)])
def test_any_size_gives_finite_maps_of_that_size(shape):
    found = robust_background(np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8))
    assert found.shape == shape and np.isfinite(found).all()
    assert not robust_background(np.full((*shape, 3), 128, np.uint8)).any()  # no object


def test_maps_are_made_once_and_anew_for_a_newer_photo(photo, tmp_path):
    other = photo.with_name("disc.jpg")  # the same stem, yet a map of its own
    Image.fromarray(disc(120, 100, 30)[0]).save(other)
    maps = saliency_maps([photo, other, photo], DEFAULT, tmp_path)
    assert [m.name for m in maps] == ["disc.png.png", "disc.jpg.png", "disc.png.png"]
    digits = hashlib.sha256(str(photo.parent).encode()).hexdigest()[:12]
    folder = tmp_path / "saliency" / f"{DEFAULT}-1" / f"photos-{digits}"
    assert {*folder.iterdir()} == {*maps}  # no leftovers
    exact = robust_background(read(photo))
    assert np.abs(read(maps[0]) / 255 - exact).max() <= 0.5 / 255 + 1e-6

    stamps = [m.stat().st_mtime_ns for m in maps]
    assert saliency_maps([photo, other, photo], DEFAULT, tmp_path) == maps
    assert [m.stat().st_mtime_ns for m in maps] == stamps
    Image.fromarray(disc(60, 50, 20)[0]).save(other)
    assert saliency_maps([photo, other], DEFAULT, tmp_path) == maps[:2]
    assert read(maps[1]).shape == (60, 50) and maps[0].stat().st_mtime_ns == stamps[0]


def test_folder_maps_are_found_by_stem_resized_and_kept(photo, tmp_path):
    ready = tmp_path / "ready"
    (ready / "deep").mkdir(parents=True)
    source = ready / "deep" / "disc.tif"
    ramp = np.tile(np.linspace(0, 65535, 20).astype(np.uint16), (16, 1))  # 16 bit, a tenth as large
    Image.fromarray(ramp).save(source)
    name = f"folder:{ready}"
    found = teacher(name)(read(photo), photo)
    assert found.dtype == np.float32 and found.shape == (160, 200)
    assert found[:, 0].max() == 0 and found[:, -1].min() == 1
    assert found[80, 100] == pytest.approx(0.5, abs=0.03)

    (first,) = saliency_maps([photo], name, tmp_path)
    before = read(first)
    assert first not in saliency_maps([photo], DEFAULT, tmp_path)
    Image.fromarray(ramp[:, ::-1]).save(source)  # newer than the map made from it
    assert saliency_maps([photo], name, tmp_path) == [first]
    assert np.array_equal(read(first), before[:, ::-1])


def test_a_folder_without_the_one_map_says_so(photo, tmp_path):
    ready = tmp_path / "ready"
    name = f"folder:{ready}"
    with pytest.raises(UserError, match="no such folder"):
        teacher(name)
    ready.mkdir()
    with pytest.raises(UserError, match=r"disc\.png.*found none"):
        saliency_maps([photo], name, tmp_path)
    for suffix in ("png", "bmp"):
        Image.new("L", (4, 4)).save(ready / f"disc.{suffix}")
    with pytest.raises(UserError, match=r"found disc\.bmp, disc\.png"):
        saliency_maps([photo], name, tmp_path)


def test_u2netp_finds_the_objects_of_composites():
    """Mean error on five; over all 39 test composites .109, and robust-background .156."""
    teach, composites = teacher("u2netp"), composites_of(config.load("mini", test_images=12))[3::2]
    maps = [teach(c.rgb) for c in composites]
    assert all(m.dtype == np.float32 and 0 <= m.min() and m.max() <= 1 for m in maps)
    errors = [abs(m - c.mask / 255).mean() for m, c in zip(maps, composites, strict=True)]
    assert np.mean(errors) == pytest.approx(0.025, abs=0.003)
