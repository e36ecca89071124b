"""Both stages: what a step changes, what a run leaves, going on after a stop, a kill, a change."""

import csv
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file

from scgan_lib import config, loop, losses, training
from scgan_lib.colorize import load_generator
from scgan_lib.data import TrainingSet
from scgan_lib.paths import ROOT, UserError

ONE_PROCESS = SimpleNamespace(backward=lambda loss: loss.backward())
STAGE1 = ["step", "seconds", "images_per_s", "lr", "pixel", "attention", "generator"]
STAGE2 = [*STAGE1, "perceptual", "adversarial"]
STAGE2 += [f"{c}_{n}" for c in ("color", "salient") for n in ("critic", "penalty", "gap")]


def rows(profile, stage) -> list[dict[str, str]]:
    with open(training.stage_folder(profile, stage) / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def batch_of(profile) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    size = (profile.batch, 4, profile.image_size, profile.image_size)
    x = torch.rand(size, generator=generator) * 2 - 1
    return {"gray": x[:, :1], "rgb": x[:, 1:], "saliency": x[:, :1].abs()}


def players_and_batch(profile):
    torch.manual_seed(0)
    return training.players_of(profile, 2), batch_of(profile)


def numbers(module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# --- one step -------------------------------------------------------------------------------------


def test_stage1_step_changes_the_generator_and_not_its_frozen_trunk(tiny):
    p = tiny()
    players = training.players_of(p, 1)
    assert not players.critics
    trunk = numbers(players.generator.global_encoder.trunk)
    before = numbers(players.generator)
    values = training.stage1_step(players, batch_of(p), p, ONE_PROCESS)
    assert not same(before, numbers(players.generator))
    assert same(trunk, numbers(players.generator.global_encoder.trunk))
    total = p.loss.pixel * values["pixel"] + p.loss.attention * values["attention"]
    torch.testing.assert_close(values["generator"], total)


@pytest.mark.parametrize("gan", ["wgan-gp", "lsgan", "hinge"])
def test_stage2_step_changes_generator_and_both_critics(untied, gan):
    p = untied(stage1_steps=0, gan=gan)
    players, batch = players_and_batch(p)
    assert [*players.critics] == ["color", "salient"]
    before = {n: numbers(c) for n, c in players.critics.items()}
    generator = numbers(players.generator)
    values = training.stage2_step(players, batch, p, ONE_PROCESS, 1)
    for name, critic in players.critics.items():
        assert not any(
            torch.equal(a, b) for a, b in zip(before[name], numbers(critic), strict=True)
        )
        assert math.isfinite(values[f"{name}_critic"]) and math.isfinite(values[f"{name}_gap"])
        assert (f"{name}_penalty" in values) == (gan == "wgan-gp")
    assert not same(generator, numbers(players.generator))
    assert all(p.requires_grad for c in players.critics.values() for p in c.parameters())


def test_penalties_act_on_the_critics(untied):
    """Another λ of the penalty, other critics after one step; and the loss is gap and penalty."""
    after = {}
    for weight in (0.0, 10.0):
        p = untied(stage1_steps=0, loss={"gradient_penalty": weight}, optimizer="adam")
        players, batch = players_and_batch(p)
        values = training.stage2_step(players, batch, p, ONE_PROCESS, 1)
        after[weight] = {n: numbers(c) for n, c in players.critics.items()}
        for name in players.critics:
            assert values[f"{name}_penalty"] > 0
            torch.testing.assert_close(
                values[f"{name}_critic"],
                weight * values[f"{name}_penalty"] - values[f"{name}_gap"],
            )
    for name in ("color", "salient"):
        assert not same(after[0.0][name], after[10.0][name])


def test_penalty_patches_reach_the_step(untied):
    """A critic of many patches: the sum's gradient is their number times the mean's."""
    size = {}
    for patches in ("mean", "sum"):
        p = untied(stage1_steps=0, penalty_patches=patches)
        players, batch = players_and_batch(p)
        for critic in players.critics.values():  # large scores: (‖∇‖ − 1)² tells sum from mean
            critic.blocks[-1].conv.weight.data.mul_(1e4)
        size[patches] = training.stage2_step(players, batch, p, ONE_PROCESS, 1)["color_penalty"]
    assert size["sum"] > 2 * size["mean"]


def test_the_penalty_is_float32_whatever_the_precision(untied, monkeypatch):
    """Through `train`, since the mixed precision is what Accelerate makes of a network there."""
    p = untied(stage1_steps=0, stage2_steps=1, precision="bf16")
    seen, penalty, inside = [], losses.gradient_penalty, []

    def counted(*arguments, **more):
        inside.append(True)
        value = penalty(*arguments, **more)
        inside.pop()
        return value

    def convolve(*arguments, **more):
        y = conv2d(*arguments, **more)
        seen.append((bool(inside), y.dtype))
        return y

    conv2d = torch.nn.functional.conv2d
    monkeypatch.setattr(losses, "gradient_penalty", counted)
    monkeypatch.setattr(torch.nn.functional, "conv2d", convolve)
    AcceleratorState._reset_state(True)  # otherwise the first precision of a process stays
    try:
        training.train(p, 2)
    finally:
        AcceleratorState._reset_state(True)
    layers = len(training.players_of(p, 2).critics["color"].blocks)
    assert [dtype for within, dtype in seen if within] == 2 * layers * [torch.float32]
    assert torch.bfloat16 in [dtype for within, dtype in seen if not within]


@pytest.mark.parametrize("choice", [{"compile": "aot_eager"}, {"channels_last": True}])
def test_speed_choices_change_no_number(untied, tmp_path, monkeypatch, choice):
    """Compiled or in another memory order: the same losses and penalties in every step."""
    p = untied(stage1_steps=0, stage2_steps=4, generator_spectral=True, ema=0.5)
    results = []
    for name, profile in {"plain": p, "choice": replace(p, **choice)}.items():
        monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path / name))
        if "channels_last" in choice:
            training.train(profile, 2, until=2)  # through a checkpoint, too
        results.append((load_file(training.train(profile, 2)), rows(profile, 2)))
    (plain, log), (chosen, chosen_log) = results
    assert plain.keys() == chosen.keys()
    for ours, theirs in zip(log, chosen_log, strict=True):
        assert float(ours["color_penalty"]) > 0
        for key in set(ours) - {"seconds", "images_per_s"}:
            assert float(theirs[key] or 0) == pytest.approx(
                float(ours[key] or 0), rel=1e-3, abs=1e-6
            )


