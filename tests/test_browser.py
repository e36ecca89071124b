"""Sliders and site in Chromium: live notebook, static page, no scripts, keyboard, paper."""

import importlib.util
import shutil

import browser_helpers as helpers
import nbformat
import numpy as np
import pytest
from chapters import read_source

from scgan_lib.paths import ROOT
from scgan_lib.widgets import Compare, Gallery

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not helpers.CHROMIUM, reason="no Chromium (apt-get install chromium)"),
    pytest.mark.skipif(
        not importlib.util.find_spec("playwright"),
        reason="no Playwright (pip install -e .[browser])",
    ),
]

RED, GREEN, BLUE = (
    np.full((90, 120, 3), c, np.uint8) for c in ((200, 0, 0), (0, 160, 0), (0, 0, 200))
)
CHAPTER = """\
# %%
import numpy as np

from scgan_lib.widgets import Compare, Explore

red, green, blue = (np.full((90, 120, 3), c, np.uint8)
                    for c in ((200, 0, 0), (0, 160, 0), (0, 0, 200)))
wipe = Compare({"red": red, "green": green, "blue": blue})
wipe

# %%
noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8)
explore = Explore(lambda strength: {"gray": noise[..., 0], "out": noise // (1 + strength)},
                  strength=(0, 20, 1))
explore
"""

# Text that should have become a table or a formula; code apart.
RAW = """() => [...document.querySelectorAll('article p')].map((p) => {
  const copy = p.cloneNode(true); copy.querySelectorAll('code').forEach((c) => c.remove());
  return copy.textContent; }).find((text) => /\\|---|\\$[^$]*\\\\[a-zA-Z]/.test(text)) ?? ''"""


@pytest.fixture(scope="module")
def chromium():
    with helpers.browser() as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    Compare({"red": RED, "green": GREEN, "blue": BLUE}, caption="PSNR 24 dB").save(
        folder / "compare.html"
    )
    frames = {
        f"step {n}": {"red": RED, "model": np.full_like(RED, n), "blue": BLUE} for n in (20, 220)
    }
    Gallery(frames, kind="step", captions={"step 220": "the end"}, right=1).save(
        folder / "gallery.html"
    )
    return folder


def at(compare, x, y=0.75):
    """Colour at a share of the stage's width and height."""
    view = helpers.pixels(compare.locator(".stage"))
    return view[int(y * view.shape[0]), int(x * (view.shape[1] - 1))]


def near(colour, wanted):
    return np.abs(np.asarray(colour) - wanted).max() <= 8


def test_static_page_mouse_and_keyboard(chromium, pages):
    with helpers.open_page(chromium) as page:
        page.goto(f"file://{pages}/compare.html")
        compare = page.locator("scgan-compare")
        assert near(at(compare, 0.3), (200, 0, 0)) and near(at(compare, 0.7), (0, 0, 200))
        helpers.drag(page, compare, 0.5, 0.9)
        assert abs(float(compare.get_attribute("position")) - 90) < 0.6
        assert near(at(compare, 0.85), (200, 0, 0)) and near(at(compare, 0.96), (0, 0, 200))
        for key, position in [("Home", 0), ("ArrowRight", 2), ("Shift+ArrowRight", 12),
                              ("End", 100), ("ArrowLeft", 98), ("PageDown", 78)]:  # fmt: skip
            page.keyboard.press(key)
            assert float(compare.get_attribute("position")) == position
        page.keyboard.press("Digit2")
        page.keyboard.press("Shift+Digit3")
        assert near(at(compare, 0.2), (0, 0, 200)) and near(at(compare, 0.9), (0, 160, 0))
        assert compare.locator(".tag.l").inner_text() == "blue"
        compare.locator(".pick-right").select_option(label="red")
        assert near(at(compare, 0.9), (200, 0, 0))
        spoken = compare.locator(".wipe").get_attribute("aria-valuetext")
        assert "78 percent" in spoken and "22 percent" in spoken
        assert helpers.violations(page) == []
        page.emulate_media(media="print")
        assert page.locator("figure").first.is_visible()
        assert not page.locator("scgan-compare .stage").is_visible()
        assert page.complaints == []


def test_gallery_slider_and_thumbnails(chromium, pages):
    with helpers.open_page(chromium) as page:
        page.goto(f"file://{pages}/gallery.html")
        compare = page.locator("scgan-compare")
        assert near(at(compare, 0.8), (20, 20, 20)) and compare.locator(".caption").is_hidden()
        compare.locator(".step input").focus()
        page.keyboard.press("ArrowRight")
        assert near(at(compare, 0.8), (220, 220, 220))
        assert near(at(compare, 0.2), (200, 0, 0))  # shared with the first frame
        assert compare.locator(".caption").inner_text() == "the end"
        compare.locator(".thumbs button").first.click()
        assert near(at(compare, 0.8), (20, 20, 20))
        assert helpers.violations(page) == [] and page.complaints == []


