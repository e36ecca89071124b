"""Both stages: what a step changes, what a run leaves, going on after a stop, a kill, a change."""

import math
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from conftest import log_of
from safetensors.torch import load_file, save_file

from scgan_lib import losses, stage0, training
from scgan_lib.colorize import load_generator
from scgan_lib.networks import PatchCritic
from scgan_lib.paths import ROOT, UserError

ONE_PROCESS = SimpleNamespace(backward=lambda loss: loss.backward())
STAGE1 = ["step", "lr", "pixel", "attention", "generator"]
STAGE2 = [*STAGE1, "perceptual", "adversarial"]
STAGE2 += [f"{c}_{n}" for c in ("color", "salient") for n in ("critic", "penalty", "gap")]


def rows(profile, stage) -> list[dict[str, float]]:
    return log_of(training.stage_folder(profile, stage))


def batch_of(profile) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    size = (profile.batch, 4, profile.image_size, profile.image_size)
    x = torch.rand(size, generator=generator) * 2 - 1
    return {"gray": x[:, :1], "rgb": x[:, 1:], "saliency": x[:, :1].abs()}


def first_step(profile):
    """Players and losses after the first step of stage 2, always from the same start."""
    torch.manual_seed(0)
    players = training.players_of(profile, 2)
    return players, training.stage2_step(players, batch_of(profile), profile, ONE_PROCESS, 1)


def numbers(module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# --- one step -------------------------------------------------------------------------------------


@pytest.mark.parametrize("gan", ["wgan-gp", "lsgan", "hinge"])
def test_stage2_step_changes_generator_and_both_critics(untied, gan):
    p = untied(stage1_steps=0, gan=gan)
    torch.manual_seed(0)
    before = training.players_of(p, 2)
    players, values = first_step(p)
    assert [*players.critics] == ["color", "salient"]
    for name, critic in players.critics.items():
        pairs = zip(numbers(before.critics[name]), numbers(critic), strict=True)
        assert not any(torch.equal(a, b) for a, b in pairs)
        assert math.isfinite(values[f"{name}_critic"]) and math.isfinite(values[f"{name}_gap"])
        assert (f"{name}_penalty" in values) == (gan == "wgan-gp")
    assert not same(numbers(before.generator), numbers(players.generator))
    assert all(p.requires_grad for c in players.critics.values() for p in c.parameters())


def test_penalties_act_on_the_critics(untied):
    """Another λ, other critics after one step; the critics' loss is gap and penalty."""
    after = []
    for weight in (0.0, 10.0):
        players, values = first_step(untied(stage1_steps=0, loss={"gradient_penalty": weight}))
        after.append([numbers(critic) for critic in players.critics.values()])
        for name in players.critics:
            penalty, gap = values[f"{name}_penalty"], values[f"{name}_gap"]
            assert penalty > 0
            torch.testing.assert_close(values[f"{name}_critic"], weight * penalty - gap)
    assert not any(same(*pair) for pair in zip(*after, strict=True))


def test_the_penalty_is_float32_whatever_the_precision(untied, monkeypatch):
    """Through `train`, since the mixed precision is what Accelerate makes of a network there."""
    p = untied(stage1_steps=0, stage2_steps=1, critic_steps=2, precision="bf16")
    mixed, forward = {}, PatchCritic.forward

    def watched(self, gray, image):
        mixed[image.requires_grad] = torch.is_autocast_enabled("cpu")
        return forward(self, gray, image)

    monkeypatch.setattr(PatchCritic, "forward", watched)
    AcceleratorState._reset_state(True)  # otherwise the first precision of a process stays
    try:
        training.train(p, 2)
    finally:
        AcceleratorState._reset_state(True)
    assert mixed == {False: True, True: False}  # the penalty alone asks for the image's gradient


@pytest.mark.parametrize(
    "choice",
    [pytest.param({"compile": "aot_eager"}, marks=pytest.mark.slow), {"channels_last": True}],
)
def test_speed_choices_change_no_number(untied, tmp_path, monkeypatch, choice):
    """Compiled or in another memory order: the same losses and penalties in every step."""
    p = untied(stage1_steps=0, stage2_steps=2, batch=2, generator_spectral=True)
    logs = []
    for profile in (p, replace(p, **choice)):
        monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path / str(len(logs))))
        training.train(profile, 2)
        logs.append(rows(profile, 2))
    assert logs[1] == [pytest.approx(row, rel=1e-3, abs=1e-6) for row in logs[0]]
    assert len(logs[0]) == 2 and logs[0][0]["color_penalty"] > 0


