"""The authors' files: their numbers, and every way in which a file can be wrong."""

import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import waves

from scgan_lib import authors, networks
from scgan_lib.authors import load_author_critic, load_author_generator
from scgan_lib.colorize import load_generator, save_generator
from scgan_lib.paths import UserError

OFFICIAL = json.loads((Path(__file__).parent / "data" / "official_networks.json").read_text())


def stream(name: str) -> np.random.RandomState:
    return np.random.RandomState((zlib.crc32(name.encode()) + OFFICIAL["seed"]) % 2**32)


def weight(name: str, shape: list[int]) -> torch.Tensor:
    """The recipe `weights`."""
    random = stream(name)
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.endswith("running_var"):
        values = random.uniform(0.5, 1.5, shape)
    elif name.endswith(".norm.weight"):
        values = random.uniform(0.8, 1.2, shape)
    elif name.endswith((".norm.bias", "running_mean")):
        values = random.normal(0, 0.1, shape)
    else:
        values = random.normal(0, 1, shape)
    return torch.from_numpy(values.astype(np.float32))


def image(name: str, channels: int, size: int = 256) -> torch.Tensor:
    return torch.from_numpy(waves(stream(name), channels, size).astype(np.float32))[None]


def narrow(network: str) -> dict[str, torch.Tensor]:
    """The released names at a sixteenth of the width: quick to build and to break."""
    shapes = OFFICIAL[network]["tensors"].items()
    return {k: weight(k, [n // 16 if n % 64 == 0 else n for n in s]) for k, s in shapes}


@pytest.fixture(scope="module")
def state():
    return narrow("generator")


@pytest.fixture(autouse=True)
def as_made(monkeypatch):
    """Networks are not initialised before they are filled: it takes longer than the rest."""
    monkeypatch.setattr(networks, "initialise", lambda module: None)


def count(module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_generator_gives_the_released_numbers():
    tensors = OFFICIAL["generator"]["tensors"]
    generator = load_author_generator({k: weight(k, s) for k, s in tensors.items()})
    assert count(generator) == OFFICIAL["trainable"]["generator"] == 58_755_200
    assert count(generator.global_encoder) == 17_077_952
    assert count(generator.saliency) == 1_624_448
    with torch.inference_mode():
        rgb_hat, saliency_hat = generator(image("gray", 1))
    assert rgb_hat.shape == (1, 3, 256, 256) and saliency_hat.shape == (1, 1, 256, 256)
    for tensor, key in ((rgb_hat, "color"), (saliency_hat, "saliency")):
        facts = OFFICIAL["generator"][key]
        ours = tensor.flatten()[facts["index"]].numpy()
        np.testing.assert_allclose(ours, facts["value"], rtol=0, atol=2e-6)
        assert abs(tensor.mean().item() - facts["mean"]) < 1e-4
        assert abs(tensor.std().item() - facts["std"]) < 1e-4


def test_critic_gives_the_released_numbers():
    official = OFFICIAL["discriminator"]
    critic = load_author_critic({k: weight(k, s) for k, s in official["tensors"].items()})
    assert count(critic) == OFFICIAL["trainable"]["discriminator"] == 5_766_144
    with torch.inference_mode():
        score = critic(image("gray", 1), image("rgb", 3))
    assert [*score.shape] == official["score_shape"] == [1, 1, 30, 30]
    ours = score.flatten()[official["score"]["index"]].numpy()
    np.testing.assert_allclose(ours, official["score"]["value"], rtol=1e-3, atol=0)


@torch.inference_mode()
def test_data_parallel_prefix_wrapped_dict_and_file(state, tmp_path):
    gray = image("gray", 1)
    expected = load_author_generator(state)(gray)
    prefixed = {f"module.{k}": v for k, v in state.items()}
    torch.save({"state_dict": state}, tmp_path / "plain.pth")
    torch.save(prefixed, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for form in (prefixed, tmp_path / "plain.pth", str(tmp_path / "old.pth")):
        torch.testing.assert_close(load_author_generator(form)(gray), expected, rtol=0, atol=0)


@torch.inference_mode()
def test_files_of_the_unit_range(state, tmp_path):
    """A [0,1] file: the result still speaks [-1,1], also after saving and loading it again."""
    gray_pm1 = image("gray", 1) * 2 - 1
    plain, unit = load_author_generator(state), load_author_generator(state, (0, 1))
    rgb_01, saliency = plain((gray_pm1 + 1) / 2)
    result = unit(gray_pm1)
    torch.testing.assert_close(result, (rgb_01 * 2 - 1, saliency))
    save_generator(unit, authors.author_profile(unit), tmp_path / "g.safetensors")
    again = load_generator(tmp_path / "g.safetensors")[0]
    torch.testing.assert_close(again(gray_pm1), result, rtol=0, atol=0)
    with pytest.raises(UserError, match="value_range"):
        load_author_generator(state, (0, 255))


def test_gray_vgg_with_its_classifier_fills_the_global_encoder(state):
    prefix = "global_feature_network."
    vgg = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    vgg["classifier.0.weight"] = torch.randn(10, 32)
    encoder = authors.load_author_encoder(vgg, networks.GlobalEncoder(4)).eval()
    gray, expected = image("gray", 1, 64), load_author_generator(state).global_encoder
    torch.testing.assert_close(encoder(gray), expected(gray), rtol=0, atol=0)


FIRST = "down1.conv2d.module.weight_bar"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"up3.conv2d.norm.bias": None}, "up.2.norm.bias"),
        ({"extra": torch.ones(2)}, "extra"),
        ({"down4.norm.weight": torch.ones(5)}, "size mismatch for down.3.norm.weight"),
    ],
)
def test_generator_tensors_that_do_not_fit_are_named(state, change, words):
    damaged = {k: v for k, v in (state | change).items() if v is not None}
    with pytest.raises(UserError, match=f"^state dict: not the authors' weights: .*{words}"):
        load_author_generator(damaged)


class Hostile:
    """Unpickling it makes a folder."""

    def __reduce__(self):
        return os.mkdir, ("was-here",)


@pytest.mark.parametrize("content", [[1, 2], {FIRST: Hostile()}, b"hello\n", b"PK\3\4 cut off"])
def test_files_without_weights_are_refused_by_name_and_run_no_code(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    if isinstance(content, bytes):
        Path("bad.pth").write_bytes(content)
    else:
        torch.save(content, "bad.pth")
    for load in (load_author_generator, load_author_critic):
        with pytest.raises(UserError, match=r"^bad\.pth: not the authors' weights: .*$"):
            load("bad.pth")
    assert not Path("was-here").exists()
