"""Accuracy of a Whisper that hears a padded clip or the clip alone: trained in either way, asked in either way.

    python benchmarks/whisper_padding.py --data.root DIR [--encoder ID --folds 5 --epochs 20]

With --encoder heads are trained on its frozen states, as published weights would be used: a linear layer on the mean of
the clip's frames. Without it a small Whisper is trained from random weights, in each way once. The table has the
out-of-fold UA of what was trained with a padding (rows) and answers with one (columns), with bootstrap intervals that
draw speakers.
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import harness
import numpy as np
from flax import nnx

from serjax import cli
from serjax.checkpoints.huggingface import save_pretrained
from serjax.checkpoints.preprocessor import default_preprocessor
from serjax.checkpoints.run_models import read_run, write_model_json
from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.evaluation.metrics import bootstrap_intervals, confusion, scores
from serjax.evaluation.out_of_fold import OutOfFold, read_oof_csv
from serjax.inference.load import load
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.whisper_config import WhisperConfig
from serjax.models.speech import Speech
from serjax.runs.finetune import experiment_data, train
from serjax.training.config import OptimizerConfig, TrainConfig

PADDINGS: tuple[Any, ...] = ("transformers", "exact")
NAMES = {"transformers": "the padding", "exact": "the clip alone"}


def experiment(options: Any, out: Path, checkpoint: str, padding: Any) -> Experiment:
    """Return the experiment that trains with a padding."""
    head = {"pooling": "mean", "head": "linear", "dropout": 0.0}
    given = getattr(options, "data.corpus")
    data = DataConfig(
        root=getattr(options, "data.root"),
        corpus=given,
        speaker_pattern=getattr(options, "data.speaker_pattern"),
        max_clips=getattr(options, "data.max_clips"),
        max_seconds=getattr(options, "data.max_seconds"),
        cache=str(out / "cache"),
    )
    freeze: Any = "encoder" if options.encoder else "nothing"
    return Experiment(
        name=padding,
        out=str(out),
        data=data,
        folds=FoldsConfig(count=options.folds),
        model=Speech(family="whisper", checkpoint=checkpoint, freeze=freeze, padding=padding, **head),  # type: ignore[arg-type]
        optimizer=OptimizerConfig(max_lr=options.rate),
        train=TrainConfig(epochs=options.epochs, batch_size=16, patience=options.epochs),
    )


def small_whisper(options: Any, folder: Path) -> str:
    """Write a small Whisper with random weights, with positions for 30 s; return its directory."""
    config = WhisperConfig(
        d_model=options.width,
        encoder_layers=options.layers,
        encoder_attention_heads=4,
        encoder_ffn_dim=4 * options.width,
        max_source_positions=50 * options.window,
    )
    encoder = build_encoder(config, rngs=nnx.Rngs(0))
    save_pretrained(encoder, folder, preprocessor=default_preprocessor(config))
    return str(folder)


def answers(run: Experiment, padding: Any, folder: Path) -> OutOfFold:
    """Return the answers of a run's folds for the clips that each tests, heard with a padding."""
    trained = read_oof_csv(run.run_dir / "oof.csv")
    if padding == run.model.padding:  # type: ignore[union-attr]
        return trained
    shutil.copytree(run.run_dir, folder)
    models = read_run(folder)
    write_model_json(folder, replace(models, model=replace(models.model, padding=padding)))  # type: ignore[type-var, arg-type]
    store = experiment_data(run).store
    place = {clip.id: number for number, clip in enumerate(store.utterances)}
    probability = np.zeros_like(trained.probability)
    for number, fold in enumerate(models.folds):
        ensemble = load(folder, [float(k == number) for k in range(len(models.folds))], long_clips="head", raw=True)
        rows = np.flatnonzero(trained.fold == fold)
        for row in rows.tolist():
            clip = store.clip(place[trained.ids[row]])  # type: ignore[union-attr]
            found = {one["label"]: one["score"] for one in ensemble((clip, 16_000))}
            probability[row] = [found[label] for label in trained.labels]
    return replace(trained, probability=probability)


def shown(found: OutOfFold) -> str:
    """Return UA with its interval, in %."""
    classes = len(found.labels)
    score = float(scores(confusion(found.label, found.prediction, classes))["ua"])
    low, high = bootstrap_intervals(found.label, found.prediction, found.groups, classes, seed=0)["ua"]
    return f"{100 * score:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def main() -> None:
    """Train, ask and publish."""
    parser = harness.parser(__doc__, rounds=1)
    parser.add_argument("--data.root", default="")
    parser.add_argument("--data.corpus", default="auto")
    parser.add_argument("--data.speaker-pattern", dest="data.speaker_pattern")
    parser.add_argument("--data.max-clips", dest="data.max_clips", type=int)
    parser.add_argument("--data.max-seconds", dest="data.max_seconds", type=float, default=4.0)
    parser.add_argument("--encoder", help="directory or hub id of a Whisper; by default random weights are trained")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--window", type=int, default=30, help="seconds that random weights have positions for")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rate", type=float, default=1e-3)
    options = parser.parse_args()
    cli.compilation_cache()
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        checkpoint = options.encoder or small_whisper(options, out / "whisper")
        rows = []
        for padding in PADDINGS:
            run = experiment(options, out, checkpoint, padding)
            train(run, "benchmarks/whisper_padding.py", example=False)
            rows.append([NAMES[padding], *(shown(answers(run, one, out / f"{padding}-{one}")) for one in PADDINGS)])
    heads = ["UA in %: trained with", *(f"asked with {NAMES[one]}" for one in PADDINGS)]
    harness.publish([harness.markdown(heads, rows)], options)


if __name__ == "__main__":
    main()
