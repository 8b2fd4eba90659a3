"""Names and colours of methods by their keys, as rows of figures: of the CAMs, the selections and the signed ones."""

import re

from .style import METHOD_COLOURS, method_name

FIXED = re.compile(r"(?P<signed>signed_)?(?P<kind>top|random)_(?P<k>\d+)")  # selections of a fixed number of maps
_DARK = "#882255"  # of HiResCAM, whose yellow elsewhere is hard to see as a marker on white


def row_name(key: str) -> str:
    """A method's key as it is printed; of "top_20" and "random_20" without the number, which the networks set.

    >>> row_name("signed_exact_0.70"), row_name("top_20"), row_name("signed_random_20"), row_name("Grad-CAM++")
    ('signed QUBO, $\\\\beta=0.7$', 'top few', 'signed random few', 'Grad-CAM++')
    """
    sign, rest = ("signed ", key[7:]) if key.startswith("signed_") else ("", key)
    fixed = FIXED.fullmatch(rest)
    name = f"{fixed['kind']} few" if fixed else method_name(rest)[0].replace("QUBO optimum", "QUBO")
    return sign + name.replace("$k$, $", "$k$ of $")


def row_label(key: str, fewest: int | None = None) -> str:
    """As `row_name`, in words that need no caption; fewest: the smallest of the fixed numbers that share a row.

    >>> row_label("signed_top_20", 4), row_label("random_4"), row_label("top_k_0.70")
    ('signed: 4 to 20 most important', '4 at random', 'top $k$, as many as QUBO, $\\\\beta=0.7$')
    """
    sign, rest = ("signed: ", key[7:]) if key.startswith("signed_") else ("", key)
    if fixed := FIXED.fullmatch(rest):
        most = int(fixed["k"])
        number = f"{fewest} to {most}" if fewest and fewest < most else f"{most}"
        return f"{sign}{number} " + {"top": "most important", "random": "at random"}[fixed["kind"]]
    return sign + row_name(rest).replace("$k$ of ", "$k$, as many as QUBO, ")


def row_colour(key: str) -> str:
    """The colour of a method's row, the same with and without signs.

    >>> row_colour("signed_top_20") == row_colour("top_k_0.70"), row_colour("HiResCAM")
    (True, '#882255')
    """
    rest = key.removeprefix("signed_")
    if rest == "HiResCAM":
        return _DARK
    fixed = FIXED.fullmatch(rest)
    return METHOD_COLOURS[f"{fixed['kind']} $k$"] if fixed else method_name(rest)[1]
