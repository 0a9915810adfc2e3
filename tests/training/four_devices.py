"""Run by test_pretrain_loop.py in a process with four CPU devices: prints what one and four devices find."""

import json
import math
import re
import sys
from dataclasses import replace
from unittest import mock

import jax
import numpy as np
from jax.sharding import Mesh

from serjax.features.config import ClusterConfig
from serjax.features.kmeans import fit_minibatch
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.functional import flat
from serjax.training.config import MaskedConfig
from serjax.training.fold_axis import FoldAxis
from serjax.training.initialize import first_states
from serjax.training.masked_prediction import FrameBatch
from serjax.training.pretrain_loop import set_up

ENCODER = Wav2Vec2Config(
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    conv_dim=(8,) * 3,
    conv_stride=(5, 8, 8),
    conv_kernel=(10, 8, 8),
    num_conv_pos_embeddings=4,
    num_conv_pos_embedding_groups=2,
)
CONFIG = MaskedConfig(projection=8, feature_grad_mult=0.1)


def mesh(devices, shard=1, fold=1):
    shape = fold, devices // shard // fold, shard
    return Mesh(np.array(jax.devices()[:devices]).reshape(shape), ("fold", "data", "shard"))


def masked(devices, accumulate=1, encoder=ENCODER, shard=1, runs=1):
    """Return metrics of three steps of the first of so many runs."""
    axis = FoldAxis(runs, mesh(devices, shard, runs), together=True, least=16)
    keys = jax.random.split(jax.random.key(0), 2)[:runs]
    config = replace(CONFIG, accumulate=accumulate)
    setup = set_up(config, encoder, 5, normalize=True, keys=keys, axis=axis)
    state = first_states(setup.params, setup.optimizer, axis)
    rng, found = np.random.default_rng(0), []
    for _ in range(3):
        wave = rng.normal(size=(1, 8, 6000)).astype(np.float32)
        length = rng.integers(4000, 6000, (1, 8)).astype(np.int32)
        batch = FrameBatch(wave, length, rng.integers(0, 5, (1, 8, encoder.frames(6000))))
        batch = axis.feed(jax.tree.map(lambda x: np.repeat(x, runs, axis=0), batch))
        assert len(batch.wave.sharding.device_set) == devices
        state, metrics = setup.step(np.ones(runs, bool), state, batch, setup.keys, setup.frozen)
        found += [float(value[0]) for value in metrics.values()]
    kernel = flat(state.params)["speech_encoder.encoder.layers.0.attention.q_proj.kernel"]
    assert kernel.addressable_shards[0].data.shape[1:] == (16 // shard, 16)
    return found


def gathers():
    """Return where, and of how many values, the compiled step of split parameters gathers arrays on every device."""
    programs = []

    def kept(compiled):
        def call(*arguments):
            programs.append(compiled.lower(*arguments).compile())
            return programs[-1](*arguments)

        return call

    with mock.patch("serjax.training.fold_axis.enter_together", kept):
        masked(4, shard=4)
    text = max((program.as_text() for program in programs), key=len)
    found = re.findall(r"= \w+\[([\d,]*)\]\S* all-gather\(.*op_name=\"([^\"]*)\"", text)
    return [(name, math.prod(int(size) for size in shape.split(","))) for shape, name in found]


def main():
    assert jax.device_count() == 4
    rng = np.random.default_rng(0)
    frames = (rng.normal(0, 5, (6, 4))[rng.integers(0, 6, 1001)] + rng.normal(size=(1001, 4))).astype(np.float32)
    settings = ClusterConfig(clusters=6, batch_size=202, starts=3, patience=20, passes=10)
    # Batches are filled up to what four devices share, so they are compared where that changes nothing.
    even = replace(settings, batch_size=200)
    still = replace(
        ENCODER, hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, layerdrop=0.0, feat_proj_dropout=0.0
    )
    found = {
        "masked prediction": [masked(1), masked(4)],
        "masked prediction in parts": [masked(1, 1, still), masked(4, 2, still)],
        "split masked prediction": [masked(1), masked(4, shard=4)],
        "split masked prediction of two runs in parts": [masked(1, 1, still), masked(4, 2, still, shard=2, runs=2)],
        "mini-batches": [fit_minibatch(frames[:1000], even, mesh(count)).centroids.tolist() for count in (1, 4)],
    }
    found["gathers"] = gathers()
    fit_minibatch(frames, settings, mesh(4))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
