"""A training step of the gated fusion of sound and video beside the same step in PyTorch, from the same weights.

    python benchmarks/fusion_step.py [--rounds 7 --batch 16 --sides torch torch-compiled serjax]

The model is `av_gated`'s: AudioResNet18 on 64 mels, ResNet18 on eight frames of 112 x 112 pixels, a gate of width 256,
eight classes; 24,263,833 parameters, which is checked. Both sides start from noise for sound (3 s) and for pictures, as
uint8: spectrogram (torch.stft there), normalisation, forward and backward pass in training mode (dropout, modality
dropout, batch statistics; no augmentation), label smoothing, clipping at a norm of 1 and an AdamW update without decay
(fused in PyTorch), at a constant rate. Pictures lie channels first for PyTorch, as its users keep them.

All sides are in one process; of a turn the second step counts, as the first finds the caches as another side left them.
First the logits of one batch in evaluation mode are compared, which must agree. Needs the extra `bench`.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import harness
import jax
import numpy as np
from flax import nnx
from training_step import TrainingStep

from serjax import cli
from serjax.audio import SAMPLE_RATE
from serjax.checkpoints.conversion import to_tensors
from serjax.config.experiment import Experiment
from serjax.config.registry import find
from serjax.models.base import Resolution
from serjax.models.functional import count, logits_of
from serjax.models.inputs import Inputs
from serjax.runtime.allocator import keep_memory
from serjax.training.classification import LabelledInputs

CLASSES, PARAMETERS = 8, 24_263_833
SIDES = {"torch": "PyTorch eager", "torch-compiled": "PyTorch compiled", "serjax": "serjax"}
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


def noise(experiment: Experiment, clips: int) -> Batch:
    """Return waves [b t], pictures [b f h w 3] and labels [b]."""
    rng, video = np.random.default_rng(0), experiment.model.video
    wave = rng.normal(0, 0.1, (clips, round(experiment.data.max_seconds * SAMPLE_RATE))).astype(np.float32)
    pictures = rng.integers(0, 256, (clips, video.frames, video.size, video.size, 3), np.uint8)
    return wave, pictures, np.arange(clips, dtype=np.int32) % CLASSES


def serjax_side(model: nnx.Module, experiment: Experiment, batch: Batch) -> tuple[harness.Call, np.ndarray]:
    """Return a function that makes a step and waits for it, and the logits before."""
    wave, pictures, label = batch
    lengths, frames = (np.full(len(label), rows.shape[1], np.int32) for rows in (wave, pictures))
    labelled = LabelledInputs(Inputs(wave, lengths, pictures, frames), label, np.ones(len(label), np.float32))
    graphdef, params = nnx.split(model)
    logits = jax.jit(lambda params, inputs: logits_of(graphdef, params, {}, inputs, None, "float32"))
    step = TrainingStep(
        model,
        labelled,
        CLASSES,
        experiment.model.trainable,
        rate=experiment.optimizer.max_lr,
        train=experiment.train,
        optimizer=replace(experiment.optimizer, schedule="constant"),  # as on the other side
    )
    return step, np.asarray(logits(params, labelled.inputs))


def torch_side(tensors: dict[str, Any], experiment: Experiment, batch: Batch, compiled: bool) -> Any:
    """Return the same of PyTorch."""
    import torch
    from fusion_peer import Peer, training_step

    model = Peer(experiment.model, CLASSES)
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
    found = sum(parameter.numel() for parameter in model.parameters())
    if found != PARAMETERS:
        raise SystemExit(f"PyTorch's side has {found:,} parameters, not {PARAMETERS:,}.")
    return training_step(model, experiment, batch, compiled)


def main() -> None:
    """Measure and publish."""
    experiment = find("av_gated", Experiment)
    model = experiment.model.resolved(Resolution(experiment.data.max_seconds))
    experiment = replace(experiment, model=model)
    parser = harness.parser(__doc__, rounds=7, turn=0)
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES), help="beside serjax")
    parser.add_argument("--batch", type=int, default=experiment.train.batch_size)
    options = parser.parse_args()
    keep_memory()
    cli.compilation_cache()
    network = experiment.model.build(CLASSES, rngs=nnx.Rngs(0))  # nothing is augmented
    if (found := count(nnx.state(network))) != PARAMETERS:
        raise SystemExit(f"serjax's side has {found:,} parameters, not {PARAMETERS:,}.")
    batch, tensors = noise(experiment, options.batch), to_tensors(network)
    step, ours = serjax_side(network, experiment, batch)
    steps: dict[str, harness.Call] = {"serjax": step}
    wanted = [name for name in SIDES if name in options.sides and name != "serjax"]
    names, told = harness.installed({SIDES[name]: ["torch"] for name in wanted})
    for name in (name for name in wanted if SIDES[name] in names):
        steps[SIDES[name]], theirs = torch_side(tensors, experiment, batch, name == "torch-compiled")
        apart = float(np.std(ours - theirs) / np.std(theirs))
        told.append(f"Logits of {SIDES[name]} differ by {apart:.1e} of their deviation.")
        if apart > 1e-3:
            raise SystemExit(f"The sides do not compute the same. {told[-1]}")
    turns = {name: partial(harness.clock, step, options.turn) for name, step in steps.items()}
    values = harness.in_turns({f"training step, {options.batch} clips": turns}, options.rounds)
    facts = f"{PARAMETERS:,} parameters on either side."
    harness.publish([facts, harness.comparison(values), *told], options, ["torch"])


if __name__ == "__main__":
    main()
