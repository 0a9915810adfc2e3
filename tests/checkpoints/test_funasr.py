"""Folders of FunASR's layout, read, answered by, and written as a directory of serjax's own."""

import jax
import numpy as np
import pytest
import soundfile
from flax import nnx
from funasr_folders import LABELS, TOKENS, settings, write_settings
from noise import noisy
from torch_files import write_state

import serjax
from serjax.checkpoints.conversion import to_tensors
from serjax.checkpoints.formats.tensors import read_file
from serjax.checkpoints.funasr import kept_labels, read_config
from serjax.checkpoints.huggingface import load_encoder, read_checkpoint, read_layout, save_pretrained
from serjax.inference.embedding import EncoderLayers, load_embedder
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import from_dict
from serjax.predict import main
from serjax.runtime.errors import UserError

SMALL = {
    **{"embed_dim": 16, "num_heads": 2, "num_alibi_heads": 2, "depth": 1, "prenet_depth": 1, "mlp_ratio": 1.5},
    **{"num_extra_tokens": 3, "conv_pos_depth": 2, "conv_pos_width": 10, "decoder": None},
    "feature_encoder_spec": "[(8, 10, 5)] + [(8, 8, 8)] * 2",
}
AUDIO = "modality_encoders.AUDIO."


def theirs(tensors):
    """Return an encoder's tensors by FunASR's keys, written out for this size."""
    names = {"encoder.extra_tokens": f"{AUDIO}extra_tokens", "encoder.alibi_scale": f"{AUDIO}alibi_scale"}
    parts = {
        "feature_projection.layer_norm": f"{AUDIO}project_features.1",
        "feature_projection.projection": f"{AUDIO}project_features.2",
        "encoder.pos_conv_embed.layers.0.conv": f"{AUDIO}relative_positional_encoder.1.0",
        "encoder.pos_conv_embed.layers.1.conv": f"{AUDIO}relative_positional_encoder.2.0",
        "encoder.layer_norm": f"{AUDIO}context_encoder.norm",
    }
    for layer in range(3):
        parts[f"feature_extractor.conv_layers.{layer}.conv"] = f"{AUDIO}local_encoder.conv_layers.{layer}.0"
        parts[f"feature_extractor.conv_layers.{layer}.layer_norm"] = f"{AUDIO}local_encoder.conv_layers.{layer}.2.1"
    for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"):
        parts[f"encoder.layers.0.{part}"] = f"{AUDIO}context_encoder.blocks.0.{part}"
        parts[f"encoder.layers.1.{part}"] = f"blocks.0.{part}"
    names |= {f"{ours}.{kind}": f"{other}.{kind}" for ours, other in parts.items() for kind in ("weight", "bias")}
    return {names[key]: value for key, value in tensors.items()}


def publish(folder, tokens=TOKENS, nested=True, drop=(), head=None, **changes):
    """Write a folder of FunASR's; return the encoder, and the head's weight and bias."""
    made = settings(**SMALL, **changes)
    write_settings(folder, made, tokens)
    config = from_dict(read_config(folder, str(folder)), str(folder))
    encoder = noisy(lambda rngs: build_encoder(config, rngs=rngs), 1)
    state = theirs(to_tensors(encoder))
    rng = np.random.default_rng(0)
    head = rng.normal(size=(len(tokens), 16) if head is None else head).astype(np.float32)
    bias = rng.normal(size=len(head)).astype(np.float32)
    proj = {"proj.weight": head, "proj.bias": bias} if tokens else {}
    state = {key: value for key, value in (state | proj).items() if key not in drop}
    if nested:
        state = {key if key in proj else f"d2v_model.{key}": value for key, value in state.items()}
        left = {f"d2v_model.{AUDIO}decoder.proj.weight": np.zeros((2, 2), np.float32), "_ema": {"ema": np.zeros(2)}}
        state = {"epoch": 7, "model": {**state, **left}}
    write_state(folder / "model.pt", state)
    return encoder, head, bias


def clip(length=4000):
    return np.random.default_rng(length).normal(0, 0.01, length).astype(np.float32)


