"""Many pictures in one go: which ones, under which names, and nothing written over."""

import csv
import hashlib
import io
import itertools
import os
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from scgan_lib import page, pictures
from scgan_lib.colorize import Colorizer, weights_of
from scgan_lib.paths import UserError, atomic_write
from scgan_lib.pictures import IMAGE_SUFFIXES, OURS, is_ours, on_white, pages_of
from scgan_lib.progress import progress

DESCRIPTION, XMP = 270, 700  # tags of EXIF and TIFF
STANDARD = Path("-")  # as an input or the output: the standard one
# Formats of results: those that hold 8-bit colours and a mark.
FORMATS = {".png": "PNG", ".webp": "WEBP", ".avif": "AVIF", ".tif": "TIFF", ".tiff": "TIFF"}
FORMATS |= dict.fromkeys([".jpg", ".jpeg", ".jpe", ".jfif"], "JPEG")
SAID = {
    "there": "were there already; --overwrite makes them anew",
    "anew": "were made anew: the picture, the model or a setting is another one",
    "several": "of the files hold several pictures: the first was taken (of a TIFF all pages)",
    "ours": "of the files are results of scgan and were left out",
    "other": "of the files are of no picture format and were left out",
    "hidden": "hidden files or folders were left out",
}


def run(arguments: Namespace) -> int:
    """Every readable picture to OUTPUT/<same relative name>.png; the others are listed.

    `arguments`: those of `scgan colorize` or `scgan saliency`. -> 1 if something was skipped.
    """
    if arguments.max_pixels is not None:
        Image.MAX_IMAGE_PIXELS = arguments.max_pixels // 2  # Pillow allows twice as many
    if arguments.list and arguments.list.exists():
        raise UserError(f"{arguments.list}: exists already; choose another --list")
    if arguments.output.suffix.lower() in IMAGE_SUFFIXES and not arguments.output.is_dir():
        raise UserError(f"--output {arguments.output}: looks like a picture; give a folder's name")
    if arguments.compare:
        if STANDARD in (*arguments.inputs, arguments.output):
            raise UserError(f"{arguments.compare}: needs files to compare; give names, not -")
        page.check(arguments.compare)
    make, note = maker(arguments)
    counts: Counter[str] = Counter()
    work = collect(arguments.inputs, arguments.output, arguments.format, counts)
    for path in (arguments.list, arguments.compare):
        if path and os.path.realpath(path) in {os.path.realpath(item[2]) for item in work}:
            raise UserError(f"{path}: the name of a result; choose another")
    ending = f"of {len(work)} pictures written to {arguments.output}"
    quiet = arguments.quiet or arguments.dry_run or arguments.output == STANDARD
    done, skipped = [], []
    try:
        bar = progress(work, desc=arguments.command, unit="picture", disable=quiet)
        for source, page_number, target in bar:
            try:
                counts.update(_one(source, page_number, target, make, note, arguments))
                done.append((str(source), str(target)))
            except Exception as error:  # one bad picture never ends a batch
                nowhere = isinstance(error, OSError) and target == STANDARD
                if nowhere or isinstance(error, BrokenPipeError):
                    raise
                reason = getattr(error, "strerror", None) or " ".join(str(error).split())
                own = isinstance(error, UserError)  # it names the file itself
                skipped.append(reason if own else f"{source}: {reason or repr(error)}")
    except KeyboardInterrupt as stop:
        stop.add_note(f"{counts['written']} {ending}; the same command does the rest")
        raise
    if arguments.list and not arguments.dry_run:
        names = {"encoding": "utf-8", "errors": "surrogateescape"}  # in any encoding
        with atomic_write(arguments.list) as part, open(part, "w", newline="", **names) as file:
            csv.writer(file).writerows([("source", "result"), *done])
    if arguments.compare and not arguments.dry_run:
        page.write(arguments.compare, done, quiet)
    for line in skipped:
        print(f"skipped: {line}", file=sys.stderr)
    for what, text in SAID.items():
        if counts[what] and not arguments.quiet:
            print(f"{counts[what]} {text}", file=sys.stderr)
    if not quiet:
        print(f"{counts['written']} {ending}")
    return 1 if skipped else 0


def _one(
    source: Path, number: int, target: Path, make: Callable, note: str, arguments: Namespace
) -> list[str]:
    """The result of one page, if it is not there already. -> what to count, see `SAID`.

    UserError where something else lies there: a foreign file, a result of another picture, or of
    another kind than that of `note`.
    """
    there = target != STANDARD and os.path.lexists(target)
    found = pictures.mark_of(target) if there else ""
    if there and not found.startswith(f"{OURS}: {note.split()[0]} "):
        raise UserError(
            f"{target}: exists already and is not a result of this command, kept; "
            "choose another --output"
        )
    if arguments.dry_run:
        print(f"{source} -> {target}")
        return []
    content = sys.stdin.buffer.read() if source == STANDARD else pictures.read_file(source)
    same = f"; source {hashlib.sha256(content).hexdigest()[:16]}"
    named = content if source == STANDARD else os.fsencode(os.path.abspath(source))
    place, mark = f" at {hashlib.sha256(named).hexdigest()[:8]}", f"{OURS}: {note}{same}"
    if found.startswith(mark) and not arguments.overwrite:
        return ["there"]
    if found and not (arguments.overwrite or found.endswith(place) or same in found):
        raise UserError(
            f"{target}: is the result of another picture, kept; choose another --output, or "
            "--overwrite"
        )
    mark += place
    image, words, several = pictures.read_picture(source, content, number)
    several = several and (target == STANDARD or source.suffix.lower() not in pictures.PAGED)
    words["quality"] = arguments.quality
    result = encoded(make(image, source), ending_of(target, arguments.format), words, mark, note)
    if target == STANDARD:
        sys.stdout.buffer.write(result)
    else:
        with atomic_write(target) as part:
            part.write_bytes(result)
    anew = found and not arguments.overwrite
    return ["written"] + ["anew"] * bool(anew) + ["several"] * several