def test_a_compiled_generator_leaves_the_penalty_its_gradient(untied):
    """It reaches every weight of the critics, and equals the one beside plain code."""

    def gradients(weight: float, backend: str = "") -> list[torch.Tensor]:
        p = untied(stage1_steps=0, loss={"gradient_penalty": weight})
        players, batch = players_and_batch(p)
        if backend:
            players.generator = torch.compile(players.generator, backend=backend)
        torch.manual_seed(3)
        training.stage2_step(players, batch, p, ONE_PROCESS, 1)
        return [q.grad for c in players.critics.values() for q in c.parameters()]

    without, plain, compiled = gradients(0.0), gradients(1e3), gradients(1e3, "aot_eager")
    for a, b, c in zip(without, plain, compiled, strict=True):
        assert (b - a).norm() > 0.1 * a.norm() > 0
        torch.testing.assert_close(c, b, rtol=1e-3, atol=1e-5)


def test_critics_learn_to_tell_real_from_generated(untied):
    """With the generator standing still both gaps D(real) − D(fake) grow above zero."""
    p = untied(stage1_steps=0, stage2_lr=0.0, critic_lr=2e-3, weight_decay=0.0)
    players, batch = players_and_batch(p)
    gaps = [training.stage2_step(players, batch, p, ONE_PROCESS, i) for i in range(30)]
    for name in ("color_gap", "salient_gap"):
        assert gaps[-1][name] > gaps[0][name] and gaps[-1][name] > 0


