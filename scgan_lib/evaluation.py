"""Scores of folders of pictures, and their provenance.

Every method is a folder of 8-bit pictures, matched to the real ones by name without suffix; the
result is one row for each image and method (`metrics.csv`), from which all tables can be made.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image

from scgan_lib import colorize, data, metrics, pretrained, tiny, training
from scgan_lib.config import Profile
from scgan_lib.paths import ROOT, UserError, atomic_write
from scgan_lib.pictures import IMAGE_SUFFIXES, luma_u8, read_rgb, to_chw
from scgan_lib.progress import progress

PROTOCOL = (
    "Each picture is the largest centred square of a photo, resized with Pillow's bicubic filter, "
    "and judged as 8-bit RGB, values clipped to 0..255 and rounded to the nearest. PSNR and SSIM "
    "at data range 255 over R, G, B; SSIM with a 7x7 uniform window and sample covariance."
)
COLUMNS = (
    "image method set psnr ssim nrmse cci cni saturation top1 top5 agree judge_class "
    "boundary_chroma salient_chroma"
).split()
PHOTOS, COMPOSITES = "photos", "composites"  # the values of the column `set`
# Folders and methods that an evaluation makes by itself.
RESERVED = ("", "real", "gray", "mean_color", "stage1", "scgan", "saliency", "mask", COMPOSITES)


class Skipped(NamedTuple):
    """A picture that was not scored: of which method, which one, and why."""

    method: str
    image: str
    reason: str


def score(
    real: Path,
    methods: Mapping[str, Path],
    judge: Callable[[torch.Tensor], torch.Tensor] | None = None,
    labels: Mapping[str, int] | None = None,
    masks: Path | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[pd.DataFrame, list[Skipped]]:
    """Score folders of pictures against the folder `real`: a row for each image and method.

    The rows `real` and `gray` (BT.601 luma of the real photo) are added where `methods` has none.
    top1, top5: 0 or 1, for stems in `labels` (ImageNet class index); agree: same first answer of
    `judge` as on the real photo; boundary_chroma, salient_chroma: where `masks` has a picture of
    that stem (>= 128 is object). What was not measured is nan; identical pictures have psnr inf.
    set: "composites" with `masks`, else "photos".
    Pictures that are missing, surplus, unreadable or of another size than the real one are
    returned as `Skipped`, the rest is scored. UserError if a folder is missing or none is left.
    """
    skipped: list[Skipped] = []
    folders = {"real": real, **methods}
    files = {name: _listing(name, folder, skipped) for name, folder in folders.items()}
    for name, found in files.items():
        missing, surplus = files["real"].keys() - found, found.keys() - files["real"]
        skipped += [Skipped(name, stem, "missing") for stem in missing]
        skipped += [Skipped(name, stem, "no real photo of this name") for stem in surplus]
    if masks:
        files["masks"] = _listing("masks", masks, skipped)
    rows: list[dict[str, Any]] = []
    for stem in progress(list(files["real"])):
        pictures = _pictures(stem, files, skipped)
        mask = pictures.pop("masks", None)
        if "real" not in pictures:
            continue
        gray = np.repeat(luma_u8(pictures["real"])[..., None], 3, 2)
        answer = None  # the judge's first choice on the real photo
        for name, image in ({"real": pictures["real"], "gray": gray} | pictures).items():
            row = {"image": stem, "method": name, "set": COMPOSITES if masks else PHOTOS}
            row |= _numbers(pictures["real"], image, mask)
            if judge:
                best = judge(to_chw(image)[None])[0].topk(5).indices.tolist()
                answer = best[0] if name == "real" else answer
                row |= {"judge_class": best[0], "agree": int(best[0] == answer)}
                if (label := (labels or {}).get(stem)) is not None:
                    row |= {"top1": int(best[0] == label), "top5": int(label in best)}
            rows.append(row)
    if not rows:
        raise UserError(f"{real}: no picture could be scored; the first: {skipped[:1]}")
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    order = list(dict.fromkeys([*methods, "gray", "real"])).index  # methods as they were given
    table = table.sort_values("method", key=lambda m: m.map(order), kind="stable")
    return table.reset_index(drop=True), sorted(set(skipped))


def _listing(name: str, folder: Path, skipped: list[Skipped]) -> dict[str, Path]:
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of pictures of {name!r}")
    files: dict[str, Path] = {}
    for path in sorted(Path(folder).iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            if path.stem in files:
                reason = f"{path.name}: same name as {files[path.stem].name}, which is used"
                skipped.append(Skipped(name, path.stem, reason))
            files.setdefault(path.stem, path)
    return files


def _pictures(
    stem: str, files: Mapping[str, Mapping[str, Path]], skipped: list[Skipped]
) -> dict[str, np.ndarray]:
    """The readable pictures called `stem`, uint8 (H,W,3), those of the real one's size alone."""
    images: dict[str, np.ndarray] = {}
    for name, path in ((n, found[stem]) for n, found in files.items() if stem in found):
        try:
            image = read_rgb(path)
        except UserError as error:
            skipped.append(Skipped(name, stem, str(error).replace(f"{path}", path.name)))
            continue
        (h, w), (real_h, real_w) = image.shape[:2], images.get("real", image).shape[:2]
        if (h, w) != (real_h, real_w):
            reason = f"{path.name}: {w}x{h} pixels, the real photo has {real_w}x{real_h}"
            skipped.append(Skipped(name, stem, reason))
            continue
        images[name] = image
    return images


