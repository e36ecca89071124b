"""Many pictures in one go: which ones, under which names, and nothing written over."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import itertools
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from scgan_lib import config, page, saliency
from scgan_lib.colorize import Colorizer, newest_weights
from scgan_lib.paths import UserError, atomic_write
from scgan_lib.pictures import IMAGE_SUFFIXES, list_pictures, on_white, read_picture
from scgan_lib.progress import progress

MARK = "scgan-replicated"  # in the metadata of every result: what tells ours from the user's
MARKS = {kind: f"{MARK}: {kind} predicted by a model" for kind in ("colours", "saliency")}
DESCRIPTION, SOFTWARE, XMP = 270, 305, 700  # tags of EXIF and TIFF
STANDARD = Path("-")  # as an input or the output: the standard one
# Formats of results: those that hold 8-bit colours and a mark.
FORMATS = {".png": "PNG", ".webp": "WEBP", ".avif": "AVIF", ".tif": "TIFF", ".tiff": "TIFF"}
FORMATS |= dict.fromkeys([".jpg", ".jpeg", ".jpe", ".jfif"], "JPEG")
Work = list[tuple[Path, Path]]  # (picture, where its result goes)


def run(arguments: Namespace) -> int:
    """Every readable picture to OUTPUT/<same relative name>.png; the others are listed.

    `arguments`: those of `scgan colorize` or `scgan saliency`. -> 1 if something was skipped.
    """
    if arguments.list and arguments.list.exists():
        raise UserError(f"{arguments.list}: exists already; choose another --list")
    if arguments.compare:
        if STANDARD in (*arguments.inputs, arguments.output):
            raise UserError(f"{arguments.compare}: needs files to compare; give names, not -")
        page.check(arguments.compare)
    kind = "saliency" if arguments.teacher else "colours"
    make, note = maker(arguments)
    own = MARKS[kind] if kind == "saliency" else MARK
    work = collect(arguments.inputs, arguments.output, own, arguments.format)
    given = _places(source for source, _ in work)
    skipped, written, there, anew, several = [], [], [], 0, 0
    ending = f"of {len(work)} pictures written to {arguments.output}"
    quiet = arguments.quiet or arguments.dry_run or arguments.output == STANDARD
    try:
        for source, target in progress(work, desc=arguments.command, unit="picture", disable=quiet):
            try:
                found = "" if target == STANDARD else find(target, given, kind, arguments.overwrite)
                made, more = _one(source, target, found, make, note, arguments)
                (written if made else there).append((str(source), str(target)))
                anew, several = anew + bool(made and found), several + more
            except UserError as error:
                skipped.append(str(error))
            except Exception as error:  # one bad picture never ends a batch
                if isinstance(error, BrokenPipeError):
                    raise
                reason = getattr(error, "strerror", None) or " ".join(
                    (str(error) or repr(error)).split()
                )
                skipped.append(f"{source}: {reason}")
    except KeyboardInterrupt as stop:
        stop.args = (f"{len(written)} {ending}; the same command does the rest",)
        raise
    if arguments.list and make:
        with atomic_write(arguments.list) as part, open(part, "w", newline="") as file:
            csv.writer(file).writerows([("source", "result"), *sorted(written + there)])
    if arguments.compare and make:
        page.write(arguments.compare, sorted(written + there), quiet)
    for line in skipped:
        print(f"skipped: {line}", file=sys.stderr)
    for count, text in (
        (len(there), "were there already; --overwrite makes them anew"),
        (anew, "were made anew: the picture, the model or a setting is another one"),
        (several, "of the files hold several pictures (frames, pages): the first was taken"),
    ):
        if count and not arguments.quiet:
            print(f"{count} {text}", file=sys.stderr)
    if not quiet:
        print(f"{len(written)} {ending}")
    return 1 if skipped else 0


def _one(
    source: Path, target: Path, found: str, make: Callable | None, note: str, arguments: Namespace
) -> tuple[bool, bool]:
    """The result of one picture, unless `found`, the mark of what is there, is its very mark.

    -> whether it was made (a dry run only says so); whether its file holds several pictures.
    """
    content = b""
    if found or make:
        content = sys.stdin.buffer.read() if source == STANDARD else source.read_bytes()
    mark = f"{MARK}: {note}; source {digest(content)}"
    if found == mark:
        return False, False
    if not make:
        print(f"{source} -> {target}")
        return True, False
    image, words, several = read_picture(source, content)
    words["quality"] = arguments.quality
    suffix = ending_of(target, arguments.format)
    result = encoded(make(image, source), suffix, words, mark, note)
    if target == STANDARD:
        sys.stdout.buffer.write(result)
    else:
        with atomic_write(target) as part:
            part.write_bytes(result)
    return True, several


def maker(arguments: Namespace) -> tuple[Callable[[Image.Image, Path], Image.Image] | None, str]:
    """What turns a picture into its result (nothing for a dry run), and what it says of itself."""
    if arguments.teacher:
        teach = None if arguments.dry_run else saliency.teacher(arguments.teacher)

        def draw(image: Image.Image, source: Path) -> Image.Image:
            levels = teach(np.asarray(on_white(image)), path=source) * 255
            return Image.fromarray(levels.round().astype("uint8"))

        teacher = Path(arguments.teacher).name  # of a folder of maps the last part
        return teach and draw, f"saliency predicted by a model ({teacher!a})"
    name, chroma = arguments.weights, arguments.chroma
    colorizer = None if arguments.dry_run else Colorizer.load(name, arguments.device)
    if colorizer:
        colorizer.chroma = chroma
    path = newest_weights(config.load(name)) if name in config.PROFILES else Path(name)
    sha = digest(path.read_bytes()) if path and path.is_file() else "none"
    facts = f"{path and path.name!a}, sha256 {sha}, chroma {chroma:g}"
    colour = colorizer and (lambda image, source: colorizer(image))
    return colour, f"colours predicted by a model ({facts})"


def digest(content: bytes) -> str:
    """The first 16 digits of the SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]


