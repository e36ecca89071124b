"""`tiny` on one GPU in a given number of seconds a task: data on the card, bf16, channels-last.

    python benchmarks/gpu.py stage0 --seconds 60          # VGG-16-Gray, over the same classes
    python benchmarks/gpu.py stage1 --seconds 150         # starts from stage 0's encoder
    python benchmarks/gpu.py stage2 --seconds 100 --set adversarial=0.01
    python benchmarks/gpu.py ablate --steps 100           # of stage 2: variants x seeds
    python benchmarks/gpu.py validate --start results/tiny/generator.safetensors --out results/tiny

Learning rates follow the share of the time that has passed, so a slower card trains for fewer
steps and ends as gently. Prints pictures a second and the share of the card's peak. Networks,
losses and steps are the library's. Rows and weights go to --out.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from scgan_lib import config, pretrained, tiny, training
from scgan_lib.colorize import (
    build_generator,
    inference_form,
    load_generator,
    save_generator,
)
from scgan_lib.layers import ConvBlock
from scgan_lib.metrics import cci, psnr, ssim
from scgan_lib.networks import Generator, GlobalEncoder, PatchCritic, luma
from scgan_lib.paths import ROOT
from scgan_lib.progress import progress
from scgan_lib.saliency import robust_background
from scgan_lib.vgg import VGGFeatures

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bf16 operations a second


class Card:
    """The whole data set on the device, and random batches of it."""

    def __init__(
        self, data: tiny.Tiny, device: str, with_saliency: bool, limit: int = 0, lazy: bool = False
    ) -> None:
        rgb = np.array(data.rgb[:limit] if limit else data.rgb)
        self.data, self.device = data, device
        self.rgb = torch.from_numpy(rgb).permute(0, 3, 1, 2).contiguous().to(device)
        self.label = torch.from_numpy(data.label[: len(rgb)]).to(device)
        self.saliency, self.unknown = None, None
        if with_saliency and lazy:  # each map when its photograph is first drawn
            self.saliency, self.unknown = self.rgb[:, :1] * 0, np.ones(len(rgb), bool)
        elif with_saliency:
            maps = np.array(data.saliency()[: len(rgb)])
            self.saliency = torch.from_numpy(maps)[:, None].to(device)
        self.split = {s: self._where(s, len(rgb)) for s in ("train", "held", "val")}

    def _where(self, split: str, n: int) -> Tensor:
        found = self.data.indices(split)
        found = found[found < n]
        return torch.from_numpy(found if len(found) else np.arange(min(n, 64))).to(self.device)

    def order(self, seed: int, batch: int):
        """Endless batches of training positions, each epoch shuffled anew."""
        generator = torch.Generator(self.device).manual_seed(seed)
        train = self.split["train"]
        while True:
            mixed = train[torch.randperm(len(train), generator=generator, device=self.device)]
            yield from mixed[: len(mixed) // batch * batch or None].split(batch)

    def batch(self, index: Tensor, min_scale: float = 1.0) -> dict[str, Tensor]:
        """gray, rgb in [-1,1], saliency in [0,1], label; half of them cropped, half flipped."""
        if self.unknown is not None:
            for i in (i for i in index.tolist() if self.unknown[i]):
                saliency = robust_background(np.array(self.data.rgb[i])) * 255
                self.saliency[i, 0] = torch.from_numpy(np.rint(np.nan_to_num(saliency)))
                self.unknown[i] = False
        rgb = self.rgb[index].float() / 127.5 - 1
        planes = [rgb]
        if self.saliency is not None:
            planes.append(self.saliency[index].float() / 255)
        x = torch.cat(planes, 1)
        if min_scale < 1:
            n, dev = len(index), self.device
            crop = torch.rand(n, device=dev) < 0.5
            scale = torch.where(crop, min_scale + (1 - min_scale) * torch.rand(n, device=dev), 1.0)
            shift = (2 * torch.rand(n, 2, device=dev) - 1) * (1 - scale)[:, None]
            flip = torch.where(torch.rand(n, device=dev) < 0.5, -1.0, 1.0)
            theta = torch.zeros(n, 2, 3, device=dev)
            theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale * flip, scale, shift
            grid = F.affine_grid(theta, list(x.shape), align_corners=False)
            x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
        made = {"rgb": x[:, :3], "gray": luma(x[:, :3]), "label": self.label[index]}
        if self.saliency is not None:
            made["saliency"] = x[:, 3:].clamp(0, 1)
        return made


class Clock:
    """Share of the time (or of the steps) that has passed, and the rate that follows from it."""

    def __init__(self, args: argparse.Namespace, warmup: float = 0.03) -> None:
        self.seconds, self.all_steps, self.warmup = args.seconds, args.steps, warmup
        self.begun, self.steps = time.monotonic(), 0

    def share(self) -> float:
        if self.all_steps:
            return self.steps / self.all_steps
        return (time.monotonic() - self.begun) / self.seconds

    def rate(self, *pairs) -> bool:
        """Set the learning rates of (optimizer, lr) pairs; False when the time is over."""
        share = self.share()
        if share >= 1:
            return False
        factor = min(1.0, share / self.warmup + 0.01) * 0.5 * (1 + math.cos(math.pi * share))
        for optimizer, lr in pairs:
            for group in optimizer.param_groups:
                group["lr"] = lr * factor
        self.steps += 1
        return True


def gray_classifier(profile: config.Profile) -> nn.Sequential:
    """Stage 0: VGG-16-Gray, average, dropout, linear."""
    encoder = GlobalEncoder(profile.width, profile.generator_norm, profile.generator_spectral)
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(8 * profile.width, 200)
    )
    return nn.Sequential(OrderedDict(encoder=encoder, head=head))


def report(name: str, clock: Clock, batch: int, flops: float, card: Card, **facts) -> None:
    seconds = time.monotonic() - clock.begun
    speed = clock.steps * batch / seconds
    peak = None
    if card.device == "cuda":
        device = torch.cuda.get_device_name()
        peak = next((v for k, v in PEAK.items() if k in device), None)
        facts["memory_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
    share = f"{100 * flops * speed / batch / peak:.1f}" if peak and flops else ""
    row = dict(task=name, steps=clock.steps, seconds=round(seconds, 1), images_per_s=round(speed))
    print("REPORT", json.dumps(row | {"peak_percent": share} | facts), flush=True)


def flops_of(step) -> float:
    """Operations of one call, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def classify(args, card: Card, model: nn.Module, batch: int, out: Path) -> None:
    """Train a classifier of gray pictures for the time given; held-back top-1 and top-5."""
    peak = 0.1 * batch / 256
    optimizer = torch.optim.SGD(model.parameters(), peak, 0.9, weight_decay=5e-4, nesterov=True)
    model.to(card.device, memory_format=torch.channels_last).train()
    clock, flops = Clock(args), 0.0
    for index in card.order(args.seed, batch):
        if not clock.rate((optimizer, peak)):
            break
        made = card.batch(index, 0.6)
        x = made["gray"].contiguous(memory_format=torch.channels_last)

        def step(x=x, made=made):
            with torch.autocast(card.device, torch.bfloat16, enabled=args.bf16):
                logits = model(x)
            loss = F.cross_entropy(logits.float(), made["label"], label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            return loss

        if clock.steps == 1:
            flops = flops_of(step)
        else:
            loss = step()
        if clock.steps % 100 == 0:
            print(args.task, clock.steps, f"{float(loss.detach()):.3f}", flush=True)
    facts = {s: accuracy(model, card, s, args.bf16) for s in ("held", "val")}
    report(args.task, clock, batch, flops, card, **facts)
    state = {k: v.half().contiguous() for k, v in model.state_dict().items()}
    save_file(state, out)


@torch.inference_mode()
def accuracy(model: nn.Module, card: Card, split: str, bf16: bool) -> list[float]:
    """[top-1, top-5] in percent on `split`."""
    model.eval()
    hits = torch.zeros(2)
    for index in card.split[split].split(500):
        made = card.batch(index)
        with torch.autocast(card.device, torch.bfloat16, enabled=bf16):
            order = model(made["gray"]).float().topk(5, 1).indices == made["label"][:, None]
        hits += torch.tensor([order[:, :1].sum().item(), order.sum().item()])
    model.train()
    return [round(float(h), 2) for h in 100 * hits / len(card.split[split])]


def literal(network: nn.Module) -> nn.Module:
    """On a GPU the plain form of the convolutions is the faster one."""
    for block in network.modules():
        if isinstance(block, ConvBlock):
            block.fused = block.narrow = False
    return network


@torch.inference_mode()
def colorized(generator: Generator, card: Card, index: Tensor) -> tuple[Tensor, Tensor]:
    """uint8 results and predicted saliency in 0..1 of the pictures at `index`, full precision."""
    generator.eval()
    parts = []
    for part in index.split(500):
        rgb_hat, saliency_hat = generator(card.batch(part)["gray"])
        u8 = ((rgb_hat.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        parts.append((u8, saliency_hat.float()))
    generator.train()
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def quality(generator: Generator, card: Card, split: str) -> dict[str, float]:
    """Means over `split`: PSNR and its gain over a gray copy, CCI, saliency error."""
    index = card.split[split]
    made, saliency_hat = colorized(generator, card, index)
    real = card.rgb[index]
    gray = luma(real.float()).round().to(torch.uint8).expand(-1, 3, -1, -1)
    made, real, gray = made.cpu(), real.cpu(), gray.cpu()
    ours, base = (torch.as_tensor(psnr(x, real)).clamp(max=60) for x in (made, gray))
    facts = {
        "psnr": ours.mean(), "gray": base.mean(), "better": 100 * (ours > base).float().mean(),
        "cci": torch.as_tensor(cci(made)).mean(), "cci_real": torch.as_tensor(cci(real)).mean(),
    }  # fmt: skip
    if card.saliency is not None:
        target = card.saliency[index].float() / 255
        facts["saliency_mae"] = (saliency_hat - target).abs().mean()
    return {k: round(float(v), 3) for k, v in facts.items()}


def players_for(profile: config.Profile, stage: int, start: str, device: str) -> training.Players:
    """Networks and optimisers of a stage; `start` is a file of weights to begin with."""
    generator = build_generator(replace(profile, global_weights=""))
    if start:
        state = {k: v.float() for k, v in load_file(start).items()}
        if "head.3.weight" in state:  # stage 0: the encoder alone
            inner = {k.removeprefix("encoder."): v for k, v in state.items() if "encoder." in k}
            generator.global_encoder.load_state_dict(inner)
        else:
            generator.load_state_dict(state)
    average = build_generator(replace(profile, global_weights=""))
    average.load_state_dict(generator.state_dict())
    players = training.Players(
        generator, average=average.requires_grad_(False).eval(),
        generator_optimizer=torch.optim.AdamW(
            [p for p in generator.parameters() if p.requires_grad],
            1e-3, profile.betas, weight_decay=profile.weight_decay, fused=device == "cuda",
        ),
    )  # fmt: skip
    if stage == 2 and profile.loss.adversarial:
        names = ["color"] + ["salient"] * (profile.salient_critic and profile.saliency_guidance)
        players.critics = {
            n: PatchCritic(profile.critic_width, layers=profile.critic_layers, norm="none")
            for n in names
        }
        parameters = [p for c in players.critics.values() for p in c.parameters()]
        players.critic_optimizer = torch.optim.AdamW(
            parameters, 1e-3, (0.5, 0.9), weight_decay=0.0, fused=device == "cuda"
        )
    if stage == 2 and profile.loss.perceptual:
        players.features = VGGFeatures(pretrained.vgg16_trunk("hed").state)
    networks = [generator, average, *players.critics.values(), players.features]
    for network in filter(None, networks):
        network.to(device, memory_format=torch.channels_last)
        if device == "cuda":
            literal(network)
    return players


def run_stage(args, card: Card, profile: config.Profile, stage: int, start: str, quiet=False):
    """Train one stage for --seconds; -> the averaged generator."""
    torch.manual_seed(profile.seed * 10 + stage)
    players = players_for(profile, stage, start, card.device)
    # The critics stay in full precision: the penalty's double backward needs it.
    accelerator = Accelerator(
        cpu=card.device == "cpu", mixed_precision="bf16" if args.bf16 else "no"
    )
    players.generator = accelerator.prepare(players.generator)
    plain = accelerator.unwrap_model(players.generator)
    lr = profile.stage1_lr if stage == 1 else profile.stage2_lr
    rates = [(players.generator_optimizer, lr)]
    if players.critic_optimizer:
        rates.append((players.critic_optimizer, profile.critic_lr))
    if stage == 2 and args.critics:
        state = load_file(args.critics)
        for name, critic in players.critics.items():
            own = {k.removeprefix(f"{name}."): v.float() for k, v in state.items()}
            critic.load_state_dict({k: own[k] for k in critic.state_dict()})
    flops, clock = 0.0, Clock(args)
    plain.train()
    for index in card.order(profile.seed * 10 + stage, profile.batch):
        if not clock.rate(*rates):
            break
        batch = card.batch(index, profile.min_scale)

        def step(batch=batch):
            if stage == 1:
                return training.stage1_step(players, batch, profile, accelerator)
            return training.stage2_step(players, batch, profile, accelerator, clock.steps)

        if clock.steps == 1:
            flops = flops_of(step)
        else:
            values = step()
        # the average looks back over a tenth of what has been seen: early weights are soon gone
        training.move_average(players.average, plain, min(profile.ema, 1 - 10 / (clock.steps + 10)))
        if clock.steps % 200 == 0 and not quiet:
            text = " ".join(f"{k}={float(v):.4f}" for k, v in values.items())
            print(args.task, clock.steps, f"{clock.share():.2f}", text, flush=True)
        if clock.steps % 2000 == 0 and stage == 1 and not quiet:
            print("curve", clock.steps * profile.batch, quality(players.average, card, "held"))
    facts = {"held": quality(players.average, card, "held")} if not quiet else {}
    report(args.task, clock, profile.batch, flops, card, **facts)
    if players.critics and not quiet:
        state = {
            f"{name}.{k}": v.half().contiguous()
            for name, critic in players.critics.items()
            for k, v in critic.state_dict().items()
        }
        save_file(state, args.out / f"critics{args.tag}.safetensors")
    return players.average, clock.steps


VARIANTS = {
    "full": {}, "no-guidance": {"saliency_guidance": False},
    "no-salient-critic": {"salient_critic": False},
    "no-adversarial": {"loss": {"adversarial": 0.0}},
    # A control: no guidance, and its L1 spread evenly: 1 + 0.5 times the mean of the training maps,
    # 0.26 (of every 17th map).
    "even-l1": {"saliency_guidance": False, "loss": {"pixel": 1.13}},
}  # fmt: skip


@torch.inference_mode()
def rows_of(generator: Generator, card: Card, judge: pretrained.Judge | None) -> dict[str, Tensor]:
    """Numbers a picture on the validation split: PSNR, CCI, error inside the box, right or not."""
    index = card.split["val"]
    made, saliency_hat = colorized(generator, card, index)
    real = card.rgb[index]
    box = torch.from_numpy(card.data.boxes)[index.cpu()].to(card.device)
    y, x = torch.meshgrid(*[torch.arange(64, device=card.device)] * 2, indexing="ij")
    left, top, right, bottom = (box[:, i, None, None] for i in range(4))
    inside = ((x >= left) & (x <= right) & (y >= top) & (y <= bottom)).float()[:, None]
    error = (made.float() - real.float()).abs().mean(1, keepdim=True)
    rows = {
        "psnr": torch.as_tensor(psnr(made.cpu(), real.cpu())).clamp(max=60),
        "cci": torch.as_tensor(cci(made.cpu())),
        "box_error": ((error * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1)).cpu(),
    }
    if card.unknown is None:  # every map is here
        target = card.saliency[index].float() / 255
        rows["saliency_mae"] = (saliency_hat - target).abs().mean((1, 2, 3)).cpu()
    if judge is not None:
        hits = []
        for part, label in zip(made.split(500), card.label[index].split(500), strict=True):
            logits = pretrained.restrict(judge(part.cpu()), card.data.wnids)
            hits.append(logits.argmax(1).cpu() == label.cpu())
        rows["top1"] = torch.cat(hits).float()
    return {k: v.float() for k, v in rows.items()}


def quick_judge() -> pretrained.Judge:
    """EfficientNet-Lite0; on a CPU run by onnxruntime: logits within 1e-4, in a third of the time.

    Needs the extra `export`. torch leaves the 1x1 convolutions of one thread to a slow kernel.
    """
    judge = pretrained.load_judge("efficientnet-lite0")
    if torch.cuda.is_available():
        return judge
    import onnxruntime  # not needed on a GPU

    file = io.BytesIO()
    names = dict(input_names=["rgb"], dynamic_axes={"rgb": {0: "batch"}})
    judge.network.requires_grad_(False)
    torch.onnx.export(judge.network, (torch.zeros(8, 3, 256, 256),), file, dynamo=False, **names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file.getvalue(), options)

    def network(rgb: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"rgb": rgb.numpy()})[0])

    return judge._replace(network=network)


def compared(own: np.ndarray, gaps: np.ndarray) -> list[float]:
    """(seeds, photographs): [mean of `own`, mean gap, half its 95 % interval, gap of each seed]."""
    mean, by_seed = gaps.mean(0), gaps.mean(1)
    half = 1.96 * mean.std(ddof=1) / len(mean) ** 0.5
    return [round(float(x), 4) for x in (own.mean(), mean.mean(), half, *by_seed)]


def ablate(args, card: Card, make) -> None:
    """Stage 2 of every variant with every seed, from `--stage1`, for --seconds or --steps; one npz.

    A run that was cut off goes on where it was; `--only` names the variants. The json holds, for
    each variant and measure: its mean; the difference full minus variant, averaged over seeds; half
    the 95 % interval of that over images; and the difference of each seed. "guidance alone" is
    no-salient-critic minus no-guidance, "saliency alone" no-salient-critic minus even-l1. For
    global features and stage 1 see from_start.py.
    """
    judge = quick_judge()
    target = args.out / f"ablations{args.tag}.npz"
    kept = dict(np.load(target)) if target.is_file() else {}

    def keep(name: str, seed: int, generator: Generator) -> None:
        rows = rows_of(generator, card, judge)
        kept.update({f"{name}/{seed}/{k}": v.numpy() for k, v in rows.items()})
        means = {k: round(float(v.mean()), 4) for k, v in rows.items()}
        print("ABLATION", name, seed, json.dumps(means), flush=True)
        np.savez_compressed(target, **{k: v.astype(np.float32) for k, v in kept.items()})

    variants = {k: v for k, v in VARIANTS.items() if not args.only or k in args.only}
    if "stage1/0/psnr" not in kept:
        keep("stage1", 0, load_generator(args.stage1, card.device)[0])
    for seed in args.seeds:
        for name, change in variants.items():
            if f"{name}/{seed}/psnr" not in kept:
                profile = replace(make(change), seed=seed)
                trained, _ = run_stage(args, card, profile, 2, str(args.stage1), quiet=True)
                keep(name, seed, trained)
    if "full" not in variants:  # nothing to compare with
        return

    facts = {"seeds": args.seeds, "steps": args.steps, "batch": make({}).batch}
    for name in ("stage1", *variants):
        seeds = [0] if name == "stage1" else args.seeds
        facts[name] = {}
        for k in sorted(k.split("/")[2] for k in kept if k.startswith(f"{name}/{seeds[0]}/")):
            own = np.stack([kept[f"{name}/{s}/{k}"] for s in seeds])
            full = np.stack([kept[f"full/{s}/{k}"] for s in args.seeds])
            facts[name][k] = compared(own, full - own)  # same photographs
            facts[name]["n"] = own.shape[1]
    for title, name in (("guidance alone", "no-guidance"), ("saliency alone", "even-l1")):
        pair = (name, "no-salient-critic")
        seeds = [s for s in args.seeds if all(f"{v}/{s}/psnr" in kept for v in pair)]
        if seeds:
            own, other = (
                {
                    k: np.stack([kept[f"{v}/{s}/{k}"] for s in seeds])
                    for k in facts["full"]
                    if k != "n"
                }
                for v in pair
            )
            facts[title] = {k: compared(own[k], other[k] - own[k]) for k in own}
    (args.out / f"ablations{args.tag}.json").write_text(json.dumps(facts, indent=1) + "\n")


@torch.inference_mode()
def validate(args, card: Card) -> None:
    """Weights on the 10,000 validation photographs, or `--split`: means, 95 % intervals, as JSON.

    `all` holds every photograph, PSNR cut at 60 dB, where gray ones dominate the mean of the gray
    copy; `colour` those whose own CCI is above 1. Every tenth photograph is judged as well: top-1
    of EfficientNet-Lite0 among the 200 classes, on the result, the gray copy and the real one;
    judged<tag>.csv has a row for each of those with colour. `--every 10` looks at no others and
    writes the csv alone.
    """
    generator = inference_form(load_generator(args.start, card.device)[0])
    judge = quick_judge()
    rows: dict[str, list] = {}
    judged = max(1, 10 // args.every)
    chosen = card.split[args.split][:: args.every]
    for index in progress(chosen.split(200), desc="validation", unit="part"):
        gray_u8 = luma(card.rgb[index].float()).round()
        gray_pm1 = gray_u8 / 127.5 - 1
        rgb_hat = gray_pm1 + args.chroma * (generator(gray_pm1)[0] - gray_pm1)
        made = ((rgb_hat + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()
        real, gray = card.rgb[index].cpu(), gray_u8.to(torch.uint8).expand(-1, 3, -1, -1).cpu()
        for name, x in (("", made), ("_gray", gray), ("_real", real)):
            logits = pretrained.restrict(judge(x[::judged]), card.data.wnids)
            right = torch.full((len(x),), float("nan"))
            right[::judged] = 100.0 * (logits.argmax(1) == card.label[index[::judged]].cpu())
            rows.setdefault("top1" + name, []).append(right)
        for name, x in (("", made), ("_gray", gray)):
            rows.setdefault("psnr" + name, []).append(torch.as_tensor(psnr(x, real)).clamp(max=60))
            rows.setdefault("ssim" + name, []).append(torch.as_tensor(ssim(x, real)))
        rows.setdefault("cci", []).append(torch.as_tensor(cci(made)))
        rows.setdefault("cci_real", []).append(torch.as_tensor(cci(real)))
    table = {k: torch.cat(v).double() for k, v in rows.items()}
    table["psnr_gain"] = table["psnr"] - table["psnr_gray"]
    table["better_percent"] = 100.0 * (table["psnr_gain"] > 0)
    split = "validation" if args.split == "val" else args.split
    kept = (table["cci_real"] > 1) & ~table["top1"].isnan()
    answers = pd.DataFrame({k: v[kept].numpy() for k, v in table.items()}).round(3)
    answers["photo"] = np.array(card.data.names)[chosen.cpu()[kept]]
    columns = ["photo", "psnr", "psnr_gray", "cci", "cci_real", "top1", "top1_gray", "top1_real"]
    answers[columns].to_csv(args.out / f"{split}-judged{args.tag}.csv", index=False)
    print(answers[columns[1:]].mean())
    if args.every > 1:
        return
    facts = {}
    for name, chosen in (("all", table["cci_real"] >= 0), ("colour", table["cci_real"] > 1)):
        facts[name] = {"n": int(chosen.sum())}
        for k, v in table.items():
            known = v[chosen & ~v.isnan()]
            half = 1.96 * known.std() / len(known) ** 0.5
            facts[name][k] = [round(float(known.mean()), 4), round(float(half), 4)]
    (args.out / f"{split}{args.tag}.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "task", choices=["bench", "stage0", "stage1", "stage2", "ablate", "validate"]
    )
    parser.add_argument("--source", default="tiny-imagenet-200.zip")
    parser.add_argument("--cache", default=None)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--steps", type=int, default=0, help="so many steps instead of seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--start", default="", help="weights to begin with")
    parser.add_argument(
        "--stage1",
        type=Path,
        default=ROOT / "results/tiny/generator.safetensors",
        help="ablate: where every variant starts",
    )
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), help="ablate: these variants")
    parser.add_argument("--every", type=int, default=1, help="ablate, validate: each N-th picture")
    parser.add_argument("--out", type=Path, default=Path("build/gpu"))
    parser.add_argument("--tag", default="")
    parser.add_argument("--split", default="val", choices=["val", "held"], help="validate: of what")
    parser.add_argument("--chroma", type=float, default=1.0, help="validate: strength of colours")
    parser.add_argument("--limit", type=int, default=0, help="so many pictures only: a trial")
    parser.add_argument("--bf16", action="store_true", help="on a CPU, too; a GPU always has it")
    parser.add_argument("--lazy", action="store_true", help="saliency maps only as they are needed")
    parser.add_argument("--critics", type=Path, help="critics of stage 2 to go on with")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    args.bf16 |= device == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    # its trials cost stage 2, with its double backward, ten seconds before the first step
    torch.backends.cudnn.benchmark = args.task in ("stage0", "stage1")

    given = dict(pair.split("=", 1) for pair in args.set)
    given = {k: json.loads(v) for k, v in given.items()}
    weights = {k: given.pop(k) for k in list(given) if hasattr(config.LossWeights, k)}

    def make(change: dict) -> config.Profile:
        change = dict(change)
        loss = replace(config.load("tiny").loss, **(weights | change.pop("loss", {})))
        return replace(config.load("tiny", seed=args.seed), **(given | change), loss=loss)

    profile = make({})
    if args.task == "bench":
        bench(args, device, make)
        return
    data = tiny.open_tiny(args.source, args.cache)
    with_saliency = args.task in ("stage1", "stage2", "ablate")
    card = Card(data, device, with_saliency, args.limit, args.lazy)
    target = args.out / f"{args.task}{args.tag}.safetensors"
    torch.manual_seed(args.seed)
    if args.task == "stage0":
        model = gray_classifier(profile)
        classify(args, card, model, profile.stage0_batch, target)
    elif args.task == "ablate":
        card.split["val"] = card.split["val"][:: args.every]
        ablate(args, card, make)
    elif args.task == "validate":
        validate(args, card)
    else:
        stage = int(args.task[-1])
        generator, steps = run_stage(args, card, profile, stage, args.start)
        save_generator(generator, profile, target, half=True, stage=stage, steps=steps)


def bench(args, device: str, make) -> None:
    """Speed on noise: the generator in four forms, then every kind of step for --seconds each."""
    n = args.limit or 2048
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)
    split = np.array(["train"] * (n - 64) + ["held"] * 32 + ["val"] * 32)
    boxes = np.tile([8, 8, 40, 40], (n, 1))
    data = tiny.Tiny(noise, rng.integers(0, 200, n), split, [], [], [], boxes, Path())
    card = Card(data, device, False)
    card.saliency = card.rgb[:, :1].clone()
    profile = make({})
    index = torch.arange(min(profile.batch, n), device=device)
    gray = card.batch(index)["gray"]
    for form in ("fused", "literal"):
        for memory in (torch.contiguous_format, torch.channels_last):
            generator = build_generator(replace(profile, global_weights=""))
            generator.to(device, memory_format=memory)
            if form == "literal":
                literal(generator)
            seconds = []
            for _ in range(12):
                begun = time.monotonic()
                with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                    rgb_hat, saliency_hat = generator(gray)
                (rgb_hat.float().abs().mean() + saliency_hat.float().mean()).backward()
                if device == "cuda":
                    torch.cuda.synchronize()
                seconds.append(time.monotonic() - begun)
            speed = len(index) / float(np.median(seconds[4:]))
            print("BENCH", form, str(memory), f"{speed:.0f} images/s", flush=True)
    model = gray_classifier(profile)
    classify(args, card, model, profile.stage0_batch, args.out / "bench.safetensors")
    for stage in (1, 2):
        generator, _ = run_stage(args, card, profile, stage, "", quiet=False)
    print({k: float(v.mean()) for k, v in rows_of(generator, card, None).items()})


if __name__ == "__main__":
    main()