def test_the_generators_loss_does_not_train_the_critics(untied):
    after = []
    for weight in (0.05, 50.0):
        p = untied(stage1_steps=0, loss={"adversarial": weight})
        players, batch = players_and_batch(p)
        training.stage2_step(players, batch, p, ONE_PROCESS, 1)
        after.append({"generator": numbers(players.generator)}
                     | {n: numbers(c) for n, c in players.critics.items()})  # fmt: skip
    assert same(after[0]["color"], after[1]["color"])
    assert same(after[0]["salient"], after[1]["salient"])
    assert not same(after[0]["generator"], after[1]["generator"])


def test_stage2_step_runs_the_generator_once(untied):
    p = untied(stage1_steps=0)
    players, batch = players_and_batch(p)
    calls = []
    players.generator.register_forward_hook(lambda *_: calls.append(1))
    training.stage2_step(players, batch, p, ONE_PROCESS, 1)
    assert len(calls) == 1


def test_critic_steps_make_the_generator_wait(untied):
    p = untied(stage1_steps=0, critic_steps=3)
    players, batch = players_and_batch(p)
    moved = []
    for step in range(1, 7):
        before = numbers(players.generator)
        values = training.stage2_step(players, batch, p, ONE_PROCESS, step)
        moved.append(not same(before, numbers(players.generator)))
        assert ("generator" in values) == moved[-1]
    assert moved == [False, False, True] * 2


# --- switches -------------------------------------------------------------------------------------


def test_salient_critic_switch(untied):
    both, one = (untied(stage1_steps=0, salient_critic=flag) for flag in (True, False))
    assert [*training.players_of(both, 2).critics] == ["color", "salient"]
    players, batch = players_and_batch(one)
    assert [*players.critics] == ["color"]
    values = training.stage2_step(players, batch, one, ONE_PROCESS, 1)
    assert "color_gap" in values and "salient_gap" not in values
    released = untied(stage1_steps=0, fidelity="released")
    assert [*training.players_of(released, 2).critics] == ["color"]


def test_saliency_guidance_switch(untied):
    p = untied(stage1_steps=0, saliency_guidance=False)
    players, batch = players_and_batch(p)
    values = training.stage2_step(players, batch, p, ONE_PROCESS, 1)
    assert [*players.critics] == ["color"] and "attention" not in values


def _critic_group(profile) -> dict:
    return training.players_of(profile, 2).critic_optimizer.param_groups[0]


def test_critic_rate_by_fidelity(untied):
    rates = dict(stage1_steps=0, stage2_lr=1e-3, critic_lr=3e-3)
    assert _critic_group(untied(**rates))["lr"] == 3e-3
    assert _critic_group(untied(**rates, fidelity="released"))["lr"] == 1e-3


def test_critic_betas_by_fidelity(untied):
    betas = dict(stage1_steps=0, betas=(0.5, 0.999))
    assert _critic_group(untied(**betas))["betas"] == (0.5, 0.9)
    assert _critic_group(untied(**betas, fidelity="released"))["betas"] == (0.5, 0.999)


def test_critic_norm_and_spectral_reach_the_critics(untied):
    p = untied(stage1_steps=0, critic_norm="instance", critic_spectral=True, critic_layers=3)
    critic = training.players_of(p, 2).critics["salient"]
    assert isinstance(critic.blocks[1].norm, torch.nn.InstanceNorm2d)
    assert "blocks.0.conv.parametrizations.weight.original" in critic.state_dict()
    assert len(critic.blocks) == 6
    released = training.players_of(untied(stage1_steps=0, fidelity="released"), 2).critics["color"]
    assert isinstance(released.blocks[1].norm, torch.nn.BatchNorm2d)


