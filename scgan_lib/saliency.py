"""Saliency teachers: photograph in, map of what stands out, and a cache of such maps.

The authors' maps (PFAN's output) were never published, so the teacher is a choice of ours and its
name goes wherever its maps go. All teachers share one interface: `teacher(name)(rgb_u8, path)`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra
from skimage.color import rgb2lab
from skimage.segmentation import slic

from scgan_lib.paths import UserError, atomic_write, cache_dir
from scgan_lib.progress import progress as progress_bar

Teacher = Callable[..., np.ndarray]  # (rgb_u8 (H,W,3), path=None) -> float32 (H,W) in [0,1]

DEFAULT = "robust-background"
REMBG_MODELS = {"u2netp": "u2netp", "isnet": "isnet-general-use"}
# Raise a teacher's number when its maps change: old maps stay as they were, beside the new ones.
VERSIONS = {"robust-background": 1, "folder": 1, "u2netp": 1, "isnet": 1}


def teacher(name: str = DEFAULT) -> Teacher:
    """The teacher called `name`: uint8 RGB (H,W,3), path of the photo -> float32 (H,W) in [0,1].

    "robust-background" (no weights), "folder:DIR" (ready maps, found by the photo's stem), "u2netp"
    and "isnet" (deep, through rembg). Only "folder:DIR" needs the path. UserError if the name is
    unknown, the folder is missing, or rembg or its weights cannot be had.
    """
    kind, _, folder = name.partition(":")
    if kind == "folder" and folder:
        return _folder_teacher(Path(folder))
    if name in REMBG_MODELS:
        return _rembg_teacher(name)
    if name == DEFAULT:
        return lambda rgb_u8, path=None: robust_background(rgb_u8)
    known = ", ".join([DEFAULT, "folder:DIR", *REMBG_MODELS])
    raise UserError(f"unknown saliency teacher {name!r}; known teachers: {known}")


# --- the classical teacher ------------------------------------------------------------------------


def robust_background(rgb_u8: np.ndarray, scales: Sequence[int] = (200, 400)) -> np.ndarray:
    """Salient object map of uint8 (H,W,3) -> float32 (H,W) in [0,1], without learned weights.

    Robust background detection on SLIC superpixels at two scales (`superpixel_saliency`), averaged,
    carried to every pixel by a guided filter, then a logistic stretch. A flat picture gives zeros.
    Differs from the source in the centre prior, the two scales and the filter.
    Source: Zhu, Liang, Wei, Sun, "Saliency optimization from robust background detection", 2014.
    """
    h, w = rgb_u8.shape[:2]
    shrink = min(1.0, 400 / max(h, w))
    size = tuple(max(16, round(extent * shrink)) for extent in (w, h))
    small_u8 = np.asarray(Image.fromarray(rgb_u8).resize(size, Image.BOX))
    lab = rgb2lab(small_u8)
    coarse = np.mean([superpixel_saliency(small_u8, lab, n) for n in scales], axis=0)
    # One bright window should not dim a whole house: the top 3 % of the area counts as 1.
    coarse = np.clip(coarse / max(np.quantile(coarse, 0.97), 1e-6), 0, 1)
    fine = guided_upsample(rgb_u8, small_u8, coarse)
    contrast = np.ptp(lab, axis=(0, 1)).max()  # in Lab units: below 10 there is hardly an object
    low, high = _logistic(0.0), _logistic(1.0)
    stretched = (_logistic(fine) - low) / (high - low) * min(1.0, contrast / 10)
    return stretched.clip(0, 1).astype(np.float32)


def superpixel_saliency(rgb_u8: np.ndarray, lab: np.ndarray, n: int) -> np.ndarray:
    """Saliency of about `n` superpixels, drawn back on the pixels: (H,W,3) -> (H,W), in [0,1].

    A region that touches the rim along much of its length is background: with geodesic colour
    distance D and a = exp(−D²/2σ²), connectivity = Σ_rim a / √(Σ a), w_bg = 1 − exp(−connectivity²/2).
    Contrast to such background, weighted by nearness and a centre prior, is w_fg. The map solves
    min_s Σ w_bg s² + Σ w_fg (s − 1)² + Σ w_ij (s_i − s_j)², a small linear system.
    """
    h, w = lab.shape[:2]
    label = slic(rgb_u8, n_segments=n, compactness=25, max_num_iter=5, start_label=0)
    k = int(label.max()) + 1
    count = np.maximum(np.bincount(label.ravel(), minlength=k), 1)
    y, x = np.indices((h, w))
    planes = [*np.moveaxis(lab, 2, 0), (y + 0.5) / h, (x + 0.5) / w]
    means = [np.bincount(label.ravel(), plane.ravel(), k) / count for plane in planes]
    colour, place = np.stack(means[:3], 1), np.stack(means[3:], 1)  # (k, 3), (k, 2)
    color_distance, place_distance = _distances(colour), _distances(place)  # (k, k)

    touching = np.zeros((k, k), dtype=bool)
    for a, b in ((label[1:], label[:-1]), (label[:, 1:], label[:, :-1])):
        touching[a, b] = touching[b, a] = True
    np.fill_diagonal(touching, False)
    rim = np.zeros(k, dtype=bool)
    rim[np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]])] = True
    linked = touching | np.outer(rim, rim)  # background cut in two by an object stays one
    np.fill_diagonal(linked, False)

    # Steps smaller than the usual one between neighbours are texture and cost nothing.
    nearest = np.where(touching, color_distance, np.inf).min(axis=1)
    texture = nearest[np.isfinite(nearest)].mean() if touching.any() else 0.0
    i, j = np.nonzero(linked)
    step = np.maximum(color_distance[i, j] - texture, 0) + 1e-5  # 0 would mean "no edge"
    same = _bell(dijkstra(sparse.csr_array((step, (i, j)), shape=(k, k))), 10)
    connectivity = same[:, rim].sum(axis=1) / np.sqrt(same.sum(axis=1))
    w_bg = 1 - _bell(connectivity, 1)

    contrast = _unit((color_distance * _bell(place_distance, 0.4)) @ w_bg)
    w_fg = contrast * _bell(np.linalg.norm(place - 0.5, axis=1), 0.35)
    w_fg[w_fg <= w_fg.mean()] = 0
    near = touching.astype(np.float32)
    near = (near + near @ near) > 0  # neighbours and their neighbours
    smooth = np.where(near, _bell(color_distance, 10) + 0.005, 0)
    np.fill_diagonal(smooth, 0)
    system = np.diag(smooth.sum(axis=1) + w_bg + w_fg + 1e-6) - smooth
    return _unit(np.linalg.solve(system, w_fg))[label]


def guided_upsample(
    rgb_u8: np.ndarray, small_u8: np.ndarray, coarse: np.ndarray, radius: int = 4, eps: float = 1e-3
) -> np.ndarray:
    """Carry `coarse` (h,w) to all pixels of uint8 (H,W,3), its edges moved to those of the photo.

    In every window map = a · rgb + b (least squares, ridge `eps`); a and b are fitted on the small
    photo (h,w,3) and resized. Source: He and Sun, "Fast guided filter", arXiv 1505.00996.
    """

    def mean(a: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(a, (2 * radius + 1,) * 2 + (0,) * (a.ndim - 2))

    guide = small_u8 / 255
    mu, mean_map = mean(guide), mean(coarse)
    covariance = (
        mean(guide[..., :, None] * guide[..., None, :]) - mu[..., :, None] * mu[..., None, :]
    )
    cross = mean(guide * coarse[..., None]) - mu * mean_map[..., None]
    slope = np.linalg.solve(covariance + eps * np.eye(3), cross[..., None])[..., 0]
    offset = mean_map - (slope * mu).sum(-1)
    fit = mean(np.concatenate([slope, offset[..., None]], axis=-1)).astype(np.float32)  # (h,w,4)
    size = rgb_u8.shape[1::-1]
    fit = [np.asarray(Image.fromarray(fit[..., c]).resize(size, Image.BILINEAR)) for c in range(4)]
    return sum(fit[c] * (rgb_u8[..., c] / 255) for c in range(3)) + fit[3]


def _distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def _bell(x: np.ndarray, sigma: float) -> np.ndarray:
    return np.exp(-(x**2) / (2 * sigma**2))


def _unit(x: np.ndarray) -> np.ndarray:
    return (x - x.min()) / max(np.ptp(x), 1e-9)


def _logistic(x: np.ndarray | float) -> np.ndarray:
    return 1 / (1 + np.exp(-8 * (np.asarray(x, dtype=np.float64) - 0.5)))


# --- ready maps and deep teachers -----------------------------------------------------------------


def _folder_index(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder of saliency maps; give folder:DIR an existing one"
        )
    index: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            index.setdefault(path.stem, []).append(path)
    return index


def _folder_teacher(folder: Path) -> Teacher:
    """Maps made elsewhere: DIR/<stem of the photo>.<any picture format>, resized to the photo."""
    from scgan_lib.data import open_picture  # data imports this module

    index = _folder_index(folder)

    def find(path: str | Path | None) -> Path:
        found = index.get(Path(path).stem, []) if path is not None else []
        if len(found) != 1:
            names = ", ".join(p.name for p in found) or "none"
            raise UserError(f"{path}: needs one map of its name in {folder}, found {names}")
        return found[0]

    def read(rgb_u8: np.ndarray, path: str | Path | None = None) -> np.ndarray:
        size = rgb_u8.shape[1::-1]
        gray = open_picture(find(path)).convert("L").resize(size, Image.BILINEAR)
        return np.asarray(gray, dtype=np.float32) / 255

    read.source = find  # the cache's key needs the map's content too
    return read


def _rembg_teacher(name: str) -> Teacher:
    """A deep salient object network (U²-Net small, IS-Net) run by the package rembg."""
    model = REMBG_MODELS[name]
    try:
        from rembg import new_session
    except (ImportError, SystemExit) as error:  # rembg exits where onnxruntime is missing
        raise UserError(
            f'saliency teacher {name}: install rembg first (pip install "rembg[cpu]"), or use {DEFAULT}'
        ) from error
    if not (Path.home() / ".u2net" / f"{model}.onnx").exists():
        os.environ.setdefault("U2NET_HOME", str(cache_dir() / "rembg"))
    try:
        session = new_session(model)
    except Exception as error:  # no network, a proxy, a damaged file: the cure is the same
        raise UserError(
            f"saliency teacher {name}: its weights {model}.onnx cannot be had ({error}); they need the "
            f"network once, or the file in ~/.u2net; or use {DEFAULT}"
        ) from error

    def predict(rgb_u8: np.ndarray, path: str | Path | None = None) -> np.ndarray:
        mask = session.predict(Image.fromarray(rgb_u8))[0].convert("L")
        return np.asarray(mask.resize(rgb_u8.shape[1::-1]), dtype=np.float32) / 255

    return predict


# --- the cache ------------------------------------------------------------------------------------


def saliency_maps(
    files: Sequence[str | Path],
    teacher_name: str,
    cache_root: str | Path,
    progress: Callable[..., Iterable] | None = None,
    workers: int = 2,
) -> list[Path]:
    """Paths of the maps of `files`, in order; maps that are missing or damaged are computed.

    A map is an 8-bit gray PNG of the photo's size, <cache_root>/saliency/<teacher>-<version>/
    <sha256 of the photo>.png; with "folder:DIR" the hash covers the ready map too. `progress` wraps
    the loop (default: the library's bar). Errors: those of `teacher` and of reading a photo.
    """
    kind = teacher_name.partition(":")[0]
    folder = Path(cache_root) / "saliency" / f"{kind}-{VERSIONS.get(kind, 0)}"
    # A teacher that is not in VERSIONS is unknown, and folder maps are part of the key.
    teach = teacher(teacher_name) if kind == "folder" or kind not in VERSIONS else None
    sources = getattr(teach, "source", None)
    targets = [folder / f"{_digest(file, sources)}.png" for file in files]
    missing = {t: f for t, f in zip(targets, files, strict=True) if not _is_sound(t)}
    if missing:
        teach = teach or teacher(teacher_name)
        wrap = progress or partial(progress_bar, desc=f"saliency ({teacher_name})", unit="photo")
        with ThreadPoolExecutor(workers) as pool:
            done = pool.map(lambda item: _save_map(teach, *item), missing.items())
            for _ in wrap(done, total=len(missing)):
                pass
    return targets


def _save_map(teach: Teacher, target: Path, file: str | Path) -> None:
    from scgan_lib.data import read_rgb  # data imports this module

    saliency = np.nan_to_num(teach(read_rgb(file), path=file))
    with atomic_write(target) as part:
        Image.fromarray(np.rint(saliency.clip(0, 1) * 255).astype(np.uint8)).save(part, "PNG")


def _digest(file: str | Path, source: Callable[[str | Path], Path] | None) -> str:
    """sha256 of the photo's bytes (and of its ready map's)."""
    digest = hashlib.sha256()
    for path in [file] if source is None else [file, source(file)]:
        try:
            digest.update(Path(path).read_bytes())
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    return digest.hexdigest()


def _is_sound(target: Path) -> bool:
    """A whole gray PNG: its checksums hold. Half a file, or another thing, is computed anew."""
    try:
        with Image.open(target) as image:
            sound = image.format == "PNG" and image.mode == "L"
            image.verify()
        return sound
    except (OSError, SyntaxError, ValueError):
        return False
