"""Saliency teachers: photograph in, map of what stands out; and a cache of such maps.

The authors' maps (PFAN's output) were never published, so the teacher is a choice of this project,
and its name goes wherever its maps go. One interface: `teacher(name)(rgb_u8, path)`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra
from skimage.color import rgb2lab
from skimage.segmentation import slic

from scgan_lib.paths import UserError, atomic_write, cache_dir
from scgan_lib.pictures import open_picture, read_rgb
from scgan_lib.progress import progress

Teacher = Callable[..., np.ndarray]  # (rgb_u8 (H,W,3), path=None) -> float32 (H,W) in [0,1]

DEFAULT = "robust-background"
REMBG_MODELS = {"u2netp": "u2netp", "isnet": "isnet-general-use"}
# Raise a teacher's number when its maps change: the old maps stay as they were, beside the new.
VERSIONS = {DEFAULT: 1, "folder": 1, "u2netp": 1, "isnet": 1}


def teacher(name: str = DEFAULT) -> Teacher:
    """The teacher called `name`: uint8 RGB (H,W,3), path of the photo -> float32 (H,W) in [0,1].

    "robust-background" (no weights), "folder:DIR" (ready maps, found by the photo's stem), "u2netp"
    and "isnet" (deep, through rembg). Only "folder:DIR" needs the path. UserError if the name is
    unknown, the folder is missing, or rembg or its weights cannot be had.
    """
    kind, folder = _parse(name)
    if kind == "folder":
        return _folder_teacher(_ready_maps(folder))
    if kind in REMBG_MODELS:
        return _rembg_teacher(kind)
    return lambda rgb_u8, path=None: robust_background(rgb_u8)


def _parse(name: str) -> tuple[str, str]:
    kind, _, folder = name.partition(":")
    if kind not in VERSIONS or (kind == "folder") != bool(folder):
        known = ", ".join([DEFAULT, "folder:DIR", *REMBG_MODELS])
        raise UserError(f"unknown saliency teacher {name!r}; known teachers: {known}")
    return kind, folder


# --- the classical teacher ------------------------------------------------------------------------


def robust_background(rgb_u8: np.ndarray, scales: Sequence[int] = (200, 400)) -> np.ndarray:
    """Map of the salient object in uint8 (H,W,3) -> float32 (H,W) in [0,1], no learned weights.

    Robust background detection on superpixels at two scales, averaged, carried to every pixel by a
    guided filter, stretched by a logistic curve. A flat picture gives zeros. Source: Zhu, Liang,
    Wei, Sun, "Saliency optimization from robust background detection", CVPR 2014; two scales,
    centre prior, filter and stretch are additions.
    """
    h, w = rgb_u8.shape[:2]
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
    count = np.bincount(label.ravel(), minlength=k)
    mean = np.stack([np.bincount(label.ravel(), p.ravel(), k) / count for p in planes], axis=1)
    place = mean[:, 3:]
    color_distance, place_distance = (
        np.linalg.norm(v[:, None] - v[None], axis=-1) for v in (mean[:, :3], place)
    )

    touching = np.zeros((k, k), dtype=bool)
    for a, b in ((label[1:], label[:-1]), (label[:, 1:], label[:, :-1])):
        touching[a[a != b], b[a != b]] = True
    touching |= touching.T
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


def guided_upsample(
    rgb_u8: np.ndarray, small_u8: np.ndarray, coarse: np.ndarray, radius: int = 3, eps: float = 1e-4
) -> np.ndarray:
    """Carry `coarse` (h,w) to the pixels of uint8 (H,W,3), its edges moved to those of the photo.

    In each window map = a · rgb + b (least squares, ridge `eps`), fitted on the small photo;
    a and b are resized. Source: He and Sun, "Fast guided filter", arXiv 1505.00996.
    """

    def mean(v: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(v, (2 * radius + 1,) * 2 + (1,) * (v.ndim - 2))

    guide = small_u8 / 255
    mu, mean_map = mean(guide), mean(coarse)
    outer = mean(guide[..., :, None] * guide[..., None, :])  # (h,w,3,3)
    covariance = outer - mu[..., :, None] * mu[..., None, :] + eps * np.eye(3)
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


# --- ready maps and deep teachers -----------------------------------------------------------------


def _ready_maps(folder: str) -> Callable[[str | Path | None], Path]:
    """The function that finds the one map in `folder` with the stem of a photo."""
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder of saliency maps; check folder:DIR")
    index: dict[str, list[Path]] = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            index.setdefault(path.stem, []).append(path)

    def find(photo: str | Path | None) -> Path:
        found = index.get(Path(photo).stem, []) if photo is not None else []
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise UserError(f"{photo}: needs one map of its name in {folder}, found {names}")
        return found[0]

    return find


def _folder_teacher(find: Callable[[str | Path | None], Path]) -> Teacher:
    return lambda rgb_u8, path=None: _resized(open_picture(find(path)), rgb_u8, Image.BILINEAR)


def _resized(mask: Image.Image, rgb_u8: np.ndarray, method: int = Image.BICUBIC) -> np.ndarray:
    """A map of any size and mode -> float32 (H,W) in [0,1], the size of the photo."""
    return np.asarray(mask.convert("L").resize(rgb_u8.shape[1::-1], method), np.float32) / 255


def _rembg_teacher(name: str) -> Teacher:
    """A deep salient object network (small U²-Net, IS-Net), run by the package rembg."""
    model = REMBG_MODELS[name]
    if not (Path.home() / ".u2net" / f"{model}.onnx").exists():
        os.environ.setdefault("U2NET_HOME", str(cache_dir() / "rembg"))
    try:
        from rembg import new_session
    except (ImportError, SystemExit) as error:  # rembg exits where onnxruntime is missing
        raise UserError(
            f'saliency teacher {name}: needs rembg; pip install "rembg[cpu]", or use {DEFAULT}'
        ) from error
    try:
        session = new_session(model)
    except Exception as error:  # no network, a proxy, a damaged file: the cure is the same
        cause = " ".join(str(error).split())[:120]
        raise UserError(
            f"saliency teacher {name}: cannot load {model}.onnx ({cause}); it needs the network "
            f"once, or the file in {os.environ.get('U2NET_HOME', '~/.u2net')}; or use {DEFAULT}"
        ) from error

    return lambda rgb_u8, path=None: _resized(session.predict(Image.fromarray(rgb_u8))[0], rgb_u8)


# --- the cache ------------------------------------------------------------------------------------


def saliency_maps(
    files: Sequence[str | Path], teacher_name: str, cache_root: str | Path
) -> list[Path]:
    """Paths of the maps of `files`, in order; a map missing or older than its photo is made.

    A map is an 8-bit gray PNG of the photo's size, at
    <cache_root>/saliency/<teacher>-<version>/<folder's name>-<hash of its path>/<name>.png
    (below a folder named after that of the ready maps, if the teacher is one). Errors: those of
    `teacher`, and UserError for an unreadable photo.
    """
    kind, ready = _parse(teacher_name)
    folder = Path(cache_root) / "saliency" / f"{kind}-{VERSIONS[kind]}"
    if ready:
        folder = folder / _folder_name(Path(ready))
    targets = [folder / _folder_name(Path(f).parent) / f"{Path(f).name}.png" for f in files]
    find = _ready_maps(ready) if ready else None
    pairs = dict(zip(targets, files, strict=True))
    missing = {t: f for t, f in pairs.items() if not _is_current(t, f, find and find(f))}
    if missing:
        teach = teacher(teacher_name)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            done = pool.map(lambda item: _save_map(teach, *item), missing.items())
            for _ in progress(done, total=len(missing), desc="saliency", unit="photo"):
                pass  # the loop raises what a worker raised
    return targets


def _folder_name(folder: Path) -> str:
    path = os.path.abspath(folder)
    return f"{os.path.basename(path)}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"


def _save_map(teach: Teacher, target: Path, photo: str | Path) -> None:
    saliency = np.nan_to_num(teach(read_rgb(photo), photo)).clip(0, 1)
    with atomic_write(target) as part:
        Image.fromarray(np.rint(saliency * 255).astype(np.uint8)).save(part, "PNG")


def _is_current(target: Path, *sources: str | Path | None) -> bool:
    """Whether `target` is there and no older than what it was made from."""
    if not target.exists():
        return False
    made = target.stat().st_mtime_ns
    try:
        return all(os.stat(path).st_mtime_ns <= made for path in sources if path)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from error
