"""`make bench`: this library against a plain reference, as ratios measured in one run.

`reference.py` runs the same networks the way the released step does. Each line checks first that
both give the same outputs or losses from the same state, then times alternating pairs, so that a
machine whose speed drifts harms both alike. Peak memory is read in a fresh process for each side.
Writes `build/bench.json` and the figure `build/bench_growth.{png,pdf}`. See NOTES.md.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent))  # the a file beside this one, wherever it runs from
import reference

from scgan_lib import colorize, config, training, viz
from scgan_lib.config import Profile
from scgan_lib.networks import luma
from scgan_lib.paths import ROOT, UserError, atomic_write

TOLERANCE = 1e-4
PATIENCE = 60.0  # seconds of pairs on one line, after which three of them are enough
STEPS = ("inference", "stage 1", "stage 2")
LINES = [f"{size} {step}" for size in ("full", "mini") for step in STEPS]
EXTRA = ("small cpu", "growth")


def profile_of(line: str, quick: bool = False) -> Profile:
    """Settings of a line: the released network at 256 px, batch 1, or `mini`'s at its own batch.

    Nothing is trained before (`stage1_steps=0`); `quick` shrinks widths and batches, not depths.
    """
    if line.startswith("full"):
        small = dict(width=8, saliency_width=8, critic_width=8) if quick else {}
        return config.load(
            "imagenet", global_weights="", batch=1, stage1_steps=0, device="cpu", **small
        )
    small = dict(width=8, saliency_width=8, critic_width=8, batch=4) if quick else {}
    return config.load("mini", stage1_steps=0, device="cpu", **small)


def batch_of(profile: Profile, count: int = 0) -> dict[str, Tensor]:
    """`count` (or a batch of) random pictures: colours and gray in [-1, 1], saliency in [0, 1].

    Large soft blots under fine noise: of noise alone the deep layers would see always the same.
    """
    count, side = count or profile.batch, profile.image_size
    blots = nn.functional.interpolate(torch.rand(count, 4, 5, 5), (side, side), mode="bilinear")
    rgb, saliency = (0.8 * blots + 0.2 * torch.rand(count, 4, side, side)).split((3, 1), 1)
    rgb = rgb * 2 - 1
    return {"gray": luma(rgb), "rgb": rgb, "saliency": saliency}


def players_of(profile: Profile, step: str) -> training.Players:
    return training.players_of(profile, 2 if step == "stage 2" else 1)


@torch.no_grad()
def settle(players: training.Players, gray: Tensor) -> None:
    """Make the first step comparable: see NOTES.md, "How the two sides are compared".

    The power iteration's vectors become the exact singular vectors, so that one iteration more
    changes nothing, since the two sides do not run equally many in a step; BatchNorm's running
    statistics become those of `gray` (B,1,H,W), for without them an untrained network gives a flat
    picture, and flat pictures are equal for no merit.
    """
    for module in (players.generator, *players.critics.values()):
        converge(module)
    norms = [m for m in players.generator.modules() if isinstance(m, nn.BatchNorm2d)]
    usual = [m.momentum for m in norms]
    for m in norms:
        m.momentum = 1.0
    players.generator(gray)
    for m, momentum in zip(norms, usual, strict=True):
        m.momentum = momentum


def converge(module: nn.Module) -> None:
    """Put every spectral norm's u and v where endless power iterations would take them."""
    for layer in module.modules():
        if parametrize.is_parametrized(layer, "weight"):
            norm = layer.parametrizations.weight
            matrix = norm.original.detach().flatten(1).double()
            u = torch.linalg.eigh(matrix @ matrix.T).eigenvectors[:, -1]
            norm[0]._u.copy_(u)
            norm[0]._v.copy_(nn.functional.normalize(matrix.T @ u, dim=0))


def our_work(profile: Profile, step: str, players: training.Players, batch: dict) -> Callable:
    """One call of the library's own inference form or training step."""
    if step == "inference":
        form = colorize.inference_form(players.generator)
        return lambda: dict(zip(("rgb", "saliency"), _inferred(form, batch["gray"]), strict=True))
    accelerator = Accelerator(cpu=True)
    if step == "stage 1":
        return lambda: training.stage1_step(players, batch, profile, accelerator)
    return lambda: training.stage2_step(players, batch, profile, accelerator, 0)


@torch.inference_mode()
def _inferred(form: nn.Module, gray: Tensor) -> tuple[Tensor, Tensor]:
    return form(gray)


