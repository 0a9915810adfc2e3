"""Encoders beside what their users run today: PyTorch eager and compiled, ONNX Runtime, serjax; same weights.

    python benchmarks/encoders.py [--families hubert wavlm --size base --rounds 5 --cases "1 clip of 3 s"]

Every side is a process of its own. Cases: one 3 s clip, eight of them, eight clips of 1 to 12 s, and a training step
with AdamW on eight 3 s clips. PyTorch pads the clips of mixed length to the longest, as its users do; serjax buckets
them, as `predict` does. The floor is the case's floating-point operations over the rate of a large float32 matrix
product. The error of a side is the root mean square difference of its last hidden states from PyTorch's in float32,
over their standard deviation. Needs the extra `bench`.

Whisper in PyTorch is its encoder on clips padded to 30 s, spectrogram included, as its users run it; serjax encodes the
clips' own length, and in "serjax 30 s" the same as PyTorch, of which alone there is an error. w2v-BERT in PyTorch
includes its filter bank. emotion2vec in PyTorch is FunASR's (its package is needed), which answers clips of several
lengths one by one. Of these three there is no ONNX Runtime.
"""

import copy
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import harness
import numpy as np

from serjax.audio import SAMPLE_RATE

CASES = {
    "1 clip of 3 s": [3.0],
    "8 clips of 3 s": [3.0] * 8,
    "8 clips of 1 to 12 s": [1.0, 1.8, 2.7, 4.0, 5.5, 7.5, 9.5, 12.0],
}
TRAINING = {"training step, 8 x 3 s": False, "training step, CNN frozen": True}
FIRST, OPERATIONS = next(iter(CASES)), "operations"
Calls = dict[str, harness.Call]


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


def torch_side(folder: Path, cases: list[str], dtype: str = "float32", compiled: bool = False) -> Calls:
    """Return PyTorch's cases."""
    import emotion2vec_peer
    import torch
    import transformers

    if (folder / emotion2vec_peer.SETTINGS).is_file():
        model = emotion2vec_peer.load(folder, getattr(torch, dtype)).eval()
    else:
        model = transformers.AutoModel.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    whisper = model.config.model_type == "whisper"
    model = model.encoder if whisper else model
    forward = torch.compile(model) if compiled else model
    hears = model.config.model_type in SPECTROGRAMS
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder) if hears else None

    def spectrograms(clips: list[np.ndarray]) -> dict[str, Any]:
        assert extractor is not None
        found = dict(extractor(clips, sampling_rate=SAMPLE_RATE, return_tensors="pt"))
        return found | {"input_features": found["input_features"].to(model.dtype)}

    def inference(clips: list[np.ndarray]) -> Callable[[], Any]:
        if hears:

            def answer() -> Any:
                with torch.inference_mode():
                    return forward(**spectrograms(clips)).last_hidden_state.float().numpy()

            return answer
        wave, mask = padded(clips)
        mask = None if mask.all() else torch.from_numpy(mask).long()
        tensor = torch.from_numpy(wave).to(model.dtype)

        def call() -> Any:
            with torch.inference_mode():
                return forward(tensor, attention_mask=mask).last_hidden_state.float().numpy()

        return call

    def training(frozen: bool) -> Callable[[], Any]:
        clips, label = waves([3.0] * 8), torch.arange(8) % 4
        wave = {} if hears else {"input_values": torch.from_numpy(padded(clips)[0])}
        cast = torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16")
        head = torch.nn.Linear(model.config.hidden_size, 4)

        def step(state: dict[str, Any]) -> None:
            if not state:
                state["model"] = copy.deepcopy(model).float().train()
                for name, parameter in state["model"].named_parameters():
                    still = name.startswith("embed_positions")
                    stem = frozen and name.startswith(STEMS)
                    parameter.requires_grad_(not (still or stem))
                kept = [p for p in state["model"].parameters() if p.requires_grad]
                state["adam"] = torch.optim.AdamW([*kept, *head.parameters()], lr=1e-5, fused=True)
            given = spectrograms(clips) if hears else wave  # in float32: NumPy has no bfloat16
            with cast:
                logits = head(state["model"](**given).last_hidden_state.mean(1))
            loss = torch.nn.functional.cross_entropy(logits, label)
            state["adam"].zero_grad()
            loss.backward()
            state["adam"].step()

        state: dict[str, Any] = {}
        return lambda: step(state)

    calls = {name: inference(waves(CASES[name])) for name in CASES if name in cases}
    trained = {} if compiled else TRAINING
    return calls | {name: training(frozen) for name, frozen in trained.items() if name in cases}


