"""A batch as one self-contained page: thumbnails, and each picture before and after."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from scgan_lib.paths import UserError, atomic_write
from scgan_lib.pictures import read_rgb
from scgan_lib.progress import progress

HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="generator" content="scgan-replicated">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Before and after</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: 8px;
    padding: 0; list-style: none; }
  li { content-visibility: auto; contain-intrinsic-size: auto 150px; }
  button { font: inherit; cursor: pointer; overflow-wrap: anywhere; }
  li button { width: 100%; padding: 4px; }
  li img { width: 100%; height: auto; aspect-ratio: 1; object-fit: cover; }
  dialog { box-sizing: border-box; width: min(1000px, 100vw - 8px); max-width: none; }
  h2 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
</style>
<main><h1>Before and after</h1>
<p>Choose a picture to compare it with its original; arrow keys go from one to the next.</p>
<noscript><p>Comparing needs JavaScript; the thumbnails are the results.</p></noscript><ul>
"""
TAIL = """</ul></main><dialog aria-labelledby="name"><h2 id="name"></h2><div></div>
<form method="dialog"><button>Close</button></form></dialog>
<script type="module">
const [dialog, title, place] = ["dialog", "h2", "div"].map((x) => document.querySelector(x));
const buttons = [...document.querySelectorAll("li button")];
buttons.forEach((button, i) => {
  button.onclick = () => {
    title.textContent = button.title;
    place.replaceChildren(document.importNode(button.nextElementSibling.content, true));
    dialog.showModal();
  };
  button.onkeydown = ({ key }) => buttons[i + { ArrowLeft: -1, ArrowRight: 1 }[key]]?.focus();
});
"""


def check(path: Path) -> None:
    """UserError if something other than such a page lies at `path`."""
    if path.exists() and HEAD[:99].encode() != path.read_bytes()[:99]:
        raise UserError(f"{path}: exists already and is no page of scgan; choose another name")


def write(path: Path, pairs: Sequence[tuple[str, str]], quiet: bool = False) -> None:
    """The (original, result) `pairs` as a page: 640 pixels at most, 320 where there are many.

    Pictures wait in templates, which a browser does not decode, until somebody chooses them.
    """
    side = 640 if len(pairs) <= 200 else 320
    with atomic_write(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(HEAD)
        for pair in progress(pairs, desc="page", unit="picture", disable=quiet):
            before, after = (Image.fromarray(read_rgb(name)) for name in pair)
            place, ratio = Path(pair[0]).parts[-2:], before.width / before.height
            title, name = html.escape("/".join(place)), html.escape(place[-1])
            file.write(
                f'<li><button type="button" title="{title}">{_img(after, 128, "")}<br>'
                f"{name}</button><template><scgan-compare "
                f'style="--width:min(100%,{75 * ratio:.1f}vh)"><section><figure>'
                f"{_img(before, side, 'before')}{_img(after, side, 'after')}"
                "</figure></section></scgan-compare></template></li>\n"
            )
        script = Path(__file__).with_name("compare.js").read_text(encoding="utf-8")
        file.write(TAIL + script + "</script></html>\n")


def _img(image: Image.Image, side: int, alt: str) -> str:
    file, small = io.BytesIO(), ImageOps.contain(image, (side, side))
    small.save(file, "JPEG", quality=75)
    data = base64.b64encode(file.getvalue()).decode()
    size = f'width="{small.width}" height="{small.height}"'
    return f'<img alt="{alt}" {size} loading="lazy" src="data:image/jpeg;base64,{data}">'
