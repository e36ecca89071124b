"""Sliders: pictures, markup, static HTML. Figures. The browser is in test_browser.py."""

import base64
import io
import json
import re

import nbformat
import numpy as np
import pytest
from chapters import VIEW, tidy
from PIL import Image

from scgan_lib import viz
from scgan_lib.paths import UserError
from scgan_lib.widgets import Compare, Explore, Gallery, to_image

RED = np.full((8, 12, 3), (200, 0, 0), np.uint8)
GRAY = np.full((8, 12), 90, np.uint8)


def urls(page):
    return re.findall(r'<img src="data:image/webp;base64,([^"]+)"', page)


def bundle(widget) -> dict[str, str]:
    """What a notebook saves of a widget."""
    found = widget._repr_mimebundle_()
    return found[0] if isinstance(found, tuple) else found


def pixels(url):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url))).convert("RGB")).astype(int)


def test_to_image_takes_bytes_as_they_are_and_scales_fractions():
    for picture, first in ((GRAY, 90), (RED, (200, 0, 0)), (np.full((2, 3), 0.5), 128)):
        assert to_image(picture).getpixel((0, 0)) == first


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: to_image(np.zeros((2, 3, 5), np.uint8), "out"), r"'out' has shape \(2, 3, 5\)"),
        (lambda: to_image(np.full((2, 2), 200.0), "out"), "'out' leaves 0..1"),
        (lambda: to_image("no/such.png", "out"), "no/such.png: no readable picture for 'out'"),
        (lambda: Compare({"a": GRAY, "b": GRAY.T}), "differ in shape"),
        (lambda: Gallery({"1": {"x": RED, "y": RED}, "2": {"x": RED, "z": RED}}), "same labels"),
    ],
)
def test_pictures_that_cannot_be_shown_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_compare_state_and_pictures(tmp_path):
    Image.fromarray(RED).save(tmp_path / "red.png")
    images = {"gray <x>": GRAY, "file": tmp_path / "red.png", "pil": Image.fromarray(RED)}
    compare = Compare(images, left=1, position=12.5, caption="PSNR & more")
    page = compare.html()
    assert 'left="1" right="2" position="12.5"' in page and "PSNR &amp; more" in page
    assert "<figcaption>gray &lt;x&gt;</figcaption>" in page
    found = urls(page)
    assert len(found) == 3 and found[1] == found[2]
    assert np.abs(pixels(found[0]) - 90).max() <= 3
    assert np.abs(pixels(found[1]) - (200, 0, 0)).max() <= 6
    compare.show({"a": RED, "b": GRAY}, "swapped")
    first, second = (pixels(u) for u in urls(compare.html()))
    assert first[0, 0, 0] > 190 and abs(second[0, 0, 0] - 90) <= 3
    assert compare.position == 12.5 and 'data-caption="swapped"' in compare.markup


def test_gallery_stores_shared_pictures_once():
    steps = {str(n): {"gray": GRAY, "model": np.full_like(RED, n), "real": RED} for n in (0, 90)}
    gallery = Gallery(steps, kind="step", captions={"90": "PSNR 20 dB"}, right=1)
    page = gallery.html()
    assert len(urls(page)) == 4  # gray and real once, model twice
    assert gallery.markup.count("<section") == 2 and 'data-caption="PSNR 20 dB"' in page


def test_explore_redraws_when_a_control_changes():
    calls = []

    def draw(strength, luminance=True):
        calls.append((strength, luminance))
        return {"gray": GRAY, "out": np.full_like(RED, 100 * strength)}, f"strength {strength}"

    examples = {"0": {"strength": 0}, "1": {"strength": 1}}
    explore = Explore(draw, strength=(0, 2, 1), luminance=[False, True], examples=examples, left=1)
    assert explore.values == {"strength": 1, "luminance": True}
    explore.controls["strength"].value = 2
    assert calls == [(1, True), (0, True), (1, True), (2, True)]
    assert 'data-caption="strength 2"' in explore.compare.markup
    assert np.abs(pixels(urls(explore.compare.html())[1]) - 200).max() <= 3
    page = bundle(explore)["text/html"]
    assert 'data-caption="strength 0"' in page and 'left="1" right="1"' in page


def test_saved_notebook_keeps_static_html_only():
    data = bundle(Compare({"a": GRAY, "b": RED}))
    assert set(data) == {VIEW, "text/html", "text/plain"}
    output = nbformat.v4.new_output("display_data", data)
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[output])])
    (kept,) = tidy(nb).cells[0].outputs
    assert set(kept.data) == {"text/html", "text/plain"}
    assert "customElements.define" in kept.data["text/html"]


def test_save_is_one_page_that_loads_nothing(tmp_path):
    Compare({"a": GRAY, "b": RED}).save(tmp_path / "page.html", title="A & B")
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>") and "<h1>A &amp; B</h1>" in page
    assert not re.search(r"https?://", page)


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
