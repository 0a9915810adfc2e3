"""Parser of a command's own options, and options that several commands have."""

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from serjax.runtime.errors import UserError

MODEL_HELP = "folder of a finished run, such as checkpoints/quickstart; or a Hugging Face directory or hub id"


class Parser(argparse.ArgumentParser):
    """Parser of a command's own options: names in full, and a mistyped one is answered with the nearest."""

    def __init__(self, **options: Any) -> None:
        """Take options of `argparse.ArgumentParser`."""
        super().__init__(**options, allow_abbrev=False)

    @property
    def option_names(self) -> list[str]:
        """Names of all options, with their dashes."""
        return [name for name in self._option_string_actions if name.startswith("--")]

    def parse_args(self, args: Sequence[str], namespace: Any = None) -> Any:  # type: ignore[override]
        """Return the arguments as `argparse.ArgumentParser.parse_args` does; options may stand between paths.

        Raises:
            UserError: there is no such option, or a value does not fit.
        """
        for argument in args:
            name = argument.partition("=")[0]
            if name == "--":
                break
            if name.startswith("--") and name not in self.option_names:
                if name == "--data.root" and any(action.dest == "root" for action in self._actions):
                    raise UserError(f"{name}: here the folder or list is given by itself; {self.prog} DIR.")
                near = difflib.get_close_matches(name, self.option_names, 1)
                found = f"did you mean {near[0]}?" if near else f"there are {', '.join(self.option_names)}."
                raise UserError(f"{name}: there is no such option; {found}")
        return super().parse_intermixed_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise a `UserError` with what argparse says, without the usage."""
        raise UserError(f"{message.removeprefix('argument ')}; {self.prog} --help tells more.")


def add_ensemble_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of whatever answers with an ensemble."""
    parser.add_argument("--weights", type=float, nargs="+", help="how much each fold counts")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="precision; bfloat16 is faster, errs by 1 %%")
    parser.add_argument(
        "--highpass", type=float, metavar="HZ", help="high-pass filter, 20 removes a DC offset; default: the run's own"
    )
    parser.add_argument("--raw", action="store_true", help="scores as trained, without the temperatures of calibration")
    parser.add_argument(
        "--only",
        type=lambda text: tuple(name.strip() for name in text.split(",")),
        metavar="LABEL,LABEL",
        help="tell only these classes apart: their scores add up to 1",
    )
    parser.add_argument("--task", metavar="NAME", help="task to answer, of a run with several; default: the first")
    parser.add_argument(
        "--layer-sum",
        choices=("4", "5"),
        help="sum of layers of a published pre-LN classifier, as in this version of transformers; default: its own",
    )
    long_clips = parser.add_mutually_exclusive_group()
    long_clips.add_argument(
        "--head",
        action="store_const",
        const="head",
        dest="long_clips",
        default="windows",
        help="of longer clips only the stretch that the run was trained on; default: the mean over windows",
    )
    long_clips.add_argument(
        "--whole",
        action="store_const",
        const="whole",
        dest="long_clips",
        help="clips above 30 s at once by a published classifier; default: the mean over windows",
    )


def ensemble_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `add_ensemble_options` as `serjax.load` takes them."""
    return {name: getattr(options, name) for name in _ENSEMBLE}


_ENSEMBLE = ("weights", "dtype", "highpass", "long_clips", "raw", "only", "task", "layer_sum")


def add_data_options(parser: argparse.ArgumentParser, cache: str) -> None:
    """Give a parser the options of `DataConfig` that say which clips of a corpus there are, but the root.

    Args:
        parser: of a command that reads a corpus and does not train.
        cache: help on the folder of data.cache.
    """
    add = parser.add_argument
    add("--data.corpus", default="auto", metavar="KIND", help="how the root is read, as for serjax.train")
    add("--data.split", metavar="NAME", help="read this split of a set alone")
    add("--data.audio-root", metavar="DIR", help="where relative paths of a list start")
    add("--data.columns", nargs="+", metavar="FIELD=COLUMN", help="columns of a list, as for serjax.train")
    add("--data.label-map", metavar="FILE", help="JSON file that maps the corpus's labels to others")
    add("--data.labels", nargs="+", metavar="LABEL", help="use only clips with these labels")
    add("--data.speakers", default="auto", metavar="auto|unknown", help="unknown: do without speakers")
    add("--data.speaker-pattern", metavar="REGEX", help="finds the speaker in the clips' paths")
    add("--data.label-pattern", metavar="REGEX", help="finds the label in the clips' paths")
    add("--data.max-clips", type=int, metavar="N", help="use only this many, of every class an even share")
    add("--data.skip-bad", action="store_true", help="leave out clips that cannot be used")
    add("--data.cache", metavar="DIR", help=cache)


def data_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options whose names begin with `data.` as `DataConfig` takes them."""
    found = {
        name.removeprefix("data.").replace("-", "_"): value
        for name, value in vars(options).items()
        if name.startswith("data.")
    }
    return found | {
        "labels": tuple(found["labels"]) if found["labels"] else None,
        "columns": tuple(found["columns"] or ()),
    }


def add_timeline_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of timelines."""
    parser.add_argument(
        "--timeline",
        action="store_true",
        help="answer for windows that slide over each recording; implied by the options of timelines below",
    )
    parser.add_argument(
        "--window", type=float, metavar="S", help="length of a window; default: what the model hears at once, or 3 s"
    )
    parser.add_argument("--hop", type=float, metavar="S", help="from one window to the next; default: 1 s")
    parser.add_argument(
        "--channels", choices=("mix", "separate"), help="answer for the mean of channels, or for each; default: mix"
    )
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw waveform, scores and segments")
    parser.add_argument(
        "--vad",
        choices=("none", "energy", "silero"),
        default="none",
        help="find speech: windows of a timeline without any have no label, and in the mean over the windows of a long "
        "clip they count by their speech; default: none",
    )


def add_host_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of several processes, see `serjax.runtime.hosts.Hosts`."""
    parser.add_argument("--hosts.coordinator", metavar="HOST:PORT", help="where other processes reach process 0")
    parser.add_argument("--hosts.count", type=int, metavar="N", help="number of processes")
    parser.add_argument("--hosts.index", type=int, metavar="I", help="number of this process, from 0")
    parser.add_argument("--hosts.patience", type=float, default=300.0, metavar="S", help="seconds to wait for all")
