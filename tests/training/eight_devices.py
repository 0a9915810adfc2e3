"""Run by test_fold_axis.py in a process with eight CPU devices: prints JSON of losses and predictions by layout."""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig
from serjax.models.base import EncoderLayout
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.speech import Speech
from serjax.training.config import TrainConfig
from serjax.training.epoch_sums import EpochSums
from serjax.training.fold_axis import FoldAxis, fold_axis
from serjax.training.initialize import first_states, initial
from serjax.training.resume import ResumePoint
from serjax.training.streamed import StreamedEngine
from serjax.training.trials import Trial, trial_key

CLASSES = 3
LEAST = 16
"""Values of an array that is split here, where all are small."""
CONFIG = Wav2Vec2Config(
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    conv_dim=(8,) * 3,
    conv_stride=(5, 8, 8),
    conv_kernel=(10, 8, 8),
    num_conv_pos_embeddings=4,
    num_conv_pos_embedding_groups=2,
    feat_extract_norm="layer",
    do_stable_layer_norm=True,
    conv_bias=True,
)
STILL = replace(
    CONFIG,
    hidden_dropout=0.0,
    activation_dropout=0.0,
    attention_dropout=0.0,
    layerdrop=0.0,
    mask_time_prob=0.0,
)
"""Nothing is drawn at random in a step, so that whole batches and parts of batches compute the same."""


class Clips:
    """Thirty short clips whose class is heard in their pitch."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.lengths = rng.integers(3000, 8000, size=30)
        self.classes = np.arange(30, dtype=np.int32) % CLASSES
        tones = [np.sin(np.arange(n) * (0.05 + 0.1 * c)) for n, c in zip(self.lengths, self.classes, strict=True)]
        self.waves = [(tone + rng.normal(0, 0.3, tone.size)).astype(np.float32) for tone in tones]

    def __len__(self):
        return len(self.waves)

    def clip(self, i):
        return self.waves[i]


def experiment(**train):
    model = Speech(size="tiny", freeze="cnn", pooling="attentive", attention_size=8, head_size=8)
    return Experiment(
        "test",
        data=DataConfig(max_seconds=0.4),
        model=model,
        train=TrainConfig(epochs=2, batch_size=8, **train),
        seed=3,
    )


def folds():
    """Five folds of unequal size."""
    parts = np.split(np.random.default_rng(1).permutation(30), [4, 10, 17, 23])
    everyone = set(range(30))
    return [
        Trial(k + 1, 0, 2e-3, tuple(sorted(everyone - set(test.tolist()))), tuple(test.tolist()), tuple(test.tolist()))
        for k, test in enumerate(parts)
    ]


def arrays(tree):
    """Return the floating-point arrays of a pytree."""
    return [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]


def check_layout(tree, axis):
    """See that on the device there is a part of every array that is large enough and has an axis that divides."""
    shards, leading = axis.mesh.shape["shard"], axis.together
    for leaf in arrays(tree):
        fold = leading and leaf.sharding.spec[:1] == ("fold",)
        shape = leaf.shape[1:] if fold else leaf.shape
        split = np.prod(shape) >= axis.least and any(size % shards == 0 for size in shape)
        parts = (axis.mesh.shape["fold"] if fold else 1) * (shards if split else 1)
        assert leaf.addressable_shards[0].data.size * parts == leaf.size, (leaf.shape, leaf.sharding)


def train(trials, axis, config=CONFIG, epochs=(1, 2), saved=None, restored=None, **settings):
    """Return every trial's losses over the epochs, its test probabilities, and a device's and all bytes of the state.

    The state after the last epoch is saved to `saved`; training goes on from that in `restored`.
    """
    what, clips = experiment(**settings), Clips()
    if config is STILL:
        what = replace(what, model=replace(what.model, dropout=0.0))
    keys = jnp.stack([trial_key(what.seed, trial) for trial in trials])
    model = replace(what.model, layout=EncoderLayout(config, normalize=True))
    graphdef, params, frozen = initial(
        lambda rngs: model.build(CLASSES, rngs=rngs),
        lambda path: not model.trainable(tuple(path)),
        keys,
        jax.random.key(0),
        axis,
        {},
    )
    for tree in (params, frozen):
        check_layout(tree, axis)
    engine = StreamedEngine(
        graphdef,
        axis.first(params),
        frozen,
        trials,
        clips,
        clips.classes,
        CLASSES,
        axis,
        train=what.train,
        optimizer=what.optimizer,
        augment=what.augment,
        dtype=what.model.dtype,
        seed=what.seed,
        samples=6400,
        crop="head",
    )
    state = first_states(params, engine.optimizer, axis)
    if restored is not None:
        _, state = ResumePoint(restored).restore(state)
    losses = []
    for epoch in epochs:
        everyone, zero = np.ones(len(trials), bool), EpochSums.zero(len(trials))
        state, sums = engine.train_epoch(state, epoch, everyone, zero, lambda count: None)
        losses.append(sums.mean_loss.tolist())
    params = axis.field(state, "params")
    check_layout(state, axis)
    check_layout(axis.select(np.arange(len(trials)) % 2 == 0, params, jax.tree.map(jnp.copy, params)), axis)
    if saved is not None:
        resume = ResumePoint(saved)
        resume.save(epochs[-1], state)
        resume.close()
    probabilities = engine.predict(params, "test")
    return {
        "bytes": sum(leaf.addressable_shards[0].data.nbytes for leaf in arrays(state)),
        "whole": sum(leaf.nbytes for leaf in arrays(state)),
        "losses": np.array(losses).T.tolist(),
        "probabilities": [probability.tolist() for probability in probabilities],
    }


def mesh(fold, data, shard=1):
    return Mesh(np.array(jax.devices()[: fold * data * shard]).reshape(fold, data, shard), ("fold", "data", "shard"))


def layouts():
    """Return the ways to compute five folds that must agree."""
    one = mesh(1, 1)

    return {
        "sequential": FoldAxis(5, one, together=False),
        "together": FoldAxis(5, one, together=True),
        "sequential on 1x8": FoldAxis(5, mesh(1, 8), together=False),
        "2x2x2": FoldAxis(5, mesh(2, 2, 2), together=True, least=LEAST),
        "1x1x8": FoldAxis(5, mesh(1, 1, 8), together=True, least=LEAST),
        "sequential on 1x2x4": FoldAxis(5, mesh(1, 2, 4), together=False, least=LEAST),
        "chosen mesh": fold_axis(5, 8, together=True),
        "8x1, three folds of filling": FoldAxis(5, mesh(8, 1), together=True),
        "4x2": FoldAxis(5, mesh(4, 2), together=True),
    }


if __name__ == "__main__":
    assert jax.device_count() == 8
    trials = folds()
    found = {name: train(trials, axis) for name, axis in layouts().items()}
    pair = fold_axis(2, 8, together=True, devices=jax.devices()[:1])
    found["folds 2 and 5 alone"] = train([trials[1], trials[4]], pair)
    for parts in (1, 2):
        found[f"batch in {parts}"] = train(trials[:2], pair, STILL, accumulate=parts)
    four, whole = (FoldAxis(2, mesh(*shape), together=True, least=LEAST) for shape in ((1, 2, 4), (1, 1, 1)))
    with tempfile.TemporaryDirectory() as folder:
        train(trials[:2], four, epochs=(1,), saved=Path(folder))
        found["from 4 to 1"] = train(trials[:2], whole, epochs=(2,), restored=Path(folder))
    json.dump(found, sys.stdout)
