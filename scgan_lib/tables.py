"""Tables 1 and 2, from files alone: `metrics.csv` (or `ablations.csv`) and `manifest.json`.

The same files give the same bytes. Every number has its interval and its provenance.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from operator import methodcaller
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from scgan_lib.metrics import CCI_RANGE
from scgan_lib.paths import ROOT, UserError, atomic_write
from scgan_lib.statistics import summary

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
}
EXACT = ("boundary_chroma", "salient_chroma")  # measured on composites, all else on photos
ROWS = {"gray": "gray copy", "mean_color": "mean colour", "stage1": "stage 1", "scgan": "SCGAN"}
REAL = "real"
BASELINES = ("gray", REAL)  # shown, but no contestants for the bold type
NAMES = ROWS | {REAL: "real photo", "no-stage1": "no stage 1"}
TITLES = {"table1": "Table 1", "table2": "Table 2 (ablations)"}
MEANING = {  # what the cells hold
    "table1": "Cells: mean over images [95 % paired bootstrap interval over images]; behind it, "
    "where there are several runs, mean ± standard deviation of the runs' means. Bold: better than "
    "the next method by a paired difference that excludes 0 and has one sign in all runs; gray "
    "copy and real photo do not compete. ∞: identical to the real photo.",
    "table2": "Cells: mean over images of the seeds' average (difference to full [95 % paired "
    "bootstrap interval over images]; in how many seeds it has this sign). Without a difference: "
    "[interval of the mean]; runs: mean ± standard deviation of the seeds' means. Bold: the "
    "interval of the difference excludes 0 and all of at least two seeds agree.",
}
# Numbers of a difference, as `summary` calls them -> as table2.csv does.
DIFFERENCE = {"mean": "difference", "low": "difference_low", "high": "difference_high"}
DIFFERENCE |= {"runs": "seeds", "agree": "seeds_agree"}
DIFFERENCE |= {"runs_low": "seeds_low", "runs_high": "seeds_high", "told": "told"}
LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
LATEX |= {"^": r"\textasciicircum{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$"}
LATEX |= {"±": r"$\pm$", "∞": r"$\infty$"}
MARKDOWN, HTML = {"|": r"\|"}, {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Table(NamedTuple):
    """What is printed: `cells` (text), `numbers` (a row a method), `bold` cells, lines below."""

    cells: pd.DataFrame
    numbers: pd.DataFrame
    bold: set[tuple[str, str]]
    notes: list[str]


def table1(results_dir: Path, extra_seeds: Sequence[Path] = ()) -> Table:
    """Table 1 of `results_dir`, written there as table1.csv, table1.md and table1.tex.

    `extra_seeds`: results folders of other runs over the same images. UserError if a file is
    missing or damaged or the folders do not hold the same images.
    """
    folders = [Path(results_dir), *map(Path, extra_seeds)]
    frames = [_read(f / "metrics.csv") for f in folders]
    pictures = [set(zip(frame["image"], frame["set"], strict=True)) for frame in frames]
    for folder, found in zip(folders, pictures, strict=True):
        if found != pictures[0]:
            raise UserError(
                f"{folder / 'metrics.csv'}: other images than in {folders[0] / 'metrics.csv'}; "
                "evaluate all seeds on the same photos"
            )
    manifests = [_read(f / "manifest.json") for f in folders]

    def best_and_next(measure: str, values: pd.DataFrame) -> dict[str, str]:
        means = values.loc[0].replace(np.inf, np.nan).mean().drop([*BASELINES]).dropna()
        best = (MEASURES[measure][2] * means).nlargest(2).index
        return {best[0]: best[1]} if MEASURES[measure][2] and len(best) == 2 else {}

    others = [m for m in frames[0]["method"].unique() if m != REAL]
    rows = [*dict.fromkeys([*ROWS, *others, REAL])]
    runs = pd.concat([frame.assign(run=i) for i, frame in enumerate(frames)])
    manifest = manifests[0] | {"seed": [m.get("seed") for m in manifests]}
    return _make("table1", folders[0], runs, rows, best_and_next, manifest)


def table2(results_dir: Path) -> Table:
    """Table 2, the ablations: table2.csv, .md and .tex from `ablations.csv` and `ablations.json`.

    The first is a metrics.csv with variant and seed instead of method. UserError if a file is
    missing or damaged or `full` is not in it.
    """
    path = Path(results_dir) / "ablations.csv"
    frame = _read(path)
    if "full" not in set(frame["variant"]):
        raise UserError(f"{path}: no rows of the variant 'full'; write it anew: make ablations")
    present = frame["variant"].unique()
    variants = [v for v in present if v not in ("full", *BASELINES)]
    rows = [v for v in ("gray", "full", *variants, REAL) if v in present]
    runs = frame.rename(columns={"variant": "method", "seed": "run"}).sort_values("image")
    manifest = _read(path.with_suffix(".json")) | {"seed": sorted(frame["seed"].unique())}
    against_full = dict.fromkeys(variants, "full")
    return _make("table2", path.parent, runs, rows, lambda *_: against_full, manifest)


def table1_html(results_dir: Path, extra_seeds: Sequence[Path] = ()) -> pd.io.formats.style.Styler:
    """Table 1 as a styled notebook cell, notes below; it writes the files as `table1` does."""
    return style(table1(results_dir, extra_seeds))


def style(table: Table) -> pd.io.formats.style.Styler:
    """A table for a notebook: bold cells, right-aligned, the notes as its caption."""
    cells, notes = _marked(table, "<b>{}</b>", HTML)
    caption = "".join(f"<p style='margin: .3em 0'>{note}</p>" for note in notes)
    below = "caption-side: bottom; text-align: left; max-width: min(60em, 88vw)"  # whole on a phone
    styles = [{"selector": "caption", "props": below}]
    return cells.style.set_uuid("table").set_caption(caption).set_table_styles(styles)


def measured(name: str) -> dict:
    """Of colour photographs, from `results/tiny/<name>.json`: n, and measure -> [mean, ±]."""
    return json.loads((ROOT / f"results/tiny/{name}.json").read_text("utf-8"))["colour"]


def intervals(rows: dict[str, tuple[dict, str]], **more: tuple[str, int]) -> pd.DataFrame:
    """Name of a row -> (`measured`, ending of its keys), as cells "mean ± half the 95 % interval".

    `more`: measure -> (title, digits), for columns besides PSNR, SSIM and CCI.
    """
    heads = {"psnr": ("PSNR (dB)", 2), "ssim": ("SSIM", 4), "cci": ("CCI", 1)} | more
    cells = {name: {
        title: "{:.{d}f} ± {:.{d}f}".format(*numbers[key + end], d=digits)
        for key, (title, digits) in heads.items() if key + end in numbers
    } for name, (numbers, end) in rows.items()}  # fmt: skip
    cells["gray copy"]["CCI"] = "0"
    return pd.DataFrame(cells).T.fillna("")[[title for title, _ in heads.values()]]


def split_sets(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of photos and of composites with exact masks; all are photos without a column `set`."""
    exact = frame["set"] == "composites" if "set" in frame else pd.Series(False, frame.index)
    return frame[~exact], frame[exact]


