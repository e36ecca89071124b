"""From a trained generator to pictures: any size in, the same size out."""

import copy
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from huggingface_hub import ModelCard, ModelHubMixin, hf_hub_download
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils import parametrize

from scgan_lib import config
from scgan_lib.authors import load_author_encoder
from scgan_lib.config import NETWORK, Profile
from scgan_lib.layers import ConvBlock
from scgan_lib.networks import Generator, GlobalEncoder, luma
from scgan_lib.paths import ROOT, UserError, atomic_write
from scgan_lib.pictures import luma_u8, open_picture, to_pm1, to_rgb_mode, to_u8
from scgan_lib.vgg import FoldedVGG


def pick_device(name: str) -> str:
    """`cpu`, `cuda` or `mps`; `auto` is the fastest of them that is here.

    UserError for another name, or a device that torch does not see: never a silent run on the CPU.
    """
    seen = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    here = [device for device in seen if seen[device]] + ["cpu"]
    if name not in ("auto", *here):
        raise UserError(f"device {name}: torch sees no such device here; use cpu or auto")
    return here[0] if name == "auto" else name


def build_generator(profile: Profile) -> Generator:
    """The generator that `profile` describes, freshly initialised from torch's random state.

    Where the profile names `global_weights`, its VGG-16-Gray starts from that file ("stage0": from
    what the profile's own stage 0 has trained).
    """
    start = profile.global_weights
    if start == "stage0":
        own = profile.runs / "stage0" / "final.safetensors"
        start = own if profile.global_encoder == "vgg16_gray" else ""
    elif start and profile.global_encoder != "vgg16_gray":
        raise UserError(f"{start}: global_weights needs global_encoder=vgg16_gray")
    encoder: Any = None if profile.global_encoder == "vgg16_gray" else False
    if profile.global_encoder == "folded_vgg16":
        from scgan_lib import pretrained  # torchvision takes seconds to import

        encoder = FoldedVGG(pretrained.fold_to_gray(pretrained.vgg16_trunk(profile.vgg)))
    generator = Generator(
        profile.width, profile.saliency_width, profile.levels, encoder=encoder,
        norm=profile.generator_norm, spectral=profile.generator_spectral,
        keep_luminance=profile.keep_luminance, fidelity=profile.fidelity,
    )  # fmt: skip
    if start:
        load_global_weights(generator.global_encoder, start)
    return generator


def load_global_weights(encoder: GlobalEncoder, path: str | Path) -> None:
    """Fill VGG-16-Gray from the author's file (`.pth`) or from stage 0's (`.safetensors`).

    UserError for no file, another kind of file, or one that does not fit.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"{path}: no such weights; train stage 0 (`scgan train --stage 0`)")
    if path.suffix == ".pth":
        if not parametrize.is_parametrized(encoder.conv1_1.conv):
            raise UserError(f"{path}: the author's encoder needs generator_spectral=true")
        load_author_encoder(path, encoder)
        return
    need = "the author's .pth, or the .safetensors of stage 0 with the same width and norms"
    with _blaming(path, f"global_weights is {need}"):
        encoder.load_state_dict(load_file(path))


@contextmanager
def _blaming(path: Path | str, cure: str) -> Iterator[None]:
    """What goes wrong inside is the fault of `path`: a UserError of one line says so."""
    try:
        yield
    except Exception as error:  # a damaged file can raise nearly anything
        raise UserError(f"{path}: {cure} ({shorten(str(error), 300)})") from error


def save_generator(
    generator: Generator, profile: Profile, path: Path, half: bool = False, **facts: Any
) -> None:
    """Weights as safetensors, with the profile and `facts` as metadata; whole or not at all.

    `half` rounds them to float16: half the size, for files that travel.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in generator.state_dict().items()}
    if half:
        state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    facts |= {"unit_range": True} if generator.unit_range else {}
    metadata = {"profile": json.dumps(profile.settings())} | {k: str(v) for k, v in facts.items()}
    with atomic_write(path) as part:
        save_file(state, part, metadata=metadata)


