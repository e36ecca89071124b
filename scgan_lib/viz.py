"""Figures, from arrays and from the files of a finished run: no network, no notebook needed.

`strip` and `grid` lay out pictures; `FIGURES` are drawn from `results/<profile>/` alone. All return
a matplotlib Figure, which a notebook shows as the last expression of a cell; `save` and `draw`
write them as JPEG for screens and PDF for print. What one chapter alone shows is drawn there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from pandas.io.formats.style import Styler
from PIL import Image
from skimage.color import rgb2lab

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
    inches. UserError for no rows or another kind of picture.
    """
    if not rows or not rows[0]:
        raise UserError("no pictures to show: give at least one row with one picture")
    keys, deep = list(rows[0]), -(-len(rows) // blocks)
    cells = [[_panel(row.get(key), key) for key in keys] for row in rows]
    ratios = []  # width / height of each column's widest picture
    for c in range(len(keys)):
        there = [row[c][0].shape for row in cells if row[c][0] is not None]
        ratios.append(max((shape[1] / shape[0] for shape in there), default=1.0))
    gap = 0.12 * max(ratios)
    columns = ([*ratios, gap] * blocks)[:-1]
    captioned = max((text.count("\n") + 1 for row in cells for _, text in row if text), default=0)
    tall = width * 0.97 / (sum(columns) + 0.2 * blocks * bool(names))  # a row's height, inches
    below = (0.12 * captioned + 0.05) if captioned else 0.02
    height = deep * (tall + below) + 0.2
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(wspace=0.015, hspace=0.015, w_pad=0.01, h_pad=0.02)
    axes = figure.subplots(deep, len(columns), squeeze=False, width_ratios=columns)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[], frame_on=False)
    for i, row in enumerate(cells):
        block, line = divmod(i, deep)
        for c, (picture, text) in enumerate(row):
            ax = axes[line, block * (len(keys) + 1) + c]
            if line == 0 and len(keys) * len(rows) > 1:
                ax.set_title(keys[c])
            if c == 0 and i < len(names):
                ax.set_ylabel(names[i], fontsize=6.5)
            if text:
                ax.set_xlabel(text, fontsize=6, labelpad=2)
            if picture is not None:
                how = "auto" if picture.shape[0] >= tall * figure.dpi else "nearest"
                ax.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation=how)
    return figure


def _panel(panel: Panel | None, key: str) -> tuple[np.ndarray | None, str]:
    panel, text = panel if isinstance(panel, tuple) else (panel, "")
    if panel is None:
        return None, text
    picture = np.asarray(panel)
    if picture.dtype != np.uint8:
        picture = np.rint(np.clip(picture.astype(float), 0, 1) * 255).astype(np.uint8)
    if picture.ndim == 3 and picture.shape[2] == 1:
        picture = picture[..., 0]
    if picture.ndim != 2 and (picture.ndim != 3 or picture.shape[2] not in (3, 4)):
        raise UserError(f"picture {key!r} has shape {picture.shape}; give (H,W) or (H,W,3)")
    return picture, text


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


def draw(results: Path, figures: Path, only: Iterable[str] | None = None) -> list[Path]:
    """Draw and save all of `FIGURES`, or those named in `only`, from `results` into `figures`.

    What cannot be drawn is named in one line with its reason, and the others are drawn. ->
    the files written. UserError for an unknown name.
    """
    wanted = list(FIGURES if only is None else only)
    if unknown := [name for name in wanted if name not in FIGURES]:
        raise UserError(f"unknown figure {unknown[0]!r}; there are {', '.join(FIGURES)}")
    use_style()
    written: list[Path] = []
    for name in wanted:
        try:
            written += save(FIGURES[name](Path(results)), figures, name)
        except UserError as error:
            print(f"figure {name}: not drawn: {error}")
    return written


def numbers(frame: pd.DataFrame, digits: int = 3, name: str = "numbers") -> Styler:
    """A table for a page: methods and measures in words, ∞, and a dash where nothing was measured.

    `name` is part of the ids in its HTML, which are the same each time.
    """

    def text(value: float) -> str:
        if pd.isna(value):
            return "–"
        return ("−∞" if value < 0 else "∞") if np.isinf(value) else f"{value:.{digits}f}"

    frame = frame.rename(index=LABELS, columns=MEASURES).rename_axis(index=None, columns=None)
    return frame.style.format(text).set_uuid(name)


def picture(results: Path, method: str, stem: str, composite: bool = False) -> np.ndarray:
    """outputs/<method>/<stem>.png as uint8; UserError names what makes the file.

    `composite`: of a cut-out on a photo, in outputs/composites/; its method "mask" is the alpha.
    """
    folder = Path(results) / "outputs" / ("composites" if composite else "")
    path = folder / method / f"{stem}.png"
    try:
        return np.asarray(Image.open(path))
    except OSError:
        raise UserError(f"{path}: no such picture; make it with `scgan evaluate`") from None


def stems(results: Path) -> list[str]:
    """Names of the test pictures, the gallery first, in the order of the kept samples."""
    folder = Path(results) / "outputs" / "real"
    found = {p.stem for p in folder.glob("*.png")}
    if not found:
        raise UserError(f"{folder}: no pictures; make them with `scgan evaluate`")
    gallery = _gallery(Path(results))
    return sorted(found, key=lambda s: (s not in gallery, f"{s}."))


