"""Profiles: the numbers of a run. Profiles differ in numbers (profiles.yaml), never in code paths.

`smoke` proves in CI that everything runs; `mini` is the shipped photographs on a laptop; `tiny` is
Tiny ImageNet on a GPU; `folder` is any directory of pictures; `imagenet` is the paper's setting
(first public version of the code).
"""

import dataclasses
import difflib
import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml

from scgan_lib.paths import ROOT, UserError, output_root

# Numbers and where they lie: from, to.
Count = Annotated[int, 1, math.inf]
Whole = Annotated[int, 0, math.inf]
Real = Annotated[float, 0, math.inf]
Norm = Literal["none", "instance", "layer", "batch"]


@dataclass(frozen=True)
class LossWeights:
    """The λ of the generator's total (eq. 6) and of the gradient penalty; released values."""

    pixel: Real = 1.0
    attention: Real = 0.5
    perceptual: Real = 5.0
    adversarial: Real = 0.05
    gradient_penalty: Real = 10.0

    def __post_init__(self) -> None:
        _check_values(self, "loss")


@dataclass(frozen=True)
class Profile:
    """Every number of a run. Frozen: make another with `load(name, key=value)`."""

    name: str
    seed: Annotated[int, 0, 400_000_000] = 0  # what numpy takes, times ten
    variant: str = ""  # an ablation's name: its results lie apart, below ablations/
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["no", "bf16", "fp16"] = "no"  # Accelerate's mixed precision
    compile: Literal["no", "inductor", "aot_eager"] = "no"  # torch.compile, generator only
    channels_last: bool = False  # memory order while training; on a CPU it takes longer
    fidelity: Literal["paper", "released"] = "paper"  # whose choices (paper.DEVIATIONS)

    # data
    data: str = "data/mini"
    image_size: Count = 256  # side of a training crop: what the networks see
    judge_size: Count = 256  # side of the pictures that are scored
    # smallest random crop, as a share of the photo's short side
    min_scale: Annotated[float, 0.05, 1] = 1.0
    # share of a batch made of cut-outs on photographs (exact saliency); more hurt photos' colours
    composites: Annotated[float, 0, 0.2] = 0.0
    teacher: str = "robust-background"  # saliency of the photographs
    saliency_guidance: bool = True  # off: an ablation
    train_images: Whole = 0  # at most so many training photos; 0: all
    train_every: Count = 1  # every n-th of the training photos; stage 0 takes all
    test_images: Whole = 0  # at most so many test photos, gallery first, else even over classes
    beside: str = ""  # a profile whose shipped weights are scored too
    test_list: str = ""  # a file that names the test photos, one relative path a line

    # networks
    width: Count = 64
    saliency_width: Count = 128
    levels: Annotated[int, 5, 12] = 9  # the saliency branch reads the levels 1 to 3
    global_encoder: Literal["vgg16_gray", "folded_vgg16", "none"] = "vgg16_gray"
    vgg: Literal["auto", "torchvision", "hed"] = "auto"  # whose VGG-16; hed: the offline trunk
    global_weights: str = ""  # file of the author's gray VGG-16 or of a stage 0; stage0: our own
    init: str = ""  # weight file to go on from, of the same networks
    generator_norm: Norm = "batch"
    generator_spectral: bool = True
    critic_width: Count = 64
    critic_layers: Count = 3  # stride-2 convolutions of the critics: 3 see 69x69 pixels
    critic_norm: Norm = "layer"
    critic_spectral: bool = False
    salient_critic: bool = True
    penalty_patches: Literal["mean", "sum"] = "mean"  # what the gradient penalty bounds
    keep_luminance: bool = False  # the result keeps the input's luma; the networks give chroma

    # stage 0: VGG-16-Gray. 150 epochs of ImageNet's 1,281,167 pictures, a tenth every 30 (paper)
    stage0_steps: Count = 750_750
    stage0_batch: Count = 256
    stage0_lr: Real = 0.01
    stage0_momentum: Real = 0.9
    stage0_weight_decay: Real = 5e-4
    stage0_tenth_every: Count = 150_150  # steps after which the rate falls to a tenth

    # training
    batch: Count = 8
    stage2_batch: Whole = 0  # 0: as in stage 1
    stage1_steps: Whole = 0
    stage2_steps: Whole = 0
    stage1_lr: Real = 2e-4
    stage2_lr: Real = 1e-4
    critic_lr: Real = 1e-4
    schedule: Literal["halve", "cosine"] = "halve"  # cosine: to zero at the end of the stage
    halve_every: Count = 160_000
    optimizer: Literal["adam", "adamw"] = "adam"
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: Real = 0.0
    critic_steps: Count = 1  # critic updates for each generator update
    gan: Literal["wgan-gp", "lsgan", "hinge"] = "wgan-gp"  # the others: for teaching
    ema: Real = 0.0  # decay of the averaged generator that is evaluated; 0: none
    loss: LossWeights = field(default_factory=LossWeights)
    checkpoint_seconds: Real = 60.0
    samples: Whole = 12  # snapshots of the gallery kept over each stage
    log_every: Count = 10
    workers: Whole = 0

    def __post_init__(self) -> None:
        _check_values(self, f"profile {self.name}")
        if not all(0 <= beta < 1 for beta in self.betas) or len(self.betas) != 2:
            raise UserError(f"profile {self.name}: betas={self.betas} must be two numbers in 0..1")
        least = 2 ** (self.levels - 1)
        if self.image_size % 32 or self.image_size < least:
            raise UserError(
                f"profile {self.name}: image_size={self.image_size} must be a multiple of 32 and "
                f"at least {least} for levels={self.levels}"
            )

    @property
    def run_name(self) -> str:
        """`mini`, or `mini-seed3`: seed 0 is the one that README and table show."""
        return self.name if self.seed == 0 else f"{self.name}-seed{self.seed}"

    @property
    def results(self) -> Path:
        apart = f"{self.name}/ablations/{self.variant}-seed{self.seed}"
        return output_root() / "results" / (apart if self.variant else self.run_name)

    @property
    def figures(self) -> Path:
        return output_root() / "figures" / self.run_name

    @property
    def runs(self) -> Path:
        return self.results / "runs"

    @property
    def data_path(self) -> Path:
        return ROOT / Path(self.data).expanduser()  # an absolute path stays what it is

    def settings(self) -> dict[str, Any]:
        """Everything that changes a result, as plain values: what checkpoints are bound to."""
        no_result = {
            "device", "checkpoint_seconds", "log_every", "workers", "variant", "test_list",
            "beside", "compile", "channels_last",
        }  # fmt: skip
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in no_result}

    def digest(self) -> str:
        """Twelve hex digits that name these settings."""
        text = json.dumps(self.settings(), sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


# What a weight file decides: with `init` these are taken from it.
NETWORK = (
    "width", "saliency_width", "levels", "global_encoder", "generator_norm", "generator_spectral",
    "keep_luminance", "fidelity",
)  # fmt: skip


class _Numbers(yaml.SafeLoader):
    """YAML that also reads 1e-4 as a number, and no as a word, as everybody else does."""


_Numbers.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), None
)
for letter in "yYnNoO":  # yes, no, on, off
    kinds = _Numbers.yaml_implicit_resolvers[letter]
    _Numbers.yaml_implicit_resolvers[letter] = [k for k in kinds if not k[0].endswith(":bool")]


