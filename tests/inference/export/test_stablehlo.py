"""StableHLO programs: called by JAX without serjax, with the logits of the ensemble."""

import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest
from exported_clips import clips
from saved_runs import FROZEN, SPEECH, layout_with, write_run

from serjax.inference.ensemble import Ensemble
from serjax.inference.export.program import program
from serjax.inference.export.stablehlo import PLATFORMS, write_stablehlo
from serjax.inference.load import read_models
from serjax.models.spectrogram import Functionals, Spectrogram

READER = """
import sys
import jax, numpy as np
from jax import export

given = np.load("given.npz")
exported = export.deserialize(bytearray(open("cpu.stablehlo", "rb").read()))
weights = dict(np.load("weights.npz"))
for name in "abc":
    found = exported.call(weights, given[f"wave_{name}"], given[f"lengths_{name}"])
    np.savez(f"found_{name}.npz", **found)
print(any(name.startswith(("serjax", "flax")) for name in sys.modules))
"""
CASES = {
    "five_folds": (SPEECH, {}),
    "frozen": (replace(FROZEN, pooling="attentive", head="relu", weighted_layers=True), {}),
    "cnn": (replace(SPEECH, freeze="cnn", pooling="stat"), {}),
    "wavlm": (FROZEN, {"model_type": "wavlm", "num_buckets": 8, "max_bucket_distance": 12}),
    "spectrogram": (Spectrogram(family="audio_cnn"), {}),
    "bilstm": (Functionals(), {}),
}


@pytest.mark.parametrize(
    "name",
    [case if case in ("five_folds", "spectrogram") else pytest.param(case, marks=pytest.mark.slow) for case in CASES],
)
def test_a_process_without_serjax_computes_the_ensembles_logits(tmp_path, name):
    model, changes = CASES[name]
    write_run(tmp_path / "run", model, layout=layout_with(**changes))
    models = read_models(tmp_path / "run")
    ensemble = Ensemble(models)
    made = program(models, ensemble.scoring, "little")
    out = tmp_path / "out"
    out.mkdir()
    files = write_stablehlo(made, out)
    assert (
        set(files)
        == {path.name for path in out.iterdir()}
        == {"weights.npz", *(f"{one}.stablehlo" for one in PLATFORMS)}
    )
    given = {"a": (1, 7000), "b": (2, 3000, 8000, 5000), "c": (3, 6400, 4000)}
    expected = {name: clips(made, ensemble, *one) for name, one in given.items()}
    np.savez(
        out / "given.npz",
        **{f"{kind}_{name}": one[at] for name, one in expected.items() for at, kind in enumerate(["wave", "lengths"])},
    )
    done = subprocess.run([sys.executable, "-c", READER], cwd=out, capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr
    for name, (_, _, logits) in expected.items():
        with np.load(out / f"found_{name}.npz") as found:
            largest = max(1, float(np.abs(logits).max()))
            np.testing.assert_allclose(found["logits"], logits, atol=1e-5 * largest)
            np.testing.assert_allclose(found["scores"], ensemble.scoring.scores(logits), atol=1e-4)


def test_programs_are_for_one_platform_each_and_hold_no_weights(tmp_path):
    write_run(tmp_path / "run")
    models = read_models(tmp_path / "run")
    write_stablehlo(program(models, Ensemble(models).scoring, "little"), tmp_path)
    for platform in PLATFORMS:
        exported = jax.export.deserialize(bytearray((tmp_path / f"{platform}.stablehlo").read_bytes()))
        assert exported.platforms == (platform,)
        assert str(exported.in_avals[-2].shape) == "(batch, time)"
    with np.load(tmp_path / "weights.npz") as weights:
        sizes = {array.size for array in weights.values()}
    assert sum(sizes) > 100
