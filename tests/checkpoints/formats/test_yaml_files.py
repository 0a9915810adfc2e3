"""YAML is read as plain values, whatever it asks for."""

import pytest

from serjax.checkpoints.formats.yaml_files import read_yaml
from serjax.runtime.errors import UserError


def test_tags_are_left_out_and_nothing_is_made(tmp_path):
    path, made = tmp_path / "recipe.yaml", tmp_path / "made"
    path.write_text(f"""
size: 3
net: !new:os.mkdir
    path: {made}
layers: !new:torch.nn.ModuleList
    - !ref <net>
run: !!python/object/apply:os.mkdir [{made}]
also: !apply:os.mkdir [{made}]
""")
    assert read_yaml(path) == {
        "size": 3,
        "net": {"path": str(made)},
        "layers": ["<net>"],
        "run": [str(made)],
        "also": [str(made)],
    }
    assert not made.exists()


def test_numbers_are_those_of_omegaconf(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: 1e-05\nb: [1.5E3, 3]\nc: 1e\nd: null\ne: yes\n")
    assert read_yaml(path) == {"a": 1e-5, "b": [1500.0, 3], "c": "1e", "d": None, "e": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "it is no YAML file"),
        ("- 1", "it holds a list, no mapping"),
        ("", "it holds a NoneType, no mapping"),
        ("a: " + "[" * 5000, "it is no YAML file"),
        ("\x00", "it is no YAML file"),
        ("? {a: 1}\n: 2", "it is no YAML file"),
        ("a: *b", "it is no YAML file"),
    ],
)
def test_what_is_no_mapping_is_said(tmp_path, text, message):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(UserError, match=rf"recipe\.yaml: {message}"):
        read_yaml(tmp_path / "recipe.yaml")


def test_a_file_that_is_too_large_is_refused(tmp_path):
    (tmp_path / "recipe.yaml").write_text("#" * (1 << 21))
    with pytest.raises(UserError, match="more than"):
        read_yaml(tmp_path / "recipe.yaml")
