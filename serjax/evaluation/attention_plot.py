"""A picture of cross-attention: how much of each moment of the sound each frame of a clip takes."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from serjax.audio import SAMPLE_RATE
from serjax.evaluation.plots import save_png
from serjax.runtime.disk import disk_errors
from serjax.runtime.errors import UserError


def draw_attention(
    path: Path,
    shares: Float[np.ndarray, "f n"],
    step: float,
    wave: Float[np.ndarray, "t"],
    frames: UInt8[np.ndarray, "f h w 3"],
    title: str,
) -> None:
    """Draw frames down the side, sound along the top, and between them how much each frame took from each moment.

    Args:
        path: of the picture.
        shares: of each stretch of sound in what each frame took; rows add up to 1.
        step: seconds from one stretch to the next.
        wave: samples at 16 kHz, of which as much is drawn as was looked at.
        frames: RGB.
        title: what stands above.

    Raises:
        UserError: the path does not end in .png, or cannot be written.
    """
    if path.suffix != ".png":
        raise UserError(f"--attention {path}: pictures are PNG files; give a name that ends in .png.")
    count, stretches = shares.shape
    seconds = stretches * step
    figure = Figure(figsize=(9, 1.6 + 0.62 * count), layout="constrained")
    grid = figure.add_gridspec(count + 1, 2, width_ratios=(1, 11), height_ratios=(1.4, *[1] * count))
    sound = figure.add_subplot(grid[0, 1])
    drawn = wave[: round(seconds * SAMPLE_RATE)]
    sound.plot(np.arange(len(drawn)) / SAMPLE_RATE, drawn, linewidth=0.4, color="0.25")
    sound.set(xlim=(0, seconds), xticks=[], yticks=[])
    sound.set_title(title, parse_math=False)
    looked = figure.add_subplot(grid[1:, 1])
    image = looked.imshow(100 * shares, aspect="auto", cmap="magma", vmin=0, extent=(0, seconds, count, 0))
    looked.set(xlabel="sound, s", yticks=np.arange(count) + 0.5, yticklabels=[str(i + 1) for i in range(count)])
    figure.colorbar(image, ax=looked, label="share, %", fraction=0.04, pad=0.01)
    for number, frame in enumerate(frames):
        shown = figure.add_subplot(grid[number + 1, 0])
        shown.imshow(frame)
        shown.set_axis_off()
    with disk_errors(path, "--attention"):
        path.parent.mkdir(parents=True, exist_ok=True)
    save_png(path, figure, "--attention")
