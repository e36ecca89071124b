"""Tiny ImageNet: 200 labelled classes of 64x64 photographs, held as one memory-mapped array.

Stanford's layout (`wnids.txt`, `train/WNID/images`, boxes, `val/images`, `val_annotations.txt`) is
read straight from the zip or from the unpacked folder; 80,000 small files are never written.
"""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from scgan_lib.paths import UserError, atomic_write, cache_dir
from scgan_lib.pictures import IMAGE_SUFFIXES, list_files, read_file, read_rgb
from scgan_lib.progress import progress
from scgan_lib.saliency import as_u8, robust_background

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
    boxes: np.ndarray  # (N,4): left, top, right, bottom of the labelled object; -1 unknown
    folder: Path

    def indices(self, *splits: str) -> np.ndarray:
        """Positions of the pictures of these splits, in order."""
        return np.flatnonzero(np.isin(self.split, splits))

    def saliency(self) -> np.memmap:
        """Maps of all pictures, uint8 (N,64,64), by robust background detection; made once."""
        target = self.folder / "saliency-robust-background-100-200.npy"
        if not target.is_file():
            with ProcessPoolExecutor() as pool:
                every = range(len(self.rgb))
                maps = pool.map(partial(_map, self.folder / "rgb.npy"), every, chunksize=64)
                _save_rows(target, maps, len(every), (SIDE, SIDE), "saliency")
        return np.load(target, mmap_mode="r")


def _map(rgb_file: Path, row: int) -> np.ndarray:
    return as_u8(robust_background(np.array(np.load(rgb_file, mmap_mode="r")[row])))


def _save_rows(
    target: Path, rows: Iterable[np.ndarray], count: int, shape: tuple[int, ...], name: str
) -> None:
    """Write `count` rows of uint8 as one `.npy` file."""
    bar = progress(rows, total=count, desc=name, unit="photo")
    with atomic_write(target) as part:
        np.save(part, np.fromiter(bar, np.dtype((np.uint8, shape)), count))


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
                f"{URL}: cannot be fetched ({error}); get it by hand and say where it is with "
                f"TINY=FILE, or put it at {target}"
            ) from None
    return target


@lru_cache(maxsize=4)
def open_tiny(source: str | Path, cache: str | Path | None = None) -> Tiny:
    """The data set of a zip or folder, decoded once into `cache` (default: the library's).

    The last `HELD` training photographs of each class are `held` back. OSError without `source`;
    UserError names what is missing or damaged in it, labels of the validation pictures included.
    """
    source = Path(source).expanduser().absolute()
    stat = source.stat()
    mark = f"{stat.st_mtime:.0f}"
    if source.is_file():  # a zip ends with checksums of what is in it: a copy is the same data
        with source.open("rb") as file:
            file.seek(-min(stat.st_size, 2**20), os.SEEK_END)
            mark = hashlib.sha256(file.read()).hexdigest()[:12]
    folder = Path(cache or cache_dir()) / f"tiny-{stat.st_size}-{mark}"
    index_file = folder / "photos.json"
    if not index_file.is_file():
        index = _index(source)
        rows = ThreadPoolExecutor(os.cpu_count()).map(_decode, map(source.joinpath, index["names"]))
        _save_rows(folder / "rgb.npy", rows, len(index["names"]), (SIDE, SIDE, 3), "tiny")
        with atomic_write(index_file) as part:
            part.write_text(json.dumps(index))
    index = json.loads(index_file.read_text())
    label, split, boxes = (np.array(index[k]) for k in ("label", "split", "boxes"))
    rgb = np.load(folder / "rgb.npy", mmap_mode="r")
    return Tiny(rgb, label, split, index["names"], index["wnids"], boxes, folder)


def _index(source: Path) -> dict[str, list]:
    """What `Tiny` holds of each picture and class, without the pixels."""
    files = list_files(source)
    lists = [p for p in files if p.name == "wnids.txt"]
    top = min(lists, key=lambda p: len(p.parts)).parent if lists else source
    inside = defaultdict(list)
    for path in files:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            inside[path.parent].append(path)
    wnids = _text(top / "wnids.txt").split()
    rows = []  # (path, class, split, box)
    for wnid in wnids:
        folder = top / "train" / wnid
        found = sorted(inside[folder / "images"], key=lambda p: (len(p.name), p.name))  # 10 after 9
        if not found:
            raise UserError(f"{source}: no pictures of {wnid} in {folder}/images")
        boxes = _table(folder / f"{wnid}_boxes.txt")
        for i, path in enumerate(found):
            split = "held" if i >= len(found) - HELD else "train"
            rows.append((path, wnid, split, boxes.get(path.name, [-1] * 4)))
    labels, val = _table(top / "val" / "val_annotations.txt"), top / "val" / "images"
    wrong = {p.name for p in inside[val]} - labels.keys()
    wrong |= {name for name, (wnid, *_) in labels.items() if wnid not in wnids}
    if wrong:
        raise UserError(f"{source}: val_annotations.txt has no known class of {min(wrong)}")
    rows += [(val / name, wnid, "val", box) for name, (wnid, *box) in labels.items()]
    paths, classes, split, boxes = map(list, zip(*rows, strict=True))
    return dict(
        names=[path.relative_to(source).as_posix() for path in paths],
        wnids=wnids,
        label=[wnids.index(wnid) for wnid in classes],
        split=split,
        boxes=[[int(v) for v in box] for box in boxes],
    )


def _table(path: Path) -> dict[str, list[str]]:
    """First word of each line -> the other words, which tabs separate."""
    rows = (line.split("\t") for line in _text(path).splitlines())
    return {row[0]: row[1:] for row in rows if row[1:]}


def _text(path: Path) -> str:
    try:
        return read_file(path).decode()
    except Exception as error:  # a damaged zip can raise nearly anything
        raise UserError(f"{path}: missing or damaged ({error}); get the data set again") from None


def _decode(path: Path) -> np.ndarray:
    rgb = read_rgb(path)
    if rgb.shape != (SIDE, SIDE, 3):
        raise UserError(f"{path}: has shape {rgb.shape}, not {SIDE}x{SIDE}")
    return rgb
