"""`scgan`: colorize, saliency, train, evaluate, table, figures, convert, export and info."""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import platform
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from scgan_lib import __version__
from scgan_lib.config import PROFILES, Profile, from_environment
from scgan_lib.paths import UserError, cache_dir

SHARED = "override a number of the profile, e.g. --set stage1_steps=100 --set stage1_lr=1e-4"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: 0 done, 1 some pictures were skipped, 2 a wrong call.

    128 + its number after a signal (Ctrl-C 130, SIGTERM 143), 141 when nobody reads the output.
    """
    arguments = _parser().parse_args(argv)
    before = _catch_signals()
    try:
        status = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"scgan: {error}", file=sys.stderr)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush
        return 128 + signal.SIGPIPE
    except OSError as error:
        print(f"scgan: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt as stop:
        said = stop.args[0] if stop.args else "the same command goes on from the last checkpoint"
        print(f"scgan: stopped; {said}", file=sys.stderr)
        return 128 + getattr(stop, "number", signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 2


def _catch_signals() -> dict:
    """Let SIGTERM and SIGHUP end a command like Ctrl-C. -> what was set before."""

    def stop(number: int, frame) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)  # a terminal that closes sends several
        for child in multiprocessing.active_children():
            child.terminate()
        ending = KeyboardInterrupt()
        ending.number = number
        raise ending

    if threading.current_thread() is not threading.main_thread():
        return {}  # only there Python lets one set them
    found = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGHUP)}
    before = {s: h for s, h in found.items() if h != signal.SIG_IGN}  # nohup stays nohup
    for number in before:
        signal.signal(number, stop)
    return before


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scgan", description=__doc__, epilog="Example: scgan colorize old/ -o coloured/"
    )
    parser.add_argument("--version", action="version", version=f"scgan {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable, text: str, example: str, profile: bool = False):
        command = commands.add_parser(
            name, help=text, description=text, epilog=f"Example: scgan {name} {example}".rstrip()
        )
        command.set_defaults(run=run)
        if profile:
            option(command, "--profile", "mini", "whose numbers", choices=[*PROFILES])
            option(command, "--seed", 0, "of every random choice", type=int)
            several(command, "--set", "KEY=VALUE", SHARED)
        return command

    def option(command, name: str, default, text: str, **more) -> None:
        command.add_argument(name, default=default, help=f"{text} (default: %(default)s)", **more)

    def several(command, name: str, metavar: str, text: str) -> None:
        command.add_argument(name, action="append", default=[], metavar=metavar, help=text)

    def folders(command) -> None:
        command.add_argument("inputs", nargs="+", type=Path, metavar="PICTURE_OR_FOLDER")
        command.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
        command.add_argument("--overwrite", action="store_true", help="make finished results anew")
        command.add_argument("--list", type=Path, metavar="FILE", help="a new csv: source, result")
        command.add_argument("--quiet", action="store_true", help="say nothing but errors")
        command.add_argument(
            "--dry-run", action="store_true", help="list source -> result, write nothing"
        )
        text = "a page of all originals and results"
        command.add_argument("--compare", type=Path, metavar="FILE.html", help=text)
        formats = ("png", "jpg", "webp", "tiff", "same")
        text = "of the results; same: as the source, if it is one of these or avif"
        option(command, "--format", "png", text, choices=formats)
        text = "of jpg and webp, 1 to 100"
        option(command, "--quality", 90, text, type=int, choices=range(1, 101), metavar="N")

    pictures = add(
        "colorize", colorize, "Colour gray pictures; originals stay untouched. Results are sRGB: "
        "colour profiles are converted; EXIF, XMP and resolution are kept. - reads standard "
        "input, -o - writes standard output.",
        "old/ -o coloured/ --chroma 1.2",
    )  # fmt: skip
    folders(pictures)
    option(pictures, "--weights", "tiny", "a weight file or a profile's name")
    option(pictures, "--chroma", 1.0, "strength of the colours", type=_strength)
    option(pictures, "--device", "auto", "auto, cpu, cuda or mps")
    pictures.set_defaults(teacher=None)

    maps = add(
        "saliency", colorize, "Saliency maps of colour pictures, by a teacher.", "photos/ -o maps/"
    )
    folders(maps)
    option(maps, "--teacher", "robust-background", "who draws the maps")

    stage = add("train", train, "Train a stage, or go on with it.", "--stage 1 --seed 1", True)
    text = "0 trains the global encoder alone"
    option(stage, "--stage", 2, text, type=int, choices=(0, 1, 2))
    text = "Score the test photos: metrics.csv."
    score = add("evaluate", evaluate, text, "--method theirs=pictures/", True)
    text = "also score somebody's pictures of the test photos, matched by name"
    several(score, "--method", "NAME=FOLDER", text)
    text = "the photos to test, one path a line, relative to the data folder"
    score.add_argument("--list", metavar="FILE", help=text)
    rows = add("table", table, "Table 1 from metrics.csv, as csv, md and tex.", "--seeds 1 2", True)
    rows.add_argument("--seeds", type=int, nargs="*", default=[], help="other seeds' runs")
    text = "Train and score the ablations: Table 2."
    removed = add("ablate", ablate, text, "--profile smoke --seeds 0 1")
    option(removed, "--profile", "mini", "whose numbers", choices=[*PROFILES])
    option(removed, "--seeds", [0, 1, 2], "one run each", type=int, nargs="+")
    removed.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these variants")
    several(removed, "--set", "KEY=VALUE", f"{SHARED}; or of the ablations' budget")
    drawn = add("figures", figures, "Draw the figures from results.", "--profile smoke", True)
    drawn.add_argument("--only", nargs="*", metavar="NAME", help="these figures")
    text = "An authors' generator .pth to this project's safetensors."
    weights = add("convert", convert, text, "latest_net_G.pth theirs.safetensors")
    weights.add_argument("source", type=Path, metavar="AUTHOR.pth")
    weights.add_argument("target", type=Path, metavar="OUT.safetensors")
    text = "what the file was trained with: [-1,1] (first public version) or [0,1]"
    option(weights, "--range", "pm1", text, choices=("pm1", "01"))
    text = (
        "The network alone, for onnxruntime or torch, any height and width; checked against torch."
    )
    moved = add("export", export, text, "results/tiny/generator.safetensors tiny.onnx")
    moved.add_argument("source", type=Path, metavar="WEIGHTS")
    moved.add_argument("target", type=Path, metavar="OUT.onnx")
    moved.add_argument("--torch", action="store_true", help="write torch.export's .pt2 instead")
    add("info", info, "What was found: weights, devices, profiles.", "--profile tiny", True)
    return parser


class _Numbers(yaml.SafeLoader):
    """YAML that also reads 1e-4 as a number, as everybody else does."""


_Numbers.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _overrides(arguments: argparse.Namespace) -> dict:
    """What `--set` says: key -> value. UserError for what is no KEY=VALUE, name or seed."""
    found = {}
    for text in arguments.set:
        key, _, value = text.partition("=")
        if not (key and value):
            raise UserError(f"--set {text!r}: write KEY=VALUE")
        if key in ("seed", "name"):
            option = "--seed (or --seeds)" if key == "seed" else "--profile"
            raise UserError(f"--set {text!r}: use {option} for this")
        try:
            found[key] = yaml.load(value, _Numbers)
        except yaml.YAMLError:
            raise UserError(f"--set {text!r}: the value cannot be read") from None
    return found


def _profile(arguments: argparse.Namespace) -> Profile:
    overrides = _overrides(arguments)
    return from_environment(arguments.profile, arguments.seed, **overrides)


def colorize(arguments: argparse.Namespace) -> int:
    """Colours, or a teacher's saliency maps, for every readable picture; the others are listed."""
    from scgan_lib import batch

    return batch.run(arguments)


