"""An epoch of mel_kfold's five folds beside five PyTorch runs of the same network on the same clips.

    python benchmarks/five_folds.py --data.root DIR [mel_kfold's other options]

serjax trains through the engine of `serjax.train`, all folds of an epoch. PyTorch trains transformers' EfficientNet-B0
for one channel with the same head, one fold after the other: its waves are in memory, log-mels by torch.stft, two masks
of mels and of frames as in SpecAugment, AdamW (fused), the same clips in batches of the same size. The sides take turns
in one process, an epoch each a round; the first round, which compiles, does not count. Needs the extra `bench`.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import jax
import numpy as np
import torch
import transformers
from efficientnet import torch_log_mel
from torch import nn

from serjax import cli
from serjax.audio import SAMPLE_RATE
from serjax.config.experiment import Experiment
from serjax.data.dataset import Data
from serjax.runs.finetune import experiment_data
from serjax.runs.setup import experiment_trials, make_plan, set_up
from serjax.runtime.allocator import keep_memory
from serjax.training.fold_axis import FOLD
from serjax.training.trials import Trial
from serjax.training.update import init_state

ROUNDS = 3


def ours(experiment: Experiment, data: Data, trials: Sequence[Trial]) -> Callable[[], None]:
    """Return what trains an epoch of all folds with serjax."""
    setup = set_up(experiment, data, trials, make_plan(experiment))
    engine = setup.engine
    state = engine.axis.jit(init_state, (FOLD,))(setup.params)
    epoch, everyone = 0, np.ones(len(trials), bool)

    def call() -> None:
        nonlocal state, epoch
        epoch += 1
        state, _, _ = engine.train_epoch(state, epoch, everyone, lambda count: None)
        jax.block_until_ready(state)

    return call


class Network(nn.Module):
    """EfficientNet-B0 on log-mels, with mel_kfold's head."""

    def __init__(self, experiment: Experiment, classes: int) -> None:
        """Start from random weights."""
        super().__init__()
        config = transformers.EfficientNetConfig(
            num_channels=1, width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280
        )
        self.front, self.trunk = torch_log_mel(), transformers.EfficientNetModel(config)
        size, dropout = experiment.model.head_size, experiment.model.dropout
        self.head = nn.Sequential(nn.Linear(1280, size), nn.ReLU(), nn.Dropout(dropout), nn.Linear(size, classes))

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        """Return logits, and mask as SpecAugment does."""
        image = self.front(wave)
        draw = np.random.default_rng()
        for axis, width in ((2, 20), (3, 40), (2, 20), (3, 40)):
            for clip in image:
                length = int(draw.integers(width + 1))
                clip.narrow(axis - 1, int(draw.integers(image.shape[axis] - length)), length).fill_(0)
        return self.head(self.trunk(image).pooler_output)


def theirs(experiment: Experiment, data: Data, trials: Sequence[Trial]) -> Callable[[], None]:
    """Return what trains an epoch of all folds with PyTorch."""
    samples = round(experiment.data.seconds * SAMPLE_RATE)
    waves = np.zeros((len(data.classes), samples), np.float32)
    for i in range(len(waves)):
        wave = data.store.clip(i)[:samples]
        waves[i, : len(wave)] = wave
    clips, labels = torch.from_numpy(waves), torch.from_numpy(np.asarray(data.classes, np.int64))
    torch.manual_seed(0)
    networks = [Network(experiment, len(data.labels)).train() for _ in trials]
    optimizers = [torch.optim.AdamW(network.parameters(), lr=1e-5, fused=True) for network in networks]

    def call() -> None:
        for network, adam, trial in zip(networks, optimizers, trials, strict=True):
            order = torch.tensor(trial.train)[torch.randperm(len(trial.train))]
            for some in order.split(experiment.train.batch_size):
                loss = nn.functional.cross_entropy(network(clips[some]), labels[some])
                adam.zero_grad()
                loss.backward()
                adam.step()

    return call


def main(argv: Sequence[str]) -> int:
    """Measure and print."""
    experiment: Any = cli.parse("benchmarks.five_folds", ["--exp", "mel_kfold", *argv], Experiment, "mel_kfold")
    experiment = replace(experiment, train=replace(experiment.train, epochs=ROUNDS + 1))
    keep_memory()
    data = experiment_data(experiment)
    trials = experiment_trials(experiment, data.folds)
    clips = sum(len(trial.train) for trial in trials)
    sides = {"serjax": ours(experiment, data, trials), "PyTorch": theirs(experiment, data, trials)}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS + 1):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            times[name].append(time.perf_counter() - began)
    print(f"{len(trials)} folds, {clips} training clips an epoch, batches of {experiment.train.batch_size}")
    print("| | s an epoch | lowest to highest | clips/s | first epoch, s |\n|---|---:|---:|---:|---:|")
    for name, (first, *rest) in times.items():
        middle = median(rest)
        print(f"| {name} | {middle:.1f} | {min(rest):.1f} to {max(rest):.1f} | {clips / middle:.1f} | {first:.1f} |")
    ratios = [a / b for a, b in zip(times["serjax"][1:], times["PyTorch"][1:], strict=True)]
    print(f"serjax / PyTorch, pair by pair: {median(ratios):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
