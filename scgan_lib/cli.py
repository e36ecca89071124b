"""The `scgan` command: colorize, saliency, train, evaluate, table, figures, convert, info."""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from scgan_lib.config import PROFILES, Profile, from_environment
from scgan_lib.paths import UserError, atomic_write, cache_dir
from scgan_lib.progress import progress

MARK = "scgan-replicated"  # in the metadata of every result: what tells ours from the user's


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: 0 done, 1 some pictures were skipped, 2 a wrong call."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except UserError as error:
        print(f"scgan: {error}", file=sys.stderr)
    except OSError as error:
        print(f"scgan: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("scgan: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scgan", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable, text: str, profile: bool = False):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        if profile:
            command.add_argument("--profile", default="mini", choices=[*PROFILES])
            command.add_argument("--seed", type=int, default=0)
            command.add_argument(
                "--set", action="append", default=[], metavar="KEY=VALUE",
                help="override a number of the profile, e.g. --set stage1_steps=100",
            )  # fmt: skip
        return command

    pictures = add("colorize", colorize, "Colour gray pictures; originals stay untouched.")
    pictures.add_argument("inputs", nargs="+", type=Path, metavar="PICTURE_OR_FOLDER")
    pictures.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    pictures.add_argument("--weights", default="tiny", help="a weight file or a profile's name")
    pictures.add_argument("--chroma", type=_strength, default=1.0, help="strength of the colours")
    pictures.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    pictures.add_argument("--overwrite", action="store_true", help="replace existing results")
    pictures.add_argument("--list", type=Path, metavar="FILE", help="a new csv: source, result")
    pictures.set_defaults(teacher=None)

    maps = add("saliency", colorize, "Saliency maps of colour pictures, by a teacher.")
    maps.add_argument("inputs", nargs="+", type=Path, metavar="PICTURE_OR_FOLDER")
    maps.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    maps.add_argument("--teacher", default="robust-background")
    maps.add_argument("--overwrite", action="store_true", help="replace existing results")
    maps.add_argument("--list", type=Path, metavar="FILE", help="a new csv: source, result")

    stage = add("train", train, "Train a stage, or go on with it.", profile=True)
    stage.add_argument(
        "--stage", type=int, choices=(0, 1, 2), default=2, help="0 trains the global encoder alone"
    )
    way = stage.add_mutually_exclusive_group()
    for kind, text in (
        ("labels", "stage 0: classify gray pictures, a folder a class (default)"),
        ("features", "stage 0: foretell a frozen RGB VGG-16's features, no labels"),
    ):
        way.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind, help=text)
    stage.add_argument(
        "--folded", action="store_true", help="stage 0: start from an ImageNet VGG-16 (width 64)"
    )
    score = add("evaluate", evaluate, "Score the test photos: metrics.csv.", profile=True)
    score.add_argument(
        "--method", action="append", default=[], metavar="NAME=FOLDER",
        help="also score somebody's pictures of the test photos, matched by name",
    )  # fmt: skip
    score.add_argument(
        "--list", metavar="FILE",
        help="the photos to test, one path a line, relative to the data folder",
    )  # fmt: skip
    rows = add("table", table, "Table 1 from metrics.csv, as csv, md and tex.", profile=True)
    rows.add_argument("--seeds", type=int, nargs="*", default=[], help="other seeds' runs")
    removed = add("ablate", ablate, "Train and score the ablations: Table 2.")
    removed.add_argument("--profile", default="mini", choices=[*PROFILES])
    removed.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    removed.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these variants")
    removed.add_argument("--jobs", type=int, default=1, help="so many at a time, a thread each")
    removed.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="override a number of the profile or of the ablations' budget",
    )  # fmt: skip
    drawn = add("figures", figures, "Draw the figures from results.", profile=True)
    drawn.add_argument("--only", nargs="*", metavar="NAME")
    weights = add("convert", convert, "An authors' generator .pth to this project's safetensors.")
    weights.add_argument("source", type=Path, metavar="AUTHOR.pth")
    weights.add_argument("target", type=Path, metavar="OUT.safetensors")
    weights.add_argument(
        "--range", choices=("pm1", "01"), default="pm1",
        help="what the file was trained with: [-1,1] (first public version) or [0,1]",
    )  # fmt: skip
    add("info", info, "What was found: weights, devices, profiles.", profile=True)
    return parser


