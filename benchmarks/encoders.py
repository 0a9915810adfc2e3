"""Encoders beside what their users run today: PyTorch eager and compiled, ONNX Runtime, serjax; same weights.

    python benchmarks/encoders.py [--families hubert wavlm --size base --rounds 5 --markdown docs/results/speed.md]

Every side is a process of its own with the same allocator settings, and they take turns: in each round each computes
each case for about a second, once before the clock starts, and its median counts. Cases: one 3 s clip, eight of them,
eight clips of 1 to 12 s, and a training step with AdamW on eight 3 s clips. PyTorch pads the clips of mixed length to
the longest, as its users do; serjax buckets them, as `predict` does. The floor is the case's floating-point operations
over the rate of a large float32 matrix product, best of all sides. The error of a side is the root mean square
difference of its last hidden states from PyTorch's in float32, over their standard deviation.
Needs the extra `bench`.
"""

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from serjax.audio import SAMPLE_RATE
from serjax.runtime.allocator import keep_memory

CASES = {
    "1 clip of 3 s": [3.0],
    "8 clips of 3 s": [3.0] * 8,
    "8 clips of 1 to 12 s": [1.0, 1.8, 2.7, 4.0, 5.5, 7.5, 9.5, 12.0],
}
TRAINING = {"training step, 8 x 3 s": False, "training step, CNN frozen": True}
SIDES = {
    "torch": "PyTorch eager",
    "torch-compiled": "PyTorch compiled",
    "torch-bfloat16": "PyTorch bf16",
    "onnx": "ONNX Runtime",
    "onnx-int8": "ONNX Runtime int8",
    "serjax": "serjax",
    "serjax-bfloat16": "serjax bf16",
}
PEERS = {"serjax": ["torch", "torch-compiled", "onnx"], "serjax-bfloat16": ["torch-bfloat16", "onnx-int8", "onnx"]}
"""Whom each of our sides stands beside; the two groups run one after the other, or memory would not do."""


def waves(seconds: list[float]) -> list[np.ndarray]:
    """Return a clip of noise of each length."""
    rng = np.random.default_rng(0)
    return [rng.normal(0, 1, round(s * SAMPLE_RATE)).astype(np.float32) for s in seconds]


