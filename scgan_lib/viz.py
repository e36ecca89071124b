"""Figures, from arrays and from the files of a finished run: no network, no notebook needed.

`strip` and `grid` lay out pictures; the functions in `FIGURES` draw the project's figures from
`results/<profile>/` alone. All return a matplotlib Figure, which a notebook shows as the last
expression of a cell; `save` and `draw` write them as JPEG for screens and PDF for print.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from pandas.io.formats.style import Styler
from PIL import Image
from skimage.color import rgb2lab

from scgan_lib.paths import ROOT, UserError, atomic_write

PAGE, COLUMN = 6.75, 3.25  # inches: a page's and a column's width in print
LABELS = {"gray": "gray", "mean_color": "mean colour", "stage1": "stage 1", "scgan": "SCGAN"}
LABELS |= {"real": "real", "saliency": "saliency", "salient": "salient area"}
COLORS = {"gray": "#8a8a8a", "mean_color": "#e69f00", "stage1": "#0072b2", "scgan": "#d55e00"}
COLORS |= {"real": "#000000"}
Panel = np.ndarray | Image.Image | tuple[np.ndarray, str]  # a picture, or one with its caption


def use_style() -> None:
    """Load scgan.mplstyle; in a notebook, keep figures as JPEG, a fifth of a PNG's size."""
    matplotlib.style.use(str(Path(__file__).with_name("scgan.mplstyle")))
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("jpeg", pil_kwargs={"quality": 75})


# --- pictures side by side ------------------------------------------------------------------------


def strip(images: Mapping[str, Panel], width: float = PAGE, title: str = "") -> Figure:
    """One row of pictures of equal height, each with its name above: see `grid` for the kinds."""
    return grid([images], width=width, title=title)


def grid(
    rows: Sequence[Mapping[str, Panel]],
    names: Sequence[str] = (),
    width: float = PAGE,
    blocks: int = 1,
    title: str = "",
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
    ratios = [_ratio(cells, c) for c in range(len(keys))]  # width / height of each column
    gap = 0.12 * max(ratios)
    columns = ([*ratios, gap] * blocks)[:-1]
    captioned = max((text.count("\n") + 1 for row in cells for _, text in row if text), default=0)
    tall = width * 0.97 / (sum(columns) + 0.2 * blocks * bool(names))  # a row's height, inches
    below = (0.12 * captioned + 0.05) if captioned else 0.02
    height = deep * (tall + below) + 0.2 + 0.2 * bool(title)
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(wspace=0.015, hspace=0.015, w_pad=0.01, h_pad=0.02)
    axes = figure.subplots(deep, len(columns), squeeze=False, width_ratios=columns)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.set_frame_on(False)
        ax.grid(False)
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
                _show(ax, picture, tall * figure.dpi)
    if title:
        figure.suptitle(title)
    return figure


def _panel(panel: Panel | None, key: str) -> tuple[np.ndarray | None, str]:
    panel, text = panel if isinstance(panel, tuple) else (panel, "")
    if panel is None:
        return None, text
    picture = np.asarray(panel)
    if picture.dtype == bool:
        picture = picture * np.uint8(255)
    elif picture.dtype != np.uint8:
        picture = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    if picture.ndim == 3 and picture.shape[2] == 1:
        picture = picture[..., 0]
    if picture.ndim != 2 and (picture.ndim != 3 or picture.shape[2] not in (3, 4)):
        raise UserError(f"picture {key!r} has shape {picture.shape}; give (H,W) or (H,W,3)")
    return picture, text


def _ratio(cells: list, column: int) -> float:
    return max((p.shape[1] / p.shape[0] for p, _ in (r[column] for r in cells) if p is not None),
               default=1.0)  # fmt: skip


def _show(ax, picture: np.ndarray, pixels: float) -> None:
    """Draw on `ax`; "auto" filters a picture that must shrink, "nearest" keeps a small one's."""
    how = "auto" if picture.shape[0] >= pixels else "nearest"
    ax.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation=how)


def salient_area(rgb_u8: np.ndarray, saliency_u8: np.ndarray) -> np.ndarray:
    """The weighted image c ⊙ s of uint8 (H,W,3) and (H,W): 0 in [-1, 1] is mid-gray, 127.5."""
    weight = saliency_u8[..., None] / 255
    return np.rint((rgb_u8 - 127.5) * weight + 127.5).astype(np.uint8)