def _strength(text: str) -> float:
    """A factor of the chroma: finite and not negative."""
    if not 0 <= (value := float(text)) < math.inf:
        raise ValueError(text)
    return value


def train(arguments: argparse.Namespace) -> int:
    """Train the stage (and stage 1 before stage 2); of several processes the first reports."""
    from scgan_lib import stage0, training

    profile, stage = _profile(arguments), arguments.stage
    if not getattr(profile, f"stage{stage}_steps"):
        raise UserError(f"profile {profile.name}: stage{stage}_steps=0, so nothing to train")
    if stage:
        lines = [training.train(profile, stage)]
    else:
        path = stage0.train(profile)
        lines = [path, stage0.metrics(path)]
    if os.environ.get("RANK", "0") == "0":
        print(*lines, sep="\n")
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """Colorize and score the test photos; other methods' folders too."""
    from scgan_lib import evaluation

    extra = {}
    for text in arguments.method:
        name, _, folder = text.partition("=")
        if not (name and folder):
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
    failed = ablations.run(base, arguments.seeds, arguments.only)
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


def export(arguments: argparse.Namespace) -> int:
    """Write a generator as ONNX or .pt2 and say what was measured."""
    from scgan_lib import export as exporting

    print(exporting.export(arguments.source, arguments.target, arguments.torch))
    return 0


def info(arguments: argparse.Namespace) -> int:
    """Versions, device, weights that were found, the profile's numbers."""
    import torch

    from scgan_lib import pretrained, training

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
