"""SpeechBrain's emotion recognition answers as its modules do, and its recipe is read, not run."""

import pytest
from releases import RECIPE, WAV2VEC2, describe, speechbrain
from torch_files import Call, Global, write_zip

import serjax
from serjax.checkpoints.huggingface import load_encoder
from serjax.runtime.errors import UserError


def test_classes_are_in_the_order_of_its_numbers(tmp_path):
    labels = "'neu' => 1\n'ang' => 0\n'hap' => 2\n'sad' => 3\n"
    model = serjax.load(speechbrain(tmp_path, labels=labels))
    assert model.labels == ("ang", "neu", "hap", "sad")
    assert model.outputs == "softmax"


def test_a_config_json_that_names_its_interface_changes_nothing(tmp_path):
    (speechbrain(tmp_path) / "config.json").write_text('{"speechbrain_interface": "CustomEncoderWav2vec2Classifier"}')
    loaded = load_encoder(str(tmp_path))
    assert loaded.preprocessor.normalize
    assert "also holds output_mlp; only the encoder was loaded" in loaded.notes[0]


@pytest.mark.parametrize("name", ["wav2vec2.ckpt", "model.ckpt", "label_encoder.txt"])
def test_a_missing_file_is_named_with_all_that_are_needed(tmp_path, name):
    (speechbrain(tmp_path) / name).unlink()
    expected = rf"{name} is missing; a release of SpeechBrain is hyperparams\.yaml, label_encoder\.txt, wav2vec2\.ckpt"
    with pytest.raises(UserError, match=expected):
        serjax.load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("output_mlp:", "classifier:", "it is a recipe without output_mlp; serjax reads SpeechBrain's emotion"),
        ("return_std: False", "return_std: True", "avg_pool is not the mean alone"),
        ("    return_std: False", "    return_mean: True", "avg_pool is not the mean alone"),
        ("output_norm: True", "output_norm: 3", "output_norm of wav2vec2 is 3; it must be True or False"),
        ("wav2vec2_hub: facebook/wav2vec2-base", "wav2vec2_hub: me/mine", "source of wav2vec2 is me/mine, an encoder"),
        ("<wav2vec2_hub>", "<hub>", "source of wav2vec2 is None, an encoder"),
    ],
)
def test_a_recipe_of_other_modules_is_refused(tmp_path, old, new, message):
    speechbrain(tmp_path, recipe=RECIPE.replace(old, new))
    if "source" in message:
        (tmp_path / "encoder_config.json").unlink()
    with pytest.raises(UserError, match=rf"hyperparams\.yaml: {message}"):
        serjax.load(tmp_path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("'neu' => 0\nang\n", "line 2: it is 'ang'; it must be such as 'neu' => 0"),
        ("__import__('os') => 0\n", r"line 1: it is .*; it must be such as"),
        ("'neu' => 0\n'ang' => 2\n", "its classes are not numbered 0, 1, 2"),
        ("'neu' => 0\n'neu' => 1\n", "its classes are not numbered 0, 1, 2 and so on, each once"),
        ("", "its classes are not numbered"),
        ("'neu' => 0\n'ang' => 1\n", r"(?s)misfit: output_mlp\.w\.weight is float32 \(4, 16\)"),
    ],
)
def test_classes_that_cannot_be_are_named(tmp_path, labels, message):
    with pytest.raises(UserError, match=message):
        serjax.load(speechbrain(tmp_path, labels=labels))


def test_weights_that_ask_for_a_call_are_refused(tmp_path):
    speechbrain(tmp_path)
    write_zip(tmp_path / "model.ckpt", {"0.w.weight": Call(Global("os", "mkdir"), (str(tmp_path / "made"),))})
    with pytest.raises(UserError, match=r"model\.ckpt: the pickle asks to call os\.mkdir"):
        serjax.load(tmp_path)
    assert not (tmp_path / "made").exists()


@pytest.mark.torch
def test_answers_equal_a_plain_writing_in_pytorch(tmp_path):
    import torch
    from release_modules import SpeechBrain, compare, shaken

    model = shaken(SpeechBrain(WAV2VEC2))
    speechbrain(tmp_path)
    describe(tmp_path, WAV2VEC2)
    weights = model.state_dict()
    torch.save({"0.w.weight": weights.pop("output.weight")}, tmp_path / "model.ckpt")
    torch.save(weights, tmp_path / "wav2vec2.ckpt")
    compare(tmp_path, model)
