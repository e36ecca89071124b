"""The one loop of all stages: resume, step, log, checkpoint, finish.

A stage is a `Job`: what one step does, its items, what is watched. Everything that the next step
depends on is in a checkpoint, so that a run that was stopped gives what an unbroken one gives.
"""

import csv
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from textwrap import shorten

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.utils import broadcast, set_seed
from safetensors import SafetensorError
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from scgan_lib.colorize import pick_device
from scgan_lib.config import Profile
from scgan_lib.data import make_batch
from scgan_lib.paths import UserError, atomic_write
from scgan_lib.progress import progress

Batch = dict[str, Tensor]


def stage_folder(profile: Profile, stage: int) -> Path:
    return profile.runs / f"stage{stage}"


def final_weights(profile: Profile, stage: int) -> Path:
    return stage_folder(profile, stage) / "final.safetensors"


@dataclass
class Job:
    """What `fit` trains: one step on a batch, the items, and what is watched and kept."""

    step: Callable[[Batch, int], dict[str, Tensor]]  # (batch, number of the step) -> losses
    items: Dataset
    optimizers: Sequence[Optimizer]
    rate: Callable[[int], float]  # factor of their learning rates after so many steps
    watch: Callable[[int], dict[str, float]]  # at a few steps; what it returns goes to the log
    save: Callable[[Path, dict], None]  # the final weights, with facts about the run


