"""The page that compares a batch with its originals: whole, bounded, and usable by keyboard."""

from __future__ import annotations

import base64
import html
import io
import re

import browser_helpers as helpers
import numpy as np
import pytest
from PIL import Image

from scgan_lib import page

NAMES = ["a.png", 'b<i>&".png', "wide.png"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three pictures with their results as a page; the originals are gray, the results red."""
    folder, pairs = tmp_path_factory.mktemp("page"), []
    for name, size in zip(NAMES, [(40, 50), (1300, 900), (2000, 20)], strict=True):
        for kind, colour in (("in", (90, 90, 90)), ("out", (200, 50, 60))):
            (folder / kind).mkdir(exist_ok=True)
            Image.new("RGB", size, colour).save(folder / kind / name)
        pairs.append((str(folder / "in" / name), str(folder / "out" / name)))
    page.write(folder / "page.html", pairs, quiet=True)
    return folder / "page.html"


def test_everything_is_inside_and_bounded(made):
    text = made.read_text()
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    pattern = r'<img alt="(.*?)" width="(\d+)" height="(\d+)" .*?src="data:image/jpeg;base64,(.*?)"'
    images = re.findall(pattern, text)
    assert [alt for alt, *_ in images] == ["", "before", "after"] * 3
    for alt, width, height, data in images:
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        assert image.size == (int(width), int(height))
        assert max(image.size) <= (640 if alt else 128)
        expected = (90, 90, 90) if alt == "before" else (200, 50, 60)
        np.testing.assert_allclose(np.asarray(image).mean((0, 1)), expected, atol=3)
    titles = [html.unescape(title) for title in re.findall(r' title="(.*?)"', text)]
    assert titles == [f"in/{name}" for name in NAMES]


@pytest.mark.browser
@helpers.needs_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_by_keyboard_on_a_phone(made, scheme):
    options = {"width": 390, "height": 800, "color_scheme": scheme}
    with helpers.browser() as chromium, helpers.open_page(chromium, **options) as tab:
        helpers.visit(tab, made.as_uri())
        assert helpers.violations(tab) == []
        tab.keyboard.press("Tab")
        tab.keyboard.press("ArrowRight")
        tab.keyboard.press("Enter")
        assert tab.locator("dialog h2").inner_text().endswith(NAMES[1])
        assert helpers.violations(tab) == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        tab.keyboard.press("Escape")
        assert tab.evaluate("document.activeElement.title").endswith(NAMES[1])
        assert tab.complaints == []
