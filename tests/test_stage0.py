"""Stage 0: the encoder learns, is saved, and fits a generator; test_training.py stops it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY, log_of, noise
from PIL import Image
from safetensors.torch import load_file, save_file

from scgan_lib import cli, colorize, config, stage0, training
from scgan_lib.colorize import build_generator, load_generator, save_generator
from scgan_lib.networks import GlobalEncoder, luma
from scgan_lib.paths import UserError

STRIPES = dict(
    global_encoder="vgg16_gray", train_images=0, test_images=0, min_scale=0.8, composites=0.0,
    stage0_batch=8, stage0_steps=6, stage0_tenth_every=4,
)  # fmt: skip


def stripes(folder, count, across, seed):
    """Stripes of random colours, four pixels wide; `across` or upright."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        picture = noise(12, 1, 3, seed=100 * seed + i).repeat(4, 0).repeat(48, 1)
        picture = picture if across else picture.transpose(1, 0, 2)
        Image.fromarray(picture).save(folder / f"{seed}_{i}.png")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("stripes")
    for s, (split, count) in enumerate([("train", 24), ("val", 12)]):
        stripes(root / split / "across", count, True, 2 * s)
        stripes(root / split / "upright", count, False, 2 * s + 1)
    return root


@pytest.fixture
def small(tiny, tree):
    return lambda **more: tiny(**(STRIPES | dict(data=str(tree)) | more))


def test_labels_are_learned(small):
    """Held-out pictures are half and half: nine in ten right means right on both sides."""
    p = small(stage0_steps=60, stage0_lr=0.05, stage0_tenth_every=50)
    scores, log = stage0.metrics(stage0.train(p)), log_of(training.stage_folder(p, 0))
    assert (scores["images"], scores["classes"]) == (24, 2)
    assert 90 <= scores["top1"] <= 100 and scores["top5"] == 100
    loss = [row["loss"] for row in log]
    assert abs(np.mean(loss[:3]) - math.log(2)) < 0.35 and np.mean(loss[-10:]) < 0.35
    assert log[-1]["top1"] == pytest.approx(scores["top1"], rel=1e-4)


def test_rate_falls_to_a_tenth_in_the_papers_steps(small):
    p = small(stage0_tenth_every=30)
    found = [stage0.rate(p, step) for step in (0, 29, 30, 60, 149)]
    np.testing.assert_allclose(found, [1, 1, 0.1, 0.01, 1e-4])
    imagenet, epoch = config.load("imagenet"), math.ceil(1_281_167 / 256)
    assert (imagenet.stage0_steps, imagenet.stage0_tenth_every) == (150 * epoch, 30 * epoch)


def test_pictures_are_gray_crops_with_the_class_of_their_folder(small):
    p = small()
    found, held_out = stage0.labelled(p, "train"), stage0.labelled(p, "val", "test")
    assert all(q.path.parent.name == name for q, name in found)
    assert len(found) == 48 and len(held_out) == 24
    assert not {q for q, _ in held_out} & {q for q, _ in found}
    items = stage0.GrayPictures(p, found, ["across", "upright"], 100)
    seen = [items[i] for i in range(48)]
    assert sorted(int(x["label"]) for x in seen) == [0] * 24 + [1] * 24  # an epoch: each once
    assert not torch.equal(items[48 + 7]["rgb"], seen[7]["rgb"])
    torch.testing.assert_close(seen[0]["gray"], luma(seen[0]["rgb"][None])[0])


def test_one_class_is_refused(small, tmp_path):
    stripes(tmp_path / "one" / "photos", 30, True, 5)
    with pytest.raises(UserError, match=str(tmp_path / "one")):
        stage0.train(small(data=str(tmp_path / "one")))


@pytest.mark.parametrize("spectral", [False, True])
def test_the_file_reaches_a_generator_and_changes_what_it_says(small, tmp_path, spectral):
    p = small(stage0_steps=2, generator_spectral=spectral)
    final = stage0.train(p)
    with_file = replace(p, global_weights=str(final))
    assert training.stage_settings(with_file, 1)["global_weights"] == str(final)
    assert not any(k.startswith("stage0_") for n in (1, 2) for k in training.stage_settings(p, n))
    started = build_generator(with_file).eval()
    for name, value in load_file(final).items():
        assert torch.equal(started.global_encoder.state_dict()[name], value)

    saved = tmp_path / "generator.safetensors"
    save_generator(started, with_file, saved)
    final.unlink()
    again, _, _ = load_generator(saved)  # does not need the file that it started from
    gray = torch.rand(2, 1, 32, 32) * 2 - 1
    with torch.no_grad():
        assert torch.equal(again(gray)[0], started(gray)[0])
    with pytest.raises(UserError, match=str(final)):
        build_generator(with_file)


@pytest.mark.parametrize(
    ("width", "spectral", "change", "word"),
    [
        (3, False, {}, "conv1_1.conv.weight"),
        (4, True, {}, "conv1_1.conv.weight"),
        (4, False, {"conv3_1.conv.weight": None}, "conv3_1"),
        (4, False, {"extra": torch.zeros(1)}, "extra"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path, width, spectral, change, word):
    state = GlobalEncoder(width, "batch", spectral).state_dict() | change
    path = tmp_path / "other.safetensors"
    save_file({k: v for k, v in state.items() if v is not None}, path)
    with pytest.raises(UserError, match=f"{path}.*{word}"):
        colorize.load_global_weights(GlobalEncoder(4, "batch", False), path)


def test_the_command(small, tmp_path, tree, capsys):
    values = TINY | STRIPES | dict(data=str(tree), stage0_steps=2, global_encoder="folded_vgg16")
    del values["checkpoint_seconds"]
    pairs = [x for k, v in values.items() for x in ("--set", f"{k}={v}")]
    command = ["train", "--profile", "smoke", *pairs, "--stage", "0"]
    final = tmp_path / "results/smoke/runs/stage0/final.safetensors"
    for more, steps in (([], 2), (["--steps", "5"], 5)):
        assert cli.main([*command, *more]) == 0
        out = capsys.readouterr().out
        assert str(final) in out and "top1" in out and stage0.metrics(final)["steps"] == steps
    rates = [row["lr"] for row in log_of(final.parent)]
    np.testing.assert_allclose(rates, [0.01] * 4 + [0.001])
