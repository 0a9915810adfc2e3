"""A drawn face that speaks: a few features of the expression, a person's own shape and colours, light and noise."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from serjax.video.config import FRAMES, SIZE

_FINE = 3
"""Pictures are drawn so many times as large and reduced, which smooths their edges."""

Points = Float[np.ndarray, "_ 2"]
"""In the face's own measure: the middle between the eyes is 0, 0, the chin lies near 0, 1."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Expression:
    """Expression of a face.

    Attributes:
        smile: curve of the mouth, from -1 (corners down) to 1.
        opening: how far the mouth opens in speaking, from 0 to 1.
        stretch: width of the mouth, over that of the person at rest.
        brows: how far the brows are raised, from -1 to 1.
        slant: of the brows, from -1 (inner ends down) to 1.
        eyes: how far they are open, over those of the person at rest.
        motion: how far the head moves, in half faces.
    """

    smile: float
    opening: float
    stretch: float
    brows: float
    slant: float
    eyes: float
    motion: float


@dataclass(frozen=True)
class Person:
    """Features of a face at rest.

    Attributes:
        skin: colour of the face.
        hair: colour of hair and brows.
        shirt: colour of the shoulders.
        wall: colour of what is behind.
        width: of the face, over its height.
        apart: of the eyes, from their middle.
        mouth: height at which the mouth lies.
        long: whether the hair falls to the shoulders.
    """

    skin: Colour
    hair: Colour
    shirt: Colour
    wall: Colour
    width: float
    apart: float
    mouth: float
    long: bool


def draw(
    expression: Expression, person: Person, rng: np.random.Generator, *, count: int = FRAMES, size: int = SIZE
) -> UInt8[np.ndarray, "n size size 3"]:
    """Draw frames of a face that speaks and moves; where it is, how it is lit and how grainy it is are random too."""
    light, grain = rng.uniform(0.75, 1.15), rng.uniform(2, 6)
    middle, scale = rng.normal((0.5, 0.42), 0.02), 0.4 * np.exp(rng.normal(0, 0.05))
    syllables, nods = rng.uniform(2.5, 5.5), rng.uniform(0.5, 1.5)
    phases = rng.uniform(0, 2 * np.pi, 4)
    pictures = []
    for moment in np.linspace(0, 1, count):
        mouth = max(0.0, expression.opening) * (0.55 + 0.45 * np.sin(2 * np.pi * syllables * moment + phases[0]))
        swing = expression.motion * np.sin(2 * np.pi * nods * moment + phases[1:])
        pictures.append(
            _picture(expression, person, mouth, middle + (0.06, 0.05) * swing[:2], 0.2 * swing[2], scale, size)
        )
    frames = light * np.stack(pictures) + rng.normal(0, grain, (count, size, size, 3))
    return np.clip(frames, 0, 255).astype(np.uint8)


def _picture(
    expression: Expression,
    person: Person,
    opening: float,
    middle: Float[np.ndarray, "2"],
    turn: float,
    scale: float,
    size: int,
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw one frame: where the face is in parts of the picture, and how far it is turned, in radians."""
    canvas = Image.new("RGB", (_FINE * size, _FINE * size), person.wall)
    brush = ImageDraw.Draw(canvas)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])

    def fill(points: Points, colour: Colour, turned: bool = True) -> None:
        placed = middle + scale * (points @ rotation if turned else points)
        brush.polygon([tuple(point) for point in _FINE * size * placed], fill=colour)

    dark, lips = _mix(person.skin, (60, 20, 20), 0.5), _mix(person.skin, (170, 40, 50), 0.6)
    fill(_ellipse(0, 2.0, 1.25, 0.85), person.shirt, turned=False)
    if person.long:
        fill(_ellipse(0, 0.35, person.width + 0.22, 1.15), person.hair)
    fill(_ellipse(0, 1.0, 0.3, 0.5), _mix(person.skin, (0, 0, 0), 0.15))
    fill(_ellipse(0, -0.12, person.width + 0.1, 0.95), person.hair)
    fill(_ellipse(0, 0.18, person.width, 0.9), person.skin)
    for side in (-1, 1):
        x = side * person.apart
        high = 0.11 * max(0.2, expression.eyes)
        fill(_ellipse(x, 0, 0.17, high), (240, 240, 240))
        fill(_ellipse(x, 0, min(0.085, high), min(0.085, high)), (40, 30, 30))
        inner, outer = x - side * 0.2, x + side * 0.22
        lift = -0.27 - 0.14 * expression.brows
        ends = np.array(
            [[inner, lift - 0.1 * expression.slant], [x, lift - 0.05], [outer, lift + 0.07 * expression.slant]]
        )
        fill(_band(ends, 0.035), person.hair)
    fill(_band(np.array([[0.02, 0.1], [-0.07, 0.38], [0.05, 0.4]]), 0.02), dark)
    wide = 0.3 * expression.stretch
    across = np.linspace(-1, 1, 15)
    curve = person.mouth + 0.14 * expression.smile * (0.5 - across**2)
    gap = (0.02 + 0.2 * opening) * (1 - across**2)
    for thick, colour in ((0.05, lips), (0.0, (70, 15, 20))):
        upper = np.stack([wide * across, curve - 0.4 * gap - thick * (1 - across**4)], 1)
        lower = np.stack([wide * across, curve + gap + thick * (1 - across**4)], 1)
        fill(np.concatenate([upper, lower[::-1]]), colour)
    return np.asarray(canvas.reduce(_FINE))


def _ellipse(x: float, y: float, wide: float, high: float) -> Points:
    angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    return np.stack([x + wide * np.cos(angles), y + high * np.sin(angles)], 1)


def _band(line: Points, thickness: float) -> Points:
    """Return the outline of a line, so much thicker above and below."""
    below = np.array([0, thickness])
    return np.concatenate([line - below, line[::-1] + below])


def _mix(colour: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round((1 - share) * a + share * b) for a, b in zip(colour, other, strict=True))
    return red, green, blue
