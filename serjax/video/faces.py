"""Face detection: dlib's detector, whose weights are part of its library (package dlib-bin)."""

import threading
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from serjax.runtime.errors import MissingPackage
from serjax.video.config import Box, Picture

try:
    import dlib
except ImportError:
    raise MissingPackage("dlib", "video", "Faces are found") from None

MARGIN = 1.5
"""Side of the part that is cut out, over that of what the detector marks, which is brows to chin."""

_SIDES = (360, 720)
"""Pixels to which a picture's shorter side is brought, in turn, until a face is found. The detector sees faces of 80
pixels and more, so the second look finds those of a ninth of the picture; it costs four times the first."""

_ONE_AT_A_TIME = threading.Lock()


def find_face(picture: Picture) -> Box | None:
    """Return a square around the largest face of a picture, for `read(find=...)`; None where there is none.

    It is half as large again as the face, to hold chin and forehead and a head that moves, and lies within the picture.
    """
    height, width = picture.shape[:2]
    for side in _SIDES:
        scale = side / min(height, width)
        size = (round(width * scale), round(height * scale))
        image = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
        # A detector keeps the picture that it looks at, and making one takes half a second: threads share one.
        with _ONE_AT_A_TIME:
            faces = _detector()(image)
        if faces:
            face = max(faces, key=lambda found: found.area())
            middle = (face.left() + face.right() + 1) / 2 / scale, (face.top() + face.bottom() + 1) / 2 / scale
            return _square(middle, MARGIN * face.width() / scale, width, height)
    return None


@cache
def _detector() -> Any:
    return dlib.get_frontal_face_detector()


def _square(middle: tuple[float, float], side: float, width: int, height: int) -> Box:
    """Return a square around a point, made smaller and shifted as far as it must be to lie within the picture."""
    size = min(round(side), width, height)
    left = min(max(0, round(middle[0] - size / 2)), width - size)
    top = min(max(0, round(middle[1] - size / 2)), height - size)
    return left, top, left + size, top + size
