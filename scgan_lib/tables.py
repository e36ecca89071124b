"""Tables 1 and 2, from files alone: `metrics.csv` (or `ablations.csv`) and `manifest.json`.

The same files give the same bytes. Every number has its interval and its provenance.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t

from scgan_lib.metrics import CCI_RANGE
from scgan_lib.paths import UserError, atomic_write
from scgan_lib.statistics import bootstrap_means, interval

# Column: its title, its digits, which end is better (0: none, so it is never bold).
MEASURES = {
    "psnr": ("PSNR (dB) ↑", 2, 1),
    "ssim": ("SSIM ↑", 3, 1),
    "top1": ("top-1 ({judge}, %) ↑", 1, 1),
    "agree": ("agreement with real ({judge}, %) ↑", 1, 1),
    "cci": ("CCI", 1, 0),
    "ratio": ("CCI ratio (share inside 16..20, %)", 1, 0),
    "boundary_chroma": ("boundary chroma error ↓", 2, -1),
    "salient_chroma": ("salient chroma error ↓", 2, -1),
    "lpips": ("LPIPS (AlexNet) ↓", 3, -1),
}
PERCENT = ("top1", "agree", "ratio")
EXACT = ("boundary_chroma", "salient_chroma")  # measured on composites, all else on photos
ROWS = {"gray": "gray copy", "mean_color": "mean colour", "stage1": "stage 1", "scgan": "SCGAN"}
REAL = "real"
BASELINES = ("gray", REAL)  # shown, but no contestants for the bold type
NAMES = ROWS | {REAL: "real photo", "no-stage1": "no stage 1"}
BOOTSTRAP_SEED = 0
EVALUATE, ABLATE = "scgan evaluate", "make ablations"  # what writes the files anew


@dataclass(frozen=True)
class Table:
    """What is printed: `cells` (text), `numbers` (a row a method), `bold` cells, lines below."""

    cells: pd.DataFrame
    numbers: pd.DataFrame
    bold: frozenset[tuple[str, str]]
    notes: list[str]


def table1(results_dir: Path, extra_seeds: Sequence[Path] = ()) -> Table:
    """Table 1 of `results_dir`, written there as table1.csv, table1.md and table1.tex.

    Every cell is the mean and the 95 % bootstrap interval over images; with `extra_seeds`
    (results folders of other runs over the same images) also mean ± standard deviation of the
    runs' means. Bold: better than the next method by a paired difference that excludes 0.
    UserError if a file is missing or damaged or the folders do not hold the same images.
    """
    folders = [Path(results_dir), *map(Path, extra_seeds)]
    frames = [_read(f / "metrics.csv", ["image", "method"], EVALUATE) for f in folders]
    for folder, frame in zip(folders, frames, strict=True):
        if _pictures(frame) != _pictures(frames[0]):
            raise UserError(
                f"{folder / 'metrics.csv'}: other images than in {folders[0] / 'metrics.csv'}; "
                "evaluate all seeds on the same photos"
            )
    manifests = [_manifest(f / "manifest.json", EVALUATE) for f in folders]
    others = [m for m in frames[0]["method"].unique() if m not in ROWS and m != REAL]
    rows, columns = [*ROWS, *others, REAL], _columns(frames[0])
    runs = pd.concat([frame.assign(run=i) for i, frame in enumerate(frames)])
    cubes = _cubes(runs, rows, columns)
    finals = []  # (best, next, measure)
    for c in columns:
        _, _, better = MEASURES[c]
        means = cubes[c].xs(0, level="run").replace(np.inf, np.nan).mean(axis=1)
        ranked = (better * means).drop([*BASELINES]).dropna()
        ranked = ranked.sort_values(ascending=False, kind="stable")
        if better and len(ranked) > 1:
            finals.append((*ranked.index[:2], c))
    found = _statistics(cubes, finals, shown=[0], least=1)
    bold = {(a, c) for a, b, c in finals if found[a, b, c]["told"]}
    meaning = (
        "Cells: mean over images [95 % paired bootstrap interval over images]; behind it, where "
        "there are several runs, mean ± standard deviation of the runs' means. Bold: better than "
        "the next method by a paired difference that excludes 0 and has one sign in all runs; gray "
        "copy and real photo do not compete. ∞: identical to the real photo."
    )
    notes = _notes(frames[0], manifests[0], [m.get("seed") for m in manifests], meaning)
    names = {m: NAMES.get(m, m) for m in rows}
    table = _table(names, columns, found, "", bold, manifests[0], notes)
    _write(table, folders[0], "table1", "Table 1")
    return table


def table2(results_dir: Path) -> Table:
    """Table 2, the ablations, from `ablations.csv` (metrics.csv with variant and seed instead of
    method) and `ablations.json`; written as table2.csv, .md and .tex.

    A row is a variant; its cells give the mean over images of the seeds' average and in brackets
    the difference to `full`: mean, 95 % paired bootstrap interval over images, and in how many
    seeds it has this sign. Bold: the interval excludes 0 and all of at least two seeds agree.
    UserError if a file is missing or damaged or `full` is not in it.
    """
    folder = Path(results_dir)
    path = folder / "ablations.csv"
    frame = _read(path, ["image", "variant", "seed"], ABLATE)
    if "full" not in set(frame["variant"]):
        raise UserError(f"{path}: no rows of the variant 'full'; write it anew: {ABLATE}")
    manifest = _manifest(folder / "ablations.json", ABLATE)
    present = frame["variant"].unique()
    variants = [v for v in present if v not in ("full", *BASELINES)]
    rows = [v for v in ("gray", "full", *variants, REAL) if v in present]
    seeds, columns = sorted(frame["seed"].unique()), _columns(frame)
    runs = frame.rename(columns={"variant": "method", "seed": "run"}).sort_values("image")
    cubes = _cubes(runs, rows, columns)
    pairs = [(v, "full", c) for v in variants for c in columns]
    found = _statistics(cubes, pairs, shown=seeds, least=2)
    bold = {(v, c) for v, full, c in pairs if found[v, full, c]["told"]}
    meaning = (
        "Cells: mean over images of the seeds' average (difference to full [95 % paired bootstrap "
        "interval over images]; in how many seeds it has this sign). Without a difference: "
        "[interval of the mean]; runs: mean ± standard deviation of the seeds' means. Bold: the "
        "interval of the difference excludes 0 and all of at least two seeds agree."
    )
    names = {v: NAMES.get(v, v.replace("-", " ")) for v in rows}
    notes = _notes(frame, manifest, seeds, meaning)
    table = _table(names, columns, found, "full", bold, manifest, notes)
    _write(table, folder, "table2", "Table 2 (ablations)")
    return table


def table1_html(results_dir: Path, extra_seeds: Sequence[Path] = ()) -> pd.io.formats.style.Styler:
    """Table 1 as a styled notebook cell, notes below; it writes the files as `table1` does."""
    return style(table1(results_dir, extra_seeds))


def style(table: Table) -> pd.io.formats.style.Styler:
    """A table for a notebook: bold cells, right-aligned, the notes as its caption."""
    notes = "".join(f"<p style='margin: .3em 0'>{html.escape(line)}</p>" for line in table.notes)
    caption = [("caption-side", "bottom"), ("text-align", "left")]
    caption += [("max-width", "min(60em, 88vw)")]  # whole on a phone
    return (
        _marked(table, "font-weight: bold")
        .format(escape="html")
        .format_index(escape="html", axis=0)
        .set_uuid("table")
        .set_caption(notes)
        .set_table_styles([{"selector": "caption", "props": caption}])
    )


def split_sets(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of photos and of composites with exact masks; all are photos without a column `set`."""
    if "set" not in frame:
        return frame, frame.iloc[:0]
    return frame[frame["set"] != "composites"], frame[frame["set"] == "composites"]


