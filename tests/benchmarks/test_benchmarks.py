"""Every benchmark runs with its smallest settings and writes a table; what peers lack is a sentence in it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from saved_runs import write_run

ROOT = Path(__file__).parents[2]
SMALLEST = {
    "efficientnet": "--rounds 1 --turn 0 --batches 1 --no-training",
    "encoder_start": "--rounds 1 --turn 0 --size tiny",
    "encoders": "--rounds 1 --turn 0 --families hubert --size tiny --cases '1 clip of 3 s' 'training step, CNN frozen'",
    "faces": "--frames 1 --data.root FOLDER",
    "five_folds": "--rounds 1 --data.corpus synthetic --data.max-clips 40 --data.max-seconds 1 --folds.only 1",
    "folds_together": "--rounds 1 --folds 2 --batch 2 --seconds 1",
    "formulations": "--rounds 1 --turn 0 --batch 1 --only softmax",
    "front_ends": "--rounds 1",
    "frozen_heads": "--rounds 1 --size tiny --clips 6 --folds 2 --epochs 1",
    "functionals": "--rounds 1 --seconds 1 --batch 2",
    "fusion_step": "--rounds 1 --batch 2 --sides torch",
    "input_pipeline": "--rounds 1 --clips 4 --batch 2 --folds 2 --train-step 100",
    "kmeans": "--rounds 1 --count 2000 --width 16 --clusters 5 --batch-size 200 --starts 2",
    "masked_prediction": "--rounds 1 --turn 0 --sizes tiny --seconds 2 --clip 1",
    "million_clips": "--clips 400 --speakers 20 --files 50",
    "serve_load": "--model FOLDER/run --requests 60 --clients 8 --clips 6 --kill-every 0.5",
    "yardsticks": "--exp bilstm_kfold --data.corpus synthetic --data.max-clips 80",
}
"""Arguments; FOLDER has a video, or a run."""
PARTS = {"harness", "training_step", "fusion_peer"}
"""Modules that benchmarks share."""


def test_every_benchmark_is_run():
    assert {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - PARTS == set(SMALLEST)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_benchmark_writes_a_table(name, tmp_path, film):
    if name == "faces":
        film(tmp_path / "clip.mp4", [np.full((96, 128, 3), 90, np.uint8)] * 5)
    if name == "serve_load":
        write_run(tmp_path / "run")
    arguments = shlex.split(SMALLEST[name].replace("FOLDER", str(tmp_path)))
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / f"{name}.py", *arguments, "--tables", tmp_path / "tables"],
        cwd=tmp_path,
        # Speed does not matter, and nearly all time is XLA's.
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
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
