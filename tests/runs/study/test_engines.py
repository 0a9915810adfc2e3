"""Engines: cells here, one after the other; as jobs of SLURM, with a stand-in of its commands; as tasks of Ray."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from little_study import make_study

from serjax.runs.study import engines
from serjax.runs.study.cells import Cell, log_file, sentence
from serjax.runs.study.engines import run_cells
from serjax.runs.study.run import run_study
from serjax.runtime.errors import MissingPackage, UserError

ROOT = Path(__file__).parents[3]
ONE, TWO = Cell("train", "tiny", "one"), Cell("train", "tiny", "two")

SBATCH = """#!/usr/bin/env python3
# Takes the words of a batch script as SLURM does, and runs it as the job's first and only task.
import os, pathlib, re, subprocess, sys
state = pathlib.Path(os.environ["STAND_IN"])
script = pathlib.Path(sys.argv[-1])
text = script.read_text()
assert text.startswith("#!"), "no batch script"
options = dict(re.findall(r"^#SBATCH --([\\w-]+)(?:=(.*))?$", text, re.M))
number = 100 + len(list(state.glob("*.job")))
(state / f"{number}.job").write_text(repr(options))
environment = os.environ | {"SLURM_JOB_ID": str(number), "SLURM_JOBID": str(number), "SLURM_NTASKS": "1"}
environment |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_JOB_NUM_NODES": "1"}
environment |= {"SLURM_JOB_NODELIST": "localhost", "SLURM_NNODES": "1"}
copy = state / f"{number}.sh"  # SLURM keeps the script, which its owner may move
copy.write_text(text)
with (state / f"{number}.out").open("w") as output:
    streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
    process = subprocess.Popen(["bash", str(copy)], env=environment, start_new_session=True, **streams)
(state / f"{number}.pid").write_text(str(process.pid))
print(f"Submitted batch job {number}")
"""
SRUN = """#!/usr/bin/env python3
# Starts the command behind its options, as the only task.
import os, sys
words = sys.argv[1:]
while words[0].startswith("-"):
    words = words[1 if "=" in words[0] or words[0] == "--unbuffered" else 2 :]
os.execvp(words[0], words)
"""
SACCT = """#!/usr/bin/env python3
import os, pathlib
print("JobID|State|NodeList")
for pid in pathlib.Path(os.environ["STAND_IN"]).glob("*.pid"):
    running = os.path.exists(f"/proc/{pid.read_text()}")
    print(f"{pid.stem}|{'RUNNING' if running else 'FAILED'}|localhost")
"""
SCANCEL = """#!/usr/bin/env python3
import os, pathlib, signal, sys
state = pathlib.Path(os.environ["STAND_IN"])
for number in sys.argv[1:]:
    if (state / f"{number}.pid").is_file():
        (state / f"{number}.cancelled").touch()
        os.killpg(int((state / f"{number}.pid").read_text()), signal.SIGTERM)
"""


@pytest.fixture
def asked(monkeypatch):
    done = []

    def run_cell(study, cell, command):
        done.append(cell)
        return cell != ONE

    monkeypatch.setattr(engines, "run_cell", run_cell)
    return done


def test_here_cells_are_done_one_after_the_other(study, asked, caplog):
    caplog.set_level("INFO")
    run_cells(study, [ONE, TWO], "command", "here", {})
    assert asked == [ONE, TWO]
    assert "Cell 1 of 2: tiny on one." in caplog.text
    assert "Cell 2 of 2: tiny on two; about 0 s left." in caplog.text


def test_nothing_to_do_needs_no_engine(study):
    run_cells(study, [], "command", "slurm", {})


@pytest.mark.parametrize(("engine", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_missing_package_gets_a_sentence(study, monkeypatch, engine, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match=rf"pip install 'serjax\[{engine}\]'"):
        run_cells(study, [ONE], "command", engine, {})


def test_a_job_that_left_nothing_gets_a_sentence(study):
    engines._settle(study, ONE, "exit status 137")
    assert sentence(study, ONE) == f"the job ended without results (exit status 137); see {log_file(study, ONE)}"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Commands of SLURM on the PATH that run jobs on this machine; the folder of what they were asked for."""
    pytest.importorskip("submitit", reason="needs the extra slurm")
    commands, state = tmp_path / "bin", tmp_path / "state"
    commands.mkdir()
    state.mkdir()
    for name, text in {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT, "scancel": SCANCEL}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN", str(state))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(engines, "POLL", 0.2)
    return state


