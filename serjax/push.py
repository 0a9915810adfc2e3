"""Upload of a finished run to the Hugging Face hub: `python -m serjax.push RUN --to USER/NAME`."""

from collections.abc import Sequence
from pathlib import Path

from serjax import cli
from serjax.config import arguments

PARSER = arguments.Parser(
    prog="python -m serjax.push",
    description="Upload a finished run to the Hugging Face hub: models, scores, settings and the model card. The names "
    "of clips and speakers are in it (folds.json, oof.csv), and the command with its paths. A token must be there: "
    "`hf auth login`, or HF_TOKEN.",
)
PARSER.add_argument("run", type=Path, help="folder of a finished run, such as checkpoints/hubert_kfold")
_WHAT = PARSER.add_mutually_exclusive_group(required=True)
_WHAT.add_argument("--to", metavar="USER/NAME", help="repository, which is made where there is none")
_WHAT.add_argument("--card-only", action="store_true", help="write the model card in the folder, and upload nothing")
PARSER.add_argument("--private", action="store_true", help="make a new repository one that others cannot read")
_CARD = PARSER.add_argument_group("model card", "fields that are not given stay as they were when the run was trained")
_CARD.add_argument("--card.license", metavar="ID", help="of the models, as the hub calls it, such as cc-by-nc-4.0")
_CARD.add_argument("--card.language", nargs="+", metavar="CODE", help="of the recordings, as ISO 639 codes, such as de")
_CARD.add_argument("--card.base-model", metavar="ID", help="hub id of the model that was fine-tuned")
_CARD.add_argument("--card.intended-use", metavar="TEXT", help="who is meant to use the models, and for what")
_CARD.add_argument("--card.limits", metavar="TEXT", help="where the models fail, or must not be used")
_CARD.add_argument("--card.data-license", metavar="TEXT", help="licence of the recordings, and where they come from")
_CARD.add_argument("--card.citation", metavar="TEXT", help="work to cite, in BibTeX or in words")


def main(argv: Sequence[str]) -> int:
    """Upload the run that the command line names, and print its address."""
    options = vars(PARSER.parse_args(argv))

    from serjax.runs.push import push, write_card

    cli.show_log(stdout=False)
    card = {name.removeprefix("card."): value for name, value in options.items() if name.startswith("card.")}
    card = {name.replace("-", "_"): value for name, value in card.items()}
    if options["card_only"]:
        write_card(options["run"], card)
        print(options["run"] / "README.md")
        return 0
    print(push(options["run"], options["to"], private=options["private"], card=card))
    return 0


if __name__ == "__main__":
    cli.run(main, "stopped; the same command goes on: files that the hub has are not sent again.")