@pytest.mark.parametrize("nested", [False, True])
def test_the_encoder_is_that_of_the_folder_and_of_the_directory_that_is_saved(tmp_path, nested):
    encoder, _, _ = publish(tmp_path / "theirs", ("angry", "sad"), nested)
    loaded = load_encoder(str(tmp_path / "theirs"))
    assert (loaded.preprocessor.normalize, loaded.preprocessor.return_attention_mask) == (True, True)
    passed = f"{tmp_path / 'theirs'} also holds a decoder of its pretraining, which is passed over."
    others = f"{tmp_path / 'theirs'} also holds classifier, projector; only the encoder was loaded."
    assert loaded.notes == ((passed, others) if nested else (others,))
    save_pretrained(loaded.encoder, tmp_path / "ours", preprocessor=loaded.preprocessor)
    again = load_encoder(str(tmp_path / "ours"))
    assert again.notes == ()
    assert again.preprocessor == loaded.preprocessor
    assert again.encoder.config == encoder.config
    assert "encoder.layers.1.attn.qkv.weight" in read_file(tmp_path / "ours" / "model.safetensors")
    for one in (loaded.encoder, again.encoder):
        for mine, other in zip(*(jax.tree.leaves(nnx.state(m)) for m in (one, encoder)), strict=True):
            np.testing.assert_array_equal(mine, other)


def test_its_classes_answer_but_for_those_without_a_use(tmp_path, capsys):
    _, head, bias = publish(tmp_path / "e2v")
    wave = clip()
    soundfile.write(tmp_path / "clip.wav", wave, 16_000, subtype="FLOAT")
    assert main([str(tmp_path / "e2v"), str(tmp_path / "clip.wav"), "--json"]) == 0
    shown = capsys.readouterr()
    assert all(label in shown.out for label in LABELS)
    assert "2 classes called unuse have no score, as in FunASR" in shown.err
    ensemble = serjax.load(tmp_path / "e2v")
    found = {answer["label"]: answer["score"] for answer in ensemble((wave, 16_000))}
    # As FunASR writes it: the mean of the frames, proj, and minus infinity.
    output = serjax.load_encoder(str(tmp_path / "e2v"))(wave)
    state = np.asarray(output.hidden_states[-1])[0, : int(output.lengths[0])]
    logits = state.mean(0) @ head.T + bias
    logits[[token.startswith("unuse") for token in TOKENS]] = -np.inf
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose([found[label] for label in LABELS], expected[[0, 3, 4, 5]], atol=1e-5)
    assert sum(found.values()) == pytest.approx(1)


def test_an_encoder_alone_embeds_and_does_not_answer(tmp_path):
    publish(tmp_path, tokens=())
    assert isinstance(load_embedder(str(tmp_path)), EncoderLayers)
    with pytest.raises(UserError, match="it is an encoder without a head"):
        serjax.load(str(tmp_path))


def test_names_in_two_languages_are_shown_in_english():
    assert kept_labels(("生气/angry", "unuse_0", "其他/other", "<unk>")) == ["angry", "other", "<unk>"]
    assert kept_labels(("angry", "sad")) == ["angry", "sad"]
    # Where that would call two classes alike, they keep their names.
    assert kept_labels(("a/x", "b/x", "c/")) == ["a/x", "b/x", "c/"]


def test_names_may_stand_in_the_settings(tmp_path):
    made = settings(**SMALL)
    made["tokenizer_conf"]["token_list"] = ["生气/angry", "<unk>"]
    write_settings(tmp_path, made, ())
    assert read_config(tmp_path, "here")["id2label"] == {0: "angry", 1: "<unk>"}