def load_generator(path: str | Path, device: str = "cpu") -> tuple[Generator, Profile, dict]:
    """A saved generator in eval mode, the profile it was trained with, its other metadata.

    UserError when the file is missing, cut short, foreign or does not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such weights; train first (`make reproduce`) or give a file")
    cure = "not a generator of this project; an authors' file goes through `scgan convert` first"
    with _blaming(path, cure):
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
        profile = config.stored(json.loads(metadata.pop("profile")))
        state = load_file(path)
    # the file holds the whole encoder: where it once started from is not asked for
    generator = build_generator(replace(profile, global_weights=""))
    with _blaming(path, cure):
        generator.load_state_dict(state)
    generator.unit_range = metadata.get("unit_range") == "True"
    for name, value in generator.state_dict().items():
        if not value.isfinite().all():
            raise UserError(f"{path}: {name} holds NaN or infinity; these weights are of no use")
    return generator.to(device).eval(), profile, metadata


def inference_form(generator: Generator) -> Generator:
    """A copy of `generator` that gives the same pictures (but for rounding) with less work.

    Spectral norm and BatchNorm are folded into the convolutions; it cannot be trained or saved.
    `fidelity="released"` is only set to eval mode: its power iteration goes on at inference.
    """
    if generator.fidelity == "released":
        return generator.eval()
    folded = copy.deepcopy(generator).eval().requires_grad_(False)
    for module in folded.modules():
        if isinstance(module, ConvBlock):
            module.fold()
    return folded.to(memory_format=torch.channels_last)


STRIP = 256  # rows or columns of a picture that are worked on at a time


@torch.inference_mode()
def render(
    generator: Generator, gray_u8: Tensor, size: int, strength: float | None = None
) -> tuple[Tensor, Tensor]:
    """Colorize gray pictures of one size at the working size, and bring the result back up.

    gray_u8 (B,1,H,W) uint8 -> rgb (B,3,H,W) uint8 and saliency (B,1,H,W) uint8. The networks see
    the picture with its short side at `size` (a thin strip shortened, so that its pixels bound the
    work); with `keep_luminance` only the chroma (rgb_hat − gray, whose luma is 0) is up-sampled.
    `strength` multiplies the chroma and keeps the luma of colours outside the RGB cube, see
    `fit_cube`. None: each channel clipped by itself (what is evaluated).
    """
    device = next(generator.parameters()).device
    h, w = gray_u8.shape[-2:]
    scale, most = size / min(h, w), max(8 * size, h * w // size)
    side = [max(size, min(round(extent * scale), most)) for extent in (h, w)]
    # Width, then height, a strip at a time: of a large picture no plane is ever whole in float32.
    rows = [_resize(to_pm1(part.to(device)), (-1, side[1])) for part in gray_u8.split(STRIP, 2)]
    small = _resize(torch.cat(rows, 2), (side[0], -1))
    rgb_hat, saliency_hat = generator(small)
    chroma = rgb_hat - small if generator.keep_luminance else rgb_hat
    wide = _resize(torch.cat([chroma, saliency_hat], 1), (-1, w))
    made = torch.empty(len(gray_u8), h, w, 3, dtype=torch.uint8).movedim(-1, 1)
    saliency = torch.empty_like(gray_u8, device="cpu")
    strips = zip(*(x.split(STRIP, 3) for x in (gray_u8, wide, made, saliency)), strict=True)
    for gray, part, rgb_out, saliency_out in strips:
        y, part = to_pm1(gray.to(device)), _resize(part, (h, -1))
        rgb = y + part[:, :3] if generator.keep_luminance else part[:, :3]
        if strength is not None:
            rgb = fit_cube(y + strength * (rgb - y))
        rgb_out.copy_(to_u8(rgb))
        saliency_out.copy_((part[:, 3:].clamp(0, 1) * 255).round())
    return made, saliency


def fit_cube(rgb: Tensor) -> Tensor:
    """Draw each colour of (B,3,H,W) outside [-1,1] towards the gray of its luma until it fits.

    With luma y and offset d = rgb − y: y + t d, with the largest t in [0,1] that fits.
    """
    y = luma(rgb).clamp(-1, 1)
    d = rgb - y
    above = (1 - y) / d.amax(1, keepdim=True).clamp_min(1e-6)
    below = (1 + y) / (-d.amin(1, keepdim=True)).clamp_min(1e-6)
    return y + torch.minimum(above, below).clamp(max=1) * d


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """To height and width, where -1 is the one it has."""
    size = tuple(new if new > 0 else old for new, old in zip(size, x.shape[-2:], strict=True))
    if tuple(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)


SHIPPED = "generator.safetensors"  # the newest stage in half precision, committed for `mini`


def newest_weights(profile: Profile) -> Path | None:
    """The newest stage that `profile` has trained here, else what came with the clone, or None."""
    found = [profile.runs / s / "final.safetensors" for s in ("stage2", "stage1")]
    found += [profile.results / SHIPPED, ROOT / "results" / profile.name / SHIPPED]
    return next((p for p in found if p.is_file()), None)


def weights_of(path_or_name: str | Path) -> Path:
    """A weight file; for a profile's name its `newest_weights`, or where they would be."""
    if (name := str(path_or_name)) not in config.PROFILES:
        return Path(name)
    profile = config.load(name)
    return newest_weights(profile) or profile.runs / "stage2" / "final.safetensors"