def maker(arguments: Namespace) -> tuple[Callable[[Image.Image, Path], Image.Image], str]:
    """What turns a picture into its result, and what the result says of itself."""
    if arguments.teacher is not None:
        from scgan_lib import saliency  # what it imports is not needed to colour

        teach = saliency.teacher(arguments.teacher)

        def draw(image: Image.Image, source: Path) -> Image.Image:
            found = teach(np.asarray(on_white(image)), path=source)
            return Image.fromarray(saliency.as_u8(found))

        # of a folder of maps the last part
        return draw, f"saliency predicted by a model ({Path(arguments.teacher).name!a})"
    path, chroma = weights_of(arguments.weights), arguments.chroma
    colorizer = Colorizer.load(path, arguments.device)
    colorizer.chroma = chroma
    sha = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    facts = f"{path.name!a}, sha256 {sha}, chroma {chroma:g}"
    return lambda image, source: colorizer(image), f"colours predicted by a model ({facts})"


def encoded(image: Image.Image, suffix: str, words: dict, mark: str, note: str) -> bytes:
    """The file of a result, in the format of `suffix`; `words`: see `read_picture`."""
    kind, exif, file = FORMATS[suffix], words["exif"], io.BytesIO()
    exif[pictures.SOFTWARE] = mark
    exif.setdefault(DESCRIPTION, note)
    if kind == "PNG":
        text = words["pnginfo"] = PngInfo()
        text.add_text("Software", mark)
        text.add_text("Comment", note)
        if "xmp" in words:
            text.add_itxt("XML:com.adobe.xmp", words["xmp"].decode(errors="replace"))
    if kind == "TIFF" and "xmp" in words:  # not compressed: libtiff cannot write dates and places
        exif[XMP] = words["xmp"]
    (on_white(image) if kind == "JPEG" else image).save(file, kind, **words)
    return file.getvalue()


def ending_of(source: Path, wanted: str) -> str:
    """The ending of its result; "same" is its own, or .png for formats that results cannot have."""
    own = source.suffix.lower()
    return f".{wanted}" if wanted != "same" else own if own in FORMATS else ".png"


def collect(
    inputs: Sequence[Path], output: Path, wanted: str, counts: Counter
) -> list[tuple[Path, int, Path]]:
    """(picture, its page, where its result goes); a folder keeps its inner structure.

    Results of scgan are passed over: nothing is done twice. No result has the name of another one
    or of an input. `wanted`: see `ending_of`; `counts` gets what was passed over, see `SAID`.
    """
    work = []
    for path in inputs:
        if path != STANDARD and os.path.isdir(path):
            os.listdir(path)  # a folder that may not be read says so
            every = pictures.list_files(path, counts)
            inside = [p for p in every if p.suffix.lower() in IMAGE_SUFFIXES or p.is_dir()]
            counts["other"] += len(every) - len(inside)
            every, inside = inside, [p for p in inside if not is_ours(p)]
            counts["ours"] += len(every) - len(inside)
            if not inside:
                raise UserError(
                    f"{path}: no pictures in this folder ({sorted(IMAGE_SUFFIXES)}; "
                    "results of scgan are left out)"
                )
            work += [(p, k, output / p.relative_to(path)) for p in inside for k in pages_of(p)]
        elif len(inputs) > 1 and is_ours(path):  # `*.png`
            counts["ours"] += 1
        else:
            place = output / ("stdin" if path == STANDARD else path.name)
            work += [(path, k, place) for k in pages_of(path)]
    if output == STANDARD:
        if len({source for source, *_ in work}) != 1:
            raise UserError(f"-o -: takes one picture, not {len(work)}; give a folder's name")
        return [(*work[0][:2], STANDARD)]
    taken = {os.path.realpath(source) for source, *_ in work}
    for i, (source, number, place) in enumerate(work):  # a.jpg and a.png, or a/x and b/x: apart
        page_name = f"{place.stem}-page{number + 1}" if number else place.stem
        more = (f"{page_name}-{k}" for k in itertools.count(2))
        for name in itertools.chain([page_name, *[place.name] * (not number)], more):
            target = place.with_name(name + ending_of(source, wanted))
            if (there := os.path.realpath(target)) not in taken:
                break
        taken.add(there)
        work[i] = (source, number, target)
    return work
