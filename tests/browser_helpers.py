"""A real browser that reaches this machine alone, and a JupyterLab that leaves the home alone."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

from scgan_lib.paths import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--no-first-run",
    "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]  # fmt: skip
AXE = "4.10.3"


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


@contextlib.contextmanager
def lab(root: Path, home: Path):
    """JupyterLab on 127.0.0.1 serving `root`, own files in `home`; yields address, token."""
    settings = home / "config" / "labconfig"
    settings.mkdir(parents=True)
    off = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (settings / "page_config.json").write_text(json.dumps(off))
    names = {f"JUPYTER_{x}_DIR": x.lower() for x in ("CONFIG", "DATA", "RUNTIME")}
    names |= {f"JUPYTERLAB_{x}_DIR": x.lower() for x in ("SETTINGS", "WORKSPACES")}
    names |= {"IPYTHONDIR": "ipython"}
    env = os.environ | {name: str(home / folder) for name, folder in names.items()}
    env |= {"JUPYTER_PREFER_ENV_PATH": "1"}
    env.pop("SCGAN_HEADLESS", None)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    options = [
        "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
        "--ServerApp.allow_root=True", f"--ServerApp.root_dir={root}",
        f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip
    url, start = f"http://127.0.0.1:{port}", time.monotonic()
    with (home / "log").open("w") as log:
        words = [sys.executable, "-m", "jupyter", "lab", *options]
        server = subprocess.Popen(words, env=env, stdout=log, stderr=log)
    try:
        while True:
            try:
                urllib.request.urlopen(f"{url}/api/status?token={token}", timeout=2)
                break
            except OSError as error:
                if server.poll() is not None or time.monotonic() - start > 120:
                    raise RuntimeError((home / "log").read_text()[-2000:]) from error
                time.sleep(0.2)
        yield url, token
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def open_notebook(page, url: str, token: str, name: str) -> None:
    """Open a notebook in Lab and wait for its kernel (run-all before that opens a dialog)."""
    page.goto(f"{url}/lab/workspaces/t{secrets.token_hex(3)}/tree/{name}?token={token}&reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
    page.wait_for_function(
        """() => { const panel = window.jupyterapp?.shell.currentWidget?.sessionContext;
        return panel?.isReady && panel.session?.kernel?.status === 'idle'; }""",
        timeout=90_000,
    )


def run_all(page) -> bool:
    """Run all cells; True when the last one ended well within two minutes."""
    return page.evaluate(
        """() => Promise.race([window.jupyterapp.commands.execute('notebook:run-all-cells'),
        new Promise((done) => setTimeout(() => done('timeout'), 120000))])"""
    )


def ask_kernel(page, code: str) -> str:
    """Run `code` in the open notebook's kernel; return what it prints."""
    return page.evaluate(
        """async (code) => { let text = '';
        const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
        const future = kernel.requestExecute({ code });
        future.onIOPub = (m) => { if (m.header.msg_type === 'stream') text += m.content.text;
          if (m.header.msg_type === 'error') text += m.content.evalue; };
        await future.done; return text.trim(); }""",
        code,
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