def padded(clips: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return [b t] and the mask of true samples."""
    lengths = np.array([len(clip) for clip in clips])
    wave = np.zeros((len(clips), lengths.max()), np.float32)
    for row, clip in zip(wave, clips, strict=True):
        row[: len(clip)] = clip
    return wave, np.arange(wave.shape[1]) < lengths[:, None]


def torch_side(folder: Path, compiled: bool = False, dtype: str = "float32") -> dict[str, Callable[[], Any]]:
    """Return PyTorch's cases."""
    import torch
    import transformers

    model = transformers.AutoModel.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    forward = torch.compile(model) if compiled else model
    calls: dict[str, Callable[[], Any]] = {}

    def inference(clips: list[np.ndarray]) -> Callable[[], Any]:
        wave, mask = padded(clips)
        mask = None if mask.all() else torch.from_numpy(mask).long()
        tensor = torch.from_numpy(wave).to(model.dtype)

        def call() -> Any:
            with torch.inference_mode():
                return forward(tensor, attention_mask=mask).last_hidden_state.float().numpy()

        return call

    def training(frozen: bool) -> Callable[[], Any]:
        tensor, label = torch.from_numpy(padded(waves([3.0] * 8))[0]), torch.arange(8) % 4
        cast = torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16")
        head = torch.nn.Linear(model.config.hidden_size, 4)

        def step(state: dict[str, Any]) -> None:
            if not state:
                state["model"] = copy.deepcopy(model).float().train()
                for name, parameter in state["model"].named_parameters():
                    parameter.requires_grad_(not (frozen and name.startswith("feature_extractor")))
                kept = [p for p in state["model"].parameters() if p.requires_grad]
                state["adam"] = torch.optim.AdamW([*kept, *head.parameters()], lr=1e-5, fused=True)
            with cast:
                logits = head(state["model"](tensor).last_hidden_state.mean(1))
            loss = torch.nn.functional.cross_entropy(logits, label)
            state["adam"].zero_grad()
            loss.backward()
            state["adam"].step()

        state: dict[str, Any] = {}
        return lambda: step(state)

    for name, seconds in CASES.items():
        calls[name] = inference(waves(seconds))
    if not compiled:
        for name, frozen in TRAINING.items():
            calls[name] = training(frozen)
    size = 4096
    left, right = torch.randn(size, size), torch.randn(size, size)
    calls["matmul"] = lambda: left @ right
    return calls


def onnx_side(folder: Path, int8: bool = False) -> dict[str, Callable[[], Any]]:
    """Return ONNX Runtime's cases, exported from PyTorch (without a mask, so not for mixed lengths).

    int8 quantises the weights of matrix products, and what they are multiplied with on the fly.
    """
    import onnxruntime
    import torch
    import transformers
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = transformers.AutoModel.from_pretrained(folder).eval()
    calls = {}
    for name in list(CASES)[:2]:
        wave = padded(waves(CASES[name]))[0]
        path = folder / f"{len(wave)}{'-int8' * int8}.onnx"
        with torch.inference_mode():
            torch.onnx.export(model, (torch.from_numpy(wave),), path, dynamo=True, verbose=False)
        if int8:
            quantize_dynamic(path, path, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        inputs = {session.get_inputs()[0].name: wave}
        calls[name] = lambda session=session, inputs=inputs: session.run(None, inputs)[0]
    return calls


def serjax_side(folder: Path, dtype: str = "float32") -> dict[str, Callable[[], Any]]:
    """Return serjax's cases."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from serjax import cli
    from serjax.checkpoints.huggingface import load_encoder
    from serjax.config.experiment import Experiment
    from serjax.data.batching.lengths import bucket
    from serjax.models.config import ModelConfig
    from serjax.models.functional import cast
    from serjax.models.inputs import Inputs
    from serjax.models.speech import Classifier, is_frozen
    from serjax.training.classification import LabelledInputs
    from serjax.training.optimizer import rate_factors
    from serjax.training.update import TrialConstants, init_state, train_step

    cli.compilation_cache()
    encoder = load_encoder(str(folder)).encoder
    graphdef, state = nnx.split(encoder)
    state = cast(state, dtype)
    encode = jax.jit(
        lambda state, wave, length: (
            nnx.merge(graphdef, state)(wave.astype(dtype), length).hidden_states[-1].astype("float32")
        )
    )
    calls: dict[str, Callable[[], Any]] = {}

    def inference(clips: list[np.ndarray], exact: bool) -> Callable[[], Any]:
        groups = [list(group) for _, group in groupby(clips, lambda clip: bucket(len(clip)))]
        batches = []
        for group in groups:
            longest = max(map(len, group)) if exact else bucket(len(group[-1]))
            wave = np.zeros((len(group), longest), np.float32)
            for row, clip in zip(wave, group, strict=True):
                row[: len(clip)] = clip
            batches.append((wave, np.array([len(clip) for clip in group])))
        return lambda: np.concatenate([np.asarray(encode(state, *batch)).ravel() for batch in batches])

    def training(frozen: bool) -> Callable[[], Any]:
        model = ModelConfig(pooling="mean", head="linear", freeze="cnn" if frozen else "nothing", dtype=dtype)
        experiment = Experiment("bench", model=model)
        whole = Classifier(model, encoder.config, 4, normalize=False, rngs=nnx.Rngs(0))
        graph, params, rest = nnx.split(whole, lambda path, _: not is_frozen(path, model, encoder.config), ...)
        factors = rate_factors(params, ())
        wave = jnp.asarray(padded(waves([3.0] * 8))[0])
        inputs = LabelledInputs(Inputs(wave, jnp.full(8, wave.shape[1])), jnp.arange(8) % 4, jnp.ones(8))
        run = TrialConstants(jax.random.key(0), jnp.array(100), jnp.array(1e-5), jnp.ones(4))

        def step(state: Any, inputs: LabelledInputs, run: TrialConstants, rest: Any) -> Any:
            return train_step(state, inputs, run, rest, graphdef=graph, experiment=experiment, factors=factors)

        compiled = jax.jit(step, donate_argnums=0)
        kept: list[Any] = []

        def call() -> None:
            if not kept:
                kept.append(init_state(jax.tree.map(jnp.copy, params)))
            kept[0], metrics = compiled(kept[0], inputs, run, rest)
            jax.block_until_ready((kept[0], metrics))

        return call

    for name, seconds in CASES.items():
        calls[name] = inference(waves(seconds), exact=len(set(seconds)) == 1)
    for name, frozen in TRAINING.items():
        calls[name] = training(frozen)

    def operations() -> dict[str, float]:
        found = {}
        for name in list(CASES)[:2]:
            wave = jnp.zeros((len(CASES[name]), 3 * SAMPLE_RATE))
            cost = encode.lower(state, wave, jnp.full(len(wave), wave.shape[1])).compile().cost_analysis()
            found[name] = float(cost["flops"])
        return found

    calls["operations"] = operations
    left = jnp.ones((4096, 4096))
    product = jax.jit(lambda left: left @ left)
    calls["matmul"] = lambda: product(left).block_until_ready()
    return calls


def work(side: str, folder: Path) -> None:
    """Serve one side: a case's name comes in on a line, its seconds go out."""
    keep_memory()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    make = {
        "torch": lambda: torch_side(folder),
        "torch-compiled": lambda: torch_side(folder, compiled=True),
        "torch-bfloat16": lambda: torch_side(folder, dtype="bfloat16"),
        "onnx": lambda: onnx_side(folder),
        "onnx-int8": lambda: onnx_side(folder, int8=True),
        "serjax": lambda: serjax_side(folder),
        "serjax-bfloat16": lambda: serjax_side(folder, dtype="bfloat16"),
    }
    calls = make[side]()
    np.save(folder / f"{side}.npy", np.ravel(calls[next(iter(CASES))]()))
    print(json.dumps(list(calls)), file=out, flush=True)
    for line in sys.stdin:
        call = calls[line.strip()]
        found = call()  # compiles, and fills the caches that the other sides have emptied
        answer = found if isinstance(found, dict) else _seconds(call)
        print(json.dumps(answer), file=out, flush=True)


def _seconds(call: Callable[[], Any]) -> float:
    """Return the median time of calls that together take a second or more."""
    times: list[float] = []
    while sum(times) < 1:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return median(times)


class Side:
    """A process that computes cases when asked."""

    def __init__(self, name: str, folder: Path) -> None:
        """Start it and wait until it is ready."""
        self.name = name
        command = [sys.executable, __file__, "--worker", name, "--folder", str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.cases = self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} has stopped; see above.")
        return json.loads(line)

    def ask(self, case: str) -> Any:
        """Return the seconds (or the facts) of a case."""
        assert self.process.stdin is not None
        print(case, file=self.process.stdin, flush=True)
        return self._read()


@contextmanager
def weights(family: str, size: str) -> Iterator[Path]:
    """Write a checkpoint with random weights that all sides load."""
    from flax import nnx

    from serjax.checkpoints.huggingface import save_pretrained
    from serjax.checkpoints.preprocessor import Preprocessor
    from serjax.models.encoders.config import preset
    from serjax.models.encoders.wav2vec2 import SpeechEncoder

    with tempfile.TemporaryDirectory() as name:
        encoder = SpeechEncoder(preset(family, size), rngs=nnx.Rngs(0))
        save_pretrained(encoder, name, preprocessor=Preprocessor())
        yield Path(name)


class Found(NamedTuple):
    """What was measured: seconds of each case and side, floors in seconds, errors of sides, FLOP/s of a product."""

    times: dict[str, dict[str, float]]
    floors: dict[str, float]
    errors: dict[str, float]
    rate: float


def measure(folder: Path, names: list[str], wanted: list[str], rounds: int) -> Found:
    """Let the sides take turns; times are medians."""
    sides = [Side(name, folder) for name in names]
    times: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for case in [*wanted, "matmul"]:
            for side in sides:
                if case in side.cases:
                    times.setdefault(case, {}).setdefault(side.name, []).append(side.ask(case))
    rate = 2 * 4096**3 / min(min(found) for found in times.pop("matmul").values())
    work = next((side.ask("operations") for side in sides if "operations" in side.cases), {})
    for side in sides:
        side.process.kill()
        side.process.wait()
    medians = {case: {name: median(found) for name, found in by.items()} for case, by in times.items()}
    exact = np.load(folder / "torch.npy")
    errors = {name: float(np.std(np.load(folder / f"{name}.npy") - exact) / np.std(exact)) for name in names}
    return Found(medians, {case: count / rate for case, count in work.items()}, errors, rate)


def table(found: Found, own: str, peers: list[str]) -> list[str]:
    """Return one table: the time of `own` over each peer's, and the share of the floor reached; then milliseconds."""
    lines = [
        f"A large float32 matrix product runs at {found.rate / 1e9:.0f} GFLOP/s.",
        "",
        f"| {SIDES[own]} | {' | '.join(f'/ {SIDES[name]}' for name in peers)} | floor reached | ms | "
        f"{' | '.join(f'{SIDES[name]}, ms' for name in peers)} |",
        f"|---|{'---:|' * (2 * len(peers) + 2)}",
    ]
    for case, by in found.times.items():
        floor = found.floors.get(case)
        cells = [f"**{by[own] / by[name]:.2f}**" if name in by else "" for name in peers]
        cells += [f"{floor / by[own]:.0%}" if floor else "", f"{1000 * by[own]:.0f}"]
        cells += [f"{1000 * by[name]:.0f}" if name in by else "" for name in peers]
        lines.append(f"| {case} | {' | '.join(cells)} |")
    errors = ", ".join(f"{SIDES[name]} {found.errors[name]:.1e}" for name in [own, *peers])
    return [*lines, "", f"Errors: {errors}.", ""]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", default=["hubert", "wavlm"])
    parser.add_argument("--size", default="base")
    parser.add_argument("--cases", nargs="+", default=[*CASES, *TRAINING])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", type=Path, help="write the tables to this file too")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.folder)
        return
    lines = []
    for family in options.families:
        lines += [f"### {family} {options.size}", ""]
        with weights(family, options.size) as folder:
            for own, peers in PEERS.items():
                lines += table(measure(folder, [*peers, own], options.cases, options.rounds), own, peers)
                print("\n".join(lines), flush=True)
    if options.markdown:
        options.markdown.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
