"""`python -m serjax.export` passes its options on, and names its files; without onnx it says what is missing."""

import subprocess
import sys

import pytest
from saved_runs import write_run

import serjax.inference.export.write
from serjax.export import main
from serjax.inference.export.write import Options
from serjax.runtime.errors import UserError


def test_options_are_passed_on_and_files_are_named(monkeypatch, tmp_path, capsys):
    asked = {}

    def export(*given):
        asked["given"] = given
        tmp_path.joinpath("model.onnx").write_bytes(bytes(2_000_000))
        return {"model.onnx": "it"}

    monkeypatch.setattr(serjax.inference.export.write, "export", export)
    options = ["--to", "onnx", "--out", str(tmp_path), "--fold", "2", "--weights", "1", "2", "--int8"]
    assert main(["a/run", *options]) == 0
    assert asked["given"] == ("a/run", "onnx", tmp_path, Options(2, (1.0, 2.0), True))
    assert capsys.readouterr().out == f"{tmp_path}/model.onnx  2.00 MB  it\n"


def test_a_run_is_exported(tmp_path, capsys):
    write_run(tmp_path / "run")
    assert main([str(tmp_path / "run"), "--to", "hf", "--fold", "1", "--out", str(tmp_path / "out")]) == 0
    names = {line.split("  ")[0] for line in capsys.readouterr().out.splitlines()}
    assert names == {str(path) for path in (tmp_path / "out").iterdir()}


def test_without_onnx_a_sentence_names_the_extra(tmp_path):
    write_run(tmp_path / "run")
    code = "import sys; sys.modules['onnx'] = None\n"
    code += "from serjax.export import main\nfrom serjax.runtime.errors import UserError\n"
    code += f"try:\n    main([{str(tmp_path / 'run')!r}, '--to', 'onnx', '--out', {str(tmp_path / 'out')!r}])\n"
    code += "except UserError as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "ONNX files are written by onnx, which is not installed; pip install 'serjax[onnx]'.\n", (
        done.stderr
    )
    assert not (tmp_path / "out").exists()


def test_a_mistyped_option_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match=r"--folds: there is no such option; did you mean --fold\?"):
        main([str(tmp_path), "--to", "hf", "--out", "x", "--folds", "1"])
