"""Do global features help, and does stage 1? Short trainings of `tiny` from the start.

    python benchmarks/gpu.py stage0 --bf16 --seconds 1800 --set stage0_batch=64 --out build/start
    python benchmarks/from_start.py --stage0 build/start/stage0.safetensors

Trains four networks with each seed, on one CPU thread or a GPU:

    stage1            stage 1, with the global encoder of stage 0
    stage1-no-global  the same, on the same photographs, without a global encoder
    scgan             stage 2, from `stage1`
    scgan-no-stage1   stage 2 from the start: all losses and both critics, at the rate of stage 1
                      (stage 2's own would be too low), with about as much time as `scgan` and its
                      stage 1 together

Each network's weights and its rows (a value for each validation photograph) go to `--out`; what is
there is not made again, so a stopped run goes on, and `--only` and `--seeds` share the work among
processes. When all is there, `from-start.json` is written: for each network and measure the mean;
for each comparison, as in the file of `gpu.py ablate`, the mean of the second network, the
difference first minus second (mean over seeds), half of its 95 % interval over photographs, and the
difference of each seed.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import gpu
import numpy as np
import torch

from scgan_lib import config, tiny
from scgan_lib.colorize import inference_form, load_generator, save_generator

NETWORKS = ("stage1", "stage1-no-global", "scgan", "scgan-no-stage1")
COMPARISONS = {
    "global features": ("stage1", "stage1-no-global"),
    "stage 1": ("scgan", "scgan-no-stage1"),
    "stage 2": ("scgan", "stage1"),
}


def train(name: str, seed: int, args: argparse.Namespace, card: gpu.Card) -> Path:
    """Weights of one network, made if they are not there."""
    file = args.out / f"{name}-{seed}.safetensors"
    if file.is_file():
        return file
    profile = config.load("tiny", seed=seed, batch=args.batch)
    stage, start, args.steps = 1, args.stage0, args.stage1_steps
    if name == "stage1-no-global":
        profile, start = replace(profile, global_encoder="none", global_weights=""), ""
    elif name == "scgan":
        stage, start, args.steps = 2, train("stage1", seed, args, card), args.stage2_steps
    elif name == "scgan-no-stage1":
        profile = replace(profile, stage2_lr=profile.stage1_lr)
        stage, args.steps = 2, args.no_stage1_steps
    print(name, "seed", seed, flush=True)
    generator, steps = gpu.run_stage(args, card, profile, stage, str(start), quiet=True)
    save_generator(generator, profile, file, half=True, stage=stage, steps=steps)
    return file


def rows(name: str, seed: int, args: argparse.Namespace, card: gpu.Card, judge) -> dict:
    """{measure: a value for each validation photograph}"""
    file = args.out / f"{name}-{seed}.npz"
    if not file.is_file():
        generator = inference_form(load_generator(train(name, seed, args, card), card.device)[0])
        made = {k: v.numpy() for k, v in gpu.rows_of(generator, card, judge).items()}
        print(name, seed, {k: round(float(v.mean()), 4) for k, v in made.items()}, flush=True)
        np.savez_compressed(file, **made)
    return dict(np.load(file))


def summary(found: dict[tuple[str, int], dict], args: argparse.Namespace) -> dict:
    first = found[NETWORKS[0], args.seeds[0]]
    keys = ("batch", "stage1_steps", "stage2_steps", "no_stage1_steps", "seeds")
    facts: dict = {k: getattr(args, k) for k in keys} | {"n": len(first["psnr"])}

    def stacked(name: str, measure: str) -> np.ndarray:
        return np.stack([found[name, seed][measure] for seed in args.seeds])

    for name in NETWORKS:
        facts[name] = {k: round(float(stacked(name, k).mean()), 4) for k in first}
    for title, (one, other) in COMPARISONS.items():
        facts[title] = {"minus": [one, other]}
        for measure in first:
            own = stacked(other, measure)
            facts[title][measure] = gpu.compared(own, stacked(one, measure) - own)
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="tiny-imagenet-200.zip")
    parser.add_argument("--stage0", type=Path, required=True, help="weights of gpu.py stage0")
    parser.add_argument("--out", type=Path, default=Path("build/from-start"))
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--stage1-steps", type=int, default=1000)
    parser.add_argument("--stage2-steps", type=int, default=100)
    parser.add_argument("--no-stage1-steps", type=int, default=330)
    parser.add_argument("--limit", type=int, default=0, help="so many pictures only: a trial")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.bf16, args.seconds, args.critics, args.task = True, 0, None, "from-start"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    card = gpu.Card(tiny.open_tiny(args.source), device, True, args.limit)
    judge = gpu.quick_judge()
    found = {(n, s): rows(n, s, args, card, judge) for s in args.seeds for n in args.only}
    if set(args.only) == set(NETWORKS):
        text = json.dumps(summary(found, args), indent=1)
        (args.out / "from-start.json").write_text(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
