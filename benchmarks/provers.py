"""Seconds of our exact solver and of CPLEX until the optimum is proven, one thread: provers.csv, a row a proof.

Problems: images at N_f = 512; synthetic rectified maps of random fields, of 7x7 and 14x14 pixels; and Gaussian
couplings of the mean and spread of an image's cosines. CPLEX (Community Edition) takes those of images only: as they
are given, and as c n + |y|^2 with y = F'n continuous, which is convex with few y, as F F' is the matrix of couplings
less its lowest eigenvalue. Its time is its own, without the building of the model; ours has all.
"""

import itertools

import numpy as np
import pandas as pd
from methods import missing
from scipy.ndimage import gaussian_filter
from solvers import USE, stored
from tqdm import tqdm

from qafs_utils.qubo import feature_selection
from qafs_utils.solvers import by_name
from qafs_utils.solvers.comparison import subsamples

BETAS, PAIR_SUMS = (0.5, 0.7), ("p<q", "p!=q")  # at the same beta p!=q takes longer
GIVEN = 4  # proofs that CPLEX tries as given, too: most of these it does not finish
LIMIT = 10.0  # seconds of one proof of CPLEX; ours has a minute


def maps(d, side, rng):
    """Rectified smooth random fields, with cosines of 0.43 +- 0.23, about those of images: (d, side, side)."""
    fields = gaussian_filter(rng.normal(size=(d, side, side)), (0, side / 7, side / 7), mode="wrap")
    return np.maximum(fields / fields.std() + rng.normal(0.4, 0.5, (d, 1, 1)), 0)


def problems(images):
    """Yield (name, image, problem, pair sum, whether CPLEX takes it, too)."""
    maps_512, importance = stored(512)
    some = np.linspace(0, len(maps_512) - 1, images).astype(int)
    of_images = feature_selection.problems(maps_512[some], importance[some], field=USE.field)
    yield from (("N_f=512", image, p, pair, True) for pair in PAIR_SUMS for image, p in zip(some, of_images))
    for side, d in itertools.product((7, 14), (512, 768)):
        rng = np.random.default_rng([side, d])
        drawn = maps(d, side, rng)[None], abs(rng.normal(size=(1, d)))
        yield f"maps {side}x{side}", 0, feature_selection.problems(*drawn, field=USE.field)[0], "p<q", False
    null = subsamples(maps_512, importance, some[:3], 128, couplings="gaussian", field=USE.field, seed=0)
    yield from (("gaussian", image, problem, "p<q", False) for image, problem in zip(some, null))


def ours(bqm):
    """->  dict of seconds (best of three), energy, nodes, proven."""
    runs = [by_name.solver("exact").sample(bqm, time_limit=60.0) for _ in range(3)]
    best = min(runs, key=lambda run: run.info["seconds"])
    return {key: best.info[key] for key in ("seconds", "nodes", "proven")} | {"energy": best.first.energy}


def cplex(bqm, low_rank):
    """->  as `ours`."""
    from docplex.mp.model import Model

    linear, (rows, columns, values), offset = bqm.to_numpy_vectors(range(bqm.num_variables))
    model = Model()
    model.context.cplex_parameters.threads = 1
    model.parameters.mip.tolerances.mipgap, model.parameters.mip.tolerances.absmipgap = 0, 1e-9
    model.set_time_limit(LIMIT)
    n = model.binary_var_list(len(linear))
    if low_rank:
        half = np.zeros((len(n), len(n)))
        half[rows, columns] = half[columns, rows] = values / 2
        levels, vectors = np.linalg.eigh(half)
        factors = (vectors * np.sqrt(levels - levels[0]))[:, levels - levels[0] > 1e-9 * levels[-1]]
        y = model.continuous_var_list(factors.shape[1], lb=-model.infinity)
        model.add_constraints(model.scal_prod(n, factor) == y_ for y_, factor in zip(y, factors.T))
        model.minimize(model.scal_prod(n, linear + levels[0]) + model.sumsq(y) + offset)
    else:
        pairs = model.sum(v * n[i] * n[j] for i, j, v in zip(rows, columns, values))
        model.minimize(model.scal_prod(n, linear) + pairs + offset)
    found = model.solve()
    details, x = model.solve_details, np.round(found.get_values(n))
    proven = details.gap <= 1e-6
    return {"seconds": details.time, "nodes": details.nb_nodes_processed, "proven": proven, "energy": bqm.energy(x)}


def measure(images=20):
    """->  table of instances, image, d, pair_sum, beta, method, seconds, nodes, proven, energy."""
    rows, seen, skipped = [], 0, missing("docplex", "cplex")
    if skipped:
        print(f"CPLEX: skipped: {skipped}")
    ours(next(problems(1))[2].bqm())  # compiles
    for (name, image, problem, pair_sum, compared), beta in tqdm([*itertools.product(problems(images), BETAS)]):
        bqm = problem.bqm(beta, pair_sum)
        row = {"instances": name, "image": image, "d": problem.d, "pair_sum": pair_sum, "beta": beta}
        rows.append(row | {"method": "ours"} | ours(bqm))
        wanted = ("low rank", "as given")[: 2 if seen < GIVEN else 1] if compared and not skipped else ()
        for method in wanted:
            rows.append(row | {"method": f"CPLEX, {method}"} | cplex(bqm, method == "low rank"))
        seen += compared
    return pd.DataFrame(rows)


def ratios(table):
    """Seconds of CPLEX over ours: median, least and share that CPLEX has proven, a row a pair sum, beta and method."""
    problem, case = ["instances", "image", "pair_sum", "beta"], ["pair_sum", "beta", "method"]
    both = table[table.method != "ours"].merge(table[table.method == "ours"], on=problem, suffixes=("", " of ours"))
    both = both.assign(ratio=both.seconds / both["seconds of ours"]).groupby(case)
    return both.agg(median=("ratio", "median"), least=("ratio", "min"), proven=("proven", "mean"))


def summary(table):
    """What docs/running.md says of provers.csv: yields a sentence, if CPLEX took part."""
    for (pair_sum, beta, method), row in ratios(table).iterrows():
        if method == "CPLEX, low rank":
            times = f"{row['median']:.0f} times as long as our proof in the median, {row['least']:.1f} times at least"
            yield f"At beta = {beta}, pair sum {pair_sum}, CPLEX takes {times}."
