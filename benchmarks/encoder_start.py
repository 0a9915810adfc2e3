"""What an encoder costs beside computing: the time to a first answer, to compile, and the memory of a training step.

    python benchmarks/encoder_start.py [--family hubert --size base --rounds 3]

First answer: whole processes, `python -m serjax.predict` and transformers' audio-classification pipeline, on one clip
and one classifier with random weights; serjax's first run, which compiles, is given apart. Compilation: the encoder on
one 3 s clip, its layers in a Python loop as serjax has them, and the same layers in `lax.scan`. Memory: what XLA
reserves for a training step on eight clips of 3 s beside weights and optimizer, and the step's time, with layers
recomputed in the backward pass and without. Needs the extra `torch`.
"""

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import harness
import jax
import jax.numpy as jnp
import numpy as np
import soundfile
from flax import nnx
from training_step import TrainingStep

from serjax.audio import SAMPLE_RATE
from serjax.checkpoints.conversion import to_tensors
from serjax.checkpoints.huggingface import save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.models.base import EncoderLayout
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import preset
from serjax.models.encoders.families import FAMILIES
from serjax.models.inputs import Inputs
from serjax.models.published import HeadLayout, PublishedClassifier
from serjax.models.speech import Speech
from serjax.runtime.allocator import keep_memory
from serjax.training.classification import LabelledInputs

RECOMPUTED, TRANSFORMERS, SCAN, KEPT = "layers recomputed", "transformers' pipeline", "layers in lax.scan", "kept"
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
"""What `keep_memory` sets, for processes that do not call it."""

PIPELINE = """
import sys, warnings
import soundfile
warnings.simplefilter("ignore")
from transformers import pipeline
wave, rate = soundfile.read(sys.argv[2], dtype="float32")
print(pipeline("audio-classification", sys.argv[1])({"raw": wave, "sampling_rate": rate}))
"""


def first_answers(family: str, size: str, names: list[str], rounds: int) -> tuple[harness.Values, str]:
    """Time whole processes; tell the first run of serjax."""
    with tempfile.TemporaryDirectory() as name:
        folder, clip = Path(name) / "model", Path(name) / "clip.wav"
        write_classifier(family, size, folder)
        soundfile.write(clip, np.random.default_rng(0).normal(0, 0.1, 3 * SAMPLE_RATE), SAMPLE_RATE)
        environment = os.environ | ALLOCATOR | {"XDG_CACHE_HOME": f"{name}/cache", "SERJAX_CACHE": f"{name}/xla"}
        commands = {
            "serjax": ["-m", "serjax.predict", str(folder), str(clip)],
            TRANSFORMERS: ["-c", PIPELINE, str(folder), str(clip)],
        }

        def turn(side: str) -> float:
            answer = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL, env=environment)
            return harness.clock(lambda: answer([sys.executable, *commands[side]]), again=False)

        first = {side: turn(side) for side in names}["serjax"]
        turns = {side: partial(turn, side) for side in names}
        values = harness.in_turns({"process start to first answer": turns}, rounds)
    return values, f"serjax takes {harness.amounts([first])} the first time, when nothing is compiled."


def write_classifier(family: str, size: str, folder: Path) -> None:
    """Write a published classifier with random weights."""
    classifier = PublishedClassifier(
        preset(family, size), HeadLayout("projector", 4, 256), normalize=True, rngs=nnx.Rngs(0)
    )
    head = {key: value for key, value in to_tensors(classifier).items() if not key.startswith("speech_encoder.")}
    save_pretrained(
        classifier.speech_encoder,
        folder,
        preprocessor=Preprocessor(),
        prefix=FAMILIES[family].prefix,
        extra_tensors=head,
        extra_config={
            "architectures": [f"{FAMILIES[family].architecture}{FAMILIES[family].classifier}"],
            "id2label": {str(i): f"class {i}" for i in range(4)},
        },
    )


def compilation(family: str, size: str, options: Any) -> harness.Values:
    """Time the compiler, and one call of what it made."""
    encoder: Any = build_encoder(preset(family, size), rngs=nnx.Rngs(0))
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
        relative = getattr(first.attention, "relative_position", None)
        position = relative(x.shape[1]) if relative else None

        def body(x: Any, state: Any) -> tuple[Any, None]:
            return nnx.merge(layer, state)(x, mask, None, position)[0], None

        return jax.lax.scan(body, x, stacked)[0]

    def looped(state: Any, wave: Any, length: Any) -> Any:
        return nnx.merge(graphdef, state)(wave, length).hidden_states[-1]

    given = {"serjax": (looped, (state, wave, length)), SCAN: (scanned, (state, stacked, wave, length))}
    compiled: dict[str, Any] = {}

    def compile_again(side: str) -> float:
        call, inputs = given[side]
        jax.clear_caches()
        return harness.clock(lambda: compiled.update({side: jax.jit(call).lower(*inputs).compile()}), again=False)

    def run(side: str) -> float:
        return harness.clock(lambda: jax.block_until_ready(compiled[side](*given[side][1])), options.turn)

    cases = {"compiling": compile_again, "one clip of 3 s": run}
    turns = {case: {side: partial(turn, side) for side in given} for case, turn in cases.items()}
    return harness.in_turns(turns, options.rounds)


def memory(family: str, size: str, options: Any) -> tuple[harness.Values, dict[str, str]]:
    """Time a training step and read XLA's plan of its memory; return the units of the latter, too."""
    values, units = {}, {}
    wave = Inputs(jnp.ones((8, 3 * SAMPLE_RATE)), jnp.full(8, 3 * SAMPLE_RATE))
    batch = LabelledInputs(wave, jnp.arange(8) % 4, jnp.ones(8))
    for freeze, told in (("nothing", "training step"), ("cnn", "training step, CNN frozen")):
        steps = {}
        for side, remat in ((RECOMPUTED, True), (KEPT, False)):
            layout = EncoderLayout(preset(family, size))
            config = Speech(pooling="mean", head="linear", freeze=freeze, remat=remat, layout=layout)
            steps[side] = TrainingStep(config.build(4, rngs=nnx.Rngs(0)), batch, 4, config.trainable)
        turns = {side: partial(harness.clock, step, options.turn) for side, step in steps.items()}
        values |= harness.in_turns({told: turns}, options.rounds)
        values[f"{told}: memory"] = {side: [step.temporary_memory() / 2**30] for side, step in steps.items()}
        units[f"{told}: memory"] = "GiB"
    return values, units


def main() -> None:
    """Measure and publish."""
    parser = harness.parser(__doc__, rounds=3)
    parser.add_argument("--family", default="hubert")
    parser.add_argument("--size", default="base")
    options = parser.parse_args()
    keep_memory()
    names, told = harness.installed({"serjax": [], TRANSFORMERS: ["torch", "transformers"]})
    answers, first = first_answers(options.family, options.size, names, options.rounds)
    compiling = compilation(options.family, options.size, options)
    steps, units = memory(options.family, options.size, options)
    parts = [
        f"{options.family} {options.size}.",
        harness.comparison(answers),
        first,
        harness.comparison(compiling),
        harness.comparison(steps, RECOMPUTED, units=units),
    ]
    harness.publish([*parts, *told], options, ["torch", "transformers"])


if __name__ == "__main__":
    main()
