"""Figures: what `strip` shows, salient areas, and the order of the pictures."""

import json

import numpy as np
import pytest

from scgan_lib import viz
from scgan_lib.paths import UserError


def shown(figure):
    return [ax for ax in figure.axes if ax.images]


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


def test_salient_area_and_color_error_of_known_colours():
    rgb = np.array([[[255, 0, 10], [255, 0, 10]]], np.uint8)
    area = viz.salient_area(rgb, np.array([[0, 255]], np.uint8))
    assert area.tolist() == [[[128, 128, 128], [255, 0, 10]]]  # mid-gray where nothing stands out
    gray = np.full((2, 2, 3), 50, np.uint8)
    assert viz.color_error(gray, gray + 100).max() < 1  # brightness is left out
    blue = np.full((2, 2, 3), (0, 0, 255), np.uint8)  # sRGB's blue: a* 79.19, b* -107.86
    assert viz.color_error(gray, blue) == pytest.approx(np.hypot(79.19, 107.86), abs=0.1)


def test_stems_come_in_the_order_of_the_samples(tmp_path):
    (tmp_path / "outputs" / "real").mkdir(parents=True)
    for stem in ("boat", "apple", "cow-1", "cow"):
        (tmp_path / "outputs" / "real" / f"{stem}.png").touch()
    assert viz.stems(tmp_path) == ["apple", "boat", "cow-1", "cow"]  # cow-1.jpg < cow.jpg
    (tmp_path / "credits.csv").write_text("file,gallery\nphotos/cow.jpg,1\nphotos/boat.jpg,0\n")
    settings = {"settings": {"data": str(tmp_path)}}
    (tmp_path / "manifest.json").write_text(json.dumps(settings))
    assert viz.stems(tmp_path) == ["cow", "apple", "boat", "cow-1"]
