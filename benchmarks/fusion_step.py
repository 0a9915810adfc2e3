"""A training step of the gated fusion of sound and video beside the same step in PyTorch, from the same weights.

    python benchmarks/fusion_step.py [--rounds 7 --batch 16 --sides torch torch-compiled serjax --markdown FILE]

The model is `av_gated`'s: AudioResNet18 on 64 mels, ResNet18 on eight frames of 112 x 112 pixels, a gate of width 256,
eight classes; 24,263,833 parameters, which is checked. Both sides start from noise for sound (3 s) and for pictures, as
uint8: spectrogram (torch.stft there), normalisation, forward and backward pass in training mode (dropout, modality
dropout, batch statistics; no augmentation), label smoothing, clipping at a norm of 1 and an AdamW update without decay
(fused in PyTorch), at a constant rate. Pictures lie channels first for PyTorch, as its users keep them.

All sides are in one process and take turns; of each turn the second step counts, as the first finds the caches as
another side left them. The table has medians over the rounds. First the logits of one batch in evaluation mode are
compared, which must agree. Needs the extra `bench`.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch.nn import functional

from serjax import cli
from serjax.audio import SAMPLE_RATE
from serjax.audio.config import AugmentConfig
from serjax.audio.spectrogram import AMIN, RAVDESS_AUDIO, mel_filters
from serjax.checkpoints.conversion import to_tensors
from serjax.config.experiment import Experiment
from serjax.config.registry import find
from serjax.models.functional import count, logits_of
from serjax.models.fusion.model import FusionModel
from serjax.models.inputs import Inputs
from serjax.models.networks.resnet import IMAGENET_DEVIATION, IMAGENET_MEAN
from serjax.runtime.allocator import keep_memory
from serjax.training.classification import LabelledInputs
from serjax.training.optimizer import rate_factors
from serjax.training.update import TrialConstants, init_state, train_step

CLASSES, PARAMETERS = 8, 24_263_833
EXPERIMENT = replace(find("av_gated", Experiment), augment=AugmentConfig())
RATE = EXPERIMENT.optimizer.max_lr
SIDES = {"torch": "PyTorch eager", "torch-compiled": "PyTorch compiled", "serjax": "serjax"}
Step = Callable[[], None]


def inputs(clips: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return waves [b t], pictures [b f h w 3] and labels [b]."""
    rng, video = np.random.default_rng(0), EXPERIMENT.video
    wave = rng.normal(0, 0.1, (clips, round(EXPERIMENT.data.seconds * SAMPLE_RATE))).astype(np.float32)
    pictures = rng.integers(0, 256, (clips, video.frames, video.size, video.size, 3), np.uint8)
    return wave, pictures, np.arange(clips, dtype=np.int32) % CLASSES


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

    def __init__(self) -> None:
        super().__init__()
        modules, widths = torch.nn.ModuleList, (64, 128, 256, 512)
        self.conv1, self.bn1 = conv(1, 64, 7, 2), torch.nn.BatchNorm2d(64)
        self.down_convs = modules([conv(width // 2, width, 1, 2) for width in widths[1:]])
        self.down_norms = modules([torch.nn.BatchNorm2d(width) for width in widths[1:]])
        self.layers = modules([modules([Plain(width, width) for _ in range(2)]) for width in widths])
        self.fc1, self.fc2 = torch.nn.Linear(512, 128), torch.nn.Linear(128, CLASSES)

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

    def __init__(self) -> None:
        super().__init__()
        front = RAVDESS_AUDIO
        filters = mel_filters(front.n_fft, front.mels, scale=front.scale, norm=front.mel_norm)
        self.register_buffer("filters", torch.from_numpy(np.asarray(filters)), persistent=False)
        self.register_buffer("window", torch.hann_window(front.win_length), persistent=False)
        self.standardize, self.network = Standardize(), AudioNetwork()

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

    def __init__(self) -> None:
        super().__init__()
        self.resnet, self.fc = ResNet18(), torch.nn.Linear(512, CLASSES)
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


class Fusion(torch.nn.Module):
    """Two projections and a gate; training hides the sound or the video of some clips."""

    def __init__(self) -> None:
        super().__init__()
        width = EXPERIMENT.fusion.common
        self.audio_proj, self.video_proj = torch.nn.Linear(128, width), torch.nn.Linear(512, width)
        self.gate = Head(2 * width, width, EXPERIMENT.fusion.dropout)
        self.classifier = torch.nn.Linear(width, CLASSES)

    def forward(self, audio: Any, video: Any) -> Any:
        """Return the logits."""
        heard, seen = self.audio_proj(audio), self.video_proj(video)
        if not self.training:
            share = self.gate(torch.cat([heard, seen], 1)).sigmoid()
            return self.classifier(share * heard + (1 - share) * seen)
        draw, rate = torch.rand(len(heard), 1), EXPERIMENT.fusion.hidden
        deaf, blind = draw < rate, draw >= 1 - rate
        heard, seen = heard.masked_fill(deaf, 0), seen.masked_fill(blind, 0)
        share = self.gate(torch.cat([heard, seen], 1)).sigmoid().masked_fill(deaf, 0).masked_fill(blind, 1)
        return self.classifier(share * heard + (1 - share) * seen)


class Peer(torch.nn.Module):
    """The whole, named as serjax's checkpoint is."""

    def __init__(self) -> None:
        super().__init__()
        self.audio, self.video, self.fusion = Audio(), Video(), Fusion()

    def forward(self, wave: Any, video: Any) -> Any:
        """Return the logits."""
        return self.fusion(self.audio(wave), self.video(video))


def torch_side(tensors: dict[str, np.ndarray], clips: int, compiled: bool = False) -> tuple[Step, np.ndarray]:
    """Return what makes a step and waits for it, and the logits before."""
    model = Peer()
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
    found = sum(parameter.numel() for parameter in model.parameters())
    if found != PARAMETERS:
        raise SystemExit(f"PyTorch's side has {found:,} parameters, not {PARAMETERS:,}.")
    wave, pictures, label = (torch.from_numpy(array) for array in inputs(clips))
    pictures, label = pictures.movedim(-1, 2).contiguous(), label.long()
    with torch.inference_mode():
        logits = model.eval()(wave, pictures).numpy()
    forward, settings = torch.compile(model.train()) if compiled else model.train(), EXPERIMENT.optimizer
    adam = torch.optim.AdamW(
        model.parameters(),
        lr=RATE,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        fused=True,
    )

    def step() -> None:
        guess = forward(wave, pictures)
        smoothing = EXPERIMENT.train.label_smoothing
        loss = functional.cross_entropy(guess, label, label_smoothing=smoothing)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        adam.step()

    return step, logits


def serjax_side(model: FusionModel, clips: int) -> tuple[Step, np.ndarray]:
    """Return what makes a step and waits for it, and the logits before."""
    graphdef, params = nnx.split(model)
    if count(params) != PARAMETERS:
        raise SystemExit(f"serjax's side has {count(params):,} parameters, not {PARAMETERS:,}.")
    wave, pictures, label = inputs(clips)
    lengths, frames = np.full(clips, wave.shape[1], np.int32), np.full(clips, pictures.shape[1], np.int32)
    batch = LabelledInputs(Inputs(wave, lengths, pictures, frames), label, np.ones(clips, np.float32))
    evaluated = jax.jit(lambda params, arrays: logits_of(graphdef, params, {}, arrays, None, "float32"))
    logits = np.asarray(evaluated(params, batch.arrays))
    # A constant rate, as on the other side.
    experiment = replace(EXPERIMENT, optimizer=replace(EXPERIMENT.optimizer, schedule="constant"))
    run = TrialConstants(jax.random.key(0), jnp.array(100), jnp.array(RATE), jnp.ones(CLASSES))
    update = partial(train_step, graphdef=graphdef, experiment=experiment, factors=rate_factors(params, ()))
    compiled = jax.jit(lambda state, batch, run: update(state, batch, run, {}), donate_argnums=0)
    kept = [init_state(jax.tree.map(jnp.copy, params))]

    def step() -> None:
        kept[0], metrics = compiled(kept[0], batch, run)
        jax.block_until_ready((kept[0], metrics))

    return step, logits


def measure(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """Let the sides take turns; return each one's seconds."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            step()
            began = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - began)
    return times


def table(times: dict[str, list[float]], clips: int) -> str:
    """Return the time of serjax over each peer's, then milliseconds and their range."""
    found = {name: median(values) for name, values in times.items()}
    peers = [name for name in found if name != "serjax"]
    heads = [*(f"/ {SIDES[name]}" for name in peers), "ms", *(f"{SIDES[name]}, ms" for name in peers)]
    cells = [f"**{found['serjax'] / found[name]:.2f}**" for name in peers]
    cells += [
        f"{1000 * found[name]:.0f} ({1000 * min(times[name]):.0f} to {1000 * max(times[name]):.0f})"
        for name in ("serjax", *peers)
    ]
    lines = [f"| serjax | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    return "\n".join([*lines, f"| training step, {clips} clips | {' | '.join(cells)} |", ""])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--batch", type=int, default=EXPERIMENT.train.batch_size)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--markdown", type=Path, help="write the table to this file too")
    options = parser.parse_args()
    keep_memory()
    cli.compilation_cache()
    # Without `video_augment`, as nothing is augmented.
    model = FusionModel(EXPERIMENT, EXPERIMENT.fusion, CLASSES, rngs=nnx.Rngs(0))
    tensors, steps = to_tensors(model), {}
    step, ours = serjax_side(model, options.batch)
    for name in dict.fromkeys(options.sides):
        if name != "serjax":
            steps[name], theirs = torch_side(tensors, options.batch, compiled=name == "torch-compiled")
            apart = float(np.std(ours - theirs) / np.std(theirs))
            print(f"{SIDES[name]}: logits differ by {apart:.1e} of their deviation.", file=sys.stderr, flush=True)
            if apart > 1e-3:
                raise SystemExit("The sides do not compute the same.")
    text = table(measure({**steps, "serjax": step}, options.rounds), options.batch)
    print(f"{PARAMETERS:,} parameters on either side; on {jax.devices()[0].device_kind}.\n\n{text}")
    if options.markdown:
        options.markdown.write_text(text)


if __name__ == "__main__":
    main()
