"""Clips in, hidden states out, prepared as the checkpoint's feature extractor prepares them."""

import warnings
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
from flax import nnx
from saved_runs import FROZEN, write_run

from serjax.checkpoints.huggingface import save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.inference import encoder as inference
from serjax.inference.encoder import _samples, load_encoder
from serjax.inference.inputs import read_sound
from serjax.models.encoders.build import build_encoder
from serjax.models.spectrogram import Functionals
from serjax.runtime.errors import UserError

LAYER = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
LENGTHS = (9000, 5123, 400)


def save(folder, config, **preprocessor):
    save_pretrained(build_encoder(config, rngs=nnx.Rngs(0)), folder, preprocessor=Preprocessor(**preprocessor))
    return str(folder)


def clips(lengths=LENGTHS):
    """Return clips with an offset and levels of their own."""
    rng = np.random.default_rng(0)
    return [
        rng.normal(rng.uniform(-0.1, 0.1), rng.uniform(0.05, 0.3), length).clip(-1, 1).astype(np.float32)
        for length in lengths
    ]


def assert_equal(one, other, atol=1e-5):
    assert one.lengths.tolist() == other.lengths.tolist()
    for mine, peer in zip(one.hidden_states, other.hidden_states, strict=True):
        for row, row_of_peer, count in zip(mine, peer, one.lengths, strict=True):
            np.testing.assert_allclose(row[:count], row_of_peer[:count], rtol=0, atol=atol)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, tiny_encoder):
    return load_encoder(save(tmp_path_factory.mktemp("encoder"), tiny_encoder))


def test_a_clip_in_a_batch_gives_what_it_gives_alone(encoder):
    together = encoder(clips())
    assert [state.shape for state in together.hidden_states] == [(3, 27, 16)] * 3
    assert together.lengths.tolist() == [27, 15, 1]
    for row, clip in enumerate(clips()):
        alone = encoder(clip)
        assert alone.hidden_states[-1].shape == (1, together.lengths[row], 16)
        np.testing.assert_allclose(
            together.hidden_states[-1][row, : alone.lengths[0]], alone.hidden_states[-1][0], rtol=0, atol=1e-5
        )


