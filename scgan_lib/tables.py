"""Tables 1 and 2, from files alone: `metrics.csv` (or `ablations.csv`) and `manifest.json`.

The same files give the same bytes. Every number has its interval and its provenance.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
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
    "table2": "Cells: mean over images of the seeds' average (difference from full [95 % paired "
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
    frames = [_read(f / "metrics.csv").assign(run=i) for i, f in enumerate(folders)]
    for folder, frame in zip(folders, frames, strict=True):
        if set(frame["image"]) != set(frames[0]["image"]):
            raise UserError(
                f"{folder / 'metrics.csv'}: other images than in {folders[0] / 'metrics.csv'}; "
                "evaluate all seeds on the same photos"
            )
    manifests = [_read(f / "manifest.json") for f in folders]
    for folder, facts in zip(folders, manifests, strict=True):
        path = folder / "metrics.csv"
        now = hashlib.sha256(path.read_bytes()).hexdigest()
        if facts.get("metrics_sha256", now) != now:
            raise UserError(f"{path}: changed since it was written; make it anew: scgan evaluate")
    manifest = manifests[0] | {"seed": [m.get("seed") for m in manifests]}
    return _make(folders[0], pd.concat(frames), manifest)


def table2(results_dir: Path) -> Table:
    """Table 2, the ablations: table2.csv, .md and .tex from `ablations.csv` and `ablations.json`.

    The first is a metrics.csv with variant and seed instead of method. UserError if a file is
    missing or damaged or `full` is not in it.
    """
    path = Path(results_dir) / "ablations.csv"
    runs = _read(path).sort_values("image", kind="stable")
    if "full" not in set(runs["method"]):
        raise UserError(f"{path}: no rows of the variant 'full'; write it anew: make ablations")
    manifest = _read(path.with_suffix(".json")) | {"seed": sorted(runs["run"].unique())}
    return _make(path.parent, runs, manifest, reference="full")


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
    """Rows of photos and of composites with exact masks."""
    exact = frame["set"] == "composites"
    return frame[~exact], frame[exact]


def _read(path: Path) -> pd.DataFrame | dict:
    """The facts of a .json, or the rows of a .csv by image, set, method and run, shares in percent.

    UserError where the file is missing or damaged.
    """
    cure = "make ablations" if path.stem == "ablations" else "scgan evaluate"
    kinds = dict.fromkeys(MEASURES, float) | dict.fromkeys(("image", "method", "variant"), str)
    try:
        if path.suffix == ".json":
            return json.loads(path.read_text("utf-8")) | {}
        frame = pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=[""])
        frame = frame.rename(columns={"variant": "method", "seed": "run"})
        frame = frame.assign(run=frame.get("run", 0), set=frame.get("set", "photos"))
        keys = ["image", "method", "run", "set"]
        frame = frame[keys].join(frame.reindex(columns=[*MEASURES]))
        if (twice := frame.duplicated(keys)).any():
            raise ValueError(f"two rows of {', '.join(map(str, frame.loc[twice, keys].iloc[0]))}")
        if (empty := frame[[*keys, "psnr", "ssim", "cci"]].isna().any()).any():
            raise ValueError(f"an empty cell in the column {empty.idxmax()!r}")
        if (frame["set"] == "composites").all():
            raise ValueError("no rows of photos")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; make it with: {cure}") from None
    except (TypeError, ValueError, KeyError) as error:  # those of pandas and json
        first = str(error).splitlines()[0]
        raise UserError(f"{path}: damaged ({first}); write it anew: {cure}") from None
    frame["ratio"] = frame["cci"].between(*CCI_RANGE).astype(float)
    frame[["top1", "agree", "ratio"]] *= 100
    return frame


def _make(folder: Path, runs: pd.DataFrame, manifest: dict, reference: str = "") -> Table:
    """Compute Table 1 from all runs, or with a `reference` Table 2, and write it.

    A cell of Table 1 has the first run, then the others; the best method is compared with the next.
    One of Table 2 has the mean of all runs and the difference to `reference`. Photos and composites
    are resampled apart. `top1` if every photo has a label, else `agree`; nothing of what was not
    measured.
    """
    first = ["gray", reference] if reference else ROWS
    rows = [*dict.fromkeys([*first, *(m for m in runs["method"].unique() if m != REAL), REAL])]
    shown, least = (manifest["seed"], 2) if reference else ([0], 1)
    names = {m: NAMES.get(m, m.replace("-", " ") if reference else m) for m in rows}
    kept = ["mean", "low", "high", "n", "infinite"]
    if runs["run"].nunique() > 1:
        kept += ["runs", "runs_mean", "runs_sd"]
    photos, composites = split_sets(runs)
    unused = "agree" if photos["top1"].notna().all() else "top1"
    cells, numbers, differences, bold = {}, [], [], set()
    for measure, (title, digits, better) in MEASURES.items():
        part = composites if measure in EXACT else photos
        if measure == unused or part[measure].isna().all():
            continue
        wide = part.set_index(["run", "image", "method"])[measure].unstack(sort=False)
        wide = wide.reindex(columns=rows)
        means = summary(wide, shown, least)
        compared, rival = _comparison(means["mean"], better, reference)
        apart = summary(wide.sub(wide[rival], axis=0), shown, least).loc[compared]
        told = apart.index[apart["told"] != 0]
        title = title.format(judge=manifest.get("judge") or "no judge")
        bold |= {(names[m], title) for m in told}
        stats = means[kept].assign(bold=means.index.isin(told).astype(int))
        numbers.append(stats.add_prefix(f"{measure}_"))
        if reference:
            apart = apart.rename(columns=DIFFERENCE)[[*DIFFERENCE.values()]]
            differences.append(apart.add_prefix(f"{measure}_"))
            stats = stats.join(apart)
        cells[title] = [_cell(x, digits) for x in stats.to_dict("records")]
    cells = pd.DataFrame(cells, index=[*names.values()])
    numbers = pd.concat([*numbers, *differences], axis=1)
    name = "table2" if reference else "table1"
    table = Table(cells, numbers, bold, _notes(name, manifest, photos, composites))
    _write(table, folder, name)
    return table


def _comparison(means: pd.Series, better: int, reference: str) -> tuple[list[str], str]:
    """Methods to compare, and with which: all with the `reference`, or the best with the next."""
    means = means.drop([*BASELINES]).dropna()
    if reference:
        return [m for m in means.index if m != reference], reference
    best = [*(better * means).nlargest(2).index]
    return (best[:1], best[1]) if better and len(best) == 2 else ([], REAL)


def _cell(stats: dict, digits: int) -> str:
    if np.isnan(stats["mean"]):
        return "∞" if stats["infinite"] else ""
    text = "{mean:.{d}f} [{low:.{d}f}, {high:.{d}f}]"
    if not np.isnan(stats.get("difference", np.nan)):
        text = "{mean:.{d}f} ({difference:+.{d}f} [{difference_low:+.{d}f}, "
        text += "{difference_high:+.{d}f}]; {seeds_agree:.0f}/{seeds:.0f})"
    elif stats.get("runs_sd", 0) > 1e-9:  # nan and untrained rows: no spread over runs
        text += "; runs {runs_mean:.{d}f} ± {runs_sd:.{d}f}"
    return text.format(d=digits, **stats)


def _notes(name: str, manifest: dict, photos: pd.DataFrame, composites: pd.DataFrame) -> list[str]:
    """At most five lines: comparable or not, provenance, the cells, chroma errors, skipped."""
    photos, composites = (part["image"].nunique() for part in (photos, composites))
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
    files = {"csv": table.numbers.to_csv(float_format="%.6f", lineterminator="\n")}
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
