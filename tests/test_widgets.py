"""Comparison sliders: pictures, markup, static HTML. The browser is in test_browser.py."""

import base64
import io
import re

import nbformat
import numpy as np
import pytest
from chapters import VIEW, tidy
from PIL import Image

from scgan_lib.paths import UserError
from scgan_lib.widgets import _MODULE, Compare, Explore, Gallery, to_image

RED = np.full((8, 12, 3), (200, 0, 0), np.uint8)
GRAY = np.full((8, 12), 90, np.uint8)


def urls(page):
    return re.findall(r'<img src="data:image/webp;base64,([^"]+)"', page)


def bundle(widget):
    """What a notebook saves of a widget."""
    found = widget._repr_mimebundle_()
    return found[0] if isinstance(found, tuple) else found


def pixels(url):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url))).convert("RGB")).astype(int)


@pytest.mark.parametrize(
    ("picture", "mode", "first"),
    [
        (GRAY, "L", 90),
        (RED, "RGB", (200, 0, 0)),
        (np.full((2, 3), 0.5), "L", 128),
        (np.full((2, 3, 1), True), "L", 255),
        (np.full((2, 3, 3), 1.0005, np.float32), "RGB", (255, 255, 255)),
        (Image.new("P", (3, 2)), "RGB", (0, 0, 0)),
        (Image.new("RGBA", (3, 2), (1, 2, 3, 255)), "RGB", (1, 2, 3)),
    ],
)
def test_to_image(picture, mode, first):
    image = to_image(picture)
    assert image.mode == mode and image.getpixel((0, 0)) == first


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: to_image(np.zeros((2, 3, 5), np.uint8), "out"), r"'out' has shape \(2, 3, 5\)"),
        (lambda: to_image(np.zeros(3), "out"), r"'out' has shape \(3,\)"),
        (lambda: to_image(np.full((2, 2), 200.0), "out"), "'out' leaves 0..1"),
        (lambda: to_image(np.full((2, 2), np.nan), "out"), "'out' leaves 0..1"),
        (lambda: to_image("no/such.png", "out"), "no/such.png: no readable picture for 'out'"),
        (lambda: Compare({"a": GRAY, "b": GRAY.T}), "differ in shape"),
        (lambda: Compare({"a": GRAY}), "two at least"),
        (lambda: Gallery({"1": {"x": RED, "y": RED}, "2": {"x": RED, "z": RED}}), "same labels"),
        (lambda: Gallery({}), "one frame"),
    ],
)
def test_pictures_that_cannot_be_shown_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_compare_state_and_pictures(tmp_path):
    Image.fromarray(RED).save(tmp_path / "red.png")
    images = {"gray <x>": GRAY, "file": tmp_path / "red.png", "pil": Image.fromarray(RED)}
    compare = Compare(images, left=1, position=12.5, caption="PSNR & more")
    assert (compare.left, compare.right) == (1, 2)
    assert repr(compare) == "Compare(gray <x>, file, pil)"
    page = compare.html()
    assert 'left="1" right="2" position="12.5"' in page and "PSNR &amp; more" in page
    assert "<figcaption>gray &lt;x&gt;</figcaption>" in page
    assert 'width="12" height="8"' in page
    found = urls(page)
    assert len(found) == 3 and found[1] == found[2]
    assert np.abs(pixels(found[0]) - 90).max() <= 3
    assert np.abs(pixels(found[1]) - (200, 0, 0)).max() <= 6
    compare.show({"a": RED, "b": GRAY}, "swapped")
    first, second = (pixels(u) for u in urls(compare.html()))
    assert first[0, 0, 0] > 190 and abs(second[0, 0, 0] - 90) <= 3
    assert compare.position == 12.5 and 'data-caption="swapped"' in compare.markup


def test_large_pictures_are_reduced_and_the_callers_copy_is_not():
    big = Image.new("RGB", (800, 400))
    page = Compare({"a": big, "b": big}, side=100).html()
    assert page.count('width="100" height="50"') == 2 and big.size == (800, 400)


def test_gallery_stores_shared_pictures_once():
    steps = {str(n): {"gray": GRAY, "model": np.full_like(RED, n), "real": RED} for n in (0, 90)}
    gallery = Gallery(steps, kind="step", captions={"90": "PSNR 20 dB"}, right=1)
    page = gallery.html()
    assert len(urls(page)) == 4  # gray and real once, model twice
    assert gallery.markup.count("<section") == 2 and 'data-caption="PSNR 20 dB"' in page
    assert 'kind="step" thumbnails' in page and 'right="1"' in page


@pytest.mark.parametrize(
    ("chosen", "shown"), [({}, (0, 1)), ({"left": 1, "right": 0, "kind": "k"}, (1, 0))]
)
def test_explore_redraws_when_a_control_changes(chosen, shown):
    calls = []

    def draw(strength, luminance=True):
        calls.append((strength, luminance))
        return {"gray": GRAY, "out": np.full_like(RED, 100 * strength)}, f"strength {strength}"

    chosen |= {"examples": {"0": {"strength": 0}, "1": {"strength": 1}}, "side": 6}
    explore = Explore(draw, strength=(0, 2, 1), luminance=[False, True], **chosen)
    assert explore.values == {"strength": 1, "luminance": True}
    assert not explore.controls["strength"].continuous_update
    explore.controls["strength"].value = 2
    assert calls == [(1, True), (0, True), (1, True), (2, True)]
    assert 'data-caption="strength 2"' in explore.compare.markup
    assert np.abs(pixels(urls(explore.compare.html())[1]) - 200).max() <= 3
    assert (explore.compare.left, explore.compare.right) == shown
    page = bundle(explore)["text/html"]
    assert "Needs a running notebook: strength, luminance." in page
    assert "drawn beforehand, stand in" in page and 'data-caption="strength 0"' in page
    assert f'left="{shown[0]}" right="{shown[1]}"' in page
    assert 'frame="1"' in page and 'width="6" height="4"' in page  # the present setting is shown


def test_saved_notebook_keeps_static_html_only():
    data = bundle(Compare({"a": GRAY, "b": RED}))
    assert set(data) == {VIEW, "text/html", "text/plain"}
    output = nbformat.v4.new_output("display_data", data)
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[output])])
    (kept,) = tidy(nb).cells[0].outputs
    assert set(kept.data) == {"text/html", "text/plain"}
    assert kept.data["text/plain"] == "Compare(a, b)"
    script = kept.data["text/html"].split('<script type="module">')[1]
    assert "customElements.define" in script and len(script) > 0.75 * len(_MODULE.read_text())
    assert "\n//" not in script and "\n  " not in script  # but for comments, all of it is there


def test_save_is_one_page_that_loads_nothing(tmp_path):
    Compare({"a": GRAY, "b": RED}).save(tmp_path / "page.html", title="A & B")
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>") and "<h1>A &amp; B</h1>" in page
    assert not re.search(r"https?://", page)
