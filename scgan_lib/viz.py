"""Figures, from arrays and from the files of a finished run: no network, no notebook needed.

`strip` and `grid` lay out pictures; `gallery` is drawn from `results/<profile>/` alone. All return
a matplotlib Figure, which a notebook shows as the last expression of a cell; `save` writes it as
JPEG for screens and PDF for print. What one chapter alone shows is drawn there.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler
from PIL import Image
from skimage.color import rgb2lab
from skimage.util import img_as_ubyte

from scgan_lib.paths import ROOT, UserError, atomic_write

PAGE = 6.75  # inches: a page's width in print
LABELS = {"gray": "gray", "mean_color": "mean colour", "stage1": "stage 1", "scgan": "SCGAN"}
LABELS |= {"real": "real", "saliency": "saliency", "salient": "salient area"}
COLORS = {"gray": "#8a8a8a", "mean_color": "#e69f00", "stage1": "#0072b2", "scgan": "#d55e00"}
COLORS |= {"tiny": "#009e73", "real": "#000000"}
MEASURES = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "cci": "CCI, colourfulness",
    "saturation": "mean saturation",
    "boundary_chroma": "boundary chroma error (Lab)",
    "salient_chroma": "salient chroma error (Lab)",
}
WHITE = 50  # the chroma error that figures show as white, in units of Lab
Panel = np.ndarray | Image.Image | tuple[np.ndarray, str]  # a picture, or one with its caption


def use_style() -> None:
    """Load scgan.mplstyle; in a notebook, keep figures as JPEG, a fifth of a PNG's size."""
    matplotlib.style.use(str(Path(__file__).with_name("scgan.mplstyle")))
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("jpeg", pil_kwargs={"quality": 75})


def strip(images: Mapping[str, Panel], width: float = PAGE) -> Figure:
    """One row of pictures of equal height, each with its name above: see `grid` for the kinds."""
    return grid([images], width=width)


def grid(
    rows: Sequence[Mapping[str, Panel]],
    names: Sequence[str] = (),
    width: float = PAGE,
    blocks: int = 1,
) -> Figure:
    """Rows of labelled pictures; the keys of the first row head the columns, `names` the rows.

    A picture is uint8 (H,W) or (H,W,3), bool, float in 0..1, a PIL image, or a pair (picture,
    caption below it). `blocks` sets that many blocks of rows side by side. Pictures are shrunk by
    area where they are larger than their place, else their pixels are shown as they are. Width in
    inches. A row may lack pictures. UserError for no rows or another kind of picture.
    """
    if not rows or not rows[0]:
        raise UserError("no pictures to show: give at least one row with one picture")
    keys, deep = list(rows[0]), -(-len(rows) // blocks)
    cells = [[_panel(row.get(key), key) for key in keys] for row in rows]
    ratios = [  # width / height of each column's widest picture
        max((x.shape[1] / x.shape[0] for x, _ in column if x is not None), default=1.0)
        for column in zip(*cells, strict=True)
    ]
    gap = 0.12 * max(ratios)
    columns = ([*ratios, gap] * blocks)[:-1]
    captioned = max(text.count("\n") + bool(text) for row in cells for _, text in row)
    tall = width * 0.97 / (sum(columns) + 0.2 * blocks * bool(names))  # a row's height, inches
    below = (0.12 * captioned + 0.05) if captioned else 0.02
    figure = Figure(figsize=(width, deep * (tall + below) + 0.2), layout="constrained")
    figure.get_layout_engine().set(wspace=0.015, hspace=0.015, w_pad=0.01, h_pad=0.02)
    bare = dict(xticks=[], yticks=[], frame_on=False)
    axes = figure.subplots(deep, len(columns), squeeze=False, width_ratios=columns, subplot_kw=bare)
    for i, row in enumerate(cells):
        block, line = divmod(i, deep)
        for c, (picture, text) in enumerate(row):
            ax = axes[line, block * (len(keys) + 1) + c]
            if line == 0 and len(keys) * len(rows) > 1:
                ax.set_title(keys[c])
            if c == 0 and i < len(names):
                ax.set_ylabel(names[i], fontsize=6.5)
            ax.set_xlabel(text, fontsize=6, labelpad=2)
            if picture is not None:
                how = "auto" if picture.shape[0] >= tall * figure.dpi else "nearest"
                ax.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation=how)
    return figure


