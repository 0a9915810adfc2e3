"""Commands and Python blocks of README, CONTRIBUTING and docs/: parsed by their doors, run where nothing is missing.

Comments in a page's source, each on a line of its own, say what is done with its blocks:

    <!-- needs: RAVDESS -->     before a block: it is not run, for want of this; its commands are parsed all the same
    <!-- run -->                before a block of shell: it is run, in the order of the page
    <!-- setup: COMMAND -->     anywhere: run before the page's blocks; pages with the same command share what it leaves
    <!-- slow -->               anywhere: running the page takes minutes

Python blocks that need nothing are run, in one namespace a page. Commands of serjax that a launcher (srun, ssh, a YAML
file) starts on other machines are parsed too.
"""

import argparse
import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tyro

from serjax.config.experiment import Experiment
from serjax.config.pretraining import PretrainExperiment
from serjax.runtime.constraints import validate
from serjax.runtime.hosts import Hosts

ROOT = Path(__file__).parents[2]
SPEC = spec_from_file_location("reference", ROOT / "docs" / "hooks" / "reference.py")
reference = module_from_spec(SPEC)
SPEC.loader.exec_module(reference)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>needs: [^\n]+|run) -->\n)?^```(?P<language>\w+)[^\n]*\n(?P<text>.*?)^```$", re.M | re.S
)
MARK = re.compile(r"^<!-- (?:needs: \S.*|run|setup: \S.*|slow|(?:options|help|experiments): \S+|-+8<-+ .*) -->$")
OUTSIDE = {
    "cd",
    "curl",
    "docker",
    "echo",
    "git",
    "pip",
    "pytest",
    "mypy",
    "ruff",
    "mkdocs",
    "http.server",
    "tensorboard",
    "wait",
}
"""Commands of others, which are left alone."""
LAUNCHERS = {"[", "exit", "gcloud", "kubectl", "sbatch", "scontrol", "sky", "srun", "ssh", "xpk"}
"""Commands of clusters, of which the command of serjax that they start is looked at."""
OF_LAUNCHERS = {"--gpus-per-node", "--max-restarts", "--ntasks-per-node", "--worker"}
"""Options of theirs that texts name."""
ON_A_CLUSTER = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_JOB_ID": "1", "JOB_COMPLETION_INDEX": "1", "SKYPILOT_NODE_RANK": "1"}
ON_A_CLUSTER |= {"SKYPILOT_NUM_NODES": "2", "HEAD": "10.0.0.1"}
"""Variables that schedulers set, or a script from theirs."""
DRIVER = """
import json, subprocess, sys
namespace = {"__name__": "__main__"}
for language, text, place in json.load(sys.stdin):
    print("--", place, flush=True)
    if language == "python":
        exec(compile(text, place, "exec"), namespace)
    else:
        subprocess.run(["bash", "-euo", "pipefail", "-c", text], check=True)
"""


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    mark: str
    place: str


class Parsed(Exception):
    """What a door's parser has read: the door is left here, before it does anything."""

    def __init__(self, value: Any) -> None:
        self.value = value


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("language")) + 1
        yield Block(found["language"], found["text"], found["mark"] or "", f"{page.relative_to(ROOT)}:{line}")


def commands(text: str) -> Iterator[list[str]]:
    """Yield the commands of a shell block, with what it has put into variables in place of their names."""
    variables = dict(ON_A_CLUSTER)
    for line in re.sub(r"> \S+$", "", text.replace("\\\n", " "), flags=re.M).splitlines():
        tokens = shlex.shlex(line, posix=True, punctuation_chars="&;|")
        tokens.whitespace_split = True
        command: list[str] = []
        for token in [*tokens, ";"]:
            if set(token) <= set("&;|"):
                if command:
                    yield command
                command = []
            elif not command and (assigned := re.fullmatch(r"(\w+)=(.*)", token, re.S)):
                variables[assigned[1]] = assigned[2]
            elif re.match(r"\$\w", token):
                command += shlex.split(re.sub(r"\$(\w+)", lambda found: variables[found[1]], token))
            else:
                command.append(token)


def started(command: list[str]) -> Iterator[list[str]]:
    """Yield the commands that a command is or starts: those after a launcher's options, or in one of them."""
    yield command
    if command[0] in LAUNCHERS:
        if "python" in command:
            yield command[command.index("python") :]
        for argument in command:
            if argument.startswith("python "):
                yield from commands(argument)