def _read(path: Path) -> pd.DataFrame | dict:
    """The rows of a .csv or the facts of a .json; UserError where it is missing or damaged."""
    cure = "make ablations" if path.stem == "ablations" else "scgan evaluate"
    try:
        return json.loads(path.read_text("utf-8")) | {} if path.suffix == ".json" else _rows(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; make it with: {cure}") from None
    except (TypeError, ValueError, KeyError) as error:  # those of pandas and json
        first = str(error).splitlines()[0]
        raise UserError(f"{path}: damaged ({first}); write it anew: {cure}") from None


def _rows(path: Path) -> pd.DataFrame:
    """All measures as numbers; ValueError or KeyError where rows are incomplete or repeated."""
    keys = ["image", *(["variant", "seed"] if path.stem == "ablations" else ["method"])]
    kinds = {"image": str, "method": str, "variant": str, "seed": int}
    kinds |= dict.fromkeys(MEASURES, float)
    frame = pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=[""])
    if (empty := frame[[*keys, "psnr", "ssim", "cci"]].isna().any()).any():
        raise ValueError(f"an empty cell in the column {empty.idxmax()!r}")
    frame = frame.reindex(columns=frame.columns.union([*MEASURES], sort=False))
    frame["set"] = frame.get("set", "photos")
    if (twice := frame.duplicated([*keys, "set"])).any():
        raise ValueError(f"two rows of {', '.join(map(str, frame.loc[twice, keys].iloc[0]))}")
    if split_sets(frame)[0].empty:
        raise ValueError("no rows of photos")
    frame["ratio"] = frame["cci"].between(*CCI_RANGE).astype(float)
    frame[["top1", "agree", "ratio"]] *= 100  # shares become percent
    return frame