def _panel(panel: Panel | None, key: str) -> tuple[np.ndarray | None, str]:
    picture, text = panel if isinstance(panel, tuple) else (panel, "")
    return None if picture is None else to_u8(picture, key), text


def to_u8(picture: np.ndarray | Image.Image, name: str = "picture") -> np.ndarray:
    """A picture as uint8 (H,W), (H,W,3) or (H,W,4); floats are cut to 0..1. UserError names it."""
    array = np.asarray(picture)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 and (array.ndim != 3 or array.shape[2] not in (3, 4)):
        raise UserError(f"picture {name!r} has shape {array.shape}; give (H,W) or (H,W,3)")
    return array if array.dtype == np.uint8 else img_as_ubyte(np.clip(array.astype(float), 0, 1))


def salient_area(rgb_u8: np.ndarray, saliency_u8: np.ndarray) -> np.ndarray:
    """The weighted image c ⊙ s of uint8 (H,W,3) and (H,W): 0 in [-1, 1] is mid-gray, 127.5."""
    weight = saliency_u8[..., None] / 255
    return np.rint((rgb_u8 - 127.5) * weight + 127.5).astype(np.uint8)


def color_error(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Distance of a* and b* (Lab) of two uint8 (H,W,3) pictures, float (H,W): no brightness."""
    a, b = (rgb2lab(np.asarray(x))[..., 1:] for x in (real, fake))
    return np.linalg.norm(a - b, axis=-1)


def save(figure: Figure, folder: str | Path, name: str) -> list[Path]:
    """Write `name`.jpg (screens) and `name`.pdf (print) into `folder`, whole or not at all.

    No dates and no versions are stored: the same figure gives the same bytes.
    """
    targets = [Path(folder) / f"{name}.{kind}" for kind in ("jpg", "pdf")]
    with atomic_write(targets[0]) as jpg, atomic_write(targets[1]) as pdf:
        figure.savefig(jpg, pil_kwargs={"quality": 88, "optimize": True})
        figure.savefig(pdf, metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return targets


def numbers(frame: pd.DataFrame, digits: int = 3, name: str = "numbers") -> Styler:
    """A table for a page: words for heads, ∞, a dash for nothing. `name` is in its HTML's ids."""
    frame = frame.rename(index=LABELS, columns=MEASURES).rename_axis(index=None, columns=None)
    style = frame.style.set_uuid(name)
    return style.format(lambda x: f"{x:.{digits}f}".replace("inf", "∞"), na_rep="–")


def picture(results: Path, method: str, stem: str, composite: bool = False) -> np.ndarray:
    """outputs/<method>/<stem>.png as uint8; UserError names what makes the file.

    `composite`: of a cut-out on a photo, in outputs/composites/; its method "mask" is the alpha.
    """
    root = Path(results) / "outputs" / ("composites" if composite else "")
    path = root / method / f"{stem}.png"
    try:
        return np.asarray(Image.open(path))
    except OSError:
        raise UserError(f"{path}: no such picture; make it with `scgan evaluate`") from None


def stems(results: Path) -> list[str]:
    """Names of the test pictures, the gallery first, in the order of the kept samples."""
    folder, manifest = Path(results) / "outputs" / "real", Path(results) / "manifest.json"
    found, gallery = {p.stem for p in folder.glob("*.png")}, set()
    if not found:
        raise UserError(f"{folder}: no pictures; make them with `scgan evaluate`")
    if manifest.is_file():  # it names the data set, whose credits mark the gallery
        data = json.loads(manifest.read_text(encoding="utf-8"))["settings"]["data"]
        if data and (credits := ROOT / data / "credits.csv").is_file():
            gallery = {Path(f).stem for f in pd.read_csv(credits).query("gallery == 1")["file"]}
    return sorted(found, key=lambda s: (s not in gallery, f"{s}."))


def gallery(results: Path, count: int = 20) -> Figure:
    """Gray, stage 1, SCGAN and real for the gallery photos, in two blocks of rows."""
    methods = ("gray", "stage1", "scgan", "real")
    chosen = stems(results)[:count]
    rows = [{LABELS[m]: picture(results, m, stem) for m in methods} for stem in chosen]
    return grid(rows, blocks=2 if count > 5 else 1)
