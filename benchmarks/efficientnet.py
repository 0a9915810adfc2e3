"""EfficientNet-B0 from waves to features beside what its users run: PyTorch eager and compiled, ONNX Runtime, serjax.

    python benchmarks/efficientnet.py [--rounds 5 --batches 1 8 64 --markdown FILE]

All sides load the same random weights, batch statistics included, and start from the same clips of 3 s of noise: each
makes log-mels of 128 x 300 of them, the peers by torch.stft as torchaudio does. Every side is a process of its own with
the same allocator settings, and they take turns: in each round each computes each case for about a second, once before
the clock starts, and its median counts. Cases: features of a batch, and a training step (a linear head on the features,
cross-entropy, AdamW) on sixteen clips. The error of a side is the root mean square difference of its features from
PyTorch's, over their standard deviation. Needs the extra `bench`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from serjax.audio import SAMPLE_RATE
from serjax.audio.spectrogram import AMIN, EFFICIENTNET, log_mel, mel_filters
from serjax.runtime.allocator import keep_memory

SIDES = {
    "torch": "PyTorch eager",
    "torch-compiled": "PyTorch compiled",
    "onnx": "ONNX Runtime",
    "serjax": "serjax",
}
CLASSES, TRAINED = 6, 16
TRAINING = f"training step, {TRAINED}"


def waves(count: int) -> np.ndarray:
    """Return clips of 3 s of noise, [b 48000]."""
    return np.random.default_rng(0).normal(0, 0.1, (count, 3 * SAMPLE_RATE)).astype(np.float32)


def torch_log_mel() -> Callable[[Any], Any]:
    """Return the front end `EFFICIENTNET` in PyTorch: waves [b t] to images [b 1 128 300]."""
    import torch

    front = EFFICIENTNET
    window = torch.hann_window(front.win_length)
    filters = torch.from_numpy(np.asarray(mel_filters(front.n_fft, front.mels, scale=front.scale, norm=front.mel_norm)))

    def call(wave: Any) -> Any:
        bins = torch.stft(
            wave, front.n_fft, front.hop, front.win_length, window, pad_mode="constant", return_complex=True
        )
        return (filters @ bins.abs().square()).clamp(min=AMIN).log()[:, None, :, : front.frames]

    return call


def write_weights(folder: Path) -> None:
    """Write a checkpoint for one channel with random weights and batch statistics."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.EfficientNetConfig(
        num_channels=1, width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, batch_norm_momentum=0.99
    )
    model = transformers.EfficientNetModel(config)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=(2 / module.weight[0].numel()) ** 0.5)
        elif isinstance(module, torch.nn.BatchNorm2d):
            for value, low in ((module.weight, 0.8), (module.running_var, 0.8), (module.running_mean, -0.2)):
                torch.nn.init.uniform_(value, low, low + 0.4)
    model.save_pretrained(folder)


def torch_side(folder: Path, batches: list[int], compiled: bool = False) -> dict[str, Callable[[], Any]]:
    """Return PyTorch's cases."""
    import torch
    import transformers

    model, front = transformers.EfficientNetModel.from_pretrained(folder).eval(), torch_log_mel()

    def encode(wave: Any) -> Any:
        return model(front(wave)).pooler_output

    forward = torch.compile(encode) if compiled else encode

    def inference(count: int) -> Callable[[], Any]:
        wave = torch.from_numpy(waves(count))

        def call() -> Any:
            model.eval()
            with torch.inference_mode():
                return forward(wave).numpy()

        return call

    cases = {f"batch {count}": inference(count) for count in batches}
    wave, label = torch.from_numpy(waves(TRAINED)), torch.arange(TRAINED) % CLASSES
    head = torch.nn.Linear(model.config.hidden_dim, CLASSES)
    adam = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=1e-5, fused=True)

    def training() -> None:
        model.train()
        loss = torch.nn.functional.cross_entropy(head(forward(wave)), label)
        adam.zero_grad()
        loss.backward()
        adam.step()

    return {**cases, TRAINING: training}


