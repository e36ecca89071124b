"""Picture files and pixels: any file in, upright RGB out; and the ranges that networks work in."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from scgan_lib.paths import UserError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}
KEPT_BYTES = 2**28  # decoded pictures that a process keeps, of each kind
LUMA = np.array([0.299, 0.587, 0.114])


def open_picture(path: str | Path) -> Image.Image:
    """The decoded picture, upright, in mode RGB (or RGBA where it has transparency).

    Gray, palette, CMYK and 16-bit pictures are converted. UserError if it is missing, no picture,
    or cut short.
    """
    try:
        with _stream(path) as file, Image.open(file) as image:
            image.load()
            tags = dict(getattr(image, "tag_v2", {}))
            return to_rgb_mode(ImageOps.exif_transpose(image), tags)
    except (FileNotFoundError, KeyError):
        raise UserError(f"{path}: no such file") from None
    except Exception as error:  # a damaged file can raise nearly anything
        raise UserError(
            f"{path}: not a readable picture ({error}); replace or remove the file"
        ) from None


def zip_of(path: str | Path) -> Path | None:
    """The zip file that the path leads into, as `photos.zip/train/a.jpg` does; else None."""
    above = Path(path).parents
    return next((p for p in above if p.suffix.lower() == ".zip" and p.is_file()), None)


def _stream(path: str | Path) -> IO[bytes]:
    if ".zip" not in str(path).lower() or (archive := zip_of(path)) is None:
        return open(path, "rb")
    return _archive(archive, os.getpid()).open(Path(path).relative_to(archive).as_posix())


@lru_cache(maxsize=2)
def _archive(path: Path, process: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)  # of one process: a forked one must not share the file's position


def to_rgb_mode(image: Image.Image, tags: dict | None = None) -> Image.Image:
    """Any Pillow picture in mode RGB, or RGBA where it has transparency.

    `tags`: those of a TIFF; they tell the range of 12-, 16- and 32-bit gray and which end is white.
    """
    if image.mode.startswith("I") or image.mode == "F":  # 12-, 16- and 32-bit gray
        tags = tags or {}
        wide = np.asarray(image, dtype=np.float64)
        guess = 65535.0 if image.mode.startswith("I;16") or wide.max() > 255 else 255.0
        if image.mode == "F" and wide.max() <= 1:
            guess = 1.0
        bits = np.ravel(tags.get(258, 0))[0]
        top = 4095.0 if bits == 12 else guess
        for tag in (281, 341):  # MaxSampleValue, SMaxSampleValue
            top = float(np.ravel(tags.get(tag, top))[0]) or top
        share = 1 - wide / top if tags.get(262) == 0 else wide / top  # 0: MinIsWhite
        image = Image.fromarray((share * 255 + 0.5).clip(0, 255).astype(np.uint8))
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB")


def read_rgb(path: str | Path) -> np.ndarray:
    """The picture at `path` as uint8 (H,W,3); transparency is laid on white. See `open_picture`."""
    image = open_picture(path)
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    return np.asarray(image)


def list_pictures(root: Path) -> list[Path]:
    """Its picture files, in order. Hidden files and folders are no data; links are followed."""
    found, seen = [], set()
    for folder, inner, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        inner[:] = [] if real in seen else sorted(x for x in inner if not x.startswith("."))
        if real not in seen:
            found += [Path(folder, x) for x in files if not x.startswith(".")]
        seen.add(real)
    return sorted(p for p in found if p.suffix.lower() in IMAGE_SUFFIXES)


class Decoded:
    """`decoded[i]`: `make(i)`, a picture of four channels, made when first asked for.

    Each process keeps the latest of them, together no more than `kept_bytes`.
    """

    def __init__(self, count: int, make: Callable[[int], Image.Image], kept_bytes: int) -> None:
        self.count, self.make, self.kept_bytes = count, make, kept_bytes
        self.kept: dict[int, Image.Image] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Image.Image:
        if not 0 <= i < self.count:
            raise IndexError(i)
        if i in self.kept:
            return self.kept[i]
        picture = self.kept[i] = self.make(i)
        self.kept_bytes -= 4 * picture.width * picture.height
        while self.kept_bytes < 0:
            oldest = self.kept.pop(next(iter(self.kept)))
            self.kept_bytes += 4 * oldest.width * oldest.height
        return picture


# --- pixels ---------------------------------------------------------------------------------------


def luma_u8(rgb_u8: np.ndarray) -> np.ndarray:
    """BT.601 luma of uint8 (H,W,3), rounded to uint8 (H,W)."""
    return np.rint(rgb_u8 @ LUMA).astype(np.uint8)


def center_crop(rgb_u8: np.ndarray, size: int) -> np.ndarray:
    """The largest centred square, resized to (size,size,3) with Pillow's bicubic filter."""
    h, w = rgb_u8.shape[:2]
    side = min(h, w)
    left, top = (w - side) // 2, (h - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(Image.fromarray(rgb_u8).resize((size, size), Image.BICUBIC, box=box))


def to_pm1(u8: np.ndarray | Tensor) -> Tensor:
    """uint8 in any shape -> float32 in [-1, 1]: v / 127.5 − 1."""
    return torch.as_tensor(u8).float() / 127.5 - 1


def to_u8(pm1: Tensor) -> Tensor:
    """[-1, 1] -> uint8, clamped and rounded."""
    return ((pm1 + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)


def to_chw(hwc: np.ndarray) -> Tensor:
    """(H,W) or (H,W,C) array -> (C,H,W) tensor."""
    array = hwc[..., None] if hwc.ndim == 2 else hwc
    return torch.from_numpy(array.transpose(2, 0, 1).copy())
