"""The authors' weight files: their names, their spectral-norm vectors, their input range.

Sources: the authors' public repository (MIT), read and run; `scgan_lib.paper`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scgan_lib.config import Profile, load
from scgan_lib.networks import Generator, GlobalEncoder, PatchCritic
from scgan_lib.paths import UserError

Source = str | Path | Mapping[str, Tensor]

# The released names -> ours, one after the other.
_BLOCK = (
    (r"\.conv2d\.module\.weight_bar$", ".conv.parametrizations.weight.original"),
    (r"\.conv2d\.module\.weight_([uv])$", r".conv.parametrizations.weight.0._\1"),
)
_GENERATOR = (
    ("^global_feature_network", "global_encoder"),
    ("^attention_prediction_network", "saliency"),
    (r"^saliency\.conv11\.conv2d\.", "saliency.from_eighth.0."),
    (r"^saliency\.conv12\.conv2d\.", "saliency.from_eighth.1."),
    (r"^saliency\.conv2\.conv2d\.", "saliency.from_quarter."),
    (r"^saliency\.conv3\.", "saliency.from_half."),
    (r"^saliency\.conv4\.conv2d\.", "saliency.join."),
    (r"^down(\d+)", lambda match: f"down.{int(match[1]) - 1}"),
    (r"^up(\d+)\.conv2d(?=\.conv2d|\.norm)", lambda match: f"up.{int(match[1]) - 1}"),
    (r"^up\d+", "to_rgb"),
)
_WIDTHS = (
    "down1.conv2d.module.weight_bar",
    "attention_prediction_network.conv3.norm.weight",
)


def load_author_generator(source: Source, value_range: tuple[int, int] = (-1, 1)) -> Generator:
    """The released generator from a `.pth` file or a state dict, in eval mode.

    Names may start with `module.` (DataParallel). `value_range` says what the file was trained
    with: (-1, 1), the first public version, or (0, 1), the later ones; the result always works in
    [-1, 1]: for (0, 1) files gray is mapped before and colours after. Width, levels and saliency
    width are read off the shapes. UserError names missing, unexpected and wrongly shaped tensors.
    """
    if value_range not in ((-1, 1), (0, 1)):
        raise UserError(f"value_range={value_range}: (-1, 1) or (0, 1)")
    state = _read(source, "generator", _WIDTHS)
    generator = Generator(
        width=len(state[_WIDTHS[0]]),
        saliency_width=len(state[_WIDTHS[1]]),
        levels=sum(n.startswith("down") and n.endswith("weight_bar") for n in state),
        unit_range=value_range == (0, 1),
        fidelity="paper",
    )
    return _load(generator, state, _GENERATOR, source).eval()


def load_author_critic(source: Source) -> PatchCritic:
    """The released 69x69 critic (BatchNorm, spectral norm) from a file or state dict, eval mode."""
    first = "block1.conv2d.module.weight_bar"
    state = _read(source, "critic", (first,))
    layers = sum(n.startswith("block") and n.endswith("weight_bar") for n in state)
    critic = PatchCritic(len(state[first]), layers=layers - 1, norm="batch", spectral=True)
    names = (
        (r"^block(\d+)", lambda match: f"blocks.{int(match[1]) - 1}"),
        (r"^final(\d+)", lambda match: f"blocks.{int(match[1]) - 1 + layers}"),
    )
    return _load(critic, state, names, source).eval()


def load_author_encoder(source: Source, encoder: GlobalEncoder) -> GlobalEncoder:
    """The authors' gray VGG-16 into `encoder`; its `classifier.` is left out, nothing else is."""
    state = {k: v for k, v in _read(source).items() if not k.startswith("classifier.")}
    return _load(encoder, state, (), source)


def _load(module: nn.Module, state: Mapping[str, Tensor], names: tuple, source: Source):
    """Fill `module` with `state` under our names; what does not fit is a UserError."""
    new = {}
    for name, tensor in state.items():
        for pattern, ours in (*names, *_BLOCK):
            name = re.sub(pattern, ours, name)
        new[name] = tensor
    try:
        for name in [n for n in new if n.endswith(".0._u")]:
            weight = name.removesuffix(".0._u")
            matrix = new[f"{weight}.original"].float().flatten(1)
            # What a released forward does first: v = norm(Wᵀu), u = norm(Wv), then W / (u·W·v).
            new[f"{weight}.0._v"] = v = F.normalize(matrix.T @ new[name].float(), dim=0, eps=1e-12)
            new[name] = F.normalize(matrix @ v, dim=0, eps=1e-12)
        module.load_state_dict(new)
    except (KeyError, IndexError, RuntimeError) as error:
        raise UserError(f"{_name(source)}: does not fit: {' '.join(str(error).split())}") from None
    return module


def _read(source: Source, kind: str = "", marks: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """A dict of tensors without `module.` in front that has the names `marks` of a `kind`.

    No code in a pickle may run.
    """
    state = source
    if isinstance(source, str | Path):
        try:
            state = torch.load(source, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file can raise nearly anything
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(
                f"{source}: not a weight file that can be read safely ({reason})"
            ) from None
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise UserError(f"{_name(source)}: holds no state dict (names with tensors)")
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    for mark in marks:
        if mark not in state or not state[mark].numel() or not state[mark].ndim:
            raise UserError(f"{_name(source)}: not the authors' {kind}: no {mark}")
    return state


def _name(source: Source) -> str:
    return str(source) if isinstance(source, str | Path) else "state dict"


def author_profile(generator: Generator) -> Profile:
    """The profile that describes a generator from `load_author_generator`, for saving it."""
    return load(
        "imagenet",
        width=generator.down[0].conv.weight.shape[0],
        saliency_width=generator.saliency.final.conv.weight.shape[1],
        levels=generator.levels,
    )
