"""Tiny ImageNet: 200 labelled classes of 64x64 photographs, held as one memory-mapped array.

Stanford's layout (`wnids.txt`, `train/WNID/images`, boxes, `val/images`, `val_annotations.txt`) is
read straight from the zip or from the unpacked folder; 80,000 small files are never written.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scgan_lib.paths import UserError, atomic_write, cache_dir
from scgan_lib.progress import progress
from scgan_lib.saliency import robust_background

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
SIDE = 64
HELD = 10  # of each class, the last training photographs: for choosing hyper-parameters


@dataclass(frozen=True)
class Tiny:
    """The data set: `rgb` uint8 (N,64,64,3), `label` (N,) 0..199, `split` train/held/val."""

    rgb: np.ndarray
    label: np.ndarray
    split: np.ndarray
    names: list[str]  # inside the zip or folder
    wnids: list[str]
    words: list[str]
    boxes: np.ndarray  # (N,4) int16: left, top, right, bottom of the labelled object; -1 unknown
    folder: Path

    def indices(self, *splits: str) -> np.ndarray:
        """Positions of the pictures of these splits, in order."""
        return np.flatnonzero(np.isin(self.split, splits))

    @property
    def rgb_file(self) -> Path:
        return self.folder / "rgb.npy"

    def saliency(self, workers: int = os.cpu_count() or 1) -> np.ndarray:
        """Maps of all pictures, uint8 (N,64,64), by robust background detection; made once."""
        return np.load(self.saliency_file(workers), mmap_mode="r")

    def saliency_file(self, workers: int = os.cpu_count() or 1) -> Path:
        """The `.npy` file of these maps."""
        target = self.folder / "saliency-robust-background-100-200.npy"
        if not target.is_file():
            parts = [p for p in np.array_split(np.arange(len(self.rgb)), 400) if len(p)]
            with atomic_write(target) as part, ProcessPoolExecutor(workers) as pool:
                job = partial(_maps, self.rgb_file)
                made = pool.map(job, parts)
                bar = progress(made, total=len(parts), desc="saliency", unit="part")
                np.save(part, np.concatenate(list(bar)))
        return target


def _maps(path: Path, indices: np.ndarray) -> np.ndarray:
    torch.set_num_threads(1)
    rgb = np.load(path, mmap_mode="r")
    maps = np.stack([robust_background(np.array(rgb[i])) for i in indices])
    return np.rint(np.nan_to_num(maps) * 255).clip(0, 255).astype(np.uint8)


class _Files:
    """Read access to a zip or a folder in the same layout, wherever its top folder lies."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.zip = None
        if source.is_file():
            try:
                self.zip = zipfile.ZipFile(source)
            except zipfile.BadZipFile as error:
                raise UserError(f"{source}: not a whole zip file ({error}); get it again") from None
            self.known = set(self.zip.namelist())
            found = [n for n in self.known if n.endswith("wnids.txt")]
        elif source.is_dir():
            places = ("wnids.txt", "tiny-imagenet-200/wnids.txt")
            found = [n for n in places if (source / n).is_file()]
        else:
            raise UserError(
                f"{source}: no such file or folder; give the zip or its unpacked folder"
            )
        self.top = min(found, key=len)[: -len("wnids.txt")] if found else ""

    def read(self, name: str) -> bytes:
        """The bytes of `name`; UserError when it is missing or damaged."""
        try:
            name = self.top + name
            return self.zip.read(name) if self.zip else (self.source / name).read_bytes()
        except (KeyError, OSError) as error:
            raise UserError(f"{self.source}: {name} is missing ({error})") from None
        except Exception as error:  # CRC and inflate errors have several types
            raise UserError(f"{self.source}: {name} is damaged ({error}); get it again") from None

    def list(self, folder: str) -> list[str]:
        """Names of the pictures in `folder`, hidden ones left out."""
        if self.zip:
            start = self.top + folder + "/"
            names = [n[len(start) :] for n in self.known if n.startswith(start)]
        else:
            there = self.source / self.top / folder
            names = [p.name for p in there.iterdir()] if there.is_dir() else []
        return [n for n in names if n.upper().endswith(".JPEG") and not n.startswith(".")]


def is_tiny(source: Path) -> bool:
    """Whether this is a zip file, or a folder in the layout of Tiny ImageNet."""
    zipped = source.suffix.lower() == ".zip" and source.is_file()
    return zipped or any((source / d / "wnids.txt").is_file() for d in ("", "tiny-imagenet-200"))