@pytest.mark.jobs
def test_slurm_does_every_cell_as_a_job(tones, tmp_path, slurm):
    corpora = make_study(tones, tmp_path).corpora[:1]
    study = make_study(tones, tmp_path / "out", protocol="speaker", corpora=corpora, seeds=1)
    report = run_study(study, engine="slurm", resources={"slurm_partition": "gpu", "timeout_min": 7})
    assert report["cells"][0]["sentence"] is None
    assert report["cells"][0]["scores"] is not None
    (job,) = slurm.glob("*.job")
    assert "'partition': 'gpu'" in job.read_text()
    assert "'time': '7'" in job.read_text()
    assert "macro-F1" in log_file(study, ONE).read_text()


@pytest.mark.jobs
def test_a_job_of_slurm_that_fails_leaves_its_sentence(tones, tmp_path, slurm):
    (tmp_path / "empty").mkdir()
    study = make_study(tones, tmp_path / "out", protocol="speaker")
    encoder = type(study.encoders[0])("tiny", str(tmp_path / "empty"))
    report = run_study(make_study(tones, tmp_path / "out", protocol="speaker", encoders=(encoder,)), engine="slurm")
    assert [cell["scores"] for cell in report["cells"]] == [None, None]
    assert all("config.json" in cell["sentence"] for cell in report["cells"])


@pytest.mark.jobs
def test_jobs_of_slurm_are_cancelled_where_the_study_stops(tones, tmp_path, slurm, monkeypatch):
    study = make_study(tones, tmp_path / "out", protocol="speaker")
    monkeypatch.setattr(engines, "_command", lambda study, cell: ["sleep", "60"])

    def stop(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(engines, "time", SimpleNamespace(monotonic=time.monotonic, sleep=stop))
    with pytest.raises(KeyboardInterrupt):
        run_study(study, engine="slurm")
    assert len(list(slurm.glob("*.cancelled"))) == 2


@pytest.mark.jobs
def test_resources_that_submitit_does_not_know_get_a_sentence(study, slurm):
    with pytest.raises(UserError, match="--job: submitit does not take these"):
        run_cells(study, [ONE], "command", "slurm", {"colour": "blue"})


@pytest.mark.jobs
def test_a_job_that_slurm_refuses_gets_a_sentence(study, slurm):
    refusal = "sbatch: error: invalid partition specified: gpu"
    (slurm.parent / "bin" / "sbatch").write_text(f"#!/bin/sh\necho '{refusal}' >&2\nexit 1\n")
    with pytest.raises(UserError, match=r"sbatch refused the job \(invalid partition specified: gpu\)"):
        run_cells(study, [ONE], "command", "slurm", {})


def test_without_slurm_there_is_a_sentence(study, monkeypatch, tmp_path):
    pytest.importorskip("submitit", reason="needs the extra slurm")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="--on slurm: there is no sbatch on this machine"):
        run_cells(study, [ONE], "command", "slurm", {})


RAY = """
import sys
from pathlib import Path
from little_study import make_study
from serjax.runs.study.run import run_study
import serjax.runs.study.settings as settings
tones, out, broken = sys.argv[1:]
encoders = (settings.parse_encoder("tiny=random:hubert:tiny"), settings.parse_encoder(f"broken={broken}"))
one = make_study(Path(tones), out).corpora[:1]
study = make_study(Path(tones), out, protocol="speaker", seeds=1, corpora=one, encoders=encoders)
report = run_study(study, engine="ray", resources={"num_cpus": 1})
print([cell["scores"] is not None for cell in report["cells"]], report["cells"][1]["sentence"])
try:
    other = make_study(Path(tones), out, name="other", corpora=one, protocol="speaker")
    run_study(other, engine="ray", resources={"colour": 1})
except Exception as error:
    print(error)
"""


@pytest.mark.jobs
def test_ray_does_every_cell_as_a_task_of_a_local_cluster(tones, tmp_path):
    pytest.importorskip("ray", reason="needs the extra ray")
    (tmp_path / "empty").mkdir()
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}"}
    environment |= {"RAY_TMPDIR": "/tmp", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    ray = Path(sys.executable).with_name("ray")
    start = [ray, "start", "--head", "--num-cpus=1", "--include-dashboard=false", "--port=0", "--disable-usage-stats"]
    subprocess.run(start, env=environment, check=True, capture_output=True)
    try:
        command = [sys.executable, "-c", RAY, tones, tmp_path / "out", tmp_path / "empty"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    finally:
        subprocess.run([ray, "stop", "--force"], env=environment, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    *_, first, second = done.stdout.splitlines()
    assert first.startswith("[True, False]")
    assert "config.json" in first
    assert second.startswith("--job: Ray does not take these")
