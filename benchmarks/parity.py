"""Errors of hidden states of every family: serjax and PyTorch in float32, beside PyTorch in float64; same weights.

    python benchmarks/parity.py [--families hubert whisper --sizes tiny base]

Weights are random. Clips of noise of 1, 2.3 and 3 s are encoded one by one, and in serjax also as a padded batch; the
error of a family is the largest of all hidden states, frames and channels. Whisper is padded to 30 s on both sides.
Needs the extra `torch`, and for emotion2vec the package `funasr`.
"""

import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import encoders
import harness
import numpy as np

from serjax.models.encoders.config import preset, sizes_of
from serjax.models.encoders.families import FAMILIES

SECONDS = [1.0, 2.3, 3.0]
States = list[list[np.ndarray]]
"""By clip, [t d] of the input of the first layer and of each layer's output."""


def theirs(folder: Path, clips: list[np.ndarray], dtype: str) -> States:
    """Return PyTorch's states in a dtype."""
    import emotion2vec_peer
    import torch
    import transformers

    kind = getattr(torch, dtype)
    if (folder / emotion2vec_peer.SETTINGS).is_file():
        return emotion2vec_peer.states(folder, clips, kind)
    model = transformers.AutoModel.from_pretrained(folder, dtype=kind).eval()
    model = model.encoder if model.config.model_type == "whisper" else model
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    found = []
    for clip in clips:
        if model.config.model_type in encoders.SPECTROGRAMS:
            given = dict(extractor(clip, sampling_rate=16_000, return_tensors="pt"))
            given = {key: value.to(kind) if value.is_floating_point() else value for key, value in given.items()}
        else:
            given = {"input_values": torch.from_numpy(clip[None]).to(kind)}
        with torch.inference_mode():
            output = model(**given, output_hidden_states=True)
        # SEW's layers have one state for several frames, which are all of that state in serjax.
        factor = getattr(model.config, "squeeze_factor", 1)
        states = [state.repeat_interleave(factor, 1) for state in output.hidden_states[:-1]]
        # Of pre-LN encoders, the last of `hidden_states` is without the final norm in some versions.
        found.append([state[0].numpy() for state in (*states, output.last_hidden_state)])
    return found


def ours(folder: Path, clips: list[np.ndarray], *, together: bool) -> States:
    """Return serjax's states of clips one by one, or of a padded batch."""
    import jax
    from flax import nnx

    from serjax.checkpoints.huggingface import load_encoder

    encoder: Any = load_encoder(str(folder)).encoder
    padding = "transformers" if encoder.config.model_type == "whisper" and not together else "exact"
    graphdef, weights = nnx.split(encoder)
    call = jax.jit(lambda weights, *batch: nnx.merge(graphdef, weights)(*batch, padding=padding))
    lengths = np.array([len(clip) for clip in clips])
    found = []
    if together:
        wave = np.zeros((len(clips), lengths.max()), np.float32)
        for row, clip in zip(wave, clips, strict=True):
            row[: len(clip)] = clip
        output = call(weights, wave, lengths)
        for row, count in enumerate(np.asarray(output.lengths)):
            found.append([np.asarray(state[row, :count]) for state in output.hidden_states])
        return found
    for clip in clips:
        output = call(weights, clip[None], np.array([len(clip)]))
        found.append([np.asarray(state[0]) for state in output.hidden_states])
    return found


def largest(found: States, expected: States) -> float:
    """Return the largest difference; frames that one side has beyond the other's are left out."""
    return max(
        float(np.abs(a[: len(b)] - b[: len(a)]).max())
        for one, other in zip(found, expected, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def row(family: str, size: str) -> list[str]:
    """Return a line of the table."""
    clips = encoders.waves(SECONDS)
    with encoders.weights(family, size) as folder:
        exact, single = theirs(folder, clips, "float64"), theirs(folder, clips, "float32")
        alone, together = ours(folder, clips, together=False), ours(folder, clips, together=True)
    # Whisper encodes the clip alone by another function than the clip that is padded to 30 s.
    batch = "other function" if family == "whisper" else f"{largest(together, alone):.1e}"
    layers = preset(family, size).num_hidden_layers  # type: ignore[arg-type]
    scale = max(float(np.abs(state).max()) for states in exact for state in states)
    errors = (largest(alone, single), largest(alone, exact), largest(single, exact))
    return [family, size, str(layers), f"{scale:.1f}", *(f"{error:.1e}" for error in errors), batch]


def main() -> None:
    """Compare and publish."""
    parser = harness.parser(__doc__, rounds=1)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--sizes", nargs="+", default=["tiny", "base"])
    options = parser.parse_args()
    if find_spec("torch") is None:
        parser.error("PyTorch is what serjax is compared with; pip install -e '.[torch]'.")
    rows, told = [], []
    for family in options.families:
        if family == "emotion2vec" and find_spec("funasr") is None:
            told.append("emotion2vec is left out; it needs funasr.")
            continue
        for size in options.sizes:
            if size in sizes_of(family):
                print(f"{family} {size}", file=sys.stderr, flush=True)
                rows.append(row(family, size))
    peers = " and ".join(f"{name} {metadata.version(name)}" for name in ("transformers", "funasr") if find_spec(name))
    heads = ["", "size", "layers", "largest value", "serjax - PyTorch", "serjax - float64", "PyTorch - float64"]
    parts = [f"Originals: {peers}.", harness.markdown([*heads, "padded batch - alone"], rows), *told]
    harness.publish(parts, options, ["torch", "transformers", "funasr"])


if __name__ == "__main__":
    main()
