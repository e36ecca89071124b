"""The paper in tables: its equations, and where paper, released code and this project differ.

The rows and what their fields mean are in `paper.yaml`. Sources: a published review of the paper
(its numbering) and the authors' public repository (MIT).
"""

import re
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import yaml
from pandas.io.formats.style import Styler

_ROWS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
EQUATIONS = {number: SimpleNamespace(**row) for number, row in _ROWS["equations"].items()}
DEVIATIONS = [SimpleNamespace(**row) for row in _ROWS["deviations"]]


def deviations_table(*names: str) -> pd.DataFrame:
    """The rows of chapters ("02" or "02_generator") or with these ids, indexed by id; else all."""
    frame = pd.DataFrame(_ROWS["deviations"]).set_index("id")
    ids = [i for n in names for i in [*frame.index[frame["chapter"] == n[:2]]] or [n]]
    chosen = frame.loc[[*dict.fromkeys(ids)]] if names else frame  # KeyError names an unknown one
    return chosen.drop(columns="chapter")


def show_deviations(*names: str) -> Styler:
    """`deviations_table` for a page: no tests, no empty `switch`, backticks as code."""
    frame = deviations_table(*names)
    columns = ["topic", "paper", "released", "ours"] + ["switch"] * bool(frame.switch.any())
    page = frame[columns].style.format(lambda text: re.sub(r"`(.+?)`", r"<code>\1</code>", text))
    style = {"text-align": "left", "vertical-align": "top", "white-space": "normal"}
    return page.set_uuid("deviations").hide(axis="index").set_properties(**style)