def encoded(image: Image.Image, suffix: str, words: dict, mark: str, note: str) -> bytes:
    """The file of a result, in the format of `suffix`; `words`: see `read_picture`."""
    kind, exif, file = FORMATS[suffix], words["exif"], io.BytesIO()
    exif[SOFTWARE] = mark
    exif.setdefault(DESCRIPTION, note)
    if kind == "PNG":
        text = words["pnginfo"] = PngInfo()
        text.add_text("Software", mark)
        text.add_text("Comment", note)
        if "xmp" in words:
            text.add_itxt("XML:com.adobe.xmp", words["xmp"].decode(errors="replace"))
    if kind == "TIFF":
        del words["quality"]  # uncompressed: libtiff cannot write dates and places
        if "xmp" in words:
            exif[XMP] = words["xmp"]
    (on_white(image) if kind == "JPEG" else image).save(file, kind, **words)
    return file.getvalue()


def find(target: Path, given: set[Path], kind: str, overwrite: bool) -> str:
    """The mark of the result of this `kind` at `target`; "" if there is none or it shall go.

    UserError where something else lies there: an original, a foreign file, the other kind.
    """
    if _places([target]) & given:
        raise UserError(f"{target}: is an input of this run; choose another --output")
    if not target.exists():
        return ""
    found = _mark(target)
    if not found.startswith(MARK):
        raise UserError(
            f"{target}: exists already and is not a result of scgan, kept; choose another --output"
        )
    if overwrite:
        return ""
    if any(found.startswith(text) for other, text in MARKS.items() if other != kind):
        raise UserError(
            f"{target}: exists already and is no result of this command; --overwrite replaces it"
        )
    return found


def ending_of(source: Path, wanted: str) -> str:
    """The ending of its result; "same" is its own, or .png for formats that results cannot have."""
    own = source.suffix.lower()
    return f".{wanted}" if wanted != "same" else own if own in FORMATS else ".png"


def collect(inputs: Sequence[Path], output: Path, own: str = MARK, wanted: str = "png") -> Work:
    """(picture, where its result goes); a folder keeps its inner structure.

    Results whose mark starts with `own` are no pictures of a folder: nothing is done twice. No
    result has the name of another one or of an input. `wanted`: see `ending_of`.
    """
    work: Work = []
    for path in inputs:
        if path != STANDARD and path.is_dir():
            inside = [p for p in list_pictures(path) if not _mark(p).startswith(own)]
            if not inside:
                raise UserError(
                    f"{path}: no pictures in this folder ({sorted(IMAGE_SUFFIXES)}; "
                    "results of scgan are left out)"
                )
            work += [(p, output / p.relative_to(path)) for p in inside]
        else:
            work.append((path, output / ("stdin" if path == STANDARD else path.name)))
    if output == STANDARD:
        if len(work) != 1:
            raise UserError(f"-o -: takes one picture, not {len(work)}; give a folder's name")
        return [(work[0][0], STANDARD)]
    given = _places(source for source, _ in work)
    taken: set[Path] = set()
    for i, (source, place) in enumerate(work):  # a.jpg and a.png, or a/x and b/x, keep apart
        suffix = ending_of(source, wanted)
        names = itertools.chain(
            [place.stem, place.name], (f"{place.stem}-{k}" for k in itertools.count(2))
        )
        tries = (place.with_name(name + suffix) for name in names)
        target = next(t for t in tries if t not in taken and not _places([t]) & given)
        taken.add(target)
        work[i] = (source, target)
    return work


def _places(paths) -> set[Path]:
    """Each path as it stands and without links; one that leads to itself stays as it is."""
    found = set()
    for path in paths:
        found.add(path.absolute())
        try:
            found.add(path.resolve())
        except (OSError, RuntimeError):
            continue
    return found


def _mark(path: Path) -> str:
    """What the picture at `path` says about the software that made it; "" where it says nothing."""
    kind = FORMATS.get(path.suffix.lower())
    with contextlib.suppress(Exception), Image.open(path) as image:
        # the EXIF of a PNG may lie behind its pixels: too long a way for each picture of a folder
        words = image.info if kind == "PNG" else image.getexif() if kind else {}
        return str(words.get("Software", words.get(SOFTWARE, "")))
    return ""
