"""Stage 0: the encoder learns, is saved, fits a generator, and goes on after a stop."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from scgan_lib import cli, colorize, config, stage0, training
from scgan_lib.colorize import build_generator, load_generator, save_generator
from scgan_lib.networks import GlobalEncoder
from scgan_lib.paths import UserError

TINY = dict(
    device="cpu", vgg="hed", image_size=32, levels=5, width=4, saliency_width=4, min_scale=0.8,
    global_encoder="vgg16_gray", train_images=0, test_images=0, samples=1, log_every=1,
    stage0_batch=8, stage0_steps=6, stage0_tenth_every=4, checkpoint_seconds=1e9,
)  # fmt: skip


def stripes(folder, count, across, seed):
    """Coloured stripes of random period, phase and colours; `across` or upright."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        wave = np.sin(np.arange(48) * rng.uniform(0.6, 1.2) + rng.uniform(0, 6))[:, None, None]
        picture = 128 + wave * rng.uniform(40, 110, 3) + rng.normal(0, 6, (48, 48, 3))
        picture = picture if across else picture.transpose(1, 0, 2)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"{seed}_{i}.png")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("stripes")
    for s, (split, count) in enumerate([("train", 24), ("val", 12)]):
        stripes(root / split / "across", count, True, 2 * s)
        stripes(root / split / "upright", count, False, 2 * s + 1)
    return root


@pytest.fixture
def small(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path))
    return lambda **more: config.load(
        "smoke", **(TINY | dict(data=str(tree), composites=0.0) | more)
    )