def read_yaml(name: str) -> dict[str, Any]:
    """A file of this package that holds settings."""
    return yaml.load(Path(__file__).with_name(name).read_text(encoding="utf-8"), _Numbers)


_FILE = read_yaml("profiles.yaml")
PROFILES: dict[str, dict[str, Any]] = _FILE["profiles"]
RELEASED: dict[str, Any] = _FILE["released"]


def load(name: str = "mini", seed: int = 0, **overrides: Any) -> Profile:
    """The profile `name` with `overrides` (`loss` may be a dict of λ).

    Raises UserError for an unknown profile or key; the message names the nearest ones.
    """
    _check_names([name], PROFILES, "unknown profile")
    released = RELEASED if overrides.get("fidelity") == "released" else {}
    values = {"name": name, "seed": seed} | PROFILES[name] | released | overrides
    _check_names(values, Profile.__dataclass_fields__, f"profile {name}: unknown key")
    if isinstance(loss := values.get("loss"), dict):
        weights = LossWeights.__dataclass_fields__
        _check_names(loss, weights, f"profile {name}: unknown loss weight")
        values["loss"] = LossWeights(**loss)
    values |= {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
    return Profile(**values)


def stored(settings: dict[str, Any]) -> Profile:
    """The profile whose `settings()` a file holds; what a Profile no longer has is passed over."""
    known = {k: v for k, v in settings.items() if k in Profile.__dataclass_fields__}
    return load(known.pop("name"), **known)


def from_environment(name: str, seed: int = 0, **overrides: Any) -> Profile:
    """`load`, with what the environment says, as Make's variables do; `overrides` win.

    DEVICE is for all; IMAGENET and TINY for the profiles of these names, DATA for those that bring
    no photographs; SCGAN_SET holds settings, "KEY=VALUE KEY=VALUE".
    """
    given = read_settings(os.environ.get("SCGAN_SET", "").split(), "SET")
    places = {"imagenet": "IMAGENET", "tiny": "TINY"}
    if PROFILES.get(name, {}).get("data") == "":
        given["data"] = os.environ.get(places.get(name, "DATA")) or os.environ.get("DATA")
    if given.get("data"):  # from where the user stands
        given["data"] = os.path.abspath(Path(given["data"]).expanduser())
    given["device"] = os.environ.get("DEVICE")
    return load(name, seed, **({k: v for k, v in given.items() if v not in (None, "")} | overrides))


def pairs(texts: Sequence[str], option: str, form: str) -> dict[str, str]:
    """What stands before and after the first "=" of each text; UserError where it has none."""
    if wrong := [text for text in texts if not all(text.partition("="))]:
        raise UserError(f"{option} {wrong[0]!r}: write {form}")
    return dict(text.split("=", 1) for text in texts)


def read_settings(texts: Sequence[str], option: str) -> dict[str, Any]:
    """KEY=VALUE texts -> settings. UserError, naming `option`, for any other text."""
    found = pairs(texts, option, "KEY=VALUE")
    if found.keys() & {"seed", "name"}:
        raise UserError(f"{option}: use --seed (or --seeds) and --profile for the seed, the name")
    try:
        return {key: yaml.load(text, _Numbers) for key, text in found.items()}
    except yaml.YAMLError:
        raise UserError(f"{option} {found}: a value cannot be read") from None


def _check_values(numbers: Any, owner: str) -> None:
    """UserError for a field of a dataclass whose value is not of the kind that is annotated."""
    for f in dataclasses.fields(numbers):
        if wrong := _mistake(value := getattr(numbers, f.name), f.type):
            raise UserError(f"{owner}: {f.name}={value!r} {wrong}")


def _mistake(value: Any, kind: Any) -> str:
    """What is wrong with a `value` of this kind: "" if nothing."""
    if get_origin(kind) is Literal:
        return "" if value in get_args(kind) else f"is not one of {get_args(kind)}"
    kind, *limits = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    kind = get_origin(kind) or kind
    allowed = {float: (int, float), tuple: (tuple, list)}.get(kind, kind)
    if not isinstance(value, allowed) or isinstance(value, bool) != (kind is bool):
        return f"must be of type {kind.__name__}"
    if limits and not (limits[0] <= value <= limits[1] and math.isfinite(value)):
        least, most = limits
        return f"must be {least} or more" if most == math.inf else f"must lie in {least}..{most}"
    return ""


def _check_names(words: Iterable, known: Iterable[str], complaint: str) -> None:
    """UserError for a word that is not `known`, with its neighbours; without any, all there are."""
    for word in words:
        if word not in known:
            near = difflib.get_close_matches(str(word), known, n=3, cutoff=0.4)
            hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(known)}"
            raise UserError(f"{complaint} {word!r}; {hint}")