def test_optimizer_and_schedule_switches(untied):
    adamw = untied(stage1_steps=0, optimizer="adamw", weight_decay=0.5)
    group = training.players_of(adamw, 1).generator_optimizer
    assert isinstance(group, torch.optim.AdamW) and group.param_groups[0]["weight_decay"] == 0.5
    assert _critic_group(adamw)["weight_decay"] == 0.0
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
        assert [int(r["step"]) for r in log] == [*range(1, steps + 1)]
        assert all(math.isfinite(float(value)) for row in log for value in row.values())
        folder = training.stage_folder(p, stage)
        files = sorted(folder.glob("samples/*.npz"))
        assert [f.stem for f in files] == ["step_000000", f"step_{steps:06d}"]
        with np.load(files[-1]) as sample:
            assert sample["rgb"].shape == (3, 48, 48, 3) and sample["rgb"].dtype == np.uint8
            assert sample["saliency"].shape == (3, 48, 48)
        assert not [*folder.glob("*checkpoint-*")]
    generator, saved, facts = load_generator(final)
    assert saved.settings() == p.settings()
    assert (facts["stage"], facts["steps"]) == ("2", "4") and not generator.training
    rates = [float(r["lr"]) for r in rows(p, 1)]
    expected = [0.75e-3 * (1 + math.cos(math.pi * k / 6)) for k in range(6)]  # used in step k + 1
    assert rates == pytest.approx(expected, rel=1e-4)


def test_a_finished_stage_is_not_trained_again(untied, monkeypatch):
    p = untied(stage1_steps=2)
    final = training.train(p, 1)
    stamp, content = final.stat().st_mtime_ns, final.read_bytes()
    monkeypatch.setattr(training, "stage1_step", None)  # calling it would be an error
    assert training.train(p, 1) == final
    assert final.stat().st_mtime_ns == stamp and final.read_bytes() == content


@pytest.mark.parametrize(("stage", "options"), [(1, {}), (2, {"ema": 0.9, "critic_steps": 2})])
def test_resumed_run_equals_the_unbroken_one(tiny, tmp_path, monkeypatch, stage, options):
    p = tiny(stage1_steps=6 if stage == 1 else 1, stage2_steps=6, **options)
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path / "unbroken"))
    unbroken = load_file(training.train(p, stage))
    straight = rows(p, stage)
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path / "stopped"))
    assert training.train(p, stage, until=3) == training.stage_folder(p, stage)
    assert not training.final_weights(p, stage).exists()
    assert [int(r["step"]) for r in rows(p, stage)] == [1, 2, 3]
    resumed = load_file(training.train(p, stage))
    assert resumed.keys() == unbroken.keys()
    for name, value in unbroken.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=1e-6)
    for ours, theirs in zip(rows(p, stage), straight, strict=True):
        for key in set(ours) - {"seconds", "images_per_s"}:
            assert float(ours[key] or 0) == pytest.approx(float(theirs[key] or 0), rel=1e-4)


KILLED_IN_A_STEP = """
step = training.stage{stage}_step
def stage_step(*arguments):
    count.append(1)
    if len(count) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments)
training.stage{stage}_step = stage_step
"""
KILLED_WHILE_WRITING_A_CHECKPOINT = """
save = training.Accelerator.save_state
def save_state(self, folder):
    save(self, folder)
    count.append(1)
    if len(count) == 4:
        os.remove(os.path.join(folder, "model.safetensors"))
        os.kill(os.getpid(), signal.SIGKILL)
training.Accelerator.save_state = save_state
"""


