"""Figs. 2, 4, 5 and 7 of the paper under every combination of conventions, from the selection problems of many heads.

Tables of specifications are those of `specifications`.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd

from ..annealing import instances, scaling
from ..artefacts.answers import spread
from ..artefacts.files import ArtefactError
from ..cnn.datasets import CLASSES
from ..conventions import HEADLINE
from ..qubo.feature_selection import FIELDS, PAIR_SUMS, Problem
from ..qubo.landscape import optima
from .class_overlap import pair_overlaps
from .specifications import named_reruns, summary

FIG2, FIG4, FIG5, FIG5_SHORT, FIG7 = "Fig. 2", "Fig. 4", "Fig. 5", "Fig. 5, tau=10", "Fig. 7"
UNITS = {
    FIG2: "RMS, coefficients",
    FIG4: "KS, gaps",
    FIG5: "RMS, medians",
    FIG5_SHORT: "RMS, log medians",
    FIG7: "exponents",
}


def few(table: pd.DataFrame, by: Sequence[str], count: int) -> pd.DataFrame:
    """At most `count` instances of each group, of all heads and classes in turn, in the table's order.

    >>> few(pd.DataFrame({"seed": [0, 0, 0, 1], "class": "cat", "d": 4}), ["d"], 2).seed.tolist()
    [0, 1]
    """
    turn = table.groupby([*dict.fromkeys(["seed", "class", *by])]).cumcount()
    kept = table.assign(turn=turn).sort_values("turn", kind="stable").groupby(list(by)).head(count).index
    return table.loc[sorted(kept)].reset_index(drop=True)


def with_instances(gaps: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Gaps of the same instances under several specifications, in their order  ->  the table with d, seed and image.

    gaps: columns class and gap (artefact 05_choice_gaps). Raises ArtefactError where these are other instances.

    >>> few_gaps = pd.DataFrame({"class": ["cat", "dog"] * 2, "gap": [0.1, 0.2, 0.3, 0.4]})
    >>> of_two = pd.DataFrame({"class": ["cat", "dog"], "d": [4, 5], "seed": -1, "image": [1, 0]})
    >>> with_instances(few_gaps, of_two).d.tolist()
    [4, 5, 4, 5]
    """
    columns = ["class", "d", "seed", "image"]
    repeated = pd.concat([table[columns]] * (len(gaps) // max(1, len(table))), ignore_index=True)
    if repeated["class"].tolist() != gaps["class"].tolist():
        raise ArtefactError("the gaps of 05 are of other images than those of 02: run notebook 05 again")
    return gaps.reset_index(drop=True).assign(**{name: repeated[name] for name in columns})


def of_reported(pooled: pd.DataFrame, reported: pd.DataFrame, driver: str) -> pd.DataFrame:
    """Fidelities of artefact 06_pooled at the sizes and times of the paper's medians, with a column image.

    pooled: columns n_features, seed, d, driver, annealing_time, fidelity, the instances in the same order at each time.
    image: a number for each instance of a head.

    >>> pooled = pd.DataFrame({"annealing_time": [10, 10, 50, 50], "fidelity": [0.1, 0.2, 0.4, 0.5]})
    >>> pooled = pooled.assign(n_features=16, seed=0, d=4, driver="scaled")
    >>> reported = pd.DataFrame({"n_features": 16, "annealing_time": [50], "d": 4, "median_fidelity": 0.5})
    >>> of_reported(pooled, reported, "scaled").image.tolist()
    [4, 10004]
    """
    chosen = pooled[pooled.driver == driver]
    place = chosen.groupby(["n_features", "seed", "d", "annealing_time"]).cumcount()
    return chosen.assign(image=10_000 * place + chosen.d).merge(reported.drop(columns="median_fidelity"))


def selections(problems: Sequence[Problem], field: str, pair_sum: str, beta: float = HEADLINE.beta) -> np.ndarray:
    """Exact optima of problems with max fields under a field and a pair sum: B problems  ->  (B, N_f) bool.

    >>> selections([Problem([0, 2], [-1.0, -0.5], np.eye(2), 3)], "min-max", "p!=q").tolist()
    [[True, False, False]]
    """
    return optima([problem.with_field(field) for problem in problems], beta=beta, pair_sum=pair_sum)


def overlaps(table: pd.DataFrame, optima_of: Mapping, known: Mapping[int, str], field: str, pair_sum: str) -> list:
    """Fig. 2 of each head: instances of one N_f  ->  a list of (45,), by seed.

    optima_of: artefact 04_variants; known: {seed: the beginning of its keys there}; others are solved here.
    """
    found = []
    for seed, part in table.groupby("seed"):
        labels = part["class"].map(CLASSES.index).to_numpy()
        if seed in known:
            bits = optima_of[f"{known[seed]}{field}, {pair_sum}"][part.image]
        else:
            bits = selections(part.problem, field, pair_sum)
        found.append(pair_overlaps(bits, labels))
    return found


def overlap_row(values: Sequence[np.ndarray], paper: np.ndarray) -> dict:
    """A specification of Fig. 2: its measures, with the mean overlap as ours, and `pairs`, how many are 0.1 or more.

    >>> row = overlap_row([np.array([0.0, 0.5])], np.array([0.0, 0.1]))
    >>> float(row["ours"]), float(row["pairs"])
    (0.25, 1.0)
    """
    return summary(values, paper) | {"pairs": np.mean([(of_head >= 0.1).sum() for of_head in values])}


def histogram_row(gaps: pd.DataFrame, edges: np.ndarray, counts: np.ndarray) -> dict:
    """A specification of Fig. 4: distance of the pooled distribution, low and high over the heads, median gap as ours.

    gaps: columns seed and gap; edges, counts: of the paper's histogram.

    >>> gaps = pd.DataFrame({"seed": 0, "gap": [0.1, 0.3]})
    >>> histogram_row(gaps, np.array([0.0, 0.2, 0.4]), np.array([3, 1]))["distance"]
    0.25
    """
    each = [scaling.distance_of_distributions(part.gap, edges, counts) for _, part in gaps.groupby("seed")]
    several = len(each) > 1
    return {
        "distance": scaling.distance_of_distributions(gaps.gap, edges, counts),
        "low": min(each) if several else np.nan,
        "high": max(each) if several else np.nan,
        "n": len(gaps),
        "ours": gaps.gap.median(),
    }


def fidelity_rows(fidelities: pd.DataFrame, reported: pd.DataFrame) -> list[dict]:
    """Specifications of Fig. 5: the distance of all medians, and of the logarithms of those at tau = 10.

    fidelities: columns n_features, annealing_time, d, fidelity; reported: those, with median_fidelity. ours: the mean,
    and the median of ours over the paper's.
    """
    both = reported.merge(_medians(fidelities).reset_index())
    short = both[both.annealing_time == 10]
    row = summary([both.fidelity.to_numpy()], both.median_fidelity.to_numpy())
    of_short = summary([np.log(short.fidelity.to_numpy())], np.log(short.median_fidelity.to_numpy()))
    of_short["ours"] = float((short.fidelity / short.median_fidelity).median())
    return [{"quantity": FIG5} | row, {"quantity": FIG5_SHORT} | of_short]


def _medians(fidelities, least=1):
    groups = fidelities.groupby(["n_features", "annealing_time", "d"]).fidelity
    return groups.median()[groups.size() >= least]


def gap_rows(gaps: pd.DataFrame, edges: np.ndarray, counts: np.ndarray, paper: float = -1.0) -> list[dict]:
    """Specifications of Fig. 4, `histogram_row`, and of Fig. 7: the exponent in d of the median and of the mean gap.

    paper: its exponent. All d count alike, as in the authors' script.

    >>> table = pd.DataFrame({"seed": 0, "d": [4, 8], "gap": [0.2, 0.1]})
    >>> [round(float(row["ours"]), 9) for row in gap_rows(table, np.array([0.0, 0.15, 1.0]), np.array([1, 1]))]
    [0.15, -1.0, -1.0]
    """
    rows = [{"quantity": FIG4} | histogram_row(gaps, edges, counts)]
    for name, statistic in {"median": np.median, "mean": np.mean}.items():
        slope = _exponent(gaps, statistic)
        row = {"fit": name, "distance": abs(slope - paper), "n": gaps.d.nunique(), "ours": slope}
        rows.append({"quantity": FIG7} | row)
    return rows


def _exponent(gaps, statistic=np.median):
    return float(scaling.log_fit(gaps.d, gaps.gap, law="power", statistic=statistic)[0])


def trivial(pairs: np.ndarray, medians: pd.DataFrame) -> pd.DataFrame:
    """What needs no model, as rows: zero and the mean; for fidelities a guess, 2^-d; for the exponent none.

    pairs: (45,) of the paper's Fig. 2; medians: columns annealing_time, d, median_fidelity of its Fig. 5.
    """
    paper, short = medians.median_fidelity.to_numpy(), medians[medians.annealing_time == 10]
    logs, guess = np.log(short.median_fidelity), -np.log(2) * short.d
    predictors = {
        (FIG2, "zero"): (0.0, pairs),
        (FIG2, "mean"): (pairs.mean(), pairs),
        (FIG4, "one gap for all"): (0.5, np.zeros(1)),
        (FIG5, "grand mean"): (paper.mean(), paper),
        (FIG5, "guess"): (2.0**-medians.d, paper),
        (FIG5_SHORT, "grand mean"): (logs.mean(), logs),
        (FIG5_SHORT, "guess"): (guess, logs),
        (FIG7, "no fall"): (0.0, -np.ones(1)),
    }
    found = {key: np.sqrt(np.mean((np.asarray(value) - of) ** 2)) for key, (value, of) in predictors.items()}
    return pd.DataFrame([{"quantity": q, "kind": "trivial", "name": n, "distance": d} for (q, n), d in found.items()])


def every(fields=FIELDS, pair_sums=PAIR_SUMS):
    """All combinations of field and pair sum, as keyword arguments.

    >>> len(list(every())), next(every())
    (6, {'field': 'max', 'pair_sum': 'p!=q'})
    """
    return ({"field": field, "pair_sum": pair_sum} for field, pair_sum in product(fields, pair_sums))


def annealed(
    table: pd.DataFrame, reported: pd.DataFrame, field: str, pair_sum: str, driver: str, *, tolerance: float = 1e-3
) -> pd.DataFrame:
    """Fidelities of instances with max fields at the paper's annealing times: as `instances.fidelities`."""
    if table.empty:  # no head has a number of candidates that the paper reports
        return pd.DataFrame(columns=["n_features", "seed", "image", "annealing_time", "d", "fidelity"], dtype=float)
    times = sorted(reported.annealing_time.unique())
    options = {"beta": HEADLINE.beta, "pair_sum": pair_sum, "drivers": [driver], "tolerance": tolerance}
    return instances.fidelities(instances.with_field(table, field), times, **options)


def minimum_gaps(
    table: pd.DataFrame, field: str, pair_sum: str, driver: str, *, tolerance: float = 1e-4
) -> pd.DataFrame:
    """Minimum gaps of instances with max fields: as `instances.gaps`."""
    options = {"beta": HEADLINE.beta, "pair_sum": pair_sum, "driver": driver, "tolerance": tolerance}
    return instances.gaps(instances.with_field(table, field), **options)


def gaps_apart(first: pd.DataFrame, second: pd.DataFrame, edges: np.ndarray) -> float:
    """Largest distance of the cumulative distributions of two tables of gaps, at the paper's edges.

    >>> gaps_apart(pd.DataFrame({"gap": [0.1, 0.3]}), pd.DataFrame({"gap": [0.1, 0.1]}), np.array([0.0, 0.2, 0.4]))
    0.5
    """
    shares = [np.searchsorted(np.sort(t.gap), edges, side="right") / len(t) for t in (first, second)]
    return float(abs(shares[0] - shares[1]).max())


def reruns(
    selected: pd.DataFrame,
    gaps: pd.DataFrame,
    fidelities: pd.DataFrame,
    edges: np.ndarray,
    *,
    least=5,
    times=20,
    seed=0,
) -> list[dict]:
    """How far reruns of Figs. 2, 4, 5 and 7 are apart, with the same conventions: rows of `named_reruns`.

    selected: instances with a column selected, (N_f,) bool; gaps, fidelities: of `instances`, all with seed and image;
    edges: of the paper's histogram; least: instances of a median of a head. Heads are compared with each other. Draws
    are two halves of the images of each head (of Fig. 5 of all heads), `times` times; their distance is divided by the
    square root of 2, as if each half were as large as the whole.
    """
    measures = {
        FIG2: (selected, ["class"], _overlap_of, lambda a, b: np.sqrt(np.mean((a - b) ** 2))),
        FIG4: (gaps, ["class"], lambda table: table, lambda a, b: gaps_apart(a, b, edges)),
        FIG5: (fidelities, ["n_features", "d"], lambda table: _medians(table, least), _medians_apart),
        FIG5_SHORT: (fidelities, ["n_features", "d"], lambda table: _short(table, least), _medians_apart),
        FIG7: (gaps, ["class"], _exponent, lambda a, b: abs(a - b)),
    }
    rows, rng = [], np.random.default_rng(seed)
    for quantity, (table, by, measure, apart) in measures.items():
        of_heads = [part for _, part in table.groupby("seed")]
        heads = spread(apart(measure(a), measure(b)) for a, b in combinations(of_heads, 2))
        whole = [table] if quantity in (FIG5, FIG5_SHORT) else of_heads  # whose medians are pooled
        halves = [_halves(part, by, rng) for part in whole for _ in range(times)]
        draws = spread(apart(measure(a), measure(b)) / np.sqrt(2) for a, b in halves)
        rows += named_reruns(quantity, heads, draws)
    return rows


def _halves(table, by, rng):
    """Two halves of the rows, of each group; rows of one instance stay together."""
    instance = table.groupby(["n_features", "seed", "image"]).ngroup()
    first = table.assign(instance=instance, drawn=rng.random(len(table))).drop_duplicates("instance")
    half = first.sort_values("drawn").groupby(by).cumcount() % 2
    half = instance.map(dict(zip(first.instance.loc[half.index], half)))
    return table[half == 0], table[half == 1]


def _overlap_of(table):
    return pair_overlaps(np.stack(table.selected), table["class"].map(CLASSES.index).to_numpy())


def _short(fidelities, least):
    return np.log(_medians(fidelities[fidelities.annealing_time == 10], least))


def _medians_apart(first, second):
    both = (first - second).dropna()
    return float(np.sqrt((both**2).mean())) if len(both) else np.nan
