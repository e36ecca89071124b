"""Stage 0: VGG-16-Gray learns to classify gray pictures before the generator asks it what it sees.

The encoder is saved alone, for `global_encoder=vgg16_gray` and `global_weights=<file>`.
"""

import csv
import json
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from scgan_lib.config import Profile
from scgan_lib.data import Photo, TrainingSet, photo_reader, photos, test_picture, verify_hashes
from scgan_lib.loop import Job, fit, update
from scgan_lib.networks import GlobalEncoder
from scgan_lib.paths import UserError, atomic_write

SETTINGS = (
    "name", "seed", "precision", "fidelity", "data", "image_size", "min_scale", "train_images",
    "width", "generator_norm", "generator_spectral",
)  # fmt: skip


def labelled(profile: Profile, *splits: str) -> list[tuple[Photo, str]]:
    """(photo, class) of `splits`: the coarse kind in credits.csv, else the label or the folder.

    `train_images` and `test_images` take pictures evenly from the list, so that no class is lost.
    A split that a small folder lacks is left out; UserError when all are empty.
    """
    found: list[Photo] = []
    for split in splits:
        try:
            every = photos(replace(profile, train_images=0, train_every=1, test_images=0), split)
        except UserError:
            if split == splits[-1] and not found:
                raise
            continue
        limit = {"train": profile.train_images, "test": profile.test_images}.get(split)
        count = min(limit or len(every), len(every))
        found += [every[i * len(every) // count] for i in range(count)]
    root, kinds = profile.data_path, {}
    if (root / "credits.csv").is_file():
        with open(root / "credits.csv", newline="", encoding="utf-8") as file:
            kinds = {root / row["file"]: row.get("coarse") for row in csv.DictReader(file)}
    return [(p, kinds.get(p.path) or p.label or p.path.parent.name) for p in found]


class GrayPictures(TrainingSet):
    """A `TrainingSet` of gray (1,S,S), rgb (3,S,S) in [-1,1] and label int.

    `length=0`: each picture once, in order, its centre crop.
    """

    def __init__(
        self, profile: Profile, found: list[tuple[Photo, str]], classes: list[str], length: int = 0
    ) -> None:
        self.profile, self.stage, self.random, self.in_batch = profile, 0, length > 0, 0
        self.photos = [p for p, _ in found]
        self.picture = photo_reader(self.photos, profile) if self.random else None
        self.labels = [classes.index(c) if c in classes else -1 for _, c in found]
        self.length = length or len(found)

    def raw(self, item: int) -> dict[str, Tensor]:
        if self.random:
            index, raw = self._shuffled(item), super().raw(item)
        else:
            pixels = test_picture(self.photos[item], self.profile.image_size)
            index, raw = item, {"u8": torch.from_numpy(pixels.copy())}
        return raw | {"label": torch.tensor(self.labels[index])}


def classifier(profile: Profile, classes: int) -> nn.Sequential:
    """`encoder` and `head`: gray (B,1,H,W) -> logits (B,classes): average, dropout ½, linear.

    Torch's own initialisation: the N(0, 0.02²) of the GAN is so small in narrow networks that
    the first steps of SGD destabilise them.
    """
    encoder = GlobalEncoder(profile.width, profile.generator_norm, profile.generator_spectral)
    linear = nn.Linear(encoder.out_channels, classes)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), linear)
    return nn.Sequential(OrderedDict(encoder=encoder, head=head))


@torch.no_grad()
def evaluate(model: nn.Module, pictures: GrayPictures, batch: int) -> dict[str, float]:
    """Top-1 and top-5 in percent on gray held-out centre crops."""
    device = next(model.parameters()).device
    model.eval()
    hits = {"top1": 0.0, "top5": 0.0}
    for part in DataLoader(pictures, batch, num_workers=pictures.profile.workers):
        order = model(part["gray"].to(device)).argsort(1, descending=True).cpu()
        right = order == part["label"][:, None]
        hits = {f"top{k}": hits[f"top{k}"] + int(right[:, :k].sum()) for k in (1, 5)}
    model.train()
    return {name: 100 * count / len(pictures) for name, count in hits.items()}


def rate(profile: Profile, step: int) -> float:
    """Factor of the learning rate: a tenth after every `stage0_tenth_every` steps."""
    return 0.1 ** (step // profile.stage0_tenth_every)


def train(profile: Profile, until: int | None = None, extend: bool = False) -> Path:
    """Train the encoder, or go on with it, or do nothing if it is done. -> its weights.

    SGD with momentum and weight decay on the classes' cross-entropy; see `loop.fit` for the files.
    UserError for one class, no held-out pictures, or a run with other settings.
    """
    settings = {k: v for k, v in profile.settings().items() if k in SETTINGS or k[:7] == "stage0_"}
    return fit(profile, 0, settings, partial(_job, profile), until, extend)


def _job(profile: Profile, accelerator: Accelerator) -> Job:
    with accelerator.main_process_first():  # it looks for damaged pictures
        known, held_out = labelled(profile, "train"), labelled(profile, "val", "test")
    verify_hashes([p for p, _ in known if p.sha256])
    classes = sorted({name for _, name in known})
    held_out = [(p, name) for p, name in held_out if name in classes]
    if len(classes) < 2 or not held_out:
        raise UserError(
            f"{profile.data_path}: classes {classes[:3]}, {len(held_out)} held-out pictures of "
            "them; put pictures of each class in a folder of its own"
        )
    items = GrayPictures(profile, known, classes, profile.stage0_steps * profile.stage0_batch)
    test = GrayPictures(profile, held_out, classes)
    model = classifier(profile, len(classes))
    optimizer = torch.optim.SGD(
        model.parameters(), profile.stage0_lr, profile.stage0_momentum,
        weight_decay=profile.stage0_weight_decay,
    )  # fmt: skip
    model, optimizer = accelerator.prepare(model, optimizer)
    plain = accelerator.unwrap_model(model).train()
    scores: dict[str, float] = {}

    def step(batch: dict[str, Tensor], number: int) -> dict[str, Tensor]:
        loss = F.cross_entropy(model(batch["gray"]), batch["label"])
        update(optimizer, loss, accelerator)
        return {"loss": loss.detach()}

    def watch(number: int) -> dict[str, float]:
        scores.update(evaluate(plain, test, profile.stage0_batch) if number else {})
        return scores

    def save(path: Path, facts: dict) -> None:
        metrics = scores | {"images": len(test), "classes": len(classes), "steps": facts["steps"]}
        state = {k: v.detach().cpu().contiguous() for k, v in plain.encoder.state_dict().items()}
        metadata = {"stage": "0", "profile": json.dumps(profile.settings())}
        with atomic_write(path) as part:
            save_file(state, part, metadata | {"metrics": json.dumps(metrics)})

    return Job(step, items, [optimizer], partial(rate, profile), watch, save)


def metrics(path: Path) -> dict[str, float]:
    """What a file of stage 0 says of itself: top-1 and top-5 on `images` held-out pictures."""
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["metrics"])