@pytest.mark.parametrize(
    ("stage", "death", "kept"),
    [(1, KILLED_IN_A_STEP, 4), (2, KILLED_WHILE_WRITING_A_CHECKPOINT, 3)],
)
def test_a_killed_run_goes_on_from_its_last_checkpoint(
    untied, tmp_path, monkeypatch, stage, death, kept
):
    """SIGKILL in the middle of a stage; the rerun takes the remaining steps and ends alike."""
    options = dict(stage1_steps=7 if stage == 1 else 1, stage2_steps=7)
    p = untied(**options)
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path / "unbroken"))
    unbroken = load_file(training.train(p, stage))
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path / "killed"))
    if stage == 2:
        training.train(p, 1)
    code = (
        "import os, signal\nfrom scgan_lib import config, training\ncount = []\n"
        + death.replace("{stage}", str(stage))
        + f"p = config.load(**{_plain(p)!r})\ntraining.train(p, {stage})\n"
    )
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # rounding depends on them
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | threads,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder = training.stage_folder(p, stage)
    assert [c.name for c in folder.glob("checkpoint-*")] == [f"checkpoint-{kept:07d}"]

    steps, name = [], f"stage{stage}_step"
    step = getattr(training, name)
    monkeypatch.setattr(training, name, lambda *a: steps.append(1) or step(*a))
    resumed = load_file(training.train(p, stage))
    assert len(steps) == 7 - kept
    for key, value in unbroken.items():
        torch.testing.assert_close(resumed[key], value, rtol=0, atol=1e-6)
    assert [int(r["step"]) for r in rows(p, stage)] == [*range(1, 8)]
    assert not [*folder.glob("*checkpoint-*")]


def _plain(profile) -> dict:
    """Arguments for `config.load` in another process; a checkpoint after every step."""
    return profile.settings() | {"device": "cpu", "log_every": 1, "checkpoint_seconds": 0.0}


def test_other_settings_are_refused_by_name(untied):
    p = untied(stage1_steps=3, stage2_steps=2)
    training.train(p, 1, until=1)
    for change in (dict(stage1_lr=0.5), dict(width=5), dict(teacher="isnet"), dict(levels=6)):
        with pytest.raises(UserError) as caught:
            training.train(replace(p, **change), 1)
        (key, value), = change.items()  # fmt: skip
        text = str(caught.value)
        assert key in text and str(value) in text and str(training.stage_folder(p, 1)) in text
        assert "\n" not in text
    training.train(p, 1)
    training.train(p, 2, until=1)
    with pytest.raises(UserError, match="critic_lr"):
        training.train(replace(p, critic_lr=0.5), 2)


def test_stage2_does_not_depend_on_when_stage1_was_trained(untied, tmp_path, monkeypatch):
    weights = []
    for folder, stages in (("together", [2]), ("apart", [1, 2])):
        monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path / folder))
        p = untied(stage1_steps=2, stage2_steps=2)
        finals = [training.train(p, stage) for stage in stages]
        weights.append(load_file(finals[-1]))
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=1e-6)


def test_new_numbers_of_stage2_keep_stage1(untied):
    p = untied(stage1_steps=2)
    final = training.train(p, 1)
    other = replace(p, critic_lr=0.5, stage2_steps=99, gan="hinge", salient_critic=False,
                    loss=replace(p.loss, adversarial=1.0, perceptual=2.0))  # fmt: skip
    stamp = final.stat().st_mtime_ns
    assert training.train(other, 1) == final and final.stat().st_mtime_ns == stamp


def test_a_loss_that_is_not_finite_stops_the_run(untied, monkeypatch):
    p = untied(stage1_steps=4)
    pixel = losses.pixel_loss
    calls = []

    def third_is_nan(rgb_hat, rgb):
        calls.append(1)
        return pixel(rgb_hat, rgb) * (math.nan if len(calls) == 3 else 1)

    monkeypatch.setattr(losses, "pixel_loss", third_is_nan)
    with pytest.raises(UserError) as caught:
        training.train(p, 1)
    text = str(caught.value)
    assert "step 3" in text and "not finite" in text and "\n" not in text
    assert not training.final_weights(p, 1).exists()
    assert [int(r["step"]) for r in rows(p, 1)] == [1, 2]