# --- writing --------------------------------------------------------------------------------------


def save(figure: Figure, folder: str | Path, name: str) -> list[Path]:
    """Write `name`.jpg (screens) and `name`.pdf (print) into `folder`, whole or not at all.

    No dates and no versions are stored: the same figure gives the same bytes.
    """
    folder = Path(folder)
    targets = [folder / f"{name}.jpg", folder / f"{name}.pdf"]
    with atomic_write(targets[0]) as jpg, atomic_write(targets[1]) as pdf:
        figure.savefig(jpg, pil_kwargs={"quality": 88, "optimize": True})
        figure.savefig(pdf, metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return targets


def draw(results: Path, figures: Path, only: Iterable[str] | None = None) -> list[Path]:
    """Draw and save all of `FIGURES`, or those named in `only`, from `results` into `figures`.

    What cannot be drawn is named in one line with its reason, and the others are drawn. ->
    the files written. UserError for an unknown name.
    """
    wanted = list(FIGURES) if only is None else list(only)
    for name in wanted:
        if name not in FIGURES:
            raise UserError(f"unknown figure {name!r}; there are {', '.join(FIGURES)}")
    use_style()
    written: list[Path] = []
    for name in wanted:
        try:
            written += save(FIGURES[name](Path(results)), figures, name)
        except UserError as error:
            print(f"figure {name}: not drawn: {error}")
    return written


# --- reading a run --------------------------------------------------------------------------------


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
    for path in (results / "manifest.json", *sorted(results.glob("runs/*/settings.json"))):
        if path.is_file():
            record = json.loads(path.read_text(encoding="utf-8"))
            data = str(record.get("settings", record).get("data", ""))
            credits = ROOT / data / "credits.csv"
            if data and credits.is_file():
                rows = pd.read_csv(credits)
                return {Path(f).stem for f in rows.loc[rows["gallery"] == 1, "file"]}
    return set()


def _metrics(results: Path, composites: bool = False) -> pd.DataFrame:
    """The rows of photos, or of composites: a file without the column `set` has photos only."""
    path = Path(results) / "metrics.csv"
    if not path.is_file():
        raise UserError(f"{path}: no such file; make it with `scgan evaluate`")
    table = pd.read_csv(path, dtype={"image": str, "method": str})
    is_composite = table["set"] == "composites" if "set" in table else table["image"].isna()
    return table[is_composite == composites]


def _log(results: Path, stage: int) -> pd.DataFrame | None:
    path = Path(results) / "runs" / f"stage{stage}" / "log.csv"
    return pd.read_csv(path) if path.is_file() and path.stat().st_size > 5 else None


def _samples(results: Path, stage: int) -> dict[int, np.ndarray]:
    """Step -> uint8 (N,H,W,3), the gallery's colours at that step of the stage."""
    files = sorted((Path(results) / "runs" / f"stage{stage}" / "samples").glob("step_*.npz"))
    return {int(f.stem.removeprefix("step_")): np.load(f)["rgb"] for f in files}


# --- the project's figures ------------------------------------------------------------------------


def gallery(results: Path, count: int = 20) -> Figure:
    """Gray, stage 1, SCGAN and real for the gallery photos, in two blocks of rows."""
    methods = ("gray", "stage1", "scgan", "real")
    chosen = stems(results)[:count]
    rows = [{LABELS[m]: picture(results, m, stem) for m in methods} for stem in chosen]
    return grid(rows, blocks=2 if count > 5 else 1)


def saliency_areas(results: Path, count: int = 8) -> Figure:
    """Photo, predicted colours, predicted saliency and their product, the salient area."""
    rows = []
    for stem in stems(results)[:count]:
        colors, saliency = (picture(results, m, stem) for m in ("scgan", "saliency"))
        row = {"real": picture(results, "real", stem), "SCGAN": colors}
        row["predicted\nsaliency"] = saliency
        rows.append(row | {"salient area": salient_area(colors, saliency)})
    return grid(rows, blocks=2 if count > 3 else 1)


CURVES = {  # title -> (stage, columns, logarithmic)
    "stage 1: losses": (1, ("pixel", "attention"), False),
    "stage 2: losses": (2, ("pixel", "attention", "perceptual"), False),
    "stage 2: adversarial": (2, ("adversarial",), False),
    "stage 2: critics' gap, real − made": (2, ("color_gap", "salient_gap"), False),
    "stage 2: gradient penalties": (2, ("color_penalty", "salient_penalty"), True),
}


def training_curves(results: Path) -> Figure:
    """Losses of both stages, what the critics tell apart, their penalties, the learning rate."""
    logs = {stage: _log(results, stage) for stage in (1, 2)}
    if logs[1] is None and logs[2] is None:
        raise UserError(f"{Path(results) / 'runs'}: no log.csv; train first with `scgan train`")
    figure = Figure(figsize=(PAGE, 4), layout="constrained")
    axes = figure.subplots(2, 3).flat
    for (title, (stage, columns, logarithmic)), ax in zip(CURVES.items(), axes, strict=False):
        ax.set_title(title, pad=13)
        ax.set_xlabel("step")
        log = logs[stage]
        present = [c for c in columns if log is not None and c in log and log[c].notna().any()]
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
    last.set_xlabel("step")
    for stage, log in logs.items():
        if log is not None:
            last.plot(log["step"], 1e4 * log["lr"], color=f"C{stage - 1}", label=f"stage {stage}")
    last.set_ylabel(r"$10^{-4}$")
    _legend_above(last)
    return figure


def _legend_above(ax) -> None:
    """The legend in one line between title and data, where it hides nothing."""
    place = dict(loc="lower center", bbox_to_anchor=(0.5, 0.98), borderaxespad=0)
    ax.legend(**place, ncols=3, handlelength=1.2, columnspacing=1, handletextpad=0.4)


def evolution(results: Path, count: int = 5, columns: int = 8) -> Figure:
    """Some of the photos whose colours were kept, at growing steps, the real ones at the right.

    The last column of each stage is where it ended.
    """
    shots = {stage: sorted(_samples(results, stage).items()) for stage in (1, 2)}
    shots[2] = shots[2][1:] if shots[1] else shots[2]  # stage 2's step 0 is stage 1's last
    if not any(shots.values()):
        raise UserError(f"{Path(results) / 'runs'}: no samples; train first with `scgan train`")
    room = {1: (columns - 1) // 2 if shots[2] else columns - 1}
    room[2] = columns - 1 - min(room[1], len(shots[1]))
    kept = []
    for stage, own in shots.items():
        places = np.linspace(0, len(own) - 1, min(room[stage], len(own))).round().astype(int)
        kept += [(stage, *own[i]) for i in places]
    names = stems(results)
    there, rows = min(len(kept[0][2]), len(names)), []
    for i in np.unique(np.linspace(0, there - 1, min(count, there)).round().astype(int)):
        row = {f"stage {s}\nstep {n}": rgb[i] for s, n, rgb in kept}
        rows.append(row | {"\nreal": picture(results, "real", names[i])})
    return grid(rows)


MEASURES = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "cci": "CCI, colourfulness",
    "saturation": "mean saturation",
    "boundary_chroma": "boundary chroma error (Lab)",
    "salient_chroma": "salient chroma error (Lab)",
}
EXACT = ("boundary_chroma", "salient_chroma")  # measured on composites, all else on photos


def numbers(frame: pd.DataFrame, digits: int = 3, name: str = "numbers") -> Styler:
    """A table for a page: methods and measures in words, ∞, and a dash where nothing was measured.

    `name` is part of the ids in its HTML, which are the same each time.
    """

    def text(value: float) -> str:
        if pd.isna(value):
            return "–"
        return ("−∞" if value < 0 else "∞") if np.isinf(value) else f"{value:.{digits}f}"

    frame = frame.rename(index=LABELS, columns=MEASURES)
    frame = frame.rename_axis(index=None, columns=None)
    return frame.style.format(text).set_uuid(name)


def distributions(results: Path, measures: Sequence[str] = ()) -> Figure:
    """For each metric the share of test photos at or below a value, a line a method (ECDF).

    PSNR, SSIM and the errors (of composites) are drawn as difference to gray on the same picture,
    without the real one. A method that has one value on all pictures is a vertical line.
    """
    tables = {m: _metrics(results, m in EXACT) for m in measures or MEASURES}
    present = [m for m, table in tables.items() if m in table and table[m].notna().any()]
    wide = len(present) if len(present) < 4 else -(-len(present) // 2)
    deep = -(-len(present) // wide)
    figure = Figure(figsize=(PAGE, 1.9 * deep + 0.25), layout="constrained")
    axes = figure.subplots(deep, wide, squeeze=False).flat
    for measure, ax in zip(present, axes, strict=False):
        values = tables[measure].pivot(index="image", columns="method", values=measure)
        values = values.replace(np.inf, np.nan)[tables[measure]["method"].unique()]
        name = MEASURES.get(measure, measure)
        if measure in ("psnr", "ssim", *EXACT) and "gray" in values:
            values = values.sub(values["gray"], axis=0).drop(columns="real", errors="ignore")
            name = name.replace(" (", " − gray's (") if "(" in name else f"{name} − gray's"
        for method in values:
            own = values[method].dropna()
            look = {"color": COLORS.get(method), "label": LABELS.get(method, method)}
            if len(own) and own.max() - own.min() < 1e-9:
                ax.axvline(own.iloc[0], linewidth=1.1, **look)
            elif len(own):
                ax.ecdf(own, linewidth=1.1, **look)
        ax.set(xlabel=name + ("\nof composites" if measure in EXACT else ""), ylim=(0, 1))
        ax.xaxis.set_major_locator(MaxNLocator(5))  # longer numbers must not touch
        if measure == "cci":
            ax.axvspan(16, 20, color="#f3e3b3", zorder=0, linewidth=0)
            ax.text(18, 0.97, "16..20", rotation=90, ha="center", va="top", fontsize=6)
    for ax in figure.axes[len(present) :]:
        ax.remove()
    lines = {t: h for ax in figure.axes for h, t in zip(*ax.get_legend_handles_labels())}  # noqa: B905
    figure.legend(lines.values(), lines, loc="outside upper center", ncols=6)
    figure.axes[0].set_ylabel("share of photos at or below")
    return figure


WHITE = 50  # the chroma error that figures show as white, in units of Lab


def color_error(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Distance of a* and b* (Lab) of two uint8 (H,W,3) pictures, float (H,W): no brightness."""
    a, b = (rgb2lab(np.asarray(x))[..., 1:] for x in (real, fake))
    return np.linalg.norm(a - b, axis=-1)


def best_and_worst(results: Path, method: str = "scgan") -> Figure:
    """The photos at both ends of each metric: successes at the left, failures at the right.

    No photo is shown twice: where the first of a metric is in the figure already, the next one
    stands for it, with its place. The last column is `color_error`, white at `WHITE`.
    """
    table = _metrics(results).replace(np.inf, np.nan).set_index(["method", "image"])
    if method not in table.index.get_level_values(0):
        raise UserError(f"{results}/metrics.csv: no rows of {method!r}; evaluate it first")
    own, gray, real = (table.loc[m] for m in (method, "gray", "real"))
    names = stems(results)
    wrong = {s: color_error(picture(results, "real", s), picture(results, method, s)).mean()
             for s in own.index if s in names}  # fmt: skip
    gain, surplus, wrong = own["psnr"] - gray["psnr"], own["cci"] - real["cci"], pd.Series(wrong)
    colorful = wrong[real["cci"].reindex(wrong.index) > 15]  # no praise for keeping gray gray
    ends = {  # in pairs, a success and a failure; sign and values: the smallest product comes first
        "best PSNR\n{:.1f} dB": (-1, own["psnr"]),
        "worst PSNR\n{:.1f} dB": (1, own["psnr"]),
        "best SSIM\n{:.3f}": (-1, own["ssim"]),
        "least gain on\ngray {:+.1f} dB": (1, gain),
        "largest gain on\ngray {:+.1f} dB": (-1, gain),
        "largest chroma\nerror, {:.1f} Lab": (-1, wrong),
        "least chroma\nerror, {:.1f} Lab": (1, colorful),
        "dullest: CCI\n{:+.0f} to real": (1, surplus),
        "CCI nearest to\nreal, by {:.1f}": (1, surplus.abs()),
        "most surplus:\nCCI {:+.0f} to real": (-1, surplus),
    }
    shown: set[str] = set()
    rows: list[dict[str, Panel]] = []
    labels = []
    for text, (sign, values) in ends.items():
        order = sign * (sign * values.dropna()).sort_values(kind="stable")
        place, stem = next(((i, x) for i, x in enumerate(order.index) if x not in shown), (0, ""))
        if not stem:  # no such photo: an empty line keeps both blocks as they are
            rows.append({})
            labels.append("")
            continue
        shown.add(stem)
        row = {LABELS.get(m, m): picture(results, m, stem) for m in ("gray", method, "real")}
        error = color_error(row["real"], row[LABELS.get(method, method)]) / WHITE
        rows.append(row | {"chroma error": error})
        value = text.format(order.iloc[place]).replace("-", "−")
        labels.append(value + f"\n(place {place + 1})" * (place > 0))
    return grid(rows[::2] + rows[1::2], labels[::2] + labels[1::2], blocks=2)


def bleeding(results: Path, count: int = 4, method: str = "scgan") -> Figure:
    """Composites from the least to the largest boundary chroma error of `method`.

    Below each colour its two errors, at the edge and inside the object; last column: `color_error`,
    white at `WHITE`.
    """
    table = _metrics(results, composites=True)
    if "boundary_chroma" not in table or table["boundary_chroma"].isna().all():
        raise UserError(f"{results}/metrics.csv: no composites with masks; run `scgan evaluate`")
    table = table.set_index(["method", "image"])
    if method not in table.index.get_level_values(0):
        raise UserError(f"{results}/metrics.csv: no rows of {method!r}; evaluate it first")
    order = table.loc[method]["boundary_chroma"].dropna().sort_values(kind="stable").index
    keep = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    methods = [m for m in ("stage1", method) if m in table.index.get_level_values(0)]
    rows = []
    for stem in order[keep]:
        row = {m: picture(results, m, stem, composite=True) for m in ("real", "mask", *methods)}
        error = color_error(row["real"], row[method]) / WHITE
        for m in methods:
            edge, inside = table.loc[(m, stem), list(EXACT)]
            row[m] = row[m], f"edge {edge:.1f}\ninside {inside:.1f}"
        rows.append({LABELS.get(m, m): x for m, x in row.items()} | {"chroma error": error})
    return grid(rows)  # one block: panels large enough to see a band of a few pixels


def judge_confusion(results: Path, count: int = 8, method: str = "scgan") -> Figure:
    """Where the judge changes its mind: gray, colorized and real, its answer below each.

    The answer on the real photo, right or not, is the one asked for. First the photos where the
    colours brought it back, then those where they lost it, then those where neither gray nor
    colours give it.
    """
    table = _metrics(results)
    if "judge_class" not in table or table["judge_class"].isna().all():
        raise UserError(f"{results}/metrics.csv: no judge's answers; evaluate with a judge")
    answers = table.pivot(index="image", columns="method", values="judge_class").astype("Int64")
    if method not in answers:
        raise UserError(f"{results}/metrics.csv: no rows of {method!r}; evaluate it first")
    names = _class_names(results)
    same = answers.eq(answers["real"], axis=0)
    kinds = {
        "brought back": same[method] & ~same["gray"],
        "lost": ~same[method] & same["gray"],
        "not found": ~same[method] & ~same["gray"],
    }
    found = [
        (i, kind, s) for kind, mask in kinds.items() for i, s in enumerate(answers.index[mask])
    ]
    chosen = sorted(found, key=lambda case: case[0])[:count]  # the kinds take turns
    if len(chosen) > 2:
        chosen = chosen[: len(chosen) // 2 * 2]  # two blocks of one height
    chosen = [(kind, s) for name in kinds for _, kind, s in chosen if kind == name]
    if not chosen:
        raise UserError(f"{results}/metrics.csv: the judge never changes its mind on {method!r}")

    def panel(stem: str, m: str) -> tuple[np.ndarray, str]:
        answer = int(answers.loc[stem, m])
        text = names.get(answer, f"class {answer}")
        return picture(results, m, stem), textwrap.shorten(text, 22, placeholder="…")

    columns = ("gray", method, "real")
    rows = [{LABELS.get(m, m): panel(stem, m) for m in columns} for _, stem in chosen]
    return grid(rows, [kind for kind, _ in chosen], blocks=2 if len(chosen) > 2 else 1)


def _class_names(results: Path) -> dict[int, str]:
    """Names of the judge's answers, kept in the manifest under `judge_classes`; else empty."""
    path = Path(results) / "manifest.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {int(k): v for k, v in record.get("judge_classes", {}).items()}


# --- ablations ------------------------------------------------------------------------------------

ABLATED = {"psnr": "PSNR, dB ↑", "ssim": "SSIM ↑", "agree": "agreement, % ↑", "cci": "CCI"}
ABLATED |= {m: MEASURES[m] + " ↓" for m in EXACT}


def ablations(results: Path) -> Figure:
    """Differences to `full` from ablations.csv and table2.csv: dots a seed, bars over images.

    The bar is the 95 % paired interval over images. In the row `full` the dots are its own seeds
    around their mean: that wide is luck.
    """
    try:
        rows = pd.read_csv(Path(results) / "ablations.csv", dtype={"variant": str})
        table = pd.read_csv(Path(results) / "table2.csv", index_col="method")
    except OSError as error:
        raise UserError(f"{error.filename}: no such file; make it with `make ablations`") from None
    names = [n for n in table.index if n not in ("gray", "real")]
    shown = [m for m in ABLATED if f"{m}_mean" in table and table[f"{m}_mean"].notna().any()]
    wide = min(3, len(shown))
    deep = -(-len(shown) // wide)
    figure = Figure(figsize=(PAGE, deep * (0.19 * len(names) + 0.5)), layout="constrained")
    axes = figure.subplots(deep, wide, squeeze=False, sharey=True)
    exact = rows["set"] == "composites" if "set" in rows else rows["image"].isna()
    for measure, ax in zip(shown, axes.flat, strict=False):
        part = rows[exact if measure in EXACT else ~exact].replace(np.inf, np.nan)
        scale = 100 if measure == "agree" else 1
        means = part.groupby(["variant", "seed"])[measure].mean() * scale
        ax.axvline(0, color="#8a8a8a", linewidth=0.7)
        for y, name in enumerate(names):
            own = means[name]
            reference = own.mean() if name == "full" else means["full"].reindex(own.index)
            ax.plot(own - reference, np.full(len(own), y), "o", color="#0072b2", markersize=2.8)
            if name != "full" and f"{measure}_difference" in table:
                ends = table.loc[name, [f"{measure}_difference_low", f"{measure}_difference_high"]]
                ax.plot(ends, [y, y], color="#d55e00", linewidth=3.2, alpha=0.45, zorder=0)
        ax.set(xlabel=ABLATED[measure], yticks=range(len(names)), ylim=(len(names) - 0.5, -0.5))
        ax.set_yticklabels([n.replace("-", " ").replace("stage1", "stage 1") for n in names])
        ax.grid(False, axis="y")
    for ax in axes.flat[len(shown) :]:
        ax.remove()
    return figure


def ablation_pictures(results: Path, count: int = 4) -> Figure:
    """Test photos under all variants of the first seed that was scored: gray, variants, real."""
    folder = min(Path(results).glob("ablations/all-seed*/outputs"), default=None)
    if folder is None:
        raise UserError(f"{results}/ablations: no pictures; make them with `scgan ablate`")
    there = {p.name for p in folder.iterdir()}
    named = pd.read_csv(Path(results) / "ablations.csv", usecols=["variant"])["variant"].unique()
    kept = ["gray", *(n for n in named if n not in ("gray", "real") and n in there), "real"]
    text = {n: n.replace("-", "\n", 1).replace("-", " ").replace("ge1", "ge 1") for n in kept}
    chosen = stems(folder.parent)[:count]
    return grid([{text[n]: picture(folder.parent, n, stem) for n in kept} for stem in chosen])


def draw_ablations(results: Path, figures: Path) -> list[Path]:
    """Save both of the ablations' figures."""
    use_style()
    written = save(ablations(results), figures, "ablations")
    return written + save(ablation_pictures(results), figures, "ablation_pictures")


FIGURES: dict[str, Callable[[Path], Figure]] = {
    "gallery": gallery,
    "saliency_areas": saliency_areas,
    "training_curves": training_curves,
    "evolution": evolution,
    "distributions": distributions,
    "best_and_worst": best_and_worst,
    "judge_confusion": judge_confusion,
    "bleeding": bleeding,
}
