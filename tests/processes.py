"""What each of several processes runs for `test_processes.py`; the first writes what they found."""

import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from conftest import TINY

from scgan_lib import config, stage0, training
from scgan_lib.paths import UserError

# ten in a batch: two composites, one for each of two processes
SETTINGS = TINY | dict(batch=10, stage1_steps=2, stage2_steps=2, global_encoder="none")
NO_VGG = {"perceptual": 0.0}
# nothing that looks across a batch and nothing random: P processes must do what one does
ALIKE = SETTINGS | dict(generator_norm="none", gan="hinge", optimizer="adam", loss=NO_VGG)
PAPER = SETTINGS | dict(loss=NO_VGG, critic_norm="layer")


def profile(name: str, settings: dict) -> config.Profile:
    """A profile whose results lie in a folder of their own, below $SCGAN_OUTPUT."""
    return replace(config.load("smoke", **settings), variant=name)


def trained(name: str, settings: dict, *untils: int | None) -> str:
    """Train both stages; a digest of all weights of generator and critics at the end."""
    seen, step = {}, training.stage2_step
    training.stage2_step = lambda players, *rest: step(seen.setdefault("players", players), *rest)
    for until in untils or (None,):
        seen.clear()
        training.train(profile(name, settings), 2, until)
    training.stage2_step = step
    networks = [seen["players"].generator, *seen["players"].critics.values()]
    numbers = [p.detach().numpy().tobytes() for n in networks for p in n.parameters()]
    return hashlib.sha256(b"".join(numbers)).hexdigest()


def refused(settings: dict) -> str:
    try:
        training.train(profile("refused", settings), 1)
    except UserError as error:
        return str(error)
    return ""


def main() -> None:
    rank = int(os.environ["RANK"])
    found = {
        "alike": trained("alike", ALIKE),
        "paper": trained("paper", PAPER),
        "resumed": trained("resumed", PAPER, 1, None),
        "released": trained("released", SETTINGS | dict(fidelity="released", loss=NO_VGG)),
        "unguided": trained("unguided", PAPER | dict(saliency_guidance=False)),
        # by their own clocks one would save after every step and the other never
        "clocks": trained("clocks", PAPER | dict(checkpoint_seconds=0.0 if rank == 0 else 1e9)),
        "refused": refused(SETTINGS | dict(batch=5)),
    }
    labels = dict(width=8, stage0_steps=4, stage0_batch=4, stage0_tenth_every=2)
    found["stage0"] = stage0.metrics(stage0.train(profile("stage0", SETTINGS | labels)))["steps"]
    everyone = [None] * int(os.environ["WORLD_SIZE"])
    torch.distributed.all_gather_object(everyone, found)
    if rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(everyone))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
