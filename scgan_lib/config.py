"""Profiles: the numbers of a run. Profiles differ in numbers, never in code paths.

`smoke` proves in CI that everything runs; `mini` is the shipped photographs on a laptop; `folder`
is any directory of pictures; `imagenet` is the paper's setting (first public version of the code).
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scgan_lib.paths import ROOT, UserError, output_root


@dataclass(frozen=True)
class LossWeights:
    """The λ of the generator's total (eq. 6) and of the gradient penalty; released values."""

    pixel: float = 1.0
    attention: float = 0.5
    perceptual: float = 5.0
    adversarial: float = 0.05
    gradient_penalty: float = 10.0


@dataclass(frozen=True)
class Profile:
    """Every number of a run. Frozen: make another with `load(name, key=value)`."""

    name: str
    seed: int = 0
    variant: str = ""  # an ablation's name: its results lie apart, below ablations/
    device: str = "auto"  # auto | cpu | cuda | mps
    precision: str = "no"  # no | bf16 | fp16: Accelerate's mixed precision
    compile: str = "no"  # no | inductor | aot_eager: torch.compile's backend, generator only
    channels_last: bool = False  # memory order while training; on a CPU it takes longer
    fidelity: str = "paper"  # "released" repeats the released code's choices (paper.DEVIATIONS)

    # data
    data: str = "data/mini"
    image_size: int = 256  # side of a training crop: what the networks see
    judge_size: int = 256  # side of the pictures that are scored
    min_scale: float = 1.0  # smallest random crop, as a share of the photo's short side
    composites: float = 0.0  # share of a batch made of cut-outs on photographs (exact saliency)
    teacher: str = "robust-background"  # saliency of the photographs
    saliency_guidance: bool = True  # off: an ablation
    train_images: int = 0  # at most so many training photos; 0: all
    train_every: int = 1  # of the training photos, every so many-th; stage 0 takes all
    test_images: int = 0  # at most so many test photos, gallery first, else even over classes
    beside: str = ""  # a profile whose shipped weights are scored too
    test_list: str = ""  # a file that names the test photos, one relative path a line

    # networks
    width: int = 64
    saliency_width: int = 128
    levels: int = 9
    global_encoder: str = "vgg16_gray"  # | folded_vgg16 | none
    vgg: str = "auto"  # whose VGG-16: torchvision | hed (offline trunk) | auto: the first to be had
    global_weights: str = ""  # file of the author's gray VGG-16 or of a stage 0 | stage0: our own
    generator_norm: str = "batch"
    generator_spectral: bool = True
    critic_width: int = 64
    critic_layers: int = 3  # stride-2 convolutions of the critics: 3 see 69x69 pixels
    critic_norm: str = "layer"  # none | instance | layer | batch (fidelity="released": batch)
    critic_spectral: bool = False
    salient_critic: bool = True
    penalty_patches: str = "mean"  # | sum: what of the patch scores the gradient penalty bounds
    keep_luminance: bool = False  # the result keeps the input's luma; the networks give chroma

    # stage 0: VGG-16-Gray. 150 epochs of ImageNet's 1,281,167 pictures, a tenth every 30 (paper)
    stage0_steps: int = 750_750
    stage0_batch: int = 256
    stage0_lr: float = 0.01
    stage0_momentum: float = 0.9
    stage0_weight_decay: float = 5e-4
    stage0_tenth_every: int = 150_150  # steps after which the rate falls to a tenth

    # training
    batch: int = 8
    stage2_batch: int = 0  # 0: as in stage 1
    stage1_steps: int = 0
    stage2_steps: int = 0
    stage1_lr: float = 2e-4
    stage2_lr: float = 1e-4
    critic_lr: float = 1e-4
    schedule: str = "halve"  # every `halve_every` steps | cosine: to zero at the end of the stage
    halve_every: int = 160_000
    optimizer: str = "adam"  # | adamw
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0
    critic_steps: int = 1  # critic updates for each generator update
    gan: str = "wgan-gp"  # | lsgan | hinge (teaching alternatives)
    ema: float = 0.0  # decay of the averaged generator that is evaluated; 0: none
    loss: LossWeights = field(default_factory=LossWeights)
    checkpoint_seconds: float = 60.0
    samples: int = 12  # snapshots of the gallery kept over each stage
    log_every: int = 10
    workers: int = 0
    cache_pictures: bool = True  # decode once, to disk; off: each time anew (the same pixels)

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise UserError(
                    f"profile {self.name}: {name}={getattr(self, name)!r} is not one of {allowed}"
                )
        if not 0 <= self.composites <= 0.2:
            raise UserError(
                f"profile {self.name}: composites={self.composites} must lie in 0..0.2: more of "
                "them in a batch hurt the colours of real photographs"
            )
        if self.train_every < 1:
            raise UserError(
                f"profile {self.name}: train_every={self.train_every} must be 1 (all) or more"
            )
        if self.image_size % 32 or self.image_size < 2 ** (self.levels - 1):
            raise UserError(
                f"profile {self.name}: image_size={self.image_size} must be a multiple of 32 and "
                f"at least {2 ** (self.levels - 1)} for levels={self.levels}"
            )
        for least, names in (
            (0, "seed stage1_steps stage2_steps stage1_lr stage2_lr critic_lr samples workers"),
            (0, "stage2_batch"),
            (1, "image_size judge_size width saliency_width critic_width batch stage0_batch"),
            (1, "stage0_steps stage0_tenth_every halve_every critic_steps log_every"),
        ):
            for name in names.split():
                if not least <= getattr(self, name) < float("inf"):
                    raise UserError(
                        f"profile {self.name}: {name}={getattr(self, name)} must be {least} or more"
                    )

    @property
    def run_name(self) -> str:
        """`mini`, or `mini-seed3`: seed 0 is the one that README and table show."""
        return self.name if self.seed == 0 else f"{self.name}-seed{self.seed}"

    @property
    def results(self) -> Path:
        if self.variant:
            apart = f"{self.variant}-seed{self.seed}"
            return output_root() / "results" / self.name / "ablations" / apart
        return output_root() / "results" / self.run_name

    @property
    def figures(self) -> Path:
        return output_root() / "figures" / self.run_name

    @property
    def runs(self) -> Path:
        return self.results / "runs"

    @property
    def data_path(self) -> Path:
        path = Path(self.data).expanduser()
        return path if path.is_absolute() else ROOT / path

    def settings(self) -> dict[str, Any]:
        """Everything that changes a result, as plain values: what checkpoints are bound to."""
        skip = {
            "device", "checkpoint_seconds", "log_every", "workers", "variant", "test_list",
            "beside", "cache_pictures", "compile", "channels_last",
        }  # fmt: skip
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in skip}

    def digest(self) -> str:
        """Twelve hex digits that name these settings."""
        text = json.dumps(self.settings(), sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


CHOICES: dict[str, tuple[str, ...]] = {
    "device": ("auto", "cpu", "cuda", "mps"),
    "precision": ("no", "bf16", "fp16"),
    "compile": ("no", "inductor", "aot_eager"),
    "fidelity": ("paper", "released"),
    "global_encoder": ("vgg16_gray", "folded_vgg16", "none"),
    "vgg": ("auto", "torchvision", "hed"),
    "generator_norm": ("none", "instance", "layer", "batch"),
    "critic_norm": ("none", "instance", "layer", "batch"),
    "penalty_patches": ("mean", "sum"),
    "schedule": ("halve", "cosine"),
    "optimizer": ("adam", "adamw"),
    "gan": ("wgan-gp", "lsgan", "hinge"),
}

_MINI: dict[str, Any] = dict(
    data="data/mini", image_size=64, min_scale=0.5, composites=0.125,
    width=24, saliency_width=24, levels=7, global_encoder="folded_vgg16",
    generator_spectral=False, critic_width=24, critic_layers=2, critic_norm="none",
    keep_luminance=True, batch=16, stage1_steps=640, stage2_steps=100,
    stage1_lr=1.5e-3, stage2_lr=2e-4, critic_lr=1e-3, schedule="cosine", optimizer="adamw",
    betas=(0.9, 0.999), weight_decay=0.01,
    # Found on validation photos: the released 0.05 outruns the critics in so short a stage.
    loss=LossWeights(adversarial=0.01),
    stage0_steps=400, stage0_batch=32, stage0_tenth_every=160, log_every=2,
)  # fmt: skip

# What `fidelity="released"` changes besides what the modules look up themselves: the settings with
# which the released code differs from the paper (paper.DEVIATIONS). Explicit overrides win.
RELEASED: dict[str, Any] = dict(
    generator_norm="batch", generator_spectral=True,
    critic_norm="batch", critic_spectral=True, salient_critic=False,
)  # fmt: skip

PROFILES: dict[str, dict[str, Any]] = {
    "smoke": _MINI
    | dict(
        width=8,
        saliency_width=8,
        critic_width=8,
        train_images=24,
        test_images=8,
        stage1_steps=30,
        stage2_steps=10,
        stage0_steps=20,
        stage0_batch=8,
        stage0_tenth_every=8,
        batch=8,
        samples=2,
        log_every=1,
    ),
    "mini": _MINI | dict(beside="tiny"),
    # Tiny ImageNet, 200 labelled classes at 64 pixels: the weights that travel. Stage 1 as it was
    # trained by benchmarks/gpu.py; the rate followed half a cosine after a short warm-up.
    "tiny": dict(
        data="",
        image_size=64,
        judge_size=64,
        min_scale=0.6,
        width=32,
        saliency_width=32,
        levels=7,
        generator_spectral=False,
        critic_width=32,
        critic_layers=2,
        critic_norm="none",
        keep_luminance=True,
        global_weights="stage0",
        stage0_steps=3309,
        stage0_lr=0.1,
        stage0_tenth_every=1103,
        batch=256,
        stage1_steps=2447,
        stage1_lr=1e-3,
        stage2_batch=16,
        stage2_steps=1368,
        stage2_lr=5e-5,
        critic_lr=5e-4,
        schedule="cosine",
        optimizer="adamw",
        betas=(0.9, 0.999),
        weight_decay=0.02,
        ema=0.998,
        loss=LossWeights(adversarial=0.005),
    ),
    # Any directory of pictures; the same networks as `mini`, as many steps as you give it.
    "folder": _MINI | dict(data="", composites=0.0),
    # The authors' first public version: one ImageNet image in ten, 10 and 30 epochs of batch 8.
    "imagenet": dict(
        data="",
        train_every=10,
        stage1_steps=160_000,
        stage2_steps=480_000,
        workers=8,
        samples=40,
        test_images=10_000,  # ten of each class, as the paper
    ),
}


def load(name: str = "mini", seed: int = 0, **overrides: Any) -> Profile:
    """The profile `name` with `overrides` (`loss` may be a dict of λ).

    Raises UserError for an unknown profile or key; the message names the nearest ones.
    """
    if name not in PROFILES:
        raise UserError(f"unknown profile {name!r}{_near(name, PROFILES)}; there are {[*PROFILES]}")
    released = RELEASED if overrides.get("fidelity") == "released" else {}
    values = {"name": name, "seed": seed} | PROFILES[name] | released | overrides
    fields = {f.name: f for f in dataclasses.fields(Profile)}
    for key in values:
        if key not in fields:
            raise UserError(f"profile {name}: unknown key {key!r}{_near(key, fields)}")
    if isinstance(values.get("loss"), dict):
        known = [f.name for f in dataclasses.fields(LossWeights)]
        for key in values["loss"]:
            if key not in known:
                raise UserError(f"profile {name}: unknown loss weight {key!r}{_near(key, known)}")
        values["loss"] = LossWeights(**values["loss"])
    for key, value in values.items():
        want = type(fields[key].default)
        if want in (int, float, str, bool) and not _fits(value, want):
            raise UserError(f"profile {name}: {key}={value!r} must be of type {want.__name__}")
    values["betas"] = tuple(values.get("betas", Profile.betas))
    return Profile(**values)


def from_environment(name: str, seed: int = 0, **overrides: Any) -> Profile:
    """`load`, with the Make variables DEVICE, DATA, IMAGENET and TINY taken from the environment.

    IMAGENET and TINY are for the profiles of these names, DATA for those that bring no photographs:
    an exported one does not turn `mini` into something else.
    """
    own = bool(PROFILES.get(name, {}).get("data"))
    for variable, key, used in (
        ("DEVICE", "device", True),
        ("DATA", "data", not own and name != "tiny"),
        ("IMAGENET", "data", name == "imagenet"),
        ("TINY", "data", name == "tiny"),
    ):
        if used and (value := os.environ.get(variable, "")):
            overrides.setdefault(key, value)
    return load(name, seed=seed, **overrides)


def _fits(value: Any, want: type) -> bool:
    if want is bool or isinstance(value, bool):
        return isinstance(value, bool) and want is bool
    return isinstance(value, (int, float) if want is float else want)


def _near(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.4)
    return f"; did you mean {', '.join(close)}?" if close else ""
