"""Vox-Profile's models of emotion answer as their authors' layout does."""

import numpy as np
import pytest
from releases import VOX_PROFILE, WAVLM, WHISPER, describe, vox_profile
from safetensors.numpy import load_file, save_file

import serjax
from serjax.checkpoints.huggingface import load_encoder
from serjax.checkpoints.releases.vox_profile import EMOTIONS
from serjax.runtime.errors import UserError

CLIP = (np.random.default_rng(0).normal(0, 0.1, 8_000), 16_000)
DIMENSIONS = ("arousal", "valence", "dominance")
LAYER = "backbone_model.encoder.layers.2.feed_forward.output_dense"


def factors(**changed):
    """Return LoRA of rank 2 for a layer of 24 to 16."""
    rng = np.random.default_rng(1)
    shapes = {"lora_A": (2, 24), "lora_B": (16, 2)} | changed
    return {f"{LAYER}.{name}": rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items() if shape}


def test_emotions_and_dimensions_are_two_tasks(tmp_path):
    emotion = serjax.load(vox_profile(tmp_path))
    assert (emotion.labels, emotion.max_seconds) == (EMOTIONS, 15.0)
    dimensions = serjax.load(tmp_path, task="dimensions")
    assert (dimensions.labels, dimensions.outputs) == (DIMENSIONS, "identity")
    assert all(0 < entry["score"] < 1 for entry in dimensions(CLIP))


def test_a_model_of_dimensions_alone_answers_them(tmp_path):
    extra = {"gender_layer.2.weight": np.zeros((2, 12), np.float32)}
    model = serjax.load(vox_profile(tmp_path, emotions=0, extra=extra))
    assert model.labels == DIMENSIONS
    assert model.notes == (f"{tmp_path} also holds gender_layer, which is not answered.",)


def test_classes_without_published_names_are_numbered(tmp_path):
    model = serjax.load(vox_profile(tmp_path, emotions=4))
    assert model.labels == ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")
    assert "it has 4 classes; names were published for 9" in model.notes[0]


def test_lora_is_added_by_its_rank(tmp_path):
    lora = factors()
    vox_profile(tmp_path, extra=lora)
    stored = load_file(tmp_path / "model.safetensors")[f"{LAYER}.weight"]
    loaded = load_encoder(str(tmp_path))
    kernel = loaded.encoder.encoder.layers[2].feed_forward.output_dense.kernel[...]
    product = lora[f"{LAYER}.lora_B"] @ lora[f"{LAYER}.lora_A"]
    np.testing.assert_allclose(kernel.T, stored + product / 2, atol=1e-6)
    assert loaded.notes[0] == f"{tmp_path}: LoRA of rank 2 is merged into 1 layers of its encoder."


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lora_B": None}, rf"{LAYER} has not all of weight, lora_A and lora_B"),
        ({"lora_A": None}, rf"{LAYER} has not all of weight, lora_A and lora_B"),
        ({"lora_A": (2, 32)}, r"lora_A \(2, 32\) and lora_B \(16, 2\) of .* do not fit its weight \(16, 24\)"),
        ({"lora_A": (0, 24), "lora_B": (16, 0)}, r"lora_A \(0, 24\)"),
        ({"lora_A": (), "lora_B": (16, 1)}, r"lora_A \(\)"),
    ],
)
def test_lora_that_does_not_fit_is_named(tmp_path, changed, message):
    shapes = {name: shape for name, shape in changed.items() if shape != ()}
    extra = factors(**shapes)
    if changed.get("lora_A") == ():
        extra[f"{LAYER}.lora_A"] = np.array(1, np.float32)
    with pytest.raises(UserError, match=message):
        serjax.load(vox_profile(tmp_path, extra=extra))


def test_other_heads_and_encoders_are_named(tmp_path):
    with pytest.raises(UserError, match="pretrain_model is wavlm_huge; serjax knows wavlm, wavlm_large, whisper_tiny"):
        serjax.load(vox_profile(tmp_path, pretrain_model="wavlm_huge"))
    vox_profile(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    kept = {
        key: value for key, value in tensors.items() if not key.startswith(("emotion", "arousal", "valence", "dom"))
    }
    save_file(kept | {"accent_layer.0.weight": np.zeros((2, 2), np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="none of emotion that serjax knows; it has accent_layer, model_seq, weights"):
        serjax.load(tmp_path)
    save_file(kept | {"emotion_layer.2.weight": tensors["emotion_layer.2.weight"]}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"(?s)missing: emotion_layer\.0\.weight"):
        serjax.load(tmp_path)


def test_whisper_hears_15_seconds_by_the_positions_of_the_release(tmp_path):
    positions = np.random.default_rng(2).normal(size=(800, 16)).astype(np.float32)
    extra = {"embed_positions": positions, "backbone_model.decoder.layer_norm.weight": np.ones(16, np.float32)}
    extra |= {"weights": np.ones(4, np.float32)}
    encoder = load_encoder(str(vox_profile(tmp_path, WHISPER, "last", extra=extra))).encoder
    assert encoder.config.max_samples == 15 * 16_000
    np.testing.assert_array_equal(encoder.encoder.embed_positions.embedding[...], positions[:750])
    model = serjax.load(tmp_path)
    assert (model.notes, model.max_seconds) == ((), 15.0)
    with pytest.raises(UserError, match=r"--layer-sum 5: .* has no weighted sum of layers"):
        serjax.load(tmp_path, layer_sum="5")


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")
@pytest.mark.parametrize("kind", ["sum", "layers", "whisper"])
def test_answers_equal_a_plain_writing_in_pytorch(tmp_path, kind):
    from release_modules import VoxProfile, compare, shaken
    from safetensors.torch import save_file as save

    encoder = WHISPER if kind == "whisper" else WAVLM
    model = shaken(VoxProfile(encoder, use_conv_output=kind != "layers"))
    name = {"pretrain_model": "whisper_large" if kind == "whisper" else "wavlm_large"}
    describe(tmp_path, encoder, VOX_PROFILE | name | {"use_conv_output": kind != "layers"})
    save({key: value.contiguous().clone() for key, value in model.state_dict().items()}, tmp_path / "model.safetensors")
    # Numbers of hops of Whisper that are even and odd.
    lengths = (9_000, 4_100)
    ensemble = compare(tmp_path, model, lengths=lengths, shares=slice(9))
    assert ensemble.notes[-1] == f"{tmp_path} also holds detailed_out_layer, which is not answered."
    compare(tmp_path, model, "dimensions", lengths, shares=slice(9, None))