def onnx_side(folder: Path, batches: list[int]) -> dict[str, Callable[[], Any]]:
    """Return ONNX Runtime's cases: the front end in PyTorch, the network exported at each batch size."""
    import onnxruntime
    import torch
    import transformers

    model = transformers.EfficientNetModel.from_pretrained(folder).eval()
    front = torch_log_mel()

    def inference(count: int) -> Callable[[], Any]:
        path, wave = folder / f"{count}.onnx", torch.from_numpy(waves(count))
        with torch.inference_mode():
            torch.onnx.export(model, (front(wave),), path, dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def call() -> Any:
            with torch.inference_mode():
                return session.run(None, {name: front(wave).numpy()})[1]

        return call

    return {f"batch {count}": inference(count) for count in batches}


def serjax_side(folder: Path, batches: list[int]) -> dict[str, Callable[[], Any]]:
    """Return serjax's cases."""
    import jax
    import jax.numpy as jnp
    import optax
    from flax import nnx

    from serjax.checkpoints.efficientnet import load_efficientnet

    network = load_efficientnet(str(folder))
    graphdef, params, statistics = nnx.split(network, nnx.Param, nnx.BatchStat)
    leaves, treedef = jax.tree.flatten((params, statistics))  # nnx's own flattening takes 0.2 ms a call
    encode = jax.jit(
        lambda leaves, wave: nnx.merge(graphdef, *jax.tree.unflatten(treedef, leaves))(front(wave)),
        compiler_options={"xla_cpu_prefer_vector_width": 512},
    )

    def front(wave: Any) -> Any:
        return log_mel(wave, EFFICIENTNET)[..., None]

    def inference(count: int) -> Callable[[], Any]:
        wave = waves(count)
        return lambda: np.asarray(encode(leaves, wave))

    cases = {f"batch {count}": inference(count) for count in batches}
    wave, label = jnp.asarray(waves(TRAINED)), jnp.arange(TRAINED) % CLASSES
    optimizer = optax.adamw(1e-5)

    def step(state: Any, wave: jax.Array, key: jax.Array) -> Any:
        (params, head), statistics, adam = state

        def loss(trained: Any) -> Any:
            model = nnx.merge(graphdef, trained[0], statistics, copy=True)
            logits = model(front(wave), key=key) @ trained[1]
            value = optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
            return value, nnx.state(model, nnx.BatchStat)

        (_, statistics), gradient = jax.value_and_grad(loss, has_aux=True)((params, head))
        updates, adam = optimizer.update(gradient, adam, (params, head))
        return optax.apply_updates((params, head), updates), statistics, adam

    compiled = jax.jit(step, donate_argnums=0)
    kept: list[Any] = []

    def training() -> None:
        if not kept:
            trained = jax.tree.map(jnp.copy, (params, jnp.zeros((network.config.hidden_dim, CLASSES))))
            kept.append((trained, jax.tree.map(jnp.copy, statistics), optimizer.init(trained)))
        kept[0] = jax.block_until_ready(compiled(kept[0], wave, jax.random.key(0)))

    return {**cases, TRAINING: training}


def work(side: str, folder: Path, batches: list[int]) -> None:
    """Serve one side: a case's name comes in on a line, its seconds go out."""
    keep_memory()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    make = {
        "torch": torch_side,
        "torch-compiled": lambda *given: torch_side(*given, compiled=True),
        "onnx": onnx_side,
        "serjax": serjax_side,
    }
    calls = make[side](folder, batches)
    np.save(folder / f"{side}.npy", calls[f"batch {batches[0]}"]())
    print(json.dumps(list(calls)), file=out, flush=True)
    for line in sys.stdin:
        call = calls[line.strip()]
        call()  # compiles, and fills the caches that the other sides have emptied
        times: list[float] = []
        while sum(times) < 1:
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        print(median(times), file=out, flush=True)


class Side:
    """A process that computes cases when asked."""

    def __init__(self, name: str, folder: Path, batches: list[int]) -> None:
        """Start it and wait until it is ready."""
        self.name = name
        command = [sys.executable, __file__, "--worker", name, "--folder", str(folder), "--batches", *map(str, batches)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.cases = self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} has stopped; see above.")
        return json.loads(line)

    def ask(self, case: str) -> float:
        """Return the seconds of a case."""
        assert self.process.stdin is not None
        print(case, file=self.process.stdin, flush=True)
        return float(self._read())


def table(found: dict[str, dict[str, float]], errors: dict[str, float]) -> str:
    """Return the time of serjax over each peer's, then milliseconds."""
    peers = [name for name in SIDES if name != "serjax" and name in errors]
    lines = [
        f"| serjax | {' | '.join(f'/ {SIDES[name]}' for name in peers)} | ms | "
        f"{' | '.join(f'{SIDES[name]}, ms' for name in peers)} |",
        f"|---|{'---:|' * (2 * len(peers) + 1)}",
    ]
    for case, by in found.items():
        cells = [f"**{by['serjax'] / by[name]:.2f}**" if name in by else "" for name in peers]
        cells += [f"{1000 * by[name]:.1f}" if name in by else "" for name in ["serjax", *peers]]
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"Errors: {', '.join(f'{SIDES[name]} {errors[name]:.1e}' for name in errors)}.", ""])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--cases", nargs="+", help="all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", type=Path, help="write the table to this file too")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.folder, options.batches)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_weights(folder)
        sides = [Side(name, folder, options.batches) for name in options.sides]
        times: dict[str, dict[str, list[float]]] = {}
        for _ in range(options.rounds):
            for case in options.cases or sides[0].cases:
                for side in sides:
                    if case in side.cases:
                        times.setdefault(case, {}).setdefault(side.name, []).append(side.ask(case))
        for side in sides:
            side.process.kill()
            side.process.wait()
        features = {name: np.load(folder / f"{name}.npy") for name in options.sides}
    exact = features[options.sides[0]]
    errors = {name: float(np.std(value - exact) / np.std(exact)) for name, value in features.items()}
    found = {case: {name: median(values) for name, values in by.items()} for case, by in times.items()}
    text = table(found, errors)
    print(text)
    if options.markdown:
        options.markdown.write_text(text)


if __name__ == "__main__":
    main()
