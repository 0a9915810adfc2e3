"""Masked prediction from first parameters to last, for one run or for several held-out parts side by side."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Key

from serjax.data.batching.frame_batches import LabelledBatch
from serjax.models.encoders.config import EncoderConfig
from serjax.models.encoders.masked_prediction import MaskedPredictor
from serjax.models.encoders.wav2vec2 import SpeechEncoder
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.functional import Params, flat, overlay
from serjax.runtime.errors import UserError
from serjax.runtime.preemption import Terminated, stop_asked, stoppable
from serjax.training.config import MaskedConfig
from serjax.training.dispatch import LateMetrics
from serjax.training.fold_axis import BATCH, FOLD, SHARED, FoldAxis, PerFold
from serjax.training.initialize import first_states, initial, make_evaluated, state_shapes
from serjax.training.masked_prediction import FrameBatch, MaskedPrediction, is_frozen
from serjax.training.optimizer import in_frozen_group, make_optimizer
from serjax.training.resume import ResumePoint
from serjax.training.update import TrainState, TrialConstants, update

Report = Callable[[int, dict[str, Float[np.ndarray, "k"]]], None]
"""Told of the number of updates made and, for each run, the means of the metrics since the last report."""


class Pretraining(NamedTuple):
    """Model and step of a pretraining: definition, every run's first parameters, frozen ones, keys, the compiled step.

    What is frozen is one for all runs (`shared`), or each run's own.
    """

    graphdef: nnx.GraphDef[Any]
    params: PerFold
    frozen: PerFold | Params
    keys: PerFold
    step: Callable[..., tuple[PerFold, PerFold]]
    axis: FoldAxis
    optimizer: optax.GradientTransformation
    shared: bool = True


def make_predictor(
    config: MaskedConfig, encoder: EncoderConfig, clusters: int, *, normalize: bool
) -> Callable[[nnx.Rngs], MaskedPredictor]:
    """Return what builds the network with random weights; see `set_up`."""
    assert isinstance(encoder, Wav2Vec2Config), "masked prediction is HuBERT's"
    return lambda rngs: MaskedPredictor(
        encoder,
        clusters,
        projection=config.projection,
        temperature=config.temperature,
        normalize=normalize,
        rngs=rngs,
    )


def still_frozen(config: MaskedConfig, path: Any) -> bool:
    """Say whether a parameter stays as it is: by `is_frozen`, or by a group of the optimizer's."""
    return is_frozen(path, config) or in_frozen_group(path, config.optimizer.groups)


def make_step(
    config: MaskedConfig,
    encoder: EncoderConfig,
    graphdef: nnx.GraphDef[Any],
    optimizer: optax.GradientTransformation,
    gather: Callable[[Params], Params] = lambda params: params,
) -> Callable[[TrainState, FrameBatch, Key[Array, ""], Params], tuple[TrainState, dict[str, Array]]]:
    """Return the update of one run: of its state, a batch, its key and what is frozen; `gather` as for `update`."""
    objective = MaskedPrediction(config, encoder)
    one = partial(update, objective=objective, graphdef=graphdef, optimizer=optimizer, gather=gather)

    def step(
        state: TrainState, batch: FrameBatch, key: Key[Array, ""], frozen: Params
    ) -> tuple[TrainState, dict[str, Array]]:
        peak = jnp.asarray(config.optimizer.max_lr, jnp.float32)
        return one(state, batch, TrialConstants(key, jnp.asarray(config.updates), peak), frozen)

    return step


def set_up(
    config: MaskedConfig,
    encoder: EncoderConfig,
    clusters: int,
    *,
    normalize: bool,
    keys: Key[Array, "k"],
    axis: FoldAxis,
    given: Mapping[str, Array] | None = None,
    own: Params | None = None,
) -> Pretraining:
    """Return what `pretrain` trains.

    Args:
        config: What to mask and how to learn.
        encoder: Layout of the encoder.
        clusters: Number of labels.
        normalize: Bring each clip to zero mean and unit variance first.
        keys: One of each run; decides its first weights, masks and dropout.
        axis: How the runs are computed.
        given: Parameters by name that come from a checkpoint, such as `speech_encoder.encoder.layer_norm.scale`.
        own: In place of them, those that each run starts from [k ...].

    Raises:
        UserError: the convolutions are frozen, but no checkpoint gives them.
    """
    given = given or {}
    known = given if own is None else flat(own)
    if config.feature_grad_mult == 0 and not any(
        name.startswith("speech_encoder.feature_extractor.") for name in known
    ):
        raise UserError(
            "feature_grad_mult is 0, which freezes the convolutions, but they start from random weights; give a "
            "checkpoint, or a feature_grad_mult above 0 (0.1 is HuBERT's)."
        )

    make = make_predictor(config, encoder, clusters, normalize=normalize)
    graphdef, params, frozen = initial(make, partial(still_frozen, config), keys, keys[0], axis, given)
    frozen = axis.replicate(frozen)
    if own is not None:
        params = axis.jit(overlay, (FOLD, FOLD))(params, axis.shard(own))
        frozen = axis.jit(overlay, (SHARED, FOLD))(frozen, axis.shard(own))
    still = frozen[0] if isinstance(frozen, list) else frozen
    optimizer = make_optimizer(config.optimizer, axis.shape(params), still)
    step = make_step(config, encoder, graphdef, optimizer, axis.gather_params)
    run = axis.jit_step(step, (FOLD, BATCH, FOLD, SHARED) if own is None else (FOLD, BATCH, FOLD, FOLD))
    return Pretraining(graphdef, params, frozen, axis.shard(keys), run, axis, optimizer, own is None)


