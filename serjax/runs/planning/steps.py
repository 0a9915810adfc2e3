"""Steps of an experiment with shapes in place of arrays: to be counted, or compiled for devices that are not here."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
from flax import nnx
from jax.sharding import SingleDeviceSharding

from serjax.audio import SAMPLE_RATE
from serjax.config.experiment import Experiment
from serjax.inference.batched import member_logits
from serjax.models.base import Augmentation
from serjax.models.config import ModelConfig
from serjax.models.encoders.config import EncoderConfig
from serjax.models.functional import Params, abstract
from serjax.models.inputs import Features, Inputs
from serjax.models.speech import Speech
from serjax.runtime.platform import compiling_for
from serjax.training.classification import LabelledInputs, make_step
from serjax.training.config import MaskedConfig
from serjax.training.fold_axis import BATCH, FOLD, SHARED, FoldAxis, Placement
from serjax.training.frozen import make_is_frozen
from serjax.training.masked_prediction import FrameBatch
from serjax.training.optimizer import make_optimizer
from serjax.training.pretrain_loop import make_predictor, still_frozen
from serjax.training.pretrain_loop import make_step as make_pretraining_step
from serjax.training.resident import EPOCH_AXES, make_epoch
from serjax.training.update import TrainState, TrialConstants, init_state

SPARE = 0.9
"""Share of a device's memory that a step may take: the rest is the runtime's, and lost between arrays."""

Shape: Any = jax.ShapeDtypeStruct
"""An array without its values; it stands where one is expected."""


class Step(NamedTuple):
    """A training step of one fold and the shapes that it is called with.

    Attributes:
        function: (state, ...) -> (state, metrics), of one fold.
        arguments: one fold's, as shapes.
        axes: of each argument, once there are folds.
        rows: clips of a batch.
    """

    function: Any
    arguments: tuple[Any, ...]
    axes: tuple[Placement, ...]
    rows: int

    @property
    def state(self) -> TrainState:
        """Shapes of one fold's state."""
        state: TrainState = self.arguments[0]
        return state

    @property
    def frozen(self) -> Params:
        """Shapes of what is not trained."""
        return self.arguments[-1]

    def all_arguments(self, axis: FoldAxis) -> list[Any]:
        """Return the shapes of all folds' arguments; folds together take a mask of active ones first."""
        count = axis.padded
        arguments = [
            argument if placement is SHARED or not axis.together else _stacked(argument, count)
            for argument, placement in zip(self.arguments, self.axes, strict=True)
        ]
        return [Shape((count,), jnp.bool_), *arguments] if axis.together else arguments

    def lower(self, axis: FoldAxis) -> jax.stages.Lowered:
        """Return the step of all folds on the axis's devices, ready to be compiled for them."""
        with compiling_for(axis.mesh.devices.flat[0].platform):
            lowered: jax.stages.Lowered = axis.compile_step(self.function, self.axes).lower(*self.all_arguments(axis))
            return lowered

    def export(self, axis: FoldAxis, platform: str) -> Any:
        """Return the step as `jax.export` lowers it for a platform that is not here, such as cuda."""
        with compiling_for(_backend(platform)):
            compiled = axis.compile_step(self.function, self.axes)
            return jax.export.export(compiled, platforms=[platform])(*self.all_arguments(axis))


def memory_of(compiled: Any) -> int:
    """Return the bytes of a device that a compiled program takes, with what it is called with and returns."""
    used = compiled.memory_analysis()
    return int(
        used.argument_size_in_bytes
        + used.output_size_in_bytes
        - used.alias_size_in_bytes
        + used.temp_size_in_bytes
        + used.generated_code_size_in_bytes
    )


def _stacked(tree: Any, count: int) -> Any:
    return jax.tree.map(lambda leaf: Shape((count, *leaf.shape), leaf.dtype), tree)


def _constants(classes: int, values: Sequence[str] = ()) -> TrialConstants:
    key = jax.eval_shape(lambda: jax.random.key(0))
    number = Shape((), jnp.float32)
    return TrialConstants(
        key, Shape((), jnp.int32), number, Shape((classes,), jnp.float32), {name: number for name in values}
    )


def batch_shapes(model: ModelConfig, rows: int, seconds: float) -> LabelledInputs:
    """Return the shapes of a batch of one fold.

    Args:
        model: settings, resolved; they say what is taken.
        rows: clips.
        seconds: of each.
    """
    count = Shape((rows,), jnp.int32)
    samples = round(seconds * SAMPLE_RATE) if "sound" in model.modalities else 0
    inputs = Inputs(Shape((rows, samples), jnp.float32), count)
    if "video" in model.modalities:
        config = model.video
        size = (config.frames, config.size, config.size, 3)
        video = Shape((rows, *size), jnp.uint8)
        if config.face_features is not None:
            video = Shape((rows, 1, config.num_face_features), jnp.float32)
        inputs = inputs._replace(video=video, video_lengths=count)
    return LabelledInputs(inputs, count, Shape((rows,), jnp.float32))


def _parts(experiment: Experiment, classes: int) -> tuple[nnx.GraphDef[Any], Params, Params, Any]:
    """Return definition, trained and frozen shapes of a model, and the settings of its optimizer."""
    model = experiment.model
    groups = (*experiment.optimizer.groups, *model.rate_groups)
    frozen_path = make_is_frozen(model, groups)
    # Recordings that are mixed in are read for their shapes alone, and are few: the plan goes without them.
    augmentation = Augmentation(replace(experiment.augment, noise=None, rir=None), {})
    module = abstract(lambda rngs: model.build(classes, augmentation=augmentation, rngs=rngs))
    parts: Any = nnx.split(module, lambda path, _: not frozen_path(path), ...)
    return *parts, replace(experiment.optimizer, groups=groups)


