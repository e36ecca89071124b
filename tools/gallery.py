"""The picture at the top of README: what the shipped weights of `tiny` make of test photographs."""

from __future__ import annotations

import numpy as np
from PIL import Image

from scgan_lib import config, data, viz
from scgan_lib.colorize import Colorizer
from scgan_lib.paths import ROOT, atomic_write


def main() -> None:
    """Draw figures/tiny/gallery: gray, the weights' colours and the real photo, in three blocks."""
    profile, colorizer = config.load("mini"), Colorizer.load("tiny")
    rows = []
    for photo in [p for p in data.photos(profile, "test") if p.gallery]:
        real = data.test_picture(photo, profile.judge_size)
        gray = np.repeat(data.luma_u8(real)[..., None], 3, 2)
        rows.append({"gray": gray, "colorized": colorizer(Image.fromarray(gray)), "real": real})
    viz.use_style()
    with atomic_write(ROOT / "figures/tiny/gallery.jpg") as part:
        viz.grid(rows[:15], blocks=3).savefig(part, pil_kwargs={"quality": 88, "optimize": True})


if __name__ == "__main__":
    main()
