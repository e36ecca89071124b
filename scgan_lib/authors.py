"""The authors' weight files: their names, their spectral-norm vectors, their input range.

Sources: the authors' public repository (MIT), read and run; `scgan_lib.paper`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from textwrap import shorten

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from scgan_lib.config import Profile, load
from scgan_lib.networks import Generator, GlobalEncoder, PatchCritic
from scgan_lib.paths import UserError

Source = str | Path | Mapping[str, Tensor]

# (released name, ours): of the generator, the critics, and every convolution.
NAMES = [
    ("global_feature_network.", "global_encoder."),
    ("attention_prediction_network.", "saliency."),
    ("saliency.conv11.conv2d.", "saliency.from_eighth.0."),
    ("saliency.conv12.conv2d.", "saliency.from_eighth.1."),
    ("saliency.conv2.conv2d.", "saliency.from_quarter."),
    ("saliency.conv3.", "saliency.from_half."),
    ("saliency.conv4.conv2d.", "saliency.join."),
    *((f"down{i}.", f"down.{i - 1}.") for i in range(1, 10)),
    *((f"up{i}.conv2d.", f"up.{i - 1}.") for i in range(1, 9)),
    ("up9.", "to_rgb."),
    *((f"block{i}.", f"blocks.{i - 1}.") for i in range(1, 5)),
    *((f"final{i}.", f"blocks.{i + 3}.") for i in (1, 2)),
    (".conv2d.module.weight_bar", ".conv.parametrizations.weight.original"),
    (".conv2d.module.weight_", ".conv.parametrizations.weight.0._"),  # u and v
]


def load_author_generator(source: Source, value_range: tuple[int, int] = (-1, 1)) -> Generator:
    """The released generator from a `.pth` file or a state dict, in eval mode.

    Names may start with `module.` (DataParallel). `value_range` says what the file was trained
    with: (-1, 1), the first public version, or (0, 1), the later ones; the result always works in
    [-1, 1]: for (0, 1) files gray is mapped before and colours after. Widths are read off the
    shapes. UserError names missing, unexpected and wrongly shaped tensors.
    """
    if value_range not in ((-1, 1), (0, 1)):
        raise UserError(f"value_range={value_range}: (-1, 1) or (0, 1)")
    widths = "down1.conv2d.module.weight_bar", "attention_prediction_network.conv3.norm.weight"
    generator = _load(source, lambda state: Generator(*(len(state[name]) for name in widths)))
    generator.unit_range = value_range == (0, 1)
    return generator.eval()


def load_author_critic(source: Source) -> PatchCritic:
    """The released 69x69 critic (BatchNorm, spectral norm) from a file or state dict, eval mode."""
    first = "block1.conv2d.module.weight_bar"
    make = partial(PatchCritic, norm="batch", spectral=True)
    return _load(source, lambda state: make(len(state[first]))).eval()


def load_author_encoder(source: Source, encoder: GlobalEncoder) -> GlobalEncoder:
    """The authors' gray VGG-16 into `encoder`; its `classifier.` is left out, nothing else is."""
    return _load(source, lambda state: encoder)


@torch.no_grad()
def _load(source: Source, build: Callable[[dict[str, Tensor]], nn.Module]):
    """The module that `build` makes for a state dict, filled. No code in a pickle may run."""
    what = "state dict" if isinstance(source, Mapping) else source
    try:
        state = torch.load(what, "cpu", weights_only=True) if what is source else source
        if not isinstance(state, Mapping):
            raise TypeError("no state dict")
        state = state.get("state_dict", state)
        state = {str(name).removeprefix("module."): tensor for name, tensor in state.items()}
        module = build(state)
        # v follows from u: a file need not have it
        ours = {name: v for name, v in module.state_dict().items() if name.endswith(".0._v")}
        for name, tensor in state.items():
            for theirs, new in NAMES:
                name = name.replace(theirs, new)
            if not name.startswith("classifier."):
                ours[name] = tensor
        module.load_state_dict(ours)
    except Exception as error:  # a damaged file can raise nearly anything
        reason = f"no tensor {error}" if isinstance(error, KeyError) else str(error)
        if isinstance(error, UnpicklingError):  # torch's own words say how to run it all the same
            reason = "damaged, or it holds more than tensors; no code of it was run"
        reason = shorten(reason or type(error).__name__, 400)
        raise UserError(f"{what}: not the authors' weights: {reason}") from error
    for layer in module.modules():
        if parametrize.is_parametrized(layer, "weight"):
            # What a released forward does first: v = norm(Wᵀu), u = norm(Wv), then W / (u·W·v).
            (norm,), matrix = layer.parametrizations.weight, layer.parametrizations.weight.original
            norm._v = F.normalize(matrix.flatten(1).T @ norm._u, dim=0, eps=norm.eps)
            norm._u = F.normalize(matrix.flatten(1) @ norm._v, dim=0, eps=norm.eps)
    return module


def author_profile(generator: Generator) -> Profile:
    """The profile that describes a generator from `load_author_generator`, for saving it."""
    saliency_width = generator.saliency.final.conv.weight.shape[1]
    return load("imagenet", width=len(generator.down[0].conv.weight), saliency_width=saliency_width)