def test_the_generators_loss_does_not_train_the_critics(untied):
    little, much = (
        first_step(untied(stage1_steps=0, loss={"adversarial": weight}))[0] for weight in (0.05, 50)
    )
    for name, critic in little.critics.items():
        assert same(numbers(critic), numbers(much.critics[name]))
    assert not same(numbers(little.generator), numbers(much.generator))


def test_the_generator_runs_once_a_step_and_learns_every_critic_steps(untied):
    p = untied(stage1_steps=0, critic_steps=3)
    players, calls, moved = training.players_of(p, 2), [], []
    players.generator.register_forward_hook(lambda *_: calls.append(1))
    for step in range(1, 7):
        before = numbers(players.generator)
        values = training.stage2_step(players, batch_of(p), p, ONE_PROCESS, step)
        moved.append(not same(before, numbers(players.generator)))
        assert ("generator" in values) == moved[-1]
    assert moved == [False, False, True] * 2 and len(calls) == 6


# --- switches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "critics", "attention"),
    [
        ({}, ["color", "salient"], True),
        ({"salient_critic": False}, ["color"], True),
        ({"fidelity": "released"}, ["color"], True),
        ({"saliency_guidance": False}, ["color"], False),
    ],
)
def test_who_plays_and_what_is_watched(untied, change, critics, attention):
    players, values = first_step(untied(stage1_steps=0, **change))
    assert [*players.critics] == critics
    assert [n for n in ("color", "salient") if f"{n}_gap" in values] == critics
    assert ("attention" in values) == attention


def critic_group(profile) -> dict:
    return training.players_of(profile, 2).critic_optimizer.param_groups[0]


def test_critics_and_their_optimizer_by_fidelity(untied):
    """The released code gives the critics the generator's rate and betas, and BatchNorm."""
    more = dict(stage1_steps=0, stage2_lr=1e-3, critic_lr=3e-3, betas=(0.5, 0.999))
    paper = untied(**more, critic_norm="instance", critic_spectral=True, critic_layers=3)
    released = untied(**more, fidelity="released")
    group, theirs = critic_group(paper), critic_group(released)
    assert (group["lr"], group["betas"]) == (3e-3, (0.5, 0.9))
    assert (theirs["lr"], theirs["betas"]) == (1e-3, (0.5, 0.999))
    critic = training.players_of(paper, 2).critics["salient"]
    assert isinstance(critic.blocks[1].norm, torch.nn.InstanceNorm2d)
    assert "blocks.0.conv.parametrizations.weight.original" in critic.state_dict()
    critic = training.players_of(released, 2).critics["color"]
    assert isinstance(critic.blocks[1].norm, torch.nn.BatchNorm2d)


def test_optimizer_and_schedule_switches(untied):
    adamw = untied(stage1_steps=0, optimizer="adamw", weight_decay=0.5)
    group = training.players_of(adamw, 1).generator_optimizer
    assert isinstance(group, torch.optim.AdamW) and group.param_groups[0]["weight_decay"] == 0.5
    assert critic_group(adamw)["weight_decay"] == 0.0
    adam = training.players_of(replace(adamw, optimizer="adam"), 1).generator_optimizer
    assert type(adam) is torch.optim.Adam
    cosine = [training.rate(replace(adamw, schedule="cosine"), s, 100) for s in (0, 25, 50, 100)]
    np.testing.assert_allclose(cosine, [1, 0.5 + 0.5 * math.sqrt(0.5), 0.5, 0], atol=1e-12)
    halving = replace(adamw, schedule="halve", halve_every=10)
    assert [training.rate(halving, s, 100) for s in (0, 9, 10, 25)] == [1, 1, 0.5, 0.25]


