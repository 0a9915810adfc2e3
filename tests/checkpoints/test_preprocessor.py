import json

import pytest

from serjax.checkpoints.preprocessor import Preprocessor, default_preprocessor, read_preprocessor
from serjax.models.encoders.config import preset
from serjax.runtime.errors import UserError

CONFIG, WHISPER = preset("hubert", "tiny"), preset("whisper", "large")
BERT = preset("wav2vec2-bert", "tiny")


def write(folder, values, name="preprocessor_config.json"):
    (folder / name).write_text(json.dumps(values))


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_what_is_written_is_read(tmp_path, normalize, masked):
    preprocessor = Preprocessor(normalize=normalize, return_attention_mask=masked)
    write(tmp_path, preprocessor.to_dict(CONFIG))
    assert read_preprocessor(tmp_path, CONFIG) == (preprocessor, ())


def test_a_processor_of_transformers_5_holds_it_one_level_down(tmp_path):
    values = Preprocessor(normalize=False).to_dict(CONFIG)
    write(tmp_path, {"feature_extractor": values, "processor_class": "Wav2Vec2Processor"}, "processor_config.json")
    assert read_preprocessor(tmp_path, CONFIG) == (Preprocessor(normalize=False), ())


@pytest.mark.parametrize("others", [[], ["processor_config.json"]])
def test_without_one_the_defaults_are_taken_and_said(tmp_path, others):
    for name in others:
        write(tmp_path, {"processor_class": "Wav2Vec2Processor"}, name)
    preprocessor, (note,) = read_preprocessor(tmp_path, CONFIG)
    assert preprocessor == Preprocessor(normalize=True, sample_rate=16_000, return_attention_mask=False)
    assert str(tmp_path) in note
    assert "normalised" in note


def test_a_feature_extractor_that_is_no_object_is_named(tmp_path):
    write(tmp_path, {"feature_extractor": None}, "processor_config.json")
    with pytest.raises(UserError, match=r"processor_config\.json: feature_extractor is None; it must be an object"):
        read_preprocessor(tmp_path, CONFIG)


@pytest.mark.parametrize(
    ("key", "value"),
    [("sampling_rate", 8000), ("sampling_rate", "16000"), ("do_normalize", "yes"), ("return_attention_mask", 1)],
)
def test_a_wrong_value_names_file_and_key(tmp_path, key, value):
    write(tmp_path, Preprocessor().to_dict(CONFIG) | {key: value})
    with pytest.raises(UserError, match=rf"preprocessor_config\.json: {key} is {value!r}"):
        read_preprocessor(tmp_path, CONFIG)


def test_whispers_is_that_of_its_feature_extractor(tmp_path):
    own = default_preprocessor(WHISPER)
    write(tmp_path, own.to_dict(WHISPER) | {"do_normalize": True})
    # transformers' extractor heeds it only where it is asked for in the call.
    assert read_preprocessor(tmp_path, WHISPER) == (own, ())
    assert not own.normalize
    for key, value in {"feature_size": 80, "n_fft": 512, "hop_length": 320, "chunk_length": 15}.items():
        write(tmp_path, own.to_dict(WHISPER) | {key: value})
        with pytest.raises(UserError, match=rf"preprocessor_config\.json: {key} is {value}, but the encoder of"):
            read_preprocessor(tmp_path, WHISPER)


def test_w2v_berts_is_that_of_its_feature_extractor(tmp_path):
    own = default_preprocessor(BERT)
    write(tmp_path, own.to_dict(BERT) | {"padding_value": 1, "processor_class": "Wav2Vec2BertProcessor"})
    assert read_preprocessor(tmp_path, BERT) == (own, ())
    assert (own.normalize, own.return_attention_mask) == (False, True)
    extractor = {"feature_extractor_type": "Wav2Vec2FeatureExtractor"}
    for key, value in (extractor | {"num_mel_bins": 40, "stride": 1, "return_attention_mask": False}).items():
        write(tmp_path, own.to_dict(BERT) | {key: value})
        with pytest.raises(UserError, match=rf"preprocessor_config\.json: {key} is {value!r}, but the encoder of"):
            read_preprocessor(tmp_path, BERT)


def test_whisper_without_one_makes_its_own_spectrogram(tmp_path):
    _, (note,) = read_preprocessor(tmp_path, WHISPER)
    assert "log-mel spectrogram of 128 filters" in note
