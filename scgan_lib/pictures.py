"""Picture files and pixels: any file in, upright RGB out; and the ranges that networks work in."""

import contextlib
import io
import os
import zipfile
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

from scgan_lib.paths import UserError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"}
IMAGE_SUFFIXES |= {".ppm", ".pgm", ".gif", ".jp2", ".avif"}
PAGED = {".tif", ".tiff"}  # whose pages are pictures of their own
with contextlib.suppress(ImportError):  # not needed, but used where it is installed
    import pillow_heif

    pillow_heif.register_heif_opener()
    IMAGE_SUFFIXES |= {".heic", ".heif"}
LUMA = np.array([0.299, 0.587, 0.114])
# What of a file's EXIF is carried to a result: who, when, where, how; never the old pixels' layout.
CARRIED = (269, 270, 271, 272, 282, 283, 296, 306, 315, 316, 18246, 33432, *range(40091, 40096))
OURS = "scgan-replicated"  # in the metadata of every result: what tells ours from the user's
SOFTWARE = 305  # a tag of EXIF and TIFF
VOID = {0x927C, 0xA001, 0xA002, 0xA003, 0xA005}  # maker's offsets, colour space, size, interop
MOST_WORDS = 60_000  # bytes of EXIF or XMP; JPEG has room for 65,533


def open_picture(path: str | Path) -> Image.Image:
    """The decoded picture, upright, in mode RGB (or RGBA where it has transparency), in sRGB.

    Gray, palette, CMYK and 16-bit pictures are converted, and those with a colour profile. Of
    several frames or pages the first. UserError if it is missing, no picture, or cut short.
    """
    return read_picture(path)[0]


def read_picture(
    path: str | Path, content: bytes | None = None, page: int = 0
) -> tuple[Image.Image, dict, bool]:
    """`open_picture` of a file (or its `content`), and what else it says, for `Image.save`.

    -> picture; its `exif` (upright, without a thumbnail), `dpi` and `xmp` where there are some;
    whether the file holds more than one picture. `page`: which one of a TIFF, see `pages_of`.
    """
    try:
        with Image.open(io.BytesIO(read_file(path) if content is None else content)) as image:
            several = getattr(image, "is_animated", False)  # asked before its pixels are read
            image.seek(page)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return to_rgb_mode(to_srgb(image)), _words(image), several
    except (FileNotFoundError, KeyError):
        raise UserError(f"{path}: no such file") from None
    except Image.DecompressionBombError:
        raise UserError(f"{path}: too many pixels; --max-pixels N allows N of them") from None
    except Exception as error:  # a damaged file can raise nearly anything
        why = "of no known format" if isinstance(error, UnidentifiedImageError) else error
        raise UserError(
            f"{path}: not a readable picture ({why}); replace or remove the file"
        ) from None


def read_file(path: str | Path) -> bytes:
    """The bytes of a file, which may lie in a zip: see `zip_of`."""
    if archive := zip_of(path):
        return _archive(archive, os.getpid()).read(Path(path).relative_to(archive).as_posix())
    if os.path.isdir(path):
        os.listdir(path)  # a folder in a list of files may not be read: it says why
    return Path(path).read_bytes()


def zip_of(path: str | Path) -> Path | None:
    """The zip file that the path leads into, as `photos.zip/train/a.jpg` does; else None."""
    above = Path(path).parents if ".zip" in str(path).lower() else ()
    return next((p for p in above if p.suffix.lower() == ".zip" and p.is_file()), None)


@lru_cache(maxsize=2)
def _archive(path: Path, process: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)  # of one process: a forked one must not share the file's position


def _words(image: Image.Image) -> dict:
    """EXIF, resolution and XMP that are true of a result too; not what is damaged or too long."""
    words, info = {"exif": Image.Exif()}, image.info
    with contextlib.suppress(Exception):  # damaged words are no reason to refuse a picture
        if len(info.get("xmp", b"")) in range(1, MOST_WORDS):
            words["xmp"] = bytes(info["xmp"])
        if all(1 <= x < 2**15 for x in info.get("dpi", [0])):
            words["dpi"] = tuple(map(float, info["dpi"]))
        exif, kept = image.getexif(), Image.Exif()
        for tag in (tag for tag in CARRIED if tag in exif):
            text = exif[tag] if isinstance(exif[tag], str) else ""  # accents survive as bytes only
            kept[tag] = exif[tag] if text.isascii() else text.encode("latin-1")
        for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            if inside := {k: v for k, v in exif.get_ifd(part).items() if k not in VOID}:
                kept.get_ifd(part).update(inside)  # Pillow's TIFF asks here,
                kept[part] = inside  # the others there
        if len(kept.tobytes()) < MOST_WORDS:
            words["exif"] = kept
    return words