# --- a run ----------------------------------------------------------------------------------------


def test_both_stages_leave_log_samples_and_weights(tiny):
    p = tiny(ema=0.9)
    final = training.train(p, 2)  # makes stage 1 first
    for stage, columns, steps in ((1, STAGE1, 6), (2, STAGE2, 4)):
        log = rows(p, stage)
        assert set(log[0]) == set(columns)
        assert [r["step"] for r in log] == [*range(1, steps + 1)]
        assert all(math.isfinite(value) for row in log for value in row.values())
        folder = training.stage_folder(p, stage)
        files = sorted(folder.glob("samples/*.npz"))
        assert [f.stem for f in files] == ["step_000000", f"step_{steps:06d}"]
        with np.load(files[-1]) as sample:
            assert sample["rgb"].shape == (3, 48, 48, 3) and sample["rgb"].dtype == np.uint8
            assert sample["saliency"].shape == (3, 48, 48)
        assert [c.name for c in folder.glob("*checkpoint-*")] == [f"checkpoint-000000{steps}"]
    generator, saved, facts = load_generator(final)
    assert saved.settings() == p.settings()
    assert (facts["stage"], facts["steps"]) == ("2", "4") and not generator.training
    expected = [0.75e-3 * (1 + math.cos(math.pi * k / 6)) for k in range(6)]  # used in step k + 1
    assert [r["lr"] for r in rows(p, 1)] == pytest.approx(expected, rel=1e-4)


def test_a_finished_stage_is_not_trained_again_nor_for_new_numbers_of_stage2(untied, monkeypatch):
    p = untied(stage1_steps=2)
    final = training.train(p, 1)
    stamp, content = final.stat().st_mtime_ns, final.read_bytes()
    monkeypatch.setattr(training, "stage1_step", None)  # calling it would be an error
    other = replace(p, critic_lr=0.5, stage2_steps=99, gan="hinge", salient_critic=False,
                    loss=replace(p.loss, adversarial=1.0, perceptual=2.0))  # fmt: skip
    for profile in (p, other):
        assert training.train(profile, 1) == final
        assert final.stat().st_mtime_ns == stamp and final.read_bytes() == content


@pytest.mark.parametrize("stage", [0, 2])
def test_resumed_run_equals_the_unbroken_one(tiny, tmp_path, monkeypatch, stage):
    more = dict(ema=0.9, critic_steps=2) if stage else dict(stage0_batch=8)
    p = tiny(stage0_steps=4, stage1_steps=1, stage2_steps=4, **more)
    train = partial(training.train, stage=stage) if stage else stage0.train
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path / "unbroken"))
    unbroken = load_file(train(p))
    straight = rows(p, stage)
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path / "stopped"))
    assert train(p, until=2) == training.stage_folder(p, stage)
    assert not training.final_weights(p, stage).exists()
    assert [r["step"] for r in rows(p, stage)] == [1, 2]
    resumed = load_file(train(p))
    assert resumed.keys() == unbroken.keys()
    for name, value in unbroken.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=1e-6)
    assert rows(p, stage) == [pytest.approx(row, rel=1e-4) for row in straight]


KILLED_WHILE_WRITING_A_CHECKPOINT = """
import os, signal
from accelerate import Accelerator
from scgan_lib import config, training

def save_state(self, folder, save=Accelerator.save_state, count=[]):
    save(self, folder)
    count.append(1)
    if len(count) == 3:
        os.remove(os.path.join(folder, "model.safetensors"))
        os.kill(os.getpid(), signal.SIGKILL)

Accelerator.save_state = save_state
training.train(config.load(**{settings}), 2)
"""