def _overrides(arguments: argparse.Namespace) -> dict:
    pairs = [text.partition("=") for text in arguments.set]
    return {key: yaml.safe_load(value) for key, _, value in pairs}


def _profile(arguments: argparse.Namespace) -> Profile:
    overrides = _overrides(arguments)
    return from_environment(arguments.profile, arguments.seed, **overrides)


def colorize(arguments: argparse.Namespace) -> int:
    """Every readable picture to OUTPUT/<same relative name>.png; the others are listed."""
    from PIL.PngImagePlugin import PngInfo

    from scgan_lib import data, saliency
    from scgan_lib.colorize import Colorizer

    if arguments.list and arguments.list.exists():
        raise UserError(f"{arguments.list}: exists already; choose another --list")
    if arguments.teacher:
        teach = saliency.teacher(arguments.teacher)
    else:
        colorizer = Colorizer.load(arguments.weights, arguments.device)
        colorizer.chroma = arguments.chroma
    work = _pictures(arguments.inputs, arguments.output)
    given = {source.absolute() for source, _ in work} | {_resolved(source) for source, _ in work}
    mark = PngInfo()
    mark.add_text("Software", f"{MARK}: colours or saliency predicted by a model")
    skipped, written = [], []
    for source, target in progress(work, desc=arguments.command, unit="picture"):
        try:
            if {target.absolute(), _resolved(target)} & given:
                raise UserError(f"{target}: is an input of this run; choose another --output")
            if target.exists():
                if not arguments.overwrite:
                    raise UserError(f"{target}: exists already; --overwrite replaces it")
                if not _ours(target):
                    raise UserError(
                        f"{target}: not a result of scgan, kept; choose another --output"
                    )
            if arguments.teacher:
                image = data.Image.fromarray(
                    (teach(data.read_rgb(source), path=source) * 255).round().astype("uint8")
                )
            else:
                image = colorizer(source)
            with atomic_write(target) as part:
                image.save(part, "PNG", pnginfo=mark)
            written.append((str(source), str(target)))
        except UserError as error:
            skipped.append(str(error))
        except (OSError, RuntimeError) as error:  # one bad name or link never ends a batch
            skipped.append(f"{source}: {' '.join(str(error).split())}")
    print(f"{len(written)} of {len(work)} pictures written to {arguments.output}")
    if arguments.list:
        with atomic_write(arguments.list) as part, open(part, "w", newline="") as file:
            csv.writer(file).writerows([("source", "result"), *written])
    for line in skipped:
        print(f"skipped: {line}", file=sys.stderr)
    return 1 if skipped else 0


def _pictures(inputs: Sequence[Path], output: Path) -> list[tuple[Path, Path]]:
    """(picture, where its result goes); a folder keeps its inner structure."""
    from scgan_lib.data import IMAGE_SUFFIXES, list_pictures

    work: list[tuple[Path, Path]] = []
    for path in inputs:
        if path.is_dir():
            inside = list_pictures(path)
            if output.resolve() != path.resolve():
                inside = [p for p in inside if not _resolved(p).is_relative_to(_resolved(output))]
            if not inside:
                raise UserError(f"{path}: no pictures in this folder ({sorted(IMAGE_SUFFIXES)})")
            work += [(p, output / p.relative_to(path).with_suffix(".png")) for p in inside]
        else:
            work.append((path, output / f"{path.stem}.png"))
    taken: set[Path] = set()
    for i, (source, target) in enumerate(work):  # a.jpg and a.png, or a/x and b/x, keep apart
        tries = itertools.chain(
            [target, target.with_name(f"{source.name}.png")],
            (target.with_name(f"{source.stem}-{k}.png") for k in itertools.count(2)),
        )
        target = next(t for t in tries if t not in taken)
        taken.add(target)
        work[i] = (source, target)
    return work


def _strength(text: str) -> float:
    """A factor of the chroma: finite and not negative."""
    if not 0 <= (value := float(text)) < math.inf:
        raise ValueError(text)
    return value


def _resolved(path: Path) -> Path:
    """The path without links; as it stands where a link leads to itself."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def _ours(path: Path) -> bool:
    """Whether the picture at `path` says that this command made it."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return str(image.info.get("Software", "")).startswith(MARK)
    except (OSError, ValueError):
        return False


