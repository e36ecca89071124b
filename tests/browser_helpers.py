"""A real browser that reaches this machine alone."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import shutil
import subprocess
import tarfile

import numpy as np
import pytest
from PIL import Image

from scgan_lib.paths import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--no-first-run",
    "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]  # fmt: skip
AXE = "4.10.3"
needs_a_browser = pytest.mark.skipif(
    not (CHROMIUM and importlib.util.find_spec("playwright")),
    reason="no Chromium (apt-get install chromium) or no Playwright (pip install -e .[browser])",
)


@contextlib.contextmanager
def browser():
    """Chromium through Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        yield play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, headless=True)


@contextlib.contextmanager
def open_page(chromium, width=1100, height=1000, **options):
    """A fresh page; `page.complaints` collects console errors and requests to other machines."""
    context = chromium.new_context(viewport={"width": width, "height": height}, **options)
    page, here = context.new_page(), ("http://127.0.0.1", "data:", "blob:", "file:")
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(f"page error: {error}"))

    def console(message):
        if message.type == "error":
            page.complaints.append(f"console: {message.text}")

    def route(request):
        if request.request.url.startswith(here):
            request.continue_()
        else:
            page.complaints.append(f"left the machine: {request.request.url}")
            request.abort()

    page.on("console", console)
    context.route("**/*", route)
    try:
        yield page
    finally:
        context.close()


def visit(page, address: str) -> None:
    """Open a page and wait for formulas, fonts and pictures ("networkidle" can wait for ever)."""
    page.goto(address)  # returns at the load event: deferred scripts have run
    page.wait_for_function(
        """() => document.fonts.status === 'loaded' &&
        [...document.querySelectorAll('.math')].every((f) => f.querySelector('mjx-container')) &&
        [...document.images].every((i) => i.complete || i.loading === 'lazy')""",
        timeout=90_000,
    )


def pixels(locator) -> np.ndarray:
    """Screenshot of an element as (H, W, 3) integers."""
    image = Image.open(io.BytesIO(locator.screenshot())).convert("RGB")
    return np.asarray(image).astype(int)


def drag(page, compare, start: float, end: float) -> None:
    """Drag the border between two shares of the picture's width."""
    compare.scroll_into_view_if_needed()
    box = compare.locator(".stage").bounding_box()
    y = box["y"] + box["height"] * 0.7
    page.mouse.move(box["x"] + box["width"] * start, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, y, steps=8)
    page.mouse.up()
    page.mouse.move(0, 0)


def violations(page, part: str = "document") -> list[str]:
    """Serious findings of the accessibility checker axe-core on a part of a page; none without npm.

    preload: axe would fetch style sheets, which a page from a file may not.
    """
    script = ROOT / "build" / "axe" / AXE / "axe.min.js"
    if not script.exists():
        script.parent.mkdir(parents=True, exist_ok=True)
        call = ["npm", "pack", f"axe-core@{AXE}", "--silent"]
        if not shutil.which("npm") or subprocess.run(call, cwd=script.parent).returncode:
            return []
        with tarfile.open(script.parent / f"axe-core-{AXE}.tgz") as tar:
            script.write_bytes(tar.extractfile("package/axe.min.js").read())
    if page.evaluate("!window.axe"):
        page.evaluate(script.read_text())
    call = f"axe.run({part}, {{ preload: false, resultTypes: ['violations'] }})"
    found = page.evaluate(f"{call}.then((r) => r.violations)")
    bad = [v for v in found if v["impact"] in ("serious", "critical")]
    return [f"axe: {v['id']}: {v['nodes'][0]['html'][:120]}" for v in bad]
