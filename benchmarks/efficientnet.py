"""EfficientNet-B0 from waves to features beside what its users run: PyTorch eager and compiled, ONNX Runtime, serjax.

    python benchmarks/efficientnet.py [--rounds 5 --batches 1 8 64 --sides serjax "PyTorch eager"]

All sides load the same random weights, batch statistics included, and start from the same clips of 3 s of noise: each
makes log-mels of 128 x 300 of them, the peers by torch.stft as torchaudio does. Every side is a process of its own.
Cases: features of a batch, and a training step (a linear head on the features, cross-entropy, AdamW) on sixteen clips.
The error of a side is the root mean square difference of its features from PyTorch's, over their standard deviation.
Needs the extra `bench`.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np

from serjax.audio import SAMPLE_RATE
from serjax.audio.spectrogram import AMIN, EFFICIENTNET, log_mel, mel_filters

CLASSES, TRAINED = 6, 16
TRAINING = f"training step, {TRAINED} clips"
Calls = dict[str, harness.Call]


def case(count: int) -> str:
    """Return the name of a batch's case."""
    return f"{count} clip{'s' * (count > 1)}"


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


def torch_side(folder: Path, batches: list[int], training: bool, compiled: bool = False) -> Calls:
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

    cases = {case(count): inference(count) for count in batches}
    wave, label = torch.from_numpy(waves(TRAINED)), torch.arange(TRAINED) % CLASSES
    head = torch.nn.Linear(model.config.hidden_dim, CLASSES)
    adam = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=1e-5, fused=True)

    def step() -> None:
        model.train()
        loss = torch.nn.functional.cross_entropy(head(forward(wave)), label)
        adam.zero_grad()
        loss.backward()
        adam.step()

    return cases | ({TRAINING: step} if training else {})


def onnx_side(folder: Path, batches: list[int], training: bool) -> Calls:
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

    return {case(count): inference(count) for count in batches}


def serjax_side(folder: Path, batches: list[int], training: bool) -> Calls:
    """Return serjax's cases."""
    import jax
    import jax.numpy as jnp
    import optax
    from flax import nnx

    from serjax.checkpoints.efficientnet import load_efficientnet
    from serjax.models.networks.efficientnet import EfficientNet, EfficientNetConfig

    if any(folder.iterdir()):
        network = load_efficientnet(str(folder))
    else:
        network = EfficientNet(EfficientNetConfig(num_channels=1), rngs=nnx.Rngs(0))
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

    cases = {case(count): inference(count) for count in batches}
    wave, label = jnp.asarray(waves(TRAINED)), jnp.arange(TRAINED) % CLASSES
    optimizer = optax.adamw(1e-5)

    def update(state: Any, wave: jax.Array, key: jax.Array) -> Any:
        (params, head), statistics, adam = state

        def loss(trained: Any) -> Any:
            model = nnx.merge(graphdef, trained[0], statistics, copy=True)
            logits = model(front(wave), key=key) @ trained[1]
            value = optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
            return value, nnx.state(model, nnx.BatchStat)

        (_, statistics), gradient = jax.value_and_grad(loss, has_aux=True)((params, head))
        updates, adam = optimizer.update(gradient, adam, (params, head))
        return optax.apply_updates((params, head), updates), statistics, adam

    compiled = jax.jit(update, donate_argnums=0)
    kept: list[Any] = []

    def step() -> None:
        if not kept:
            trained = jax.tree.map(jnp.copy, (params, jnp.zeros((network.config.hidden_dim, CLASSES))))
            kept.append((trained, jax.tree.map(jnp.copy, statistics), optimizer.init(trained)))
        kept[0] = jax.block_until_ready(compiled(kept[0], wave, jax.random.key(0)))

    return cases | ({TRAINING: step} if training else {})


SIDES: dict[str, tuple[Any, ...]] = {
    "PyTorch eager": (torch_side,),
    "PyTorch compiled": (torch_side, True),
    "ONNX Runtime": (onnx_side,),
    "serjax": (serjax_side,),
}
"""What makes the cases of a side, and what it is given beside weights and cases."""
NEEDS = {
    torch_side: ["torch", "transformers"],
    onnx_side: ["torch", "transformers", "onnx", "onnxscript", "onnxruntime"],
    serjax_side: [],
}


def main() -> None:
    """Measure and publish."""
    parser = harness.parser(__doc__, rounds=5)
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES), help="beside serjax")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--no-training", action="store_true", help="leave out the training step")
    options = parser.parse_args()
    wanted = [name for name in SIDES if name in options.sides or name == "serjax"]
    names, told = harness.installed({name: NEEDS[SIDES[name][0]] for name in wanted})
    training, first = not options.no_training, case(options.batches[0])
    with tempfile.TemporaryDirectory() as folder:
        if len(names) > 1:  # all peers need PyTorch
            write_weights(Path(folder))
        makers = {name: (SIDES[name][0], Path(folder), options.batches, training, *SIDES[name][1:]) for name in names}
        with harness.processes(makers) as sides:
            features = {side.name: side.ask(first) for side in sides}
            cases = [*map(case, options.batches), *([TRAINING] if training else [])]
            values = harness.in_turns(harness.turns_of(sides, cases, options.turn), options.rounds)
    exact = features[names[0]]
    errors = (f"{name} {np.std(value - exact) / np.std(exact):.1e}" for name, value in features.items())
    parts = [harness.comparison(values), f"Errors: {', '.join(errors)}." if len(names) > 1 else ""]
    harness.publish([*parts, *told], options, ["torch", "transformers", "onnxruntime"])


if __name__ == "__main__":
    main()