def _numbers(real: np.ndarray, image: np.ndarray, mask: np.ndarray | None) -> dict[str, float]:
    out = {name: getattr(metrics, name)(real, image) for name in ("psnr", "ssim", "nrmse")}
    out |= {"cci": metrics.cci(image), "cni": metrics.cni(image)}
    out["saturation"] = metrics.mean_saturation(image)
    if mask is not None:
        out["boundary_chroma"] = metrics.boundary_chroma_error(real, image, mask[..., 0])
        out["salient_chroma"] = metrics.salient_chroma_error(real, image, mask[..., 0])
    return out


def write_metrics(table: pd.DataFrame, path: Path) -> None:
    """Write `metrics.csv` whole or not at all, with enough digits to read the same numbers back."""
    with atomic_write(path) as part:
        table.to_csv(part, index=False, lineterminator="\n")


# --- a profile's own results ----------------------------------------------------------------------


def write_outputs(profile: Profile, weights: Mapping[str, Path] | None = None) -> dict[str, Path]:
    """Colorize what the profile tests: `results/<profile>/outputs/<method>/<stem>.png`.

    Methods: real, gray, mean_color (the picture's luma with the training photos' mean chroma) and
    one for each generator in `weights` (name -> file; None: stage1 and scgan, where trained).
    The shipped weights of `profile.beside` are one more method there. `saliency` holds the last
    one's predicted maps. Composites of cut-outs lie in `outputs/composites/<method>/`, their exact
    masks in `outputs/composites/mask/`.
    -> the methods' folders of photos. UserError names a photo that cannot be read.
    """
    if weights is None:
        shipped = {profile.beside: ROOT / "results" / profile.beside / colorize.SHIPPED}
        weights = (shipped if profile.beside else {}) | trained_weights(profile)
    generators = {
        name: colorize.inference_form(colorize.load_generator(path)[0])
        for name, path in weights.items()
    }
    chroma, root = mean_chroma(profile), profile.results / "outputs"
    photos, names = data.photos(profile, "test"), output_names(profile)
    shutil.rmtree(root, ignore_errors=True)  # only now, when the weights and photos are known
    for photo in progress(photos, desc="colorize", unit="photo"):
        real = data.test_picture(photo, profile.judge_size)
        pictures = _colorized(real, generators, chroma, profile.image_size)
        _save(pictures, root, names[photo.path])
    for name, real, mask in data.test_composites(profile):
        pictures = _colorized(real, generators, chroma, profile.image_size)
        _save(pictures | {"mask": mask}, root / COMPOSITES, name)
    return {n: root / n for n in ("real", "gray", "mean_color", *generators)}


def trained_weights(profile: Profile) -> dict[str, Path]:
    """The final weights of both stages, where they are trained."""
    paths = {n: training.final_weights(profile, i) for n, i in (("stage1", 1), ("scgan", 2))}
    return {name: path for name, path in paths.items() if path.is_file()}


