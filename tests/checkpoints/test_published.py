"""Published classifiers answer as the code that trained them does, and what fits no known head is refused."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from flax import nnx
from safetensors.numpy import load_file, save_file

import serjax
from serjax.checkpoints.checkpoint import Checkpoint
from serjax.checkpoints.conversion import to_tensors
from serjax.checkpoints.huggingface import save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.checkpoints.published import _layout, _with_layer_sum
from serjax.models.encoders.families import FAMILIES
from serjax.models.encoders.wav2vec2 import SpeechEncoder
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.inputs import Inputs
from serjax.models.published import HeadLayout, PublishedClassifier
from serjax.predict import main
from serjax.runtime.errors import UserError

CONFIG = Wav2Vec2Config(
    model_type="wav2vec2",
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    conv_dim=(8, 8, 8),
    conv_stride=(5, 8, 8),
    conv_kernel=(10, 8, 8),
    num_conv_pos_embeddings=4,
    num_conv_pos_embedding_groups=2,
)
LABELS = ("angry", "happy", "sad")


def publish(folder, layout, labels=LABELS, drop=(), **config):
    """Write a checkpoint whose head is of the layout."""
    model = PublishedClassifier(CONFIG, layout, normalize=True, rngs=nnx.Rngs(3))
    head = {key: value for key, value in to_tensors(model).items() if not key.startswith("speech_encoder.")}
    save_pretrained(
        SpeechEncoder(CONFIG, rngs=nnx.Rngs(4)),
        folder,
        preprocessor=Preprocessor(),
        prefix="wav2vec2.",
        extra_tensors={key: value for key, value in head.items() if key not in drop},
        extra_config={"id2label": {str(i): name for i, name in enumerate(labels)}, **config},
    )
    return folder


DENSE = HeadLayout("dense", 3, 16)
PROJECTOR = HeadLayout("projector", 3, 8)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 16000), 16000)
    return path


def test_the_command_line_answers_and_says_that_it_resampled(tmp_path, clip, capsys):
    folder = publish(tmp_path / "model", DENSE)
    samples, _ = soundfile.read(clip)
    soundfile.write(clip, samples, 44100)
    with pytest.warns(UserWarning, match=r"clips of 44100 Hz are resampled to 16000 Hz\."):
        serjax.load(folder)(clip)
    with pytest.warns(UserWarning, match=r"clips of 8000 and 44100 Hz"):
        serjax.load(folder)([(samples, 8000), {"array": samples, "sampling_rate": 44100}])
    assert main([str(folder), str(clip), "--json"]) == 0
    printed = capsys.readouterr()
    [answer] = [json.loads(line)["scores"] for line in printed.out.splitlines()]
    assert {entry["label"] for entry in answer} == set(LABELS)
    scores = [entry["score"] for entry in answer]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-5)
    assert "1 clip was resampled from 44100 Hz to 16000 Hz." in printed.err


def test_scores_follow_the_problem_type(tmp_path, clip):
    answers = {}
    for problem in ("single_label_classification", "multi_label_classification", "regression"):
        model = serjax.load(publish(tmp_path / problem, PROJECTOR, problem_type=problem))
        answers[problem] = {entry["label"]: entry["score"] for entry in model(clip)}
    raw = np.array([answers["regression"][label] for label in LABELS])
    sigmoid = [answers["multi_label_classification"][label] for label in LABELS]
    softmax = [answers["single_label_classification"][label] for label in LABELS]
    np.testing.assert_allclose(sigmoid, 1 / (1 + np.exp(-raw)), atol=1e-5)
    np.testing.assert_allclose(softmax, np.exp(raw) / np.exp(raw).sum(), atol=1e-5)


def test_bfloat16_answers_nearly_the_same(tmp_path, clip):
    exact, low = (
        serjax.load(publish(tmp_path, DENSE, problem_type="regression"), dtype=dtype)(clip)
        for dtype in ("float32", "bfloat16")
    )
    exact, low = ({entry["label"]: entry["score"] for entry in answer} for answer in (exact, low))
    assert low != exact
    assert low == pytest.approx(exact, abs=0.02)
    with pytest.raises(UserError, match="dtype: got 'float16'; give float32 or bfloat16"):
        serjax.load(tmp_path, dtype="float16")


def test_a_long_clip_is_heard_as_a_whole(tmp_path):
    model = serjax.load(publish(tmp_path, DENSE, problem_type="regression"))
    rng = np.random.default_rng(1)
    start, end = rng.normal(0, 0.1, (2, 16000 * 4))
    whole, head = model((np.concatenate([start, end]), 16000)), model((start, 16000))
    assert [entry["score"] for entry in whole] != pytest.approx([entry["score"] for entry in head], abs=1e-4)


def test_no_clips_get_no_answers(tmp_path):
    assert serjax.load(publish(tmp_path, DENSE))([]) == []


def test_a_clip_without_a_frame_is_refused(tmp_path, capsys):
    folder = publish(tmp_path / "model", DENSE, conv_stride=[10, 16, 16])
    short = tmp_path / "short.wav"
    soundfile.write(short, np.zeros(1000), 16000)
    with pytest.raises(UserError, match="it has 1000 samples at 16 kHz, but the model's first frame takes 1200"):
        serjax.load(folder)(short)
    assert main([str(folder), str(short)]) == 2
    assert "first frame takes 1200" in capsys.readouterr().err


def test_one_output_is_a_value(tmp_path, clip):
    (answer,) = serjax.load(publish(tmp_path, HeadLayout("dense", 1, 16), labels=("valence",)))(clip)
    assert answer["score"] != 1.0


@pytest.mark.parametrize("kind", [DENSE, PROJECTOR], ids=lambda layout: layout.kind)
def test_a_head_that_lacks_a_key_is_refused_with_the_key(tmp_path, kind):
    missing = "classifier.dense.bias" if kind is DENSE else "projector.bias"
    with pytest.raises(UserError, match=rf"(?s)1 missing, 0 left over.*missing: {missing}"):
        serjax.load(publish(tmp_path, kind, drop=(missing,)))


def test_a_head_of_no_known_layout_is_refused_with_both_lists(tmp_path):
    folder = publish(tmp_path, DENSE, drop=("classifier.dense.weight",))
    with pytest.raises(UserError, match=r"(?s)found: classifier\.dense\.bias, .*expected: projector\.\*"):
        serjax.load(folder)
    save_pretrained(SpeechEncoder(CONFIG, rngs=nnx.Rngs(0)), tmp_path / "bare", preprocessor=Preprocessor())
    with pytest.raises(UserError, match=r"it is an encoder without a head, .*--model\.family wav2vec2.*DIR\.$"):
        serjax.load(tmp_path / "bare")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"labels": ("angry", "sad")}, r"id2label names the outputs \[0, 1\], but the head has 3"),
        ({"id2label": {"a": "b"}}, "must map numbers to names"),
        ({"problem_type": ["regression"]}, r"problem_type is \['regression'\]"),
        ({"problem_type": "ranking"}, "problem_type is 'ranking'"),
        ({"pooling_mode": ["mean"]}, r"pooling_mode is \['mean'\]"),
        ({"conv_dim": [], "conv_kernel": [], "conv_stride": []}, "conv_dim is empty"),
        ({"pooling_mode": "last"}, "pooling_mode is 'last'"),
        ({"model_type": "bert"}, "model_type"),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path, config, message):
    with pytest.raises(UserError, match=rf"config\.json: .*{message}"):
        serjax.load(publish(tmp_path, DENSE, **config))


def test_keys_that_do_not_fit_are_called_as_in_the_file(tmp_path):
    folder = publish(tmp_path, DENSE)
    tensors = load_file(folder / "model.safetensors")
    del tensors["wav2vec2.encoder.layer_norm.weight"]
    tensors["classifier.dense.weight"] = np.array(1, np.float32)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(
        UserError, match=r"(?s)missing: wav2vec2\.encoder\.layer_norm\.weight.*misfit: classifier\.dense"
    ):
        serjax.load(folder)


@pytest.mark.torch
class TestAgainstTheirCode:
    """Logits equal those of the PyTorch classes that the checkpoints were trained with."""

    LENGTHS = (9000, 4000)

    def reference(self, family, head_layers, pool, **options):
        """Return soxan's classifier, rebuilt from its description, with random weights of no usual scale."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torch
            import transformers

        name = FAMILIES[family].architecture
        settings = CONFIG.to_dict() | {"model_type": family} | options
        encoder = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**settings))

        class Head(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.dense = torch.nn.Linear(16, 16)
                setattr(self, head_layers, torch.nn.Linear(16, 3))

            def forward(self, x):
                return getattr(self, head_layers)(torch.tanh(self.dense(x)))

        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                setattr(self, family, encoder)
                self.classifier = Head()

            def forward(self, wave):
                states = getattr(self, family)(wave).last_hidden_state
                return self.classifier({"mean": states.mean, "sum": states.sum, "max": states.amax}[pool](dim=1))

        torch.manual_seed(0)
        model = Model().eval()
        with torch.no_grad():
            for value in model.parameters():
                value.copy_(value + 0.1 * torch.randn(value.shape))
        return torch, model

    def check(self, torch, model, folder, tolerance=1e-4):
        ensemble = serjax.load(folder)
        rng = np.random.default_rng(0)
        waves = [rng.normal(0.1, 0.2, length).astype(np.float32) for length in self.LENGTHS]
        mine = ensemble.probabilities([ensemble.read((wave, 16_000)) for wave in waves])
        for wave, scores in zip(waves, mine, strict=True):
            normal = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
            with torch.no_grad():
                logits = model(torch.tensor(normal)[None])
                expected = getattr(logits, "logits", logits)[0].numpy()
            np.testing.assert_allclose(scores, expected, atol=tolerance)

    @pytest.mark.parametrize("family", ["hubert", "wav2vec2"])
    @pytest.mark.parametrize("last", ["out_proj", "output"])
    @pytest.mark.parametrize("pool", ["mean", "sum", "max"])
    def test_soxan_and_ehcalabres(self, tmp_path, family, last, pool):
        torch, model = self.reference(family, last, pool)
        torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
        # As identity, so that logits are seen.
        settings = CONFIG.to_dict() | {"model_type": family, "pooling_mode": pool, "problem_type": "regression"}
        settings["id2label"] = {"0": "arousal", "1": "dominance", "2": "valence"}
        (tmp_path / "config.json").write_text(json.dumps(settings))
        self.check(torch, model, tmp_path)

    @pytest.mark.parametrize(
        "family",
        [
            one.architecture
            for one in FAMILIES.values()
            if one.layout not in ("emotion2vec", "wav2vec2_bert", "whisper")
        ],
    )
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")
    def test_for_sequence_classification(self, tmp_path, family, weighted):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torch
            import transformers
        settings = CONFIG.to_dict() | {"num_labels": 3, "classifier_proj_size": 8, "use_weighted_layer_sum": weighted}
        settings |= {"problem_type": "regression", "num_buckets": 8, "max_bucket_distance": 6}
        del settings["model_type"]
        model = getattr(transformers, f"{family}ForSequenceClassification")(
            getattr(transformers, f"{family}Config")(**settings)
        ).eval()
        torch.manual_seed(1)
        with torch.no_grad():
            for value in model.parameters():
                value.copy_(value + 0.1 * torch.randn(value.shape))
        model.save_pretrained(tmp_path)
        self.check(torch, model, tmp_path)

    def test_a_weighted_sum_is_that_of_the_version_that_wrote_it(self, tmp_path):
        """transformers 4 normalises the last layer before the sum, and transformers 5 does not."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torch
            import transformers
        settings = CONFIG.to_dict() | {"num_labels": 3, "classifier_proj_size": 8, "use_weighted_layer_sum": True}
        settings |= {"problem_type": "regression", "do_stable_layer_norm": True, "feat_extract_norm": "layer"}
        model = transformers.Wav2Vec2ForSequenceClassification(transformers.Wav2Vec2Config(**settings)).eval()
        torch.manual_seed(1)
        with torch.no_grad():
            for value in model.parameters():
                value.copy_(value + 0.1 * torch.randn(value.shape))
        model.save_pretrained(tmp_path)

        def formula(wave):
            found = model.wav2vec2(wave, output_hidden_states=True)
            states = torch.stack([*found.hidden_states[:-1], found.last_hidden_state])
            shares = torch.softmax(model.layer_weights, 0)
            return model.classifier(model.projector((shares[:, None, None, None] * states).sum(0)).mean(1))

        self.check(torch, model, tmp_path)
        written = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(written | {"transformers_version": "4.57.1"}))
        self.check(torch, formula, tmp_path)


def test_sum_of_layers_follows_the_version_that_wrote_the_checkpoint():
    layout, config = HeadLayout("projector", 3, 8, weighted_layers=True), replace(CONFIG, do_stable_layer_norm=True)
    for settings, asked, version in (
        ({"transformers_version": "4.57.1"}, None, "4"),
        ({"transformers_version": "5.0.0"}, None, "5"),
        ({}, None, "4"),
        ({"transformers_version": "v5.0.0.dev0"}, None, "5"),
        ({"transformers_version": 7}, None, "4"),
        ({"transformers_version": "5x"}, None, "4"),
        ({"transformers_version": "5.0.0"}, "4", "4"),
    ):
        found, [note] = _with_layer_sum(
            Checkpoint("here", settings, CONFIG, Preprocessor(), {}, ()), layout, config, asked
        )
        assert found.layer_sum == version
        assert f"layers are summed as in transformers {version}, as " in note
        assert ("is no version" in note) == (settings.get("transformers_version") in (7, "5x"))
    with pytest.raises(UserError, match="--layer-sum 5: here has no weighted sum of layers to which it matters"):
        _with_layer_sum(Checkpoint("here", {}, CONFIG, Preprocessor(), {}, ()), layout, CONFIG, "5")


def test_sums_of_layers_differ_by_the_last_norm():
    config = replace(CONFIG, do_stable_layer_norm=True)
    inputs = Inputs(np.random.default_rng(0).normal(size=(1, 2_000)).astype(np.float32), np.array([2_000]))
    found = []
    for version in ("4", "5"):
        layout = HeadLayout("projector", 3, 8, weighted_layers=True, layer_sum=version)
        found.append(PublishedClassifier(config, layout, normalize=True, rngs=nnx.Rngs(3))(inputs))
    assert not np.allclose(*found, atol=1e-3)


def test_keys_that_pretraining_left_behind_are_said(tmp_path, clip):
    folder = publish(tmp_path, DENSE)
    expected = serjax.load(folder)(clip)
    tensors = load_file(folder / "model.safetensors")
    left = {"lm_head.weight": np.zeros((4, 16), np.float32), "quantizer.codevectors": np.zeros((1, 2), np.float32)}
    save_file(tensors | left, folder / "model.safetensors", metadata={"format": "pt"})
    model = serjax.load(folder)
    assert model.notes == (f"{folder} also holds lm_head, quantizer, which its classifier does not use.",)
    assert model(clip) == expected


def test_heads_for_speakers_are_named():
    head = dict.fromkeys(("projector.weight", "classifier.weight", "tdnn.0.kernel.weight"), np.zeros((2, 2)))
    with pytest.raises(UserError, match=r"its head tells speakers apart \(ForXVector\)"):
        _layout(Checkpoint("here", {}, CONFIG, Preprocessor(), head, ()), head)