# --- reading --------------------------------------------------------------------------------------


def _read(path: Path, keys: list[str], cure: str) -> pd.DataFrame:
    """The rows, all measures as numbers. UserError: missing, damaged, incomplete or repeated."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; make it with: {cure}")
    text = {"image": str, "method": str, "variant": str}
    try:
        frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
        needed = [*keys, "psnr", "ssim", "cci"]
        if missing := [c for c in needed if c not in frame]:
            raise ValueError(f"no column {missing[0]!r}")
        for column in frame.columns.intersection(["seed", *MEASURES]):
            frame[column] = pd.to_numeric(frame[column])
        if empty := [c for c in needed if frame[c].isna().any()]:
            raise ValueError(f"an empty cell in the column {empty[0]!r}")
        same = frame.columns.intersection(["image", "method", "variant", "set", "seed"])
        if (twice := frame.duplicated([*same])).any():
            raise ValueError(f"two rows of {', '.join(map(str, frame.loc[twice, same].iloc[0]))}")
        if split_sets(frame)[0].empty:
            raise ValueError("no rows of photos")
    except ValueError as error:  # pandas' own errors are of this kind, too
        why = str(error).splitlines()[0]
        raise UserError(f"{path}: damaged ({why}); write it anew: {cure}") from None
    frame["ratio"] = frame["cci"].between(*CCI_RANGE)
    return frame.reindex(columns=frame.columns.union([*MEASURES], sort=False))


def _manifest(path: Path, cure: str) -> dict:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; make it with: {cure}") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}); write it anew: {cure}") from None


def _pictures(frame: pd.DataFrame) -> list[set[str]]:
    return [set(part["image"]) for part in split_sets(frame)]


def _columns(frame: pd.DataFrame) -> list[str]:
    """The measures that are there; `top1` if every photo has a label, else `agree`."""
    photos, composites = split_sets(frame)
    columns = ["psnr", "ssim", "top1" if photos["top1"].notna().all() else "agree", "cci", "ratio"]
    columns += EXACT if len(composites) else ()
    return columns + ["lpips"] * bool(photos["lpips"].notna().any())


# --- numbers --------------------------------------------------------------------------------------


def _cubes(frame: pd.DataFrame, rows, columns) -> dict[str, pd.DataFrame]:
    """For each measure its values: a line for each (method, run), a column for each image."""
    lines = pd.MultiIndex.from_product([rows, frame["run"].unique()], names=["method", "run"])
    cubes = {}
    for c in columns:
        part = split_sets(frame)[c in EXACT]
        cube = part.pivot(index=["method", "run"], columns="image", values=c)
        cube = cube.reindex(index=lines, columns=part["image"].unique()).astype(float)
        cubes[c] = cube * (100 if c in PERCENT else 1)
    return cubes


def _statistics(cubes: dict[str, pd.DataFrame], pairs, shown: list, least: int) -> dict:
    """Numbers of every (method, measure) and of every pair, a difference: (a, b, measure).

    All are resampled together, photos and composites apart. An image's value is its mean over the
    runs `shown`; a difference is taken within a run first. `told`: the sign of a difference whose
    interval excludes 0 and that has this sign in all runs, at least `least` of them; else 0.
    """
    finite = {c: cube.replace([np.inf, -np.inf], np.nan) for c, cube in cubes.items()}
    parts = {(m, c): x.xs(m) for c, x in finite.items() for m in x.index.unique("method")}
    parts |= {(a, b, c): parts[a, c] - parts[b, c] for a, b, c in pairs}
    images = {key: part.loc[shown].mean() for key, part in parts.items()}
    ends = {}
    for exact in (False, True):
        own = {key: x for key, x in images.items() if (key[-1] in EXACT) == exact}
        if own:
            means = bootstrap_means(np.stack([*own.values()], 1), seed=BOOTSTRAP_SEED)
            ends |= dict(zip(own, interval(means).T, strict=True))
    found = {}
    for key, part in parts.items():
        runs, mean, (low, high) = part.mean(axis=1).dropna(), images[key].mean(), ends[key]
        if len(key) == 3:
            found[key] = _difference(runs, mean, low, high, least)
            continue
        found[key] = {"mean": mean, "low": low, "high": high, "n": int(images[key].notna().sum())}
        found[key]["infinite"] = int(np.isinf(cubes[key[1]].xs(key[0]).loc[shown]).sum().sum())
        if len(part) > 1:
            found[key] |= {"runs": len(runs), "runs_mean": runs.mean(), "runs_sd": runs.std()}
    return found


def _difference(runs: pd.Series, mean: float, low: float, high: float, least: int) -> dict:
    """`runs`: mean difference of each; `seeds_low`, `seeds_high`: 95 % t interval over them."""
    agree, n = int((runs * mean > 0).sum()), len(runs)
    half = t.ppf(0.975, n - 1) * runs.sem() if n > 1 else np.nan
    numbers = {"difference": mean, "difference_low": low, "difference_high": high}
    numbers |= {"seeds": n, "seeds_agree": agree}
    numbers |= {"seeds_low": runs.mean() - half, "seeds_high": runs.mean() + half}
    told = low * high > 0 and n >= least and agree == n
    return numbers | {"told": int(np.sign(mean)) if told else 0}


# --- words ----------------------------------------------------------------------------------------


def _table(names, columns, found, reference, bold, manifest, notes) -> Table:
    """Put numbers and cells together; differences are those to the method `reference`."""
    judge = manifest.get("judge") or "no judge"
    titles = {c: MEASURES[c][0].format(judge=judge) for c in columns}
    cells = pd.DataFrame("", index=[*names], columns=columns)
    numbers = {m: {"method": m} for m in names}
    for m in names:
        for c in columns:
            stats = found[m, c] | found.get((m, reference, c), {}) | {"bold": int((m, c) in bold)}
            numbers[m] |= {f"{c}_{name}": value for name, value in stats.items()}
            cells.loc[m, c] = _cell(stats, MEASURES[c][1])
    cells = cells.rename(index=names, columns=titles)
    marked = frozenset((names[m], titles[c]) for m, c in bold)
    return Table(cells, pd.DataFrame.from_dict(numbers, orient="index"), marked, notes)


def _cell(stats: dict, digits: int) -> str:
    if np.isnan(stats["mean"]):
        return "∞" if stats["infinite"] else ""
    text = "{mean:.{d}f} [{low:.{d}f}, {high:.{d}f}]"
    if not np.isnan(stats.get("difference", np.nan)):
        text = "{mean:.{d}f} ({difference:+.{d}f} [{difference_low:+.{d}f}, "
        text += "{difference_high:+.{d}f}]; {seeds_agree}/{seeds})"
    elif stats.get("runs_sd", 0) > 1e-9:  # nan and untrained rows: no spread over runs
        text += "; runs {runs_mean:.{d}f} ± {runs_sd:.{d}f}"
    return text.format(d=digits, **stats)


def _notes(frame: pd.DataFrame, manifest: dict, seeds: list, meaning: str) -> list[str]:
    """At most five lines: comparable or not, provenance, the cells, chroma errors, skipped."""
    get, notes = manifest.get, []
    photos, composites = (len(images) for images in _pictures(frame))
    if get("profile") != "imagenet":
        notes.append(
            f"Not comparable with the paper. Profile {get('profile')} has other photos, fewer of "
            "them, smaller networks and a shorter training."
        )
    chosen = f" of the list {get('test_list')}" if get("test_list") else ""
    notes.append(
        f"n = {photos} images{chosen}; profile {get('profile')}; "
        f"seed {', '.join(map(str, seeds))}; judge {get('judge') or 'none'}; "
        f"VGG {get('vgg') or 'none'}; commit {get('commit')}."
    )
    notes.append(meaning)
    if composites:
        notes.append(
            f"Chroma errors: n = {composites} composites with exact masks; distance of (a*, b*) to "
            "the real picture in Lab, near the object's edge (boundary) and inside it (salient)."
        )
    if get("skipped"):
        notes.append(f"Pictures skipped: {len(get('skipped'))}. The file .csv has n of each cell.")
    return notes


# --- writing --------------------------------------------------------------------------------------

SYMBOLS = {c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
SYMBOLS |= {"^": r"\textasciicircum{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$"}
SYMBOLS |= {"±": r"$\pm$", "∞": r"$\infty$"}


def _marked(table: Table, css: str) -> pd.io.formats.style.Styler:
    """The cells with `css` on those in bold type."""

    def marks(cells: pd.DataFrame) -> pd.DataFrame:
        rows = [[css if (r, c) in table.bold else "" for c in cells] for r in cells.index]
        return pd.DataFrame(rows, index=cells.index, columns=cells.columns)

    return table.cells.style.apply(marks, axis=None)


def _write(table: Table, folder: Path, name: str, title: str) -> None:
    """The three files appear together, each whole."""
    markdown = table.cells.copy()
    for row, column in table.bold:
        markdown.loc[row, column] = f"**{markdown.loc[row, column]}**"
    markdown = markdown.map(_pipe).rename(index=_pipe, columns=_pipe)
    lines = [f"**{title}**", "", markdown.to_markdown(disable_numparse=True), ""]
    lines += [*(f"- {_pipe(note)}" for note in table.notes), ""]
    body = _marked(table, "textbf: --rwrap").format(_tex)
    body = body.format_index(_tex, axis=0).format_index(_tex, axis=1)
    body = body.to_latex(hrules=True, column_format="l" + "r" * table.cells.shape[1])
    below = "\n\n".join(map(_tex, table.notes))
    with (
        atomic_write(folder / f"{name}.csv") as csv,
        atomic_write(folder / f"{name}.md") as md,
        atomic_write(folder / f"{name}.tex") as latex,
    ):
        table.numbers.to_csv(csv, index=False, float_format="%.6f", lineterminator="\n")
        md.write_text("\n".join(lines), encoding="utf-8")
        latex.write_text(f"% {title}\n{body}\n{{\\footnotesize\n{below}\n}}\n", encoding="utf-8")


def _pipe(text: str) -> str:
    return text.replace("|", "\\|")


def _tex(text: str) -> str:
    return text.translate(str.maketrans(SYMBOLS))
