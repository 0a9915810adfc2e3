"""The checkpoint that comes with serjax: whole, small, what its card says, and unheard by what is tested with it."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import soundfile

import serjax
from serjax.checkpoints.conversion import to_tensors
from serjax.checkpoints.formats.tensors import read_tensors
from serjax.checkpoints.hub import BUNDLED
from serjax.checkpoints.huggingface import load_encoder
from serjax.data.corpora.read import read_corpus
from serjax.data.corpora.synthetic.corpus import _text, _voice
from serjax.models.encoders.config import preset

FOLDER = BUNDLED / "serjax-tiny"


@pytest.fixture(scope="module")
def made():
    return serjax.experiment("serjax_tiny")


@pytest.fixture(scope="module")
def quickstart():
    return serjax.experiment("quickstart")


def test_it_is_what_its_experiment_makes(made):
    loaded = load_encoder("serjax-tiny")
    assert loaded.encoder.config == preset("hubert", made.model.size)
    assert loaded.preprocessor.normalize == made.model.normalize
    assert loaded.notes == ()
    assert {str(one.dtype) for one in read_tensors(FOLDER).values()} == {made.save_as}
    assert {str(one.dtype) for one in to_tensors(loaded.encoder).values()} == {"float32"}
    assert (FOLDER / "model.safetensors").stat().st_size < 1.5e6


def test_its_card_says_how_it_was_made_and_of_what(made):
    card = (FOLDER / "README.md").read_text()
    size = made.data.synthetic
    for words in (
        "has heard no human voice",
        "python -m serjax.pretrain --exp serjax_tiny",
        f"seed {made.seed}",
        f"{4 * size.clips_per_class} clips",
        f"{size.speakers} voices",
        f"{size.texts} texts",
        f"{made.masked.updates} updates",
    ):
        assert words in card


def test_it_has_heard_no_voice_and_no_text_of_the_quickstart(made, quickstart):
    def drawn(experiment):
        seed, size = experiment.seed, experiment.data.synthetic
        voices = [_voice(who, size.speakers, np.random.default_rng([seed, 0, who])) for who in range(size.speakers)]
        return set(voices), {tuple(_text(np.random.default_rng([seed, 1, number]))) for number in range(size.texts)}

    assert made.seed != quickstart.seed
    for heard, tested in zip(drawn(made), drawn(quickstart), strict=True):
        assert heard
        assert not heard & tested


@pytest.mark.slow
def test_it_has_heard_no_clip_of_the_quickstart(made, quickstart, tmp_path):
    hashes = []
    for experiment, count in ((made, 4000), (quickstart, 400)):
        corpus = read_corpus(replace(experiment.data, cache=str(tmp_path)), seed=experiment.seed)
        sounds = [soundfile.read(clip.path, dtype="int16")[0] for clip in corpus.utterances]
        hashes.append({hashlib.sha256(sound.tobytes()).hexdigest() for sound in sounds})
        assert len(hashes[-1]) == len(sounds) == count
    assert not hashes[0] & hashes[1]


@pytest.mark.torch
def test_transformers_loads_it_with_the_same_hidden_states():
    torch = pytest.importorskip("torch")
    HubertModel = pytest.importorskip("transformers").HubertModel
    theirs = HubertModel.from_pretrained(FOLDER).eval()
    assert theirs.dtype == torch.float32
    rng = np.random.default_rng(0)
    wave = rng.normal(0, 0.1, (1, 16_000)).astype(np.float32)
    with torch.no_grad():
        output = theirs(torch.from_numpy(wave), output_hidden_states=True)
    # transformers 5 gives a pre-LN encoder's last state without the norm that follows.
    expected = (*output.hidden_states[:-1], output.last_hidden_state)
    found = load_encoder("serjax-tiny").encoder(wave, np.array([wave.shape[1]])).hidden_states
    assert len(found) == len(expected) == 4
    for ours, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, other.numpy(), atol=1e-4)