def shell(block: Block) -> str:
    """Return what a block has of shell: in YAML, the commands of serjax."""
    if block.language != "yaml":
        return block.text if block.language == "bash" else ""
    return "\n".join(re.findall(r"python -m serjax.*", block.text.replace("\\\n", " ")))


SHELL = [
    (block.place, one)
    for page in PAGES
    for block in blocks(page)
    for command in commands(shell(block))
    for one in started(command)
]


def test_commands_that_launchers_start_are_found():
    places = [command[:3] for place, command in SHELL if "cluster.md" in place and command[0] == "python"]
    assert places.count(["python", "-m", "serjax.train"]) >= 8
    assert ["python", "-m", "serjax.gather"] in places


def and_stop(parser):
    def parse(*args, **options):
        raise Parsed(parser(*args, **options))

    return parse


@pytest.fixture
def stop_after_parsing(monkeypatch):
    monkeypatch.setattr(tyro, "cli", and_stop(tyro.cli))
    for name in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, name, and_stop(getattr(argparse.ArgumentParser, name)))


@pytest.mark.parametrize(
    "command", [pytest.param(command, id=f"{place} {shlex.join(command)}") for place, command in SHELL]
)
def test_command_is_accepted_by_the_parser_of_its_door(command, stop_after_parsing, capsys):
    match command:
        case ["python", "-m", module, *arguments] if module.startswith("serjax."):
            check_door(module, arguments)
        case ["python", script, *arguments] if script.startswith("benchmarks/"):
            check_benchmark(ROOT / script, arguments)
        case ["pip", "install", *arguments]:
            extras = {name for found in re.findall(r"\[(.+?)\]", " ".join(arguments)) for name in found.split(",")}
            assert (
                extras
                <= tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()
            )
        case ["just", recipe, *_]:
            assert re.search(rf"^{recipe}\b.*:$", (ROOT / "justfile").read_text(), re.M)
        case [".ci/run"]:
            assert (ROOT / ".ci/run").is_file()
        case ["python", "-m", module, *_] | [module, *_]:
            assert module in OUTSIDE | LAUNCHERS


def check_door(module: str, arguments: list[str]) -> None:
    # The page makes this file when it is run.
    arguments = [re.sub(r"^mine$", "quickstart", argument) for argument in arguments]
    asks_for_help = bool({"-h", "--help"} & set(arguments))
    with pytest.raises(SystemExit if asks_for_help else Parsed) as stopped:
        import_module(module).main(arguments)
    if isinstance(stopped.value, Parsed):
        experiment = getattr(stopped.value.value, "settings", stopped.value.value)
        if isinstance(experiment, Experiment | PretrainExperiment):
            validate(experiment)


def check_benchmark(script: Path, arguments: list[str]) -> None:
    source = script.read_text(encoding="utf-8") + script.with_name("harness.py").read_text()
    named = {argument for argument in arguments if argument.startswith("--")}
    unknown = {name for name in named if not re.search(rf'"({name}|{name[2:]})"', source)}
    if unknown and "cli.parse" in source:
        given = arguments if "--exp" in arguments else ["--exp", "mel_kfold", *arguments]
        check_door("serjax.train", given)
    else:
        assert not unknown


@pytest.fixture(scope="session")
def known_options():
    options = reference.option_names("serjax.train") | reference.option_names("serjax.pretrain")
    options |= {f"{group}.no-{name}" for group, _, name in (option.rpartition(".") for option in options)}
    for script in (ROOT / "benchmarks").glob("*.py"):
        options |= {f"--{name}" for name in re.findall(r'"(?:--)?([a-z][a-z-]*)"', script.read_text())}
    doors = ["predict", "listen", "look", "embed", "evaluate", "compare", "export", "gather", "push", "plan", "prepare"]
    doors += ["serve", "study", "layers"]
    for door in doors:
        options |= set(re.findall(r"--[a-z][a-z.-]+", reference.help_page(f"serjax.{door}")))
    options |= {f"--hosts.{field.name}" for field in fields(Hosts)}
    return options | {"--exp", "--no-overwrite", "--dry-run"} | OF_LAUNCHERS


