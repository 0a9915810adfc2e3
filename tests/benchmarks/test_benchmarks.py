"""Every benchmark runs with its smallest settings and writes a table; what peers lack is a sentence in it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from saved_runs import LABELS, write_run

from serjax.evaluation.out_of_fold import OutOfFold, write_oof_csv

ROOT = Path(__file__).parents[2]
SMALLEST = {
    "adapters": "--rounds 1 --turn 0 --size tiny --folds 2 --batch 2 --seconds 1 --last-layers 1",
    "efficientnet": "--rounds 1 --turn 0 --batches 1 --no-training",
    "encoder_start": "--rounds 1 --turn 0 --size tiny",
    "encoders": "--rounds 1 --turn 0 --families hubert whisper --size tiny --cases '1 clip of 3 s' "
    "'training step, CNN frozen'",
    "export_int8": "--rounds 1 --turn 0 --seconds 1 --run FOLDER/run --data.root FOLDER/clips",
    "faces": "--frames 1 --data.root FOLDER",
    "five_folds": "--rounds 1 --data.corpus synthetic --data.max-clips 40 --data.max-seconds 1 --folds.only 1",
    "folds_together": "--rounds 1 --folds 2 --batch 2 --seconds 1",
    "formulations": "--rounds 1 --turn 0 --batch 1 --only softmax",
    "front_ends": "--rounds 1",
    "frozen_heads": "--rounds 1 --size tiny --clips 6 --folds 2 --epochs 1",
    "functionals": "--rounds 1 --seconds 1 --batch 2",
    "fusion_step": "--rounds 1 --batch 2 --sides torch",
    "input_pipeline": "--rounds 1 --clips 4 --batch 2 --folds 2 --train-step 100",
    "live_latency": "--rounds 1 --size tiny --answers 3",
    "kmeans": "--rounds 1 --count 2000 --width 16 --clusters 5 --batch-size 200 --starts 2",
    "loading_memory": "--layouts tiny --file-dtypes bfloat16",
    "masked_prediction": "--rounds 1 --turn 0 --sizes tiny --seconds 2 --clip 1",
    "million_clips": "--clips 400 --speakers 20 --files 50",
    "parity": "--families sew --sizes tiny",
    "serve_load": "--model FOLDER/run --requests 60 --clients 8 --clips 6 --kill-every 0.5",
    "timeline": "--rounds 1 --minutes 0.1 --size tiny --dtypes float32",
    "study": "--encoders 1 --corpora 1 --folds 2 --seeds 1 --rates 2 --clips 40 --epochs 1 --rounds 1",
    "whisper_padding": "--data.corpus synthetic --data.max-clips 40 --width 16 --window 4 --folds 2 --epochs 1",
    "yardsticks": "--exp bilstm_kfold --data.corpus synthetic --data.max-clips 80",
}
"""Arguments; FOLDER has a video, or a run and its clips."""
UNHURRIED = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "TORCH_COMPILE_DISABLE": "1", "OMP_NUM_THREADS": "1"}
"""Speed does not matter, and nearly all time is the compilers'; `torch.compile` then leaves a function as it is."""
NEEDED = {"export_int8": "onnxruntime", "parity": "torch"}
"""Modules without which there is no table."""
PARTS = {"harness", "training_step", "fusion_peer", "emotion2vec_peer"}
"""Modules that benchmarks share."""


def write_tested_run(folder):
    """Write a run of random weights, clips of noise, and the list that tells which fold tested which."""
    write_run(folder / "run")
    ids = tuple(f"{label}/{number}" for label in LABELS for number in range(4))
    for seed, one in enumerate(ids):
        path = folder / "clips" / f"{one}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, 8000), 16_000)
    probability = np.full((len(ids), len(LABELS)), 1 / len(LABELS), np.float32)
    folds, label = np.arange(len(ids)) % 2 + 1, np.repeat(np.arange(len(LABELS)), 4)
    write_oof_csv(folder / "run" / "oof.csv", OutOfFold(ids, folds, label, probability, (None,) * len(ids), LABELS))


def test_every_benchmark_is_run():
    assert {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - PARTS == set(SMALLEST)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_benchmark_writes_a_table(name, tmp_path, film):
    if name == "faces":
        film(tmp_path / "clip.mp4", [np.full((96, 128, 3), 90, np.uint8)] * 5)
    if name in NEEDED:
        pytest.importorskip(NEEDED[name], reason="needs an extra of its own")
    if name == "export_int8":
        write_tested_run(tmp_path)
    if name == "serve_load":
        write_run(tmp_path / "run")
    arguments = shlex.split(SMALLEST[name].replace("FOLDER", str(tmp_path)))
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / f"{name}.py", *arguments, "--tables", tmp_path / "tables"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | UNHURRIED,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    (table,) = (tmp_path / "tables").iterdir()
    assert re.fullmatch(rf"{name}-\d+\.md", table.name)
    text = table.read_text()
    assert "GFLOP/s" in text
    assert re.search(r"^\|.*\|\n\| --- \|( ---: \|)+\n\|.*\d.*\|$", text, re.M)