def _gallery(results: Path) -> set[str]:
    """Stems marked `gallery` in the credits of the data set that the run's settings name."""
    for path in [*results.glob("manifest.json"), *sorted(results.glob("runs/*/settings.json"))]:
        record = json.loads(path.read_text(encoding="utf-8"))
        data = str(record.get("settings", record).get("data", ""))
        credits = ROOT / data / "credits.csv"
        if data and credits.is_file():
            rows = pd.read_csv(credits)
            return {Path(f).stem for f in rows.loc[rows["gallery"] == 1, "file"]}
    return set()


# --- the project's figures ------------------------------------------------------------------------


def gallery(results: Path, count: int = 20) -> Figure:
    """Gray, stage 1, SCGAN and real for the gallery photos, in two blocks of rows."""
    methods = ("gray", "stage1", "scgan", "real")
    chosen = stems(results)[:count]
    rows = [{LABELS[m]: picture(results, m, stem) for m in methods} for stem in chosen]
    return grid(rows, blocks=2 if count > 5 else 1)


CURVES = {  # title -> (stage, columns, logarithmic)
    "stage 1: losses": (1, ("pixel", "attention"), False),
    "stage 2: losses": (2, ("pixel", "attention", "perceptual"), False),
    "stage 2: adversarial": (2, ("adversarial",), False),
    "stage 2: critics' gap, real − made": (2, ("color_gap", "salient_gap"), False),
    "stage 2: gradient penalties": (2, ("color_penalty", "salient_penalty"), True),
}


def training_curves(results: Path) -> Figure:
    """Losses of both stages, the gap that the critics see, their penalties, the learning rate."""
    runs = Path(results) / "runs"
    filled = [path for path in sorted(runs.glob("stage[12]/log.csv")) if path.stat().st_size > 5]
    logs = {int(path.parent.name[-1]): pd.read_csv(path) for path in filled}
    if not logs:
        raise UserError(f"{runs}: no log.csv; train first with `scgan train`")
    figure = Figure(figsize=(PAGE, 4), layout="constrained")
    axes = figure.subplots(2, 3).flat
    for (title, (stage, columns, logarithmic)), ax in zip(CURVES.items(), axes, strict=False):
        ax.set_title(title, pad=13)
        ax.set_xlabel("step")
        log = logs.get(stage, pd.DataFrame())
        present = [c for c in columns if c in log and log[c].notna().any()]
        for i, column in enumerate(present):
            known = log[["step", column]].dropna()
            smooth = known[column].rolling(max(1, len(known) // 25), 1, center=True).mean()
            name = column.replace("_", " ").replace("color", "colour")
            ax.plot(known["step"], known[column], color=f"C{i}", alpha=0.25, linewidth=0.6)
            ax.plot(known["step"], smooth, color=f"C{i}", label=name)
        if present:
            _legend_above(ax)
            if logarithmic:
                ax.set_yscale("log")
                ax.yaxis.set_major_formatter("{x:g}")
                ax.yaxis.set_minor_formatter(NullFormatter())
        else:
            ax.text(0.5, 0.5, "not in this run", ha="center", transform=ax.transAxes)
    last = figure.axes[-1]
    last.set_title("generator's learning rate", pad=13)
    last.set(xlabel="step", ylabel=r"$10^{-4}$")
    for stage, log in logs.items():
        last.plot(log["step"], 1e4 * log["lr"], color=f"C{stage - 1}", label=f"stage {stage}")
    _legend_above(last)
    return figure


def _legend_above(ax) -> None:
    """The legend in one line between title and data, where it hides nothing."""
    place = dict(loc="lower center", bbox_to_anchor=(0.5, 0.98), borderaxespad=0)
    ax.legend(**place, ncols=3, handlelength=1.2, columnspacing=1, handletextpad=0.4)


def evolution(results: Path, count: int = 5, columns: int = 8) -> Figure:
    """Some kept photos at growing steps, each stage up to its end, the real ones at the right."""
    runs = Path(results) / "runs"
    shots = {s: sorted((runs / f"stage{s}" / "samples").glob("step_*.npz")) for s in (1, 2)}
    shots[2] = shots[2][1:] if shots[1] else shots[2]  # stage 2's step 0 is stage 1's last
    if not any(shots.values()):
        raise UserError(f"{runs}: no samples; train first with `scgan train`")
    room = {1: (columns - 1) // 2 if shots[2] else columns - 1}
    room[2] = columns - 1 - min(room[1], len(shots[1]))
    kept = []
    for stage, own in shots.items():
        places = np.linspace(0, len(own) - 1, min(room[stage], len(own))).round().astype(int)
        for path in (own[i] for i in places):
            step = int(path.stem.removeprefix("step_"))
            kept.append((f"stage {stage}\nstep {step}", np.load(path)["rgb"]))
    names = stems(results)
    there, rows = min(len(kept[0][1]), len(names)), []
    for i in np.unique(np.linspace(0, there - 1, min(count, there)).round().astype(int)):
        row = {title: rgb[i] for title, rgb in kept}
        rows.append(row | {"\nreal": picture(results, "real", names[i])})
    return grid(rows)


FIGURES: dict[str, Callable[[Path], Figure]] = {
    figure.__name__: figure for figure in (gallery, training_curves, evolution)
}
