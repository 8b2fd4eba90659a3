"""What the Makefile calls: run one notebook, fetch the raw inputs, publish artefacts, sum up, verify and show.

And one command for photographs of one's own, into a folder of its own each:

python -m qafs_utils explain PHOTO ...       explain, print, save; --model, --beta, --class, --out: see explain --help

python -m qafs_utils run PROFILE NOTEBOOK    validated parameters, output moved into place on success only
python -m qafs_utils data                    fetch and verify STL-10 and the ImageNet weights
python -m qafs_utils weights                 the same of the ImageNet weights alone
python -m qafs_utils publish                 copy a full run's image artefacts to data/published
python -m qafs_utils summary PROFILE         copy figures and say which were made and which stay as committed
python -m qafs_utils verify                  recompute a sample of what is committed and compare
python -m qafs_utils html PROFILE            the site, build/html, from the executed notebooks
python -m qafs_utils explorer                one page to explore the published maps without a server, in build
python -m qafs_utils claim ID PROFILE        recompute one statement of the paper, with the notebooks it rests on
"""

import argparse
import importlib
import os
import sys

from . import with_remedy
from .artefacts.provenance import PROFILES

COMMANDS = {  # module and function; imported only when it is called
    "run": ("execute", "run_notebook"),
    "data": ("raw", "fetch"),
    "weights": ("raw", "fetch_weights"),
    "publish": ("publish", "publish"),
    "summary": ("publish", "summary"),
    "verify": ("verify", "verify"),
    "html": ("site", "render"),
    "explorer": ("explorer", "render"),
    "explain": ("explain", "explain"),
    "claim": ("claim", "recompute"),
}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with status 2."""

    def error(self, message):
        """End with status 2 and the message."""
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def main():
    """Run the command of the command line; an error ends it with its message and status 1."""
    parser = _Parser(
        prog="python -m qafs_utils", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parsers = parser.add_subparsers(dest="command", required=True)
    commands = {name: parsers.add_parser(name) for name in COMMANDS}
    commands["claim"].add_argument("name", metavar="ID")
    inputs = ("published", "images")
    for name, profiles in (("run", PROFILES), ("summary", inputs), ("html", PROFILES), ("claim", inputs)):
        commands[name].add_argument("profile", choices=profiles)
    commands["run"].add_argument("notebook")
    if "explain" in sys.argv[1:2]:  # its arguments name the solvers, which take a second to import
        importlib.import_module("qafs_utils.make.explain").add_arguments(commands["explain"])
    arguments = vars(parser.parse_args())
    command = arguments.pop("command")
    if command == "verify":
        os.environ.setdefault("TQDM_DISABLE", "1")  # one line a check, no progress bars
    module, function = COMMANDS[command]
    try:
        getattr(importlib.import_module(f"qafs_utils.make.{module}"), function)(**arguments)
    except KeyboardInterrupt:
        print("interrupted: what is finished stays, the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        sys.exit(f"error: {with_remedy(str(error))}")


if __name__ == "__main__":
    main()