def to_srgb(image: Image.Image) -> Image.Image:
    """`image` in sRGB, seen through its colour profile; unchanged without one that fits it."""
    if not (data := image.info.get("icc_profile")):
        return image
    gray = image.mode.partition(";")[0] in ("1", "L", "LA", "I", "F")
    mode = "L" if gray else "CMYK" if image.mode == "CMYK" else "RGB"
    flat = image if mode == "CMYK" else to_rgb_mode(image)
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if "sRGB" in str(profile.profile.profile_description):
            return image
        srgb = ImageCms.createProfile("sRGB")  # one that does not fit the mode raises PyCMSError
        seen = ImageCms.profileToProfile(flat.convert(mode), profile, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    if flat.mode == "RGBA":
        seen.putalpha(flat.getchannel("A"))
    return seen


def to_rgb_mode(image: Image.Image) -> Image.Image:
    """Any Pillow picture in mode RGB, or RGBA where it has transparency.

    Pixels that are fully transparent get the mean colour of the others: what nobody sees must not
    change what a network makes of the rest. The tags of a TIFF tell the range of 12-, 16- and
    32-bit gray and which end is white.
    """
    tags = getattr(image, "tag_v2", {})
    declared = {341, 281} & tags.keys()  # (S)MaxSampleValue
    if 2 in np.ravel(tags.get(339, 1)) and not declared:  # SampleFormat
        raise ValueError("signed numbers, and no tag tells their range")
    if np.max(tags.get(284, 1)) == 2 and np.max(tags.get(258, 8)) > 8:  # PlanarConfiguration
        raise ValueError("wide colours in separate planes, which Pillow reads wrongly")
    if image.mode.startswith("I") or image.mode == "F":  # 12-, 16- and 32-bit gray
        wide, bits = np.asarray(image, dtype=np.float64), np.max(tags.get(258, 16))  # BitsPerSample
        wide = wide % 2**32 if image.mode == "I" and not declared else wide  # Pillow's are signed
        low = np.min(tags.get(340, tags.get(280, 0)))  # (S)MinSampleValue
        top = np.max(tags.get(341, tags.get(281, 1 if image.mode == "F" else 2.0**bits - 1)))
        if not (np.isfinite(wide).all() and low <= wide.min() and wide.max() <= top):
            raise ValueError(f"values outside of {low:g}..{top:g}, and no tag tells their range")
        share = (wide - low) / max(top - low, 1e-9)
        share = 1 - share if tags.get(262) == 0 else share  # 0: MinIsWhite
        image = Image.fromarray((share * 255 + 0.5).clip(0, 255).astype(np.uint8))
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    pixels = np.array(image.convert("RGBA"))
    seen = pixels[..., 3] > 0
    if not seen.all():
        pixels[~seen, :3] = pixels[seen, :3].mean(0).round() if seen.any() else 255
    return Image.fromarray(pixels)


def on_white(image: Image.Image) -> Image.Image:
    """`image` without transparency: laid on white."""
    if image.mode != "RGBA":
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def read_rgb(path: str | Path) -> np.ndarray:
    """The picture at `path` as uint8 (H,W,3); transparency is laid on white. See `open_picture`."""
    return np.asarray(on_white(open_picture(path)))


def mark_of(path: Path) -> str:
    """What the picture at `path` says about the software that made it; "" where it says nothing."""
    with contextlib.suppress(Exception), Image.open(path) as image:
        # the EXIF of a PNG may lie behind its pixels: too long a way for each picture of a folder
        words = image.info if image.format == "PNG" else image.getexif()
        return str(words.get("Software") or words.get(SOFTWARE, ""))
    return ""


def is_ours(path: Path) -> bool:
    """Whether the picture at `path` is a result of scgan."""
    return mark_of(path).startswith(OURS)


def pages_of(path: Path) -> list[int]:
    """The pages of a TIFF, without thumbnails and masks; of any other file the first picture."""
    pages = []
    if path.suffix.lower() in PAGED:
        with contextlib.suppress(Exception), Image.open(path) as image:
            for page in range(image.n_frames):
                image.seek(page)
                if not image.tag_v2.get(254, 0) & 5:  # NewSubfileType
                    pages.append(page)
    return pages or [0]


def list_pictures(root: Path) -> list[Path]:
    """The picture files of a folder, in order, and its unreadable folders. See `list_files`."""
    return [p for p in list_files(root) if p.suffix.lower() in IMAGE_SUFFIXES or p.is_dir()]


def list_files(root: Path, counts: Counter | None = None) -> list[Path]:
    """The files of a folder or zip, in order. Links are followed.

    Hidden files and folders are no data; `counts["hidden"]` grows by their number. A folder that
    cannot be read stands in the list itself: who reads it as a file hears why.
    """
    if root.is_file():
        try:
            inside = [root / name for name in zipfile.ZipFile(root).namelist()]
        except zipfile.BadZipFile as error:
            raise UserError(f"{root}: not a whole zip file ({error}); get it again") from None
        return sorted(p for p in inside if not p.name.startswith("."))
    found, seen = [], set()
    shut = lambda error: found.append(Path(error.filename))  # noqa: E731
    for folder, inner, files in os.walk(root, onerror=shut, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            files, inner[:] = [], []
        if counts is not None:
            counts["hidden"] += sum(x.startswith(".") for x in (*inner, *files))
        inner[:] = sorted(x for x in inner if not x.startswith("."))
        paths = [Path(folder, x) for x in files if not x.startswith(".")]
        found += [p for p in paths if p.is_file() or not p.exists()]  # no pipes, but dead links
        seen.add(real)
    return sorted(found)


# --- pixels ---------------------------------------------------------------------------------------


def luma_u8(rgb_u8: np.ndarray) -> np.ndarray:
    """BT.601 luma of uint8 (H,W,3), rounded to uint8 (H,W)."""
    parts = np.split(rgb_u8, range(256, len(rgb_u8), 256))  # spares memory
    return np.concatenate([np.rint(part @ LUMA).astype(np.uint8) for part in parts])


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
    return torch.from_numpy(np.atleast_3d(hwc).transpose(2, 0, 1).copy())
