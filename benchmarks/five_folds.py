"""An epoch of mel_kfold's five folds beside five PyTorch runs of the same network on the same clips.

    python benchmarks/five_folds.py --data.root DIR [mel_kfold's other options]

serjax trains through the engine of `serjax.train`, all folds of an epoch. PyTorch trains transformers' EfficientNet-B0
for one channel with the same head, one fold after the other: its waves are in memory, log-mels by torch.stft, two masks
of mels and of frames as in SpecAugment, AdamW (fused), the same clips in batches of the same size. The sides are in one
process; a turn is an epoch, and a first epoch, which compiles, is given apart. Needs the extra `bench`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import harness
import jax
import numpy as np
from efficientnet import torch_log_mel

from serjax import cli
from serjax.audio import SAMPLE_RATE
from serjax.config.experiment import Experiment
from serjax.data.dataset import Data
from serjax.runs.finetune import experiment_data
from serjax.runs.setup import experiment_trials, make_plan, set_up
from serjax.runtime.allocator import keep_memory
from serjax.training.epoch_sums import EpochSums
from serjax.training.initialize import first_states
from serjax.training.trials import Trial


def ours(experiment: Experiment, data: Data, trials: Sequence[Trial]) -> Callable[[], None]:
    """Return what trains an epoch of all folds with serjax."""
    setup = set_up(experiment, data, trials, make_plan(experiment))
    engine = setup.engine
    state = first_states(setup.params, engine.optimizer, engine.axis)
    epoch, everyone = 0, np.ones(len(trials), bool)

    def call() -> None:
        nonlocal state, epoch
        epoch += 1
        state, _ = engine.train_epoch(state, epoch, everyone, EpochSums.zero(len(trials)), lambda count: None)
        jax.block_until_ready(state)

    return call


def network(experiment: Experiment, classes: int) -> Any:
    """Return EfficientNet-B0 on log-mels, with mel_kfold's head and random weights, in training."""
    import torch
    import transformers
    from torch import nn

    config = transformers.EfficientNetConfig(
        num_channels=1, width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280
    )
    size, dropout = experiment.model.head_size, experiment.model.dropout

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.front, self.encoder = torch_log_mel(), transformers.EfficientNetModel(config)
            self.head = nn.Sequential(nn.Linear(1280, size), nn.ReLU(), nn.Dropout(dropout), nn.Linear(size, classes))

        def forward(self, wave: torch.Tensor) -> torch.Tensor:
            """Return logits, and mask as SpecAugment does."""
            image = self.front(wave)
            draw = np.random.default_rng()
            for axis, width in ((2, 20), (3, 40), (2, 20), (3, 40)):
                for clip in image:
                    length = int(draw.integers(width + 1))
                    clip.narrow(axis - 1, int(draw.integers(image.shape[axis] - length)), length).fill_(0)
            return self.head(self.encoder(image).pooler_output)

    return Network().train()


def theirs(experiment: Experiment, data: Data, trials: Sequence[Trial]) -> Callable[[], None]:
    """Return what trains an epoch of all folds with PyTorch."""
    import torch

    samples = round(experiment.data.max_seconds * SAMPLE_RATE)
    waves = np.zeros((len(data.classes), samples), np.float32)
    for i in range(len(waves)):
        wave = data.store.clip(i)[:samples]
        waves[i, : len(wave)] = wave
    clips, labels = torch.from_numpy(waves), torch.from_numpy(np.asarray(data.classes, np.int64))
    torch.manual_seed(0)
    networks = [network(experiment, len(data.labels)) for _ in trials]
    optimizers = [torch.optim.AdamW(network.parameters(), lr=1e-5, fused=True) for network in networks]

    def call() -> None:
        for network, adam, trial in zip(networks, optimizers, trials, strict=True):
            order = torch.tensor(trial.train)[torch.randperm(len(trial.train))]
            for some in order.split(experiment.train.batch_size):
                loss = torch.nn.functional.cross_entropy(network(clips[some]), labels[some])
                adam.zero_grad()
                loss.backward()
                adam.step()

    return call


def main() -> None:
    """Measure and publish."""
    options, rest = harness.parser(__doc__, rounds=3).parse_known_args()
    experiment = cli.parse("benchmarks.five_folds", ["--exp", "mel_kfold", *rest], Experiment, "mel_kfold")
    experiment = replace(experiment, train=replace(experiment.train, epochs=options.rounds + 1))
    keep_memory()
    data = experiment_data(experiment)
    trials = experiment_trials(experiment, data.folds)
    names, told = harness.installed({"serjax": [], "PyTorch": ["torch", "transformers"]})
    calls = {name: {"serjax": ours, "PyTorch": theirs}[name](experiment, data, trials) for name in names}
    epoch = partial(harness.clock, again=False)
    first = [f"{name} {harness.amounts([epoch(call)])}" for name, call in calls.items()]
    turns = {name: partial(epoch, call) for name, call in calls.items()}
    values = harness.in_turns({"an epoch": turns}, options.rounds)
    clips = sum(len(trial.train) for trial in trials)
    facts = f"{len(trials)} folds, {clips} training clips an epoch, batches of {experiment.train.batch_size}."
    parts = [facts, harness.comparison(values), f"First epoch: {', '.join(first)}.", *told]
    harness.publish(parts, options, ["torch", "transformers"])


if __name__ == "__main__":
    main()