CARD = Path(__file__).with_name("hub_card.md").read_text(encoding="utf-8")


class Colorizer(ModelHubMixin, model_card_template=CARD, pipeline_tag="image-to-image"):
    """Colours for gray pictures of any size: `Colorizer.load()("old.jpg").save("new.png")`.

    Works on a PIL image or a path and returns a new PIL image of the same size (RGB, or RGBA with
    the input's transparency). `chroma` scales the predicted chroma (1: as predicted, 0: gray);
    where a colour would leave the RGB cube, chroma is given up and not luminance.
    """

    def __init__(self, generator: Generator, profile: Profile, chroma: float = 1.0) -> None:
        self.generator, self.profile, self.chroma = generator.eval(), profile, chroma
        self.facts: dict[str, str] = {}  # what else the weight file says
        self._form = inference_form(generator)

    @classmethod
    def load(cls, path_or_name: str | Path = "tiny", device: str = "auto") -> Self:
        """From a weight file, or by a profile's name (`"tiny"`, `"mini"`): see `weights_of`."""
        generator, profile, facts = load_generator(weights_of(path_or_name), pick_device(device))
        made = cls(generator, profile)
        made.facts = facts
        return made

    @classmethod
    def from_pretrained(cls, name: str | Path, **options: Any) -> Self:
        """From a folder of `save_pretrained`, or OWNER/NAME on the Hugging Face Hub.

        `options`: those of `ModelHubMixin.from_pretrained` and `device`, `chroma`.
        """
        cure = "no such folder here, and the Hugging Face Hub does not give it"
        with nullcontext() if os.path.isdir(name) else _blaming(name, cure):
            return super().from_pretrained(name, **options)

    @classmethod
    def _from_pretrained(
        cls, *, model_id: str, device: str = "auto", chroma: float = 1.0, **options: Any
    ) -> Self:
        local = os.path.isdir(model_id)
        path = Path(model_id, SHIPPED) if local else hf_hub_download(model_id, SHIPPED, **options)
        made = cls.load(path, device)
        made.chroma = chroma
        return made

    def _save_pretrained(self, save_directory: Path) -> None:
        save_generator(self.generator, self.profile, save_directory / SHIPPED, **self.facts)
        (save_directory / "config.json").write_text(json.dumps({"chroma": self.chroma}))

    def generate_model_card(self, **words: Any) -> ModelCard:
        """The README beside the saved weights: what they are and how to use them."""
        network = {key: getattr(self.profile, key) for key in ("name", "image_size", *NETWORK)}
        return super().generate_model_card(facts=network | self.facts, **words)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """`save_pretrained` into the repository OWNER/NAME of the Hub; its address."""
        with _blaming(repo_id, "not pushed; needs a network and, once, `hf auth login`"):
            return super().push_to_hub(repo_id, **options)

    def __call__(self, picture: Image.Image | str | Path) -> Image.Image:
        return self.both(picture)[0]

    def both(self, picture: Image.Image | str | Path) -> tuple[Image.Image, Image.Image]:
        """(colour picture, saliency picture in mode L), both of the input's size."""
        opened = picture if isinstance(picture, Image.Image) else open_picture(picture)
        image = to_rgb_mode(opened)
        gray = luma_u8(np.asarray(image if image.mode == "RGB" else image.convert("RGB")))
        rgb, saliency = render(
            self._form, torch.from_numpy(gray)[None, None], self.profile.image_size, self.chroma
        )
        out = Image.fromarray(rgb[0].permute(1, 2, 0).numpy())
        if image.mode == "RGBA":
            out.putalpha(image.getchannel("A"))
        return out, Image.fromarray(saliency[0, 0].numpy())