def onnx_side(folder: Path, cases: list[str], int8: bool = False) -> Calls:
    """Return ONNX Runtime's cases, exported from PyTorch (without a mask, so not for mixed lengths).

    int8 quantises the weights of matrix products, and what they are multiplied with on the fly.
    """
    import onnxruntime
    import torch
    import transformers
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = transformers.AutoModel.from_pretrained(folder).eval()
    calls = {}
    for name in (name for name in list(CASES)[:2] if name in cases):
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


def serjax_side(folder: Path, cases: list[str], dtype: str = "float32", padding: str = "exact") -> Calls:
    """Return serjax's cases."""
    import jax
    import jax.numpy as jnp
    from flax import nnx
    from training_step import TrainingStep

    from serjax import cli
    from serjax.checkpoints.huggingface import load_encoder
    from serjax.data.batching.lengths import bucket
    from serjax.models.base import EncoderLayout
    from serjax.models.functional import cast
    from serjax.models.inputs import Inputs
    from serjax.models.speech import Speech
    from serjax.training.classification import LabelledInputs

    cli.compilation_cache()
    encoder = load_encoder(str(folder)).encoder
    graphdef, state = nnx.split(encoder)
    state = cast(state, dtype)
    encode = jax.jit(
        lambda state, wave, length: (
            nnx.merge(graphdef, state)(wave.astype(dtype), length, padding=padding).hidden_states[-1].astype("float32")
        )
    )

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

    def training(frozen: bool) -> harness.Call:
        @cache
        def step() -> TrainingStep:
            layout = EncoderLayout(encoder.config)
            freeze = "cnn" if frozen else "nothing"
            config = Speech(pooling="mean", head="linear", freeze=freeze, dtype=dtype, padding=padding, layout=layout)
            wave = jnp.asarray(padded(waves([3.0] * 8))[0])
            batch = LabelledInputs(Inputs(wave, jnp.full(8, wave.shape[1])), jnp.arange(8) % 4, jnp.ones(8))
            return TrainingStep(config.build(4, rngs=nnx.Rngs(0)), batch, 4, config.trainable, dtype=dtype)

        return lambda: step()()

    def operations() -> dict[str, float]:
        found = {}
        for name in (name for name in list(CASES)[:2] if name in cases):
            wave = jnp.zeros((len(CASES[name]), 3 * SAMPLE_RATE))
            cost = encode.lower(state, wave, jnp.full(len(wave), wave.shape[1])).compile().cost_analysis()
            found[name] = float(cost["flops"])
        return found

    calls = {
        name: inference(waves(seconds), exact=len(set(seconds)) == 1)
        for name, seconds in CASES.items()
        if name in cases
    }
    calls |= {name: training(frozen) for name, frozen in TRAINING.items() if name in cases}
    return calls | {OPERATIONS: operations}


SIDES: dict[str, tuple[Any, ...]] = {
    "PyTorch eager": (torch_side,),
    "PyTorch compiled": (torch_side, "float32", True),
    "PyTorch bf16": (torch_side, "bfloat16"),
    "ONNX Runtime": (onnx_side,),
    "ONNX Runtime int8": (onnx_side, True),
    "serjax": (serjax_side,),
    "serjax bf16": (serjax_side, "bfloat16"),
    "serjax 30 s": (serjax_side, "float32", "transformers"),
}
"""What makes the cases of a side, and what it is given beside weights and cases."""
PEERS = {
    "serjax": ["PyTorch eager", "PyTorch compiled", "ONNX Runtime"],
    "serjax bf16": ["PyTorch bf16", "ONNX Runtime int8", "ONNX Runtime"],
}
WHISPER = {
    "serjax": ["PyTorch eager", "PyTorch compiled", "serjax 30 s"],
    "serjax 30 s": ["PyTorch eager"],
    "serjax bf16": ["PyTorch bf16"],
}
NO_ONNX = {"serjax": ["PyTorch eager", "PyTorch compiled"], "serjax bf16": ["PyTorch bf16"]}
GROUPS = {"whisper": WHISPER, "wav2vec2-bert": NO_ONNX, "emotion2vec": NO_ONNX}
"""Whom each of our sides stands beside; the groups run one after the other, or memory would not do."""
SPECTROGRAMS = ("whisper", "wav2vec2-bert")
"""Families that are given spectrograms in PyTorch, which are part of what is measured."""
STEMS = ("feature_extractor", "conv", "modality_encoders.AUDIO.local_encoder")
"""Beginnings of the names in PyTorch of the parameters before the first block, or of the CNN."""
NEEDS = {
    torch_side: ["torch", "transformers"],
    onnx_side: ["torch", "transformers", "onnx", "onnxscript", "onnxruntime"],
    serjax_side: [],
}


