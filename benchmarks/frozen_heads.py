"""Heads on a frozen HuBERT, K folds: PyTorch that encodes at every step, PyTorch that caches features, and serjax.

    python benchmarks/frozen_heads.py [--size base --clips 40 --folds 5 --epochs 2 --seeds 1 --rates 1 --rounds 3]

All three train the same head (attentive pooling, LayerNorm, Linear, ReLU, Linear) with AdamW for folds x seeds x rates
on the same 3 s clips, with the same encoder weights, and predict the test folds; they take turns in one process. The
first encodes each batch in each epoch, as s3prl's downstream runner does with a frozen upstream. Compilation counts for
serjax in its first round and is in the cache after that; both are printed. Needs the extra `torch`.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers
from flax import nnx

from serjax import cli
from serjax.audio import SAMPLE_RATE
from serjax.checkpoints.huggingface import save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.config.experiment import Experiment
from serjax.features.frozen import encode_clips
from serjax.models.config import ModelConfig
from serjax.models.encoders.config import preset
from serjax.models.functional import Params
from serjax.models.inputs import Features
from serjax.models.speech import Classifier, Head
from serjax.runtime.allocator import keep_memory
from serjax.training.config import TrainConfig
from serjax.training.fold_axis import FOLD, fold_axis
from serjax.training.initialize import initial
from serjax.training.resident import ResidentEngine
from serjax.training.trials import Trial, trial_key
from serjax.training.update import init_state

CLASSES, SECONDS, BATCH = 4, 3, 8


class Clips:
    """Noise of 3 s: what is measured does not depend on what is said."""

    def __init__(self, count: int) -> None:
        self.lengths = np.full(count, SECONDS * SAMPLE_RATE)
        self._waves = np.random.default_rng(0).normal(0, 0.1, (count, SECONDS * SAMPLE_RATE)).astype(np.float32)

    def __len__(self) -> int:
        return len(self._waves)

    def clip(self, i: int) -> np.ndarray:
        """Return the samples of a clip."""
        return self._waves[i]


def make_trials(options: argparse.Namespace) -> list[Trial]:
    clips = set(range(options.clips))
    parts = np.array_split(np.arange(options.clips), options.folds)
    return [
        Trial(fold + 1, seed, 1e-3 * (rate + 1), tuple(clips - set(test.tolist())), tuple(test), tuple(test))
        for seed in range(options.seeds)
        for rate in range(options.rates)
        for fold, test in enumerate(parts)
    ]


def serjax_heads(
    model: Classifier, experiment: Experiment, trials: list[Trial], clips: Clips, labels: np.ndarray
) -> float:
    """Return the seconds that encoding, training and prediction take."""
    began = time.perf_counter()
    graphdef, state = nnx.split(model)

    def encode(state: Params, wave: jax.Array, length: jax.Array) -> tuple[jax.Array, jax.Array]:
        return nnx.merge(graphdef, state, copy=True).features(wave, length)

    with tempfile.TemporaryDirectory() as folder:
        samples = SECONDS * SAMPLE_RATE
        states, frames = encode_clips(
            encode,
            state,
            clips,
            [str(i) for i in range(len(clips))],
            Path(folder) / "states",
            samples=samples,
            crop="head",
            pooled=False,
        )
        axis = fold_axis(len(trials), BATCH, together=True)
        keys = jnp.stack([trial_key(experiment, trial) for trial in trials])
        width = states.shape[-1]

        def make(rngs: nnx.Rngs) -> Head:
            return Head(experiment.model, 1, width, CLASSES, rngs=rngs)

        head, params, _ = initial(make, lambda path: False, keys, jax.random.key(0), axis, {})
        features = Features(states, frames, labels)
        engine = ResidentEngine(head, axis.first(params), trials, features, CLASSES, experiment, axis)
        trained = axis.jit(init_state, (FOLD,))(params)
        for epoch in range(1, experiment.train.epochs + 1):
            trained, _, _ = engine.train_epoch(trained, epoch, np.ones(len(trials), bool), lambda count: None)
        engine.predict(axis.field(trained, "params"), "test")
    return time.perf_counter() - began


class TorchHead(torch.nn.Module):
    """The same head in PyTorch."""

    def __init__(self, width: int, config: ModelConfig) -> None:
        super().__init__()
        self.score = torch.nn.Sequential(
            torch.nn.Linear(width, config.attention_size), torch.nn.Tanh(), torch.nn.Linear(config.attention_size, 1)
        )
        self.head = torch.nn.Sequential(
            torch.nn.LayerNorm(width),
            torch.nn.Linear(width, config.head_size),
            torch.nn.ReLU(),
            torch.nn.Dropout(config.dropout),
            torch.nn.Linear(config.head_size, CLASSES),
        )

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return logits of [b n d]."""
        return self.head((torch.softmax(self.score(states), 1) * states).sum(1))


