"""The paper's Table 1 beside ours: which column is which, the noise of a rerun, and the tables as published."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from .. import require
from ..artefacts.answers import rerun_noise
from ..cnn.datasets import CLASSES
from ..conventions import CHOICES, HEADLINE
from ..intervals import nan_mean
from ..plots.style import method_name, three_digits
from .average_drop import by_class

LOW_BETA = "nf512/sa_0.70"  # the paper's low beta is lost: 0.7 is an inference
AS_PRINTED = {"Grad-CAM": "Grad-CAM, ReLU of the sum", "filtered Grad-CAM": "Grad-CAM, ReLU per map (filtered)"}
KINDS = ("head", "draw")  # of a rerun: another head, the same images; other images, the same head


def grad_cam_key(grad_cam: str = HEADLINE.grad_cam) -> str:
    """The method that is the paper's Grad-CAM, by where its ReLU stands: of maps >= 0, on each term it is the filter.

    >>> grad_cam_key("sum of relus"), grad_cam_key("relu of sum")
    ('filtered Grad-CAM', 'Grad-CAM')
    """
    grad_cam = require.choice("grad_cam", grad_cam, CHOICES["grad_cam"])
    return "filtered Grad-CAM" if grad_cam == "sum of relus" else "Grad-CAM"


def paper_columns(grad_cam: str = HEADLINE.grad_cam) -> dict[str, str]:
    """{our column: the paper's, in data/paper_values/average_drop_table1.csv}; grad_cam: as for `grad_cam_key`.

    >>> list(paper_columns())[:2]
    ['nf16/filtered Grad-CAM', 'nf16/Grad-CAM++']
    """
    key = grad_cam_key(grad_cam)
    return {
        f"nf16/{key}": "nf16_gradcam",
        "nf16/Grad-CAM++": "nf16_gradcam_pp",
        "nf16/qa": "nf16_qa_gradcam",
        f"nf512/{key}": "nf512_gradcam",
        "nf512/Grad-CAM++": "nf512_gradcam_pp",
        LOW_BETA: "nf512_sa_gradcam_low_beta",
        "nf512/sa_0.99": "nf512_sa_gradcam_beta_0.99",
    }


def printed(column: str) -> tuple[str, str]:
    """(model, method) of a column as they are published.

    >>> printed("nf16/filtered Grad-CAM"), printed("nf512/sa_0.99")
    (('N_f=16', 'Grad-CAM, ReLU per map (filtered)'), ('N_f=512', 'SA-Grad-CAM, beta=0.99'))
    """
    group, method = column.split("/", 1)
    name = AS_PRINTED.get(method, method_name(method)[0]).replace("$", "").replace("\\", "")
    return f"N_f={group.removeprefix('nf')}", name


def tidy(table: pd.DataFrame, quantities: Iterable[str] = ()) -> pd.DataFrame:
    """A table of columns (`Comparisons.by_class`, say) as it is published: a row a number.

    table: column ("nf16/qa"), class, definition, average_drop with low and high, and each of quantities, with its own
    interval <name>_low and <name>_high or none  ->  class, model, method, definition, quantity, value, low, high.

    >>> row = {"column": "nf16/qa", "class": "cat", "definition": "logit", "average_drop": 5.0, "low": 4.0, "high": 6.0}
    >>> tidy(pd.DataFrame([row | {"area": 0.3}]), ["area"]).iloc[:, 2:].to_numpy().tolist()
    [['QA-Grad-CAM', 'logit', 'average_drop', 5.0, 4.0, 6.0], ['QA-Grad-CAM', 'logit', 'area', 0.3, nan, nan]]
    """
    rows = []
    for given in table.to_dict("records"):
        model, method = printed(given["column"])
        where = {"class": given["class"], "model": model, "method": method, "definition": given["definition"]}
        for name in ("average_drop", *quantities):
            low, high = ("low", "high") if name == "average_drop" else (f"{name}_low", f"{name}_high")
            ends = {"low": given.get(low, np.nan), "high": given.get(high, np.nan)}
            rows.append(where | {"quantity": name, "value": given[name]} | ends)
    return pd.DataFrame(rows).dropna(subset="value").reset_index(drop=True)


def published(table: pd.DataFrame) -> pd.DataFrame:
    """Table 1 as it is published: a row a class, method and convention, beside the paper's number where it has one.

    table: column, class, definition, average_drop, low, high, paper
    ->  class, model, method, convention, value, low, high, paper.

    >>> row = {"column": "nf16/qa", "class": "cat", "definition": "unclipped", "average_drop": 5.0, "low": 4.0}
    >>> published(pd.DataFrame([row | {"high": 6.0, "paper": 4.5}])).convention.tolist()
    ['soft mask on black, unclipped']
    """
    names = {"grad_cam_pp": "", "unclipped": ", unclipped"}
    how = table.definition.map(lambda key: "soft mask on black" + names[key] if key in names else key)
    rows = tidy(table).drop(columns=["definition", "quantity"])
    rows.insert(3, "convention", how.to_numpy())
    return rows.assign(paper=table.paper.to_numpy())


def page(table: pd.DataFrame, columns: Iterable[str]) -> str:
    """Table 1 as a page of Markdown: a line a class; the paper's number, then ours with its interval.

    table: column, class, average_drop, low, high, paper (`Comparisons.by_class`); columns: those shown.

    >>> row = {"column": "nf16/qa", "class": "cat", "average_drop": 5.0, "low": 4.0, "high": 6.04, "paper": 4.51}
    >>> print(page(pd.DataFrame([row]), ["nf16/qa"]))
    # Table 1, Average Drop (%)
    <BLANKLINE>
    The paper's number | **ours** [95 % interval over images].
    <BLANKLINE>
    | class | N_f=16: QA-Grad-CAM |
    |---|---|
    | cat | 4.51 \\| **5.0** [4.0, 6.0] |
    <BLANKLINE>
    """
    columns = list(columns)
    lines = ["# Table 1, Average Drop (%)", "", "The paper's number | **ours** [95 % interval over images].", ""]
    lines += ["| class | " + " | ".join(": ".join(printed(column)) for column in columns) + " |"]
    lines += ["|---" * (1 + len(columns)) + "|"]
    rows = table.set_index(["class", "column"])
    for name in table["class"].unique():
        cells = [rows.loc[name, column] for column in columns]
        text = [f"{three_digits(c.paper)} \\| **{c.average_drop:.1f}** [{c.low:.1f}, {c.high:.1f}]" for c in cells]
        lines.append(f"| {name} | " + " | ".join(text) + " |")
    return "\n".join(lines) + "\n"


def _by_class_and_mean(values, labels):
    """Mean of each class, and of these means: (11,)."""
    of_class = by_class(values, labels, len(CLASSES))
    return np.append(of_class, nan_mean(of_class))


def reruns(compare, columns: Iterable[str]) -> pd.DataFrame:
    """Average Drop of reruns, of each only the images that are classified correctly, as the paper's all are.

    compare: `Comparisons`; columns: of the chosen images  ->  column, kind (KINDS), rerun, class (or "mean", of the
    classes), average_drop. A rerun is a head of another training seed, all on the same images, or, where the broad
    sample is scored (not at N_f = 512), one of disjoint draws of as many images a class from it, all of one head.
    The exact optimum stands for the annealer, which finds it.
    """
    rows, size = [], int(np.bincount(compare.labels("nf16")).max())
    for column in columns:
        n, method = compare.columns.n_features[column], compare.columns.method[column].replace("qa", "exact")
        found = {}
        seeds = compare.columns[compare.columns["sample"] == "seed"]
        for name in seeds.group[(seeds.n_features == n) & (seeds.method == method)]:
            values = compare.values(f"{name}/{method}", "correct_only")
            found["head", name] = _by_class_and_mean(values, compare.labels(name))
        if f"nf{n}_broad/{method}" in compare.columns.index:
            values, labels = compare.values(f"nf{n}_broad/{method}", "correct_only"), compare.labels(f"nf{n}_broad")
            place = np.empty(len(labels), int)  # of each image within its class
            for label in np.unique(labels):
                place[labels == label] = np.arange((labels == label).sum())
            for draw in range((place.max() + 1) // size):
                drawn = place // size == draw
                found["draw", draw] = _by_class_and_mean(values[drawn], labels[drawn])
        for rerun, ((kind, _), of_class) in enumerate(found.items()):
            of_rerun = {"column": column, "kind": kind, "rerun": rerun}
            rows += [of_rerun | {"class": c, "average_drop": x} for c, x in zip([*CLASSES, "mean"], of_class)]
    return pd.DataFrame(rows)


def noise(found: pd.DataFrame, compare) -> pd.Series:
    """How far two reruns with another head and other images lie apart, by column and class, in points.

    found: of `reruns`. The root of the sum of two mean squares: of the differences of two heads on the same images, and
    of two draws of images of one head. Where there are no draws, the latter is twice the squared standard error of
    the mean over the chosen images.
    """
    each = found.groupby(["column", "class", "kind"]).average_drop.agg(rerun_noise).unstack().reindex(columns=KINDS)
    for column, name in each.index[each.draw.isna()]:
        labels, values = compare.labels(compare.columns.group[column]), compare.values(column)
        parts = [values[labels == k] for k in range(len(CLASSES))]
        errors = np.array([part.std(ddof=1) / len(part) ** 0.5 if len(part) > 1 else np.nan for part in parts])
        error = np.sqrt(np.mean(errors**2) / len(CLASSES)) if name == "mean" else errors[CLASSES.index(name)]
        each.loc[(column, name), "draw"] = np.sqrt(2) * error
    return (each**2).sum(axis=1, min_count=1) ** 0.5


def over_reruns(found: pd.DataFrame, kind: str = "head") -> pd.DataFrame:
    """Mean Average Drop of the reruns of a kind, a row a rerun, with the columns of Table 1; found: of `reruns`.

    >>> row = {"column": "nf16/qa", "kind": "head", "rerun": 0, "class": "mean", "average_drop": 20.0}
    >>> over_reruns(pd.DataFrame([row, row | {"rerun": 1, "average_drop": 19.0}]))["nf16/qa"].tolist()
    [20.0, 19.0]
    """
    means = found[(found["class"] == "mean") & (found.kind == require.choice("kind", kind, KINDS))]
    return means.pivot(index="rerun", columns="column", values="average_drop")


def agreement(table: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """How the paper's numbers of each class and ours go together, by model; the mean row does not count.

    table: column, class, average_drop, low, high, paper; columns: those of the paper  ->  numbers, inside (how many of
    them lie in our interval) and correlation, by n_features.

    >>> table = pd.DataFrame({"class": ["cat", "dog"], "paper": [1, 9], "average_drop": [2, 8], "low": 0, "high": 5})
    >>> agreement(table.assign(column="nf16/qa"), ["nf16/qa"]).to_dict("index")
    {16: {'numbers': 2, 'inside': 1, 'correlation': 1.0}}
    """
    cells = table[table.column.isin(list(columns)) & (table["class"] != "mean")]
    cells = cells.assign(inside=cells.paper.between(cells.low, cells.high))
    n_features = cells.column.str.extract(r"nf(\d+)/", expand=False).astype(int)
    return pd.DataFrame(
        {
            n: {
                "numbers": len(part),
                "inside": part.inside.sum(),
                "correlation": round(np.corrcoef(part.average_drop, part.paper)[0, 1], 9),
            }
            for n, part in cells.groupby(n_features.rename("n_features"))
        }
    ).T.astype({"numbers": int, "inside": int})


def distance_of_reruns(found: pd.DataFrame, kind: str, columns: Iterable[str]) -> float:
    """Root-mean-square distance, by class, of two reruns of a kind: what another specification is to be held against.

    found: of `reruns`; columns: those that are compared  ->  points, NaN if there are no two.
    """
    chosen = found[found.column.isin(list(columns)) & (found["class"] != "mean") & (found.kind == kind)]
    squares = chosen.groupby(["column", "class"]).average_drop.agg(rerun_noise) ** 2
    return float(np.sqrt(squares.mean()))


def two_level_interval(values, *, n_resamples: int = 2000, seed: int = 0) -> dict:
    """Mean of values of heads and images, and its 95 % interval when both are resampled.

    values: (heads, images), the same images for each head, NaN left out  ->  {"value", "low", "high"}; percentiles.
    Raises ValueError for another shape, and for infinity.

    >>> two_level_interval([[1.0, 1.0], [3.0, 3.0]])  # heads differ, images do not
    {'value': 2.0, 'low': 1.0, 'high': 3.0}
    """
    values, rng = require.array("values", values, "S N", nan=True), require.generator("seed", seed)
    n_resamples = require.whole("n_resamples", n_resamples, 1)
    heads, images = values.shape
    if not values.size:
        return {"value": float("nan"), "low": float("nan"), "high": float("nan")}
    times = rng.multinomial(heads, np.full(heads, 1 / heads), n_resamples).astype(float)  # (resamples, heads)
    each = rng.multinomial(images, np.full(images, 1 / images), n_resamples).astype(float)  # (resamples, images)
    total = np.einsum("rs,sn,rn->r", times, np.nan_to_num(values), each, optimize=True)
    count = np.einsum("rs,sn,rn->r", times, (~np.isnan(values)).astype(float), each, optimize=True)
    means = total[count > 0] / count[count > 0]
    low, high = np.quantile(means, (0.025, 0.975)) if len(means) else (np.nan, np.nan)
    return {"value": nan_mean(values), "low": float(low), "high": float(high)}


def over_heads(compare, columns: Iterable[str]) -> pd.DataFrame:
    """Mean Average Drop over the heads on one frozen trunk, and its interval over heads and images, by column.

    compare: `Comparisons`; columns: of the chosen images; images as for the heads of `reruns`
    ->  column, heads (the mean) with heads_low and heads_high, number (of heads).
    """
    rows = []
    for column in columns:
        n, method = compare.columns.n_features[column], compare.columns.method[column].replace("qa", "exact")
        seeds = compare.columns[compare.columns["sample"] == "seed"]
        of_heads = seeds.index[(seeds.n_features == n) & (seeds.method == method)]
        values = np.array([compare.values(name, "correct_only") for name in of_heads])
        over = {f"heads_{name}": end for name, end in two_level_interval(values, **compare.options).items()}
        rows.append({"column": column, "heads": over.pop("heads_value")} | over | {"number": len(values)})
    return pd.DataFrame(rows)


def numbers(table: pd.DataFrame, of_rerun: pd.Series) -> pd.DataFrame:
    """Every number of the paper's Table 1 beside ours; table: `Comparisons.by_class`; of_rerun: `noise`."""
    table = table.dropna(subset="paper").rename(columns={"paper": "reported", "average_drop": "ours"})
    table = table.assign(source="Table 1", testable=True, unit="images", number=table.column + ", " + table["class"])
    table["noise"] = of_rerun.reindex(pd.MultiIndex.from_frame(table[["column", "class"]])).to_numpy()
    return table[["source", "number", "reported", "ours", "low", "high", "testable", "noise", "unit"]]


def classes_worse(table: pd.DataFrame, grad_cam: str = HEADLINE.grad_cam) -> tuple[int, int]:
    """Number of classes whose QA-Grad-CAM at N_f = 16 loses more than Grad-CAM: ours, and in the paper.

    table: column, class, average_drop, paper, of one definition; grad_cam: as for `grad_cam_key`.
    """
    of_class = table[table["class"] != "mean"].pivot(index="class", columns="column", values=["average_drop", "paper"])
    first, second = "nf16/qa", f"nf16/{grad_cam_key(grad_cam)}"
    return tuple(int((of_class[kind][first] > of_class[kind][second]).sum()) for kind in ("average_drop", "paper"))


def classes_worse_by_head(found: pd.DataFrame, grad_cam: str = HEADLINE.grad_cam) -> list[int]:
    """`classes_worse` of each head, on the images that it classifies correctly; found: of `reruns`."""
    of_heads = found[(found.kind == "head") & (found["class"] != "mean")]
    values = of_heads.pivot(index=["rerun", "class"], columns="column", values="average_drop")
    worse = values["nf16/qa"] > values[f"nf16/{grad_cam_key(grad_cam)}"]
    return worse[values["nf16/qa"].notna()].groupby("rerun").sum().tolist()
