"""Tables of many problems, an instance a row: their minimum gaps, fidelities and landscapes.

A table of instances is a DataFrame with the columns `d`, `image`, `class` and `problem`, a `feature_selection.Problem`;
and with `n_features` or `couplings` where there are several kinds. What is measured comes back as a table with the same
columns but `problem`, and those of the measurement. Each row has its own name in the index, and no value is missing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pandas as pd
from tqdm import tqdm

from .. import require
from ..cnn.datasets import CLASSES, draw_per_class
from ..conventions import HEADLINE
from ..qubo.binary import DEGENERATE, energies
from ..qubo.feature_selection import COUPLINGS, FIELDS, PAIR_SUMS, from_arrays, null_couplings, subsample
from ..qubo.landscape import descend, local_minima
from .evolution import anneal
from .schedules import locally_adiabatic
from .spectrum import level_curves, minimum_gaps, two_level

_CHOICES = {"field": FIELDS, "pair_sum": PAIR_SUMS}
_KINDS = ("n_features", "couplings", "d")  # columns that are equal in a group that is annealed together


def of_images(problems: Mapping, classes: Sequence[str]) -> pd.DataFrame:
    """Instances of networks: {n_features: list of B Problem}, classes (B,)  ->  table, sorted by n_features and d.

    Raises ValueError for another number of classes than of problems.

    >>> from ..qubo.feature_selection import problems
    >>> table = of_images({3: problems(np.ones((2, 3, 1, 1)), [[1, 1, 2], [-1, 5, 1]])}, ["cat", "dog"])
    >>> table.drop(columns="problem").values.tolist()  # n_features, image, class, d
    [[3, 1, 'dog', 2], [3, 0, 'cat', 3]]
    """
    parts = []
    for n, group in problems.items():
        require.shape(f"classes of the {len(group)} problems", (len(classes),), "B", {"B": len(group)})
        columns = {"n_features": n, "image": range(len(group)), "class": list(classes), "d": [p.d for p in group]}
        parts.append(pd.DataFrame(columns | {"problem": list(group)}).sort_values("d", kind="stable"))
    return pd.concat(parts, ignore_index=True)


def of_seeds(
    stored: Mapping,
    labels=None,
    seeds: Sequence[int] | None = None,
    *,
    place: str = "block",
    per_class: int = 20,
) -> pd.DataFrame:
    """Instances of several trained heads, of images that each of them predicts correctly: a table with the column seed.

    stored: {n_features: arrays of an artefact 02_problems_* or 16_problems_*}, with max fields; labels: (B,) of their
    images, None where each head has images and labels of its own, all of them predicted correctly (16); seeds: None for
    all that are stored; place: the beginning of the arrays' names; per_class: images of a class and head, the first
    ones, fewer where fewer are predicted correctly. image: of the B.
    Raises ValueError for labels that are none of the ten classes, and as `feature_selection.from_arrays`.

    >>> arrays = {"block/seed3/field": -np.eye(2), "block/seed3/redundancy": np.ones((2, 2, 2))}
    >>> table = of_seeds({2: arrays | {"predicted/seed3": np.array([1, 7])}}, np.array([1, 8]), [3])
    >>> table.drop(columns="problem").values.tolist()  # n_features, seed, image, class, d
    [[2, 3, 0, 'bird', 1]]
    """
    parts = []
    for n, arrays in stored.items():
        for seed in _seeds(arrays, place) if seeds is None else seeds:
            where = f"{place}/seed{seed}/"
            of_head = arrays[where + "labels"] if labels is None else labels
            of_head = require.indices("labels", of_head, "B", len(CLASSES))
            right = labels is None or arrays[f"predicted/seed{seed}"] == of_head
            chosen = np.concatenate([np.flatnonzero(right & (of_head == c))[:per_class] for c in range(len(CLASSES))])
            found = from_arrays({name: arrays[where + name][chosen] for name in ("field", "redundancy")})
            columns = {"n_features": n, "seed": seed, "image": chosen, "class": [CLASSES[c] for c in of_head[chosen]]}
            parts.append(pd.DataFrame(columns | {"d": [p.d for p in found], "problem": pd.Series(found, dtype=object)}))
    return pd.concat(parts, ignore_index=True).sort_values(["n_features", "d"], kind="stable", ignore_index=True)


def _seeds(arrays, place):
    """Seeds of which there are problems at a place, in increasing order."""
    names = (name.split("/") for name in arrays)
    return sorted(int(parts[1].removeprefix("seed")) for parts in names if parts[0] == place and parts[-1] == "field")


def with_field(instances: pd.DataFrame, field: str) -> pd.DataFrame:
    """The same instances with another field: those of max fields  ->  with "max" or "min-max".

    >>> from ..qubo.feature_selection import Problem
    >>> table = pd.DataFrame({"d": [2], "problem": [Problem([0, 2], [-1.0, -0.5], np.eye(2), 3)]})
    >>> with_field(table, "min-max").problem[0].field.tolist()
    [-1.0, 0.0]
    """
    return instances.assign(problem=[problem.with_field(field) for problem in _table(instances).problem])


def choices(measure: Callable, instances: pd.DataFrame, *arguments, **options) -> pd.DataFrame:
    """What `gaps` or `fidelities` find under every field and pair sum: columns field, pair_sum and those of measure.

    measure(instances, *arguments, pair_sum=..., **options)  ->  table; instances: with max fields.

    >>> from ..qubo.feature_selection import problems
    >>> table = of_images({3: problems(np.ones((1, 3, 1, 1)), [[1, 3, 2]])}, ["cat"])
    >>> found = choices(gaps, table, tolerance=1e-3)
    >>> found.field.tolist(), found.pair_sum.tolist()[:3]
    (['max', 'max', 'max', 'min-max', 'min-max', 'min-max'], ['p!=q', 'p<q', 'half'])
    """
    parts = []
    for field, pair_sum in product(*_CHOICES.values()):
        table = with_field(instances, field)
        parts.append(measure(table, *arguments, pair_sum=pair_sum, **options).assign(field=field, pair_sum=pair_sum))
    return pd.concat(parts, ignore_index=True)


def subsampled(maps, importance, classes: Sequence[str], images: Mapping, *, null_up_to=0, seed=0) -> pd.DataFrame:
    """Instances of any d, drawn from an image's candidates, with null models: a table with the column `couplings`.

    maps: (B, N_f, H, W); importance: (B, N_f); classes: (B,); images: {d: indices of the images to draw from};
    null_up_to: d up to which every instance comes also without couplings ("zero") and with random ones ("gaussian",
    see `null_couplings`). The field is max: with min-max every instance without couplings would be degenerate. Every d
    has its own random numbers. Raises as `subsample`.

    >>> table = subsampled(np.ones((2, 4, 1, 1)), np.ones((2, 4)), ["cat", "dog"], {2: [0, 1], 3: [1]}, null_up_to=2)
    >>> table.groupby(["couplings", "d"], sort=False).size().to_dict()
    {('cosine', 2): 2, ('zero', 2): 2, ('gaussian', 2): 2, ('cosine', 3): 1}
    """
    parts = []
    for d, chosen in images.items():
        rng = np.random.default_rng([seed, d])
        drawn = [subsample(maps[i], importance[i], d, field="max", rng=rng) for i in chosen]
        for kind in COUPLINGS if d <= null_up_to else ("cosine",):
            columns = {"couplings": kind, "d": d, "image": list(chosen), "class": [classes[i] for i in chosen]}
            problems = [replace(p, redundancy=null_couplings(p.redundancy, kind, rng=rng)) for p in drawn]
            parts.append(pd.DataFrame(columns | {"problem": problems}))
    return pd.concat(parts, ignore_index=True)


def balanced(labels, count: int, *, seed: int = 0) -> np.ndarray:
    """Indices of `count` images, of all ten classes equally often: labels (B,)  ->  (count,).

    Below ten, one image of every other class, every third, and so on. Raises ValueError as `draw_per_class`.

    >>> balanced(np.repeat(range(10), 3), 5) // 3  # the classes
    array([0, 2, 4, 6, 8])
    """
    every = np.ones(len(labels), dtype=bool)
    drawn = draw_per_class(every, labels, max(1, count // len(CLASSES)), seed)
    return drawn[:: max(1, len(CLASSES) // count)]


def gaps(
    instances: pd.DataFrame,
    *,
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    driver: str = HEADLINE.driver,
    tolerance: float = 1e-6,
    desc: str | None = None,
) -> pd.DataFrame:
    """The minimum gap of every instance: a table with the columns of `spectrum.Gap`.

    tolerance: of a gap, in units of energy; desc: name of the progress bar, None for none. Raises ValueError for what
    is no table of instances, and as `minimum_gap`.
    """
    rows, index = [], []
    for group in _groups(instances, desc):
        batch = [_energies(p, beta, pair_sum) for p in group.problem]  # B times (2^d,)
        rows += [asdict(gap) for gap in minimum_gaps(batch, driver=driver, tolerance=tolerance)]
        index += group.index.tolist()
    return instances.drop(columns="problem").join(pd.DataFrame(rows, index))


def independent_gaps(
    instances: pd.DataFrame,
    *,
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    driver: str = HEADLINE.driver,
) -> pd.DataFrame:
    """As `gaps`, of instances without couplings: there the two-level formula is exact, and there is no search.

    The gap is that of the qubit of the weakest field (`spectrum.two_level`). Raises ValueError for couplings.
    """
    rows = []
    for problem in _table(instances).problem:
        if np.triu(problem.redundancy, 1).any():
            raise ValueError("instances must be without couplings: search for the gaps of others with gaps")
        levels = _energies(problem, beta, pair_sum)  # (2^d,)
        (gap, s, flips), spacing = two_level(levels, driver=driver), np.diff(np.partition(levels, 1)[:2])[0]
        rows.append({"gap": gap, "s": s, "lower_bound": gap, "end_gap": spacing, "two_level_gap": gap, "flips": flips})
    return instances.drop(columns="problem").join(pd.DataFrame(rows, instances.index))


def fidelities(
    instances: pd.DataFrame,
    annealing_times: Sequence[float],
    *,
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    drivers: Sequence[str] = (HEADLINE.driver,),
    tolerance: float = 1e-6,
    together: bool = True,
    desc: str | None = None,
) -> pd.DataFrame:
    """Fidelity (paper, Eq. 7) of every instance, driver and annealing time: columns driver to steps of `anneal`.

    tolerance: of a fidelity; together: instances of equal d share their steps, which is faster; desc: name of the
    progress bar, None for none. Raises ValueError for what is no table of instances, and as `anneal`.
    """
    rows, named = [], _table(instances).drop(columns="problem")
    for group in _groups(instances, desc, together):
        batch = np.array([_energies(p, beta, pair_sum) for p in group.problem])  # (B, 2^d)
        for driver, time in product(drivers, annealing_times):
            result = anneal(batch, time, driver=driver, tolerance=tolerance)
            measured = {"driver": driver, "annealing_time": time, "error": result.error, "steps": result.steps}
            rows += [measured | {"instance": i, "fidelity": f} for i, f in zip(group.index, result.fidelity)]
    table = pd.DataFrame(rows).join(named, on="instance")
    return table[[*named, "driver", "annealing_time", "fidelity", "error", "steps"]]


def fidelities_at(instances: pd.DataFrame, wanted: pd.DataFrame, **options) -> pd.DataFrame:
    """`fidelities` at certain annealing times for each n_features and d; instances of others are left out.

    wanted: columns n_features, d and annealing_time, a row each; options: those of `fidelities`. Raises ValueError as
    `fidelities`, and for missing values.

    >>> from ..qubo.feature_selection import problems
    >>> table = of_images({3: problems(np.ones((2, 3, 1, 1)), [[1, 1, 2], [-1, 5, 1]])}, ["cat", "dog"])
    >>> wanted = pd.DataFrame({"n_features": 3, "d": [2, 2], "annealing_time": [1.0, 5.0]})
    >>> fidelities_at(table, wanted, tolerance=1e-3)[["class", "annealing_time"]].values.tolist()
    [['dog', 1.0], ['dog', 5.0]]
    """
    by = ["n_features", "d"]
    _complete("wanted", wanted, [*by, "annealing_time"])
    times = wanted.groupby(by).annealing_time.agg(tuple).rename("times")
    table = _table(instances, *by).join(times, on=by).dropna(subset="times")
    parts = [fidelities(part.drop(columns="times"), each, **options) for each, part in table.groupby("times")]
    return pd.concat(parts, ignore_index=True)


def local_fidelities(
    instances: pd.DataFrame,
    annealing_times: Sequence[float],
    *,
    powers: Sequence[float] = (1.0, 2.0),
    points: int = 33,
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    driver: str = HEADLINE.driver,
    tolerance: float = 1e-6,
    desc: str | None = None,
) -> pd.DataFrame:
    """Fidelity of every instance under `locally_adiabatic` schedules: columns power, annealing_time, local, error.

    instances: with the column s, the place of their minimum gap; powers: of the gap; points: of s at which the gap is
    tabulated, beside its minimum; desc: name of the progress bar. Raises as `fidelities` and `locally_adiabatic`.
    """
    rows, named = [], _table(instances, "s").drop(columns=["problem", "s"])
    for group in _groups(instances, desc, together=False):
        levels = _energies(group.problem.iloc[0], beta, pair_sum)  # (2^d,)
        s = np.union1d(np.linspace(0, 1, points), group.s)
        curves = level_curves(levels, s, driver=driver)  # (n, 2)
        for power in powers:
            schedule = locally_adiabatic(s, curves[:, 1] - curves[:, 0], power=power)
            for time in annealing_times:
                result = anneal(levels, time, driver=driver, schedule=schedule, tolerance=tolerance)
                measured = {"power": power, "annealing_time": time, "local": result.fidelity, "error": result.error}
                rows.append({"instance": group.index[0]} | measured)
    return pd.DataFrame(rows).join(named, on="instance")[[*named, "power", "annealing_time", "local", "error"]]


def landscapes(
    instances: pd.DataFrame, *, beta: float = HEADLINE.beta, pair_sum: str = HEADLINE.pair_sum
) -> pd.DataFrame:
    """Number of ground states and of local minima of every instance: columns ground_states, local_minima."""
    rows = []
    for problem in _table(instances).problem:
        levels = _energies(problem, beta, pair_sum)  # (2^d,)
        ground_states = int((levels <= levels.min() + DEGENERATE).sum())
        rows.append({"ground_states": ground_states, "local_minima": int(local_minima(levels).sum())})
    return instances.drop(columns="problem").join(pd.DataFrame(rows, instances.index))


def descents(
    instances: pd.DataFrame, *, beta: float = HEADLINE.beta, pair_sum: str = HEADLINE.pair_sum
) -> pd.DataFrame:
    """Whether one steepest descent finds the optimum: columns "descent from none" and "from all" maps selected."""
    rows = []
    for problem in _table(instances).problem:
        levels = _energies(problem, beta, pair_sum)  # (2^d,)
        ends = {"descent from none": descend(levels), "descent from all": descend(levels, len(levels) - 1)}
        rows.append({name: levels[end] <= levels.min() + DEGENERATE for name, end in ends.items()})
    return instances.drop(columns="problem").join(pd.DataFrame(rows, instances.index))


def _energies(problem, beta, pair_sum):
    return energies(problem.bqm(beta, pair_sum))


def _table(instances, *more):
    """The table itself. Raises ValueError, by name, unless it has problems, no missing value and no row name twice."""
    if missing := {"d", "problem"} - set(getattr(instances, "columns", ())):
        names = " and ".join(sorted(missing))
        raise ValueError(f"instances must be a DataFrame with the columns d and problem; not there: {names}")
    _complete("instances", instances, [*_KINDS, "problem", *more])
    if instances.index.has_duplicates:
        twice = instances.index[instances.index.duplicated()][0]
        raise ValueError(f"the index of instances must name each row once, {twice} comes twice: reset_index it")
    return instances


def _complete(name, table, columns):
    """Raise ValueError, naming the column, for missing values, which pandas would leave out without a word."""
    for column in [column for column in columns if column in table]:
        if absent := int(table[column].isna().sum()):
            raise ValueError(f"{name}: column {column} must have no missing values, {absent} of {len(table)} are")


def _groups(instances, desc=None, together=True) -> Iterator[pd.DataFrame]:
    """Parts of the table, in its order: of one kind and one d, or an instance each."""
    kinds = [name for name in _KINDS if name in _table(instances)]
    groups = instances.groupby(kinds if together else np.arange(len(instances)), sort=False)
    return (group for _, group in tqdm(groups, desc=desc, disable=desc is None, unit="group"))
