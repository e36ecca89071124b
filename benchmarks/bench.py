"""`make bench`: ratios in one run, up-sampling convolutions fused against literal.

The literal form repeats pixels and then convolves, as the released generator does; weights and
results are equal. Pairs alternate, so that a machine whose speed drifts harms both alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from scgan_lib import config
from scgan_lib.colorize import build_generator
from scgan_lib.layers import ConvBlock
from scgan_lib.networks import Generator
from scgan_lib.paths import ROOT, atomic_write


def set_fused(generator: Generator, fused: bool) -> None:
    for module in generator.modules():
        if isinstance(module, ConvBlock):
            module.fused = fused


def ratio(slow: Callable, fast: Callable, runs: int) -> dict[str, float]:
    """Median, least and largest of slow/fast over alternating pairs, and the median seconds."""
    slow(), fast()
    pairs = []
    for _ in range(runs):
        times = []
        for work in (slow, fast):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        pairs.append(times)
    ratios = sorted(a / b for a, b in pairs)
    seconds = [statistics.median(column) for column in zip(*pairs, strict=True)]
    return {
        "ratio": statistics.median(ratios), "least": ratios[0], "largest": ratios[-1],
        "literal_s": seconds[0], "fused_s": seconds[1],
    }  # fmt: skip


def case(generator: Generator, gray: torch.Tensor, train: bool, runs: int) -> dict[str, float]:
    generator.train(train)

    def work(fused: bool) -> None:
        set_fused(generator, fused)
        if not train:
            with torch.inference_mode():
                generator(gray)
            return
        rgb_hat, saliency_hat = generator(gray)
        (rgb_hat.abs().mean() + saliency_hat.mean()).backward()
        generator.zero_grad(set_to_none=True)

    return ratio(lambda: work(False), lambda: work(True), runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    torch.manual_seed(0)
    full, mini = Generator(), build_generator(config.load("mini"))
    cases = {
        "full size, 256 px, inference": (full, torch.rand(1, 1, 256, 256) * 2 - 1, False),
        "full size, 256 px, forward and backward": (full, torch.rand(1, 1, 256, 256) * 2 - 1, True),
        "mini, 16 x 64 px, inference": (mini, torch.rand(16, 1, 64, 64) * 2 - 1, False),
        "mini, 16 x 64 px, forward and backward": (mini, torch.rand(16, 1, 64, 64) * 2 - 1, True),
    }
    print(f"literal / fused up-sampling, {runs} pairs, {torch.get_num_threads()} threads")
    results = {}
    for name, (generator, gray, train) in cases.items():
        results[name] = row = case(generator, gray, train, runs)
        print(
            f"{name:42} {row['ratio']:5.2f}x ({row['least']:.2f} to {row['largest']:.2f})  "
            f"{row['literal_s']:.3f} s -> {row['fused_s']:.3f} s"
        )
    with atomic_write(ROOT / "build" / "bench.json") as part:
        part.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
