"""Weights of 8 bits in an exported run: size, scores on out-of-fold clips, and time, beside float32.

    python benchmarks/export_int8.py --run checkpoints/quickstart --data.root DIR [--seconds 3 --rounds 5]

Each fold is exported as ONNX alone and answers for the clips that it tested, which oof.csv names, as it is and with the
weights of its matrix products in 8 bits; UA and WA are those of `serjax.evaluation.metrics`. Times are of the ensemble
of all folds for one clip of noise, in turns: compiled by JAX, and in ONNX Runtime with as many threads. Needs the extra
`onnx`.
"""

import argparse
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import harness
import numpy as np
import onnxruntime

import serjax
from serjax.audio import SAMPLE_RATE
from serjax.evaluation.metrics import confusion, scores
from serjax.evaluation.out_of_fold import read_oof_csv
from serjax.inference.export.write import Options, export
from serjax.runtime.errors import UserError
from serjax.runtime.progress import progress_bar, show_progress

FILES = {"float32": "model.onnx", "int8": "model.int8.onnx"}


def find(root: Path, clips: tuple[str, ...]) -> dict[str, Path]:
    """Return the files of clips, which are named by their paths below the corpus' folder without suffix."""
    found = {path.relative_to(root).with_suffix("").as_posix(): path for path in root.rglob("*") if path.is_file()}
    missing = [clip for clip in clips if clip not in found]
    if missing:
        raise UserError(f"--data.root {root}: {missing[0]} is not below it; give the folder of the run's recordings.")
    return found


def sessions(run: str, folder: Path, fold: int | None) -> dict[str, onnxruntime.InferenceSession]:
    """Export a fold, or the ensemble, and return the sessions of both files."""
    export(run, "onnx", folder, Options(fold=fold, int8=True))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return {name: onnxruntime.InferenceSession(folder / file, options) for name, file in FILES.items()}


def given(wave: np.ndarray) -> Mapping[str, np.ndarray]:
    """Return one clip as a session takes it."""
    return {"wave": wave[None], "lengths": np.array([len(wave)], np.int32)}


def accuracy(options: argparse.Namespace, folder: Path) -> list[list[str]]:
    """Return a row a fold, and one of all clips together."""
    ensemble, tested = serjax.load(options.run, long_clips="head"), read_oof_csv(Path(options.run) / "oof.csv")
    files, rows, all_of = find(options.root, tested.ids), [], []
    labels = len(tested.labels)
    with progress_bar("clips") as bar:
        task = bar.add_task("", total=len(tested.ids))
        for fold in sorted(set(tested.fold.tolist())):
            both = sessions(options.run, folder / f"fold_{fold}", fold)
            own = np.flatnonzero(tested.fold == fold)
            answers: dict[str, list[int]] = {name: [] for name in both}
            for clip in own:
                wave = ensemble.heard(ensemble.read(files[tested.ids[clip]]))
                for name, session in both.items():
                    answers[name].append(int(session.run(["scores"], given(wave))[0][0].argmax()))
                bar.advance(task)
            arrays = {name: np.array(one) for name, one in answers.items()}
            rows.append(row(f"fold {fold}", tested.label[own], arrays, labels, folder / f"fold_{fold}"))
            all_of.append((tested.label[own], arrays))
    label = np.concatenate([one for one, _ in all_of])
    joined = {name: np.concatenate([arrays[name] for _, arrays in all_of]) for name in FILES}
    sessions(options.run, folder / "all", None)
    return [*rows, row("all clips; file of the ensemble", label, joined, labels, folder / "all")]


def row(title: str, label: np.ndarray, answers: dict[str, np.ndarray], count: int, folder: Path) -> list[str]:
    """Return one line of the table."""
    found = {name: scores(confusion(label, answer, count)) for name, answer in answers.items()}
    percent = [f"{found[name][metric]:.1%}" for metric in ("ua", "wa") for name in FILES]
    sizes = [f"{(folder / file).stat().st_size / 1e6:.2f} MB" for file in FILES.values()]
    changed = int((answers["float32"] != answers["int8"]).sum())
    return [title, f"{len(label)}", *percent, f"{changed}", *sizes]


def times(options: argparse.Namespace, folder: Path) -> str:
    """Return a table of the times of one clip."""
    wave = np.random.default_rng(0).normal(0, 0.1, round(options.seconds * SAMPLE_RATE)).astype(np.float32)
    ensemble = serjax.load(options.run)
    calls: dict[str, Any] = {"serjax": partial(ensemble.logits, [wave])}
    for name, file in FILES.items():
        session = onnxruntime.InferenceSession(folder / file)
        calls[f"ONNX Runtime, {name}"] = partial(session.run, ["logits"], given(wave))
    sides = {name: partial(harness.clock, call, options.turn) for name, call in calls.items()}
    return harness.comparison(harness.in_turns({f"1 clip of {options.seconds:g} s": sides}, options.rounds))


def main() -> None:
    parser = harness.parser(__doc__, rounds=5)
    parser.add_argument("--run", required=True, help="folder of a finished run")
    parser.add_argument("--data.root", dest="root", required=True, type=Path, help="folder of its recordings")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of the clip whose time is taken")
    options = parser.parse_args()
    show_progress()
    head = ["", "clips", "UA float32", "UA int8", "WA float32", "WA int8", "other answers", "float32", "int8"]
    with tempfile.TemporaryDirectory() as folder:
        rows = accuracy(options, Path(folder))
        parts = [harness.markdown(head, rows), times(options, Path(folder) / "all")]
    harness.publish(parts, options, ["onnxruntime"])


if __name__ == "__main__":
    main()
