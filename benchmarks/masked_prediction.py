"""A step of masked prediction beside the same step with transformers' HubertModel in PyTorch, from the same weights.

    python benchmarks/masked_prediction.py [--sizes base small --seconds 87.5 --clip 5 --rounds 5 --dtypes float32]

Both take clips of noise of one length, as much audio as a batch has, mask spans (0.8, 10 frames), and make an AdamW
update (fused in PyTorch) of loss plus 10 x penalty, clipped at 10; dropout is on. Masks are drawn anew in each step, on
the device here and by transformers' own function there. PyTorch computes logits of masked frames alone, as fairseq
does. Every side is a process of its own with the same allocator settings, and they take turns: in each round each
computes each case for some seconds, once before the clock starts, and its median counts. First the losses of one batch
with one mask and no dropout are shown, which must agree. Runs on a GPU where both find one. Needs the extra `bench`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from serjax.audio import SAMPLE_RATE
from serjax.runtime.allocator import keep_memory
from serjax.training.config import MaskedConfig
from serjax.training.fold_axis import BATCH, FOLD

CASES = {"CNN frozen": 0.0, "CNN trained": 1.0}
CLUSTERS = 500
CONFIG = MaskedConfig()


def batch(seconds: float, clip: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return waves, a label a frame, and a mask that is the same for all sides."""
    rng = np.random.default_rng(0)
    samples = round(clip * SAMPLE_RATE)
    count = (samples - 400) // 320 + 1
    rows = max(1, int(seconds / clip))
    wave = rng.normal(0, 1, (rows, samples)).astype(np.float32)
    return (
        wave,
        rng.integers(0, CLUSTERS, (rows, count)),
        np.repeat(rng.random((rows, count // 5 + 1)) < 0.5, 5, 1)[:, :count],
    )


def torch_side(folder: Path, inputs: Any, dtype: str) -> dict[str, Callable[[], Any]]:
    """Return PyTorch's cases."""
    import torch
    import transformers
    from transformers.models.hubert.modeling_hubert import _compute_mask_indices

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tensors = [torch.from_numpy(array).to(device) for array in inputs]
    saved = np.load(folder / "head.npz")

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = transformers.HubertModel.from_pretrained(folder)
            self.final_proj = torch.nn.Linear(self.trunk.config.hidden_size, CONFIG.projection)
            self.codes = torch.nn.Parameter(torch.from_numpy(saved["codes"]))
            with torch.no_grad():
                self.final_proj.weight.copy_(torch.from_numpy(saved["kernel"].T))
                self.final_proj.bias.zero_()

        def forward(self, wave: Any, label: Any, mask: Any, mult: float) -> Any:
            with torch.set_grad_enabled(mult > 0 and torch.is_grad_enabled()):
                features = self.trunk.feature_extractor(wave)
            penalty = features.float().pow(2).mean()
            hidden = self.trunk.feature_projection(features.transpose(1, 2))
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            hidden = torch.where(mask[:, :, None], self.trunk.masked_spec_embed.to(hidden.dtype), hidden)
            x = self.final_proj(self.trunk.encoder(hidden).last_hidden_state[mask]).float()
            unit = torch.nn.functional.normalize
            logits = unit(x, dim=-1) @ unit(self.codes, dim=-1).T / CONFIG.temperature
            loss = torch.nn.functional.cross_entropy(logits, label[mask])
            return loss + CONFIG.feature_penalty * penalty

    def loss() -> float:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            return float(Network().to(device).eval()(*tensors, 0.0))

    def training(mult: float) -> Callable[[], Any]:
        kept: dict[str, Any] = {}

        def step() -> None:
            if not kept:
                model = kept["model"] = Network().to(device).train()
                if mult == 0:
                    model.trunk.feature_extractor.requires_grad_(False)
                trained = [value for value in model.parameters() if value.requires_grad]
                adam = CONFIG.optimizer
                kept["adam"] = torch.optim.AdamW(
                    trained, lr=1e-5, betas=(adam.beta1, adam.beta2), eps=adam.epsilon, weight_decay=0.01, fused=True
                )
            wave, label, mask = tensors
            drawn = _compute_mask_indices(tuple(mask.shape), CONFIG.mask_prob, CONFIG.mask_length, min_masks=2)
            with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
                value = kept["model"](wave, label, torch.from_numpy(drawn).to(device), mult)
            kept["adam"].zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(kept["model"].parameters(), CONFIG.optimizer.clip_norm)
            kept["adam"].step()
            if device == "cuda":
                torch.cuda.synchronize()

        return step

    return {"loss": loss, **{name: training(mult) for name, mult in CASES.items()}}


def serjax_side(folder: Path, inputs: Any, dtype: str) -> dict[str, Callable[[], Any]]:
    """Return serjax's cases."""
    from dataclasses import replace

    import jax
    import jax.numpy as jnp
    from flax import nnx

    from serjax import cli
    from serjax.checkpoints.huggingface import load_encoder
    from serjax.models.functional import flat
    from serjax.training.fold_axis import fold_axis
    from serjax.training.masked_prediction import FrameBatch, part_loss
    from serjax.training.pretrain_loop import set_up
    from serjax.training.update import init_state

    cli.compilation_cache()
    encoder = load_encoder(str(folder)).encoder
    saved = np.load(folder / "head.npz")
    given = {f"trunk.{name}": leaf for name, leaf in flat(nnx.state(encoder, nnx.Param)).items()}
    given |= {"final_proj.kernel": jnp.asarray(saved["kernel"]), "label_embeddings": jnp.asarray(saved["codes"])}
    axis = fold_axis(1, 1, together=True, devices=jax.devices()[:1])
    wave, label, mask = inputs
    frames = FrameBatch(wave, np.full(len(wave), wave.shape[1], np.int32), label.astype(np.int32))
    placed = axis.shard(jax.tree.map(lambda x: x[None], frames), BATCH)

    def prepared(mult: float) -> Any:
        config = replace(CONFIG, feature_grad_mult=mult, dtype=dtype)
        keys = jax.random.split(jax.random.key(0), 1)
        return config, set_up(config, encoder.config, CLUSTERS, normalize=False, keys=keys, axis=axis, given=given)

    def loss() -> float:
        config, setup = prepared(0.0)
        counts = int(mask.sum()), int((~mask).sum())
        given_batch = jax.tree.map(jnp.asarray, (frames, mask))
        call = jax.jit(
            lambda *state: part_loss(*state, *given_batch, counts, None, graphdef=setup.graphdef, config=config)
        )
        return float(call(axis.first(setup.params), setup.frozen)[0])

    def training(mult: float) -> Callable[[], Any]:
        kept: list[Any] = []

        def step() -> None:
            if not kept:
                _, setup = prepared(mult)
                kept.extend([setup, axis.jit(init_state, (FOLD,))(setup.params)])
            setup, state = kept
            kept[1], told = setup.step(np.ones(1, bool), state, placed, setup.keys, setup.frozen)
            jax.block_until_ready((kept[1], told))

        return step

    return {"loss": loss, **{name: training(mult) for name, mult in CASES.items()}}


def work(options: argparse.Namespace) -> None:
    """Serve one side: a case's name comes in on a line, its answer goes out."""
    keep_memory()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    side, dtype = options.worker.split("-")
    make = {"torch": torch_side, "serjax": serjax_side}[side]
    calls = make(options.folder, batch(options.seconds, options.clip), dtype)
    print(json.dumps("ready"), file=out, flush=True)
    for line in sys.stdin:
        case = line.strip()
        print(json.dumps(calls[case]() if case == "loss" else seconds_of(calls[case])), file=out, flush=True)


def seconds_of(call: Callable[[], Any]) -> float:
    """Return the median time of calls that together take two seconds or more, and are at least two."""
    call()
    times: list[float] = []
    while sum(times) < 2 or len(times) < 2:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return median(times)


class Side:
    """A process that computes cases when asked."""

    def __init__(self, name: str, folder: Path, options: argparse.Namespace) -> None:
        """Start it and wait until it is ready."""
        command = [sys.executable, __file__, "--worker", name, "--folder", str(folder)]
        command += ["--seconds", str(options.seconds), "--clip", str(options.clip)]
        # Two frameworks share a GPU's memory.
        environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        self.name = name
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.read()

    def read(self) -> Any:
        """Return its next answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} has stopped; see above.")
        return json.loads(line)

    def ask(self, case: str) -> float:
        """Return the seconds of a case, or the loss."""
        assert self.process.stdin is not None
        print(case, file=self.process.stdin, flush=True)
        return self.read()

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def write_weights(folder: Path, size: Any) -> None:
    """Write a checkpoint and a head with random weights that both sides load."""
    from flax import nnx

    from serjax.checkpoints.huggingface import save_pretrained
    from serjax.checkpoints.preprocessor import Preprocessor
    from serjax.models.encoders.config import preset
    from serjax.models.encoders.masked_prediction import MaskedPredictor

    model = MaskedPredictor(preset("hubert", size), CLUSTERS, projection=CONFIG.projection, rngs=nnx.Rngs(0))
    save_pretrained(model.trunk, folder, preprocessor=Preprocessor())
    np.savez(folder / "head.npz", kernel=model.final_proj.kernel[...], codes=model.label_embeddings[...])


def measure(size: str, dtype: str, options: argparse.Namespace) -> list[str]:
    """Return the rows of one size and dtype."""
    wave, _, _ = batch(options.seconds, options.clip)
    audio = wave.size / SAMPLE_RATE
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        write_weights(Path(name), size)
        sides = [Side(f"{side}-{dtype}", Path(name), options) for side in ("serjax", "torch")]
        for side in sides:
            stack.callback(side.stop)
        losses = [side.ask("loss") for side in sides]
        print(f"{size}, {dtype}: loss {losses[0]:.5f} here, {losses[1]:.5f} in PyTorch.", file=sys.stderr, flush=True)
        times: dict[str, list[list[float]]] = {case: [[], []] for case in options.cases}
        for _ in range(options.rounds):
            for case in options.cases:
                for side, found in zip(sides, times[case], strict=True):
                    found.append(side.ask(case))
    rates = {case: [audio / median(found) for found in both] for case, both in times.items()}
    return [
        f"| {size} | {dtype} | {case} | **{ours / theirs:.2f}** | {ours:.1f} | {theirs:.1f} |"
        for case, (ours, theirs) in rates.items()
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["base", "small"])
    parser.add_argument("--dtypes", nargs="+", default=["float32"])
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("--seconds", type=float, default=40.0, help="audio of a batch")
    parser.add_argument("--clip", type=float, default=5.0, help="length of its clips")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    print("Seconds of audio per second of a step.\n")
    print("| size | dtype | | serjax / PyTorch | serjax | PyTorch |\n|---|---|---|---:|---:|---:|")
    for size in options.sizes:
        for dtype in options.dtypes:
            print("\n".join(measure(size, dtype, options)), flush=True)


if __name__ == "__main__":
    main()
