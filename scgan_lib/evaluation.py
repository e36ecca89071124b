"""Scores of folders of pictures, and their provenance.

Every method is a folder of 8-bit pictures, matched to the real ones by name without suffix; the
result is one row for each image and method (`metrics.csv`), from which all tables can be made.
"""

import hashlib
import itertools
import json
import platform
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
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
from scgan_lib.pictures import list_pictures, luma_u8, read_rgb, to_chw
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
RESERVED = ("", "real", "realphoto", "gray", "graycopy", "meancolor", "meancolour", "stage1")
RESERVED += ("scgan", "saliency", "mask", COMPOSITES)
Judge = Callable[[torch.Tensor], torch.Tensor]  # uint8 (B,3,H,W) -> logits (B,1000)


class Skipped(NamedTuple):
    """A picture that was not scored: of which method, which one, and why."""

    method: str
    image: str
    reason: str


def score(
    real: Path,
    methods: Mapping[str, Path],
    judge: Judge | None = None,
    labels: Mapping[str, int] | None = None,
) -> tuple[pd.DataFrame, list[Skipped]]:
    """Score folders of pictures against the folder `real`: a row for each image and method.

    Pictures of photos lie in a method's FOLDER, those of composites in `composites/` beside it
    under the same name; their masks (>= 128 is object) are in `composites/mask`, beside `real`.
    Photos are shown to `judge`. agree: 0 or 1, same first answer as on the real photo; top1, top5:
    for stems in `labels` (ImageNet class index). What was not measured is nan; identical pictures
    have psnr inf. Pictures that are missing, surplus, unreadable or of another size than the real
    one are returned as `Skipped`. UserError if a folder is missing or nothing could be scored.
    """
    skipped: list[Skipped] = []
    folders = {"real": Path(real)} | {name: Path(folder) for name, folder in methods.items()}
    files = {name: _listing(name, folder, skipped) for name, folder in folders.items()}
    for name, found in files.items():
        kinds = {PHOTOS, *(kind for kind, _ in found)}
        missing, surplus = files["real"].keys() - found, found.keys() - files["real"]
        skipped += [Skipped(name, stem, "missing") for kind, stem in missing if kind in kinds]
        skipped += [Skipped(name, stem, "no real photo of this name") for _, stem in surplus]
    rows: list[dict[str, Any]] = []
    for kind, stem in progress(files["real"], desc="score", unit="picture"):
        mask_path = folders["real"].parent / COMPOSITES / "mask" / f"{stem}.png"
        mask = read_rgb(mask_path)[..., 0] if kind == COMPOSITES else None
        truth = answer = None
        for name, path in ((n, f[kind, stem]) for n, f in files.items() if (kind, stem) in f):
            try:
                image = read_rgb(path)
                truth = image if name == "real" else truth
                if image.shape != truth.shape:
                    sizes = [f"{x.shape[1]}x{x.shape[0]}" for x in (image, truth)]
                    raise UserError(f"{path}: {sizes[0]} pixels, the real photo has {sizes[1]}")
            except UserError as error:
                skipped.append(Skipped(name, stem, str(error).replace(str(path), path.name)))
                if name == "real":  # it comes first; without it nothing can be compared
                    break
                continue
            row = {"image": stem, "method": name, "set": kind, **_numbers(truth, image, mask)}
            if judge and kind == PHOTOS:
                best = judge(to_chw(image)[None])[0].topk(5).indices.tolist()
                answer = best[0] if name == "real" else answer
                row |= {"judge_class": best[0], "agree": int(best[0] == answer)}
                if (label := (labels or {}).get(stem)) is not None:
                    row |= {"top1": int(best[0] == label), "top5": int(label in best)}
            rows.append(row)
    if not rows:
        raise UserError(f"{real}: no picture could be scored; the first: {skipped[:1]}")
    order = [*methods, "real"]
    rows.sort(key=lambda row: (row["set"] == COMPOSITES, order.index(row["method"])))
    return pd.DataFrame(rows).reindex(columns=COLUMNS), sorted(set(skipped))


