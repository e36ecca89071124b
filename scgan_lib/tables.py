"""Tables 1 and 2, from files alone: `metrics.csv` (or `ablations.csv`) and `manifest.json`.

The same files give the same bytes. Every table carries its spread, its baselines, its provenance
and a plain statement, computed from the numbers, of what may be concluded from it.
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

ROWS = {
    "gray": "gray copy",
    "mean_color": "mean colour",
    "stage1": "stage 1",
    "scgan": "SCGAN",
}
REAL = "real"
BASELINES = ("gray", REAL)  # shown, but no contestants for the bold type
GRAY_BELOW = 1.0  # a real photo with a CCI below this counts as gray
DIRECTIONS = {"psnr": 1, "ssim": 1, "top1": 1, "agree": 1, "boundary_chroma": -1}
DIRECTIONS |= {"salient_chroma": -1, "lpips": -1}  # colourfulness has no better end: never bold
DIGITS = {"psnr": 2, "ssim": 3, "top1": 1, "agree": 1, "cci": 1, "ratio": 1}
DIGITS |= {"boundary_chroma": 2, "salient_chroma": 2, "lpips": 3}
EXACT = ("boundary_chroma", "salient_chroma")  # measured on composites, all else on photos
BOOTSTRAP_SEED = 0
CONCLUDED = "What may be concluded."


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
    UserError if a file is missing or the folders do not hold the same images.
    """
    results_dir = Path(results_dir)
    frame, manifest = _read(results_dir / "metrics.csv"), _manifest(results_dir)
    runs = [frame]
    for folder in map(Path, extra_seeds):
        runs.append(_read(folder / "metrics.csv"))
        if _pictures(runs[-1]) != _pictures(frame):
            raise UserError(
                f"{folder / 'metrics.csv'}: other images than in {results_dir / 'metrics.csv'}; "
                "evaluate all seeds on the same photos"
            )
    present = list(dict.fromkeys(frame["method"]))
    others = [m for m in present if m not in ROWS and m != REAL]
    photos, composites = split_sets(frame)
    columns = ["psnr", "ssim", _judged(photos), "cci", "ratio"]
    columns += EXACT if len(composites) else ()
    columns += ["lpips"] if "lpips" in photos and photos["lpips"].notna().any() else []
    table = _build(frame, runs, [*ROWS, *others, REAL], columns, manifest)
    if extra_seeds:
        seeds = [manifest.get("seed"), *(_manifest(Path(f)).get("seed") for f in extra_seeds)]
        table.notes.append(f"Runs: seeds {', '.join(map(str, seeds))}.")
    _write(table, results_dir, "table1", "Table 1")
    return table


def table2(results_dir: Path) -> Table:
    """Table 2, the ablations, from `ablations.csv` (metrics.csv with variant and seed instead of
    method) and `ablations.json`; written as table2.csv, .md and .tex.

    A row is a variant; its cells give the mean over images of the seeds' average and in brackets
    the difference to `full`: mean, 95 % paired bootstrap interval over images, and in how many
    seeds it has this sign. Bold: the interval excludes 0 and all of at least two seeds agree.
    UserError if a file is missing or `full` is not in it.
    """
    results_dir = Path(results_dir)
    path, cure = results_dir / "ablations.csv", "train the variants: make ablations"
    if not path.is_file():
        raise UserError(f"{path}: no such file; {cure}")
    frame = _read(path, ("variant", "seed", "image"))
    if "full" not in set(frame["variant"]):
        raise UserError(f"{path}: no rows of the variant 'full', with which to compare; {cure}")
    table = _ablations(frame, _manifest(results_dir, "ablations.json"))
    _write(table, results_dir, "table2", "Table 2 (ablations)")
    return table


def table1_html(results_dir: Path, extra_seeds: Sequence[Path] = ()) -> pd.io.formats.style.Styler:
    """Table 1 as a styled notebook cell, notes below; it writes the files as `table1` does."""
    return style(table1(results_dir, extra_seeds))


