"""calibration.json is read back as it was written, and a file that does not fit is told."""

import json

import pytest

from serjax.checkpoints.calibration import read_calibration, write_calibration
from serjax.evaluation.calibration_report import Calibration, MemberCalibration
from serjax.runtime.errors import UserError

FOUND = Calibration((MemberCalibration(1, 0, 1.234567, (0.1, 0.3333333)), MemberCalibration(3, 0, 0.5, (0.0,))))
MEMBERS = [(1, 0), (3, 0)]


def test_it_comes_back_exactly_and_none_is_no_error(tmp_path):
    assert read_calibration(tmp_path, MEMBERS) is None
    write_calibration(tmp_path, FOUND)
    assert read_calibration(tmp_path, MEMBERS) == FOUND


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("format", 2, r"has format 2, .* reads format 1; use a newer serjax, or remove the file"),
        ("temperature", -1, r"members\.0\.temperature does not fit .*greater than 0"),
        ("temperature", float("nan"), r"members\.0\.temperature is nan, which is no number of JSON"),
        ("nonconformity", [], r"nonconformity does not fit"),
        ("nonconformity", [1.5], r"nonconformity.* does not fit"),
        ("fold", 2, r"it is not of the models of model\.json"),
    ],
)
def test_a_file_that_does_not_fit_is_told(tmp_path, key, value, sentence):
    write_calibration(tmp_path, FOUND)
    path = tmp_path / "calibration.json"
    content = json.loads(path.read_text())
    (content if key == "format" else content["members"][0])[key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"calibration.json: .*{sentence}"):
        read_calibration(tmp_path, MEMBERS)
    path.write_text("{")
    with pytest.raises(UserError, match=r"calibration\.json: it cannot be read as JSON"):
        read_calibration(tmp_path, MEMBERS)