def _listing(name: str, folder: Path, skipped: list[Skipped]) -> dict[tuple[str, str], Path]:
    """(set, stem) -> picture, of a method's two folders."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of pictures of {name!r}")
    files: dict[tuple[str, str], Path] = {}
    for kind, place in ((PHOTOS, folder), (COMPOSITES, folder.parent / COMPOSITES / folder.name)):
        for path in list_pictures(place):
            if (used := files.setdefault((kind, path.stem), path)) != path:
                reason = f"{path.name}: same name as {used.name}, which is used"
                skipped.append(Skipped(name, path.stem, reason))
    return files


def _numbers(real: np.ndarray, image: np.ndarray, mask: np.ndarray | None) -> dict[str, float]:
    out = {name: getattr(metrics, name)(real, image) for name in ("psnr", "ssim", "nrmse")}
    out |= {"cci": metrics.cci(image), "cni": metrics.cni(image)}
    out["saturation"] = metrics.mean_saturation(image)
    if mask is not None:
        out["boundary_chroma"] = metrics.boundary_chroma_error(real, image, mask)
        out["salient_chroma"] = metrics.salient_chroma_error(real, image, mask)
    return out


# --- a profile's own results ----------------------------------------------------------------------


def write_outputs(
    profile: Profile, weights: Mapping[str, Path]
) -> tuple[dict[str, Path], list[Skipped]]:
    """Colorize what the profile tests: `results/<profile>/outputs/<method>/<stem>.png`.

    Methods: real, gray, mean_color (the picture's luma with the training photos' mean chroma) and
    one for each generator in `weights`; `saliency` holds the last one's predicted maps. Composites
    of cut-outs lie in `outputs/composites/<method>/`, their exact masks in
    `outputs/composites/mask/`. -> the methods' folders of photos, and the photos that are damaged.
    """
    generators = {
        name: colorize.inference_form(colorize.load_generator(path)[0])
        for name, path in weights.items()
    }
    photos, composites = named_photos(profile), data.test_composites(profile)
    chroma, target = mean_chroma(profile), profile.results / "outputs"
    root = target.with_name(".outputs.part")  # the old ones stay until the new are whole
    shutil.rmtree(root, ignore_errors=True)
    skipped: list[Skipped] = []

    def pictures() -> Iterator[tuple[str, np.ndarray, None]]:
        for stem, photo in progress(photos.items(), desc="colorize", unit="photo"):
            try:
                yield stem, data.test_picture(photo, profile.judge_size), None
            except UserError as error:
                skipped.append(Skipped("real", stem, str(error)))

    for stem, real, mask in itertools.chain(pictures(), composites):
        gray = luma_u8(real)
        made = {"real": real, "gray": np.repeat(gray[..., None], 3, 2)}
        made["mean_color"] = np.rint(gray[..., None] + chroma).clip(0, 255).astype(np.uint8)
        for name, generator in generators.items():
            x = torch.from_numpy(gray)[None, None]
            rgb, saliency = colorize.render(generator, x, profile.image_size)
            made[name] = rgb[0].permute(1, 2, 0).numpy()
            made["saliency"] = saliency[0, 0].numpy()
        folder = root if mask is None else root / COMPOSITES
        for name, picture in (made if mask is None else made | {"mask": mask}).items():
            with atomic_write(folder / name / f"{stem}.png") as part:
                Image.fromarray(picture).save(part, "PNG")
    if len(skipped) == len(photos):
        raise UserError(f"{profile.data_path}: no test photo is readable: {skipped[0].reason}")
    shutil.rmtree(target, ignore_errors=True)
    root.rename(target)
    return {n: target / n for n in ("real", "gray", "mean_color", *generators)}, skipped


def mean_chroma(profile: Profile) -> np.ndarray:
    """Mean of rgb − luma over at most 1,000 training photos, (3,), in 0..255: the "one colour"."""
    found = data.photos(profile, "train")
    means = []
    for photo in found[:: max(1, len(found) // 1000)][:1000]:
        rgb = data.test_picture(photo, 64).astype(float)
        means.append((rgb - luma_u8(rgb)[..., None]).mean((0, 1)))
    return np.mean(means, 0)


def named_photos(profile: Profile) -> dict[str, data.Photo]:
    """Stem of its results -> test photo; its folders' names join where stems repeat."""
    found, root = data.photos(profile, "test"), data.data_root(profile)
    count, named = Counter(p.stem for p in found), {}
    for photo in found:
        inside = photo.path.relative_to(root).with_suffix("")
        named["_".join(inside.parts) if count[photo.stem] > 1 else photo.stem] = photo
    return named


def test_labels(profile: Profile) -> dict[str, int]:
    """Stem of a test photo's pictures -> its ImageNet class, for those that have one.

    In a complete ImageNet tree the i-th folder is class i; credits.csv names classes, for some.
    """
    photos = named_photos(profile)
    wnids = sorted({p.label for p in photos.values() if p.label})
    index = {wnid: i for i, wnid in enumerate(wnids)}
    if len(wnids) != 1000:
        index = pretrained.imagenet_class_index(wnids) | pretrained.tiny_classes()
    return {stem: index[p.label] for stem, p in photos.items() if p.label in index}


