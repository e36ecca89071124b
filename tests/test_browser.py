"""Sliders and site in Chromium: live widget, static page, no scripts, keyboard, paper."""

import importlib.util
import shutil

import browser_helpers as helpers
import numpy as np
import pytest

from scgan_lib.paths import ROOT
from scgan_lib.widgets import Compare, Gallery

pytestmark = [pytest.mark.browser, helpers.needs_a_browser]

RED, GREEN, BLUE = (
    np.full((90, 120, 3), c, np.uint8) for c in ((200, 0, 0), (0, 160, 0), (0, 0, 200))
)
# A page with a widget as anywidget makes it: `model` holds the state, `saved` what it sent.
LIVE = """async (state) => {
  const url = 'data:text/javascript,' + encodeURIComponent(state._esm);
  const { default: { render } } = await import(url);
  const calls = {};
  window.model = {
    get: (name) => state[name],
    set: (name, value) => { state[name] = value; },
    on: (event, call) => { calls[event] = call; },
    save_changes: () => { window.saved = { ...state }; },
    receive: (news) => {
      Object.assign(state, news);
      for (const name in news) calls[`change:${name}`]?.();
    },
  };
  render({ model: window.model, el: document.body });
}"""

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


def test_live_widget_follows_the_user_and_the_kernel(chromium):
    widget = Compare({"red": RED, "green": GREEN, "blue": BLUE})
    with helpers.open_page(chromium) as page:
        page.evaluate(LIVE, widget.get_state())
        compare = page.locator("scgan-compare")
        assert near(at(compare, 0.3), (200, 0, 0)) and near(at(compare, 0.7), (0, 0, 200))
        compare.locator(".wipe").focus()
        for key in ("Home", "ArrowRight", "Digit2"):
            page.keyboard.press(key)
        page.wait_for_function("window.saved?.right === 1")
        assert page.evaluate("[saved.position, saved.left]") == [2, 0]
        widget.show({"red": BLUE, "green": RED})
        page.evaluate("(s) => model.receive(s)", {"markup": widget.markup, "position": 60})
        assert near(at(compare, 0.3), (0, 0, 200)) and near(at(compare, 0.8), (200, 0, 0))
        assert page.complaints == []


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The whole site, built from the committed executed chapters."""
    pytest.importorskip("myst_nb", reason="no myst-nb (pip install -e .[site])")
    if not (ROOT / "build" / "mathjax").exists() and not shutil.which("npm"):
        pytest.skip("no npm, which brings mathjax")
    spec = importlib.util.spec_from_file_location("site_build", ROOT / "docs" / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SCGAN_OUTPUT", raising=False)
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
