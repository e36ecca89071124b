"""Stages 1 and 2: what one step does, whom it trains, and the gallery over time.

Stage 1 trains the generator with eq. 1 and 2; stage 2 alternates it with the two critics. The loop
is `loop.fit`. Under a launcher (`torchrun`) each process takes its share of every batch.
"""

import json
import math
import shutil
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from scgan_lib import losses, pretrained, stage0
from scgan_lib.colorize import build_generator, load_generator, render, save_generator
from scgan_lib.config import Profile
from scgan_lib.data import TrainingSet, luma_u8, photos, test_picture
from scgan_lib.loop import Batch, Job, check_settings, final_weights, fit, stage_folder, update
from scgan_lib.networks import Generator, PatchCritic
from scgan_lib.paths import UserError, atomic_write
from scgan_lib.vgg import VGGFeatures

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
    terms = guided_terms(rgb_hat, saliency_hat, batch, profile)
    total = losses.generator_loss(terms, profile.loss)
    update(players.generator_optimizer, total, accelerator)
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
        update(players.critic_optimizer, critics_total, accelerator)
    if not turn:
        return values

    terms = guided_terms(rgb_hat, saliency_hat, batch, profile)
    if profile.loss.perceptual:
        terms["perceptual"] = losses.perceptual_loss(players.features, rgb_hat, rgb)
    if players.critics:
        # the loss passes through the critics without gradients for them, nor anything to exchange
        critics = {name: getattr(c, "module", c) for name, c in players.critics.items()}
        scores = {n: c.requires_grad_(False)(gray, views[n][1]) for n, c in critics.items()}
        for critic in critics.values():
            critic.requires_grad_(True)
        terms["adversarial"] = losses.adversarial_loss(
            scores["color"], scores.get("salient"), profile.gan
        )
    total = losses.generator_loss(terms, profile.loss)
    update(players.generator_optimizer, total, accelerator)
    return values | {name: t.detach() for name, t in (terms | {"generator": total}).items()}


def _float32(critic: nn.Module) -> losses.Critic:
    """`critic` without the mixed precision that Accelerate wraps around its forward.

    The penalty's norm and double backward do not survive fp16. Switching autocast off outside does
    not help: the wrapper switches it on again inside.
    """
    inner = getattr(critic, "module", critic)
    return partial(type(inner).forward, inner)


def guided_terms(rgb_hat: Tensor, saliency_hat: Tensor, batch: Batch, profile: Profile) -> dict:
    terms = {"pixel": losses.pixel_loss(rgb_hat, batch["rgb"])}
    if profile.saliency_guidance:
        terms["attention"] = losses.attention_loss(
            rgb_hat, saliency_hat, batch["rgb"], batch["saliency"]
        )
    return terms


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
    elif profile.stage2_batch:
        settings["batch"] = profile.stage2_batch
    return json.loads(json.dumps(settings))


def train(profile: Profile, stage: int, until: int | None = None, extend: bool = False) -> Path:
    """Train stage 1 or 2, or go on with it, or do nothing if it is done. -> its final weights.

    Writes below `results/<profile>/runs/stage<n>/`: see `fit`; `samples/step_*.npz` hold the
    gallery's colours over time. A stage that this one starts from is trained first.
    """
    # Which VGG-16 was found is a setting of the run: another one later would be another network.
    profile = replace(profile, vgg=pretrained.vgg16_trunk(profile.vgg).source)
    settings = stage_settings(profile, stage)
    check_settings(stage_folder(profile, stage), settings, f"stage{stage}_steps" if extend else "")
    # What this stage starts from, before the seed is set: it starts alike whoever trained that.
    if not final_weights(profile, stage).is_file():
        own = profile.global_weights == "stage0" and profile.global_encoder == "vgg16_gray"
        if stage == 1 and own:
            stage0.train(profile)
        if stage == 2 and profile.stage1_steps:
            train(profile, 1)
    profile = replace(profile, batch=settings["batch"])
    return fit(profile, stage, settings, partial(_gan_job, profile, stage), until, extend)