def test_without_scripts_a_strip_remains(chromium, pages):
    with helpers.open_page(chromium, java_script_enabled=False) as page:
        page.goto(f"file://{pages}/compare.html")
        captions = page.locator("figcaption")
        assert captions.all_inner_texts() == ["red", "green", "blue"]
        assert near(helpers.pixels(page.locator("figure img").nth(1))[40, 40], (0, 160, 0))


def test_live_notebook(chromium, tmp_path):
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    (tmp_path / "live.py").write_text(CHAPTER)
    nbformat.write(read_source(tmp_path / "live.py"), work / "live.ipynb")
    with helpers.lab(work, home) as (url, token), helpers.open_page(chromium) as page:
        page.set_default_timeout(60_000)
        helpers.open_notebook(page, url, token, "live.ipynb")
        assert helpers.run_all(page) is True
        compare = page.locator("scgan-compare").first
        compare.locator(".tag.l").wait_for()
        compare.scroll_into_view_if_needed()
        assert near(at(compare, 0.3), (200, 0, 0)) and near(at(compare, 0.7), (0, 0, 200))
        compare.locator(".wipe").focus()
        for key in ("Home", "ArrowRight", "Digit2"):
            page.keyboard.press(key)
        page.wait_for_timeout(300)
        assert helpers.ask_kernel(page, "print(wipe.position, wipe.right)") == "2.0 1"
        helpers.ask_kernel(page, "wipe.position = 60; wipe.show({'red': blue, 'green': red})")
        page.wait_for_timeout(300)
        assert near(at(compare, 0.3), (0, 0, 200)) and near(at(compare, 0.8), (200, 0, 0))
        before = helpers.ask_kernel(page, "print(hash(explore.compare.markup))")
        page.locator(".noUi-handle").first.focus()  # the slider of ipywidgets
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(500)
        assert helpers.ask_kernel(page, "print(explore.values)") == "{'strength': 11}"
        assert helpers.ask_kernel(page, "print(hash(explore.compare.markup))") != before
        assert page.complaints == []


def site_builder():
    """docs/build.py as a module."""
    spec = importlib.util.spec_from_file_location("site_build", ROOT / "docs" / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    return build


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The whole site, built from the committed executed chapters."""
    pytest.importorskip("myst_nb", reason="no myst-nb (pip install -e .[site])")
    if not (ROOT / "build" / "mathjax").exists() and not shutil.which("npm"):
        pytest.skip("no npm, which brings mathjax")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SCGAN_OUTPUT", raising=False)
        build = site_builder()
        return build.build("mini", tmp_path_factory.mktemp("course")).parent


def test_every_page_of_the_course(chromium, site):
    """Solutions unfolded: nothing is too wide, complains, leaves, or is hard to read or reach."""
    pages = sorted(site.glob("*.html")) + sorted(site.glob("notebooks/*.html"))
    chapters = {source.stem for source in (site.parent / "source").glob("notebooks/*.ipynb")}
    assert len(chapters) >= 8
    assert {page.stem for page in pages} == chapters | {"index", "genindex", "search"}
    wrong = []
    for address in pages:
        with helpers.open_page(chromium, 1280, color_scheme="light") as page:
            page.on("requestfailed", lambda r, p=page: p.complaints.append(f"failed: {r.url}"))
            helpers.visit(page, f"file://{address}")
            page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
            for width, scheme in ((1280, "light"), (390, "light"), (1280, "dark")):
                page.set_viewport_size({"width": width, "height": 1000})
                page.emulate_media(color_scheme=scheme)
                page.wait_for_timeout(500)  # the theme looks for what scrolls after a while
                page.wait_for_function(
                    "s => document.documentElement.dataset.theme === s", arg=scheme
                )
                if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
                    page.complaints.append(f"{wide} pixels wide on {width}")
                part = "document" if width > 1000 else "{ exclude: ['pre'] }"
                page.complaints += [f"{width} {scheme} {x}" for x in helpers.violations(page, part)]
            if raw := page.evaluate(RAW):
                page.complaints.append(f"drawn as text: {raw}")
            wrong += [f"{address.stem}: {complaint}" for complaint in page.complaints]
    assert wrong == []


def test_formulas_sliders_table_and_links_of_the_site(chromium, site):
    with helpers.open_page(chromium, 390) as page:
        helpers.visit(page, f"file://{site}/notebooks/07_compare_interactively.html")
        compare = page.locator("scgan-compare").first
        helpers.drag(page, compare, 0.5, 0.2)
        assert abs(float(compare.get_attribute("position")) - 20) < 1
        helpers.visit(page, f"file://{site}/notebooks/03_losses_and_critics.html")
        assert page.locator("mjx-container svg").count() >= 5
        helpers.visit(page, f"file://{site}/index.html")
        assert page.get_by_role("cell", name="gray copy").first.is_visible()
        assert page.complaints == []
    last = site / "notebooks" / "10_scaling_up.html"
    text = last.read_text()
    last.write_text(text + '<a href="none.html">x</a><img src="https://a.org/x.png">')
    assert site_builder().check(site) == [
        "10_scaling_up.html: broken link none.html",
        "10_scaling_up.html: loads https://a.org/x.png from another host",
    ]
    last.write_text(text)
