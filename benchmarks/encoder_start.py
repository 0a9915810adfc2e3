"""What an encoder costs beside computing: the time to a first answer, to compile, and the memory of a training step.

    python benchmarks/encoder_start.py [--family hubert --size base --rounds 3]

First answer: whole processes, `python -m serjax.predict` and transformers' audio-classification pipeline, take turns on
one clip and one classifier with random weights; serjax's first run, which compiles, is given apart. Compilation: the
encoder on one 3 s clip, its layers in a Python loop as serjax has them, and the same layers in `lax.scan`. Memory: what
XLA reserves for a training step on eight clips of 3 s beside weights and optimizer, and the step's time, with layers
recomputed in the backward pass and without. Needs the extra `torch`.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import soundfile
from flax import nnx

from serjax.audio import SAMPLE_RATE
from serjax.checkpoints.conversion import to_tensors
from serjax.checkpoints.huggingface import save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.config.experiment import Experiment
from serjax.models.config import ModelConfig
from serjax.models.encoders.config import preset
from serjax.models.encoders.families import FAMILIES
from serjax.models.encoders.wav2vec2 import SpeechEncoder
from serjax.models.inputs import Inputs
from serjax.models.published import HeadLayout, PublishedClassifier
from serjax.models.speech import Classifier
from serjax.runtime.allocator import keep_memory
from serjax.training.classification import LabelledInputs
from serjax.training.optimizer import rate_factors
from serjax.training.update import TrialConstants, init_state, train_step

PIPELINE = """
import sys, warnings
import soundfile
warnings.simplefilter("ignore")
from transformers import pipeline
wave, rate = soundfile.read(sys.argv[2], dtype="float32")
print(pipeline("audio-classification", sys.argv[1])({"raw": wave, "sampling_rate": rate}))
"""


def first_answers(family: str, size: str, rounds: int) -> list[str]:
    """Time whole processes."""
    with tempfile.TemporaryDirectory() as name:
        folder, clip = Path(name) / "model", Path(name) / "clip.wav"
        classifier = PublishedClassifier(
            preset(family, size), HeadLayout("projector", 4, 256), normalize=True, rngs=nnx.Rngs(0)
        )
        head = {key: value for key, value in to_tensors(classifier).items() if not key.startswith("trunk.")}
        save_pretrained(
            classifier.trunk,
            folder,
            preprocessor=Preprocessor(),
            prefix=FAMILIES[family].prefix,
            extra_tensors=head,
            extra_config={
                "architectures": [f"{FAMILIES[family].architecture}ForSequenceClassification"],
                "id2label": {str(i): f"class {i}" for i in range(4)},
            },
        )
        soundfile.write(clip, np.random.default_rng(0).normal(0, 0.1, 3 * SAMPLE_RATE), SAMPLE_RATE)
        environment = {**os.environ, "XDG_CACHE_HOME": f"{name}/cache"}
        sides = {
            "serjax": [sys.executable, "-m", "serjax.predict", str(folder), str(clip)],
            "transformers": [sys.executable, "-c", PIPELINE, str(folder), str(clip)],
        }
        times: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(rounds + 1):
            for side, command in sides.items():
                began = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, env=environment)
                times[side].append(time.perf_counter() - began)
    first = times["serjax"][0]
    ours, theirs = (median(found[1:]) for found in times.values())
    return [
        "| process start to first answer | s |",
        "|---|---:|",
        f"| serjax, everything compiled before | {ours:.2f} |",
        f"| serjax, first time | {first:.2f} |",
        f"| transformers' pipeline | {theirs:.2f} |",
        f"| serjax / transformers | **{ours / theirs:.2f}** |",
    ]


def compilation(family: str, size: str) -> list[str]:
    """Time the compiler, and one call of what it made."""
    encoder = SpeechEncoder(preset(family, size), rngs=nnx.Rngs(0))
    graphdef, state = nnx.split(encoder)
    wave, length = jnp.ones((1, 3 * SAMPLE_RATE)), jnp.array([3 * SAMPLE_RATE])
    first, *rest = encoder.encoder.layers
    layer, _ = nnx.split(rest[0])
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(nnx.split(one)[1] for one in rest))

    def scanned(state: Any, stacked: Any, wave: Any, length: Any) -> Any:
        model = nnx.merge(graphdef, state)
        model.encoder.layers = nnx.List([first])
        x = model(wave, length).hidden_states[-1]
        mask = jnp.ones(x.shape[:2], bool)
        position = first.attention.relative_position(x.shape[1]) if family == "wavlm" else None

        def body(x: Any, state: Any) -> tuple[Any, None]:
            return nnx.merge(layer, state)(x, mask, None, position)[0], None

        return jax.lax.scan(body, x, stacked)[0]

    def looped(state: Any, wave: Any, length: Any) -> Any:
        return nnx.merge(graphdef, state)(wave, length).hidden_states[-1]

    lines = ["| layers | compiling, s | one clip of 3 s, ms |", "|---|---:|---:|"]
    for name, call, inputs in (
        ("in a Python loop (serjax)", looped, (state, wave, length)),
        ("in lax.scan", scanned, (state, stacked, wave, length)),
    ):
        began = time.perf_counter()
        compiled = jax.jit(call).lower(*inputs).compile()
        took = time.perf_counter() - began
        lines.append(f"| {name} | {took:.1f} | {1000 * _median(compiled, *inputs):.0f} |")
    return lines


def memory(family: str, size: str) -> list[str]:
    """Read XLA's plan of a training step's memory, and time the step."""
    lines = ["| CNN | layers recomputed (`--model.remat`) | temporary memory, GiB | step, s |", "|---|---|---:|---:|"]
    for frozen, remat in itertools.product((False, True), repeat=2):
        config = ModelConfig(pooling="mean", head="linear", freeze="cnn" if frozen else "nothing", remat=remat)
        model = Classifier(config, preset(family, size), 4, normalize=False, rngs=nnx.Rngs(0))
        graph, params, rest = nnx.split(model, partial(_trained, frozen), ...)
        call = partial(
            train_step, graphdef=graph, experiment=Experiment("bench", model=config), factors=rate_factors(params, ())
        )
        waves = jnp.ones((8, 3 * SAMPLE_RATE)), jnp.full(8, 3 * SAMPLE_RATE)
        inputs = LabelledInputs(Inputs(*waves), jnp.arange(8) % 4, jnp.ones(8))
        run = TrialConstants(jax.random.key(0), jnp.array(100), jnp.array(1e-5), jnp.ones(4))
        state = init_state(params)
        compiled = jax.jit(call).lower(state, inputs, run, rest).compile()
        reserved = compiled.memory_analysis().temp_size_in_bytes / 2**30
        seconds = _median(compiled, state, inputs, run, rest)
        cells = "frozen" if frozen else "trained", "yes" if remat else "no", f"{reserved:.2f}", f"{seconds:.2f}"
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _trained(frozen: bool, path: Any, _: Any) -> bool:
    return not (frozen and path[:2] == ("trunk", "feature_extractor"))


def _median(call: Any, *inputs: Any) -> float:
    jax.block_until_ready(call(*inputs))
    times = []
    for _ in range(5):
        began = time.perf_counter()
        jax.block_until_ready(call(*inputs))
        times.append(time.perf_counter() - began)
    return median(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", default="hubert")
    parser.add_argument("--size", default="base")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keep_memory()
    parts = [
        first_answers(options.family, options.size, options.rounds),
        compilation(options.family, options.size),
        memory(options.family, options.size),
    ]
    print(f"### {options.family} {options.size}\n\n" + "\n\n".join("\n".join(part) for part in parts))


if __name__ == "__main__":
    main()
