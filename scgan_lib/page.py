"""A batch as one self-contained page: thumbnails, and each picture before and after."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from scgan_lib.paths import UserError, atomic_write
from scgan_lib.pictures import read_rgb
from scgan_lib.progress import progress

HEAD, TAIL = Path(__file__).with_suffix(".html").read_text("utf-8").split("<!-- pictures -->\n")


def check(path: Path) -> None:
    """UserError if something other than such a page lies at `path`."""
    if path.exists() and HEAD[:99].encode() != path.read_bytes()[:99]:
        raise UserError(f"{path}: exists already and is no page of scgan; choose another name")


def write(path: Path, pairs: Sequence[tuple[str, str]], quiet: bool = False) -> None:
    """The (original, result) `pairs` as a page: 640 pixels at most, 320 where there are many.

    Pictures wait in templates, which a browser does not decode, until somebody chooses them.
    """
    side = 640 if len(pairs) <= 200 else 320
    with atomic_write(path) as part, part.open("w", encoding="utf-8", errors="replace") as file:
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
        script = Path(__file__).with_name("compare.js").read_text("utf-8")
        file.write(TAIL.replace("// compare.js\n", script))


def _img(image: Image.Image, side: int, alt: str) -> str:
    file, small = io.BytesIO(), ImageOps.contain(image, (side, side))
    small.save(file, "JPEG", quality=75)
    data = base64.b64encode(file.getvalue()).decode()
    size = f'width="{small.width}" height="{small.height}"'
    return f'<img alt="{alt}" {size} loading="lazy" src="data:image/jpeg;base64,{data}">'
