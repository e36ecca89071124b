"""Both stages: checkpoints that a rerun goes on from, a log, pictures over time.

Stage 1 trains the generator with eq. 1 and 2; stage 2 alternates it with the two critics. One
function runs either; what one step does stands in `stage1_step` and `stage2_step`. Under a launcher
(`torchrun`) each process takes its share of every batch.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.utils import broadcast, set_seed
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset, Subset

from scgan_lib import losses, pretrained
from scgan_lib.colorize import (
    build_generator,
    load_generator,
    pick_device,
    render,
    save_generator,
)
from scgan_lib.config import Profile
from scgan_lib.data import RawItems, TrainingSet, luma_u8, make_batch, photos, test_picture
from scgan_lib.networks import Generator, PatchCritic
from scgan_lib.paths import UserError, atomic_write
from scgan_lib.progress import progress
from scgan_lib.vgg import VGGFeatures

Batch = dict[str, Tensor]
GALLERY_SAMPLES = 12  # gallery photos whose colours are kept over time


@dataclass
class Players:
    """Everything that a stage trains or asks: generator, critics by name, φ, optimisers."""

    generator: nn.Module
    critics: dict[str, nn.Module] = field(default_factory=dict)
    features: nn.Module | None = None
    generator_optimizer: Optimizer | None = None
    critic_optimizer: Optimizer | None = None
    average: Generator | None = None


def stage1_step(players: Players, batch: Batch, profile: Profile, accelerator: Accelerator) -> dict:
    """One L1 update of the generator: λ₁·pixel + λ₂·attention (eq. 1, 2). -> the losses."""
    rgb_hat, saliency_hat = players.generator(batch["gray"])
    terms = _guided_terms(rgb_hat, saliency_hat, batch, profile)
    total = losses.generator_loss(terms, profile.loss)
    _update(players.generator_optimizer, total, accelerator)
    return {name: term.detach() for name, term in (terms | {"generator": total}).items()}


def stage2_step(
    players: Players, batch: Batch, profile: Profile, accelerator: Accelerator, step: int
) -> dict:
    """One update of both critics (eq. 4) and, every `critic_steps`, one of the generator (eq. 6).

    The generator runs once: the critics see its result detached, its own loss uses the same one.
    """
    gray, rgb, saliency = batch["gray"], batch["rgb"], batch["saliency"]
    turn = step % profile.critic_steps == 0
    with torch.set_grad_enabled(turn):
        rgb_hat, saliency_hat = players.generator(gray)
    views = {"color": (rgb, rgb_hat)}
    if "salient" in players.critics:
        salient_hat = losses.salient_area(rgb_hat, saliency_hat)
        views["salient"] = (losses.salient_area(rgb, saliency), salient_hat)

    values: dict[str, Tensor] = {}
    critics_total = gray.new_zeros(())
    for name, critic in players.critics.items():
        real, fake = views[name][0], views[name][1].detach()
        real_score, fake_score = critic(gray, real), critic(gray, fake)
        loss = losses.critic_loss(real_score, fake_score, profile.gan)
        values[f"{name}_gap"] = (real_score.mean() - fake_score.mean()).detach()
        if profile.gan == "wgan-gp":
            penalty = losses.gradient_penalty(
                _float32(critic), gray, real, fake.float(), patches=profile.penalty_patches
            )
            values[f"{name}_penalty"] = penalty.detach()
            loss = loss + profile.loss.gradient_penalty * penalty
        values[f"{name}_critic"] = loss.detach()
        critics_total = critics_total + loss
    if players.critics:
        _update(players.critic_optimizer, critics_total, accelerator)
    if not turn:
        return values

    terms = _guided_terms(rgb_hat, saliency_hat, batch, profile)
    if profile.loss.perceptual:
        terms["perceptual"] = losses.perceptual_loss(players.features, rgb_hat, rgb)
    if players.critics:
        with _frozen(players.critics):  # nothing of a critic to exchange between processes here
            critics = {name: getattr(c, "module", c) for name, c in players.critics.items()}
            scores = {name: c(gray, views[name][1]) for name, c in critics.items()}
        terms["adversarial"] = losses.adversarial_loss(
            scores["color"], scores.get("salient"), profile.gan
        )
    total = losses.generator_loss(terms, profile.loss)
    _update(players.generator_optimizer, total, accelerator)
    return values | {name: t.detach() for name, t in (terms | {"generator": total}).items()}


def _float32(critic: nn.Module) -> losses.Critic:
    """`critic` without the mixed precision that Accelerate wraps around its forward.

    The penalty's norm and double backward do not survive fp16. Switching autocast off outside does
    not help: the wrapper switches it on again inside.
    """
    inner = getattr(critic, "module", critic)
    return partial(type(inner).forward, inner)


def _guided_terms(rgb_hat: Tensor, saliency_hat: Tensor, batch: Batch, profile: Profile) -> dict:
    terms = {"pixel": losses.pixel_loss(rgb_hat, batch["rgb"])}
    if profile.saliency_guidance:
        terms["attention"] = losses.attention_loss(
            rgb_hat, saliency_hat, batch["rgb"], batch["saliency"]
        )
    return terms


def _update(optimizer: Optimizer, loss: Tensor, accelerator: Accelerator) -> None:
    optimizer.zero_grad(set_to_none=True)
    accelerator.backward(loss)
    optimizer.step()


@contextmanager
def _frozen(critics: dict[str, nn.Module]) -> Iterator[None]:
    """The generator's loss passes through the critics without making gradients for them."""
    parameters = [p for critic in critics.values() for p in critic.parameters()]
    for p in parameters:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)


