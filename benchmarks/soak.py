"""Run all chapters headlessly, many times: `make soak` (smoke profile, ten rounds).

A headless notebook can wait for ever on a lost message, seldom enough to pass a single run. So
every chapter runs again and again, each under a time limit. The first round trains; from then on
the weights are there. Exit status 1: something stalled or failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from scgan_lib.paths import ROOT, output_root


def execute(chapter: Path, target: Path, profile: str, limit: float) -> tuple[float, str]:
    """Run one chapter in a process of its own; return seconds and "", "stall" or an error line."""
    words = [sys.executable, "tools/chapters.py", "run", str(chapter), str(target)]
    words += ["-p", "profile", profile, "--timeout", str(limit + 60)]  # ours strikes first
    start = time.monotonic()
    job = subprocess.Popen(
        words,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # one group, so that the kernel goes with it
    )
    try:
        _, log = job.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)
        job.communicate()
        return time.monotonic() - start, "stall"
    wrong = log.strip().splitlines()[-1:] or [f"status {job.returncode}"]
    return time.monotonic() - start, wrong[0] if job.returncode else ""


def soak(rounds: int, profile: str, limit: float) -> bool:
    """Run the rounds, print a line a chapter, then a summary; return whether all was well."""
    chapters = sorted((ROOT / "notebooks").glob("[0-9]*.py"))
    folder = output_root() / "results" / profile / "notebooks"
    times = {c.stem: [] for c in chapters}
    wrong = []
    for number in range(1, rounds + 1):
        for chapter in chapters:
            target = folder / f"{chapter.stem}.ipynb"
            seconds, trouble = execute(chapter, target, profile, limit)
            times[chapter.stem].append(seconds)
            line = f"round {number:2d}  {chapter.stem:<34} {seconds:6.1f} s  {trouble or 'ok'}"
            print(line, flush=True)
            wrong += [line] if trouble else []
    print(f"\n{'chapter':<34} {'first':>7} {'median':>7} {'slowest':>7}  (s; from round 2 on)")
    for name, all_times in times.items():
        later = all_times[1:] or all_times
        print(f"{name:<34} {all_times[0]:7.1f} {statistics.median(later):7.1f} {max(later):7.1f}")
    print("\n".join([f"{rounds * len(chapters)} runs, {len(wrong)} with trouble", *wrong]))
    return not wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--limit", type=float, default=900, help="seconds a chapter may take")
    args = parser.parse_args()
    sys.exit(0 if soak(args.rounds, args.profile, args.limit) else 1)
