"""Run by test_steps.py in a process of its own: compiles steps of the tiny size, prints JSON of what is in them."""

import json
import sys
from dataclasses import replace

import jax
import numpy as np
from jax.sharding import Mesh

from serjax.config.experiment import Experiment
from serjax.models.base import EncoderLayout, Resolution
from serjax.models.encoders.config import preset
from serjax.models.functional import count as count_weights
from serjax.models.speech import Speech
from serjax.runs.planning import steps
from serjax.runs.planning.collectives import read_collectives
from serjax.runs.planning.counting import count
from serjax.runs.planning.topology import find_topology, tpu_devices
from serjax.runtime import mesh as meshes
from serjax.runtime.platform import compiling_for
from serjax.training.config import MaskedConfig, TrainConfig
from serjax.training.fold_axis import FoldAxis

CLASSES, FOLDS, ROWS, SECONDS = 4, 5, 16, 1.0
# One layer: compiling takes as long for each.
ENCODER = replace(preset("hubert", "tiny"), num_hidden_layers=1)


def experiment(freeze="cnn"):
    model = Speech(size="tiny", freeze=freeze, dtype="bfloat16")
    model = model.resolved(Resolution(SECONDS, EncoderLayout(ENCODER, normalize=True)))
    found = Experiment("x", model=model, train=TrainConfig(batch_size=ROWS))
    return replace(found, data=replace(found.data, max_seconds=SECONDS))


def step_of(kind, rows=ROWS, gather=lambda params: params):
    if kind == "train":
        what = experiment()
        return steps.training_step(replace(what, train=TrainConfig(batch_size=rows)), CLASSES, gather)
    if kind == "heads":
        return steps.heads_epoch(experiment("encoder"), CLASSES, clips=100, steps=3)
    masked = MaskedConfig(dtype="bfloat16", feature_grad_mult=0.1)
    return steps.pretraining_step(masked, ENCODER, 20, rows=rows, seconds=SECONDS)


def mesh_of(devices, text):
    """Return the mesh of a text such as 2x4, or 1x2x4 where parameters are split over four."""
    fold, data, shard = map(int, (f"{text}x1").split("x")[:3])
    return Mesh(np.asarray(devices[: fold * data * shard]).reshape(fold, data, shard), ("fold", *meshes.ROWS))


def memory_of(compiled):
    used = compiled.memory_analysis()
    held = used.argument_size_in_bytes + used.output_size_in_bytes - used.alias_size_in_bytes
    return held + used.temp_size_in_bytes


def facts(compiled, shape):
    found = read_collectives(compiled.as_text(), shape)
    return {"collectives": [(one.kind, one.size, one.axes) for one in found], "memory": memory_of(compiled)}


def on_mesh(devices, kind, text):
    mesh = mesh_of(devices, text)
    axis = FoldAxis(FOLDS, mesh, together=True)
    step = step_of(kind, gather=axis.gather_params)
    folds = axis.padded // mesh.shape["fold"]
    # The part of a device, counted alone; what folds share is there once.
    part = step_of(kind, ROWS // axis.row_devices)
    with compiling_for("tpu"):
        traced = jax.make_jaxpr(part.function)(*part.arguments)
    peak = count(traced, donated=len(jax.tree.leaves(part.state))).peak
    # The positional convolution's gradient is added up as a spectrum: up to four products, in float32.
    taps = ENCODER.num_conv_pos_embeddings
    frequencies = (ENCODER.frames(round(SECONDS * 16000)) + taps // 2) // 2 + 1
    spectrum = 4 * 4 * frequencies * ENCODER.hidden_size**2 // ENCODER.num_conv_pos_embedding_groups
    return facts(step.lower(axis).compile(), tuple(mesh.shape.values())) | {
        "spectrum": folds * spectrum,
        "gradient": 2 * folds * count_weights(step.state.params),
        "bound": folds * peak,
    }


def ensemble(device):
    what = experiment()
    lowered = steps.lower_ensemble(what, CLASSES, FOLDS, 8, device)
    traced = steps.trace_ensemble(what, CLASSES, FOLDS, 8, device.platform)
    return facts(lowered.compile(), (1, 1)) | {"gradient": 0, "bound": count(traced).peak}


def for_tpus():
    found = {}
    for name, cases in {
        "v5e-8": ("train 5x1", "train 1x8", "train 2x4", "train 1x2x4", "heads 5x1", "pretraining 1x8"),
        "v5p-8": ("train 2x2", "heads 4x1", "pretraining 1x4"),
    }.items():
        devices, chip = tpu_devices(find_topology(name)), name.partition("-")[0]
        found |= {f"{chip} {case}": on_mesh(devices, *case.split()) for case in cases}
        found[f"{chip} ensemble"] = ensemble(devices[0])
    return found


def for_cpus():
    """Compile what accelerators compute for eight CPU devices: the partitioner is the same."""
    found, step = {}, steps.training_step(experiment(), CLASSES)
    for text in ("5x1", "1x8", "2x4"):
        mesh = mesh_of(jax.devices(), text)
        axis = FoldAxis(FOLDS, mesh, together=True)
        with compiling_for("gpu"):
            lowered = axis.compile_step(step.function, step.axes).lower(*step.all_arguments(axis))
        # The positional convolution's input, in float32, of the folds of a device.
        folds = axis.padded // mesh.shape["fold"]
        grouped = 4 * folds * ROWS * ENCODER.hidden_size * ENCODER.frames(round(SECONDS * 16000))
        found[text] = facts(lowered.compile(), (mesh.shape["fold"], mesh.shape["data"])) | {"grouped": grouped}
    return found


if __name__ == "__main__":
    print(json.dumps(for_tpus() if sys.argv[1] == "tpu" else for_cpus()))