def rows(profile) -> list[dict[str, str]]:
    with open(training.stage_folder(profile, 0) / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def losses(profile) -> list[float]:
    return [float(row["loss"]) for row in rows(profile)]


def error(call, *args, **kwargs) -> str:
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- learning -------------------------------------------------------------------------------------

LONG = dict(stage0_steps=60, stage0_lr=0.05, stage0_tenth_every=50)


def test_labels_are_learned_and_chance_is_not_beaten_without_them(small, tmp_path, tree):
    """Held-out pictures are half and half: nine in ten right means right on both sides."""
    p = small(**LONG)
    final = stage0.train(p)
    scores = stage0.metrics(final)
    assert (scores["images"], scores["classes"]) == (24, 2)
    assert 90 <= scores["top1"] <= 100 and scores["top5"] == 100
    loss = losses(p)
    assert abs(np.mean(loss[:3]) - math.log(2)) < 0.35 and np.mean(loss[-10:]) < 0.35
    assert float(rows(p)[-1]["top1"]) == pytest.approx(scores["top1"], rel=1e-4)

    for split, seed in (("train", 10), ("val", 20)):  # the same pictures, names that say nothing
        for i, name in enumerate(("a", "b")):
            stripes(tmp_path / "mixed" / split / name, 6, True, seed + i)
            stripes(tmp_path / "mixed" / split / name, 6, False, seed + i + 5)
    blind = small(data=str(tmp_path / "mixed"), seed=1, **LONG)
    assert 15 <= stage0.metrics(stage0.train(blind))["top1"] <= 85


def test_rate_falls_to_a_tenth(small):
    p = small(stage0_tenth_every=30)
    found = [stage0.rate(p, step) for step in (0, 29, 30, 60, 149)]
    np.testing.assert_allclose(found, [1, 1, 0.1, 0.01, 1e-4])
    imagenet = config.load("imagenet")
    epoch = math.ceil(1_281_167 / 256)
    assert (imagenet.stage0_batch, imagenet.stage0_lr) == (256, 0.01)
    assert (imagenet.stage0_momentum, imagenet.stage0_weight_decay) == (0.9, 5e-4)
    assert (imagenet.stage0_steps, imagenet.stage0_tenth_every) == (150 * epoch, 30 * epoch)


# --- pictures -------------------------------------------------------------------------------------


def test_pictures_are_gray_crops_with_the_class_of_their_folder(small):
    p = small()
    found = stage0.labelled(p, "train")
    assert {(q.path.parent.name == name) for q, name in found} == {True} and len(found) == 48
    held_out = stage0.labelled(p, "val", "test")
    assert len(held_out) == 24 and not {q for q, _ in held_out} & {q for q, _ in found}
    items = stage0.GrayPictures(p, found, ["across", "upright"], 100)
    again = stage0.GrayPictures(p, found, ["across", "upright"], 100)
    seen = [items[i] for i in range(48)]
    assert sorted(int(x["label"]) for x in seen) == [0] * 24 + [1] * 24  # an epoch: each once
    assert torch.equal(again[7]["rgb"], seen[7]["rgb"])
    assert not torch.equal(items[48 + 7]["rgb"], seen[7]["rgb"])
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    torch.testing.assert_close(seen[0]["gray"], (seen[0]["rgb"] * weights).sum(0, keepdim=True))
    fixed = stage0.GrayPictures(p, found, ["across", "upright"])
    assert len(fixed) == 48 and int(fixed[0]["label"]) == 0 and int(fixed[47]["label"]) == 1


def test_the_shipped_photos_have_their_coarse_kinds_even_when_few():
    few = config.load("smoke")
    names = {name for _, name in stage0.labelled(few, "train")}
    assert len(stage0.labelled(few, "train")) == few.train_images
    assert len(names) > 2 and "photos" not in names


def test_one_class_is_refused(small, tmp_path):
    stripes(tmp_path / "one" / "photos", 30, True, 5)
    p = small(data=str(tmp_path / "one"), stage0_steps=1)
    text = error(stage0.train, p)
    assert str(tmp_path / "one") in text


# --- the file -------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"generator_spectral": True}])
def test_the_file_reaches_a_generator_and_changes_what_it_says(small, tmp_path, more):
    p = small(**more)
    final = stage0.train(p)
    with_file = replace(p, global_weights=str(final))
    generators = []
    for profile in (p, with_file):
        torch.manual_seed(3)
        generators.append(build_generator(profile).eval())
    plain, started = generators
    for name, value in load_file(final).items():
        assert torch.equal(started.global_encoder.state_dict()[name], value)
    assert torch.equal(plain.to_rgb.conv.weight, started.to_rgb.conv.weight)
    gray = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        outputs = [g.global_encoder(gray) for g in generators] + [g(gray)[0] for g in generators]
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3
    assert not torch.equal(outputs[2], outputs[3])

    saved = tmp_path / "generator.safetensors"
    save_generator(started, with_file, saved)
    final.unlink()  # a trained generator does not need the file that it started from
    again, profile, _ = load_generator(saved)
    assert profile == replace(with_file, device="auto", checkpoint_seconds=60.0)
    with torch.no_grad():
        assert torch.equal(again(gray)[0], outputs[3])
    assert str(final) in error(build_generator, with_file)


def test_training_starts_from_the_file(small):
    p = small(stage1_steps=1, loss={"perceptual": 0.0})
    final = stage0.train(p)
    players = training.players_of(replace(p, global_weights=str(final)), 1)
    for name, value in load_file(final).items():
        assert torch.equal(players.generator.global_encoder.state_dict()[name], value)
    assert not any(k.startswith("stage0_") for n in (1, 2) for k in training.stage_settings(p, n))
    assert training.stage_settings(p, 1)["global_weights"] == ""


def test_wrong_files_are_refused_by_name(small, tmp_path):
    good = GlobalEncoder(4, "batch", False).state_dict()
    files = {
        "narrow": GlobalEncoder(3, "batch", False).state_dict(),
        "spectral": GlobalEncoder(4, "batch", True).state_dict(),
        "short": {k: v for k, v in good.items() if k != "conv3_1.conv.weight"},
        "more": good | {"extra": torch.zeros(1)},
    }
    words = {
        "narrow": "conv1_1.conv.weight",
        "spectral": "none",
        "short": "conv3_1",
        "more": "extra",
    }
    for name, state in files.items():
        path = tmp_path / f"{name}.safetensors"
        save_file(state, path)
        encoder = GlobalEncoder(4, "batch", False)
        before = {k: v.clone() for k, v in encoder.state_dict().items()}
        text = error(colorize.load_global_weights, encoder, path)
        assert str(path) in text and words[name] in text
        assert all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())
    (tmp_path / "text.safetensors").write_text("not weights")
    (tmp_path / "text.pth").write_text("not weights")
    for name, more in (("text.safetensors", {}), ("none.safetensors", {}),
                       ("text.pth", {}), ("text.pth", {"generator_spectral": True})):  # fmt: skip
        text = error(build_generator, small(global_weights=str(tmp_path / name), **more))
        assert name in text
    folded = small(global_weights="some.safetensors", global_encoder="folded_vgg16")
    assert "vgg16_gray" in error(build_generator, folded)


