"""The paper in tables: its equations, and where paper, released code and this project differ.

Sources: a published review of the paper (its numbering) and the authors' public repository (MIT).
Chapters print their rows with `show_deviations`; `deviations_table` also names each row's test.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

import pandas as pd
from pandas.io.formats.style import Styler


@dataclass(frozen=True)
class Equation:
    """One equation: title, LaTeX, and the functions that compute it, as dotted paths."""

    title: str
    latex: str
    functions: tuple[str, ...]


_L = "scgan_lib.losses."
EQUATIONS: dict[int, Equation] = {
    1: Equation("pixel loss", r"\lVert c - G_c(x) \rVert_1", (_L + "pixel_loss",)),
    2: Equation(
        "attention loss",
        r"\lVert c \odot s - G_c(x) \odot G_s(x) \rVert_1",
        (_L + "attention_loss", _L + "salient_area"),
    ),
    3: Equation(
        "adversarial loss of the generator",
        r"\begin{aligned} &-\mathbb{E}[D_c(G_c(x))] \\"
        r" &- \mathbb{E}[D_s(G_c(x) \odot G_s(x))] \end{aligned}",
        (_L + "adversarial_loss",),
    ),
    4: Equation(
        "critic loss, for each of the two critics",
        r"\begin{aligned} &\mathbb{E}[D(\hat c)] - \mathbb{E}[D(c)] \\"
        r" &+ \lambda_{gp}\,\mathbb{E}[(\lVert \nabla_z D(z) \rVert_2 - 1)^2], \\"
        r" &z = t\,c + (1 - t)\,\hat c,\ t \sim U(0, 1) \end{aligned}",
        (_L + "critic_loss", _L + "gradient_penalty"),
    ),
    5: Equation(
        "perceptual loss",
        r"\lVert \phi_l(c) - \phi_l(G_c(x)) \rVert_1",
        (_L + "perceptual_loss", "scgan_lib.vgg.VGGFeatures"),
    ),
    6: Equation(
        "generator loss",
        r"\begin{aligned} &\lambda_1 L_{pixel} + \lambda_2 L_{attention} \\"
        r" &+ \lambda_3 L_{adversarial} + \lambda_4 L_{perceptual} \end{aligned}",
        (_L + "generator_loss",),
    ),
}


@dataclass(frozen=True)
class Deviation:
    """One place where paper, released code and this project part.

    `switch`: the setting of a Profile (or argument) that chooses, or "" for a decision without
    one. `test`: the test function that fails when the switch or the decision does nothing.
    `chapter`: the notebook that discusses it.
    """

    id: str
    chapter: str
    topic: str
    paper: str
    released: str
    ours: str
    switch: str
    test: str


DEVIATIONS: tuple[Deviation, ...] = (
    # Where the released code differs from the paper, or is wrong.
    Deviation(
        "salient-critic", "03", "critics",
        "two: D_c on the picture, D_s on the salient area",
        "one, on the picture", "two",
        "salient_critic", "tests/test_training.py::test_salient_critic_switch",
    ),
    Deviation(
        "initialisation", "02", "initial weights",
        "random", "`weights_init` changes no convolution: spectral norm has renamed its parameter",
        "N(0, 0.02²) reaches every convolution",
        "fidelity", "tests/test_networks.py::test_initialisation_by_fidelity",
    ),
    Deviation(
        "perceptual-input", "03", "perceptual loss",
        "VGG-16 conv3_3 after its ReLU", "before its ReLU, input without ImageNet's normalisation",
        "after the ReLU, normalised input",
        "fidelity", "tests/test_losses.py::test_perceptual_loss_by_fidelity",
    ),
    Deviation(
        "critic-norm", "03", "normalisation in the critics",
        "gradient penalty of WGAN-GP, which asks for a critic without BatchNorm",
        "BatchNorm together with the penalty", "layer norm or none, never over the batch",
        "critic_norm", "tests/test_losses.py::test_penalty_is_sample_by_sample_without_batch_norm",
    ),
    Deviation(
        "critic-rate", "05", "learning rate of the critics",
        "not told", "overwritten with the generator's", "its own",
        "fidelity", "tests/test_training.py::test_critic_rate_by_fidelity",
    ),
    Deviation(
        "resume", "04", "checkpoints",
        "not told", "generator weights alone: a run cannot go on",
        "everything: a resumed run gives the weights of an unbroken one",
        "", "tests/test_training.py::test_resumed_run_equals_the_unbroken_one",
    ),
    Deviation(
        "power-iteration", "02", "spectral norm at inference",
        "not told", "iterates at inference too: a result depends on how often it was asked",
        "iterates in training only",
        "fidelity", "tests/test_networks.py::test_power_iteration_by_fidelity",
    ),
    Deviation(
        "input-untouched", "00", "the user's pictures",
        "", "the validation script overwrites its input", "never written; results go elsewhere",
        "", "tests/test_colorize.py::test_the_input_file_is_never_written",
    ),
    Deviation(
        "metrics", "06", "evaluation script",
        "PSNR, SSIM, top-1, CCI, CCI ratio",
        "stops on a NameError before CCI; |a| for |a−b|; SSIM with data range 2 on [0, 1]",
        "metrics on uint8 with data range 255, tested against hand-computed values",
        "", "tests/test_metrics.py::test_hand_computed_values",
    ),
    Deviation(
        "judge", "06", "top-1 accuracy",
        "VGG-16", "the author's own VGG-16: not comparable with other papers'",
        "a public network, named in the column; without labels, agreement with the real photo",
        "", "tests/test_evaluation.py::test_judge_with_and_without_labels",
    ),
    Deviation(
        "generator-runs", "05", "cost of a stage-2 step",
        "not told", "the generator runs twice", "once; the critics see its result detached",
        "", "tests/test_training.py::test_stage2_step_runs_the_generator_once",
    ),
    # Facts of the released code that this project keeps or leaves.
    Deviation(
        "spectral-norm", "02", "spectral norm",
        "not told", "on every convolution of generator and critics",
        "generator as the profile says; critics without: the penalty already bounds them",
        "critic_spectral, generator_spectral",
        "tests/test_networks.py::test_spectral_norm_switches",
    ),
    Deviation(
        "receptive-field", "03", "field of a critic's score",
        "70x70", "69x69", "69x69 with three strided layers, 37x37 with two",
        "critic_layers", "tests/test_networks.py::test_receptive_field_measured_by_gradient",
    ),
    Deviation(
        "penalty-patches", "03", "what the gradient penalty binds",
        "D's gradient; a patch critic gives many scores", "not recorded",
        "the gradient of the scores' mean, which eq. 3 and 4 average",
        "penalty_patches", "tests/test_losses.py::test_penalty_patches_switch",
    ),
    Deviation(
        "range", "02", "range of the colours",
        "not told", "[-1, 1] in the first public version, [0, 1] later", "[-1, 1]",
        "value_range of load_author_generator",
        "tests/test_authors.py::test_files_of_the_unit_range",
    ),
    Deviation(
        "critic-betas", "05", "Adam's β of the critics",
        "not told", "0.5, 0.999 as for the generator", "0.5, 0.9",
        "fidelity", "tests/test_training.py::test_critic_betas_by_fidelity",
    ),
    # What this project does otherwise, and why a table of `mini` is not the paper's.
    Deviation(
        "saliency-teacher", "01", "saliency ground truth",
        "maps of a salient-object detector", "PFAN's output, never published",
        "a classical teacher named in every table, and exact masks of composites",
        "teacher", "tests/test_data.py::test_teacher_switch_changes_the_saliency",
    ),
    Deviation(
        "composites", "01", "cut-outs laid on photographs",
        "none", "none", "on `mini` a share of each batch, at most a fifth",
        "composites", "tests/test_data.py::test_composites_switch_and_exact_saliency",
    ),
    Deviation(
        "global-encoder", "02", "global feature encoder",
        "VGG-16-Gray: strides for max-pooling, trained on gray ImageNet, then trained on",
        "the same, its weights published",
        "on `mini` an ImageNet VGG-16 folded to one channel: pooling kept, frozen, two layers read",
        "global_encoder", "tests/test_colorize.py::test_global_encoder_switch",
    ),
    Deviation(
        "working-size", "04", "size of the pictures that the networks see",
        "256", "256", "on `mini` small; colours are brought up to the judged size",
        "image_size", "tests/test_colorize.py::test_image_size_switch",
    ),
    Deviation(
        "luminance", "04", "luminance of the result",
        "predicted with the colours", "predicted with the colours",
        "on `mini` the input's own is kept; the networks give chroma",
        "keep_luminance", "tests/test_networks.py::test_keep_luminance_switch",
    ),
    Deviation(
        "optimizer", "04", "optimiser and schedule",
        "not told", "Adam, halved every ten epochs", "on `mini` AdamW, half a cosine to zero",
        "optimizer, schedule", "tests/test_training.py::test_optimizer_and_schedule_switches",
    ),
)  # fmt: skip


def deviations_table(*names: str) -> pd.DataFrame:
    """The rows of chapters ("02" or "02_generator") or with these ids, indexed by id; else all.

    KeyError names what there is not.
    """
    frame = pd.DataFrame([asdict(row) for row in DEVIATIONS]).set_index("id", drop=False)
    chosen: list[str] = []
    for name in names:
        found = frame.id[(frame.chapter == name[:2]) | (frame.id == name)]
        if found.empty:
            raise KeyError(f"no deviation or chapter of this name: {name}")
        chosen += [*found]
    frame = frame.loc[list(dict.fromkeys(chosen))] if names else frame
    return frame.drop(columns=["id", "chapter"])


def show_deviations(*names: str) -> Styler:
    """`deviations_table` for a page: no tests, no empty `switch`, backticks as code."""
    frame = deviations_table(*names)
    columns = ["topic", "paper", "released", "ours"] + ["switch"] * bool(frame.switch.any())
    return (
        frame[columns]
        .style.format(lambda text: re.sub(r"`(.+?)`", r"<code>\1</code>", text))
        .set_uuid("deviations")
        .hide(axis="index")
        .set_properties(**{"text-align": "left", "vertical-align": "top", "white-space": "normal"})
    )