@contextmanager
def weights(family: str, size: str) -> Iterator[Path]:
    """Write a checkpoint with random weights that all sides load."""
    import emotion2vec_peer
    from flax import nnx

    from serjax.checkpoints.huggingface import save_pretrained
    from serjax.checkpoints.preprocessor import Preprocessor
    from serjax.models.encoders.build import build_encoder
    from serjax.models.encoders.config import preset

    with tempfile.TemporaryDirectory() as name:
        if family == "emotion2vec":
            emotion2vec_peer.write(Path(name), size)
            yield Path(name)
            return
        encoder = build_encoder(preset(family, size), rngs=nnx.Rngs(0))
        save_pretrained(encoder, name, preprocessor=Preprocessor())
        yield Path(name)


class Found(NamedTuple):
    """Results of one group of sides: seconds, operations of cases, and each side's states of the first case."""

    values: harness.Values
    operations: dict[str, float]
    states: dict[str, np.ndarray]


def measure(folder: Path, own: str, peers: list[str], options: Any) -> Found:
    """Let the sides take turns."""
    cases = [FIRST, *options.cases]
    makers = {name: (SIDES[name][0], folder, cases, *SIDES[name][1:]) for name in [*peers, own]}
    with harness.processes(makers) as sides:
        states = {side.name: np.ravel(side.ask(FIRST)) for side in sides}
        values = harness.in_turns(harness.turns_of(sides, options.cases, options.turn), options.rounds)
        return Found(values, sides[-1].ask(OPERATIONS), states)


def paragraphs(found: Found, own: str, exact: np.ndarray | None, rate: float) -> list[str]:
    """Return the table of a group, and the errors of its sides where PyTorch's states are there."""
    floors = {
        case: f"{count / rate / median(found.values[case][own]):.0%}"
        for case, count in found.operations.items()
        if case in found.values
    }
    table = harness.comparison(found.values, own, more={"floor reached": floors})
    if exact is None:
        return [table]
    errors = (f"{name} {np.std(states - exact) / np.std(exact):.1e}" for name, states in found.states.items())
    return [table, f"Errors: {', '.join(errors)}."]


def main() -> None:
    """Measure and publish."""
    parser = harness.parser(__doc__, rounds=5)
    parser.add_argument("--families", nargs="+", default=["hubert", "wavlm"])
    parser.add_argument("--size", default="base")
    parser.add_argument("--own", nargs="+", help="sides of serjax, such as serjax; by default all that a family has")
    parser.add_argument("--cases", nargs="+", default=[*CASES, *TRAINING], choices=[*CASES, *TRAINING])
    options = parser.parse_args()
    if "emotion2vec" in options.families and find_spec("funasr") is None:
        parser.error("emotion2vec is written and answered by FunASR; pip install funasr, or leave it out.")
    names, told = harness.installed({name: NEEDS[maker] for name, (maker, *_) in SIDES.items()})
    found: dict[str, dict[str, Found]] = {family: {} for family in options.families}
    for family, groups in found.items():
        with weights(family, options.size) as folder:
            for own, peers in GROUPS.get(family, PEERS).items():
                if options.own and own not in options.own:
                    continue
                print(f"{family} {options.size}: {own}", file=sys.stderr, flush=True)
                groups[own] = measure(folder, own, [name for name in peers if name in names], options)
    rate, parts = harness.matrix_rate(), []
    for family, groups in found.items():
        for own, group in groups.items():
            whole = groups.get("serjax 30 s", groups.get("serjax", group)).states.get("PyTorch eager")
            # Whisper's clips at their own length are encoded by another function.
            exact = whole if family != "whisper" or own == "serjax 30 s" else None
            parts += [f"{family} {options.size}, {own}:", *paragraphs(group, own, exact, rate)]
    harness.publish([*parts, *told], options, ["torch", "transformers", "funasr", "onnxruntime"], rate)


if __name__ == "__main__":
    main()
