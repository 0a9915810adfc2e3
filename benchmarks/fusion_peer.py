"""The PyTorch side of fusion_step.py: the same model, with the names of serjax's checkpoint, and its training step."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from serjax.audio.spectrogram import AMIN, RAVDESS_AUDIO, mel_filters
from serjax.models.fusion.config import Fusion
from serjax.models.networks.resnet import IMAGENET_DEVIATION, IMAGENET_MEAN


def conv(inputs: int, outputs: int, taps: int, stride: int = 1) -> torch.nn.Conv2d:
    return torch.nn.Conv2d(inputs, outputs, taps, stride, taps // 2, bias=False)


class Plain(torch.nn.Module):
    """Two convolutions with norms; nothing is added."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, 3, stride), torch.nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs, 3), torch.nn.BatchNorm2d(outputs)

    def forward(self, x: Any) -> Any:
        """Return the next map."""
        return self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))


class Basic(Plain):
    """The same, added to what comes in."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, stride)
        shortcut = [conv(inputs, outputs, 1, stride), torch.nn.BatchNorm2d(outputs)]
        self.downsample = torch.nn.Sequential(*shortcut) if inputs != outputs else torch.nn.Identity()

    def forward(self, x: Any) -> Any:
        """Return the next map."""
        return functional.relu(self.downsample(x) + super().forward(x))


class AudioNetwork(torch.nn.Module):
    """AudioResNet18, named as in serjax."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        modules, widths = torch.nn.ModuleList, (64, 128, 256, 512)
        self.conv1, self.bn1 = conv(1, 64, 7, 2), torch.nn.BatchNorm2d(64)
        self.down_convs = modules([conv(width // 2, width, 1, 2) for width in widths[1:]])
        self.down_norms = modules([torch.nn.BatchNorm2d(width) for width in widths[1:]])
        self.layers = modules([modules([Plain(width, width) for _ in range(2)]) for width in widths])
        self.fc1, self.fc2 = torch.nn.Linear(512, 128), torch.nn.Linear(128, classes)

    def forward(self, x: Any) -> Any:
        """Return 128 values of an image [b 1 m n]."""
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage, pair in enumerate(self.layers):
            if stage:
                x = self.down_norms[stage - 1](self.down_convs[stage - 1](x))
            for block in pair:
                x = block(x)
        return self.fc1(x.mean((2, 3)))


class Standardize(torch.nn.Module):
    """Mean 0 and deviation 1 of each mel."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(RAVDESS_AUDIO.mels))
        self.register_buffer("deviation", torch.ones(RAVDESS_AUDIO.mels))

    def forward(self, x: Any) -> Any:
        """Return the image [b m n], standardised."""
        return (x - self.mean[:, None]) / self.deviation[:, None]


class Audio(torch.nn.Module):
    """From waves to a vector."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        front = RAVDESS_AUDIO
        filters = mel_filters(front.n_fft, front.mels, scale=front.scale, norm=front.mel_norm)
        self.register_buffer("filters", torch.from_numpy(np.asarray(filters)), persistent=False)
        self.register_buffer("window", torch.hann_window(front.win_length), persistent=False)
        self.standardize, self.network = Standardize(), AudioNetwork(classes)

    def forward(self, wave: Any) -> Any:
        """Return 128 values of a wave [b t]."""
        front = RAVDESS_AUDIO
        bins = torch.stft(wave, front.n_fft, front.hop, front.win_length, self.window, return_complex=True)
        mel = 10 * (self.filters @ bins.abs().square()).clamp(min=AMIN).log10()
        return self.network(self.standardize(mel)[:, None])


class ResNet18(torch.nn.Module):
    """ResNet18, named as in torchvision."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 7, 2), torch.nn.BatchNorm2d(64)
        for number, (inputs, outputs) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512)), 1):
            pair = Basic(inputs, outputs, outputs // inputs), Basic(outputs, outputs, 1)
            setattr(self, f"layer{number}", torch.nn.Sequential(*pair))

    def forward(self, x: Any) -> Any:
        """Return 512 values of a picture [n 3 h w]."""
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))


class Video(torch.nn.Module):
    """From frames to the mean of their vectors."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.resnet, self.fc = ResNet18(), torch.nn.Linear(512, classes)
        for name, values in (("mean", IMAGENET_MEAN), ("deviation", IMAGENET_DEVIATION)):
            self.register_buffer(name, 255 * torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, video: Any) -> Any:
        """Return 512 values of frames [b f 3 h w]."""
        image = (video.flatten(0, 1).float() - self.mean) / self.deviation
        return self.resnet(image).unflatten(0, video.shape[:2]).mean(1)


class Head(torch.nn.Module):
    """Linear, ReLU, Dropout, Linear."""

    def __init__(self, inputs: int, width: int, rate: float) -> None:
        super().__init__()
        self.dense, self.out_proj, self.rate = torch.nn.Linear(inputs, width), torch.nn.Linear(width, 1), rate

    def forward(self, x: Any) -> Any:
        """Return the logit."""
        return self.out_proj(functional.dropout(functional.relu(self.dense(x)), self.rate, self.training))


class FusedHeads(torch.nn.Module):
    """Two projections and a gate; training hides the sound or the video of some clips."""

    def __init__(self, config: Fusion, classes: int) -> None:
        super().__init__()
        width, self.rate = config.common, config.modality_dropout_rate
        self.audio_proj, self.video_proj = torch.nn.Linear(128, width), torch.nn.Linear(512, width)
        self.gate = Head(2 * width, width, config.dropout)
        self.classifier = torch.nn.Linear(width, classes)

    def forward(self, audio: Any, video: Any) -> Any:
        """Return the logits."""
        heard, seen = self.audio_proj(audio), self.video_proj(video)
        if not self.training:
            share = self.gate(torch.cat([heard, seen], 1)).sigmoid()
            return self.classifier(share * heard + (1 - share) * seen)
        draw, rate = torch.rand(len(heard), 1), self.rate
        deaf, blind = draw < rate, draw >= 1 - rate
        heard, seen = heard.masked_fill(deaf, 0), seen.masked_fill(blind, 0)
        share = self.gate(torch.cat([heard, seen], 1)).sigmoid().masked_fill(deaf, 0).masked_fill(blind, 1)
        return self.classifier(share * heard + (1 - share) * seen)


class Peer(torch.nn.Module):
    """The whole, named as serjax's checkpoint is."""

    def __init__(self, config: Fusion, classes: int) -> None:
        super().__init__()
        self.audio, self.video, self.fusion = Audio(classes), Video(classes), FusedHeads(config, classes)

    def forward(self, wave: Any, video: Any) -> Any:
        """Return the logits."""
        return self.fusion(self.audio(wave), self.video(video))


def training_step(
    model: Peer, experiment: Any, batch: tuple[np.ndarray, np.ndarray, np.ndarray], compiled: bool
) -> tuple[Callable[[], None], np.ndarray]:
    """Return a function that makes a step and waits for it, and the logits before."""
    wave, pictures, label = (torch.from_numpy(array) for array in batch)
    pictures, label = pictures.movedim(-1, 2).contiguous(), label.long()
    with torch.inference_mode():
        logits = model.eval()(wave, pictures).numpy()
    forward, settings = torch.compile(model.train()) if compiled else model.train(), experiment.optimizer
    adam = torch.optim.AdamW(
        model.parameters(),
        lr=settings.max_lr,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        fused=True,
    )

    def step() -> None:
        guess = forward(wave, pictures)
        smoothing = experiment.train.label_smoothing
        loss = functional.cross_entropy(guess, label, label_smoothing=smoothing)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        adam.step()

    return step, logits