def test_a_killed_run_goes_on_from_its_last_whole_checkpoint(untied, monkeypatch):
    """SIGKILL while a checkpoint is written; the rerun takes the remaining steps."""
    p = untied(stage1_steps=0, stage2_steps=4)
    settings = p.settings() | {"device": "cpu", "log_every": 1, "checkpoint_seconds": 0.0}
    code = KILLED_WHILE_WRITING_A_CHECKPOINT.replace("{settings}", repr(settings))
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder = training.stage_folder(p, 2)
    assert [c.name for c in folder.glob("checkpoint-*")] == ["checkpoint-0000002"]
    steps, step = [], training.stage2_step
    monkeypatch.setattr(training, "stage2_step", lambda *a: steps.append(a[-1]) or step(*a))
    training.train(p, 2)
    assert steps == [3, 4]
    assert [r["step"] for r in rows(p, 2)] == [1, 2, 3, 4]
    assert [c.name for c in folder.glob("*checkpoint-*")] == ["checkpoint-0000004"]


def test_an_extended_run_equals_the_longer_one(untied, tmp_path, monkeypatch):
    """Halved rates depend on the step alone; stopped once on the way, the old weights stay."""
    p = untied(schedule="halve", halve_every=2, stage1_steps=2)
    more = replace(p, stage1_steps=4)
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path / "longer"))
    longer, log = load_file(training.train(more, 1)), rows(p, 1)
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path / "extended"))
    final = training.train(p, 1)
    old = final.read_bytes()
    with pytest.raises(UserError, match="stage1_steps 2 -> 4"):
        training.train(more, 1)
    training.train(more, 1, until=3, extend=True)
    assert training.train(p, 1) == final and final.read_bytes() == old
    extended = load_file(training.train(more, 1, extend=True))
    for name, value in longer.items():
        torch.testing.assert_close(extended[name], value, rtol=0, atol=1e-6)
    assert rows(p, 1) == [pytest.approx(row, rel=1e-4) for row in log]


def test_other_settings_and_a_damaged_checkpoint_are_refused_by_name(untied):
    p = untied(stage1_steps=3)
    folder = training.train(p, 1, until=2)
    for key, value in dict(stage1_lr=0.5, width=5, teacher="u2netp", levels=6).items():
        with pytest.raises(UserError, match=f"^{folder}: .*{key} .* -> {value}"):
            training.train(replace(p, **{key: value}), 1)
    states = folder / "checkpoint-0000002" / "random_states_0.pkl"
    kept = states.read_bytes()
    states.write_bytes(b"")
    with pytest.raises(UserError, match=r"damaged .*random_states_0\.pkl is empty"):
        training.train(p, 1)
    states.write_bytes(kept)
    weights = folder / "checkpoint-0000002" / "model.safetensors"
    state = load_file(weights)
    del state["to_rgb.conv.weight"]
    save_file(state, weights, {"format": "pt"})
    with pytest.raises(UserError, match=r"checkpoint-0000002: damaged .*Missing.*to_rgb\.conv"):
        training.train(p, 1)


def test_a_loss_that_is_not_finite_stops_the_run(untied, monkeypatch):
    """No row of the log and no checkpoint holds it, also between two rows."""
    p = untied(stage1_steps=4, log_every=2, checkpoint_seconds=0.0)
    pixel, factors = losses.pixel_loss, iter([math.nan, 1, 1, math.nan])
    monkeypatch.setattr(losses, "pixel_loss", lambda *given: pixel(*given) * next(factors))
    with pytest.raises(UserError, match=r"step 1: a loss is not finite"):
        training.train(replace(p, stage1_lr=9.0, log_every=1), 1)  # and claims no folder
    with pytest.raises(UserError, match=r"step 3: a loss is not finite"):
        training.train(p, 1)
    assert not training.final_weights(p, 1).exists()
    assert [r["step"] for r in rows(p, 1)] == [2]
    checkpoints = training.stage_folder(p, 1).glob("checkpoint-*")
    assert [c.name for c in checkpoints] == ["checkpoint-0000002"]