def fit(
    profile: Profile, stage: int, settings: dict, make_job: Callable[[Accelerator], Job],
    until: int | None = None, extend: bool = False,
) -> Path:  # fmt: skip
    """The one loop of all stages: resume, step, log, checkpoint, finish. -> the final weights.

    Writes `log.csv`, the newest `checkpoint-*/` and, at the end, `final.safetensors` into
    `stage_folder`. `until` stops after that step and leaves a checkpoint. `extend`: the run of the
    folder may have fewer steps and goes on from its end; its final weights stay until the new ones
    are whole. UserError when the folder holds a run with other `settings`, a loss is not finite, or
    the disk is full.
    """
    folder, final = stage_folder(profile, stage), final_weights(profile, stage)
    steps = getattr(profile, f"stage{stage}_steps")
    size = profile.batch if stage else profile.stage0_batch
    pick_device(profile.device)
    done = check_settings(folder, settings, f"stage{stage}_steps" if extend else "")
    if final.is_file() and done:
        return final
    set_seed(profile.seed * 10 + stage)
    accelerator = accelerator_for(profile, size)
    job, main = make_job(accelerator), accelerator.is_main_process
    if not final.is_file():
        _write_settings(folder, settings)
    if accelerator.num_processes > 1:  # alike up to here; from here each draws its own
        torch.manual_seed(profile.seed * 1000 + stage * 100 + accelerator.process_index)
    rates = [optimizer.param_groups[0]["lr"] for optimizer in job.optimizers]
    start, seconds = _resume(folder, accelerator)
    if final.is_file() and not 0 < start <= steps:
        raise UserError(f"{folder}: no checkpoint up to step {steps}; begin with --init {final}")
    log, count = folder / "log.csv", profile.samples
    # dense at the start, where most happens; the last step is always watched
    watched = {max(1, round(steps * (i / count) ** 2)) for i in range(1, count)} | {steps}
    if main:
        _cut_log(log, start)
        if not start:
            job.watch(0)
    begun = saved = time.monotonic()
    bar = progress(
        total=steps * size, initial=start * size, desc=f"stage {stage}", unit="image",
        disable=not main,
    )  # fmt: skip
    step = start
    for step, batch in enumerate(batches(job.items, start, steps, size, accelerator), start + 1):
        for optimizer, rate in zip(job.optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * job.rate(step - 1)
        values = job.step(batch, step)
        bar.update(size)
        now = time.monotonic()
        report = step % profile.log_every == 0 or step in watched
        due = _due(now - saved > profile.checkpoint_seconds, report, accelerator)
        save = (due or step == until) and step < steps
        if report or save:
            mean = accelerator.reduce(torch.stack([v.float() for v in values.values()]), "mean")
            row = dict(zip(values, mean.tolist(), strict=True))
            if not all(map(math.isfinite, row.values())):
                raise UserError(
                    f"{folder}: step {step}: a loss is not finite ({row}); lower the learning "
                    "rate or the adversarial weight; the last checkpoint is untouched"
                )
        if report and main:
            pace = {"seconds": seconds + now - begun}
            pace["images_per_s"] = (step - start) * size / (now - begun)
            row |= job.watch(step) if step in watched else {}
            _add_to_log(log, {"step": step} | pace | {"lr": rates[0] * job.rate(step - 1)} | row)
            bar.set_postfix({name: row[name] for name in list(row)[:1]}, refresh=False)
        if save:
            _checkpoint(folder, accelerator, step, seconds + now - begun)
            saved = now
        if step == until:
            break
    bar.close()
    if step < steps:
        return folder
    if main:
        total = round(seconds + time.monotonic() - begun, 1)
        job.save(final, {"stage": stage, "steps": step, "seconds": total})
        _write_settings(folder, settings)
    _checkpoint(folder, accelerator, step, seconds + time.monotonic() - begun)
    return final


def update(optimizer: Optimizer, loss: Tensor, accelerator: Accelerator) -> None:
    optimizer.zero_grad(set_to_none=True)
    accelerator.backward(loss)
    optimizer.step()


def accelerator_for(profile: Profile, batch: int) -> Accelerator:
    """Device, precision and, under a launcher, the process group.

    UserError when `batch` cannot be shared evenly: the mean over processes would be another mean.
    """
    accelerators = torch.cuda.is_available() or torch.backends.mps.is_available()
    accelerator = Accelerator(
        # under a launcher "auto" without GPUs must be said, or each process would be on its own
        cpu=profile.device == "cpu" or not accelerators,
        mixed_precision=profile.precision,
        kwargs_handlers=[
            # unguided, the saliency branch gets no gradient
            DistributedDataParallelKwargs(find_unused_parameters=not profile.saliency_guidance),
            InitProcessGroupKwargs(timeout=timedelta(days=2)),  # the first to come makes the maps
        ],
    )
    if batch % accelerator.num_processes:
        raise UserError(
            f"a batch of {batch} cannot be shared evenly by {accelerator.num_processes} processes; "
            "choose a number of processes that divides it"
        )
    return accelerator


def _due(flag: bool, ask: bool, accelerator: Accelerator) -> bool:
    """What the first process says, when all `ask`: clocks differ, and all must save together."""
    if accelerator.num_processes == 1:
        return flag
    return ask and bool(broadcast(torch.tensor(int(flag), device=accelerator.device)))


def batches(
    items: Dataset, start: int, steps: int, size: int, accelerator: Accelerator
) -> Iterator[Batch]:
    """Batches of steps start+1 ... steps; what item i shows depends on i alone.

    Of P processes, number r takes items r, r+P, ... of every batch: the composites, which come
    first in it, are spread over all. Workers hand over uint8; it becomes numbers on the device.
    """
    shares, workers = accelerator.num_processes, items.profile.workers
    order: Sequence = range(start * size, steps * size)
    if shares > 1:
        order = np.array(order).reshape(-1, size // shares, shares).swapaxes(1, 2).ravel()
    loader = DataLoader(
        order,
        batch_size=size // shares,
        collate_fn=items.raw_batch,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=accelerator.device.type == "cuda",
        generator=torch.Generator(),  # else every new loader draws from the global random state
    )
    return map(make_batch, accelerator.prepare(loader))


def check_settings(folder: Path, settings: dict, longer: str = "") -> bool:
    """UserError where the folder holds a run with other settings; `longer` may have grown.

    -> whether all are the same.
    """
    path = folder / "settings.json"
    # a start that failed claims nothing
    claimed = any(folder.glob("checkpoint-*")) or (folder / "final.safetensors").is_file()
    try:
        old = json.loads(path.read_text()) if claimed and path.is_file() else settings
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); remove {folder} to start over") from None
    differing = [k for k in sorted(old | settings) if old.get(k) != settings.get(k)]
    if differing and not (differing == [longer] and old[longer] < settings[longer]):
        changes = ", ".join(f"{k} {old.get(k)} -> {settings.get(k)}" for k in differing)
        raise UserError(
            f"{folder}: holds a run with other settings ({changes}); use another seed or "
            "SCGAN_OUTPUT, or remove the folder"
        )
    return not differing


def _write_settings(folder: Path, settings: dict) -> None:
    with atomic_write(folder / "settings.json") as part:
        part.write_text(json.dumps(settings, indent=1, sort_keys=True))


def _checkpoint(folder: Path, accelerator: Accelerator, step: int, seconds: float) -> None:
    """Everything that the next step depends on, in `checkpoint-<step>/`, whole or not at all."""
    part = folder / f".checkpoint-{step:07d}.part"
    try:
        accelerator.save_state(str(part))
    except (OSError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise UserError(
            f"{folder}: the checkpoint of step {step} cannot be written ({error}); free disk space "
            "and run again: the run goes on from the checkpoint before"
        ) from None
    accelerator.wait_for_everyone()  # each process adds its random state
    if accelerator.is_main_process:
        (part / "progress.json").write_text(json.dumps({"step": step, "seconds": seconds}))
        target = folder / f"checkpoint-{step:07d}"
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
        for old in folder.glob("checkpoint-*"):
            if old != target:
                shutil.rmtree(old)
    accelerator.wait_for_everyone()


def _resume(folder: Path, accelerator: Accelerator) -> tuple[int, float]:
    if accelerator.is_main_process:
        for rest in folder.glob(".checkpoint-*.part"):
            shutil.rmtree(rest)
    accelerator.wait_for_everyone()
    newest = max(folder.glob("checkpoint-*"), default=None)
    if newest is None:
        return 0, 0.0
    try:
        if empty := [path.name for path in newest.iterdir() if not path.stat().st_size]:
            raise ValueError(f"{empty[0]} is empty")  # Accelerate passes over random states
        state = json.loads((newest / "progress.json").read_text())
        accelerator.load_state(str(newest))
    except Exception as error:  # a damaged file can raise nearly anything
        # torch's own words say how to run what is in a file all the same
        why = type(error).__name__ if "weights_only" in str(error) else shorten(str(error), 300)
        raise UserError(f"{newest}: damaged checkpoint ({why}); remove it to start over") from None
    return state["step"], state["seconds"]


def _cut_log(path: Path, start: int) -> None:
    """Leave the whole rows of `log.csv` up to step `start`: a resumed run writes the rest again."""
    lines = path.read_text().rpartition("\n")[0].splitlines() if path.is_file() and start else []
    kept = lines[:1] + [line for line in lines[1:] if int(line.partition(",")[0]) <= start]
    with atomic_write(path) as part:
        part.write_text("".join(f"{line}\n" for line in kept))


def _add_to_log(path: Path, row: dict) -> None:
    """Append a row; only where a column is new is the file written anew."""
    row = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
    with open(path, newline="") as file:
        names = file.readline().strip().split(",")
    if row.keys() <= set(names):
        with open(path, "a", newline="") as file:
            csv.DictWriter(file, names).writerow(row)
        return
    with open(path, newline="") as file:
        rows = [*csv.DictReader(file), row]
    with atomic_write(path) as part, open(part, "w", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(name for r in rows for name in r))
        writer.writeheader()
        writer.writerows(rows)
