"""`scgan`: colorize, saliency, train, evaluate, table, convert, export and info."""

import argparse
import inspect
import math
import multiprocessing
import os
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import argcomplete
import yaml

from scgan_lib import __version__
from scgan_lib.config import NETWORK, PROFILES, Profile, from_environment, pairs, read_settings
from scgan_lib.paths import UserError, cache_dir

ENDINGS = (signal.SIGTERM, signal.SIGHUP)  # these end a command as Ctrl-C does


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: 0 done, 1 some pictures were skipped, 2 a wrong call.

    128 + its number after a signal (Ctrl-C 130, SIGTERM 143), 141 when nobody reads the output.
    """
    parser = _parser()
    argcomplete.autocomplete(parser)  # does something only when a shell asks
    arguments = parser.parse_args(argv)
    before = {number: signal.getsignal(number) for number in ENDINGS}
    for number in ENDINGS:
        if before[number] != signal.SIG_IGN:  # nohup stays nohup
            signal.signal(number, _stop)
    try:
        status = arguments.run(arguments) or 0
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"scgan: {error}", file=sys.stderr)
    except OSError as error:
        if error.filename is None:  # standard output: nobody reads it, or its disk is full
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush
        if isinstance(error, BrokenPipeError):
            return 128 + signal.SIGPIPE
        where = error.filename or "standard output"
        print(f"scgan: {where}: {error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt as stop:
        how_far = ["the same command begins anew, or goes on from the last checkpoint"]
        print(f"scgan: stopped; {getattr(stop, '__notes__', how_far)[0]}", file=sys.stderr)
        return 128 + (stop.args or [signal.SIGINT])[0]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 2


def _stop(number: int, frame: object) -> None:
    for one in ENDINGS:
        signal.signal(one, signal.SIG_IGN)  # a terminal that closes sends several
    for child in multiprocessing.active_children():
        child.terminate()
    raise KeyboardInterrupt(number)


def _profile(arguments: argparse.Namespace) -> Profile:
    overrides = read_settings(arguments.set, "--set")
    return from_environment(arguments.profile, arguments.seed, **overrides)


def _skipped(lines: Sequence[str]) -> int:
    """Name what was left out; the exit status that says so."""
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


# --- the commands; the first line of each is its help text ----------------------------------------


def colorize(arguments: argparse.Namespace) -> int:
    """Colour gray pictures; originals stay untouched.

    Results are sRGB: colour profiles are converted; EXIF, XMP and resolution are kept. - reads
    standard input, -o - writes standard output.
    """
    from scgan_lib import batch

    return batch.run(arguments)


def saliency(arguments: argparse.Namespace) -> int:
    """Saliency maps of colour pictures, by a teacher."""
    from scgan_lib import batch

    return batch.run(arguments)


def train(arguments: argparse.Namespace) -> None:
    """Train a stage (and stage 1 before stage 2), or go on with it."""
    from scgan_lib import colorize, stage0, training

    profile, stage = _profile(arguments), arguments.stage
    if arguments.init:
        theirs = colorize.load_generator(arguments.init)[1]
        same = {name: getattr(theirs, name) for name in NETWORK}
        profile = replace(profile, init=f"{arguments.init.absolute()}", global_weights="", **same)
    extend = arguments.steps is not None
    if extend:
        profile = replace(profile, **{f"stage{stage}_steps": arguments.steps})
    if not getattr(profile, f"stage{stage}_steps"):
        raise UserError(f"profile {profile.name}: stage{stage}_steps=0, so nothing to train")
    if stage:
        path = training.train(profile, stage, extend=extend)
    else:
        path = stage0.train(profile, extend=extend)
    if os.environ.get("RANK", "0") == "0":  # of several processes the first reports
        print(path)
        if not stage:
            print(stage0.metrics(path))


def evaluate(arguments: argparse.Namespace) -> int:
    """Score the test photos: metrics.csv."""
    from scgan_lib import evaluation

    others = pairs(arguments.method, "--method", "NAME=FOLDER")
    profile = _profile(arguments)
    profile = replace(profile, test_list=arguments.list or profile.test_list)
    rows, skipped = evaluation.evaluate(profile, {n: Path(f) for n, f in others.items()})
    print(f"{len(rows)} rows in {profile.results / 'metrics.csv'}")
    lines = [f"skipped: {entry.method}: {entry.image}: {entry.reason}" for entry in skipped]
    lines += [f"{len(lines)} pictures skipped, the rest was scored"] if lines else []
    return _skipped(lines)


def table(arguments: argparse.Namespace) -> None:
    """Table 1 from metrics.csv, as csv, md and tex."""
    from scgan_lib import tables

    profile = _profile(arguments)
    others = dict.fromkeys(seed for seed in arguments.seeds if seed != profile.seed)
    tables.table1(profile.results, [replace(profile, seed=seed).results for seed in others])
    print((profile.results / "table1.md").read_text())


def ablate(arguments: argparse.Namespace) -> int:
    """Train and score the ablations: Table 2."""
    from scgan_lib import ablations, tables

    base = ablations.budgeted(arguments.profile, **read_settings(arguments.set, "--set"))
    failed = ablations.run(base, arguments.seeds, arguments.only)
    status = _skipped([f"failed: {label}: {why}" for label, why in failed.items()])
    folder = ablations.home(base)
    tables.table2(folder)
    print((folder / "table2.md").read_text())
    return status


def convert(arguments: argparse.Namespace) -> None:
    """An authors' generator .pth to this project's safetensors."""
    from scgan_lib.authors import author_profile, load_author_generator
    from scgan_lib.colorize import save_generator

    if arguments.target.exists():
        raise UserError(f"{arguments.target}: exists already; remove it or choose another name")
    value_range = (-1, 1) if arguments.range == "pm1" else (0, 1)
    generator = load_author_generator(arguments.source, value_range)
    save_generator(generator, author_profile(generator), arguments.target, source="authors")
    print(arguments.target)


def export(arguments: argparse.Namespace) -> None:
    """The network alone, for onnxruntime or torch, any height and width; checked against torch."""
    from scgan_lib import export as exporting

    print(exporting.export(arguments.source, arguments.target, arguments.torch))


def info(arguments: argparse.Namespace) -> None:
    """What was found: versions, devices, weights, the profile's numbers."""
    import torch

    from scgan_lib import pretrained, training
    from scgan_lib.colorize import weights_of

    profile = _profile(arguments)
    print(f"scgan_lib {__version__}, Python {platform.python_version()}, torch {torch.__version__}")
    print(f"CUDA {torch.cuda.is_available()}, threads {torch.get_num_threads()}")
    print(f"cache: {cache_dir()}")
    print(f"VGG-16: {pretrained.vgg16_trunk(profile.vgg).name}")
    print(f"judge: {pretrained.load_judge().name}")
    print(f"colorize: {weights_of(profile.name)} (--weights {profile.name})")
    for stage in (1, 2):
        path = training.final_weights(profile, stage)
        print(f"stage {stage}: {path if path.is_file() else 'not trained yet'}")
    print(f"profile {profile.run_name} ({profile.digest()}):")
    print(yaml.safe_dump(profile.settings(), sort_keys=False, default_flow_style=None).rstrip())


