import pytest

from serjax.checkpoints.formats.yaml_files import read_yaml
from serjax.runtime.errors import UserError


def test_numbers_are_those_of_omegaconf(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: 1e-05\nb: [1.5E3, 3]\nc: 1e\nd: null\ne: yes\n")
    assert read_yaml(path) == {"a": 1e-5, "b": [1500.0, 3], "c": "1e", "d": None, "e": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [\n", r"it is no YAML of plain values in line 3"),
        ("!!python/object/apply:os.system ['true']", r"it is no YAML of plain values in line 1 \(could not determine"),
        ("- 1", "it holds a list, not keys with values"),
        ("", "it holds None, not keys with values"),
        ("a: \x00", "it is no YAML of plain values"),
        (f"a: {'[' * 5000}", "it is no YAML of plain values"),
    ],
)
def test_what_is_no_mapping_of_plain_values_is_refused(tmp_path, text, message):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        read_yaml(tmp_path / "config.yaml")
    assert "\n" not in str(raised.value)