def unknown_options(text: str, known: set[str]) -> set[str]:
    """Return options, and groups of options such as `--search`, that no command has."""
    named = {name.rstrip(".") for name in re.findall(r"(?<!\S)--[a-z][\w.-]*", text)}
    return {name for name in named - known if not any(option.startswith(f"{name}.") for option in known)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_named_in_the_text_exist(page, known_options):
    code = re.findall(r"`([^`]+)`", BLOCK.sub("", page.read_text()))
    assert unknown_options("\n".join(code), known_options) == set()


@pytest.mark.parametrize("path", sorted(reference.EXPERIMENTS.rglob("[!_]*.py")), ids=lambda path: path.stem)
def test_docstring_of_an_experiment_names_a_command_that_is_accepted(path, stop_after_parsing, known_options):
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert unknown_options(docstring, known_options) == set()
    ((_, _, module, *arguments),) = commands(re.sub(r" \[.*\]$", "", re.search("^Command: (.+)$", docstring, re.M)[1]))
    check_door(module, arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_comments_in_a_page_are_marks_that_are_known(page):
    comments = [line for line in page.read_text().splitlines() if line.startswith("<!--")]
    assert [line for line in comments if not MARK.match(line)] == []


def test_every_command_stands_in_a_block_of_shell():
    for page in PAGES:
        rest = BLOCK.sub("", page.read_text())
        assert not re.search(r"^ {4,}(python|pip|just) ", rest, re.M), page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_compile(page):
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, block.place, "exec")


def runnable(page: Path) -> list[Block]:
    return [
        block
        for block in blocks(page)
        if (block.language == "python" and not block.mark) or (block.language == "bash" and block.mark == "run")
    ]


def cases() -> Iterator[Any]:
    for page in PAGES:
        if runnable(page):
            marks = [pytest.mark.slow] if "\n<!-- slow -->\n" in page.read_text() else []
            yield pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks)


@pytest.fixture(scope="session")
def prepare(tmp_path_factory):
    made: dict[str, Path] = {}

    def in_folder(command: str, folder: Path) -> None:
        if command not in made:
            made[command] = tmp_path_factory.mktemp("setup")
            run(["bash", "-euo", "pipefail", "-c", command], made[command])
        shutil.copytree(made[command], folder, dirs_exist_ok=True)

    return in_folder


@pytest.fixture(scope="session")
def rendered(tmp_path_factory):
    """Folder of the speech that pages have rendered, which later pages find where they would render it again."""
    return tmp_path_factory.mktemp("rendered")


@pytest.mark.parametrize("page", list(cases()))
def test_page_runs(page, prepare, rendered, tmp_path):
    shutil.copytree(rendered, tmp_path / "checkpoints")
    for command in re.findall(r"^<!-- setup: (.+) -->$", page.read_text(), re.M):
        prepare(command, tmp_path)
    run([sys.executable, "-c", DRIVER], tmp_path, json.dumps([(*block[:2], block.place) for block in runnable(page)]))
    if page == ROOT / "docs" / "quickstart.md":
        report = json.loads((tmp_path / "checkpoints" / "quickstart" / "report.json").read_text())
        assert report["out_of_fold"]["ua"]["score"] >= 0.75, "less than README and this page promise"
    for folder in (tmp_path / "checkpoints").glob("synthetic-speech-*"):
        if not (rendered / folder.name).exists():
            shutil.copytree(folder, rendered / folder.name)


def run(command: list[str], folder: Path, given: str = "") -> None:
    # What is tested is installed already.
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / "pip").write_text("#!/bin/sh\n")
    (folder / "bin" / "pip").chmod(0o755)
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    done = subprocess.run(
        command, cwd=folder, env=environment, input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-6000:]}"


def test_pages_named_in_code_exist():
    files = [
        path for folder in ("serjax", "experiments", "benchmarks", "tests") for path in (ROOT / folder).rglob("*.py")
    ]
    for path in [*files, ROOT / "justfile", ROOT / "CHANGELOG.md"]:
        named = set(re.findall(r"docs/[\w/-]+\.md", path.read_text()))
        assert {name for name in named if not (ROOT / name).is_file()} == set(), path


def test_objects_of_the_api_pages_exist():
    named = [found for page in PAGES for found in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.M)]
    assert named
    for name in named:
        module, _, attribute = name.rpartition(".")
        try:
            import_module(name)
        except ModuleNotFoundError:
            assert hasattr(import_module(module), attribute), name