def test_the_layout_is_read_as_funasr_computes_it(tmp_path):
    write_settings(tmp_path, settings(conv_pos_width=95, conv_pos_depth=5, normalize=False))
    _, config, preprocessor, _ = read_layout(tmp_path, "here")
    assert (config.num_hidden_layers, config.prenet_depth, config.intermediate_size) == (5, 2, 128)
    assert (config.conv_pos_kernel_size, config.num_conv_pos_embeddings) == (19, 5)
    assert config.conv_dim == (16, 24, 24, 24, 24, 24, 16)
    assert config.conv_kernel == (10, 3, 3, 3, 3, 2, 2)
    assert config.layer_norm_eps == 1e-5
    assert not preprocessor.normalize


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer_norm_first": True}, "layer_norm_first is True, as in no published emotion2vec, and serjax computes"),
        ({"extractor_mode": "default"}, "modalities.audio.extractor_mode is default"),
        ({"learned_alibi": True}, "modalities.audio.learned_alibi is True"),
        ({"num_alibi_heads": 8}, "num_alibi_heads is 8, but there are 4 heads"),
        ({"depth": "many"}, "depth is many; it must be a whole number"),
        ({"prenet_depth": 1.5}, "modalities.audio.prenet_depth is 1.5; it must be a whole number"),
        ({"mlp_ratio": float("nan")}, "mlp_ratio is nan; it must be a number above 0"),
        ({"mlp_ratio": float("inf")}, "mlp_ratio is inf; it must be a number above 0"),
        ({"normalize": "false"}, "normalize is false; it must be true or false"),
        ({"encoder_dropout": 2.0}, "encoder_dropout is 2.0, which serjax cannot use"),
        ({"num_heads": 7, "num_alibi_heads": 7}, r"num_heads is 7, which does not divide embed_dim \(32\)"),
        ({"feature_encoder_spec": "[(0, 10, 5)]"}, r"modalities\.audio\.feature_encoder_spec is \[0\], which serjax"),
        ({"feature_encoder_spec": "[(512, 10, 5)] + open('x')"}, r"feature_encoder_spec is \[\(512, 10, 5\)\] \+ open"),
        ({"feature_encoder_spec": "[(512, 10, 5)] * 9999999999"}, "feature_encoder_spec is"),
    ],
)
def test_settings_of_another_release_are_refused(tmp_path, change, message):
    write_settings(tmp_path, settings(**change))
    with pytest.raises(UserError, match=rf"^here/config\.yaml: {message}") as raised:
        read_layout(tmp_path, "here")
    assert "\n" not in str(raised.value)


def test_settings_of_another_model_and_missing_ones_are_named(tmp_path):
    made = settings()
    write_settings(tmp_path, made | {"model": "Paraformer"})
    with pytest.raises(UserError, match=r"^here/config\.yaml: model is Paraformer, but of FunASR's models serjax"):
        read_layout(tmp_path, "here")
    del made["model_conf"]["modalities"]["audio"]["prenet_depth"]
    write_settings(tmp_path, made)
    with pytest.raises(UserError, match=r"model_conf\.modalities\.audio\.prenet_depth is missing, so this is no emot"):
        read_layout(tmp_path, "here")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": (6, 12)}, r"proj of model\.pt has the shape \(6, 12\), but tokens\.txt names 6 classes and the enc"),
        ({"head": (5, 16)}, r"proj of model\.pt has the shape \(5, 16\), but tokens\.txt names 6 classes"),
        ({"drop": ("proj.bias",)}, r"proj of model\.pt has the shape"),
    ],
)
def test_a_head_of_another_width_is_refused(tmp_path, options, message):
    publish(tmp_path, **options)
    with pytest.raises(UserError, match=message) as raised:
        read_checkpoint(str(tmp_path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("tokens", [("unuse_0", "unuse_1"), ("a", "b", "a"), ("a", "", "c")])
def test_names_that_tell_no_classes_apart_are_refused(tmp_path, tokens):
    write_settings(tmp_path, settings(), tokens)
    with pytest.raises(UserError, match=r"^here/tokens\.txt: a class must have a name of its own, and one .*again\.$"):
        read_config(tmp_path, "here")


def test_classes_without_names_do_not_answer(tmp_path):
    publish(tmp_path)
    (tmp_path / "tokens.txt").unlink()
    assert load_encoder(str(tmp_path)).encoder.config.hidden_size == 16
    with pytest.raises(UserError, match=r"/tokens\.txt: there is no such file, or it is empty, and its 6 classes have"):
        serjax.load(str(tmp_path))


def test_weights_that_are_missing_are_named(tmp_path):
    publish(tmp_path, drop=("blocks.0.norm1.bias",))
    with pytest.raises(UserError, match=r"missing: emotion2vec\.encoder\.layers\.1\.norm1\.bias"):
        load_encoder(str(tmp_path))
    (tmp_path / "model.pt").unlink()
    with pytest.raises(UserError, match=r"model\.pt: there is no such file; FunASR's weights must be there"):
        load_encoder(str(tmp_path))
