"""Ablations: the same run with one thing changed, under one budget, with several seeds.

Every variant gets the same number of generator updates on as many pictures. Stage 1 is trained
once for all variants that share its settings. What is done stays done: a rerun goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import safe_open

from scgan_lib import config, evaluation, pretrained, training
from scgan_lib.config import Profile
from scgan_lib.paths import UserError, atomic_write, output_root

# Fewer updates than the profile's own run, for there are seven variants and three seeds.
BUDGET: dict[str, dict[str, Any]] = {
    "smoke": dict(stage1_steps=6, stage2_steps=3, samples=0),
    "mini": dict(stage1_steps=240, stage2_steps=60, samples=0),
}
# What each variant changes; "loss.x" is one λ of eq. 6. `full` is the method as it is.
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "no-saliency": {"saliency_guidance": False, "salient_critic": False},
    "no-salient-critic": {"salient_critic": False},
    "no-perceptual": {"loss.perceptual": 0.0},
    "no-adversarial": {"loss.adversarial": 0.0},
    "no-global": {"global_encoder": "none", "global_weights": ""},
    "no-stage1": {"stage1_steps": 0},  # and its updates go to stage 2: see `variant`
}
MEANING = {
    "full": "the method as it is",
    "no-saliency": "no attention loss (eq. 2) and no salient critic; the branch stays, untrained",
    "no-salient-critic": "one critic, on the whole picture; the attention loss stays",
    "no-perceptual": "stage 2 without VGG-16's features (eq. 5)",
    "no-adversarial": "stage 2 without critics (eq. 3, 4)",
    "no-global": "no VGG-16 in the generator's middle",
    "no-stage1": "all updates are stage 2's, at its learning rate; each costs several of stage 1",
}


def budgeted(name: str, **overrides: Any) -> Profile:
    """The profile `name` with the ablations' budget; `overrides` win."""
    return config.from_environment(name, 0, **(BUDGET.get(name, {}) | overrides))


def home(profile: Profile) -> Path:
    """Where ablations.csv, ablations.json and Table 2 lie, whatever the seed."""
    return output_root() / "results" / profile.name


def variant(base: Profile, name: str, seed: int = 0) -> Profile:
    """`base` with what `name` changes. `no-stage1` keeps the number of updates: all in stage 2."""
    if name not in VARIANTS:
        raise UserError(f"unknown ablation {name!r}; there are {', '.join(VARIANTS)}")
    changes = {k: v for k, v in VARIANTS[name].items() if "." not in k}
    weights = {k.partition(".")[2]: v for k, v in VARIANTS[name].items() if "." in k}
    if changes.get("stage1_steps") == 0:
        changes["stage2_steps"] = base.stage1_steps + base.stage2_steps
    return replace(base, variant=name, seed=seed, loss=replace(base.loss, **weights), **changes)


def changed(base: Profile, name: str) -> dict[str, tuple[Any, Any]]:
    """Setting -> (value in `full`, value in this variant), the λ of the losses as "loss.x"."""

    def flat(profile: Profile) -> dict[str, Any]:
        settings = profile.settings()
        return settings | {f"loss.{k}": v for k, v in settings.pop("loss").items()}

    full, other = flat(variant(base, "full")), flat(variant(base, name))
    return {k: (full[k], other[k]) for k in full if full[k] != other[k]}


def stage1_owner(base: Profile, name: str) -> str:
    """The variant whose stage 1 this one takes over, itself where it needs its own, "" for none."""
    wanted = variant(base, name)
    if not wanted.stage1_steps:
        return ""
    settings = training.stage_settings(wanted, 1)
    same = (n for n in VARIANTS if training.stage_settings(variant(base, n), 1) == settings)
    return next(same)


# --- training and evaluation ----------------------------------------------------------------------


