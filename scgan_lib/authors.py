"""The authors' weight files: their names, their spectral-norm vectors, their input range.

Sources: the authors' public repository (MIT), read and run; `scgan_lib.paper`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scgan_lib.config import Profile, load
from scgan_lib.layers import ConvBlock
from scgan_lib.networks import Generator, GlobalEncoder, PatchCritic
from scgan_lib.paths import UserError

Source = str | Path | Mapping[str, Tensor]

_SALIENCY = {
    "from_eighth.0": "conv11.conv2d",
    "from_eighth.1": "conv12.conv2d",
    "from_quarter": "conv2.conv2d",
    "from_half": "conv3",
    "join": "conv4.conv2d",
    "final": "final",
}


def load_author_generator(source: Source, value_range: tuple[int, int] = (-1, 1)) -> Generator:
    """The released generator from a `.pth` file or a state dict, in eval mode.

    Names may start with `module.` (DataParallel). `value_range` says what the file was trained
    with: (-1, 1), the first public version, or (0, 1), the later ones; the result always speaks
    [-1, 1]: for (0, 1) files gray is mapped before and colours after. Width, levels and saliency
    width are read off the shapes. UserError lists missing, unexpected and wrongly shaped tensors;
    nothing is loaded then.
    """
    state = _read(source)
    names = {"down1.conv2d.module.weight_bar", "attention_prediction_network.conv3.norm.weight"}
    if missing := names - state.keys():
        raise UserError(f"{_name(source)}: not the authors' generator: no {min(missing)}")
    if value_range not in ((-1, 1), (0, 1)):
        raise UserError(f"value_range={value_range}: (-1, 1) or (0, 1)")
    levels = sum(n.startswith("down") and n.endswith("weight_bar") for n in state)
    if levels < 5:
        raise UserError(f"{_name(source)}: not the authors' generator: only {levels} down blocks")
    generator = Generator(
        width=_first_extent(state, "down1.conv2d.module.weight_bar", source),
        saliency_width=_first_extent(
            state, "attention_prediction_network.conv3.norm.weight", source
        ),
        levels=levels,
        unit_range=value_range == (0, 1),
        fidelity="paper",
    )
    _load(generator, state, _generator_names(generator), source)
    return generator.eval()


def load_author_critic(source: Source) -> PatchCritic:
    """The released 69x69 critic (BatchNorm, spectral norm) from a file or state dict, eval mode."""
    state = _read(source)
    if "block1.conv2d.module.weight_bar" not in state:
        raise UserError(
            f"{_name(source)}: not the authors' critic: no block1.conv2d.module.weight_bar"
        )
    critic = PatchCritic(
        _first_extent(state, "block1.conv2d.module.weight_bar", source),
        layers=sum(n.startswith("block") and n.endswith("weight_bar") for n in state) - 1,
        norm="batch",
        spectral=True,
    )
    names = [f"block{i}" for i in range(1, len(critic.blocks) - 1)] + ["final1", "final2"]
    pairs = {f"blocks.{i}": name for i, name in enumerate(names)}
    _load(critic, state, pairs, source)
    return critic.eval()


def load_author_encoder(source: Source, encoder: GlobalEncoder) -> GlobalEncoder:
    """The author's gray VGG-16 into `encoder`; its `classifier.` is left out, nothing else is."""
    state = {k: v for k, v in _read(source).items() if not k.startswith("classifier.")}
    _load(encoder, state, {name: name for name, _ in encoder.named_children()}, source)
    return encoder


def _first_extent(state: Mapping[str, Tensor], name: str, source: Source) -> int:
    """The width that a tensor's first dimension tells; UserError for one that tells nonsense."""
    shape = state[name].shape
    if not shape or not 1 <= shape[0] <= 1024:
        raise UserError(f"{_name(source)}: {name} has shape {[*shape]}; nothing loaded")
    return shape[0]


def _generator_names(generator: Generator) -> dict[str, str]:
    """Our block -> the released block's prefix."""
    pairs = {f"global_encoder.{n}": f"global_feature_network.{n}"
             for n, _ in generator.global_encoder.named_children()}  # fmt: skip
    pairs |= {f"down.{i}": f"down{i + 1}" for i in range(len(generator.down))}
    pairs |= {f"up.{i}": f"up{i + 1}.conv2d" for i in range(len(generator.up))}
    pairs["to_rgb"] = f"up{len(generator.up) + 1}"
    prefix = "attention_prediction_network"
    return pairs | {f"saliency.{a}": f"{prefix}.{b}" for a, b in _SALIENCY.items()}


def _load(module: nn.Module, state: Mapping[str, Tensor], pairs: dict, source: Source) -> None:
    """Fill `module` block by block from the released names; all or nothing."""
    new, used, wrong = {}, set(), []
    own = module.state_dict()

    def take(ours: str, theirs: str) -> Tensor | None:
        used.add(theirs)
        value = state.get(theirs)
        if value is None:
            wrong.append(f"missing {theirs}")
        elif value.shape != own[ours].shape:
            wrong.append(f"{theirs} has shape {[*value.shape]}, expected {[*own[ours].shape]}")
        else:
            new[ours] = value.to(own[ours].dtype)
            return value
        return None

    for ours, theirs in pairs.items():
        block: ConvBlock = module.get_submodule(ours)
        for name in block.norm.state_dict():
            take(f"{ours}.norm.{name}", f"{theirs}.norm.{name}")
        weight = f"{ours}.conv.parametrizations.weight"
        bar = take(f"{weight}.original", f"{theirs}.conv2d.module.weight_bar")
        u = take(f"{weight}.0._u", f"{theirs}.conv2d.module.weight_u")
        used.add(f"{theirs}.conv2d.module.weight_v")  # recomputed from u before it is ever used
        if bar is not None and u is not None:
            matrix = bar.float().flatten(1)
            # What a released forward does first: v = norm(Wᵀu), u = norm(Wv), then W / (u·W·v).
            v = F.normalize(matrix.T @ u.float(), dim=0, eps=1e-12)
            new[f"{weight}.0._u"] = F.normalize(matrix @ v, dim=0, eps=1e-12)
            new[f"{weight}.0._v"] = v
    wrong += [f"unexpected {name}" for name in state.keys() - used]
    if wrong or new.keys() != own.keys():
        listed = "; ".join(sorted(wrong)[:8]) + (f"; and {len(wrong) - 8} more" * (len(wrong) > 8))
        raise UserError(f"{_name(source)}: does not fit, nothing loaded: {listed}")
    module.load_state_dict(new)


def _read(source: Source) -> dict[str, Tensor]:
    """A plain dict of tensors without `module.` in front; no code in a pickle may run."""
    if isinstance(source, str | Path):
        if not Path(source).is_file():
            raise UserError(f"{source}: no such file")
        try:
            state = torch.load(source, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file can raise nearly anything
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                f"{source}: not a weight file that can be read safely, nothing loaded ({reason})"
            ) from None
    else:
        state = dict(source)
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise UserError(f"{_name(source)}: holds no state dict (names with tensors)")
    plain = {k.removeprefix("module."): v for k, v in state.items()}
    if len(plain) < len(state):
        raise UserError(f"{_name(source)}: holds some tensors twice, with and without `module.`")
    return plain


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