def plain_work(plain: reference.Reference, step: str, batch: dict) -> Callable:
    """The same by the reference."""
    if step == "inference":
        return lambda: dict(zip(("rgb", "saliency"), plain.colorize(batch["gray"]), strict=True))
    return partial(plain.stage1_step if step == "stage 1" else plain.stage2_step, batch)


def largest_difference(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> float:
    """max |a − b| / max(1, |a|) over all outputs or losses; ValueError for differing names."""
    if theirs.keys() != ours.keys():
        raise ValueError(f"not the same values: {sorted(theirs.keys() ^ ours.keys())}")
    return max(
        float(((theirs[k] - ours[k]).abs() / theirs[k].abs().clamp(min=1)).max()) for k in theirs
    )


def compare(profile: Profile, step: str) -> tuple[Callable, Callable, dict[str, float]]:
    """(reference's work, ours, how far their first results differ) from one state."""
    torch.manual_seed(0)
    batch, players = batch_of(profile), players_of(profile, step)
    settle(players, batch_of(profile, max(4, profile.batch))["gray"])
    plain = reference.Reference(profile, players)  # a copy, made before our first step
    theirs, ours = plain_work(plain, step, batch), our_work(profile, step, players, batch)
    results = []
    for work, generator in ((theirs, plain.generator), (ours, players.generator)):
        torch.manual_seed(1)  # the penalty's mixing numbers
        values = {}
        if step != "inference":  # what the step is about to see, besides the losses it returns
            with torch.no_grad():
                values = dict(zip(("rgb", "saliency"), generator(batch["gray"]), strict=True))
        results.append(values | work())
    facts = {"difference": largest_difference(*results)}
    facts["output_spread"] = float(results[0]["rgb"].std())
    return theirs, ours, facts


def ratio(slow: Callable, fast: Callable, runs: int) -> dict[str, float]:
    """Median, least and largest of slow/fast over pairs that swap their order; median seconds.

    Both must have run before. No pair begins after PATIENCE seconds once there are three.
    """
    pairs, begun = [], time.perf_counter()
    for i in range(runs):
        if i >= 3 and time.perf_counter() - begun > PATIENCE:
            break
        times = {}
        for work in (slow, fast)[:: -1 if i % 2 else 1]:
            start = time.perf_counter()
            work()
            times[work] = time.perf_counter() - start
        pairs.append((times[slow], times[fast]))
    ratios = sorted(a / b for a, b in pairs)
    seconds = [statistics.median(column) for column in zip(*pairs, strict=True)]
    return {
        "ratio": statistics.median(ratios), "least": ratios[0], "largest": ratios[-1],
        "pairs": len(pairs), "reference_s": seconds[0], "ours_s": seconds[1],
    }  # fmt: skip


def seconds(work: Callable, runs: int) -> float:
    """Median time of a call, after one to warm up."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# --- peak memory: a process of its own for each side ----------------------------------------------


def peak_of(side: str, line: str, quick: bool) -> float:
    """Peak resident memory in MB of a fresh process that runs two calls of one side alone."""
    command = [sys.executable, __file__, "--peak", side, "--only", line]
    done = subprocess.run(
        command + ["--quick"] * quick, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    if done.returncode:
        raise UserError(f"{line}, {side}: memory not measured: {done.stderr.strip()[-300:]}")
    return float(done.stdout.split()[-1])


def run_alone(side: str, line: str, quick: bool) -> float:
    """What `peak_of` runs: build one side, forget the building, two calls. -> peak in MB."""
    profile, step = profile_of(line, quick), line.split(maxsplit=1)[1]
    torch.manual_seed(0)
    batch, players = batch_of(profile), players_of(profile, step)
    if side == "ours":
        work = our_work(profile, step, players, batch)
        del players
    else:
        plain = reference.Reference(profile, players)
        del players
        work = plain_work(plain, step, batch)
    gc.collect()
    _reset_peak()
    work()
    work()
    return _peak_mb()


def _reset_peak() -> None:
    """Linux keeps a process's peak since its start, or since this."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass  # elsewhere the peak includes the building, on both sides alike


def _peak_mb() -> float:
    """VmHWM where there is /proc; a child's ru_maxrss could be its parent's."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except OSError:
        import resource

        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


# --- the lines ------------------------------------------------------------------------------------


def network_line(line: str, runs: int, quick: bool) -> dict[str, float]:
    """Checked, timed, weighed. UserError when the two sides differ by more than the tolerance."""
    step = line.split(maxsplit=1)[1]
    theirs, ours, facts = compare(profile_of(line, quick), step)
    if not facts["difference"] <= TOLERANCE:
        raise UserError(f"{line}: differs from the reference by {facts['difference']:.1e}")
    facts |= ratio(theirs, ours, runs)
    del theirs, ours
    gc.collect()
    for side in ("reference", "ours"):
        facts[f"{side}_mb"] = peak_of(side, line, quick)
    return facts


def show(line: str, row: dict) -> str:
    def pair(key: str, form: str) -> str:
        values = [row.get(f"{side}_{key}") for side in ("reference", "ours")]
        return " -> ".join("?" if v is None else form.format(v) for v in values)

    difference = row.get("difference")
    equal = "" if difference is None else f"{difference:.0e}"
    memory = pair("mb", "{:.0f}") if row.get("ours_mb") else ""
    return (
        f"{line:15} {row['ratio']:7.2f}x  {row['least']:7.2f} to {row['largest']:7.2f}   "
        f"{pair('s', '{:.3f}'):18} {equal:>6}  {memory}"
    )


HEADER = f"{'':15} {'ratio':>8}  {'least to largest':>18}   {'seconds':18} {'differ':>6}  peak MB"


# --- small CPUs -----------------------------------------------------------------------------------


def small_cpu(runs: int, quick: bool) -> dict[str, float]:
    """`mini`'s stage-1 step beside a large float32 matrix product, in turns.

    GFLOP are counted by torch (a multiply-add is 2), forward and backward, of the form that really
    runs: the fused up-sampling counts its own, fewer, operations. Adam and norms count nothing.
    """
    profile, n = profile_of("mini", quick), 512 if quick else 2048
    batch, players = batch_of(profile), players_of(profile, "stage 1")
    step = our_work(profile, "stage 1", players, batch)
    plain = reference.Reference(profile, players)
    flops = []
    for work in (step, lambda: plain.stage1_step(batch)):
        with FlopCounterMode(display=False) as counter:
            work()
        flops.append(counter.get_total_flops())
    a, b = torch.rand(2, n, n)
    _ = a @ b
    product = ratio(lambda: a @ b, step, runs)
    rate, peak = flops[0] / product["ours_s"], 2 * n**3 / product["reference_s"]
    return {
        "images_per_s": profile.batch / product["ours_s"], "gflop": flops[0] / 1e9,
        "reference_gflop": flops[1] / 1e9, "gflop_per_s": rate / 1e9,
        "product_gflop_per_s": peak / 1e9, "share": rate / peak, "product_side": n,
    }  # fmt: skip


# --- how cost grows -------------------------------------------------------------------------------

AXES = {
    "pixels": ("image_size", (64, 128, 256, 512)),
    "batch": ("batch", (1, 2, 4, 8, 16, 32)),
    "width": ("width", (16, 24, 32, 48, 64)),
}
QUICK_AXES = {"pixels": (64, 128), "batch": (1, 2), "width": (8, 16)}


def growth(runs: int, quick: bool) -> dict[str, dict]:
    """Seconds of inference and of a stage-1 step along one axis at a time, with log-log slopes.

    The released network with 7 levels, so that 64 pixels are enough for it; width 32, 128 px and
    batch 1 where they do not vary (batch: 64 px). Slopes are by pixels (side squared), images and
    width: least squares over all points, and between the last two (`end`), where fixed costs,
    the optimiser's above all, weigh least.
    """
    base = dict(levels=7, stage1_steps=0, batch=1, image_size=128, width=8 if quick else 32)
    results = {}
    for axis, (key, points) in AXES.items():
        points = QUICK_AXES[axis] if quick else points
        rows = {"inference": [], "stage 1": []}
        for value in points:
            settings = base | ({"image_size": 64} if axis == "batch" else {}) | {key: value}
            settings["saliency_width"] = 2 * settings["width"]
            profile = config.load("imagenet", global_weights="", device="cpu", **settings)
            for step, row in rows.items():
                torch.manual_seed(0)
                batch, players = batch_of(profile), players_of(profile, step)
                row.append(seconds(our_work(profile, step, players, batch), runs))
        x = [v * v if axis == "pixels" else v for v in points]
        logs = {step: (np.log(x), np.log(row)) for step, row in rows.items()}
        results[axis] = {
            "x": x,
            "seconds": rows,
            "slope": {k: float(np.polyfit(*xy, 1)[0]) for k, xy in logs.items()},
            "end": {k: float(np.diff(y)[-1] / np.diff(x)[-1]) for k, (x, y) in logs.items()},
        }
    return results


def draw(results: dict[str, dict], folder: Path) -> None:
    """The growth figure, three log-log panels; the gray line is proportional growth."""
    viz.use_style()
    figure = Figure(figsize=(viz.PAGE, 2.4))
    for ax, (axis, result) in zip(figure.subplots(1, 3), results.items(), strict=True):
        x = np.array(result["x"], float)
        for step, times in result["seconds"].items():
            ax.loglog(x, times, "o-", ms=3, label=f"{step}, slope {result['slope'][step]:.2f}")
        power = 2 if axis == "width" else 1  # channels in times channels out
        ax.loglog(x, times[-1] * (x / x[-1]) ** power, ":", color="#8a8a8a", label=f"slope {power}")
        ax.set(xlabel={"pixels": "pixels of an image", "batch": "images"}.get(axis, axis))
        if axis != "pixels":  # few and small numbers: the ones measured, not powers of ten
            ax.set_xticks(x, [f"{v:g}" for v in x])
            ax.xaxis.set_minor_locator(NullLocator())
        ax.legend()
    figure.axes[0].set_ylabel("seconds")
    for suffix in (".png", ".pdf"):
        with atomic_write(folder / f"bench_growth{suffix}") as part:
            figure.savefig(part)


# --- the run --------------------------------------------------------------------------------------


def machine() -> dict[str, str | int]:
    try:
        names = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x]
        cpu = names[0].split(":")[1].strip()
    except (OSError, IndexError):
        cpu = platform.processor() or platform.machine()
    return {"cpu": cpu, "threads": torch.get_num_threads(), "torch": torch.__version__}


def chosen(only: str) -> list[str]:
    """Names that contain `only`; UserError when none does."""
    names = [n for n in (*LINES, *EXTRA) if only in n]
    if not names:
        raise UserError(f"--only {only}: no such line; there are {', '.join((*LINES, *EXTRA))}")
    return names


def bench(only: str, runs: int, quick: bool, folder: Path) -> dict:
    """All lines whose name contains `only`, printed as they come; the results as one dict."""
    names = chosen(only)
    about = machine()
    threads = f"{about['threads']} threads of {about['cpu']}"
    print(f"reference / scgan_lib, at most {runs} pairs a line, {threads}")
    results: dict = {"machine": about, "quick": quick, "lines": {}, "failed": {}}
    print(HEADER)
    for name in (n for n in names if n in LINES):
        try:
            row = network_line(name, runs, quick)
        except (UserError, AssertionError, ImportError) as error:  # the other lines still count
            results["failed"][name] = str(error)
            print(f"{name:15} FAILED: {error}", flush=True)
            continue
        results["lines"][name] = row
        print(show(name, row), flush=True)
    if "small cpu" in names:
        results["small_cpu"] = s = small_cpu(runs, quick)
        print(
            f"mini stage-1 step: {s['images_per_s']:.0f} images/s, {s['gflop_per_s']:.1f} GFLOP/s "
            f"= {s['share']:.0%} of a {s['product_side']:.0f}² float32 product's "
            f"{s['product_gflop_per_s']:.1f}"
        )
    if "growth" in names:
        results["growth"] = growth(min(runs, 3), quick)
        for axis, g in results["growth"].items():
            slopes = [f"{k} {v:.2f} (end {g['end'][k]:.2f})" for k, v in g["slope"].items()]
            print(f"seconds grow with {axis}: slope of {', of '.join(slopes)}")
        draw(results["growth"], folder)
    part_of = "_quick" * quick + f"_{only.replace(' ', '_')}" * bool(only)
    with atomic_write(folder / f"bench{part_of}.json") as part:
        part.write_text(json.dumps(results, indent=1) + "\n")
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, help="pairs a line (5; quick: 1)")
    parser.add_argument("--quick", action="store_true", help="narrow networks, few runs")
    parser.add_argument("--only", default="", help="lines whose name contains this")
    parser.add_argument("--output", type=Path, default=ROOT / "build", help="folder of the results")
    parser.add_argument("--peak", choices=("reference", "ours"), help=argparse.SUPPRESS)
    a = parser.parse_args()
    try:
        if a.peak:
            print(run_alone(a.peak, a.only, a.quick))
        else:
            results = bench(a.only, a.runs or (1 if a.quick else 5), a.quick, a.output)
            return int(bool(results["failed"]))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
