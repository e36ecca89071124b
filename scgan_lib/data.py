"""Photographs in, (gray, rgb, saliency) out.

Four kinds of data set behind one list of `Photo`: a folder with `credits.csv` (the shipped
`mini`), Tiny ImageNet (zip or folder), an ImageNet tree (`train/`, `val/` with a folder a class)
and any directory of pictures.
What item i of a training run shows depends on (seed, stage, i) alone, so that a run resumed at
step k sees what an unbroken one would have seen, with any number of workers.
"""

import csv
import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from scgan_lib import pictures, tiny
from scgan_lib import saliency as saliency_maps
from scgan_lib.config import Profile
from scgan_lib.paths import UserError, atomic_write, cache_dir
from scgan_lib.pictures import center_crop, luma_u8, open_picture, read_rgb, to_chw, to_pm1, to_u8
from scgan_lib.progress import progress

LUMA = pictures.LUMA
GRAY = "have no colour"
DAMAGED = 0.05  # largest share of the training photos that may be unreadable
_is_ours = lru_cache(maxsize=1_000_000)(pictures.is_ours)
_cutout = lru_cache(maxsize=256)(open_picture)
TEST_SEED = 0  # of what is tested: all runs, whatever their seed, are judged on the same pictures


@dataclass(frozen=True)
class Photo:
    """One picture file: `split` train/val/test, `label` an ImageNet class name or wnid or ''."""

    path: Path
    split: str
    label: str = ""
    gallery: bool = False
    free: bool = False  # public domain or CC0: only over these may a cut-out be laid
    sha256: str = ""
    kind: str = "photo"
    gray: bool = False  # known to have no colour
    row: int = -1  # of Tiny ImageNet's array

    @property
    def stem(self) -> str:
        return self.path.stem


# --- lists of photographs -------------------------------------------------------------------------


def photos(profile: Profile, split: str, kind: str = "photo") -> list[Photo]:
    """The photos (or `kind="cutout"`) of one split, in a fixed order, cut to the profile's count.

    UserError when the folder is missing or has no such pictures.
    """
    if kind == "photo" and split == "test" and profile.test_list:
        return listed(profile)[0]
    found = [p for p in _all_photos(profile, kind) if p.split == split]
    if split == "test":
        if kind == "photo" and profile.test_images and not any(p.gallery for p in found):
            found = balanced(found, profile.test_images)
        found.sort(key=lambda p: (not p.gallery, p.path.name))
    if kind != "photo":
        return found
    if not found:
        raise UserError(
            f"{profile.data_path}: no {split} pictures found; give a folder with more files of the "
            f"kinds {', '.join(sorted(pictures.IMAGE_SUFFIXES))}"
        )
    if split == "train":
        return [*_readable(tuple(found[:: profile.train_every][: profile.train_images or None]))]
    return found[: profile.test_images or None] if split == "test" else found


def balanced(found: Sequence[Photo], count: int, seed: int = TEST_SEED) -> list[Photo]:
    """`count` of the photos, as even over their labels as can be; all if there are no more.

    Every label gives its first photo, then its second ...; both orders are drawn by the seed.
    10,000 of 1,000 classes are 10 a class.
    """
    labels = sorted({p.label for p in found}, key=lambda label: _number(f"{seed} {label}"))
    by_label = {label: [] for label in labels}
    for photo in sorted(found, key=lambda p: _number(f"{seed} {p.label}/{p.path.name}")):
        by_label[photo.label].append(photo)
    return [p for turn in zip_longest(*by_label.values()) for p in turn if p][:count]