def test_no_checkpoint_keeps_a_loss_that_is_not_finite(untied, monkeypatch):
    """Between two rows of the log, too: what a rerun goes on from is sound."""
    p = untied(stage1_steps=8, log_every=4, checkpoint_seconds=0.0)
    pixel = losses.pixel_loss
    calls = []

    def nan_from_the_third(rgb_hat, rgb):
        calls.append(1)
        return pixel(rgb_hat, rgb) * (math.nan if len(calls) >= 3 else 1)

    monkeypatch.setattr(losses, "pixel_loss", nan_from_the_third)
    with pytest.raises(UserError, match="not finite"):
        training.train(p, 1)
    folder = training.stage_folder(p, 1)
    assert [c.name for c in folder.glob("checkpoint-*")] == ["checkpoint-0000002"]


def test_a_damaged_checkpoint_is_named(untied):
    p = untied(stage1_steps=3)
    training.train(p, 1, until=2)
    folder = training.stage_folder(p, 1) / "checkpoint-0000002"
    (folder / "progress.json").write_text("{")
    with pytest.raises(UserError, match=str(folder)):
        training.train(p, 1)


# --- the other profiles ---------------------------------------------------------------------------


def pictures(folder, count):
    folder.mkdir(parents=True)
    for i in range(count):
        noise = np.random.default_rng(i).integers(0, 255, (6, 9, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((90 + i, 70), Image.BICUBIC)
        image.save(folder / f"{folder.parent.name}_{folder.name}_{i}.JPEG")


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Maps of made-up pictures do not stay; the VGG-16 is in memory already."""
    from scgan_lib import pretrained

    pretrained.vgg16_trunk("hed")
    monkeypatch.setenv("SCGAN_CACHE", str(tmp_path / "cache"))


TINY_STEPS = dict(
    device="cpu", vgg="hed", width=4, saliency_width=4, critic_width=4, image_size=64, levels=7,
    judge_size=64, batch=2, stage1_steps=2, stage2_steps=2, samples=1, log_every=1,
)  # fmt: skip


def test_imagenet_profile_trains_on_a_tree(tmp_path, monkeypatch, own_cache):
    for split in ("train", "val"):
        for wnid in ("n01440764", "n02102040"):
            pictures(tmp_path / "tree" / split / wnid, 3)
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))
    p = config.load("imagenet", data=str(tmp_path / "tree"), workers=1, **TINY_STEPS)
    final = training.train(p, 2)
    assert final == tmp_path / "results" / "imagenet" / "runs" / "stage2" / "final.safetensors"
    assert set(rows(p, 2)[0]) == set(STAGE2) and len(rows(p, 2)) == 2
    with np.load(training.stage_folder(p, 2) / "samples" / "step_000002.npz") as sample:
        assert sample["rgb"].shape[1:] == (64, 64, 3) and len(sample["rgb"]) <= 6


def test_folder_profile_trains_on_any_directory(tmp_path, monkeypatch, own_cache):
    pictures(tmp_path / "holiday" / "day1", 8)
    pictures(tmp_path / "holiday" / "day2", 8)
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))
    p = config.load("folder", data=str(tmp_path / "holiday"), **TINY_STEPS)
    training.train(p, 2)
    assert len(rows(p, 1)) == 2 and set(rows(p, 2)[0]) == set(STAGE2)


def test_data_of_a_resumed_step_is_that_of_an_unbroken_run(untied):
    """Batch k of a loader that starts at k is batch k of one that starts at 0."""
    p = untied()
    accelerator = SimpleNamespace(
        num_processes=1, device=torch.device("cpu"), prepare=lambda loader: loader
    )
    items = TrainingSet(p, 1, 20)
    first = [*loop.batches(items, 0, 4, p.batch, accelerator)]
    later = [*loop.batches(items, 2, 4, p.batch, accelerator)]
    assert len(first) == 4 and len(later) == 2
    for a, b in zip(first[2:], later, strict=True):
        assert all(torch.equal(a[k], b[k]) for k in a)
    assert torch.equal(first[0]["rgb"][1], TrainingSet(p, 1, 20)[1]["rgb"])


def test_a_device_that_is_not_there_is_said_so(monkeypatch, tmp_path):
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="device cuda: torch sees no such device"):
        training.train(config.load("smoke", device="cuda"), 1)
    assert not list(tmp_path.rglob("checkpoint*"))
