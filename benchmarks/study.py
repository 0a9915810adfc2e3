"""Heads of several frozen encoders on several corpora: the command serjax.study, and PyTorch on cached features.

    python benchmarks/study.py [--encoders 3 --corpora 2 --folds 5 --seeds 3 --rates 3 --clips 600 --epochs 20]

All train the same heads (SUPERB's probe: a learned sum of all layers, Linear 256, mean over frames, Linear) with AdamW
and OneCycle, for encoders x corpora x folds x seeds x rates, choose epochs and rates by validation macro-F1, and
predict the tested clips. Features are there when the clock starts: in serjax's cache, and in the memory of PyTorch,
which gets random values of the same shape. PyTorch has them as recipes of the field do, which cache the frames of all
layers; its time is that of a few heads, times their number. It also has them as serjax does, which sees that these
heads need no more than the mean frame of each layer; then it trains all heads. serjax's time is that of the whole
study: reading corpora, checkpoints and features, training, saving models and states, scores with intervals, pictures
and pages. Its first run, which encodes and compiles, is given apart. Needs torch.
"""

import argparse
import json
import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import harness
import numpy as np
import soundfile
from flax import nnx
from sklearn.metrics import f1_score

from serjax import cli
from serjax.audio import SAMPLE_RATE
from serjax.checkpoints.huggingface import save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.data.folds.make import make_folds
from serjax.models.encoders.config import preset
from serjax.models.encoders.wav2vec2 import SpeechEncoder
from serjax.runs.finetune import experiment_data
from serjax.runs.study.cells import run_folder
from serjax.runs.study.protocols import cell_experiment
from serjax.runs.study.run import run_study
from serjax.runs.study.settings import Study, StudyCorpus, parse_encoder
from serjax.runtime.allocator import keep_memory

CLASSES, SPEAKERS = 4, 10
FAMILIES = ("hubert", "wavlm", "wav2vec2", "unispeech", "unispeech-sat")
RATES = (1e-4, 1e-3, 1e-2, 3e-4, 3e-3)
FRAMES = 49
"""Of a second."""
CACHES_FRAMES = "PyTorch, caches frames"
SPEAKER = r"(?P<speaker>spk\d+)"


def write_corpus(root: Path, clips: int, seed: int) -> None:
    """Write a second of noise a clip: what is measured does not depend on what is said."""
    rng = np.random.default_rng(seed)
    for clip in range(clips):
        folder = root / f"class{clip % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        wave = rng.normal(0, 0.1, SAMPLE_RATE).astype(np.float32)
        soundfile.write(folder / f"spk{clip // CLASSES % SPEAKERS}_{clip}.wav", wave, SAMPLE_RATE)


def write_checkpoint(folder: Path, family: str, size: str) -> Path:
    """Write random weights as a Hugging Face directory; return it."""
    encoder = SpeechEncoder(preset(family, size), rngs=nnx.Rngs(0))
    save_pretrained(encoder, folder, preprocessor=Preprocessor(normalize=False))
    return folder


def make_study(folder: Path, options: argparse.Namespace) -> Study:
    names = [f"corpus{number}" for number in range(options.corpora)]
    for number, name in enumerate(names):
        write_corpus(folder / name, options.clips, number)
    return Study(
        encoders=tuple(
            parse_encoder(f"{name}={write_checkpoint(folder / name, name, options.size)}")
            for name in FAMILIES[: options.encoders]
        ),
        corpora=tuple(StudyCorpus(name, str(folder / name), speaker_pattern=SPEAKER) for name in names),
        protocol="speaker",
        out=str(folder / "out"),
        folds=options.folds,
        seeds=options.seeds,
        learning_rates=RATES[: options.rates],
        epochs=options.epochs,
        max_seconds=1.0,
        cache=str(folder / "cache"),
    )


def serjax_study(study: Study) -> None:
    """Do the whole study; clips and features are in the cache."""
    shutil.rmtree(study.folder, ignore_errors=True)
    report = run_study(study)
    assert all(cell["scores"] is not None for cell in report["cells"]), [cell["sentence"] for cell in report["cells"]]


def cached(study: Study, frames: int) -> list[dict[str, Any]]:
    """Return labels and folds of every cell, and values in place of its features: `frames` of each layer of a clip."""
    found = []
    for encoder in study.encoders:
        for corpus in study.corpora:
            experiment = cell_experiment(study, encoder, corpus)
            data = experiment_data(experiment)
            states = _states(study, len(data.store), encoder.name, corpus.name, frames)
            folds = make_folds(data.store.utterances, experiment.folds, study.seed)
            found.append({"states": states, "labels": data.classes.astype(np.int64), "folds": folds})
            if frames > 1:
                return found  # one cell is measured
    return found