def style(table: Table) -> pd.io.formats.style.Styler:
    """A table for a notebook: bold cells, right-aligned, the notes as its caption."""

    def marks(cells: pd.DataFrame) -> pd.DataFrame:
        css = [
            ["font-weight: bold" if (r, c) in table.bold else "" for c in cells]
            for r in cells.index
        ]
        return pd.DataFrame(css, index=cells.index, columns=cells.columns)

    notes = "".join(f"<p style='margin: .3em 0'>{html.escape(line)}</p>" for line in table.notes)
    notes = notes.replace(CONCLUDED, f"<strong>{CONCLUDED}</strong>")
    caption = [("caption-side", "bottom"), ("text-align", "left")]
    caption += [("max-width", "min(60em, 88vw)")]  # whole on a phone
    return (
        table.cells.style.apply(marks, axis=None)
        .format(escape="html")
        .format_index(escape="html", axis=0)
        .set_uuid("table")
        .set_caption(notes)
        .set_table_styles([{"selector": "caption", "props": caption}])
    )


# --- reading --------------------------------------------------------------------------------------


def _read(path: Path, keys=("image", "method")) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"{path}: no such file; evaluate first: scgan evaluate")
    frame = pd.read_csv(path, dtype={"image": str, "method": str, "variant": str}, na_values=[""])
    for column in [*keys, "psnr", "ssim", "cci"]:
        if column not in frame:
            raise UserError(f"{path}: no column {column!r}; write it anew: scgan evaluate")
    return frame.assign(ratio=frame["cci"].between(*CCI_RANGE).where(frame["cci"].notna()))