def evaluate(
    profile: Profile,
    extra: Mapping[str, Path] | None = None,
    weights: Mapping[str, Path] | None = None,
) -> tuple[pd.DataFrame, list[Skipped]]:
    """Colorize, score and write `metrics.csv` and `manifest.json` of a profile.

    `extra` adds methods: name -> folder of somebody's pictures, matched by name. `weights`: the
    generators, name -> file. None: those of both stages, stage1 and scgan, where they are trained,
    and the shipped ones of `profile.beside`; the last stage's are copied beside the results in half
    precision. -> (the rows, what was skipped).
    """
    for name in extra or {}:
        if "".join(c for c in name.lower() if c not in " _-") in {profile.beside, *RESERVED}:
            raise UserError(f"--method {name!r}: a name of our own; choose another")
    ours = weights is None
    own = _own_weights(profile) if ours else {}
    if ours:
        shipped = {profile.beside: ROOT / "results" / profile.beside / colorize.SHIPPED}
        weights = (shipped if profile.beside else {}) | own
    refused = data.listed(profile)[1] if profile.test_list else {}
    unlisted = [Skipped("list", line, why) for line, why in refused.items()]
    methods, damaged = write_outputs(profile, weights)
    methods |= extra or {}
    judge, judge_name = _judge_for(profile)
    table, skipped = score(methods.pop("real"), methods, judge, test_labels(profile))
    skipped += damaged + unlisted
    if ours and len(kept := _kept(profile, table, judge_name)):
        table = pd.concat([table, kept])
    text = table.to_csv(index=False, lineterminator="\n").encode()
    with atomic_write(profile.results / "metrics.csv") as part:
        part.write_bytes(text)
    if own:
        generator, settings, facts = colorize.load_generator([*own.values()][-1])
        target = profile.results / colorize.SHIPPED
        colorize.save_generator(generator, settings, target, half=True, **facts)
    facts = dict(
        judge=judge_name, vgg=pretrained.vgg16_trunk(profile.vgg).name,
        judge_classes=pretrained.class_names(table["judge_class"].dropna().astype(int).unique()),
        skipped=[s._asdict() for s in skipped], test_list=Path(profile.test_list).name,
        metrics_sha256=hashlib.sha256(text).hexdigest(),
    )  # fmt: skip
    write_json(profile.results / "manifest.json", provenance(profile) | facts)
    return table, skipped


def _own_weights(profile: Profile) -> dict[str, Path]:
    """The weights of both stages, where trained; UserError if metrics.csv would lose rows."""
    stages = {n: training.final_weights(profile, i) for n, i in (("stage1", 1), ("scgan", 2))}
    trained = {name: file for name, file in stages.items() if file.is_file()}
    path = profile.results / "metrics.csv"
    before = {*pd.read_csv(path, usecols=["method"])["method"]} if path.is_file() else set()
    if lost := before & (stages.keys() - trained.keys()):
        raise UserError(
            f"{path}: has rows of {', '.join(sorted(lost))}, whose weights are not trained "
            f"here and would be lost; run `make reproduce PROFILE={profile.name}`, or set "
            "SCGAN_OUTPUT to another folder"
        )
    return trained


def _kept(profile: Profile, table: pd.DataFrame, judge: str) -> pd.DataFrame:
    """Rows of other people's methods, scored earlier on the same pictures by the same judge."""

    def pictures(frame: pd.DataFrame) -> pd.Series:
        """What tells whether the real pictures are the same: the gray copies' PSNR."""
        gray = frame[frame["method"] == "gray"].set_index(["set", "image"])
        return gray["psnr"].round(6).sort_index()

    path, manifest = profile.results / "metrics.csv", profile.results / "manifest.json"
    if not (path.is_file() and manifest.is_file()):
        return table[:0]
    before = pd.read_csv(path, dtype={"image": str}).reindex(columns=table.columns)
    others = before[~before["method"].isin({*table["method"], profile.beside, "stage1", "scgan"})]
    names = ", ".join(sorted({*others["method"]}))
    same = json.loads(manifest.read_text("utf-8")).get("judge") == judge
    same = same and pictures(before).equals(pictures(table))
    what = "kept from the evaluation before" if same else "dropped: other pictures, another judge"
    if names:
        print(f"{path}: rows of {names} are {what}", file=sys.stderr)
    return others if same else table[:0]


def _judge_for(profile: Profile) -> tuple[Judge, str]:
    """The judge and its name; on Tiny ImageNet it chooses among the 200 classes of that set."""
    judge = pretrained.load_judge()
    if not tiny.is_tiny(data.data_root(profile)):
        return judge, judge.name
    others = torch.ones(1000, dtype=torch.bool)
    others[[*pretrained.tiny_classes().values()]] = False
    return lambda u8: judge(u8).masked_fill(others, -torch.inf), f"{judge.name}, 200 classes"


# --- provenance -----------------------------------------------------------------------------------


def provenance(profile: Profile) -> dict[str, Any]:
    """What a result depends on: settings, seed, commit, versions, protocol.

    Paths inside the project are relative to it; of others the name alone is told.
    """
    settings = profile.settings()
    for key, value in settings.items():
        if isinstance(value, str) and (path := Path(value)).is_absolute():
            settings[key] = f"{path.relative_to(ROOT)}" if path.is_relative_to(ROOT) else path.name
    packages = ("torch", "torchvision", "numpy", "pillow", "scikit-image")
    return dict(
        profile=profile.name, seed=profile.seed, settings=settings, commit=_commit(),
        versions={"python": platform.python_version()} | {p: version(p) for p in packages},
        protocol=PROTOCOL,
    )  # fmt: skip


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write facts as JSON, in one order, whole or not at all."""
    with atomic_write(path) as part:
        text = json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False)
        part.write_text(text + "\n", encoding="utf-8")


def _commit() -> str:
    """Commit of the code, with "+" if files were changed since; "unknown" outside a clone."""
    ask = "git rev-parse HEAD && (git diff --quiet HEAD scgan_lib || echo +)"
    told = subprocess.run(ask, shell=True, cwd=ROOT, capture_output=True, text=True).stdout
    return "".join(told.split()) or "unknown"