def run(
    base: Profile, seeds: Sequence[int], only: Sequence[str] = (), jobs: int = 1
) -> dict[str, str]:
    """Train and score the variants; write `ablations.csv` and `ablations.json` into `home(base)`.

    `base` from `budgeted`; `only`: train these variants and no others (`full` is always among
    them, the rest is compared with it). `jobs` > 1: so many processes at a time, one thread each.
    The files hold the given seeds and every variant that is trained under these settings.
    -> what failed: "variant, seed s, stage n" -> reason; UserError if nothing could be scored.
    """
    seeds, names = list(dict.fromkeys(seeds)), [*dict.fromkeys(["full", *only])]
    if not only:
        names = list(VARIANTS)
    profiles = {(n, s): variant(base, n, s) for n in names for s in seeds}
    owners = {(o, s) for n, s in profiles if (o := stage1_owner(base, n))}
    first = {
        _label(n, s, 1): (_train, variant(base, n, s), 1)
        for s in seeds
        for n in VARIANTS
        if (n, s) in owners
    }
    second = {
        _label(n, s, 2): (_train, profiles[n, s], 2, stage1_owner(base, n))
        for s in seeds
        for n in names
    }
    last = {_evaluation(s): (_evaluate, base, s) for s in seeds}
    failed: dict[str, str] = {}
    for tasks in (first, second, last):
        failed |= _perform(tasks, jobs)
    _collect(base, seeds, failed)
    return failed


def _train(profile: Profile, stage: int, owner: str = "") -> None:
    if owner not in ("", profile.variant):
        _take_over_stage1(profile, owner)
    training.train(profile, stage)


def _take_over_stage1(profile: Profile, owner: str) -> None:
    """Copy the owner's stage 1, whole or not at all; `train` then finds it done."""
    source = training.stage_folder(replace(profile, variant=owner), 1)
    target, final = training.stage_folder(profile, 1), training.final_weights(profile, 1)
    if final.is_file():
        return
    if not (source / final.name).is_file():
        raise UserError(f"{source}: its stage 1 is not trained, and this variant starts from it")
    part = target.with_name(f".{target.name}.part")
    for rest in (part, target):
        shutil.rmtree(rest, ignore_errors=True)
    shutil.copytree(source, part)
    part.rename(target)


def _trained(profile: Profile) -> Path | None:
    """The final weights of stage 2, if they are there and were trained under these settings."""
    final = training.final_weights(profile, 2)
    if not final.is_file():
        return None
    wanted = training.stage_settings(replace(profile, vgg=_vgg(profile.vgg)), 2)
    found = json.loads((final.parent / "settings.json").read_text())
    return final if found == wanted else None


@cache
def _vgg(name: str) -> str:
    return pretrained.vgg16_trunk(name).source


def _compared(base: Profile, seed: int) -> Profile:
    """Where one seed's pictures of all variants lie: `ablations/all-seed<seed>/`."""
    return replace(base, variant="all", seed=seed)


def _evaluate(base: Profile, seed: int) -> None:
    """Score all trained variants of one seed together, unless these very weights are scored."""
    found = {n: _trained(variant(base, n, seed)) for n in VARIANTS}
    weights = {n: path for n, path in found.items() if path}
    if not weights:
        raise UserError(
            f"{_compared(base, seed).results.parent}: no variant of this seed is trained"
        )
    profile = _compared(base, seed)
    stamp = {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in weights.items()}
    stamp["settings"] = profile.digest()
    path = profile.results / "evaluated.json"
    if path.is_file() and json.loads(path.read_text()) == stamp:
        return
    path.unlink(missing_ok=True)
    evaluation.evaluate(profile, weights=weights)
    with atomic_write(path) as part:
        part.write_text(json.dumps(stamp, indent=1))


