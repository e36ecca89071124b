"""The paper in tables: its equations, and where paper, released code and this project differ.

The rows are in `paper.yaml`. Sources: a published review of the paper (its numbering) and the
authors' public repository (MIT).
"""

import re
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import yaml
from pandas.io.formats.style import Styler


@dataclass(frozen=True)
class Equation:
    """One equation: title, LaTeX, and the functions that compute it, as dotted paths."""

    title: str
    latex: str
    functions: tuple[str, ...]


@dataclass(frozen=True)
class Deviation:
    """One place where paper, released code and this project differ; the fields: `paper.yaml`."""

    id: str
    chapter: str
    topic: str
    paper: str
    released: str
    ours: str
    switch: str
    test: str


_ROWS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
EQUATIONS: dict[int, Equation] = {
    row["number"]: Equation(row["title"], row["latex"], tuple(row["functions"]))
    for row in _ROWS["equations"]
}
DEVIATIONS: tuple[Deviation, ...] = tuple(Deviation(**row) for row in _ROWS["deviations"])


def deviations_table(*names: str) -> pd.DataFrame:
    """The rows of chapters ("02" or "02_generator") or with these ids, indexed by id; else all.

    KeyError names what does not exist.
    """
    frame = pd.DataFrame([asdict(row) for row in DEVIATIONS]).set_index("id", drop=False)
    chosen = [] if names else [*frame.id]
    for name in names:
        found = frame.id[(frame.chapter == name[:2]) | (frame.id == name)]
        if found.empty:
            raise KeyError(f"no deviation or chapter of this name: {name}")
        chosen += [*found]
    return frame.loc[list(dict.fromkeys(chosen))].drop(columns=["id", "chapter"])


def show_deviations(*names: str) -> Styler:
    """`deviations_table` for a page: no tests, no empty `switch`, backticks as code."""
    frame = deviations_table(*names)
    columns = ["topic", "paper", "released", "ours"] + ["switch"] * bool(frame.switch.any())
    return (
        frame[columns]
        .style.format(lambda text: re.sub(r"`(.+?)`", r"<code>\1</code>", text))
        .set_uuid("deviations")
        .hide(axis="index")
        .set_properties(**{"text-align": "left", "vertical-align": "top", "white-space": "normal"})
    )
