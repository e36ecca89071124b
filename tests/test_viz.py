"""Figures: what `strip` and `grid` show, that files are whole and repeatable."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from scgan_lib import viz
from scgan_lib.paths import ROOT, UserError


def shown(figure):
    return [ax for ax in figure.axes if ax.images]


@pytest.fixture
def results(tmp_path):
    """Pictures of a small finished run, made of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    for method in ("real", "gray", "stage1", "scgan"):
        (tmp_path / "outputs" / method).mkdir(parents=True)
        for rgb, stem in zip(noise, ("boat", "apple", "cow-1", "cow"), strict=True):
            Image.fromarray(rgb).save(tmp_path / "outputs" / method / f"{stem}.png")
    return tmp_path


def test_strip_shows_each_picture_under_its_name_and_pixel_by_pixel():
    red = np.full((4, 6, 3), (200, 0, 0), np.uint8)
    figure = viz.strip({"red": red, "half": np.full((4, 4, 1), 0.5), "bool": np.eye(4, dtype=bool)})
    axes = shown(figure)
    assert [ax.get_title() for ax in axes] == ["red", "half", "bool"]
    for ax, pixels in zip(axes, (red, 128, np.eye(4) * 255), strict=True):
        assert (ax.images[0].get_array() == pixels).all()
        assert ax.images[0].get_interpolation() == "nearest"  # small: no blur
    with pytest.raises(UserError, match="'odd' has shape"):
        viz.strip({"odd": np.zeros((3, 4, 5, 6), np.uint8)})


def test_grid_lays_rows_out_in_blocks_with_names_and_captions():
    one = np.zeros((300, 300, 3), np.uint8)
    rows = [{"a": one, "b": (one, f"caption {i}")} for i in range(3)]
    figure = viz.grid(rows, ["first", "second", "third"], blocks=2)
    axes = shown(figure)
    assert [ax.get_title() for ax in axes] == ["a", "b", "a", "b", "", ""]
    assert [ax.get_ylabel() for ax in axes] == ["first", "", "third", "", "second", ""]
    captions = [ax.get_xlabel() for ax in axes]
    assert captions == ["", "caption 0", "", "caption 2", "", "caption 1"]


def test_salient_area_and_color_error_of_known_colours():
    rgb = np.array([[[255, 0, 10], [255, 0, 10]]], np.uint8)
    area = viz.salient_area(rgb, np.array([[0, 255]], np.uint8))
    assert area.tolist() == [[[128, 128, 128], [255, 0, 10]]]  # mid-gray where nothing stands out
    gray = np.full((2, 2, 3), 50, np.uint8)
    assert viz.color_error(gray, gray + 100).max() < 1  # brightness is left out
    blue = np.full((2, 2, 3), (0, 0, 255), np.uint8)  # sRGB's blue: a* 79.19, b* -107.86
    assert viz.color_error(gray, blue) == pytest.approx(np.hypot(79.19, 107.86), abs=0.1)


def test_save_gives_the_same_bytes_in_both_formats_elsewhere(results, tmp_path):
    written = viz.save(viz.gallery(results), tmp_path / "1", "gallery")
    assert [p.name for p in written] == ["gallery.jpg", "gallery.pdf"]
    code = "import sys; from scgan_lib import viz; a, b = sys.argv[1:]; "
    code += "viz.save(viz.gallery(a), b, 'gallery')"
    call = [sys.executable, "-c", code, str(results), str(tmp_path / "2")]
    subprocess.run(call, check=True, env=os.environ | {"PYTHONHASHSEED": "5"}, cwd=ROOT)
    for path in (tmp_path / "2").iterdir():
        assert path.read_bytes() == (tmp_path / "1" / path.name).read_bytes(), path.name


def test_stems_come_in_the_order_of_the_samples(results):
    assert viz.stems(results) == ["apple", "boat", "cow-1", "cow"]  # cow-1.jpg < cow.jpg
    (results / "credits.csv").write_text("file,gallery\nphotos/cow.jpg,1\nphotos/boat.jpg,0\n")
    settings = {"settings": {"data": str(results)}}
    (results / "manifest.json").write_text(json.dumps(settings))
    assert viz.stems(results) == ["cow", "apple", "boat", "cow-1"]