def train(arguments: argparse.Namespace) -> int:
    """Train the stage (and stage 1 before stage 2); of several processes the first reports."""
    from scgan_lib import stage0, training

    if arguments.stage and (arguments.kind or arguments.folded):
        raise UserError("--labels, --features and --folded belong to --stage 0")
    if arguments.stage:
        lines = [training.train(_profile(arguments), arguments.stage)]
    else:
        path = stage0.train(_profile(arguments), arguments.kind or "labels", arguments.folded)
        lines = [path, stage0.facts(path)]
    if os.environ.get("RANK", "0") == "0":
        print(*lines, sep="\n")
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """Colorize and score the test photos; other methods' folders too."""
    from scgan_lib import evaluation

    extra = {}
    for text in arguments.method:
        name, _, folder = text.partition("=")
        if not folder:
            raise UserError(f"--method {text!r}: write NAME=FOLDER")
        extra[name] = Path(folder)
    profile = _profile(arguments)
    if arguments.list:
        profile = replace(profile, test_list=arguments.list)
    rows, skipped = evaluation.evaluate(profile, extra)
    print(f"{len(rows)} rows in {profile.results / 'metrics.csv'}")
    for entry in skipped:
        print(f"skipped: {entry.method}: {entry.image}: {entry.reason}", file=sys.stderr)
    if skipped:
        print(f"{len(skipped)} pictures skipped, the rest was scored", file=sys.stderr)
    return 1 if skipped else 0


def table(arguments: argparse.Namespace) -> int:
    """Write table1.csv, .md and .tex; print the second."""
    from scgan_lib import tables

    profile = _profile(arguments)
    others = [seed for seed in dict.fromkeys(arguments.seeds) if seed != profile.seed]
    folders = {seed: replace(profile, seed=seed).results for seed in others}
    for seed, folder in folders.items():
        if not (folder / "metrics.csv").is_file():
            raise UserError(
                f"{folder / 'metrics.csv'}: seed {seed} was not run; run it first: "
                f"make reproduce PROFILE={profile.name} SEED={seed}"
            )
    tables.table1(profile.results, [*folders.values()])
    print((profile.results / "table1.md").read_text())
    return 0


def ablate(arguments: argparse.Namespace) -> int:
    """Train and score the variants, write Table 2; failures are listed."""
    from scgan_lib import ablations, tables

    base = ablations.budgeted(arguments.profile, **_overrides(arguments))
    failed = ablations.run(base, arguments.seeds, arguments.only, arguments.jobs)
    for label, why in failed.items():
        print(f"failed: {label}: {why}", file=sys.stderr)
    folder = ablations.home(base)
    tables.table2(folder)
    print((folder / "table2.md").read_text())
    return 1 if failed else 0


def figures(arguments: argparse.Namespace) -> int:
    """Draw figures/<profile>/ from results/<profile>/."""
    from scgan_lib import viz

    profile = _profile(arguments)
    for path in viz.draw(profile.results, profile.figures, arguments.only):
        print(path)
    return 0


def convert(arguments: argparse.Namespace) -> int:
    """Read an authors' file safely, write our safetensors."""
    from scgan_lib.authors import author_profile, load_author_generator
    from scgan_lib.colorize import save_generator

    if arguments.target.exists():
        raise UserError(f"{arguments.target}: exists already; remove it or choose another name")
    value_range = (-1, 1) if arguments.range == "pm1" else (0, 1)
    generator = load_author_generator(arguments.source, value_range)
    save_generator(generator, author_profile(generator), arguments.target, source="authors")
    print(arguments.target)
    return 0


def info(arguments: argparse.Namespace) -> int:
    """Versions, device, weights that were found, the profile's numbers."""
    import torch

    from scgan_lib import __version__, pretrained, training

    profile = _profile(arguments)
    print(f"scgan_lib {__version__}, Python {platform.python_version()}, torch {torch.__version__}")
    print(f"CUDA {torch.cuda.is_available()}, threads {torch.get_num_threads()}")
    print(f"cache: {cache_dir()}")
    print(f"VGG-16: {pretrained.vgg16_trunk(profile.vgg).name}")
    print(f"judge: {pretrained.load_judge().name}")
    for stage in (1, 2):
        path = training.final_weights(profile, stage)
        print(f"stage {stage}: {path if path.is_file() else 'not trained yet'}")
    print(f"profile {profile.run_name} ({profile.digest()}):")
    print(yaml.safe_dump(profile.settings(), sort_keys=False, default_flow_style=None).rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
