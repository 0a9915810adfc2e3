"""Small fusions, numbers to put into them, and weights copied from PyTorch's modules."""

import warnings
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.checkpoints.conversion import load_tensors
from serjax.models.fusion.config import Fusion
from serjax.models.fusion.cross_attention import CrossAttentionFusion
from serjax.models.fusion.heads import GatedFusion

SMALL = Fusion(common=8, d_model=12, heads=3, dropout=0.0, attention_dropout=0.0, stochastic_depth=0.0)
AUDIO, VIDEO, INPUTS = 5, 7, 6


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def cross(head="concat", path="sequence", **options):
    config = replace(SMALL, kind="xattn", head=head, audio_path=path, **options)
    return CrossAttentionFusion(INPUTS, AUDIO, VIDEO, config, 3, rngs=nnx.Rngs(0))


def gated(**options):
    return GatedFusion(AUDIO, VIDEO, replace(SMALL, kind="gated", **options), 3, rngs=nnx.Rngs(0))


def torch_module():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torch")


def loaded(module, peer, extra=()):
    """Copy a PyTorch module's weights, the three projections of its attentions taken apart."""
    tensors = {}
    for key, value in peer.state_dict().items():
        if "in_proj" in key:
            for name, part in zip("qkv", value.numpy().reshape(3, -1, *value.shape[1:]), strict=True):
                tensors[key.replace("in_proj_", f"{name}_proj.")] = part
        else:
            tensors[key] = value.numpy()
    nnx.update(module, load_tensors(module, tensors, source="here", allow_extra=extra))
    return module


def mlp(torch, inputs, hidden, outputs):
    """Return Linear, ReLU, Linear."""
    nn = torch.nn
    peer = nn.Module()
    peer.dense, peer.out_proj = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
    peer.forward = lambda x: peer.out_proj(peer.dense(x).relu())
    return peer