def test_the_authors_file_reaches_a_generator(small, tmp_path):
    donor = GlobalEncoder(4, "batch", True)
    state = {}
    for name, value in donor.state_dict().items():
        block, _, rest = name.partition(".")
        if rest.endswith("original"):
            state[f"{block}.conv2d.module.weight_bar"] = value
        elif rest.endswith("_u"):
            state[f"{block}.conv2d.module.weight_u"] = value
        elif rest.startswith("norm"):
            state[name] = value
    torch.save(state | {"classifier.0.weight": torch.zeros(3)}, tmp_path / "gray.pth")
    p = small(generator_spectral=True, global_weights=str(tmp_path / "gray.pth"))
    encoder = build_generator(p).global_encoder
    for name, value in donor.state_dict().items():
        if name.endswith("original"):
            assert torch.equal(encoder.state_dict()[name], value)
    assert "conv1_1" in error(build_generator, replace(p, width=5))


# --- a run ----------------------------------------------------------------------------------------


def test_resumed_run_equals_the_unbroken_one(small, tmp_path, monkeypatch):
    p = small()
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path / "unbroken"))
    final = stage0.train(p)
    unbroken, straight = load_file(final), rows(p)
    monkeypatch.setenv("SCGAN_OUTPUT", str(tmp_path / "stopped"))
    folder = training.stage_folder(p, 0)
    assert stage0.train(p, until=3) == folder
    assert [c.name for c in folder.glob("checkpoint-*")] == ["checkpoint-0000003"]
    assert not training.final_weights(p, 0).exists() and len(rows(p)) == 3
    resumed = stage0.train(p)
    assert resumed == folder / "final.safetensors" and not [*folder.glob("*checkpoint-*")]
    for name, value in load_file(resumed).items():
        torch.testing.assert_close(value, unbroken[name], rtol=0, atol=1e-6)
    assert stage0.metrics(resumed) == stage0.metrics(final)
    for ours, theirs in zip(rows(p), straight, strict=True):
        for key in set(theirs) - {"seconds", "images_per_s"}:
            assert float(ours[key] or 0) == pytest.approx(float(theirs[key] or 0), rel=1e-4)
    rates = [float(row["lr"]) for row in rows(p)]
    np.testing.assert_allclose(rates, [0.01] * 4 + [0.001] * 2)
    stamp = resumed.stat().st_mtime_ns
    assert stage0.train(p) == resumed and resumed.stat().st_mtime_ns == stamp


def test_other_settings_are_refused_by_name(small):
    p = small()
    stage0.train(p, until=1)
    for change in (dict(stage0_lr=0.5), dict(width=5), dict(stage0_batch=4)):
        (key, value), = change.items()  # fmt: skip
        text = error(stage0.train, replace(p, **change))
        assert key in text and str(value) in text
    stage0.train(replace(p, stage1_lr=0.5, critic_width=9))  # not stage 0's business


def test_a_loss_that_is_not_finite_stops_the_run(small, monkeypatch):
    p = small()
    cross, calls = stage0.F.cross_entropy, []

    def second_is_nan(*args):
        calls.append(1)
        return cross(*args) * (math.nan if len(calls) == 2 else 1)

    monkeypatch.setattr(stage0.F, "cross_entropy", second_is_nan)
    text = error(stage0.train, p)
    assert "step 2" in text and "not finite" in text
    assert not training.final_weights(p, 0).exists() and len(rows(p)) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_device_that_is_not_there_is_said_so(small):
    assert "cuda" in error(stage0.train, small(device="cuda"))


def test_the_command(small, tmp_path, tree, capsys):
    values = TINY | dict(data=str(tree), stage0_steps=2, global_encoder="folded_vgg16")
    pairs = [
        x for k, v in values.items() for x in ("--set", f"{k}={v}") if k != "checkpoint_seconds"
    ]
    call = ["train", "--profile", "smoke", *pairs]
    assert cli.main([*call, "--stage", "0"]) == 0
    out = capsys.readouterr().out
    assert str(tmp_path / "results/smoke/runs/stage0/final.safetensors") in out
    assert "top1" in out