def _colorized(real: np.ndarray, generators, chroma, size: int) -> dict[str, np.ndarray]:
    """Method -> uint8 picture of one uint8 (H,W,3), and "saliency" (H,W) of the last generator."""
    gray = luma_u8(real)
    pictures = {"real": real, "gray": np.repeat(gray[..., None], 3, 2)}
    pictures["mean_color"] = np.rint(gray[..., None] + chroma).clip(0, 255).astype(np.uint8)
    for name, generator in generators.items():
        rgb, saliency = colorize.render(generator, torch.from_numpy(gray)[None, None], size)
        pictures[name] = rgb[0].permute(1, 2, 0).numpy()
        pictures["saliency"] = saliency[0, 0].numpy()
    return pictures


def _save(pictures: Mapping[str, np.ndarray], root: Path, stem: str) -> None:
    for name, picture in pictures.items():
        with atomic_write(root / name / f"{stem}.png") as part:
            Image.fromarray(picture).save(part, "PNG")


def score_outputs(
    folders: Mapping[str, Path],
    judge: Callable[[torch.Tensor], torch.Tensor] | None = None,
    labels: Mapping[str, int] | None = None,
) -> tuple[pd.DataFrame, list[Skipped]]:
    """Score what `write_outputs` wrote, and others' folders: the photos, then the composites.

    `folders`: method -> folder, "real" among them. Composites are scored with their masks and
    without judge where `composites/` lies beside the folder of the real photos: for a method there,
    or in the folder of its own, `FOLDER/composites`. See `score`.
    """
    methods = dict(folders)
    real = Path(methods.pop("real"))
    table, skipped = score(
        real, methods, judge, labels, progress=partial(progress, desc="score", unit="photo")
    )
    home = real.parent / COMPOSITES
    if not (home / "real").is_dir():
        return table, skipped
    own = {m: Path(f) / COMPOSITES for m, f in methods.items()}
    own |= {m: home / Path(f).name for m, f in methods.items() if Path(f).parent == real.parent}
    own = {method: folder for method, folder in own.items() if folder.is_dir()}
    more, wrong = score(home / "real", own, masks=home / "mask")
    wrong = [s._replace(image=f"{COMPOSITES}/{s.image}") for s in wrong]
    return pd.concat([table, more], ignore_index=True), sorted({*skipped, *wrong})


def output_names(profile: Profile) -> dict[Path, str]:
    """Test photo -> the stem of its results; its folders' names join where stems repeat."""
    found = data.photos(profile, "test")
    repeated = {s for s, n in Counter(p.stem for p in found).items() if n > 1}
    root = data.data_root(profile)
    return {
        p.path: "_".join(p.path.relative_to(root).with_suffix("").parts)
        if p.stem in repeated
        else p.stem
        for p in found
    }