def _states(study: Study, clips: int, encoder: str, corpus: str, frames: int) -> np.ndarray:
    """Return values of the shape of a cell's features: clips, layers, frames, width."""
    config = json.loads((run_folder(study, encoder, corpus) / "fold_1" / "config.json").read_text())
    shape = clips, config["num_hidden_layers"] + 1, frames, config["hidden_size"]
    return np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)


def torch_study(study: Study, cells: list[dict[str, Any]]) -> None:
    """Train and predict, one head after the other."""
    import torch

    class Probe(torch.nn.Module):
        """The same head."""

        def __init__(self, layers: int, width: int) -> None:
            super().__init__()
            self.layers = torch.nn.Parameter(torch.zeros(layers))
            self.dense, self.out = torch.nn.Linear(width, 256), torch.nn.Linear(256, CLASSES)

        def forward(self, states: Any) -> Any:
            summed = torch.einsum("l,blnd->bnd", torch.softmax(self.layers, 0), states)
            return self.out(self.dense(summed).mean(1))

    def train_one(states: Any, labels: Any, fold: Any, seed: int, rate: float) -> tuple[float, Any]:
        torch.manual_seed(seed)
        probe, rng = Probe(states.shape[1], states.shape[3]), np.random.default_rng([seed, fold.number])
        steps = -(-len(fold.train) // study.batch_size) * study.epochs
        optimizer = torch.optim.AdamW(probe.parameters(), lr=rate, weight_decay=0.01, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
        validation, test = torch.tensor(fold.validation), torch.tensor(fold.test)
        best, answer = -1.0, None
        for _ in range(study.epochs):
            order = torch.from_numpy(rng.permutation(np.array(fold.train)))
            for index in order.split(study.batch_size):
                loss = torch.nn.functional.cross_entropy(probe(states[index]), labels[index])
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(probe.parameters(), 1.0)
                optimizer.step()
                schedule.step()
            with torch.inference_mode():
                told = probe(states[validation]).argmax(1)
                score = f1_score(labels[validation].numpy(), told.numpy(), average="macro")
                if score > best:
                    best, answer = score, torch.softmax(probe(states[test]), 1)
        return best, answer

    for cell in cells:
        states, labels = torch.from_numpy(cell["states"]), torch.from_numpy(cell["labels"])
        for fold in cell["folds"]:
            for seed in range(study.seeds):
                tried = [train_one(states, labels, fold, seed, rate) for rate in study.learning_rates]
                max(tried, key=lambda one: one[0])[1].argmax(1)


def main() -> None:
    """Measure and publish."""
    parser = harness.parser(__doc__, rounds=3)
    parser.add_argument("--size", default="base", help="of the encoders")
    defaults = {"encoders": 3, "corpora": 2, "folds": 5, "seeds": 3, "rates": 3, "clips": 600, "epochs": 20}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    keep_memory()
    cli.compilation_cache()
    names, told = harness.installed({"serjax": [], "PyTorch, caches mean frames": ["torch"]})
    with tempfile.TemporaryDirectory() as folder:
        study = make_study(Path(folder), options)
        calls: dict[str, harness.Call] = {"serjax": partial(serjax_study, study)}
        first = harness.clock(calls["serjax"], again=False)
        if len(names) > 1:
            cells = cached(study, 1)
            # Imports and first calls are no part of either side's time.
            torch_study(replace(study, seeds=1, learning_rates=RATES[:1], epochs=1), cells[:1])
            calls[names[1]] = partial(torch_study, study, cells)
        turns = {name: partial(harness.clock, calls[name], again=False) for name in names}
        heads = options.encoders * options.corpora * options.folds * options.seeds * options.rates
        if len(names) > 1:
            (whole,) = cached(study, FRAMES)
            few = partial(
                torch_study, replace(study, seeds=1, learning_rates=RATES[:1]), [whole | {"folds": whole["folds"][:1]}]
            )
            turns[CACHES_FRAMES] = lambda: heads * harness.clock(few, again=False)
        values = harness.in_turns({f"{heads} heads": turns}, options.rounds)
    facts = (
        f"{options.encoders} encoders of size {options.size} x {options.corpora} corpora x {options.folds} folds x "
        f"{options.seeds} seeds x {options.rates} rates, {options.clips} clips a corpus, {options.epochs} epochs."
    )
    compiled = f"serjax's first run, which encodes and compiles, takes {harness.amounts([first])}."
    harness.publish([facts, harness.comparison(values), compiled, *told], options, ["torch"])


if __name__ == "__main__":
    main()