def fetch() -> Path:
    """The public zip in the library's cache, fetched (237 MB) and checked where it is not there."""
    from torchvision.datasets.utils import download_url  # a second that few need

    target = cache_dir() / URL.rpartition("/")[2]
    if not target.is_file():
        try:
            if os.environ.get("SCGAN_OFFLINE", "0") not in ("", "0"):
                raise OSError("SCGAN_OFFLINE is set")
            with atomic_write(target) as part:
                download_url(URL, part.parent, part.name, MD5)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"{URL}: not to be had ({error}); fetch it by hand and say where it is with "
                f"TINY=FILE, or put it at {target}"
            ) from None
    return target


@lru_cache(maxsize=4)
def open_tiny(source: str | Path, cache: str | Path | None = None) -> Tiny:
    """The data set of a zip or folder, decoded once into `cache` (default: the library's).

    The last `HELD` training photographs of each class are `held` back. UserError names what is
    missing or damaged, labels of the validation pictures included.
    """
    source = Path(source).expanduser().absolute()
    files = _Files(source)
    stat = source.stat()
    folder = Path(cache or cache_dir()) / f"tiny-{stat.st_size}-{int(stat.st_mtime)}"
    index_file = folder / "photos.json"
    if not index_file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        index = _index(files)
        rows = ThreadPoolExecutor(os.cpu_count()).map(partial(_decode, files), index["names"])
        with atomic_write(folder / "rgb.npy") as part:
            shape = (len(index["names"]), SIDE, SIDE, 3)
            rgb = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
            bar = progress(rows, total=len(rgb), desc="tiny", unit="photo")
            for i, row in enumerate(bar):
                rgb[i] = row
            rgb.flush()
        index["names"] = [files.top + name for name in index["names"]]
        with atomic_write(index_file) as part:
            part.write_text(json.dumps(index))
    index = json.loads(index_file.read_text())
    arrays = {k: np.array(index.pop(k)) for k in ("label", "split", "boxes")}
    rgb = np.load(folder / "rgb.npy", mmap_mode="r")
    return Tiny(rgb=rgb, folder=folder, **arrays, **index)


def _index(files: _Files) -> dict:
    wnids = files.read("wnids.txt").decode().split()
    words = dict(_rows(files.read("words.txt"), 2))
    names, label, split, boxes = [], [], [], []
    for k, wnid in enumerate(wnids):
        folder = f"train/{wnid}/images"
        found = sorted(files.list(folder), key=lambda n: [int(d) for d in re.findall(r"\d+", n)])
        if not found:
            raise UserError(f"{files.source}: no pictures of {wnid} in {folder}")
        known = {r[0]: r[1:] for r in _rows(files.read(f"train/{wnid}/{wnid}_boxes.txt"), 5)}
        for i, name in enumerate(found):
            names.append(f"{folder}/{name}")
            label.append(k)
            split.append("held" if i >= len(found) - HELD else "train")
            boxes.append([int(v) for v in known.get(name, [-1] * 4)])
    there = set(files.list("val/images"))
    rows = list(_rows(files.read("val/val_annotations.txt"), 6))
    if lost := there - {r[0] for r in rows}:
        raise UserError(f"{files.source}: val_annotations.txt has no label of {min(lost)}")
    for name, wnid, *box in rows:
        if wnid not in wnids:
            raise UserError(
                f"{files.source}: val_annotations.txt: {name} has class {wnid}, unknown"
            )
        names.append(f"val/images/{name}")
        label.append(wnids.index(wnid))
        split.append("val")
        boxes.append([int(v) for v in box])
    texts = [words.get(w, w).split(",")[0] for w in wnids]
    return dict(names=names, wnids=wnids, words=texts, label=label, split=split, boxes=boxes)


def _rows(text: bytes, width: int) -> Iterable[list[str]]:
    for line in text.decode().splitlines():
        if len(row := line.split("\t")) >= width:
            yield row[:width]


def _decode(files: _Files, name: str) -> np.ndarray:
    data = files.read(name)
    try:
        with Image.open(io.BytesIO(data)) as image:
            rgb = np.asarray(image.convert("RGB"))
    except Exception as error:  # a damaged JPEG can raise nearly anything
        raise UserError(f"{files.source}: {name} is not a readable picture ({error})") from None
    if rgb.shape != (SIDE, SIDE, 3):
        raise UserError(f"{files.source}: {name} has shape {rgb.shape}, not {SIDE}x{SIDE}")
    return rgb