def training_step(
    experiment: Experiment, classes: int, gather: Callable[[Params], Params] = lambda params: params
) -> Step:
    """Return the step of an experiment whose model is resolved, as the streamed engine makes it.

    Args:
        experiment: what to train; see `serjax.runs.planning.resolve`.
        classes: number of classes.
        gather: of parameters that are split, see `serjax.training.fold_axis.FoldAxis.gather_params`.
    """
    graphdef, params, frozen, settings = _parts(experiment, classes)
    step = make_step(
        graphdef,
        params,
        frozen,
        train=experiment.train,
        optimizer=settings,
        augment=experiment.augment,
        dtype=experiment.model.dtype,
        gather=gather,
    )
    state = jax.eval_shape(partial(init_state, optimizer=make_optimizer(settings, params, frozen)), params)
    rows = experiment.train.batch_size
    batch = batch_shapes(experiment.model, rows, experiment.data.max_seconds)
    return Step(step, (state, batch, _constants(classes), frozen), (FOLD, BATCH, FOLD, SHARED), rows)


def heads_epoch(experiment: Experiment, classes: int, *, clips: int, steps: int) -> Step:
    """Return the epoch of heads on a frozen encoder's features, as the resident engine makes it.

    Args:
        experiment: whose model is a `Speech` with its encoder frozen, resolved.
        classes: number of classes.
        clips: of the corpus.
        steps: of an epoch.
    """
    model = experiment.model
    assert isinstance(model, Speech)
    step = training_step(experiment, classes)
    encoder = model.encoder.config
    count = encoder.frames(round(experiment.data.max_seconds * SAMPLE_RATE))
    count += encoder.extra_tokens if model.adapter.encode_once else 0
    layers = encoder.num_hidden_layers + 1 if model.weighted_layers else 1
    if model.adapter.encode_once and model.weighted_layers:
        built = abstract(lambda rngs: model.build(classes, rngs=rngs))
        layers = (built.frozen_layers or 0) + 1
    pooled = model.takes_mean_state
    features = Features(
        Shape((clips, layers, 1 if pooled else count, encoder.hidden_size), jnp.float32),
        Shape((clips,), jnp.int32),
        Shape((clips,), jnp.int32),
    )
    size = (steps, step.rows)
    arguments = (
        step.state,
        Shape(size, jnp.int32),
        Shape(size, jnp.float32),
        _constants(classes),
        features,
        step.frozen,
    )
    return Step(make_epoch(step.function), arguments, EPOCH_AXES, step.rows)


def pretraining_step(config: MaskedConfig, encoder: EncoderConfig, clusters: int, *, rows: int, seconds: float) -> Step:
    """Return the step of masked prediction.

    Args:
        config: masks, loss and optimizer.
        encoder: layout.
        clusters: number of labels.
        rows: clips of a batch.
        seconds: of each.
    """
    module = abstract(make_predictor(config, encoder, clusters, normalize=True))
    parts: Any = nnx.split(module, lambda path, _: not still_frozen(config, path), ...)
    graphdef, params, frozen = parts
    optimizer = make_optimizer(config.optimizer, params, frozen)
    state = jax.eval_shape(partial(init_state, optimizer=optimizer), params)
    samples = round(seconds * SAMPLE_RATE)
    batch = FrameBatch(
        Shape((rows, samples), jnp.float32),
        Shape((rows,), jnp.int32),
        Shape((rows, encoder.frames(samples)), jnp.int32),
    )
    step = make_pretraining_step(config, encoder, graphdef, optimizer)
    return Step(step, (state, batch, _constants(1).key, frozen), (FOLD, BATCH, FOLD, SHARED), rows)


def _ensemble(experiment: Experiment, classes: int, folds: int, rows: int) -> tuple[Any, tuple[Any, ...]]:
    graphdef, params, frozen, _ = _parts(experiment, classes)
    inputs = batch_shapes(experiment.model, rows, experiment.data.max_seconds).inputs
    call = partial(member_logits, graphdef=graphdef, dtype=experiment.model.dtype)
    return call, (_stacked(params, folds), frozen, inputs)


def lower_ensemble(experiment: Experiment, classes: int, folds: int, rows: int, device: Any) -> jax.stages.Lowered:
    """Return the answer of an ensemble of `folds` members for `rows` clips, lowered for one device."""
    call, arguments = _ensemble(experiment, classes, folds, rows)
    with compiling_for(device.platform):
        return jax.jit(call, in_shardings=SingleDeviceSharding(device)).lower(*arguments)


def export_ensemble(experiment: Experiment, classes: int, folds: int, rows: int, platform: str) -> Any:
    """Return the answer of an ensemble as `jax.export` lowers it for a platform that is not here."""
    call, arguments = _ensemble(experiment, classes, folds, rows)
    with compiling_for(_backend(platform)):
        return jax.export.export(jax.jit(call), platforms=[platform])(*arguments)


def trace_ensemble(experiment: Experiment, classes: int, folds: int, rows: int, platform: str) -> Any:
    """Return the jaxpr of an ensemble's answer."""
    call, arguments = _ensemble(experiment, classes, folds, rows)
    with compiling_for(platform):
        return jax.make_jaxpr(call)(*arguments)


def _backend(platform: str) -> str:
    """Return what JAX calls the backend of a platform that is lowered for."""
    return "gpu" if platform in ("cuda", "rocm") else platform