def _number(text: str) -> int:
    """A number that follows from `text` alone, the same on every machine."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


@lru_cache(maxsize=8)
def _readable(found: tuple[Photo, ...]) -> tuple[Photo, ...]:
    """Training photos without the damaged ones; `gray` is set where there is no colour.

    All are read once; the cache then knows which have a fault, and only they are tried again. Not
    asked of photos with a hash, nor of Tiny ImageNet, which is read as a whole. UserError where
    more than a share of `DAMAGED` cannot be read.
    """
    if found[0].sha256 or found[0].row >= 0:
        return found
    paths = tuple(str(p.path) for p in found)
    memory = cache_dir() / "damaged" / f"{_number(str(paths)):x}.json"
    tried = json.loads(memory.read_text()) if memory.is_file() else paths
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bar = progress(pool.map(_fault, tried), total=len(tried), desc="check", unit="photo")
        faults = {path: fault for path, fault in zip(tried, bar, strict=True) if fault}
    with atomic_write(memory) as part:
        part.write_text(json.dumps([*faults]))
    damaged = {path: fault for path, fault in faults.items() if fault != GRAY}
    first = "; ".join([*damaged.values()][:3])
    share = f"{len(damaged)} of {len(found)} training pictures are damaged"
    if len(damaged) > DAMAGED * len(found):
        raise UserError(f"{share}, more than {DAMAGED:.0%}: {first}")
    if damaged:
        print(f"{share} and left out: {first}", file=sys.stderr)
    return tuple(
        replace(photo, gray=path in faults)
        for path, photo in zip(paths, found, strict=True)
        if path not in damaged
    )


def _fault(path: str) -> str:
    try:
        return "" if np.ptp(read_rgb(path).astype(np.int16), axis=2).max() > 8 else GRAY
    except UserError as error:
        return str(error)


def _coloured(found: list[Photo]) -> list[Photo]:
    """Training photos without those that have no colour, which would teach gray."""
    left = [p for p in found if not p.gray]
    share = f"{len(found) - len(left)} of {len(found)} training pictures {GRAY}"
    if not left:
        raise UserError(f"{share}; give a folder of colour photographs")
    if len(left) < len(found):
        print(f"{share} and are left out", file=sys.stderr)
    return left


def listed(profile: Profile) -> tuple[list[Photo], dict[str, str]]:
    """The photos that `test_list` names, in its order, and line -> reason for all others.

    One path a line, relative to the data folder or to its `val/`; # begins a comment. Training
    pictures are none of them. OSError without a list, UserError if nothing of it is left.
    """
    path, root = Path(profile.test_list).expanduser(), data_root(profile)
    lines = [x.partition("#")[0].strip() for x in path.read_text("utf-8", "replace").splitlines()]
    every = [p for p in _all_photos(profile) if p.split != "train"]
    known = {p.path.relative_to(root).as_posix(): replace(p, split="test") for p in every}
    found = {line: known.get(line) or known.get(f"val/{line}") for line in lines if line}
    refused = {line: f"no such test picture in {root.name}" for line in found if not found[line]}
    chosen = [photo for photo in found.values() if photo]
    if not chosen:
        first = ", ".join([*refused][:3]) or "empty"
        raise UserError(f"{path}: names no test picture ({first}); give paths relative to {root}")
    return chosen, refused


def _all_photos(profile: Profile, kind: str = "photo") -> list[Photo]:
    """Those of all splits; UserError when the profile has no data folder."""
    root = data_root(profile)
    if tiny.is_tiny(root):
        return list(_tiny(root)) if kind == "photo" else []
    if not profile.data or not root.is_dir():
        variable = {"imagenet": "IMAGENET", "tiny": "TINY"}.get(profile.name, "DATA")
        raise UserError(
            f"profile {profile.name}: no folder {root if profile.data else '(none given)'}; "
            f"say where the pictures are with {variable}=DIR"
        )
    if (root / "credits.csv").is_file():
        return [p for p in _credited(root) if p.kind == kind]
    if kind != "photo":
        return []
    if (root / "val").is_dir() and (root / "train").is_dir():
        return _imagenet_tree(root)
    return _plain_folder(root)


def data_root(profile: Profile) -> Path:
    """The folder or zip of the photographs; Tiny ImageNet is fetched where none is given."""
    return tiny.fetch() if profile.name == "tiny" and not profile.data else profile.data_path


@lru_cache(maxsize=2)
def _tiny(root: Path) -> tuple[Photo, ...]:
    """Tiny ImageNet: the held-back training photographs tune, those of `val/` are the test."""
    found, split = tiny.open_tiny(root), {"train": "train", "held": "val", "val": "test"}
    rows = zip(found.names, found.split, found.label, strict=True)
    return tuple(
        Photo(root / name, split[part], found.wnids[label], row=i)
        for i, (name, part, label) in enumerate(rows)
    )


@lru_cache(maxsize=4)
def _credited(root: Path) -> tuple[Photo, ...]:
    with open(root / "credits.csv", newline="", encoding="utf-8") as file:
        return tuple(
            Photo(
                path=root / row["file"],
                split=row["split"],
                label=row["imagenet_class"],
                gallery=row["gallery"] == "1",
                free=row["licence"].startswith(("public-domain", "CC0")),
                sha256=row["sha256"],
                kind=row["kind"],
            )
            for row in csv.DictReader(file)
        )


def _imagenet_tree(root: Path) -> list[Photo]:
    """`train/WNID/**` and `val/WNID/*`, or a flat `val/` with Kaggle's `LOC_val_solution.csv`.

    One image in ten of `val/`, chosen by the hash of its name, tunes; the others are the test set.
    """
    found, labels = [], root / "LOC_val_solution.csv"
    lines = labels.read_text("utf-8").splitlines() if labels.is_file() else []
    rows = (line.replace(",", " ").split() for line in lines)
    flat = {row[0]: row[1] for row in rows if row[1:]}  # stem -> wnid
    for folder in ("train", "val"):
        for path in pictures.list_pictures(root / folder):
            held_out = "val" if _number(path.name) % 10 == 0 else "test"
            first, *inner = path.relative_to(root / folder).parts
            if not (label := first if inner and first != "images" else flat.get(path.stem)):
                raise UserError(
                    f"{path}: no label; put it in a folder named after its class, or give {labels}"
                )
            found.append(Photo(path, "train" if folder == "train" else held_out, label))
    return found


def _plain_folder(root: Path) -> list[Photo]:
    """Any directory: one picture in ten to val, one in five to test, by the hash of the name."""
    splits = ("val", "test", "test", *["train"] * 7)
    inner = {p.name.lower() for p in root.iterdir() if p.is_dir()}
    if inner & {"train", "ilsvrc"}:
        found = ", ".join(sorted(inner))
        raise UserError(f"{root}: holds {found}; such a data set needs the folders train/ and val/")
    paths = [p for p in pictures.list_pictures(root) if not _is_ours(p)]
    return [Photo(p, splits[_number(p.relative_to(root).as_posix()) % 10]) for p in paths]


def verify_hashes(found: Sequence[Photo]) -> None:
    """UserError naming the first file that is missing or differs from the sha256 in credits.csv."""
    for photo in (p for p in found if p.sha256):
        exists = photo.path.is_file()
        digest = hashlib.sha256(photo.path.read_bytes()).hexdigest() if exists else "file missing"
        if digest != photo.sha256:
            raise UserError(
                f"{photo.path}: not the file of credits.csv (sha256: {digest[:12]}, expected "
                f"{photo.sha256[:12]}); restore it with `git checkout {photo.path}`"
            )


# --- training pictures ----------------------------------------------------------------------------


class TrainingSet(Dataset):
    """Item i of a run -> dict of gray (1,S,S), rgb (3,S,S) in [-1,1], saliency (1,S,S) in [0,1].

    Random scale, crop and flip; the first ⌊composites·batch⌋ items of every batch are cut-outs of
    the training split laid on public-domain or CC0 photos of the same split, saliency their exact
    alpha. Photos go round in an order shuffled anew each epoch.
    """

    def __init__(self, profile: Profile, stage: int, length: int) -> None:
        self.profile, self.stage, self.length = profile, stage, length
        self.photos = _coloured(photos(profile, "train"))
        self.cutouts = photos(profile, "train", "cutout") if profile.composites else []
        verify_hashes([*self.photos, *self.cutouts])
        self.picture = photo_reader(self.photos, profile, profile.teacher)
        self.backgrounds = [i for i, p in enumerate(self.photos) if p.free]
        possible = self.backgrounds and self.cutouts
        self.in_batch = int(profile.composites * profile.batch) if possible else 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        return make_batch(self.raw(item))

    def raw(self, item: int) -> dict[str, Tensor]:
        """Item i before it becomes numbers: `u8` (S,S,4), colour and saliency in one."""
        rng = np.random.default_rng([self.profile.seed, self.stage, item])
        covered = item % self.profile.batch < self.in_batch
        index = int(rng.choice(self.backgrounds)) if covered else self._shuffled(item)
        pixels = random_crop(self.picture(index), self.profile, rng)
        if covered:
            cutout = _cutout(self.cutouts[int(rng.integers(len(self.cutouts)))].path)
            pixels = np.dstack(composite(pixels[..., :3], cutout, rng))
        return {"u8": torch.from_numpy(pixels)}

    def raw_batch(self, items: Sequence[int]) -> dict[str, Tensor]:
        """Items as a batch of uint8: a fifth of the bytes for workers to hand over."""
        return default_collate([self.raw(int(item)) for item in items])

    def _shuffled(self, item: int) -> int:
        n = len(self.photos)
        return int(_permutation(self.profile.seed, self.stage, item // n, n)[item % n])


def random_crop(picture: Image.Image, profile: Profile, rng: np.random.Generator) -> np.ndarray:
    """A random square of `picture`, at least `min_scale` of its short side, flipped or not.

    -> uint8 (S,S,4), resized once from the exact (fractional) box with Pillow's bicubic.
    """
    size = profile.image_size
    side = min(picture.size) * rng.uniform(profile.min_scale, 1.0)
    left, top = (rng.uniform(0, extent - side) for extent in picture.size)
    box = (left, top, left + side, top + side)
    crop = picture.resize((size, size), Image.BICUBIC, box=box)
    return np.array(ImageOps.mirror(crop) if rng.random() < 0.5 else crop)


def photo_reader(
    found: Sequence[Photo], profile: Profile, teacher: str = ""
) -> Callable[[int], Image.Image]:
    """Number of a photo -> mode RGBX: colour and the teacher's saliency (255 without a teacher).

    Larger ones are shrunk to a short side a quarter longer than the smallest crop needs: crops of
    them (ImageNet's are about 375) equal those from the file within about 46 dB at the same
    sharpness. At least 288, the most that the shipped photographs have: these stay as they are.
    """
    if found[0].row >= 0 and teacher in ("", saliency_maps.DEFAULT):
        arrays = tiny.open_tiny(data_root(profile))
        maps = arrays.saliency().filename if teacher else None
        return partial(_row, arrays.rgb.filename, maps, [p.row for p in found])
    paths = [p.path for p in found]
    maps = saliency_maps.saliency_maps(paths, teacher, cache_dir()) if teacher else None
    side = max(288, math.ceil(1.25 * profile.image_size / profile.min_scale))
    return partial(_photo, paths, maps or [None] * len(paths), side)


def _row(rgb: str | Path, maps: str | Path | None, rows: Sequence[int], i: int) -> Image.Image:
    return _merged(_array(rgb)[rows[i]], _array(maps)[rows[i]] if maps else None)


# Opened by each process anew: a worker is not sent the array.
_array = lru_cache(maxsize=4)(partial(np.load, mmap_mode="r"))


def _photo(paths: Sequence[Path], maps: Sequence[Path | None], side: int, i: int) -> Image.Image:
    return _photo_and_map(paths[i], maps[i], side)


@lru_cache(maxsize=256)
def _photo_and_map(path: Path, map_path: Path | None, side: int) -> Image.Image:
    rgb = read_rgb(path)
    saliency = saliency_maps.fitted(open_picture(map_path), rgb) if map_path else None
    picture = _merged(rgb, saliency)
    scale = side / min(picture.size)
    if scale >= 1:
        return picture
    # Lanczos: the crop is resized once more, and bicubic twice loses a twentieth of the detail.
    return picture.resize([round(extent * scale) for extent in picture.size], Image.LANCZOS)


def _merged(rgb: np.ndarray, saliency: np.ndarray | None) -> Image.Image:
    """Both in mode RGBX: RGBA would be weighed by its alpha when it is resized."""
    if saliency is None:
        saliency = np.full(rgb.shape[:2], 255, np.uint8)
    return Image.fromarray(np.dstack([rgb, saliency]), "RGBX")


def composite(
    background: np.ndarray, cutout: Image.Image, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Lay `cutout` (as RGBA) on uint8 (S,S,3): longer side 45-90 % of S, anywhere, flipped or not.

    -> picture uint8 (S,S,3) and its exact saliency, the alpha, uint8 (S,S).
    """
    size = background.shape[0]
    scale = size * rng.uniform(0.45, 0.9) / max(cutout.size)
    w, h = (max(1, round(extent * scale)) for extent in cutout.size)
    small = cutout.convert("RGBA").resize((w, h), Image.BICUBIC)  # Pillow weighs it by alpha
    if rng.random() < 0.5:
        small = ImageOps.mirror(small)
    layer = Image.new("RGBA", (size, size))
    layer.paste(small, (int(rng.integers(size - w + 1)), int(rng.integers(size - h + 1))))
    picture = Image.alpha_composite(Image.fromarray(background).convert("RGBA"), layer)
    return np.asarray(picture.convert("RGB")), np.asarray(layer.getchannel("A"))


def make_batch(raw: dict[str, Tensor]) -> dict[str, Tensor]:
    """`u8` (...,S,S,4) -> gray (BT.601 luma), rgb in [-1,1], saliency in [0,1]; the rest passes."""
    u8 = raw["u8"].movedim(-1, -3).contiguous()  # (..., 4, S, S)
    rgb, saliency = to_pm1(u8[..., :3, :, :]), u8[..., 3:, :, :].float() / 255
    red, green, blue = (rgb[..., i : i + 1, :, :] * float(LUMA[i]) for i in range(3))
    views = {"gray": red + green + blue, "rgb": rgb, "saliency": saliency}
    return views | {name: value for name, value in raw.items() if name != "u8"}


@lru_cache(maxsize=8)
def _permutation(seed: int, stage: int, epoch: int, n: int) -> np.ndarray:
    return np.random.default_rng([seed, stage, epoch, n]).permutation(n)


def test_picture(photo: Photo, size: int) -> np.ndarray:
    """The fixed picture that is judged: centre crop of `photo`, uint8 (size,size,3)."""
    return center_crop(read_rgb(photo.path), size)


class Composite(NamedTuple):
    """A test picture with a known object: rgb uint8 (S,S,3), its exact alpha uint8 (S,S)."""

    name: str
    rgb: np.ndarray
    mask: np.ndarray


def test_composites(profile: Profile) -> list[Composite]:
    """Every test cut-out on a public-domain or CC0 test photo, at `judge_size`.

    Each on a background of its own while there are enough, drawn with `TEST_SEED` and not with the
    profile's seed: all runs see the same pictures. At most `test_images`, where that is set; empty
    for data sets without cut-outs.
    """
    cutouts = photos(profile, "test", "cutout")
    everything = replace(profile, test_images=0, test_list="")
    free = [p for p in photos(everything, "test") if p.free] if cutouts else []
    if not free:
        return []
    order = np.random.default_rng(TEST_SEED).permutation(len(free))
    made = []
    for i, cutout in enumerate(cutouts[: profile.test_images or None]):
        background = test_picture(free[order[i % len(free)]], profile.judge_size)
        rng = np.random.default_rng([TEST_SEED, i])
        picture = composite(background, open_picture(cutout.path), rng)
        made.append(Composite(cutout.stem, *picture))
    return made
