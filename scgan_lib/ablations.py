"""Ablations: the same run with one thing changed, under one budget, with several seeds.

Every variant gets the same number of generator updates on as many pictures. Stage 1 is trained
once for all variants that share its settings. What is done stays done: a rerun goes on.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from scgan_lib import config, evaluation, training
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

    def flat(name: str) -> dict[str, Any]:
        settings = variant(base, name).settings()
        return settings | {f"loss.{k}": v for k, v in settings.pop("loss").items()}

    full, other = flat("full"), flat(name)
    return {k: (full[k], other[k]) for k in full if full[k] != other[k]}


def stage1_owner(base: Profile, name: str) -> str:
    """The variant whose stage 1 this one takes over, itself where it needs its own, "" for none."""
    settings = {n: training.stage_settings(variant(base, n), 1) for n in VARIANTS}
    if not settings[name]["stage1_steps"]:
        return ""
    return next(n for n in VARIANTS if settings[n] == settings[name])


# --- training and evaluation ----------------------------------------------------------------------


def run(base: Profile, seeds: Sequence[int], only: Sequence[str] = ()) -> dict[str, str]:
    """Train and score the variants; write `ablations.csv` and `ablations.json` into `home(base)`.

    `base` from `budgeted`; `only`: train these variants and no others (`full` is always among
    them, the rest is compared with it). The files hold the given seeds and every variant that is
    trained under these settings. -> what failed: "variant, seed s" -> reason; the others go on.
    UserError if nothing could be scored.
    """
    wanted, failed, frames, manifest = ["full", *(only or VARIANTS)], {}, {}, {}
    for seed in dict.fromkeys(seeds):
        weights = {}
        for name in dict.fromkeys([*wanted, *VARIANTS]):
            try:
                if name in wanted or training.final_weights(variant(base, name, seed), 2).is_file():
                    print(f"{name}, seed {seed}", file=sys.stderr)
                    weights[name] = _train(base, name, seed)
            except Exception as error:  # whatever it is, the other variants are still wanted
                text = " ".join(str(error).split())
                failed[f"{name}, seed {seed}"] = text or type(error).__name__
        if weights:
            frames[seed], manifest = _scored(base, seed, weights)
    if not frames:
        raise UserError(f"{home(base)}: no ablation could be scored: {[*failed.values()][:1]}")
    path, table = home(base) / "ablations.csv", pd.concat(frames.values())
    with atomic_write(path) as part:
        table.to_csv(part, index=False, lineterminator="\n", float_format="%.8g")
    evaluation.write_manifest(
        path.with_suffix(".json"), base,
        judge=manifest["judge"], vgg=manifest["vgg"], skipped=manifest["skipped"],
        metrics_sha256=hashlib.sha256(path.read_bytes()).hexdigest(), seeds=[*frames],
        variants={n: {k: v[1] for k, v in changed(base, n).items()} for n in VARIANTS},
        seconds=_seconds(base, frames), failed=failed,
    )  # fmt: skip
    return failed


def _train(base: Profile, name: str, seed: int) -> Path:
    """Train both stages of a variant; the folder of a shared stage 1 is a link to its owner's."""
    profile, owner = variant(base, name, seed), stage1_owner(base, name)
    if owner not in ("", name):
        source = training.train(variant(base, owner, seed), 1).parent
        target = training.stage_folder(profile, 1)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(os.path.relpath(source, target.parent), target_is_directory=True)
    return training.train(profile, 2)


def _scored(base: Profile, seed: int, weights: dict[str, Path]) -> tuple[pd.DataFrame, dict]:
    """The variants of a seed, scored together unless these very weights are: rows, manifest.

    Their pictures and metrics lie in `ablations/all-seed<seed>/`.
    """
    profile = replace(base, variant="all", seed=seed)
    stamp = {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in weights.items()}
    stamp["settings"] = profile.digest()
    path = profile.results / "evaluated.json"
    if not path.is_file() or json.loads(path.read_text()) != stamp:
        path.unlink(missing_ok=True)
        evaluation.evaluate(profile, weights=weights)
        with atomic_write(path) as part:
            part.write_text(json.dumps(stamp, indent=1))
    frame = pd.read_csv(path.with_name("metrics.csv"), dtype={"image": str, "method": str})
    frame = frame[frame["method"].isin([*weights, "gray", "real"])]
    frame.insert(1, "variant", frame.pop("method"))
    frame.insert(2, "seed", seed)
    return frame, json.loads(path.with_name("manifest.json").read_text(encoding="utf-8"))


def _seconds(base: Profile, seeds: Iterable[int]) -> dict[str, float]:
    """Training time by "variant, seed s, stage n"; a stage that is shared counts once."""
    seconds = {}
    for seed, name, stage in itertools.product(seeds, VARIANTS, (1, 2)):
        path = training.final_weights(variant(base, name, seed), stage)
        if path.is_file() and not path.parent.is_symlink():
            log = pd.read_csv(path.with_name("log.csv"))
            seconds[f"{name}, seed {seed}, stage {stage}"] = float(log["seconds"].iloc[-1])
    return seconds