def _make(
    name: str, folder: Path, runs: pd.DataFrame, rows: list[str],
    rivals: Callable[[str, pd.DataFrame], dict[str, str]], manifest: dict,
) -> Table:  # fmt: skip
    """Compute the table of the methods `rows` from all runs, and write it; see `_statistics`."""
    # Table 1 shows its first run, and the others behind it; Table 2 the mean of all seeds.
    shown, least = ([0], 1) if name == "table1" else (manifest["seed"], 2)
    means, apart = _statistics(runs, rows, rivals, shown, least)
    titles = {c: MEASURES[c][0].format(judge=manifest.get("judge") or "no judge") for c, _ in means}
    names = {m: NAMES.get(m, m.replace("-", " ") if name == "table2" else m) for m in rows}
    kept = ["mean", "low", "high", "n", "infinite"]
    if max(x["runs"] for x in means.values()) > 1:
        kept += ["runs", "runs_mean", "runs_sd"]
    bold = {(names[m], titles[c]) for (c, m), x in apart.items() if x["told"]}
    numbers = {m: {"method": m} for m in rows}
    cells = pd.DataFrame("", index=[*names.values()], columns=[*titles.values()])
    for (c, m), found in means.items():
        stats = {k: found[k] for k in kept}
        if name == "table2" and (c, m) in apart:
            stats |= {word: apart[c, m][k] for k, word in DIFFERENCE.items()}
        stats["bold"] = int((names[m], titles[c]) in bold)
        numbers[m] |= {f"{c}_{word}": value for word, value in stats.items()}
        cells.loc[names[m], titles[c]] = _cell(stats, MEASURES[c][1])
    numbers = pd.DataFrame.from_dict(numbers, orient="index")
    table = Table(cells, numbers, bold, _notes(name, manifest, runs))
    _write(table, folder, name)
    return table


def _statistics(
    runs: pd.DataFrame, rows: list[str], rivals: Callable, shown: list, least: int
) -> tuple[dict, dict]:
    """(measure, method) -> its numbers, and those of its difference to its rival; see `summary`.

    rivals(measure, its values): method -> the one that it is compared with, within each run.
    Photos and composites are resampled apart. `top1` if every photo has a label, else `agree`;
    nothing of what was not measured.
    """
    photos, composites = split_sets(runs)
    unused = "agree" if photos["top1"].notna().all() else "top1"
    means, apart = {}, {}
    for part, kind in ((photos, MEASURES.keys() - EXACT - {unused}), (composites, {*EXACT})):
        own = [c for c in MEASURES if c in kind and part[c].notna().any()]
        if not own:
            continue
        wide = part.set_index(["run", "image", "method"])[own].unstack("method", sort=False)
        wide = wide.reindex(columns=pd.MultiIndex.from_product([own, rows]))
        means |= summary(wide, shown, least).to_dict("index")
        pairs = [(c, *pair) for c in own for pair in rivals(c, wide[c]).items()]
        if minus := {(c, a): wide[c, a] - wide[c, b] for c, a, b in pairs}:
            apart |= summary(pd.DataFrame(minus), shown, least).to_dict("index")
    return means, apart


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


def _notes(name: str, manifest: dict, frame: pd.DataFrame) -> list[str]:
    """At most five lines: comparable or not, provenance, the cells, chroma errors, skipped."""
    photos, composites = (part["image"].nunique() for part in split_sets(frame))
    get, skipped = manifest.get, len(manifest.get("skipped") or ())
    chosen = f" of the list {get('test_list')}" if get("test_list") else ""
    notes = {
        f"Not comparable with the paper. Profile {get('profile')} has other photos, fewer of them, "
        "smaller networks and a shorter training.": get("profile") != "imagenet",
        f"n = {photos} images{chosen}; profile {get('profile')}; "
        f"seed {', '.join(map(str, get('seed')))}; judge {get('judge') or 'none'}; "
        f"VGG {get('vgg') or 'none'}; commit {get('commit')}.": True,
        MEANING[name]: True,
        f"Chroma errors: n = {composites} composites with exact masks; distance of (a*, b*) to "
        "the real picture in Lab, near the object's edge (boundary) and inside it "
        "(salient).": composites,
        f"Pictures skipped: {skipped}. The file .csv has n of each cell.": skipped,
    }
    return [note for note, wanted in notes.items() if wanted]


def _write(table: Table, folder: Path, name: str) -> None:
    """The three files, each whole or not at all."""
    files = {"csv": table.numbers.to_csv(index=False, float_format="%.6f", lineterminator="\n")}
    cells, notes = _marked(table, "**{}**", MARKDOWN)
    lines = [f"**{TITLES[name]}**", "", cells.to_markdown(disable_numparse=True), ""]
    files["md"] = "\n".join([*lines, *(f"- {note}" for note in notes), ""])
    cells, notes = _marked(table, r"\textbf{{{}}}", LATEX)
    body = cells.style.to_latex(hrules=True, column_format="l" + "r" * len(cells.columns))
    below = "\n\n".join(notes)
    files["tex"] = f"% {TITLES[name]}\n{body}\n{{\\footnotesize\n{below}\n}}\n"
    for kind, text in files.items():
        with atomic_write(folder / f"{name}.{kind}") as part:
            part.write_text(text, encoding="utf-8")


def _marked(table: Table, bold: str, symbols: dict[str, str]) -> tuple[pd.DataFrame, list[str]]:
    """Cells and notes in a markup: its `symbols` written out, bold cells put into `bold`."""
    escape = methodcaller("translate", str.maketrans(symbols))
    cells = table.cells.map(escape)
    for place in table.bold:
        cells.loc[place] = bold.format(cells.loc[place])
    return cells.rename(index=escape, columns=escape), [*map(escape, table.notes)]
