"""What the penalty for exactly k maps needs, and what it costs an anneal, by enumeration of all bit-strings."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from .. import intervals
from ..annealing import evolution, spectrum
from ..conventions import HEADLINE
from ..qubo import binary, fixed_size
from ..qubo.feature_selection import Problem
from ..qubo.landscape import best_of_size

NO_PENALTY, PENALTY, SAME_RANGE = "no penalty", "penalty", "penalty, same range"


def necessary_penalty(lowest, k: int) -> float:
    """The weight from which on a penalty (|n| - k)^2 makes the best k maps the ground state.

    lowest: (d + 1,) energy of the best bit-string of each size.

    >>> necessary_penalty([0.0, -2.0, -3.0], 1)  # a second map gains 1
    1.0
    """
    lowest, sizes = np.asarray(lowest), np.arange(len(lowest))
    others = sizes != k
    return max(0.0, float(((lowest[k] - lowest[others]) / (sizes[others] - k) ** 2).max(initial=0.0)))


def penalty_weights(
    problems: list[Problem], *, beta=HEADLINE.beta, pair_sum=HEADLINE.pair_sum, desc=None
) -> pd.DataFrame:
    """The weight that provably suffices and the one that is necessary, for every problem and k from 1 to d - 1.

    ->  table of image (position in the list), k, sufficient (`fixed_size.sufficient_penalty`), necessary.

    >>> problem = Problem([0, 1], [-1.0, -0.5], [[1.0, 0.0], [0.0, 1.0]], 2)
    >>> penalty_weights([problem], beta=1.0).values.tolist()
    [[0.0, 1.0, 0.5, 0.5]]
    """
    rows = []
    for image, problem in enumerate(tqdm(problems, desc=desc or "penalties", unit="image")):
        bqm = problem.bqm(beta, pair_sum)
        energies = binary.energies(bqm)  # (2^d,)
        lowest = energies[best_of_size(energies)]  # (d + 1,)
        for k in range(1, problem.d):
            enough, needed = fixed_size.sufficient_penalty(bqm, k), necessary_penalty(lowest, k)
            rows.append({"image": image, "k": k, "sufficient": enough, "necessary": needed})
    return pd.DataFrame(rows, columns=["image", "k", "sufficient", "necessary"])


def penalised_anneals(
    problems: list[Problem],
    *,
    beta=HEADLINE.beta,
    pair_sum=HEADLINE.pair_sum,
    annealing_time=HEADLINE.annealing_time,
    driver=HEADLINE.driver,
    desc=None,
) -> pd.DataFrame:
    """Anneals without a penalty, with the sufficient one, and with that scaled back to the range of energies before.

    The penalty asks for the size of the optimum, so that the ground state stays the same. Problems whose optimum has no
    map, or all of them, are left out.

    ->  three rows a problem: image (position in the list), penalty, range (of energies, over that without a penalty),
    fidelity (probability of the ground state), gap (minimum gap).

    >>> problem = Problem([0, 1], [-1.0, -0.9], [[1.0, 0.95], [0.95, 1.0]], 2)
    >>> table = penalised_anneals([problem], beta=0.5)
    >>> table.penalty.tolist(), bool(table.range[1] > 1), table.range[2].round(9)
    (['no penalty', 'penalty', 'penalty, same range'], True, np.float64(1.0))
    """
    rows = []
    for image, problem in enumerate(tqdm(problems, desc=desc or "penalised anneals", unit="image")):
        bqm = problem.bqm(beta, pair_sum)
        plain = binary.energies(bqm)  # (2^d,)
        k = int(plain[best_of_size(plain)].argmin())
        if not 0 < k < problem.d:
            continue
        penalised = binary.energies(fixed_size.exactly(bqm, k))
        scaled = penalised * (np.ptp(plain) / np.ptp(penalised))
        for penalty, energies in ((NO_PENALTY, plain), (PENALTY, penalised), (SAME_RANGE, scaled)):
            fidelity = evolution.anneal(energies, annealing_time, driver=driver).fidelity
            gap = spectrum.minimum_gap(energies, driver=driver, tolerance=1e-5).gap
            row = {"image": image, "penalty": penalty, "range": np.ptp(energies) / np.ptp(plain)}
            rows.append(row | {"fidelity": fidelity, "gap": gap})
    return pd.DataFrame(rows, columns=["image", "penalty", "range", "fidelity", "gap"])


def change_by_penalty(anneals: pd.DataFrame, *, n_resamples=1000, seed=0) -> pd.DataFrame:
    """What each penalty changes, paired over images: `penalised_anneals` with columns n_features and class added.

    ->  n_features, penalty, fidelity (median with it), median change, low, high (95 % interval, classes resampled),
    rises in, gap rises in (shares of images), images.

    >>> row = {"n_features": 16, "image": 0, "class": 0, "gap": 0.1}
    >>> rows = [row | {"penalty": NO_PENALTY, "fidelity": 0.5}, row | {"penalty": PENALTY, "fidelity": 0.75}]
    >>> change_by_penalty(pd.DataFrame(rows))[["penalty", "median change", "rises in", "gap rises in"]].values.tolist()
    [['penalty', 0.25, 1.0, 0.0]]
    """
    paired = anneals.pivot(
        index=["n_features", "image", "class"], columns="penalty", values=["fidelity", "gap"]
    ).reset_index()
    rows = []
    for n, images in paired.groupby("n_features"):
        before, classes = images.xs(NO_PENALTY, axis=1, level="penalty"), images["class"].to_numpy()
        for penalty in (name for name in anneals.penalty.unique() if name != NO_PENALTY):
            after = images.xs(penalty, axis=1, level="penalty")
            difference = (after.fidelity - before.fidelity).to_numpy()
            row = {"n_features": n, "penalty": penalty, "fidelity": after.fidelity.median()}
            row |= _median(difference, classes, n_resamples, seed)
            row |= {"rises in": (difference > 0).mean(), "gap rises in": (after.gap > before.gap).mean()}
            rows.append(row | {"images": len(images)})
    return pd.DataFrame(rows)


def _median(values, clusters, n_resamples, seed):
    low, high = intervals.cluster_interval(clusters, lambda index: np.median(values[index]), n_resamples, seed=seed)
    return {"median change": np.median(values), "low": low, "high": high}
