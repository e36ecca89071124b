"""Ablations: the same run with one thing changed, under one budget, with several seeds.

ablations.yaml lists the variants. Each gets the same number of generator updates on as many
pictures. Stage 1 is trained once for all variants that share its settings. A rerun goes on with
training, and scores anew.
"""

import itertools
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from scgan_lib import config, evaluation, training
from scgan_lib.config import Profile
from scgan_lib.paths import UserError, atomic_write, output_root

_FILE = config.read_yaml("ablations.yaml")
BUDGET: dict[str, dict[str, Any]] = _FILE["budget"]
VARIANTS: dict[str, dict[str, Any]] = _FILE["variants"]
MEANING: dict[str, str] = _FILE["meaning"]


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
    changes = dict(VARIANTS[name])
    loss = replace(base.loss, **changes.pop("loss", {}))
    if changes.get("stage1_steps") == 0:
        changes["stage2_steps"] = base.stage1_steps + base.stage2_steps
    return replace(base, variant=name, seed=seed, loss=loss, **changes)


def changed(base: Profile, name: str) -> dict[str, tuple[Any, Any]]:
    """Setting -> (value in `full`, value in this variant), the λ of the losses as "loss.x"."""
    settings = (variant(base, n).settings() for n in ("full", name))
    full, other = (pd.json_normalize(s).iloc[0].to_dict() for s in settings)
    return {k: (full[k], other[k]) for k in full if full[k] != other[k]}


def stage1_owner(base: Profile, name: str) -> str:
    """The variant whose stage 1 this one takes over, itself where it needs its own, "" for none."""
    settings = {n: training.stage_settings(variant(base, n), 1) for n in VARIANTS}
    own = settings[name]
    return next(n for n in VARIANTS if settings[n] == own) if own["stage1_steps"] else ""


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
            together = replace(base, variant="all", seed=seed)
            rows, _ = evaluation.evaluate(together, weights=weights)
            rows = rows[rows["method"] != "mean_color"].rename(columns={"method": "variant"})
            rows.insert(2, "seed", seed)
            frames[seed] = rows
            manifest = json.loads((together.results / "manifest.json").read_text("utf-8"))
    if not frames:
        raise UserError(f"{home(base)}: no ablation could be scored: {[*failed.values()][:1]}")
    with atomic_write(home(base) / "ablations.csv") as part:
        table = pd.concat(frames.values())
        table.to_csv(part, index=False, lineterminator="\n", float_format="%.8g")
    manifest |= {"seeds": [*frames], "seconds": _seconds(base, frames), "failed": failed}
    evaluation.write_json(home(base) / "ablations.json", manifest)
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


def _seconds(base: Profile, seeds: Sequence[int]) -> dict[str, float]:
    """Training time by "variant, seed s, stage n"; a stage that is shared counts once."""
    seconds = {}
    for seed, name, stage in itertools.product(seeds, VARIANTS, (1, 2)):
        path = training.final_weights(variant(base, name, seed), stage)
        if path.is_file() and not path.parent.is_symlink():
            log = pd.read_csv(path.with_name("log.csv"))
            seconds[f"{name}, seed {seed}, stage {stage}"] = float(log["seconds"].iloc[-1])
    return seconds
