"""Heads, and adapters, on a speech encoder that reads each clip once, those of another corpus too."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Key

from serjax.audio import SAMPLE_RATE
from serjax.config.experiment import Experiment, cache_folder
from serjax.data.dataset import Data
from serjax.data.store.clips import ClipStore
from serjax.data.unlabelled import fresh_clips
from serjax.features.frozen import encode, joined
from serjax.models.classifiers.speech import SpeechClassifier
from serjax.models.functional import Params
from serjax.models.inputs import Features
from serjax.models.speech import Speech
from serjax.training.domain import OtherCorpus, with_domain_classifier
from serjax.training.fold_axis import FOLD, FoldAxis, PerFold, fold_axis
from serjax.training.initialize import initial


class Heads(NamedTuple):
    """Heads before training, and the features that they are trained on.

    Attributes:
        params: first parameters of each trial.
        graphdef: of one trial's model.
        frozen: the encoder.
        features: of every clip of the store, and behind them of those of another corpus.
        other: those clips, where heads are adapted to them.
    """

    params: PerFold
    graphdef: nnx.GraphDef[Any]
    frozen: Params
    features: Features
    other: OtherCorpus | None


def make_heads(
    experiment: Experiment,
    data: Data,
    model: Speech,
    make: Callable[[nnx.Rngs], nnx.Module],
    make_head: Callable[[nnx.Rngs], nnx.Module],
    is_frozen: Callable[[Any], bool],
    keys: Key[Array, "k"],
    axis: FoldAxis,
    given: Mapping[str, Array],
) -> Heads:
    """Encode all clips and draw a head, and adapters, for each trial.

    Args:
        experiment: which stretch of a clip, which adaptation.
        data: the clips, and those of another corpus.
        model: settings of the classifier, resolved.
        make: builds a classifier.
        make_head: builds its head alone.
        is_frozen: whether the parameter at a path of the classifier's state is frozen.
        keys: each trial's random key.
        axis: of the trials.
        given: the encoder's weights by name.

    Raises:
        UserError: the features cannot be written, or all clips of the other corpus are clips of the first.
    """
    domain, shared_key = experiment.domain, jax.random.key(experiment.seed)

    def whole(rngs: nnx.Rngs) -> nnx.Module:
        built = make(rngs)
        assert isinstance(built, SpeechClassifier)
        with_domain_classifier(built.head, domain, rngs=rngs)
        return built

    graphdef, frozen, encoder = encoder_of(whole, is_frozen, keys[:1], shared_key, given)
    features, other = encode_store(experiment, encoder, data.store, data.classes), None
    if data.unlabelled is not None:
        fresh = fresh_clips(data.unlabelled, frozenset(data.store.hashes), "--domain.root")
        unknown = np.full(len(data.unlabelled), -1, np.int32)
        features = joined(features, encode_store(experiment, encoder, data.unlabelled, unknown))
        other = OtherCorpus(domain, tuple(len(data.store) + i for i in fresh))
    if model.adapter.given:
        _, trained, _ = initial(whole, is_frozen, keys, shared_key, axis, given)
        return Heads(trained, graphdef, frozen, features, other)
    _, heads, _ = initial(
        lambda rngs: with_domain_classifier(make_head(rngs), domain, rngs=rngs),
        lambda path: is_frozen(("head", *path)),
        keys,
        shared_key,
        axis,
        {},
    )
    return Heads(axis.jit(in_head, (FOLD,))(heads), graphdef, frozen, features, other)


def encoder_of(
    make: Callable[[nnx.Rngs], nnx.Module],
    is_frozen: Callable[[Any], bool],
    key: Key[Array, "1"],
    shared_key: Key[Array, ""],
    given: Mapping[str, Array],
) -> tuple[nnx.GraphDef[Any], Params, nnx.Module]:
    """Return one classifier, for its encoder: every trial gets a head of its own.

    Args:
        make: builds it.
        is_frozen: whether the parameter at a path of its state is frozen.
        key: of its head.
        shared_key: of its encoder.
        given: the encoder's weights by name.

    Returns:
        Its definition, what is frozen of it, and the classifier.
    """
    single = fold_axis(1, 1, together=True, devices=jax.local_devices()[:1])
    graphdef, params, frozen = initial(make, is_frozen, key, shared_key, single, given)
    return graphdef, frozen, nnx.merge(graphdef, single.first(params), frozen)


def encode_store(experiment: Experiment, classifier: nnx.Module, store: Any, classes: np.ndarray) -> Features:
    """Return the hidden states that a classifier's head takes of every clip of a store; see `encode`.

    Raises:
        UserError: as `encode`.
    """
    assert isinstance(classifier, SpeechClassifier)
    assert isinstance(store, ClipStore)
    return encode(
        classifier,
        store,
        classes,
        samples=round(experiment.data.max_seconds * SAMPLE_RATE),
        crop=experiment.data.eval_crop,
        folder=cache_folder(experiment) / "features",
    )


def in_head(head: Params) -> Params:
    """Return a head's state as part of a classifier's."""
    return nnx.from_flat_state([(("head", *path), leaf) for path, leaf in nnx.to_flat_state(head)])
