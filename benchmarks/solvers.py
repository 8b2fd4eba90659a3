"""Seconds of one read of every heuristic, and of one proof, on the problems of notebook 13.

solvers.csv: median over images of the best of three, one thread. Notebook 13 makes times to the optimum of it.
proofs.csv: the proof of each image at every N_f and beta, and of its most important maps at N_f = 512.
"""

import time

import numpy as np
import pandas as pd
from tqdm import tqdm

from qafs_utils.artefacts.files import PUBLISHED
from qafs_utils.artefacts.parameters import defaults
from qafs_utils.conventions import named
from qafs_utils.qubo import feature_selection
from qafs_utils.solvers import by_name
from qafs_utils.solvers.call_cost import proof_seconds
from qafs_utils.solvers.comparison import subsamples

PARAMETERS = defaults("13_solvers")
USE = named(PARAMETERS["conventions"])
TIMED = {name: options for name, options in by_name.TRIALS.items() if name != "schrodinger"} | {"exact": {}}

SIZES = (16, 32, 64, 128, 192)  # of sub-problems of the most important maps of the largest model


def stored(n):
    with np.load(PUBLISHED / f"02_maps_nf{n}.npz") as arrays:
        return arrays[f"maps_{USE.target}"], arrays[f"importance_{USE.target}"]


def instances(images):
    """(name, beta, problems) of every group that the notebook compares solvers on."""
    for n in PARAMETERS["n_features"]:
        maps, importance = stored(n)
        some = np.linspace(0, len(maps) - 1, images).astype(int)
        for beta in PARAMETERS["betas"]:
            yield f"N_f={n}", beta, feature_selection.problems(maps[some], importance[some], field=USE.field)
    for d in PARAMETERS["sizes"]:  # of the largest model
        drawn = subsamples(maps, importance, some, d, field=USE.field, seed=PARAMETERS["seed"])
        yield f"d={d}", USE.beta, drawn


def seconds_a_read(solver, problem, beta, options):
    """Best of three calls, over the number of reads."""
    bqm, options = problem.bqm(beta, USE.pair_sum), dict(options)
    if "num_reads" in options:
        options["num_reads"] = max(1, options["num_reads"] // 10)
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        by_name.solver(solver).sample(bqm, **options)
        best = min(best, time.perf_counter() - start)
    return best / options.get("num_reads", 1)


def measure(images=5):
    """->  table of instances, beta, solver, d, seconds."""
    rows = []
    for name, beta, problems in tqdm(list(instances(images)), unit="group"):
        for solver, options in TIMED.items():
            seconds = np.median([seconds_a_read(solver, p, beta, options) for p in problems])
            row = {"instances": name, "beta": beta, "solver": solver, "d": np.median([p.d for p in problems])}
            rows.append(row | {"seconds": seconds})
    return pd.DataFrame(rows)


def proofs(images=20, n_features=PARAMETERS["n_features"], betas=PARAMETERS["betas"], sizes=SIZES):
    """->  table of n_features, part (whole, or most important), image, d, beta, seconds, least, nodes.

    images: of the published ones, evenly spaced, so that every class comes equally often.
    """
    tables, largest = [], max(n_features)
    for n in n_features:
        maps, importance = stored(n)
        some = np.linspace(0, len(maps) - 1, images).astype(int)
        problems = feature_selection.problems(maps[some], importance[some], field=USE.field)
        for part, of_part in (("whole", None), ("most important", sizes if n == largest else ())):
            for beta in tqdm(betas, desc=f"proofs, N_f={n}, {part}", disable=of_part == ()):
                table = proof_seconds(problems, of_part, beta=beta, pair_sum=USE.pair_sum, time_limit=600.0)
                tables.append(table.assign(image=some[table.image], n_features=n, part=part))
    table = pd.concat([table for table in tables if len(table)], ignore_index=True)
    return table[["n_features", "part", "image", "d", "beta", "seconds", "least", "nodes"]]