def run_shapes(config: MaskedConfig, encoder: EncoderConfig, clusters: int, *, shared: bool) -> tuple[Any, Any]:
    """Return shapes and dtypes of all arrays that each run keeps while it trains, and of those that runs share.

    Args:
        config: What to mask and how to learn.
        encoder: Layout of the encoder.
        clusters: Number of labels.
        shared: What is frozen is one for all runs.
    """
    make = make_predictor(config, encoder, clusters, normalize=True)
    return state_shapes(make, partial(still_frozen, config), config.optimizer, best=False, shared=shared)


def pretrain(
    setup: Pretraining,
    batches: Callable[[int], Iterator[FrameBatch | LabelledBatch]],
    updates: int,
    resume: ResumePoint,
    report: Report,
    *,
    every: int = 500,
) -> PerFold:
    """Train until `updates` updates are made, from the resume point where there is one, and return the parameters.

    Args:
        setup: What to train; its first parameters are used up.
        batches: Given a number of updates made, yields the batches from there on, the runs' axis in front [k b ...]; of
            several processes each its own part (`FoldAxis.own`, `FoldAxis.own_rows`).
        updates: Number of updates of the whole run.
        resume: Where states are saved and restored.
        report: Told how it is going.
        every: Save and report after so many updates.

    Raises:
        UserError: the loss is no longer a number, or the disk is full.
        Terminated: SIGTERM came; the state is saved.
    """
    axis = setup.axis
    state = first_states(setup.params, setup.optimizer, axis)
    # Batches are as large as the devices that share them: on others a run would go on with other clips.
    spread = np.array(axis.row_devices)
    done = 0
    restored = resume.restore({"state": state, "row_devices": spread}, axis.count if axis.together else None)
    if restored is not None:
        done, tree = restored
        state, before = tree["state"], int(tree["row_devices"])
        if before != axis.row_devices:
            raise UserError(
                f"{resume.folder}: its batches were spread over {before} devices, and would be over {axis.row_devices} "
                "here; go on with as many devices (and --mesh.shard) as before, or --overwrite to start again."
            )
    metrics = LateMetrics(axis)
    everyone = np.ones(axis.count, bool)
    with stoppable():
        # Asked for no batch that there is no update for.
        for batch in batches(done) if done < updates else ():
            state, told = setup.step(everyone, state, axis.feed(batch), setup.keys, setup.frozen)
            done += 1
            metrics.add(told)
            stop = stop_asked() and done < updates
            if done % every == 0 or done == updates or stop:
                report(done, _means(metrics.take(), done))
                resume.save(done, {"state": state, "row_devices": spread})
            if stop:
                raise Terminated
            if done == updates:
                break
    return make_evaluated(axis)(state)


def encoder_of(setup: Pretraining, params: Params, frozen: Params, run: int = 0) -> SpeechEncoder:
    """Return the encoder of a run, for `save_pretrained`.

    Args:
        setup: of all runs.
        params: trained parameters [k ...], as `FoldAxis.gather` returns them.
        frozen: `setup.frozen`; where each run has its own, gathered too.
        run: its number.
    """
    own = jax.tree.map(lambda leaf: leaf[run], params)
    still = frozen if setup.shared else jax.tree.map(lambda leaf: leaf[run], frozen)
    return nnx.merge(setup.graphdef, own, still).speech_encoder


def _means(metrics: dict[str, Float[np.ndarray, "k s"]], done: int) -> dict[str, Float[np.ndarray, "k"]]:
    found = {name: np.asarray(np.mean(values, axis=1, dtype=np.float64)) for name, values in metrics.items()}
    if not np.isfinite(found["loss"]).all():
        raise UserError(
            f"The loss of masked prediction is no longer a number after {done} updates; lower the learning rate "
            "(optimizer.max_lr), and compute in float32 if it was bfloat16."
        )
    return found
