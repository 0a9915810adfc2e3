"""Memory that an encoder takes while it is loaded, beside the size of its weights.

    python benchmarks/loading_memory.py [--layouts 300m 1b --file-dtypes float32 bfloat16]

Random weights are written in the layout of a published encoder, in shards of safetensors: 300m is that of XLS-R-300m
and MMS-300m, 1b of XLS-R-1b and MMS-1b, 2b of XLS-R-2b; tiny is ours. A process loads them with `serjax.load_encoder`
and tells the most memory that was resident at once, bytes of mapped files included. The ratio is of what came on top of
Python and JAX, some 250 MiB, to the size of the weights in memory; the last column counts both. Needs Linux. 2b in
float32 takes 9 GiB on the disk and in memory.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import harness
import jax
import ml_dtypes
import numpy as np
from flax import nnx
from safetensors.numpy import save_file

from serjax.checkpoints.conversion import to_tensors
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import EncoderConfig, from_dict, preset
from serjax.models.functional import abstract

NORMS = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
WIDTHS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
LAYOUTS: dict[str, dict[str, Any]] = {
    "tiny": preset("wav2vec2", "tiny").to_dict(),
    "300m": {**NORMS, **dict(zip(WIDTHS, (1024, 24, 16, 4096), strict=True))},
    "1b": {**NORMS, **dict(zip(WIDTHS, (1280, 48, 16, 5120), strict=True))},
    "hubert-xlarge": {"model_type": "hubert", **NORMS, **dict(zip(WIDTHS, (1280, 48, 16, 5120), strict=True))},
    "2b": {**NORMS, **dict(zip(WIDTHS, (1920, 48, 16, 7680), strict=True))},
}
DTYPES: dict[str, Any] = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16}
SHARD = 500 << 20
"""Bytes of a file, at most."""
MIB = 1 << 20

CHILD = """
import json, sys
from pathlib import Path

import jax
import jax.numpy as jnp

import serjax
import serjax.inference.encoder

def kilobytes(key):
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[key].split()[0])

jnp.zeros(1).block_until_ready()
Path("/proc/self/clear_refs").write_text("5")
before = kilobytes("VmRSS")
loaded = serjax.load_encoder(sys.argv[1], dtype=sys.argv[2])
leaves = jax.tree.leaves(loaded._state)
print(json.dumps([1024 * before, 1024 * kilobytes("VmHWM"), sum(leaf.nbytes for leaf in leaves)]))
"""


def shapes(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor, without making one."""
    encoder = abstract(lambda rngs: build_encoder(config, rngs=rngs))
    empty = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), nnx.state(encoder))
    nnx.update(encoder, empty)
    return {key: tensor.shape for key, tensor in to_tensors(encoder).items()}


def write(folder: Path, entries: Mapping[str, Any], dtype: str) -> None:
    """Write a checkpoint of noise, in shards."""
    noise = np.random.default_rng(0).normal(0, 0.02, MIB).astype(DTYPES[dtype])
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    size = 0
    for key, shape in shapes(from_dict(entries, "config.json")).items():
        more = int(np.prod(shape)) * noise.itemsize
        if shards[-1] and size + more > SHARD:
            shards.append({})
            size = 0
        shards[-1][key] = shape
        size += more
    folder.mkdir()
    places = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file({key: np.resize(noise, shape) for key, shape in shard.items()}, folder / name, {"format": "pt"})
        places |= dict.fromkeys(shard, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / "config.json").write_text(json.dumps(entries))


def measure(folder: Path, dtype: str) -> tuple[int, int, int]:
    """Return the bytes resident before loading, at most while loading, and of the weights."""
    done = subprocess.run([sys.executable, "-c", CHILD, folder, dtype], check=True, stdout=subprocess.PIPE, text=True)
    before, most, weights = json.loads(done.stdout.splitlines()[-1])
    return before, most, weights


def main() -> None:
    """Measure and publish."""
    parser = harness.parser(__doc__, rounds=1)
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=["300m", "1b"])
    parser.add_argument("--file-dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES), help="in memory")
    options = parser.parse_args()
    rows = []
    for layout in options.layouts:
        for stored in options.file_dtypes:
            with tempfile.TemporaryDirectory() as name:
                write(Path(name) / "model", {"model_type": "wav2vec2", **LAYOUTS[layout]}, stored)
                for dtype in options.dtypes:
                    before, most, weights = measure(Path(name) / "model", dtype)
                    sizes = [f"{value / MIB:,.0f}" for value in (weights, most - before, most)]
                    ratios = [f"{value / weights:.2f}" for value in (most - before, most)]
                    rows.append([f"{layout}, {stored} to {dtype}", *sizes, *ratios])
    head = ["", "weights, MiB", "loading, MiB", "process, MiB", "loading / weights", "process / weights"]
    harness.publish([harness.markdown(head, rows)], options)


if __name__ == "__main__":
    main()
