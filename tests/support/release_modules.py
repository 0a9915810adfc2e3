"""Layouts of published classifiers written plainly in PyTorch, from what their authors say: the witnesses of the tests.

Each model has the names of the published class, takes one clip of samples at 16 kHz, and returns logits or values.
"""

import numpy as np
import torch
import transformers
from torch import nn


def shaken(model, seed=0):
    """Return a model in evaluation whose weights are of no usual scale."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(value + 0.3 * torch.randn(value.shape))
    return model.eval()


def backbone(config):
    """Return the encoder of transformers that a configuration of serjax describes."""
    name = {"wavlm": "WavLM", "wav2vec2": "Wav2Vec2", "whisper": "Whisper"}[config.model_type]
    settings = {key: value for key, value in config.to_dict().items() if key != "model_type"}
    if name == "Whisper":
        settings |= {"vocab_size": 20, "decoder_layers": 1, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
        settings |= {"decoder_start_token_id": 1, "decoder_ffn_dim": 8}
    return getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**settings))


class Statistics(nn.Module):
    """Weighted mean and deviation of frames."""

    def __init__(self, size):
        super().__init__()
        self.sap_linear = nn.Linear(size, size)
        self.attention = nn.Parameter(torch.randn(size, 1))

    def forward(self, x):
        shares = (self.sap_linear(x).tanh() @ self.attention).softmax(dim=1)
        mean = (shares * x).sum(dim=1)
        variance = (shares * x.square()).sum(dim=1) - mean.square()
        return torch.cat([mean, variance.clamp(min=1e-5).sqrt()], dim=1)


class Layers(nn.Module):
    """Linear, LayerNorm and ReLU, so many times, and a Linear."""

    def __init__(self, size, count, outputs):
        super().__init__()
        sizes = [2 * size] + [size] * count
        self.fc = nn.ModuleList(
            nn.Sequential(nn.Linear(one, size), nn.LayerNorm(size), nn.ReLU(), nn.Dropout()) for one in sizes[:-1]
        )
        self.out = nn.Sequential(nn.Linear(sizes[-1], outputs))

    def forward(self, x):
        for layer in self.fc:
            x = layer(x)
        return self.out(x)


class Odyssey(nn.Module):
    """The baseline of Odyssey 2024."""

    def __init__(self, config, settings):
        super().__init__()
        self.settings = settings
        self.ssl_model = backbone(config)
        self.pool_model = Statistics(config.hidden_size)
        self.ser_model = Layers(config.hidden_size, settings["classifier_hidden_layers"], settings["num_classes"])

    def forward(self, wave):
        x = torch.tensor((wave - self.settings["mean"]) / (self.settings["std"] + 1e-6))[None]
        states = self.ssl_model(x, attention_mask=torch.ones_like(x)).last_hidden_state
        return self.ser_model(self.pool_model(states))


class LowRank(nn.Linear):
    """A Linear of loralib in training: the product of two factors, divided by its rank, is added."""

    def __init__(self, inputs, outputs, rank):
        super().__init__(inputs, outputs)
        self.lora_A = nn.Parameter(torch.randn(rank, inputs))
        self.lora_B = nn.Parameter(torch.randn(outputs, rank))

    def forward(self, x):
        return super().forward(x) + x @ self.lora_A.T @ self.lora_B.T / len(self.lora_A)


class VoxProfile(nn.Module):
    """The emotion model of Vox-Profile, by WavLM or Whisper."""

    def __init__(self, config, width=12, rank=2, use_conv_output=True):
        super().__init__()
        self.config = config
        self.backbone_model = backbone(config)
        layers = self.backbone_model.encoder.layers
        for layer in layers[len(layers) // 2 + 1 :]:
            owner = layer if config.mel_bins else layer.feed_forward
            for name in ("fc1", "fc2") if config.mel_bins else ("intermediate_dense", "output_dense"):
                old = getattr(owner, name)
                setattr(owner, name, LowRank(old.in_features, old.out_features, rank))
        if config.mel_bins:
            self.embed_positions = nn.Parameter(torch.randn(config.max_source_positions + 50, config.d_model))
        parts = [nn.Conv1d(config.hidden_size, width, 1)]
        for _ in range(2):
            parts += [nn.ReLU(), nn.Dropout(), nn.Conv1d(width, width, 1)]
        self.model_seq = nn.Sequential(*parts)
        self.weights = nn.Parameter(torch.randn(len(layers) + use_conv_output))
        for name, outputs in {"emotion": 9, "detailed_out": 17, "arousal": 1, "valence": 1, "dominance": 1}.items():
            head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))
            setattr(self, f"{name}_layer", head)

    def forward(self, wave):
        x = self.model_seq((self.heard if self.config.mel_bins else self.summed)(wave).transpose(1, 2)).mean(dim=2)
        dimensions = [torch.sigmoid(getattr(self, f"{name}_layer")(x)) for name in ("arousal", "valence", "dominance")]
        return torch.cat([self.emotion_layer(x), *dimensions], dim=1)

    def summed(self, wave):
        """Return the weighted sum of WavLM's states, as transformers 4 gives them."""
        normal = torch.tensor((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7))[None]
        found = self.backbone_model(normal, output_hidden_states=True)
        states = torch.stack([*found.hidden_states[:-1], found.last_hidden_state])[-len(self.weights) :]
        return (self.weights.softmax(0)[:, None, None, None] * states).sum(0)

    def heard(self, wave):
        """Return the clip's frames of Whisper's window of 15 s."""
        extractor = transformers.WhisperFeatureExtractor(feature_size=self.config.num_mel_bins, chunk_length=15)
        mel = torch.tensor(extractor(wave, sampling_rate=16_000, max_length=15 * 16_000)["input_features"])
        encoder = self.backbone_model.encoder
        encoder.embed_positions.weight.data = self.embed_positions[:750].data
        return encoder(mel).last_hidden_state[:, : (len(wave) // 160 - 1) // 2 + 1]


class SpeechBrain(nn.Module):
    """SpeechBrain's emotion recognition, without the noise that it adds to the mean."""

    def __init__(self, config, classes=4):
        super().__init__()
        self.model = backbone(config)
        self.output = nn.Linear(config.hidden_size, classes, bias=False)

    def forward(self, wave):
        x = torch.tensor(wave)[None]
        states = self.model(nn.functional.layer_norm(x, x.shape[1:])).last_hidden_state
        return self.output(nn.functional.layer_norm(states, states.shape[1:]).mean(dim=1))


def compare(folder, model, task=None, lengths=(9_000, 4_000), tolerance=1e-4, shares=slice(None)):
    """See that an ensemble answers for clips, alone and in a batch, what the witness does; `shares`: of its outputs."""
    import serjax

    ensemble = serjax.load(folder, task=task)
    rng = np.random.default_rng(0)
    waves = [rng.normal(0.02, 0.1, length).astype(np.float32) for length in lengths]
    mine = ensemble.probabilities([ensemble.read((wave, 16_000)) for wave in waves])
    for wave, scores in zip(waves, mine, strict=True):
        with torch.no_grad():
            expected = model(wave)[0, shares]
        expected = expected if ensemble.outputs == "identity" else expected.softmax(0)
        np.testing.assert_allclose(scores, expected.numpy(), atol=tolerance)
    return ensemble