def split_sets(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of photos and of composites with exact masks; all are photos without a column `set`."""
    if "set" not in frame:
        return frame, frame.iloc[:0]
    return frame[frame["set"] != "composites"], frame[frame["set"] == "composites"]


def _pictures(frame: pd.DataFrame) -> set[tuple[str, str]]:
    photos, composites = split_sets(frame)
    return {*(("photos", x) for x in photos["image"]), *(("", x) for x in composites["image"])}


def _manifest(folder: Path, name: str = "manifest.json") -> dict:
    path = folder / name
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; evaluate first: scgan evaluate") from None
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); evaluate again: scgan evaluate") from None


def _judged(frame: pd.DataFrame) -> str:
    """`top1` if every image has a label, else `agree`."""
    return "top1" if "top1" in frame and frame["top1"].notna().all() else "agree"


# --- numbers --------------------------------------------------------------------------------------

Key = tuple[str, str]  # (method, column)


def _images(frame: pd.DataFrame) -> dict[bool, list[str]]:
    """The photos (False) and the composites (True), in the file's order."""
    photos, composites = split_sets(frame)
    return {
        exact: [*dict.fromkeys(x["image"])] for exact, x in ((False, photos), (True, composites))
    }


def _values(frame: pd.DataFrame, methods, columns, images) -> dict[Key, np.ndarray]:
    """One number an image for every cell; percent where it is a share; nan: not measured."""
    values, sets = {}, dict(zip((False, True), split_sets(frame), strict=True))
    for method in methods:
        found = {
            exact: part[part["method"] == method].set_index("image").reindex(images[exact])
            for exact, part in sets.items()
        }
        for column in columns:
            rows = found[column in EXACT]
            x = rows[column].to_numpy(float) if column in rows else np.full(len(rows), np.nan)
            values[method, column] = 100 * x if column in ("ratio", "top1", "agree") else x
    return values


def _mean(x: np.ndarray) -> float:
    x = x[np.isfinite(x)]
    return float(x.mean()) if len(x) else np.nan


def _build(frame, runs, methods, columns, manifest, reference="") -> Table:
    images = _images(frame)
    raw = _values(frame, methods, columns, images)
    values = {k: np.where(np.isinf(x), np.nan, x) for k, x in raw.items()}
    by_run = [_values(run, methods, columns, images) for run in runs]
    mean = {k: _mean(x) for k, x in values.items()}
    contestants = [m for m in methods if m not in BASELINES]

    def ranking(column):
        """Contestants that have the column, best first."""
        measured = [m for m in contestants if not np.isnan(mean[m, column])]
        return sorted(measured, key=lambda m: -DIRECTIONS[column] * mean[m, column])

    quality = [c for c in columns if c in DIRECTIONS]
    finals = {c: tuple(ranking(c)[:2]) for c in quality if len(ranking(c)) > 1}
    # Every difference that the table speaks of, resampled together with the cells themselves.
    pairs = {(a, b, c) for c, (a, b) in finals.items()}
    pairs |= {(m, "gray", c) for m in contestants for c in quality if "gray" in methods}
    pairs |= {(m, REAL, "cci") for m in contestants if REAL in methods}
    pairs |= {(m, reference, c) for m in contestants for c in columns if reference in methods}
    pairs = sorted(pairs)
    difference = {(a, b, c): values[a, c] - values[b, c] for a, b, c in pairs}
    ends = {}
    for exact in (False, True):  # photos and composites are drawn apart
        part = {k: x for k, x in (values | difference).items() if (k[-1] in EXACT) == exact}
        if part:
            means = bootstrap_means(np.stack([*part.values()], 1), seed=BOOTSTRAP_SEED)
            ends |= dict(zip(part, interval(means).T, strict=True))

    def told(a, b, c) -> int:
        """Sign of a - b if its interval excludes 0 and all runs agree with it, else 0."""
        low, high = ends[a, b, c]
        sign = int(low > 0) - int(high < 0)
        signs = [np.sign(_mean(run[a, c] - run[b, c])) for run in by_run]
        return sign if all(s == sign or np.isnan(s) for s in signs) else 0

    bold = {(a, c) for c, (a, b) in finals.items() if told(a, b, c)}
    numbers = pd.DataFrame({"method": methods}, index=methods)
    cells = pd.DataFrame("", index=[ROWS.get(m, m) for m in methods], columns=columns)
    for row, (method, column) in enumerate(raw):
        key, x = (method, column), raw[method, column]
        over_runs = np.array([_mean(run[key]) for run in by_run])
        over_runs = over_runs[~np.isnan(over_runs)]
        stats = {"mean": mean[key], "low": ends[key][0], "high": ends[key][1]}
        stats |= {"n": int(np.isfinite(x).sum()), "infinite": int(np.isinf(x).sum())}
        if len(runs) > 1:
            stats |= {"runs": len(over_runs), "runs_mean": _mean(over_runs)}
            stats["runs_sd"] = over_runs.std(ddof=1) if len(over_runs) > 1 else np.nan
        stats["bold"] = int(key in bold)
        for name, value in stats.items():
            numbers.loc[method, f"{column}_{name}"] = value
        cells.iloc[row // len(columns), row % len(columns)] = _cell(stats, DIGITS[column])
    titles = {c: _title(c, manifest.get("judge", "")) for c in columns}
    named = frozenset((ROWS.get(m, "real photo" if m == REAL else m), titles[c]) for m, c in bold)
    cells = cells.rename(columns=titles, index={REAL: "real photo"})
    notes = _conclusions(methods, mean, ends, finals, quality, told, reference)
    notes += _notes(frame, raw, len(runs), methods, columns, manifest, images)
    return Table(cells, numbers, named, notes)


def _cell(stats: dict, digits: int) -> str:
    if np.isnan(stats["mean"]):
        return "∞" if stats["infinite"] else ""
    text = "{mean:.{d}f} [{low:.{d}f}, {high:.{d}f}]".format(d=digits, **stats)
    if stats.get("runs_sd", 0) > 1e-9:  # nan and untrained rows: no spread over runs
        text += "; runs {runs_mean:.{d}f} ± {runs_sd:.{d}f}".format(d=digits, **stats)
    return text


def _title(column: str, judge: str) -> str:
    judge = judge or "no judge"
    return {
        "psnr": "PSNR (dB) ↑",
        "ssim": "SSIM ↑",
        "top1": f"top-1 ({judge}, %) ↑",
        "agree": f"agreement with real ({judge}, %) ↑",
        "cci": "CCI",
        "ratio": "CCI ratio (share inside 16..20, %)",
        "boundary_chroma": "boundary chroma error ↓",
        "salient_chroma": "salient chroma error ↓",
        "lpips": "LPIPS (AlexNet) ↓",
    }[column]


# --- words ----------------------------------------------------------------------------------------


def _name(method: str) -> str:
    return ROWS.get(method, "real photo" if method == REAL else method)


def _short(column: str) -> str:
    names = {"top1": "top-1", "agree": "agreement", "ratio": "CCI ratio"}
    names |= {"boundary_chroma": "boundary chroma error", "salient_chroma": "salient chroma error"}
    return names.get(column, column.upper())


def _conclusions(methods, mean, ends, finals, quality, told, reference) -> list[str]:
    """What may be concluded, from the intervals alone: the best, against gray, colourfulness."""
    best, against = [], []
    for c, (a, b) in finals.items():
        low, high = sorted(ends[a, b, c])
        span = f"{_name(a)} minus {_name(b)}: {low:.{DIGITS[c]}f} to {high:.{DIGITS[c]}f}"
        verdict = "is best" if told(a, b, c) else f"cannot be told from {_name(b)}"
        if not told(a, b, c) and (low > 0 or high < 0):
            verdict += ", as the runs differ in sign"
        best.append(f"{_short(c)}: {_name(a)} {verdict} ({span}).")
    base = reference if reference in methods else "gray"
    for m in methods:
        if m in BASELINES or m == base or np.isnan(mean[m, "cci"]) or base not in methods:
            continue
        found = {1: [], -1: [], 0: []}
        for c in quality:
            if not np.isnan(ends[m, base, c]).any():
                found[told(m, base, c) * DIRECTIONS[c]].append(_short(c))
        words = {1: "better in", -1: "worse in", 0: "not told apart in"}
        parts = [f"{words[k]} {', '.join(v)}" for k, v in found.items() if v]
        if parts:
            against.append(f"{_name(m)} against {_name(base)}: {'; '.join(parts)}.")
    colour = {1: [], -1: [], 0: []}
    for m in methods:
        if m in BASELINES or (m, REAL, "cci") not in ends or np.isnan(ends[m, REAL, "cci"]).any():
            continue
        colour[told(m, REAL, "cci")].append(f"{_name(m)} ({mean[m, 'cci']:.1f})")
    words = {1: "more", -1: "less", 0: "neither measurably more nor less"}
    real = f"colourful than the real photos (CCI {mean.get((REAL, 'cci'), np.nan):.1f})"
    rest = [f"{words[k]} {real}: {', '.join(v)}." for k, v in colour.items() if v]
    lines = [" ".join(x[0].upper() + x[1:] for x in said) for said in (best, against, rest) if said]
    return [f"{CONCLUDED} {line}" for line in lines[:1]] + lines[1:] or [
        f"{CONCLUDED} Nothing: no method was evaluated."
    ]


def _listed(names, most: int = 20) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _notes(frame, raw, runs, methods, columns, manifest, images) -> list[str]:
    get, photos, composites = manifest.get, images[False], images[True]
    frame, exact = split_sets(frame)
    notes = []
    if get("profile") != "imagenet":
        notes.append(
            f"Profile {get('profile')} is not comparable with the paper: other photos, fewer of "
            "them, smaller networks and a shorter training."
        )
    notes.append(
        f"n = {len(photos)} images; profile {get('profile')}; seed {get('seed')}; judge "
        f"{get('judge') or 'none'}; VGG {get('vgg') or 'none'}; commit {get('commit')}."
    )
    several = "; after 'runs': mean ± standard deviation of the runs' means" if runs > 1 else ""
    notes.append(
        "Cells: mean over images [95 % paired bootstrap interval over images, 10,000 resamples, "
        f"seed {BOOTSTRAP_SEED}]{several}. Bold: the difference to the next best method excludes 0"
        + (" and has one sign in all runs" if runs > 1 else "")
        + "; gray copy and real photo do not compete. ∞: identical to the real photo. CCI and CCI "
        "ratio have no better end: read them against the real photos, of which few are in 16..20."
    )
    if get("protocol"):
        notes.append(f"Protocol. {get('protocol')}")
    real = frame[frame["method"] == REAL]
    gray = real.loc[real["cci"] < GRAY_BELOW, "image"]
    what = f"Gray photos in the test set (real CCI below {GRAY_BELOW:g}): {len(gray)}"
    notes.append(what + (f" ({_listed(gray)})." if len(gray) else "."))
    for method in methods:
        infinite = int(np.isinf(raw[method, "psnr"]).sum())
        if infinite and method != REAL:
            notes.append(
                f"{_name(method)}: {infinite} pictures are identical to the real photo; their "
                "infinite PSNR is left out of mean and interval."
            )
        count = int((frame["method"] == method).sum())
        if 0 < count < len(photos) and "seed" not in frame:
            notes.append(f"{_name(method)}: only {count} of {len(photos)} images were scored.")
    if composites:
        notes.append(
            f"Chroma errors: n = {len(composites)} composites, test cut-outs on test photos, whose "
            "exact alpha is the mask; all other columns are of photos. Distance of (a*, b*) to the "
            "real picture in Lab, lightness left out, in a band of 3 pixels on each side of the "
            "object's edge (boundary) and inside the object (salient)."
        )
        few = {_name(m): int((exact["method"] == m).sum()) for m in methods}
        few = [f"{m} {n}" for m, n in few.items() if 0 < n < len(composites)]
        if few:
            notes.append(f"Composites scored: {', '.join(few)} of {len(composites)}.")
    if get("test_list"):
        notes.append(f"The photos are those of the list {get('test_list')}.")
    notes += _blanks(frame, raw, methods, columns, manifest)
    skipped = [f"{s['method']}/{s['image']}: {s['reason']}" for s in get("skipped", [])]
    if skipped:
        notes.append(f"Skipped pictures: {len(skipped)} ({_listed(skipped)}).")
    return notes


def _blanks(frame, raw, methods, columns, manifest) -> list[str]:
    """Why cells are blank."""
    scored = set(frame["method"])
    absent = [_name(m) for m in methods if m not in scored]
    notes = []
    if absent:
        notes.append(f"Blank rows: no pictures of {_listed(absent)} were scored.")
    for c in columns:
        blank = [m for m in methods if m in scored and np.isnan(raw[m, c]).all()]
        if blank and c in ("top1", "agree"):
            why = "the judge was not run" if manifest.get("judge") else "there was no judge"
        else:
            why = "no composites of it" if c in EXACT else "not measured"
        if blank:
            notes.append(f"Blank {_short(c)} of {_listed(map(_name, blank))}: {why}.")
    labelled = frame["top1"].notna().sum() if "top1" in frame else 0
    if "agree" in columns:
        why = "only some photos have" if labelled else "no photo has"
        notes.append(
            f"Agreement, the judge's answer on the real photo, replaces top-1: {why} a label."
        )
    if "not_measured" not in manifest:
        notes.append("LPIPS and FID are not measured: their weights do not come with the project.")
    for name, why in manifest.get("not_measured", {}).items():
        notes.append(f"{name.upper()} is not measured: {why}.")
    fid = [f"{_name(m)} {x:.1f}" for m, x in manifest.get("fid", {}).items() if m in methods]
    if fid:
        notes.append(
            f"FID to the real photos, {frame['image'].nunique()} of them, which is comparable "
            f"between equal numbers only: {', '.join(fid)}."
        )
    return notes


# --- Table 2 --------------------------------------------------------------------------------------


def _ablations(frame: pd.DataFrame, manifest: dict) -> Table:
    present = [*dict.fromkeys(frame["variant"])]
    variants = ["full", *(v for v in present if v not in ("full", *BASELINES))]
    rows = ["gray"] * ("gray" in present) + variants + [REAL] * (REAL in present)
    photos, composites = split_sets(frame)
    columns = ["psnr", "ssim", _judged(photos), "cci", "ratio", "boundary_chroma", "salient_chroma"]
    names = [_variant(v) for v in rows]
    cells = pd.DataFrame("", names, columns)
    records: dict[str, dict] = {v: {"method": v} for v in rows}
    titles = {c: _title(c, manifest.get("judge", "")) for c in columns}
    told: dict[Key, int] = {}
    luck: set[Key] = set()
    beyond: set[Key] = set()
    for c in columns:
        source = composites if c.endswith("_chroma") else photos
        found = _compare(source, rows, c)
        for v, stats in found.items():
            records[v] |= {f"{c}_{name}": value for name, value in stats.items()}
            cells.loc[_variant(v), c] = _ablation_cell(stats, DIGITS[c], v in variants[1:])
            if v in variants[1:]:
                told[v, c] = int(stats["told"])
                luck |= {(v, c)} if stats["luck"] else set()
                beyond |= {(v, c)} if stats["beyond_seeds"] else set()
    numbers = pd.DataFrame.from_dict(records, orient="index")
    bold = frozenset((_variant(v), titles[c]) for (v, c), sign in told.items() if sign)
    seeds = frame["seed"].nunique()
    notes = [_ablation_words(variants[1:], columns, numbers, told, luck)]
    notes += _luck_words(told, beyond, frame.groupby("variant")["seed"].nunique(), seeds)
    notes += _ablation_notes(frame, photos, composites, numbers, variants, columns, manifest)
    return Table(cells.rename(columns=titles), numbers, bold, notes)


def _variant(name: str) -> str:
    """A variant's name in words."""
    return {"gray": "gray copy", REAL: "real photo", "no-stage1": "no stage 1"}.get(
        name, name.replace("-", " ")
    )


def _compare(frame: pd.DataFrame, rows: Sequence[str], column: str) -> dict[str, dict]:
    """For each variant the mean of a column and its difference to `full`; {} if not measured.

    Images are resampled together for all variants; an image's value is the average over seeds, a
    difference is taken within a seed first. `seeds_low`, `seeds_high`: the 95 % t interval of the
    seeds' mean differences, which asks whether another seed would show it as well.
    """
    raw = frame[column].astype(float) if column in frame else pd.Series(dtype=float)
    values = raw.replace(np.inf, np.nan) * (100 if column in ("ratio", "top1", "agree") else 1)
    if values.isna().all():
        return {}
    cube = values.groupby([frame["variant"], frame["seed"], frame["image"]]).mean().unstack()
    rows = [v for v in rows if v in cube.index.get_level_values(0)]  # cube: (variant, seed) x image
    difference = {v: cube.loc[v] - cube.loc["full"] for v in rows if v not in ("full", *BASELINES)}
    by_image = {v: cube.loc[v].mean() for v in rows} | {
        (v, "full"): d.mean() for v, d in difference.items()
    }
    resampled = bootstrap_means(np.stack([*by_image.values()], 1), seed=BOOTSTRAP_SEED)
    ends = dict(zip(by_image, interval(resampled).T, strict=True))
    found = {}
    for v in rows:
        runs = cube.loc[v].mean(axis=1).dropna()
        stats = {"mean": by_image[v].mean(), "low": ends[v][0], "high": ends[v][1]}
        stats |= {"n": int(by_image[v].notna().sum()), "runs": len(runs), "runs_mean": runs.mean()}
        stats["runs_sd"] = runs.std() if len(runs) > 1 else np.nan
        stats["infinite"] = int(np.isinf(raw[frame["variant"] == v]).sum())
        if v in difference:
            stats |= _difference(difference[v], *ends[v, "full"])
        found[v] = stats
    return found


def _difference(by_seed: pd.DataFrame, low: float, high: float) -> dict:
    """Statistics of a difference to `full`, (seed, image), with its interval over images."""
    means = by_seed.mean(axis=1).dropna()
    mean, n = by_seed.mean().mean(), len(means)
    agree = int((np.sign(means) == np.sign(mean)).sum()) if mean else 0
    half = t.ppf(0.975, n - 1) * means.std() / np.sqrt(n) if n > 1 else np.nan
    apart = bool(low > 0 or high < 0)
    together = n > 1 and agree == n
    return {
        "difference": mean,
        "difference_low": low,
        "difference_high": high,
        "seeds": n,
        "seeds_agree": agree,
        "seeds_low": means.mean() - half,
        "seeds_high": means.mean() + half,
        "told": int(np.sign(mean)) * int(apart and together),
        "luck": int(apart and not together),
        "beyond_seeds": int(apart and together and abs(means.mean()) > half),
    }


def _ablation_cell(stats: dict, d: int, against: bool) -> str:
    if against and not np.isnan(stats["difference"]):
        form = "{mean:.{d}f} ({difference:+.{d}f} [{difference_low:+.{d}f}, "
        form += "{difference_high:+.{d}f}]; {seeds_agree}/{seeds})"
        return form.format(d=d, **stats)
    return _cell(stats, d)


def _ablation_words(variants, columns, numbers, told, luck) -> str:
    """For each variant what changed for better or worse, and what is luck."""
    said = []
    for v in variants:
        found: dict[str, list[str]] = {}
        for c in columns:
            if (v, c) not in told or np.isnan(numbers.loc[v, f"{c}_difference"]):
                continue
            sign = told[v, c] * DIRECTIONS.get(c, 1)
            words = {1: "better in", -1: "worse in"} if c in DIRECTIONS else {1: "more", -1: "less"}
            kind = "not told apart in"
            if (v, c) in luck:
                single = numbers.loc[v, f"{c}_seeds"] == 1
                kind = "in its only seed different in" if single else "luck of the seed in"
            kind = words.get(sign, kind)
            found.setdefault(kind, []).append(_short(c))
        last = ("luck of the seed in", "in its only seed different in", "not told apart in")
        order = ("better in", "worse in", "more", "less", *last)
        parts = [f"{k} {', '.join(found[k])}" for k in order if k in found]
        if parts:
            text = f"{_variant(v)} against full: {'; '.join(parts)}."
            said.append(text[0].upper() + text[1:])
    return f"{CONCLUDED} " + (" ".join(said) or "Nothing: there is only `full`.")


def _luck_words(told, beyond, trained, seeds: int) -> list[str]:
    """How much the agreement of so few seeds is worth; `trained`: seeds of each variant."""
    count, tells = len(told), sum(map(bool, told.values()))
    if not count:
        return []
    if seeds < 2:
        return ["One seed: whether a difference comes from the variant or the seed is not known."]
    chance = {v: 2.0 ** (1 - trained[v]) for v, _ in told}
    fewer = {v: p for v, p in chance.items() if trained[v] < seeds}
    fewer = [f"; {trained[v]} of {_variant(v)} in {100 * p:.0f} %" for v, p in fewer.items()]
    listed = [f"{_variant(v)} in {_short(c)}" for v, c in told if (v, c) in beyond] or ["none"]
    return [
        f"How far {seeds} seeds reach. A difference that is luck alone has one sign in all of them "
        f"in {100 * 2.0 ** (1 - seeds):.0f} % of cases{''.join(fewer)}. That is up to "
        f"{sum(chance[v] for v, _ in told):.1f} of these {count} comparisons; {tells} are told. "
        "Of those, larger than the seeds' own spread (95 % t interval over seeds): "
        f"{_listed(listed)}."
    ]


def _ablation_notes(frame, photos, composites, numbers, variants, columns, manifest) -> list[str]:
    get, notes = manifest.get, []
    budget, seeds = get("budget", {}), sorted(frame["seed"].unique())
    if get("profile") != "imagenet":
        notes.append(
            f"Profile {get('profile')} is not comparable with the paper: other photos, fewer of "
            "them, smaller networks and a shorter training, and here shorter than for Table 1."
        )
    if budget:
        notes.append(
            "Every variant: {stage1_steps} + {stage2_steps} generator updates of {batch} pictures; "
            "no stage 1: all of them in stage 2, at its learning rate, which costs more "
            "computing.".format(**budget)
        )
    exact = composites["image"].nunique()
    notes.append(
        f"n = {photos['image'].nunique()} photos, and {exact} composites with exact masks for the "
        f"chroma errors; profile {get('profile')}; seeds {', '.join(map(str, seeds))}; judge "
        f"{get('judge') or 'none'}; VGG {get('vgg') or 'none'}; commit {get('commit')}."
    )
    notes.append(
        "Cells: mean over images of the seeds' average (difference to full [95 % paired bootstrap "
        f"interval over images, 10,000 resamples, seed {BOOTSTRAP_SEED}]; in how many seeds the "
        "difference has this sign). full, gray copy: [interval of the mean]; runs: mean ± standard "
        "deviation of the seeds' means. Bold: the interval excludes 0 and all seeds agree. Luck of "
        "the seed: the interval excludes 0, but the seeds do not agree."
    )
    if get("protocol"):
        notes.append(f"Protocol. {get('protocol')}")
    absent = [v for v in get("variants", {}) if v not in variants]
    if absent:
        notes.append(f"Not trained, so no row: {_listed(map(_variant, absent))}.")
    few = [v for v in variants if frame.loc[frame["variant"] == v, "seed"].nunique() < len(seeds)]
    if few:
        notes.append(f"Not all seeds were trained: {_listed(map(_variant, few))}.")
    for c in columns:
        if f"{c}_mean" not in numbers:
            why = "no masks of objects" if c.endswith("_chroma") else "not measured"
            notes.append(f"Blank {_short(c)}: {why}.")
    return notes


# --- writing --------------------------------------------------------------------------------------


def _write(table: Table, folder: Path, name: str, title: str) -> None:
    """The three files appear together, each whole."""
    marked = {
        mark: table.cells.apply(
            lambda column, mark=mark: [
                _mark(text, mark, (row, column.name) in table.bold) for row, text in column.items()
            ]
        )
        for mark in ("md", "tex")
    }
    tex = marked["tex"].rename(index=_tex, columns=_tex)
    markdown = marked["md"].rename(index=_pipe, columns=_pipe).to_markdown(disable_numparse=True)
    notes = [f"- {_pipe(line)}" for line in table.notes]
    body = tex.style.to_latex(hrules=True, column_format="l" + "r" * tex.shape[1])
    below = "\n\n".join(map(_tex, table.notes))
    with (
        atomic_write(folder / f"{name}.csv") as csv,
        atomic_write(folder / f"{name}.md") as md,
        atomic_write(folder / f"{name}.tex") as latex,
    ):
        table.numbers.to_csv(csv, index=False, float_format="%.6f", lineterminator="\n")
        lines = [f"**{title}**", "", markdown, "", *notes, ""]
        md.write_text("\n".join(lines), encoding="utf-8")
        latex.write_text(f"% {title}\n{body}\n{{\\footnotesize\n{below}\n}}\n", encoding="utf-8")


def _mark(text: str, kind: str, bold: bool) -> str:
    text = _tex(text) if kind == "tex" else _pipe(text)
    return text if not bold else f"\\textbf{{{text}}}" if kind == "tex" else f"**{text}**"


def _pipe(text: str) -> str:
    return text.replace("|", "\\|")


TEX = {c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
TEX |= {"^": r"\textasciicircum{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$"}
TEX |= {"∞": r"$\infty$", "−": "-"}


def _tex(text: str) -> str:
    return "".join(TEX.get(c, c) for c in text)
