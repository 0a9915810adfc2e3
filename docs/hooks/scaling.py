"""Writes the table and the picture of docs/results/scaling.md: python docs/hooks/scaling.py."""

import re
from pathlib import Path

from serjax.config.experiment import Experiment
from serjax.evaluation.plots import save_png
from serjax.models.speech import Speech
from serjax.runs.planning.plan import Planner
from serjax.runs.planning.resolve import extent, resolved
from serjax.runs.planning.roofline import UTILIZATION, Work
from serjax.runs.planning.scaling import scaling_figure, scaling_rows, scaling_table
from serjax.runs.planning.topology import find_topology
from serjax.training.config import TrainConfig

RESULTS = Path(__file__).parents[1] / "results"
PAGE, PICTURE = RESULTS / "scaling.md", RESULTS / "pictures" / "scaling.png"
FAMILIES = {
    "TPU v5e": ("v5e-8", "v5e-16", "v5e-256"),
    "H100, nodes of 8": ("h100x8", "h100x8x2", "h100x8x4", "h100x8x8", "h100x8x16", "h100x8x32"),
}
SIZES = ("base", "large")


def work(size):
    """Return the work of one fold of HuBERT on one device: 16 clips of 3 s, bfloat16, CNN frozen."""
    model = Speech(family="hubert", size=size, freeze="cnn", dtype="bfloat16")
    experiment = resolved(Experiment("scaling", model=model, train=TrainConfig(batch_size=16)))
    planner = Planner(experiment, extent(experiment), find_topology("v5e-8"), utilization=UTILIZATION)
    return planner.mesh(1, 1).work_of_fold()


def rows(works):
    """Return the efficiency of all layouts on all machines."""
    return scaling_rows(works, [find_topology(name) for names in FAMILIES.values() for name in names])


def section(works, found):
    """Return what stands between the page's marks."""
    lines = ["| encoder | operations a step, TFLOP | gradients, GB |", "| --- | ---: | ---: |"]
    lines += [f"| {size} | {one.flops / 1e12:.2f} | {one.reduced / 1e9:.3f} |" for size, one in works.items()]
    return "\n".join(lines) + "\n\n" + scaling_table(found)


def main():
    """Count, and write both files."""
    works: dict[str, Work] = {size: work(size) for size in SIZES}
    found = rows(works)
    text = PAGE.read_text()
    new = re.sub(r"(?<=\n## Figures\n\n).*?(?=\n## )", lambda _: section(works, found), text, flags=re.S)
    PAGE.write_text(new)
    save_png(PICTURE, scaling_figure(found, FAMILIES))


if __name__ == "__main__":
    main()
