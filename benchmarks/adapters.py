"""A step of five folds with LoRA on one encoder beside five full fine-tunings, and five PEFT runs in PyTorch.

    python benchmarks/adapters.py [--size base] [--last-layers 6]

HuBERT with random weights, batches of `--batch` clips of `--seconds` s, LoRA of `--rank` in queries and values, mean
pooling and one hidden layer, AdamW, no layerdrop on any side. LoRA: all folds' steps through the fold axis, one after
the other on a CPU as `serjax.train` makes them. Encoded once: the same from the states below the first adapted layer,
which are alike in all folds and epochs (`--model.adapter.encode-once`); the pass that makes them is not in a step. All
weights: the convolutions alone are frozen. PEFT: as many steps of one run; five runs would follow each other, so that
its memory is that of one. Each side is a process of its own; its peak memory is that of the whole process (VmHWM), with
optimizer and best weights of every fold. Needs the extra `bench`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import harness
import numpy as np

from serjax.audio import SAMPLE_RATE

CLASSES = 4
TARGETS = ("q_proj", "v_proj")
Options = dict[str, Any]


def batches(options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Return waves [k b t] and classes [k b] of all folds."""
    rng = np.random.default_rng(0)
    shape = (options["folds"], options["batch"])
    samples = round(options["seconds"] * SAMPLE_RATE)
    return rng.normal(0, 0.1, (*shape, samples)).astype(np.float32), rng.integers(0, CLASSES, shape).astype(np.int32)


def peak_memory() -> float:
    """Return the most memory that this process has held, in GiB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return int(status["VmHWM"].split()[0]) / 2**20


def ours(kind: str, options: Options) -> dict[str, Callable[[], Any]]:
    """Return a step of all folds, and the memory that they took; `kind` is streamed, stored or all."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from serjax.audio.config import AugmentConfig
    from serjax.models.adapter_config import AdapterConfig
    from serjax.models.base import EncoderLayout, Resolution
    from serjax.models.encoders.config import preset
    from serjax.models.inputs import Inputs
    from serjax.models.speech import Speech
    from serjax.training.choose_together import choose_together
    from serjax.training.classification import LabelledInputs, make_step
    from serjax.training.config import OptimizerConfig, TrainConfig
    from serjax.training.fold_axis import BATCH, FOLD, SHARED, fold_axis
    from serjax.training.frozen import make_is_frozen
    from serjax.training.initialize import first_states, initial
    from serjax.training.optimizer import make_optimizer
    from serjax.training.update import TrialConstants

    adapter = AdapterConfig(
        kind="lora",
        rank=options["rank"],
        targets="|".join(TARGETS),
        last_layers=options["last_layers"],
        encode_once=kind == "stored",
    )
    settings = Speech(
        pooling="mean",
        head="projector",
        layerdrop=0.0,
        freeze="cnn" if kind == "all" else "auto",
        adapter=AdapterConfig() if kind == "all" else adapter,
    )
    layout = EncoderLayout(preset("hubert", options["size"]), normalize=True)
    model = settings.resolved(Resolution(options["seconds"], layout))
    folds, make = options["folds"], lambda rngs: model.build(CLASSES, rngs=rngs)
    once = model.encoded_once
    together, _ = choose_together("auto", backend=jax.default_backend(), frozen_encoder=model.frozen_encoder)
    axis = fold_axis(folds, options["batch"], together=together, devices=jax.devices()[:1])
    keys = jax.random.split(jax.random.key(0), folds)
    frozen_path = make_is_frozen(model, ())
    graphdef, params, frozen = initial(make, frozen_path, keys, jax.random.key(1), axis, {})
    one = axis.shape(params)
    optimizer = OptimizerConfig()
    made = make_optimizer(optimizer, one, frozen)
    state = first_states(params, made, axis)
    best = jax.tree.map(jnp.copy, params)
    del params
    step = make_step(
        graphdef, one, frozen, train=TrainConfig(), optimizer=optimizer, augment=AugmentConfig(), dtype="float32"
    )
    compiled = axis.jit_step(step, (FOLD, BATCH, FOLD, SHARED))
    frozen = axis.replicate(frozen)
    waves, labels = batches(options)
    full = np.full(labels.shape, waves.shape[-1], np.int32)
    inputs = Inputs(waves, full)
    if once:
        first = axis.first(state).params

        def encode(wave: Any, lengths: Any) -> Any:
            return nnx.merge(graphdef, first, frozen, copy=True).shared_states(wave, lengths)

        stored = [jax.device_get(jax.jit(encode)(*part)) for part in zip(waves, full, strict=True)]
        states, frames = (np.stack(part) for part in zip(*stored, strict=True))
        inputs = Inputs(hidden_states=states, hidden_lengths=frames)
        del first, stored
    batch = axis.feed(LabelledInputs(inputs, labels, np.ones(labels.shape, np.float32)))
    number = jnp.full(folds, 100, jnp.int32)
    constants = TrialConstants(keys, number, jnp.full(folds, 1e-4), jnp.ones((folds, CLASSES)), {})
    constants, everyone = axis.shard(constants), np.ones(folds, bool)

    def call() -> None:
        nonlocal state
        state, metrics = compiled(everyone, state, batch, constants, frozen)
        jax.block_until_ready((state, metrics, best))

    return {"a step of all folds": call, "peak memory": peak_memory}


