"""Heads on a frozen HuBERT, K folds: PyTorch that encodes at every step, PyTorch that caches features, and serjax.

    python benchmarks/frozen_heads.py [--size base --clips 40 --folds 5 --epochs 2 --seeds 1 --rates 1 --rounds 3]

All three train the same head (attentive pooling, LayerNorm, Linear, ReLU, Linear) with AdamW for folds x seeds x rates
on the same 3 s clips, with the same encoder weights, and predict the test folds, in one process. The first encodes each
batch in each epoch, as s3prl's downstream runner does with a frozen upstream; --cached leaves it out. serjax's first
run, which compiles, is given apart. Needs the extra `torch`.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import harness
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax import cli
from serjax.audio import SAMPLE_RATE
from serjax.audio.config import AugmentConfig
from serjax.checkpoints.huggingface import save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.features.frozen import encode_clips
from serjax.models.base import EncoderLayout
from serjax.models.classifiers.speech import SpeechClassifier, build_head
from serjax.models.encoders.config import preset
from serjax.models.functional import Params
from serjax.models.inputs import Features
from serjax.models.speech import Speech
from serjax.runtime.allocator import keep_memory
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.epoch_sums import EpochSums
from serjax.training.fold_axis import FOLD, fold_axis
from serjax.training.initialize import first_states, initial
from serjax.training.resident import ResidentEngine
from serjax.training.trials import Trial, trial_key

CLASSES, SECONDS, BATCH = 4, 3, 8
EACH, CACHED = "PyTorch, encodes every step", "PyTorch, caches features"


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
    model: SpeechClassifier, train: TrainConfig, trials: list[Trial], clips: Clips, labels: np.ndarray
) -> None:
    """Encode, train and predict."""
    graphdef, head, frozen = nnx.split(model, lambda path, _: model.config.trainable(path), ...)

    def encode(state: Params, wave: jax.Array, length: jax.Array) -> tuple[jax.Array, jax.Array]:
        return nnx.merge(graphdef, *state, copy=True).features(wave, length)

    with tempfile.TemporaryDirectory() as folder:
        states, frames = encode_clips(
            encode,
            (head, frozen),
            clips,
            [str(i) for i in range(len(clips))],
            Path(folder) / "states",
            samples=SECONDS * SAMPLE_RATE,
            crop="head",
            pooled=False,
        )
        axis = fold_axis(len(trials), BATCH, together=True)
        keys = jnp.stack([trial_key(0, trial) for trial in trials])
        make = partial(_head, model.config)
        _, heads, _ = initial(make, lambda _: False, keys, jax.random.key(0), axis, {})
        params = axis.jit(_in_head, (FOLD,))(heads)
        engine = ResidentEngine(
            graphdef,
            axis.first(params),
            frozen,
            trials,
            Features(states, frames, labels),
            CLASSES,
            axis,
            train=train,
            optimizer=OptimizerConfig(),
            augment=AugmentConfig(),
            dtype="float32",
            seed=0,
        )
        trained = first_states(params, engine.optimizer, axis)
        everyone, sums = np.ones(len(trials), bool), EpochSums.zero(len(trials))
        for epoch in range(1, train.epochs + 1):
            trained, _ = engine.train_epoch(trained, epoch, everyone, sums, lambda count: None)
        engine.predict(axis.field(trained, "params"), "test")


def _head(config: Speech, rngs: nnx.Rngs) -> nnx.Module:
    return build_head(config, CLASSES, rngs=rngs)


def _in_head(head: Params) -> Params:
    return nnx.from_flat_state([(("head", *path), leaf) for path, leaf in nnx.to_flat_state(head)])


def torch_heads(
    folder: str, config: Speech, train: TrainConfig, trials: list[Trial], clips: Clips, labels: np.ndarray
) -> dict[str, harness.Call]:
    """Return what PyTorch does, encoding at every step or once."""
    import torch
    import transformers

    encoder = transformers.HubertModel.from_pretrained(folder).eval()
    width = encoder.config.hidden_size

    class Head(torch.nn.Module):
        """The same head."""

        def __init__(self) -> None:
            super().__init__()
            self.score = torch.nn.Sequential(
                torch.nn.Linear(width, config.attention_size),
                torch.nn.Tanh(),
                torch.nn.Linear(config.attention_size, 1),
            )
            self.head = torch.nn.Sequential(
                torch.nn.LayerNorm(width),
                torch.nn.Linear(width, config.head_size),
                torch.nn.ReLU(),
                torch.nn.Dropout(config.dropout),
                torch.nn.Linear(config.head_size, CLASSES),
            )

        def forward(self, states: Any) -> Any:
            return self.head((torch.softmax(self.score(states), 1) * states).sum(1))

    @torch.inference_mode()
    def encode(batch: Any) -> Any:
        return encoder(batch).last_hidden_state

    def train_one(trial: Trial, target: Any, states: Any) -> None:
        torch.manual_seed(trial.seed)
        head = Head()
        steps = -(-len(trial.train) // BATCH) * train.epochs
        optimizer = torch.optim.AdamW(head.parameters(), lr=trial.peak, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, trial.peak, total_steps=steps)
        rng = np.random.default_rng(trial.fold)
        for _ in range(train.epochs):
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

    def all_heads(cached: bool) -> None:
        waves = torch.from_numpy(np.stack([clips.clip(i) for i in range(len(clips))]))
        waves = (waves - waves.mean(1, keepdim=True)) / (waves.var(1, keepdim=True, unbiased=False) + 1e-7).sqrt()
        store = torch.cat([encode(part) for part in waves.split(BATCH)]).clone() if cached else None
        target = torch.from_numpy(labels).long()
        for trial in trials:
            train_one(trial, target, lambda i: encode(waves[i]).clone() if store is None else store[i])

    return {EACH: partial(all_heads, cached=False), CACHED: partial(all_heads, cached=True)}


def main() -> None:
    """Measure and publish."""
    parser = harness.parser(__doc__, rounds=3)
    parser.add_argument("--size", default="base")
    parser.add_argument("--cached", action="store_true", help="leave out the side that encodes at every step")
    for name, default in {"clips": 40, "folds": 5, "epochs": 2, "seeds": 1, "rates": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    keep_memory()
    cli.compilation_cache()
    layout = EncoderLayout(preset("hubert", options.size), normalize=True)
    config = Speech(size=options.size, freeze="encoder", layout=layout)
    train = TrainConfig(epochs=options.epochs, batch_size=BATCH)
    trials, clips = make_trials(options), Clips(options.clips)
    labels = (np.arange(options.clips) % CLASSES).astype(np.int32)
    model = config.build(CLASSES, rngs=nnx.Rngs(0))
    needs = {"serjax": [], EACH: ["torch", "transformers"], CACHED: ["torch", "transformers"]}
    names, told = harness.installed({name: needs[name] for name in needs if name != EACH or not options.cached})
    calls: dict[str, harness.Call] = {"serjax": partial(serjax_heads, model, train, trials, clips, labels)}
    if CACHED in names:
        with tempfile.TemporaryDirectory() as folder:
            save_pretrained(model.speech_encoder, folder, preprocessor=Preprocessor())
            calls |= torch_heads(folder, config, train, trials, clips, labels)
    first = harness.clock(calls["serjax"], again=False)
    turns = {name: partial(harness.clock, calls[name], again=False) for name in names}
    values = harness.in_turns({f"{len(trials)} heads": turns}, options.rounds)
    facts = f"HuBERT {options.size}, {options.clips} clips of {SECONDS} s, {options.epochs} epochs."
    compiled = f"serjax's first run, which compiles or loads what was compiled, takes {harness.amounts([first])}."
    harness.publish([facts, harness.comparison(values), compiled, *told], options, ["torch", "transformers"])


if __name__ == "__main__":
    main()
