"""Many pictures in one go: which ones, under which names, and nothing written over."""

from __future__ import annotations

import csv
import itertools
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from scgan_lib import saliency
from scgan_lib.colorize import Colorizer
from scgan_lib.paths import UserError, atomic_write
from scgan_lib.pictures import IMAGE_SUFFIXES, list_pictures, read_rgb
from scgan_lib.progress import progress

MARK = "scgan-replicated"  # in the metadata of every result: what tells ours from the user's
MARKS = {kind: f"{MARK}: {kind} predicted by a model" for kind in ("colours", "saliency")}
Work = list[tuple[Path, Path]]  # (picture, where its result goes)


def run(arguments: Namespace) -> int:
    """Every readable picture to OUTPUT/<same relative name>.png; the others are listed.

    `arguments`: those of `scgan colorize` or `scgan saliency`. -> 1 if something was skipped.
    """
    if arguments.list and arguments.list.exists():
        raise UserError(f"{arguments.list}: exists already; choose another --list")
    kind = "saliency" if arguments.teacher else "colours"
    make = None if arguments.dry_run else maker(arguments)
    work = collect(arguments.inputs, arguments.output, MARKS[kind] if kind == "saliency" else MARK)
    given = _places(source for source, _ in work)
    mark = PngInfo()
    mark.add_text("Software", MARKS[kind])
    skipped, written, there = [], [], []
    ending = f"of {len(work)} pictures written to {arguments.output}"
    quiet = arguments.quiet or arguments.dry_run
    try:
        for source, target in progress(work, desc=arguments.command, unit="picture", disable=quiet):
            pair = (str(source), str(target))
            try:
                if is_done(target, given, kind, arguments.overwrite):
                    there.append(pair)
                    continue
                if make:
                    image = make(source)
                    with atomic_write(target) as part:
                        image.save(part, "PNG", pnginfo=mark)
                else:
                    print(f"{source} -> {target}")
                written.append(pair)
            except UserError as error:
                skipped.append(str(error))
            except (OSError, RuntimeError) as error:  # one bad name or link never ends a batch
                if isinstance(error, BrokenPipeError):
                    raise
                skipped.append(f"{source}: {' '.join(str(error).split())}")
    except KeyboardInterrupt as stop:
        stop.args = (f"{len(written)} {ending}; the same command does the rest",)
        raise
    if arguments.list and make:
        with atomic_write(arguments.list) as part, open(part, "w", newline="") as file:
            csv.writer(file).writerows([("source", "result"), *sorted(written + there)])
    for line in skipped:
        print(f"skipped: {line}", file=sys.stderr)
    if there and not arguments.quiet:
        print(f"{len(there)} were there already; --overwrite makes them anew", file=sys.stderr)
    if not quiet:
        print(f"{len(written)} {ending}")
    return 1 if skipped else 0


def maker(arguments: Namespace) -> Callable[[Path], Image.Image]:
    """What turns a picture's path into its result: a Colorizer, or a teacher's saliency map."""
    if not arguments.teacher:
        colorizer = Colorizer.load(arguments.weights, arguments.device)
        colorizer.chroma = arguments.chroma
        return colorizer
    teach = saliency.teacher(arguments.teacher)

    def draw(source: Path) -> Image.Image:
        levels = teach(read_rgb(source), path=source) * 255
        return Image.fromarray(levels.round().astype("uint8"))

    return draw


def is_done(target: Path, given: set[Path], kind: str, overwrite: bool) -> bool:
    """Whether the result of this `kind` is there and is to stay.

    UserError where something else lies at `target`: an original, a foreign file, the other kind.
    """
    if _places([target]) & given:
        raise UserError(f"{target}: is an input of this run; choose another --output")
    if not target.exists():
        return False
    found = _mark(target)
    if not found.startswith(MARK):
        raise UserError(
            f"{target}: exists already and is not a result of scgan, kept; choose another --output"
        )
    if overwrite:
        return False
    if any(found == text for other, text in MARKS.items() if other != kind):
        raise UserError(
            f"{target}: exists already and is no result of this command; --overwrite replaces it"
        )
    return True


def collect(inputs: Sequence[Path], output: Path, own: str = MARK) -> Work:
    """(picture, where its result goes); a folder keeps its inner structure.

    Results whose mark starts with `own` are no pictures of a folder: nothing is done twice. No
    result has the name of another one or of an input.
    """
    work: Work = []
    for path in inputs:
        if path.is_dir():
            inside = [p for p in list_pictures(path) if not _mark(p).startswith(own)]
            if not inside:
                raise UserError(
                    f"{path}: no pictures in this folder ({sorted(IMAGE_SUFFIXES)}; "
                    "results of scgan are left out)"
                )
            work += [(p, output / p.relative_to(path).with_suffix(".png")) for p in inside]
        else:
            work.append((path, output / f"{path.stem}.png"))
    given = _places(source for source, _ in work)
    taken: set[Path] = set()
    for i, (source, target) in enumerate(work):  # a.jpg and a.png, or a/x and b/x, keep apart
        tries = itertools.chain(
            [target, target.with_name(f"{source.name}.png")],
            (target.with_name(f"{source.stem}-{k}.png") for k in itertools.count(2)),
        )
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
    """What the picture at `path` says about the software that made it; "" for any but a PNG."""
    if path.suffix.lower() != ".png":
        return ""
    try:
        with Image.open(path) as image:
            return str(image.info.get("Software", ""))
    except (OSError, ValueError, RuntimeError, SyntaxError, Image.DecompressionBombError):
        return ""