def theirs(options: Options) -> dict[str, Callable[[], Any]]:
    """Return as many steps of one PEFT run as there are folds, and the memory that it took."""
    import peft
    import torch
    import transformers

    from serjax.models.encoders.config import preset

    torch.manual_seed(0)
    config = transformers.HubertConfig(
        **{**preset("hubert", options["size"]).to_dict(), "layerdrop": 0.0},
        num_labels=CLASSES,
        classifier_proj_size=256,
    )
    last = options["last_layers"]
    layers = None if last is None else list(range(config.num_hidden_layers - last, config.num_hidden_layers))
    lora = peft.LoraConfig(
        r=options["rank"],
        lora_alpha=32,
        target_modules=list(TARGETS),
        modules_to_save=["projector", "classifier"],
        layers_to_transform=layers,
        layers_pattern=None if layers is None else "layers",
    )
    model = peft.get_peft_model(transformers.HubertForSequenceClassification(config), lora).train()
    trained = [one for one in model.parameters() if one.requires_grad]
    adam = torch.optim.AdamW(trained, lr=1e-4)
    best = [one.detach().clone() for one in trained]
    waves, labels = batches(options)

    def call() -> None:
        for wave, label in zip(waves, labels, strict=True):
            loss = model(torch.from_numpy(wave), labels=torch.from_numpy(label.astype(np.int64))).loss
            adam.zero_grad()
            loss.backward()
            adam.step()

    return {"a step of all folds": call, "peak memory": lambda: peak_memory() if best else 0.0}


def main() -> None:
    """Measure and publish."""
    parser = harness.parser(__doc__, rounds=3)
    parser.add_argument("--size", default="base", help="of HuBERT")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8, help="clips of a fold's step")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a clip")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--last-layers", type=int, help="that are adapted; by default all")
    parser.add_argument("--sides", nargs="+", help="a choice of streamed, stored, all and PEFT; by default all four")
    options = parser.parse_args()
    given = {key: getattr(options, key) for key in ("size", "folds", "batch", "seconds", "rank", "last_layers")}
    names = {"streamed": "LoRA", "stored": "LoRA, encoded once", "all": "all weights", "PEFT": "PEFT"}
    needs = {name: ["torch", "transformers", "peft"] if name == "PEFT" else [] for name in names}
    installed, told = harness.installed({name: needs[name] for name in options.sides or names})
    step, memory = "a step of all folds", "peak memory"
    values: harness.Values = {step: {}, memory: {}}
    makers = {names[one]: (theirs, given) if one == "PEFT" else (ours, one, given) for one in installed}
    for name, maker in makers.items():
        # One after the other: five full fine-tunings leave little room beside them.
        with harness.processes({name: maker}) as sides:
            values[step][name] = [sides[0].ask(step, options.turn) for _ in range(options.rounds)]
            values[memory][name] = [sides[0].ask(memory)]
    compare = partial(harness.comparison, values, units={memory: "GiB"})
    facts = f"{options.folds} folds, batches of {options.batch} clips of {options.seconds:g} s, HuBERT {options.size}."
    parts = [facts, *(compare(own) for own in (names["streamed"], names["stored"]) if own in makers), *told]
    harness.publish(parts, options, ["torch", "transformers", "peft"])


if __name__ == "__main__":
    main()
