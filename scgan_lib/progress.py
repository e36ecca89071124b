"""One progress bar for notebooks, terminals and logs."""

import os
import sys
from collections.abc import Iterable

from tqdm.auto import tqdm as live_bar
from tqdm.std import tqdm

MARK = "… "  # a log line that starts so is progress: shown while it runs, not kept in the chapter


class _Lines:
    """A stream for tqdm that turns each redraw (carriage return) into one marked line."""

    def write(self, text: str) -> None:
        if text := text.strip("\r\n "):
            print(MARK + text, file=sys.stderr, flush=True)


def progress(iterable: Iterable | None = None, every: float = 30.0, **options) -> tqdm:
    """Iterate with a progress bar; `options` (total, desc, unit ...) and methods are tqdm's.

    A bar where somebody looks (notebook, terminal). Without a reader, as in a headless chapter
    (`SCGAN_HEADLESS=1`) or a log file, one plain line every `every` seconds: done, rate, time left.
    """
    headless = os.environ.get("SCGAN_HEADLESS") == "1"
    if not headless and ("ipykernel" in sys.modules or sys.stderr.isatty()):
        return live_bar(iterable, **options)
    plain = {
        "file": _Lines(),
        "mininterval": every,
        "miniters": 1,
        "delay": 1.0,  # silent when it is over at once
        "bar_format": "{desc}: {n_fmt}/{total_fmt}, {rate_fmt}, {remaining} left{postfix}",
    }
    return tqdm(iterable, **(plain | options))