def within(low: float, high: float, kind: type = int) -> Callable[[str], float]:
    """What reads the number of an option, which must lie in `low`..`high`."""

    def number(text: str) -> float:
        if not low <= (value := kind(text)) <= high:
            raise argparse.ArgumentTypeError(f"{text} does not lie in {low}..{high}")
        return value

    return number


MANY: dict[str, Any] = dict(action="append", default=[])  # may be given again
# What `add_argument` takes; "evaluate --list" is what --list means for that command alone.
OPTIONS: dict[str, dict[str, Any]] = {
    "inputs": dict(nargs="+", type=Path, metavar="PICTURE_OR_FOLDER"),
    "-o/--output": dict(required=True, type=Path, metavar="FOLDER"),
    "--overwrite": dict(action="store_true", help="make finished results anew"),
    "--list": dict(type=Path, metavar="FILE", help="a new csv: source, result"),
    "--quiet": dict(action="store_true", help="say nothing but errors"),
    "--max-pixels": dict(type=within(1, math.inf), metavar="N",
                         help="of a picture, where more than Pillow's 179 million are meant"),
    "--dry-run": dict(action="store_true", help="list source -> result, write nothing"),
    "--compare": dict(type=Path, metavar="FILE.html", help="a page of originals and results"),
    "--format": dict(default="png", choices=("png", "jpg", "webp", "tiff", "same"),
                     help="of the results; same: as the source, if it is one of these"),
    "--quality": dict(default=90, type=within(1, 100), metavar="1..100", help="of jpg and webp"),
    "--weights": dict(default="tiny", help="a weight file or a profile's name"),
    "--chroma": dict(default=1.0, type=within(0, 100, float), help="strength of the colours"),
    "--device": dict(default="auto", help="auto, cpu, cuda or mps"),
    "--teacher": dict(default="u2netp", help="who draws the maps: u2netp, robust-background "
                      "(no weights; for pictures of less than about 200 pixels) or folder:DIR"),
    "--profile": dict(default="mini", choices=[*PROFILES], help="whose numbers"),
    "--seed": dict(default=0, type=int, help="of every random choice"),
    "--set": MANY | dict(metavar="KEY=VALUE", help="override a number: --set stage1_lr=1e-4"),
    "--stage": dict(default=2, type=int, choices=(0, 1, 2), help="0: the global encoder alone"),
    "--init": dict(type=Path, metavar="WEIGHTS",
                   help="fine-tuning: begin with this generator, networks of its sizes"),
    "--steps": dict(type=int, metavar="N",
                    help="go on up to step N, also with a finished stage: the rates are those of a "
                    "run of N steps (halving goes on, a cosine starts again higher up); the old "
                    "weights stay until the new ones are whole"),
    "--method": MANY | dict(metavar="NAME=FOLDER", help="somebody's pictures, matched by name"),
    "evaluate --list": dict(default="", metavar="FILE",
                            help="the test photos, one path a line, relative to the data folder"),
    "--seeds": dict(default=[0, 1, 2], type=int, nargs="+", help="one run each"),
    "table --seeds": dict(default=[], type=int, nargs="*", help="other seeds' runs"),
    "--only": dict(default=[], nargs="+", metavar="NAME", help="these and no others"),
    "source": dict(type=Path, metavar="AUTHOR.pth"),
    "target": dict(type=Path, metavar="OUT.safetensors"),
    "export source": dict(type=Path, metavar="WEIGHTS"),
    "export target": dict(type=Path, metavar="OUT.onnx"),
    "--torch": dict(action="store_true", help="write torch.export's .pt2 instead"),
    "--range": dict(default="pm1", choices=("pm1", "01"),
                    help="trained with [-1,1] (first public version) or [0,1]"),
}  # fmt: skip
FILES = "-o/--output --overwrite --list --quiet --dry-run --compare --format --quality --max-pixels"
RUN = "--profile --seed --set"
COMMANDS: dict[Callable, tuple[str, str]] = {  # function -> (example, options)
    colorize: ("old/ -o coloured/ --chroma 1.2", f"inputs {FILES} --weights --chroma --device"),
    saliency: ("photos/ -o maps/", f"inputs {FILES} --teacher"),
    train: ("--stage 1 --seed 1", f"{RUN} --stage --steps --init"),
    evaluate: ("--method theirs=pictures/", f"{RUN} --method --list"),
    table: ("--seeds 1 2", f"{RUN} --seeds"),
    ablate: ("--profile smoke --seeds 0 1", "--profile --set --seeds --only"),
    convert: ("latest_net_G.pth theirs.safetensors", "source target --range"),
    export: ("results/tiny/generator.safetensors tiny.onnx", "source target --torch"),
    info: ("--profile tiny", RUN),
}
STATUS = "Exit status: 0 done; 1 some pictures were skipped; 2 a wrong call or input; 130 Ctrl-C."


def _parser() -> argparse.ArgumentParser:
    example = "Example: scgan colorize old/ -o coloured/"
    parser = argparse.ArgumentParser(prog="scgan", description=__doc__, epilog=example)
    parser.add_argument("--version", action="version", version=f"scgan {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for run, (example, options) in COMMANDS.items():
        name, text = run.__name__, inspect.getdoc(run)
        words = {"description": text, "epilog": f"Example: scgan {name} {example}\n\n{STATUS}"}
        command = commands.add_parser(name, help=text.splitlines()[0], **words)
        command.set_defaults(run=run, teacher=None)
        for option in options.split():
            how = OPTIONS.get(f"{name} {option}", OPTIONS[option])
            if how.get("default", "") not in ("", []):
                how = how | {"help": f"{how['help']} (default: %(default)s)"}
            command.add_argument(*option.split("/"), **how)
    return parser


if __name__ == "__main__":
    sys.exit(main())