def torch_heads(
    trunk: torch.nn.Module, experiment: Experiment, trials: list[Trial], clips: Clips, labels: np.ndarray, cached: bool
) -> float:
    """Return the seconds that PyTorch needs, encoding once or at every step."""
    began = time.perf_counter()
    waves = torch.from_numpy(np.stack([clips.clip(i) for i in range(len(clips))]))
    waves = (waves - waves.mean(1, keepdim=True)) / (waves.var(1, keepdim=True, unbiased=False) + 1e-7).sqrt()
    target = torch.from_numpy(labels).long()

    @torch.inference_mode()
    def encode(batch: torch.Tensor) -> torch.Tensor:
        return trunk(batch).last_hidden_state

    store = torch.cat([encode(part) for part in waves.split(BATCH)]).clone() if cached else None

    def states(index: np.ndarray) -> torch.Tensor:
        return encode(waves[index]).clone() if store is None else store[index]

    for trial in trials:
        torch.manual_seed(trial.seed)
        head = TorchHead(trunk.config.hidden_size, experiment.model)
        steps = -(-len(trial.train) // BATCH) * experiment.train.epochs
        optimizer = torch.optim.AdamW(head.parameters(), lr=trial.peak, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, trial.peak, total_steps=steps)
        rng = np.random.default_rng(trial.fold)
        for _ in range(experiment.train.epochs):
            order = rng.permutation(np.array(trial.train))
            for start in range(0, len(order), BATCH):
                index = order[start : start + BATCH]
                loss = torch.nn.functional.cross_entropy(head(states(index)), target[index])
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
                optimizer.step()
                schedule.step()
        head.eval()
        with torch.inference_mode():
            for start in range(0, len(trial.test), BATCH):
                head(states(np.array(trial.test[start : start + BATCH])))
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="base")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    defaults = {"clips": 40, "folds": 5, "epochs": 2, "seeds": 1, "rates": 1, "rounds": 3}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", help="write the table's rows to this file too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_memory()  # for both sides: PyTorch gains from it as well
    cli.compilation_cache()
    experiment = Experiment(
        "bench",
        model=ModelConfig(size=options.size, freeze="trunk"),
        train=TrainConfig(epochs=options.epochs, batch_size=BATCH),
    )
    trials, clips = make_trials(options), Clips(options.clips)
    labels = (np.arange(options.clips) % CLASSES).astype(np.int32)
    model = Classifier(experiment.model, preset("hubert", options.size), CLASSES, normalize=True, rngs=nnx.Rngs(0))
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model.trunk, folder, preprocessor=Preprocessor())
        trunk = transformers.HubertModel.from_pretrained(folder).eval()
    sides = {
        "PyTorch, encodes every step": lambda: torch_heads(trunk, experiment, trials, clips, labels, cached=False),
        "PyTorch, caches features": lambda: torch_heads(trunk, experiment, trials, clips, labels, cached=True),
        "serjax": lambda: serjax_heads(model, experiment, trials, clips, labels),
    }
    first = sides["serjax"]()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(options.rounds):
        for name, side in sides.items():
            # One round of the slowest is enough: it is an order of magnitude off.
            if number == 0 or name != "PyTorch, encodes every step":
                times[name].append(side())
    ours = statistics.median(times["serjax"])
    print(f"{options.size}, {options.clips} clips, {len(trials)} heads, {options.epochs} epochs")
    print("| side | s (median) | times serjax |\n|---|---:|---:|")
    rows = {name: statistics.median(values) for name, values in times.items()}
    for name, seconds in rows.items():
        print(f"| {name} | {seconds:.1f} | {seconds / ours:.2f} |")
    print(f"serjax with compilation or loading of compiled programs: {first:.1f} s")
    if options.json:
        Path(options.json).write_text(json.dumps(rows | {"first": first}))


if __name__ == "__main__":
    main()