def _gan_job(profile: Profile, stage: int, accelerator: Accelerator) -> Job:
    """Stage 1 or 2: generator, critics, what they are shown, and the gallery over time."""
    players = players_of(profile, stage)
    if profile.channels_last:
        for network in (players.generator, *players.critics.values()):
            network.to(memory_format=torch.channels_last)  # VGG's features always are
    steps = profile.stage1_steps if stage == 1 else profile.stage2_steps
    players.generator = accelerator.prepare(players.generator)
    players.critics = {name: accelerator.prepare(c) for name, c in players.critics.items()}
    optimizers = [o for o in (players.generator_optimizer, players.critic_optimizer) if o]
    optimizers = [accelerator.prepare(o) for o in optimizers]
    players.generator_optimizer, players.critic_optimizer = (*optimizers, None)[:2]
    if players.features is not None:
        players.features.to(accelerator.device)
    if players.average is not None:
        players.average.to(accelerator.device)
        accelerator.register_for_checkpointing(players.average)
    with accelerator.main_process_first():  # the others find the saliency maps made
        items = TrainingSet(profile, stage, steps * profile.batch)
    plain = accelerator.unwrap_model(players.generator).train()
    shown, gallery = players.average or plain, _gallery(profile)
    if profile.compile != "no":
        # never the critics: compiled code has no double backward, which the penalty needs
        players.generator = torch.compile(players.generator, backend=profile.compile)

    def step(batch: Batch, number: int) -> dict[str, Tensor]:
        if stage == 1:
            values = stage1_step(players, batch, profile, accelerator)
        else:
            values = stage2_step(players, batch, profile, accelerator, number)
        if players.average is not None:
            move_average(players.average, plain, profile.ema)
        return values

    def watch(number: int) -> dict[str, float]:
        path = stage_folder(profile, stage) / "samples" / f"step_{number:06d}.npz"
        if not number:  # those of a start that failed
            shutil.rmtree(path.parent, ignore_errors=True)
        _sample(shown, gallery, profile.image_size, path)
        return {}

    def save(path: Path, facts: dict) -> None:
        save_generator(shown, profile, path, **facts)

    return Job(step, items, optimizers, lambda done: rate(profile, done, steps), watch, save)


def players_of(profile: Profile, stage: int) -> Players:
    """Networks and optimisers at the start of a stage; stage 2 begins with stage 1's weights.

    The first stage begins with the weights of the file `init`, where the profile names one.
    """
    first = stage == 1 or not profile.stage1_steps
    given = profile.init if first else final_weights(profile, 1)
    generator = (load_generator(given)[0] if given else build_generator(profile)).train()
    lr = profile.stage1_lr if stage == 1 else profile.stage2_lr
    players = Players(generator, generator_optimizer=_optimizer(profile, [generator], lr))
    if profile.ema:
        players.average = build_generator(profile)
        players.average.load_state_dict(generator.state_dict())
        players.average.requires_grad_(False).eval()
    if stage == 1:
        return players
    if profile.loss.adversarial:
        both = profile.salient_critic and profile.saliency_guidance
        for name in ("color", "salient") if both else ("color",):
            players.critics[name] = PatchCritic(
                profile.critic_width, layers=profile.critic_layers, norm=profile.critic_norm,
                spectral=profile.critic_spectral, fidelity=profile.fidelity,
            )  # fmt: skip
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
    sound = critic and profile.gan == "wgan-gp" and profile.fidelity == "paper"
    betas = (0.5, 0.9) if sound else profile.betas
    decay = 0.0 if critic else profile.weight_decay
    return kind(parameters, lr, betas, weight_decay=decay, fused=True)


def rate(profile: Profile, step: int, steps: int) -> float:
    """Factor of the learning rate at `step`: half a cosine to 0, or halved every `halve_every`."""
    if profile.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(step / max(steps, 1), 1)))
    return 0.5 ** (step // profile.halve_every)


@torch.no_grad()
def move_average(average: Generator, generator: Generator, decay: float) -> None:
    state = generator.state_dict()
    for name, value in average.state_dict().items():
        if value.dtype.is_floating_point:
            value.lerp_(state[name], 1 - decay)
        else:
            value.copy_(state[name])


# --- pictures over time ---------------------------------------------------------------------------


def _gallery(profile: Profile) -> Tensor:
    """Gray gallery pictures (N,1,S,S) uint8 at the judged size: the first whole test photos."""
    found, pictures = photos(profile, "test"), []
    for photo in found:
        with suppress(UserError):  # `scgan evaluate` names those that are damaged
            pictures.append(luma_u8(test_picture(photo, profile.judge_size)))
        if len(pictures) == GALLERY_SAMPLES:
            break
    if not pictures:
        test_picture(found[0], profile.judge_size)  # says what is wrong with it
    return torch.from_numpy(np.stack(pictures))[:, None]


def _sample(generator: Generator, gallery: Tensor, size: int, path: Path) -> None:
    mode = generator.training
    rgb, saliency = render(generator.eval(), gallery, size)
    generator.train(mode)
    with atomic_write(path) as part:
        np.savez_compressed(part, rgb=rgb.permute(0, 2, 3, 1).numpy(), saliency=saliency[:, 0])