# --- a run ----------------------------------------------------------------------------------------

STAGE2_ONLY = (
    "stage2_", "critic_", "gan", "salient_critic", "penalty_", "judge_size", "test_images"
)  # fmt: skip


def stage_settings(profile: Profile, stage: int) -> dict:
    """The settings that a stage's weights depend on: a new stage-2 number keeps stage 1."""
    settings = profile.settings()
    # stage 0 reaches the later stages through `global_weights` alone
    settings = {k: v for k, v in settings.items() if not k.startswith("stage0_")}
    if stage == 1:
        settings["loss"] = {k: settings["loss"][k] for k in ("pixel", "attention")}
        settings = {k: v for k, v in settings.items() if not k.startswith(STAGE2_ONLY)}
    return json.loads(json.dumps(settings))


def stage_folder(profile: Profile, stage: int) -> Path:
    return profile.runs / f"stage{stage}"


def final_weights(profile: Profile, stage: int) -> Path:
    return stage_folder(profile, stage) / "final.safetensors"


def train(profile: Profile, stage: int, until: int | None = None) -> Path:
    """Train one stage, or go on with it, or do nothing if it is done. -> its final weights.

    Writes below `results/<profile>/runs/stage<n>/`: `log.csv`, `samples/step_*.npz`, the newest
    `checkpoint-*/` while it runs, `final.safetensors` at the end. `until` stops after that step
    (and leaves a checkpoint). UserError when the folder holds a run with other settings.
    """
    pick_device(profile.device)
    # Which VGG-16 was found is a setting of the run: another one later would be another network.
    profile = replace(profile, vgg=pretrained.vgg16_trunk(profile.vgg).source)
    folder, final = stage_folder(profile, stage), final_weights(profile, stage)
    steps = profile.stage1_steps if stage == 1 else profile.stage2_steps
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, stage_settings(profile, stage))
    if final.is_file():
        return final

    if stage == 2 and profile.stage1_steps:
        train(profile, 1)  # before the seed: stage 2 starts alike whenever stage 1 was trained
    set_seed(profile.seed * 10 + stage)
    accelerator = _accelerator(profile, profile.batch)
    players = _players(profile, stage)
    if profile.channels_last:
        for network in (players.generator, *players.critics.values(), players.features):
            if network is not None:
                network.to(memory_format=torch.channels_last)
    optimizers = [o for o in (players.generator_optimizer, players.critic_optimizer) if o]
    schedulers = [
        torch.optim.lr_scheduler.LambdaLR(o, lambda s: _rate(profile, s, steps)) for o in optimizers
    ]
    names = list(players.critics)
    prepared = accelerator.prepare(
        players.generator, *players.critics.values(), *optimizers, *schedulers
    )
    players.generator = prepared[0]
    players.critics = dict(zip(names, prepared[1 : 1 + len(names)], strict=True))
    rest = list(prepared[1 + len(names) :])
    players.generator_optimizer = rest[0]
    players.critic_optimizer = rest[1] if len(optimizers) > 1 else None
    schedulers = rest[len(optimizers) :]
    if players.features is not None:
        players.features.to(accelerator.device)
    if players.average is not None:
        players.average.to(accelerator.device)
        accelerator.register_for_checkpointing(players.average)

    if accelerator.num_processes > 1:  # alike up to here; from here each draws its own mixing
        torch.manual_seed(profile.seed * 1000 + stage * 100 + accelerator.process_index)
    start, seconds = _resume(folder, accelerator)
    log = _Log(folder / "log.csv", start, accelerator.is_main_process)
    with accelerator.main_process_first():  # the others find digests and saliency maps made
        items = TrainingSet(profile, stage, steps * profile.batch)
    loader = _loader(profile, start, steps, accelerator, items)
    gallery = _gallery(profile)
    sample_steps = _sample_steps(steps, profile.samples)
    plain = accelerator.unwrap_model(players.generator)
    evaluated = players.average or plain
    if profile.compile != "no":
        # never the critics: compiled code has no double backward, which the penalty needs
        players.generator = torch.compile(players.generator, backend=profile.compile)
    if start == 0 and accelerator.is_main_process:
        _sample(evaluated, gallery, profile, folder, 0)

    begun = saved = time.monotonic()
    bar = progress(
        total=steps * profile.batch, initial=start * profile.batch,
        desc=f"stage {stage}", unit="image", disable=not accelerator.is_main_process,
    )  # fmt: skip
    players.generator.train()
    step = start
    for step, batch in enumerate(loader, start + 1):
        if stage == 1:
            values = stage1_step(players, batch, profile, accelerator)
        else:
            values = stage2_step(players, batch, profile, accelerator, step)
        for scheduler in schedulers:
            scheduler.step()
        if players.average is not None:
            _average(players.average, plain, profile.ema)
        bar.update(profile.batch)
        now = time.monotonic()
        elapsed = seconds + now - begun
        stop = step == until
        report = step % profile.log_every == 0 or step == steps
        due = _due(now - saved > profile.checkpoint_seconds, report, accelerator)
        save = (due or stop) and step < steps
        if report or save:
            mean = accelerator.reduce(torch.stack([v.float() for v in values.values()]), "mean")
            row = dict(zip(values, mean.tolist(), strict=True))
            if not all(map(math.isfinite, row.values())):
                raise UserError(
                    f"{folder}: step {step}: a loss is not finite ({row}); lower the learning "
                    "rate or the adversarial weight; the last checkpoint is untouched"
                )
        if report:
            rate = (step - start) * profile.batch / (now - begun)
            lr = schedulers[0].get_last_lr()[0]
            log.add({"step": step, "seconds": elapsed, "images_per_s": rate, "lr": lr} | row)
            bar.set_postfix(pixel=row.get("pixel", math.nan), refresh=False)
        if step in sample_steps and accelerator.is_main_process:
            _sample(evaluated, gallery, profile, folder, step)
        if save:
            _checkpoint(folder, accelerator, step, elapsed)
            saved = now
        if stop:
            break
    bar.close()
    if step < steps:
        return folder
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        total = round(seconds + time.monotonic() - begun, 1)
        save_generator(evaluated, profile, final, stage=stage, steps=step, seconds=total)
        for old in folder.glob("checkpoint-*"):
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return final


