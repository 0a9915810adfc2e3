"""Pictures of tasks are drawn, with the answers that they are given."""

import numpy as np
import pytest
from answered_tasks import AVD, LABELS, SOFT, answers

from serjax.evaluation.plots import save_png
from serjax.evaluation.task_plots import task_figure
from serjax.evaluation.task_report import task_section


@pytest.mark.parametrize("task", [AVD, SOFT, LABELS])
def test_pictures_are_drawn(task, tmp_path):
    own = answers(task)
    figure = task_figure(own, task_section([own], 0))
    save_png(tmp_path / "x.png", figure)
    assert (tmp_path / "x.png").stat().st_size > 5_000


def test_density_holds_every_clip_and_boxes_every_speaker():
    own = answers(AVD)
    own.truth[0, 1] = np.nan
    figure = task_figure(own, task_section([own], 0))
    density, valence, boxes, _ = figure.axes
    assert np.nansum(density.images[0].get_array().filled(np.nan)) == 48
    assert np.nansum(valence.images[0].get_array().filled(np.nan)) == 47
    assert len(boxes.get_xticklabels()) == 6
