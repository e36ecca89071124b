"""Profiles: numbers, checks, names of mistakes. Files appear whole or not at all."""

import dataclasses
import errno
import json

import pytest

from scgan_lib import config
from scgan_lib.config import LossWeights, load
from scgan_lib.paths import UserError, atomic_write


def test_every_profile_loads_and_is_frozen():
    for name in config.PROFILES:
        profile = load(name)
        assert profile.name == name and profile.seed == 0
        with pytest.raises(dataclasses.FrozenInstanceError):
            profile.width = 3
        assert load(name, 1, width=5, stage1_lr=1).width == 5  # an integer is a number, too


def test_imagenet_has_the_numbers_of_the_first_public_version():
    p = load("imagenet")
    assert p.loss == LossWeights(1.0, 0.5, 5.0, 0.05, 10.0)
    assert (p.width, p.saliency_width, p.levels, p.critic_width) == (64, 128, 9, 64)
    assert (p.image_size, p.batch, p.stage1_lr, p.stage2_lr) == (256, 8, 2e-4, 1e-4)
    assert (p.optimizer, p.betas, p.schedule) == ("adam", (0.5, 0.999), "halve")
    # 128,000 pictures, batch 8: 10 epochs, 30 epochs, halved every 10 epochs
    epoch = 128_000 // 8
    assert (p.stage1_steps, p.stage2_steps) == (10 * epoch, 30 * epoch)
    assert (p.halve_every, p.train_every, p.train_images) == (10 * epoch, 10, 0)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"name": "mimi"}, ("mimi", "did you mean mini")),
        ({"stage1_step": 3}, ("stage1_step", "did you mean stage1_steps")),
        ({"loss": {"pixl": 1.0}}, ("pixl", "did you mean pixel")),
        ({"loss": {"pixel": "much"}}, ("pixel='much'", "float")),
        ({"levels": 4}, ("levels=4", "5..12")),
        ({"width": 0}, ("width=0", "1 or more")),
        ({"betas": (2, 3)}, ("betas", "0..1")),
        ({"min_scale": 0}, ("min_scale=0", "0.05..1")),
        ({"critic_norm": "bach"}, ("critic_norm", "bach", "batch")),
        ({"composites": 0.25}, ("composites=0.25", "0..0.2")),
        ({"stage1_lr": float("nan")}, ("stage1_lr", "nan")),
        ({"image_size": 100}, ("image_size=100", "multiple of 32")),
        ({"image_size": 32, "levels": 9}, ("image_size=32", "256")),
    ],
)
def test_mistakes_are_named_in_one_line(overrides, words):
    with pytest.raises(UserError) as caught:
        load(**overrides)
    text = str(caught.value)
    assert "\n" not in text and all(word in text for word in words)


def test_settings_and_digest_bind_what_changes_a_result():
    base = load("mini")
    for harmless in ({"device": "cpu"}, {"checkpoint_seconds": 1.0}, {"log_every": 3}):
        assert load("mini", **harmless).digest() == base.digest()
    for change in ({"seed": 1}, {"width": 25}, {"loss": {"pixel": 2.0}}, {"betas": (0.1, 0.9)}):
        assert load("mini", **change).digest() != base.digest()


def test_stored_settings_load_again_whatever_they_held_besides():
    base = load("mini", 3, loss={"adversarial": 0.5})
    settings = json.loads(json.dumps(base.settings()))
    assert load(**settings) == config.stored(settings | {"of_old": 1}) == base


def test_released_fidelity_brings_its_settings_and_overrides_win():
    paper, released = load("mini"), load("mini", fidelity="released")
    assert paper.salient_critic and not released.salient_critic
    assert (paper.critic_norm, released.critic_norm) == ("none", "batch")
    assert released.generator_spectral and released.critic_spectral
    assert load("mini", fidelity="released", critic_norm="none").critic_norm == "none"


@pytest.mark.parametrize(
    ("name", "environment", "expected"),
    [
        ("mini", {"DEVICE": "cpu"}, {"device": "cpu"}),
        ("mini", {"IMAGENET": "/pictures", "DATA": "/mine"}, {}),  # what was named wins
        ("imagenet", {"IMAGENET": "/pictures"}, {"data": "/pictures"}),
        ("folder", {"IMAGENET": "/pictures", "DATA": "/mine"}, {"data": "/mine"}),
    ],
)
def test_make_variables(monkeypatch, name, environment, expected):
    for variable in ("DEVICE", "DATA", "IMAGENET"):
        monkeypatch.setenv(variable, environment.get(variable, ""))
    assert config.from_environment(name) == load(name, **expected)
    assert config.from_environment(name, device="mps").device == "mps"


def test_a_file_appears_whole_and_stays_as_it_is_after_an_error(tmp_path):
    target = tmp_path / "new" / "table.csv"
    with atomic_write(target) as part:
        part.write_text("old")
        assert part.suffix == ".csv" and not target.exists()
    with pytest.raises(ZeroDivisionError), atomic_write(target) as part:
        part.write_text("half")
        _ = 1 / 0
    assert target.read_text() == "old"
    assert [p.name for p in target.parent.iterdir()] == ["table.csv"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_a_full_disk_is_said_in_one_line_with_the_file(tmp_path, number):
    target = tmp_path / "x.txt"
    with pytest.raises(UserError, match=f"^{target}: .*no room.*free space"), atomic_write(target):
        raise OSError(number, "no room")
    with pytest.raises(BlockingIOError), atomic_write(target):  # others are not disguised
        raise OSError(errno.EAGAIN, "later")
