"""Pictures decoded once: raw pixels on disk, memory-mapped, found by content.

    <cache>/pictures/<two digits>/<key>   pixels (H,W,4) uint8, then a tail: size and checksum
    <cache>/digests.sqlite                sha256 of files already hashed, by path, mtime and size

Four channels, for Pillow works on such memory in place: of a picture, only the part that a crop
needs is read, and memory stays flat however many pictures there are. Files appear whole or not at
all; one that is cut short or altered is noticed when it is read, and made again. Everything here
may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from scgan_lib.paths import UserError, atomic_write
from scgan_lib.progress import progress

TAIL = struct.Struct("<8sIII12x")  # mark, width, height, CRC-32 of the pixels
MARK = b"SCGANpx1"  # raise the digit when the format changes
CHUNK = 256  # files a go: between goes, free disk space is checked
Group = tuple[Path, ...]


class Pictures:
    """`pictures[i]`: picture i as a Pillow image of four channels, its pixels mapped from disk.

    `keys[i]` (hex) names everything that the pixels depend on; `make(i)` gives them, uint8
    (H,W,4). What is missing is made at once, with a progress bar. `folder=None`: nothing is kept,
    each access makes the picture anew. Errors: those of `make`, and UserError when the folder
    cannot be written or the disk is too small.
    """

    def __init__(
        self,
        folder: Path | None,
        keys: Sequence[str],
        make: Callable[[int], np.ndarray],
        mode: str = "RGBX",
        desc: str = "photos",
    ) -> None:
        self.folder, self.make, self.mode = folder, make, mode
        self.keys = np.array(keys, dtype="S40")  # 40 bytes a picture, where a str takes over 100
        self.checked = bytearray(len(keys))  # 1: this process has seen that the checksum holds
        if folder is not None:
            self._fill(desc)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, i: int) -> Image.Image:
        if self.folder is None:
            pixels = self.make(i)
            return _image(pixels.tobytes(), pixels.shape[1::-1], self.mode)
        path = self._path(i)
        image = self._read(path, i)
        if image is None:
            self._save(i)
            image = self._read(path, i)
        if image is None:
            raise UserError(f"{path}: written, but not to be read back; check the disk")
        return image

    def _path(self, i: int) -> Path:
        return place(self.folder, self.keys[i].decode())

    def _read(self, path: Path, i: int) -> Image.Image | None:
        """The mapped picture, or None if there is none or it is not what was written."""
        try:
            with open(path, "rb") as file:
                memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # no such file, or an empty one
            return None
        length = len(memory) - TAIL.size
        if length < 0:
            return None
        mark, width, height, checksum = TAIL.unpack_from(memory, length)
        if mark != MARK or length != 4 * width * height:
            return None
        if not self.checked[i]:
            with memoryview(memory) as view, view[:length] as pixels:
                if zlib.crc32(pixels) != checksum:
                    return None
            self.checked[i] = 1
        return _image(memory, (width, height), self.mode)

    def _save(self, i: int) -> int:
        """Make and write picture i. -> bytes written."""
        pixels = np.ascontiguousarray(self.make(i), dtype=np.uint8)
        height, width, channels = pixels.shape
        assert channels == 4
        data = pixels.tobytes()
        with atomic_write(self._path(i)) as part:
            part.write_bytes(data + TAIL.pack(MARK, width, height, zlib.crc32(data)))
        self.checked[i] = 0
        return len(data) + TAIL.size

    def _fill(self, desc: str) -> None:
        missing = {self.keys[i]: i for i in range(len(self)) if not self._path(i).is_file()}
        if not missing:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot be made ({error.strerror}); choose another with SCGAN_CACHE"
            ) from error
        done = written = 0
        with _bar(len(missing), f"decoding {desc}") as bar, _pool() as pool:
            for some in _chunks(missing.values()):
                for size in pool.map(self._save, some):
                    written += size
                    bar.update()
                done += len(some)
                self._check_space(written / done * (len(missing) - done))

    def _check_space(self, wanted: float) -> None:
        free = shutil.disk_usage(self.folder).free
        if wanted > free:
            raise UserError(
                f"{self.folder}: the decoded pictures still to come need {wanted / 2**30:.1f} GiB, "
                f"{free / 2**30:.1f} GiB are free; name a folder on a larger disk with "
                "SCGAN_CACHE=DIR, or decode each time with cache_pictures=false"
            )


def place(folder: Path, key: str) -> Path:
    """Where the picture called `key` lies: 256 folders, so that none grows too large."""
    return folder / key[:2] / key


def _image(memory: bytes | mmap.mmap, size: tuple[int, int], mode: str) -> Image.Image:
    """A picture on `memory` itself, nothing copied; it keeps the memory alive."""
    return Image.frombuffer(mode, size, memory, "raw", mode, 0, 1)


def within(pixels: np.ndarray, short: int) -> np.ndarray:
    """uint8 (H,W,4) shrunk so that its shorter side is `short`; never enlarged.

    Lanczos: the crop is resized once more, and with bicubic twice a twentieth of the detail went.
    """
    h, w = pixels.shape[:2]
    scale = short / min(h, w)
    if scale >= 1:
        return pixels
    image = _image(pixels.tobytes(), (w, h), "RGBX")  # RGBA would be weighed by its alpha
    return np.asarray(image.resize((round(w * scale), round(h * scale)), Image.LANCZOS))


# --- what a file holds, remembered ----------------------------------------------------------------


def digests(groups: Sequence[Group], cache_root: Path) -> list[str]:
    """sha256 (hex) of each group of files, their contents one after another.

    A group whose paths, sizes and times of change are as they were is not read again: at
    ImageNet's size, reading everything at each start would take longer than many an experiment.
    UserError for a file that cannot be read.
    """
    found: dict[int, str] = {}
    memory = Path(cache_root) / "digests.sqlite"
    stamps = [_stamp(group) for group in groups]
    try:
        found = _recall(memory, stamps)
    except sqlite3.DatabaseError:  # damaged: what was remembered is lost, and nothing else
        memory.unlink(missing_ok=True)
    missing = [i for i in range(len(groups)) if i not in found]
    with _bar(len(missing), "hashing") as bar, _pool() as pool:
        for some in _chunks(missing):
            new = dict(zip(some, pool.map(lambda i: _digest(groups[i]), some), strict=True))
            found |= new
            _remember(memory, [(stamps[i], value) for i, value in new.items()])
            bar.update(len(some))
    return [found[i] for i in range(len(groups))]


def _recall(memory: Path, stamps: Sequence[str]) -> dict[int, str]:
    if not memory.is_file():
        return {}
    with closing(sqlite3.connect(memory, timeout=60)) as base:
        rows = (
            base.execute("SELECT sha FROM seen WHERE stamp = ?", (stamp,)).fetchone()
            for stamp in stamps
        )
        return {i: row[0] for i, row in enumerate(rows) if row}


def _remember(memory: Path, rows: Iterable[tuple[str, str]]) -> None:
    """Only saves time: a folder that cannot be written is no error here."""
    try:
        with closing(sqlite3.connect(memory, timeout=60)) as base, base:
            base.execute("CREATE TABLE IF NOT EXISTS seen (stamp TEXT PRIMARY KEY, sha TEXT)")
            base.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", rows)
    except sqlite3.Error:
        pass


def _stamp(group: Group) -> str:
    try:
        states = [(path, os.stat(path)) for path in group]
    except OSError as error:
        raise _unreadable(error) from error
    return "|".join(f"{os.path.abspath(p)} {s.st_size} {s.st_mtime_ns}" for p, s in states)


def _digest(group: Group) -> str:
    digest = hashlib.sha256()
    for path in group:
        try:
            digest.update(Path(path).read_bytes())
        except OSError as error:
            raise _unreadable(error) from error
    return digest.hexdigest()


def _unreadable(error: OSError) -> UserError:
    return UserError(f"{error.filename}: cannot be read ({error.strerror}); check the path")


def _chunks(items: Iterable[int]) -> Iterator[list[int]]:
    rest = iter(items)
    while some := list(islice(rest, CHUNK)):
        yield some


def _bar(total: int, desc: str):
    return progress(total=total, desc=desc, unit="file", disable=not total)


def _pool() -> ThreadPoolExecutor:
    """Threads: decoding, resizing and hashing let go of the interpreter lock."""
    return ThreadPoolExecutor(min(8, os.cpu_count() or 1))
