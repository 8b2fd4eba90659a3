"""What figures of the class with a part of the maps have in common: the names and columns of its measures."""

import pandas as pd

MEASURES = {  # of the class, with a part of the maps: as printed
    "argmax": "class is the argmax (share)",
    "matched": "probability at matched spread",
    "probability": "softmax probability",
}


def of_measure(table: pd.DataFrame, measure: str, against: str = "") -> pd.DataFrame:
    """The rows of a table of `map_subsets.compared` with one measure as the columns value, low and high.

    against: "top_k" or "random" for the paired difference to it.

    >>> table = pd.DataFrame({"k": [2], "argmax": [0.9], "argmax_low": [0.8], "argmax_high": [0.95]})
    >>> of_measure(table, "argmax")[["k", "value", "low", "high"]].values.tolist()
    [[2.0, 0.9, 0.8, 0.95]]
    """
    column = f"{measure}_minus_{against}" if against else measure
    parts = {"value": column, "low": f"{column}_low", "high": f"{column}_high"}
    return table.assign(**{name: table[part] for name, part in parts.items()})