@pytest.mark.parametrize(
    "lengths", [list(LENGTHS), np.array(LENGTHS), jnp.array(LENGTHS)], ids=lambda x: type(x).__name__
)
@pytest.mark.parametrize("array", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_a_padded_batch_with_its_lengths_is_a_list_of_clips(encoder, lengths, array):
    batch = np.full((3, 9500), np.nan, np.float32)  # what follows a clip is not read
    for row, clip in zip(batch, clips(), strict=True):
        row[: len(clip)] = clip
    assert_equal(encoder(array(batch), lengths), encoder(clips()), atol=0)


@pytest.mark.parametrize("lengths", [list(LENGTHS), np.array(LENGTHS)], ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("as_given", [list, lambda batch: [row.tolist() for row in batch]], ids=["arrays", "lists"])
def test_a_list_of_padded_clips_is_cut_to_its_lengths(encoder, as_given, lengths):
    batch = np.zeros((3, 9500), np.float32)
    for row, clip in zip(batch, clips(), strict=True):
        row[: len(clip)] = clip
    assert_equal(encoder(as_given(batch), lengths), encoder(clips()), atol=0)


def test_a_clip_may_be_a_list_of_numbers(encoder):
    clip = clips()[1]
    assert_equal(encoder(clip.tolist()), encoder(clip), atol=0)
    assert_equal(encoder([clip.tolist(), (clip.tolist(), 16_000)]), encoder([clip, clip]), atol=0)


def test_a_batch_without_lengths_is_read_whole(encoder):
    batch = np.stack(clips((5000, 5000)))
    assert_equal(encoder(batch), encoder(list(batch)), atol=0)


@pytest.mark.parametrize("normalize", [False, True])
def test_normalisation_is_the_checkpoints(tmp_path, tiny_encoder, normalize):
    encoder = load_encoder(save(tmp_path, tiny_encoder, normalize=normalize))
    assert encoder.preprocessor.normalize is normalize
    loud, quiet = (encoder(factor * clips()[0]).hidden_states[0] for factor in (1, 0.1))
    assert (np.abs(loud - quiet).max() < 1e-3) == normalize


def test_other_rates_are_resampled_with_a_warning(encoder, tmp_path):
    (clip,) = clips((16_000,))
    soundfile.write(tmp_path / "clip.wav", clip, 8000, subtype="FLOAT")
    with pytest.warns(UserWarning, match=r"^clips of 8000 and 22050 Hz are resampled to 16000 Hz\.$"):
        output = encoder([(clip, 8000), {"array": clip, "sampling_rate": 22_050}, tmp_path / "clip.wav", clip])
    assert output.lengths.tolist() == [99, 36, 99, 49]
    np.testing.assert_array_equal(output.hidden_states[-1][0], output.hidden_states[-1][2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_equal(encoder((clip, 16_000)), encoder(clip), atol=0)


def test_integers_use_their_full_range(encoder):
    values = np.round(32_768 * clips()[0])
    assert_equal(encoder(values.astype(np.int16)), encoder((values / 32_768).astype(np.float32)), atol=0)


@pytest.mark.parametrize(
    ("given", "lengths", "message"),
    [
        ([], None, "there are no clips; give at least one"),
        ([np.ones(800), np.ones(0)], None, "clip 1: it holds no samples"),
        (np.zeros(399), None, r"clip 0: it lasts .* less than the encoder's receptive field"),
        (np.array([0.1] * 500 + [np.nan] * 2), None, "clip 0: 2 of its samples are NaN or infinite"),
        (np.ones((2, 800)), [800, 0], r"clip 1: its length is given as 0; give 1 to 800"),
        (np.ones((2, 800)), [800, 801], r"clip 1: its length is given as 801; give 1 to 800"),
        (np.ones((2, 800)), [800], r"lengths are int64 \[1\]; give 2 integers"),
        (np.ones((2, 800)), [800.0, 400.0], r"lengths are float64 \[2\]; give 2 integers"),
        (["clip.wav"], [800], "lengths belong to a batch"),
        ([(np.ones(800), 8_000)], [800], "lengths belong to a batch"),
        ([np.ones((800, 2))], None, r"clip 0: it has the shape \[800, 2\]; give samples \[t\] at 16 kHz"),
        (np.ones((1, 2, 800)), None, r"clip 0: it has the shape \[1, 2, 800\]"),
        ([[[0.1] * 800]], None, "clip 0: it has the type list"),
        ([[1] * 800], None, "clip 0: its type is int64"),
        ([np.ones(800), 1e20 * np.cos(np.arange(800))], None, r"clip 1: its samples reach 1e\+20"),
        (None, None, "clips are given as NoneType; give one clip or a list"),
        ("nowhere.wav", None, "nowhere.wav: it cannot be opened"),
    ],
)
def test_clips_without_hidden_states_are_refused_in_a_sentence(encoder, given, lengths, message):
    with pytest.raises(UserError, match=message) as raised:
        encoder(given, lengths)
    assert "\n" not in str(raised.value)


def test_a_clip_without_sound_or_on_another_scale_is_told(encoder, caplog):
    encoder([np.zeros(800), np.arange(800, dtype=np.float32)])
    assert [one.split(",")[0] for one in caplog.messages] == ["clip 0: it is silent", "clip 1: its samples reach 799"]


def test_a_clip_shorter_than_the_first_frame_is_refused(tmp_path, tiny_encoder):
    encoder = load_encoder(save(tmp_path, replace(tiny_encoder, conv_stride=(10, 16, 16))))
    with pytest.raises(
        UserError, match="clip 1: it has 600 samples at 16 kHz, but the encoder's first frame takes 640"
    ):
        encoder(clips((900, 600)))
    with pytest.raises(UserError, match="padding: got 'same'; give exact or transformers"):
        encoder(clips((900,)), padding="same")


def test_lengths_of_a_bucket_share_a_program(encoder):
    before = inference._encode._cache_size()
    for length in (21_000, 22_000, 23_456):
        encoder(clips((length,)))
    assert inference._encode._cache_size() == before + 1


def test_attention_weights_are_given_on_request(encoder):
    assert encoder(clips()).attentions == ()
    weights = encoder(clips(), attentions=True).attentions
    assert [shares.shape for shares in weights] == [(3, 2, 27, 27)] * 2
    np.testing.assert_allclose(weights[0].sum(-1)[0], 1, atol=1e-5)


def test_the_module_takes_prepared_waves(encoder):
    clip = clips()[0]
    prepared = (clip - clip.mean()) / np.sqrt(clip.var() + 1e-7)
    output = nnx.jit(encoder.module)(jnp.asarray(prepared[None]), jnp.array([len(clip)]))
    assert_equal(output, encoder(clip), atol=1e-4)


def test_the_last_state_alone_is_normalised_before_the_head_of_a_pre_ln_encoder(tmp_path, tiny_encoder):
    encoder = load_encoder(save(tmp_path, replace(tiny_encoder, **LAYER)))
    *others, last = encoder(clips()[0]).hidden_states
    # A layer norm with the weights it starts from gives each frame mean 0 and variance 1.
    assert np.abs(last.mean(-1)).max() < 1e-5
    np.testing.assert_allclose(last.var(-1), 1, atol=1e-3)
    assert all(np.abs(state.var(-1) - 1).max() > 0.01 for state in others)


def test_a_run_gives_its_encoder_where_it_has_one(tmp_path):
    clip = clips()[0]
    write_run(tmp_path / "frozen", FROZEN)
    write_run(tmp_path / "one", folds=(2,))
    assert_equal(load_encoder(tmp_path / "frozen")(clip), load_encoder(tmp_path / "frozen" / "fold_1")(clip), atol=0)
    assert_equal(load_encoder(str(tmp_path / "one"))(clip), load_encoder(tmp_path / "one" / "fold_2")(clip), atol=0)
    write_run(tmp_path / "two")
    with pytest.raises(UserError, match=r"two: it has an encoder a fold; name one, such as .*fold_1, or call"):
        load_encoder(tmp_path / "two")
    write_run(tmp_path / "network", Functionals())
    with pytest.raises(UserError, match=r"network: its model, bilstm, is no speech encoder"):
        load_encoder(tmp_path / "network")


@pytest.mark.torch
@pytest.mark.parametrize("layout", ["group", "layer"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("masked", [False, True])
class TestAgainstTransformers:
    """Hidden states equal those of transformers' own extractor and model on the same files."""

    @pytest.fixture
    def pair(self, tmp_path, tiny_encoder, layout, normalize, masked):
        """Our encoder, and what theirs makes of a list of clips."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torch
            import transformers

        torch.manual_seed(1)
        settings = replace(tiny_encoder, **(LAYER if layout == "layer" else {})).to_dict()
        model = transformers.HubertModel(transformers.HubertConfig(**settings)).eval()
        with torch.no_grad():
            for value in model.parameters():
                value.copy_(value + 0.1 * torch.randn(value.shape))
        model.save_pretrained(tmp_path)
        transformers.Wav2Vec2FeatureExtractor(do_normalize=normalize, return_attention_mask=masked).save_pretrained(
            tmp_path
        )
        extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path)

        def theirs(waves):
            prepared = extractor(waves, sampling_rate=16_000, padding=True, return_tensors="pt")
            assert ("attention_mask" in prepared) == masked
            with torch.no_grad():
                output = model(**prepared, output_hidden_states=True)
            return [*(state.numpy() for state in output.hidden_states[:-1]), output.last_hidden_state.numpy()]

        return load_encoder(tmp_path), theirs

    def test_exact_padding_gives_what_each_clip_alone_gives_them(self, pair):
        encoder, theirs = pair
        output = encoder(clips())
        for row, clip in enumerate(clips()):
            expected = theirs([clip])
            assert output.lengths[row] == expected[0].shape[1]
            for mine, other in zip(output.hidden_states, expected, strict=True):
                np.testing.assert_allclose(mine[row, : other.shape[1]], other[0], rtol=0, atol=1e-4)

    def test_padding_as_transformers_gives_what_their_batch_gives(self, pair):
        encoder, theirs = pair
        output, expected = encoder(clips(), padding="transformers"), theirs(clips())
        assert output.lengths.tolist() == [27, 15, 1]
        for mine, other in zip(output.hidden_states, expected, strict=True):
            assert mine.shape == other.shape
            for row, count in enumerate(output.lengths):
                np.testing.assert_allclose(mine[row, :count], other[row, :count], rtol=0, atol=1e-4)

    def test_padding_changes_their_frames_but_where_all_of_it_is_masked(self, pair, layout, masked):
        encoder, _ = pair
        exact, padded = (
            encoder(clips(), padding=padding).hidden_states[-1][1, :15] for padding in ("exact", "transformers")
        )
        assert (np.abs(exact - padded).max() < 1e-4) == (masked and layout == "layer")


def test_url_is_read_as_its_file(tmp_path, tiny_encoder):
    soundfile.write(tmp_path / "clip.wav", clips((9000,))[0], 16_000)
    encoder = load_encoder(save(tmp_path / "encoder", tiny_encoder))
    url = (tmp_path / "clip.wav").as_uri()
    assert_equal(encoder(url), encoder(str(tmp_path / "clip.wav")), 0)
    with pytest.raises(UserError, match=r"gone\.wav: it cannot be opened"):
        encoder([url, url.replace("clip", "gone")])


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ({"array": np.ones(400), "sampling_rate": None}, "clip 0: its rate is given as None; give a number of Hz"),
        ((np.ones(400), None), "clip 0: its rate is given as None"),
        ((np.ones(400), 1e-9), "clip 0: its rate is given as 1e-09"),
        ((np.ones(400), True), "clip 0: its rate is given as True"),
        ([0.1, [0.2, 0.3]], "clip 0: its samples are lists of several lengths"),
        ("a\0b.wav", "a path cannot hold a NUL character"),
    ],
)
def test_rates_lists_and_paths_that_cannot_be_are_refused(clip, message):
    with pytest.raises(UserError, match=message):
        _samples(clip, "clip 0")
    if not isinstance(clip, list):
        with pytest.raises(UserError, match=message.replace("clip 0", "the array")):
            read_sound(clip)