def mean_chroma(profile: Profile) -> np.ndarray:
    """Mean of rgb − luma over at most 1,000 training photos, (3,), in 0..255: the "one colour"."""
    found = data.photos(profile, "train")
    chosen = found[:: max(1, len(found) // 1000)][:1000]
    means = []
    for photo in chosen:
        rgb = data.test_picture(photo, 64).astype(float)
        means.append((rgb - luma_u8(rgb)[..., None]).mean((0, 1)))
    return np.mean(means, 0)


def test_labels(profile: Profile) -> dict[str, int]:
    """Stem of a test photo's pictures -> its ImageNet class, for those that have one.

    In a complete ImageNet tree the i-th folder is class i; credits.csv names classes, for some.
    """
    test, names = data.photos(profile, "test"), output_names(profile)
    wnids = sorted({p.label for p in test if p.label})
    index = {wnid: i for i, wnid in enumerate(wnids)}
    if len(wnids) != 1000:
        index = pretrained.imagenet_class_index(wnids)[0] | pretrained.tiny_classes()
    return {names[p.path]: index[p.label] for p in test if p.label in index}


def evaluate(
    profile: Profile,
    extra: Mapping[str, Path] | None = None,
    weights: Mapping[str, Path] | None = None,
) -> tuple[pd.DataFrame, list[Skipped]]:
    """Colorize, score and write `metrics.csv` and `manifest.json` of a profile.

    `extra` adds methods: name -> folder of somebody's pictures, matched by name. `weights`: the
    generators, see `write_outputs`. Where no labels are known, the judge's agreement with its
    answer on the real photo is measured. -> (the rows, what was skipped).
    """
    if reserved := {profile.beside, *RESERVED} & (extra or {}).keys():
        raise UserError(f"--method {min(reserved)!r}: a name of our own; choose another")
    path, known = profile.results / "metrics.csv", trained_weights(profile)
    if weights is None and path.is_file() and not {"stage1", "scgan"} <= known.keys():
        lost = {"stage1", "scgan"} - known.keys()
        if lost & set(pd.read_csv(path, usecols=["method"])["method"]):
            raise UserError(
                f"{path}: has rows of {', '.join(sorted(lost))}, whose weights are not trained "
                f"here and would be lost; run `make reproduce PROFILE={profile.name}`, or set "
                "SCGAN_OUTPUT to another folder"
            )
    unlisted = [Skipped("list", line, why) for line, why in data.unlisted(profile).items()]
    folders = write_outputs(profile, weights)
    folders |= {name: Path(folder) for name, folder in (extra or {}).items()}
    judge, judge_name = _judge_for(profile)
    table, skipped = score_outputs(folders, judge, test_labels(profile))
    skipped += unlisted
    write_metrics(table, path)
    own = known if weights is None else {}
    write_manifest(
        profile.results / "manifest.json", profile,
        judge=judge_name, vgg=pretrained.vgg16_trunk(profile.vgg).name, skipped=skipped,
        training={f"stage{i}": _ship(path, profile) for i, path in enumerate(own.values(), 1)},
        judge_classes=pretrained.class_names(table["judge_class"].dropna().astype(int).unique()),
        test_list=Path(profile.test_list).name, test_photos=len(list(folders["real"].iterdir())),
    )  # fmt: skip
    return table, skipped


def _judge_for(profile: Profile) -> tuple[Callable[[torch.Tensor], torch.Tensor], str]:
    """The judge and its name; on Tiny ImageNet it chooses among the 200 classes of that set."""
    judge = pretrained.load_judge()
    if not tiny.is_tiny(data.data_root(profile)):
        return judge, judge.name
    others = torch.ones(1000, dtype=torch.bool)
    others[[*pretrained.tiny_classes().values()]] = False
    return lambda u8: judge(u8).masked_fill(others, -torch.inf), f"{judge.name}, 200 classes"


def _ship(path: Path, profile: Profile) -> dict[str, float]:
    """Put half-precision weights beside the results. -> steps and seconds of their training."""
    generator, settings, facts = colorize.load_generator(path)
    target = profile.results / colorize.SHIPPED
    colorize.save_generator(generator, settings, target, half=True, **facts)
    return {k: float(facts[k]) for k in ("steps", "seconds")}


# --- provenance -----------------------------------------------------------------------------------


def write_manifest(
    path: Path, profile, *, judge: str = "", vgg: str = "", skipped: Iterable = (), **more: Any
) -> dict[str, Any]:
    """Write what a result depends on: settings, seed, commit, versions, judge, VGG, protocol.

    `more` (timings, hashes, device ...) is stored as given; `metrics.csv` beside it by its sha256.
    Folders inside the project are written relative to it, others by their name alone.
    """
    path = Path(path)
    table = path.with_name("metrics.csv")
    manifest = {
        "profile": profile.name,
        "seed": profile.seed,
        "settings": profile.settings(),
        "judge": judge,
        "vgg": vgg,
        "commit": _commit(),
        "protocol": PROTOCOL,
        "skipped": [s._asdict() if isinstance(s, Skipped) else s for s in skipped],
        "metrics_sha256": hashlib.sha256(table.read_bytes()).hexdigest() if table.exists() else "",
        "versions": {"python": platform.python_version()}
        | {p: version(p) for p in ("torch", "torchvision", "numpy", "pillow", "scikit-image")},
    } | more
    manifest["settings"]["data"] = _portable(Path(str(manifest["settings"].get("data", ""))))
    with atomic_write(path) as part:
        text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, default=_plain)
        part.write_text(text + "\n", encoding="utf-8")
    return manifest


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return _portable(value)
    return value.item() if hasattr(value, "item") else str(value)


def _portable(path: Path) -> str:
    inside = path.is_absolute() and path.is_relative_to(ROOT)
    return str(path.relative_to(ROOT)) if inside else path.name if path.is_absolute() else str(path)


def _commit() -> str:
    """Commit of the code, with "+" if files were changed since; "unknown" outside a clone."""
    try:
        run = [
            subprocess.run(
                ["git", "-C", ROOT, *a], capture_output=True, text=True, check=True
            ).stdout
            for a in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno", "scgan_lib"])
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run[0].strip() + ("+" if run[1].strip() else "")