def _collect(base: Profile, seeds: Iterable[int], failed: dict[str, str]) -> None:
    """One table of all seeds, and what it depends on."""
    frames, manifest, seconds = [], {}, {}
    for seed in seeds:
        folder = _compared(base, seed).results
        if _evaluation(seed) in failed or not (folder / "evaluated.json").is_file():
            continue  # an older evaluation is one of other settings
        frame = pd.read_csv(folder / "metrics.csv", dtype={"image": str, "method": str})
        frame = frame[frame["method"].isin([*VARIANTS, "gray", "real"])]
        frames.append(frame.rename(columns={"method": "variant"}).assign(seed=seed))
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        seconds |= _seconds(base, seed)
    if not frames:
        raise UserError(f"{home(base)}: no ablation could be scored: {[*failed.values()][:1]}")
    table = pd.concat(frames)
    path = home(base) / "ablations.csv"
    front = ["image", "variant", "seed"]
    with atomic_write(path) as part:
        table = table[[*front, *table.columns.difference(front, sort=False)]]
        table.to_csv(part, index=False, lineterminator="\n", float_format="%.8g")
    evaluation.write_manifest(
        path.with_suffix(".json"), base,
        judge=manifest["judge"], vgg=manifest["vgg"], skipped=manifest["skipped"],
        metrics_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        seeds=[int(s) for s in table["seed"].unique()],
        budget={k: getattr(base, k) for k in ("stage1_steps", "stage2_steps", "batch")},
        variants={n: {k: v[1] for k, v in changed(base, n).items()} for n in VARIANTS},
        stage1_of={n: stage1_owner(base, n) for n in VARIANTS},
        seconds=seconds, failed=failed,
    )  # fmt: skip


def _seconds(base: Profile, seed: int) -> dict[str, float]:
    """Label of a stage -> seconds of its training; a stage 1 that was taken over counts once."""
    seconds = {}
    for name in VARIANTS:
        for stage in (1, 2):
            path = training.final_weights(variant(base, name, seed), stage)
            if path.is_file() and (stage == 2 or stage1_owner(base, name) == name):
                with safe_open(path, "pt") as file:
                    seconds[_label(name, seed, stage)] = float(file.metadata()["seconds"])
    return seconds


def _label(name: str, seed: int, stage: int) -> str:
    return f"{name}, seed {seed}, stage {stage}"


def _evaluation(seed: int) -> str:
    return f"seed {seed}, evaluation"


# --- several at a time ----------------------------------------------------------------------------

Task = tuple[Callable, ...]  # a function of this module and its arguments


def _perform(tasks: dict[str, Task], jobs: int) -> dict[str, str]:
    """Do all tasks; a failure does not stop the others. -> label -> reason of those that failed."""
    quick = {label: t for label, t in tasks.items() if jobs == 1 or _done(t)}
    failed = {label: why for label, task in quick.items() if (why := _attempt(label, task))}
    rest = {label: t for label, t in tasks.items() if label not in quick}
    if not rest:
        return failed
    with ProcessPoolExecutor(min(jobs, len(rest)), get_context("spawn"), _one_thread) as pool:
        futures = {pool.submit(_attempt, label, task, True): label for label, task in rest.items()}
        try:
            for future in as_completed(futures):
                try:
                    why = future.result()
                except BrokenExecutor as error:  # killed from outside, e.g. for memory
                    why = f"its process ended ({error}); try --jobs 1"
                if why:
                    failed[futures[future]] = why
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def _done(task: Task) -> bool:
    """Trained already: `train` only has to compare the settings."""
    return task[0] is _train and training.final_weights(*task[1:3]).is_file()


def _one_thread() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends at once and quietly; the parent reports
    os.environ["SCGAN_HEADLESS"] = "1"


def _attempt(label: str, task: Task, apart: bool = False) -> str:
    """Do one task and say so; -> the reason if it failed, else "". `apart`: in its own process."""
    function, *arguments = task
    done, start = _done(task), time.monotonic()
    if not done:
        print(f"{label}: starts", flush=True)
    try:
        with contextlib.redirect_stderr(_Labelled(label)) if apart else contextlib.nullcontext():
            function(*arguments)
    except Exception as error:  # whatever it is, the other variants are still wanted
        why = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        why = " ".join(why.split())
        print(f"{label}: failed: {why}", flush=True)
        return why
    spent = "done before" if done else f"done in {time.monotonic() - start:.0f} s"
    print(f"{label}: {spent}", flush=True)
    return ""


class _Labelled(io.TextIOBase):
    """Standard error of a process among several: each line says whose it is."""

    def __init__(self, label: str) -> None:
        self.label, self.stream = label, sys.stderr

    def write(self, text: str) -> int:
        if text.strip():
            self.stream.write(f"{self.label}: {text.strip()}\n")
            self.stream.flush()
        return len(text)
