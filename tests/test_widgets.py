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
    ("picture", "message"),
    [
        (np.zeros((2, 3, 4), np.uint8), r"'out' has shape \(2, 3, 4\)"),
        (np.zeros(3), r"'out' has shape \(3,\)"),
        (np.full((2, 2), 200.0), "'out' leaves 0..1"),
        (np.full((2, 2), np.nan), "'out' leaves 0..1"),
        ("no/such.png", "no/such.png: no readable picture for 'out'"),
    ],
)
def test_to_image_names_the_mistake(picture, message):
    with pytest.raises(UserError, match=message):
        to_image(picture, "out")


def test_compare_state_and_pictures(tmp_path):
    Image.fromarray(RED).save(tmp_path / "red.png")
    images = {"gray <x>": GRAY, "file": tmp_path / "red.png", "pil": Image.fromarray(RED)}
    compare = Compare(images, left=1, caption="PSNR & more")
    assert (compare.left, compare.right, compare.position) == (1, 2, 50.0)
    assert repr(compare) == "Compare(gray <x>, file, pil)"
    page = compare.html()
    assert 'left="1" right="2" position="50"' in page and "PSNR &amp; more" in page
    assert "<figcaption>gray &lt;x&gt;</figcaption>" in page
    assert 'width="12" height="8"' in page
    found = urls(page)
    assert len(found) == 3 and found[1] == found[2]
    assert np.abs(pixels(found[0]) - 90).max() <= 3
    assert np.abs(pixels(found[1]) - (200, 0, 0)).max() <= 6
    compare.position = 12.5
    assert 'position="12.5"' in compare.html()
    with pytest.raises(Exception, match="100"):
        compare.position = 101


def test_show_replaces_pictures_and_keeps_the_border():
    compare = Compare({"a": GRAY, "b": RED}, position=20)
    compare.show({"a": RED, "b": GRAY}, "swapped")
    first, second = (pixels(u) for u in urls(compare.html()))
    assert first[0, 0, 0] > 190 and abs(second[0, 0, 0] - 90) <= 3
    assert compare.position == 20 and 'data-caption="swapped"' in compare.markup


def test_large_pictures_are_reduced_and_the_callers_copy_is_not():
    big = Image.new("RGB", (800, 400))
    page = Compare({"a": big, "b": big}, side=100).html()
    assert page.count('width="100" height="50"') == 2 and big.size == (800, 400)


def test_pictures_of_two_shapes_are_refused():
    with pytest.raises(UserError, match="differ in shape"):
        Compare({"a": GRAY, "b": GRAY.T})
    with pytest.raises(UserError, match="two at least"):
        Compare({"a": GRAY})


def test_gallery_stores_shared_pictures_once():
    steps = {str(n): {"gray": GRAY, "model": np.full_like(RED, n), "real": RED} for n in (0, 90)}
    gallery = Gallery(steps, kind="step", captions={"90": "PSNR 20 dB"}, right=1)
    page = gallery.html()
    assert len(urls(page)) == 4  # gray and real once, model twice
    assert gallery.markup.count("<section") == 2 and 'data-caption="PSNR 20 dB"' in page
    assert 'kind="step" thumbnails' in page and 'right="1"' in page
    with pytest.raises(UserError, match="same labels"):
        Gallery({"a": {"x": GRAY, "y": RED}, "b": {"x": GRAY, "z": RED}})
    with pytest.raises(UserError, match="one frame"):
        Gallery({})


def test_explore_redraws_when_a_control_changes():
    calls = []

    def draw(strength, luminance):
        calls.append((strength, luminance))
        return {"gray": GRAY, "out": np.full_like(RED, 100 * strength)}, f"strength {strength}"

    examples = {"0": {"strength": 0}, "1": {"strength": 1}}
    explore = Explore(draw, strength=(0, 2, 1), luminance=True, examples=examples, side=6)
    assert explore.values == {"strength": 1, "luminance": True}
    assert not explore.controls["strength"].continuous_update
    explore.controls["strength"].value = 2
    assert calls == [(1, True), (0, True), (1, True), (2, True)]
    assert 'data-caption="strength 2"' in explore.compare.markup
    assert np.abs(pixels(urls(explore.compare.html())[1]) - 200).max() <= 3
    page = explore._repr_mimebundle_()
    page = (page[0] if isinstance(page, tuple) else page)["text/html"]
    assert "Needs a running notebook: strength, luminance." in page
    assert 'data-caption="strength 0"' in page  # the example stands in
    assert "drawn beforehand, stand in" in page
    assert 'frame="1"' in page and 'width="6" height="4"' in page  # the present setting is shown


def test_explore_opens_the_two_pictures_that_are_asked_for():
    def draw(x=1):
        return {"a": GRAY, "b": RED, "c": RED}

    for chosen, wanted in (({}, (0, 2)), ({"left": 2, "right": 1}, (2, 1))):
        explore = Explore(draw, x=(0, 2, 1), examples={"0": {"x": 0}}, **chosen)
        assert (explore.compare.left, explore.compare.right) == wanted
        page = explore._repr_mimebundle_()
        page = (page[0] if isinstance(page, tuple) else page)["text/html"]
        assert f'left="{wanted[0]}" right="{wanted[1]}"' in page


def test_saved_notebook_keeps_static_html_only():
    compare = Compare({"a": GRAY, "b": RED})
    bundle = compare._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert set(data) == {VIEW, "text/html", "text/plain"}
    output = nbformat.v4.new_output("display_data", dict(data))
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[output])])
    (kept,) = tidy(nb).cells[0].outputs
    assert set(kept.data) == {"text/html", "text/plain"}
    assert kept.data["text/plain"] == "Compare(a, b)"
    assert "customElements.define" in kept.data["text/html"]
    script = kept.data["text/html"].split('<script type="module">')[1]
    assert "\n//" not in script and "\n  " not in script  # but for comments, all of it is there
    assert len(script) > 0.75 * len(_MODULE.read_text())


def test_save_is_one_page_that_loads_nothing(tmp_path):
    Compare({"a": GRAY, "b": RED}).save(tmp_path / "page.html", title="A & B")
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>") and "<h1>A &amp; B</h1>" in page
    assert not re.search(r"https?://", page)