def _accelerator(profile: Profile, batch: int) -> Accelerator:
    """Device, precision and, under a launcher, the process group.

    UserError when `batch` cannot be shared evenly: the mean over processes would be another mean.
    """
    accelerators = torch.cuda.is_available() or torch.backends.mps.is_available()
    accelerator = Accelerator(
        # under a launcher "auto" without GPUs must be said, or each process would be on its own
        cpu=profile.device == "cpu" or not accelerators,
        mixed_precision=profile.precision,
        step_scheduler_with_optimizer=False,
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


def _players(profile: Profile, stage: int) -> Players:
    if stage == 1 or not profile.stage1_steps:
        generator = build_generator(profile)
    else:
        generator = load_generator(final_weights(profile, 1))[0]
    generator.train()
    lr = profile.stage1_lr if stage == 1 else profile.stage2_lr
    players = Players(generator, generator_optimizer=_optimizer(profile, [generator], lr))
    if profile.ema:
        players.average = build_generator(profile)
        players.average.load_trainable_state(generator.trainable_state())
        players.average.requires_grad_(False).eval()
    if stage == 1:
        return players
    if profile.loss.adversarial:
        wanted = ["color", "salient"]
        if not (profile.salient_critic and profile.saliency_guidance):
            wanted.remove("salient")
        for name in wanted:
            players.critics[name] = PatchCritic(
                profile.critic_width,
                layers=profile.critic_layers,
                norm=profile.critic_norm,
                spectral=profile.critic_spectral,
                fidelity=profile.fidelity,
            )
        # the released code overwrites the critic's rate with the generator's
        rate = profile.stage2_lr if profile.fidelity == "released" else profile.critic_lr
        players.critic_optimizer = _optimizer(profile, list(players.critics.values()), rate, True)
    if profile.loss.perceptual:
        players.features = VGGFeatures(pretrained.vgg16_trunk(profile.vgg).state, profile.fidelity)
    return players


def _optimizer(
    profile: Profile, modules: list[nn.Module], lr: float, critic: bool = False
) -> Optimizer:
    parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
    kind = torch.optim.AdamW if profile.optimizer == "adamw" else torch.optim.Adam
    betas = (
        (0.5, 0.9)
        if critic and profile.gan == "wgan-gp" and profile.fidelity == "paper"
        else (profile.betas)
    )
    decay = 0.0 if critic else profile.weight_decay
    return kind(parameters, lr, betas, weight_decay=decay, fused=True)


def _rate(profile: Profile, step: int, steps: int) -> float:
    """Factor of the learning rate at `step`: half a cosine to 0, or halved every `halve_every`."""
    if profile.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(step / max(steps, 1), 1)))
    return 0.5 ** (step // profile.halve_every)


@torch.no_grad()
def _average(average: Generator, generator: Generator, decay: float) -> None:
    state = generator.state_dict()
    for name, value in average.state_dict().items():
        if ".trunk." in name:
            continue
        if value.dtype.is_floating_point:
            value.lerp_(state[name], 1 - decay)
        else:
            value.copy_(state[name])


def _loader(
    profile: Profile, start: int, steps: int, accelerator: Accelerator, items: Dataset
) -> Iterator[Batch]:
    """Batches of steps start+1 ... steps; what item i shows depends on i alone.

    Of P processes, number r takes items r, r+P, ... of every batch: the composites, which come
    first in it, are spread over all. Workers hand over uint8; it becomes numbers on the device.
    """
    shares = accelerator.num_processes
    order: Sequence = range(start * profile.batch, steps * profile.batch)
    if shares > 1:
        order = np.array(order).reshape(-1, profile.batch // shares, shares).swapaxes(1, 2).ravel()
    loader = DataLoader(
        Subset(RawItems(items), order),
        batch_size=profile.batch // shares,
        num_workers=profile.workers,
        persistent_workers=profile.workers > 0,
        pin_memory=accelerator.device.type == "cuda",
        generator=torch.Generator(),  # else every new loader draws from the global random state
    )
    return map(make_batch, accelerator.prepare(loader))


def _claim(folder: Path, settings: dict) -> None:
    """Bind the folder to these settings; refuse another run's."""
    path = folder / "settings.json"
    if path.is_file():
        old = json.loads(path.read_text())
        differing = [k for k in sorted(old | settings) if old.get(k) != settings.get(k)]
        if differing:
            changes = ", ".join(f"{k} {old.get(k)} -> {settings.get(k)}" for k in differing)
            raise UserError(
                f"{folder}: holds a run with other settings ({changes}); use another seed or "
                f"SCGAN_OUTPUT, or remove the folder"
            )
    with atomic_write(path) as part:
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
        state = json.loads((newest / "progress.json").read_text())
        accelerator.load_state(str(newest))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise UserError(
            f"{newest}: damaged checkpoint ({error}); remove it to start over"
        ) from None
    return state["step"], state["seconds"]


class _Log:
    """`log.csv`: a row every few steps; after a resume, rows of steps to come are cut off.

    Of several processes one writes: `main`.
    """

    def __init__(self, path: Path, start: int, main: bool) -> None:
        self.path, self.rows, self.main = path, [], main
        if start and path.is_file():
            with open(path, newline="") as file:
                self.rows = [r for r in csv.DictReader(file) if int(r["step"]) <= start]
        self._write()

    def add(self, row: dict) -> None:
        self.rows.append({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
        self._write()

    def _write(self) -> None:
        if not self.main:
            return
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with atomic_write(self.path) as part, open(part, "w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)


# --- pictures over time ---------------------------------------------------------------------------


def _sample_steps(steps: int, count: int) -> set[int]:
    """`count` steps, dense at the start, where most happens, and the last."""
    return {max(1, round(steps * (i / count) ** 2)) for i in range(1, count + 1)}


def _gallery(profile: Profile) -> Tensor:
    """Gray gallery pictures (N,1,S,S) uint8 at the judged size: the test split's first photos."""
    chosen = photos(profile, "test")[:GALLERY_SAMPLES]
    pictures = [luma_u8(test_picture(p, profile.judge_size)) for p in chosen]
    return torch.from_numpy(np.stack(pictures))[:, None]


def _sample(
    generator: Generator, gallery: Tensor, profile: Profile, folder: Path, step: int
) -> None:
    mode = generator.training
    generator.eval()
    rgb, saliency = render(generator, gallery, profile.image_size)
    generator.train(mode)
    with atomic_write(folder / "samples" / f"step_{step:06d}.npz") as part:
        np.savez_compressed(part, rgb=rgb.permute(0, 2, 3, 1).numpy(), saliency=saliency[:, 0])
