"""What the Makefile calls: run one notebook, fetch the raw inputs, publish artefacts, sum up, verify and show.

python -m qafs_utils run PROFILE NOTEBOOK    validated parameters, output moved into place on success only
python -m qafs_utils data                    fetch and verify STL-10 and the ImageNet weights
python -m qafs_utils weights                 the same of the ImageNet weights alone
python -m qafs_utils publish                 copy a full run's image artefacts to data/published
python -m qafs_utils summary PROFILE         copy figures and say which were made and which stay as committed
python -m qafs_utils verify                  recompute a sample of what is committed and compare
python -m qafs_utils html PROFILE            the executed notebooks as web pages in build/html
"""

import argparse
import os
import sys
from functools import partial

from .artefacts.parameters import PROFILES
from .make.execute import run_notebook
from .make.publish import publish, summary


def fetch(images=True):
    """Download what is absent of the raw inputs and verify them; images=False: of the ImageNet weights alone, 45 MB.

    >>> fetch()  # doctest: +SKIP
    """
    from .cnn.pretrained import resnet18, weights_path

    if images:
        from .cnn.datasets import RAW, stl10

        for split in ("train", "test"):
            print(f"{RAW}: {split} {stl10(split)[0].shape} verified")
    resnet18()
    print(f"{weights_path()}: loads")


def verify():
    """Recompute a sample of the committed results and compare; raises ArtefactError naming what differs.

    >>> verify()  # doctest: +SKIP
    """
    os.environ.setdefault("TQDM_DISABLE", "1")  # one line a check, no progress bars
    from .make.verify import verify

    verify()


def render(profile):
    """Write the notebooks as web pages to build/html.

    >>> render("published")  # doctest: +SKIP
    """
    from .make.pages import render

    render(profile)


def main():
    """Run the command of the command line; an error ends it with its message and status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m qafs_utils", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("profile", choices=PROFILES)
    run.add_argument("notebook")
    commands.add_parser("data")
    commands.add_parser("weights")
    commands.add_parser("publish")
    commands.add_parser("summary").add_argument("profile", choices=("published", "images"))
    commands.add_parser("verify")
    commands.add_parser("html").add_argument("profile", choices=PROFILES)
    arguments = vars(parser.parse_args())
    known = {
        "run": run_notebook,
        "data": fetch,
        "weights": partial(fetch, images=False),
        "publish": publish,
        "summary": summary,
        "verify": verify,
        "html": render,
    }
    command = known[arguments.pop("command")]
    try:
        command(**arguments)
    except KeyboardInterrupt:
        print("interrupted: what is finished stays, the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
