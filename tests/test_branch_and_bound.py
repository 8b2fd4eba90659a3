"""The exact solver: its optima are those of enumeration and of an independent solver, its bounds never too high."""

import itertools
import unittest

import dimod
import dimod.testing
import numpy as np
import pandas as pd
import pytest
import torch

from qafs_utils.qubo import feature_selection, landscape
from qafs_utils.qubo.binary import energies
from qafs_utils.solvers import bounds, branch_and_bound
from qafs_utils.solvers.branch_and_bound import ExactSampler


def selection(d, rank, seed):
    """A selection problem from non-negative maps of `rank` pixels."""
    rng = np.random.default_rng(seed)
    maps = np.maximum(rng.normal(size=(d, rank)), 0) + 1e-3
    return feature_selection.problem(maps[:, None], rng.random(d) + 0.01)


def gram(d, rank, seed, beta=0.7):
    return selection(d, rank, seed).bqm(beta, "p<q")


def gaussian(d, seed, vartype="BINARY", mean=0.0):
    rng = np.random.default_rng(seed)
    couplings = {(i, j): rng.normal(mean) for i in range(d) for j in range(i)}
    return dimod.BinaryQuadraticModel(dict(enumerate(rng.normal(-mean, 1, d))), couplings, rng.normal(), vartype)


def planted(d, seed, repulsion, beta=0.6):
    """A problem and its optimum n*, drawn first, then a gradient g there: > 0 at n* = 0, < 0 at n* = 1.

    energy(n) - energy(n*) = (1 - beta) / 2 |V^T (n - n*)|^2 + g.(n - n*) + sum N_pq n_p n_q >= 0, with N_pq up to
    `repulsion`, random, where n*_p n*_q = 0: cosines V V^T if there is none, indefinite if there is.
    """
    rng = np.random.default_rng(seed)
    V = rng.random((d, 5))
    V /= np.linalg.norm(V, axis=1, keepdims=True)
    optimum = (rng.random(d) < 0.3).astype(int)
    g = (1 - 2 * optimum) * rng.uniform(0, 0.05, d)
    linear = g - (1 - beta) * (V @ V.T @ optimum) + (1 - beta) / 2  # n^2 = n takes the diagonal into the linear terms
    N = repulsion * rng.random((d, d)) * (1 - np.outer(optimum, optimum))
    couplings = {(i, j): (1 - beta) * V[i] @ V[j] + N[i, j] for i in range(d) for j in range(i)}
    return dimod.BinaryQuadraticModel(dict(enumerate(linear)), couplings, 0.0, "BINARY"), optimum


def degenerate(kind, d=12):
    rng = np.random.default_rng(3)
    if kind == "duplicate maps":
        maps = np.repeat(rng.random((d // 3, 1, 6)), 3, axis=0)
        return feature_selection.problem(maps, np.repeat(rng.random(d // 3), 3)).bqm(0.7)
    if kind == "equal maps":
        return feature_selection.problem(np.ones((d, 2, 2)), np.ones(d)).bqm(0.4)
    if kind == "zero maps":
        return feature_selection.problem(np.zeros((d, 2, 2)), np.ones(d)).bqm(0.4)
    if kind == "all zero":
        return dimod.BinaryQuadraticModel(dict.fromkeys(range(d), 0.0), {(0, 1): 0.0}, 2.0, "BINARY")
    if kind == "fields only":
        return dimod.BinaryQuadraticModel(dict(enumerate(rng.normal(size=d))), {}, -1.0, "SPIN")
    return dimod.BinaryQuadraticModel({}, {(i, (i + 1) % d): -1.0 for i in range(d)}, 0.0, "SPIN")  # ferromagnetic ring


def check(bqm, lowest, **options):
    """Solve, compare with the lowest energy (of the size, if one is given), and return the info."""
    found = ExactSampler().sample(bqm, **options)
    if options.get("size") is not None:
        assert sum(value == 1 for value in found.first.sample.values()) == options["size"]
    info, scale = found.info, 1e-9 * max(1, abs(lowest))
    assert len(found) == 1 and found.vartype is bqm.vartype
    assert info["energy"] == found.first.energy == pytest.approx(bqm.energy(found.first.sample))
    assert info["bound"] <= lowest + 1e-3 * scale and info["bound"] <= info["energy"]
    assert info["energy"] >= lowest - scale
    if info["proven"]:
        assert info["energy"] == pytest.approx(lowest, rel=1e-8, abs=1e-8)
        assert info["energy"] - info["bound"] <= 1e-8 * max(1, abs(lowest))
    return info


def check_sizes(bqm, sizes, **options):
    """`check` with "any size", for "every size", or for those of a list  ->  list of infos."""
    E = energies(bqm)
    if sizes == "any size":
        return [check(bqm, E.min(), **options)]
    lowest = E[landscape.best_of_size(E)]
    sizes = range(len(lowest)) if sizes == "every size" else sizes
    return [check(bqm, lowest[size], size=size, **options) for size in sizes]


def proven(infos):
    return all(info["proven"] for info in infos)


free_and_fixed = pytest.mark.parametrize("sizes", ["any size", "every size"])


@free_and_fixed
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("beta", [0.1, 0.7, 0.99])
@pytest.mark.parametrize("d, rank", [(2, 3), (9, 4), (14, 5), (14, 40)])
def test_selections_as_enumerated(d, rank, beta, reverse, sizes):
    for seed in range(3 if sizes == "any size" else 1):
        problem = selection(d, rank, seed)
        assert proven(check_sizes((problem.reversed() if reverse else problem).bqm(beta), sizes))


@free_and_fixed
@pytest.mark.parametrize("vartype", ["BINARY", "SPIN"])
@pytest.mark.parametrize("d", [0, 1, 2, 5, 12, 16])
def test_indefinite_models_as_enumerated(d, vartype, sizes):
    for seed in range(3 if d < 16 or sizes == "any size" else 1):
        bqm = gaussian(d, seed, vartype, mean=seed - 1)
        bqm.relabel_variables({i: f"x{(7 * i) % 23}" for i in range(d)})
        assert proven(check_sizes(bqm, sizes))


@free_and_fixed
@pytest.mark.parametrize(
    "kind", ["duplicate maps", "equal maps", "zero maps", "all zero", "fields only", "ferromagnetic ring"]
)
def test_degenerate_ground_states(kind, sizes):
    assert proven(check_sizes(degenerate(kind), sizes))


@pytest.mark.parametrize("size", [None, *range(13)])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_any_scale(scale, size):
    bqm = gaussian(12, 5)
    bqm.scale(scale)
    E = energies(bqm)
    found, lowest = (
        ExactSampler().sample(bqm, size=size).info,
        E.min() if size is None else E[landscape.best_of_size(E)[size]],
    )
    assert found["proven"] and found["energy"] == pytest.approx(lowest, rel=1e-9, abs=1e-9 * scale)
    assert lowest - 1e-8 * max(scale, abs(lowest)) <= found["bound"] <= found["energy"]


@pytest.mark.parametrize("repulsion", [0.0, 0.5])
@pytest.mark.parametrize("d", [30, 100])
def test_planted_optimum(d, repulsion):
    for seed in range(3):
        bqm, optimum = planted(d, seed, repulsion)
        assert check(bqm, bqm.energy(dict(enumerate(optimum))))["proven"]


def in_short_runs(monkeypatch):
    """Let the plain search look up after every third node, so that small problems are improved and split, too."""
    search = branch_and_bound.search
    monkeypatch.setattr(branch_and_bound, "search", lambda *arguments: search(*arguments[:-1], 3))


@free_and_fixed
@pytest.mark.parametrize("nodes, improved", [(1, 1), (1, 4), (2, 10**6)])
def test_every_path_of_the_search(monkeypatch, nodes, improved, sizes):
    """Plain, improved and split, on problems small enough to enumerate."""
    in_short_runs(monkeypatch)
    monkeypatch.setattr(branch_and_bound, "PLAIN_NODES", nodes)
    monkeypatch.setattr(branch_and_bound, "_IMPROVED_NODES", improved)
    for seed in range(6 if sizes == "any size" else 3):
        assert proven(check_sizes(gaussian(14 if sizes == "any size" else 12, seed, mean=seed % 3 - 1), sizes))


def test_improved_bound_is_lovasz_theta():
    """A ring of five where neighbours exclude each other: 2 can be chosen, the doubly nonnegative bound is sqrt(5)."""
    Q, N, u, V = np.zeros((5, 5)), np.zeros((5, 5)), np.zeros(5), np.random.default_rng(0).normal(size=(5, 8))
    for i in range(5):
        Q[i, (i + 1) % 5] = Q[(i + 1) % 5, i] = 10.0
    V /= 2 * np.linalg.norm(V, axis=1, keepdims=True)
    V[:, 0] += 0.5
    bounds.tighten(Q, -np.ones(5), V, N, u, 3000, 300, 1.0)
    C = Q - N + np.diag(u)
    C += (1e-9 - np.linalg.eigvalsh(C)[0]) * np.eye(5)
    c = -1 - np.diag(C) / 2
    assert (N >= 0).all() and np.sqrt(5) - 1e-6 < c @ np.linalg.solve(C, c) / 2 < np.sqrt(5) + 0.02


@pytest.mark.parametrize("rank, all_rows", [(20, False), (300, True)])
def test_shift_of_many_variables_is_no_lower_than_the_lowest_eigenvalue(monkeypatch, rank, all_rows):
    """Cosines of few pixels need a third of the rows, those of many pixels all: both shifts are those of all."""
    C, eigvalsh, rows = selection(240, rank, 0).redundancy - np.eye(240), np.linalg.eigvalsh, []
    monkeypatch.setattr(np.linalg, "eigvalsh", lambda A: rows.append(len(A)) or eigvalsh(A))
    shift, lowest = branch_and_bound._shift(C), eigvalsh(C)[0]
    assert rows == ([80, 240] if all_rows else [80])
    assert -lowest <= shift <= -lowest + 1e-9
    monkeypatch.setattr(np.linalg, "eigvalsh", lambda A: eigvalsh(A) * (1 + 1e-15))  # as another number of threads
    assert branch_and_bound._shift(C) == shift


@pytest.mark.parametrize("bqm", [gram(14, 5, 0, 0.3), gaussian(14, 1, mean=-0.5), gaussian(14, 2, "SPIN")])
@pytest.mark.parametrize("sizes, trivial", [("any size", set()), ("every size", {0, 14})])
def test_time_limit(bqm, sizes, trivial):
    """Of a fixed size the incumbent has it from the first, whatever the start; only trivial sizes need no search."""
    for initial in (None, dict.fromkeys(bqm.variables, 1)):
        infos = check_sizes(bqm, sizes, time_limit=0, initial=initial)
        assert not any(info["nodes"] for info in infos)
        assert trivial <= {size for size, info in enumerate(infos) if info["proven"]} <= trivial | {1}


@pytest.mark.parametrize("sizes", ["any size", [6]])
def test_time_limit_in_the_search(monkeypatch, sizes):
    """Stopped after any number of looks at the clock: never a bound above the optimum, nor a proof without one."""
    in_short_runs(monkeypatch)
    monkeypatch.setattr(branch_and_bound, "PLAIN_NODES", 4)
    monkeypatch.setattr(branch_and_bound, "_IMPROVED_NODES", 4)
    at_once = []
    for bqm in (gaussian(14, 7, mean=0.5), gaussian(14, 8, mean=-0.5), gram(14, 4, 3, 0.3)):
        proofs = []
        for looks in [*range(1, 40, 3), 10**6]:
            clock = iter(range(looks))
            late = property(lambda self, clock=clock: next(clock, None) is None)
            monkeypatch.setattr(branch_and_bound._BranchAndBound, "late", late)
            proofs.append(proven(check_sizes(bqm, sizes)))
        assert proofs[-1]
        at_once.append(proofs[0])
    assert not all(at_once)


def test_initial_sample():
    bqm = gram(60, 20, 1).change_vartype("SPIN", inplace=False)
    best = ExactSampler().sample(bqm).first
    again = ExactSampler().sample(bqm, time_limit=0, initial=best.sample)
    assert again.first.energy <= best.energy + 1e-9
    for wrong in ({0: 1}, dict(best.sample) | {0: 0}, [dict(best.sample)] * 2):
        with pytest.raises(ValueError, match="one sample with a SPIN value"):
            ExactSampler().sample(bqm, initial=wrong)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_input(bad):
    for bqm in (dimod.BQM({"a": bad}, {}, 0.0, "BINARY"), dimod.BQM({}, {("a", "b"): bad}, 0.0, "SPIN")):
        with pytest.raises(ValueError, match="biases must be finite.*: check the feature maps"):
            ExactSampler().sample(bqm)
    with pytest.raises(ValueError, match="time_limit must be"):
        ExactSampler().sample(gaussian(3, 0), time_limit=-1)
    with pytest.raises(ValueError, match="time_limit must be"):
        ExactSampler().sample(gaussian(3, 0), time_limit=np.nan)


@pytest.mark.parametrize("size", [-1, 4, 1.5, np.nan])
def test_infeasible_size(size):
    with pytest.raises(ValueError, match=f"exactly {size} maps are infeasible: the size must be .* from 0 to 3"):
        ExactSampler().sample(gaussian(3, 0), size=size)


ODD = {
    "time_limit": [None, "2", -1, np.nan, [1], True],
    "size": ["2", -1, 1.5, np.nan, [1], True, 4],
    "initial": ["abc", 1, [1, 0], [1, 0, 2], [0.5, 0, 1], [[1, 0, 1]] * 2, {0: 1}, [np.nan, 0, 1], object()],
    "progress": [1, "tell", [print]],
}


@pytest.mark.parametrize("option", ODD)
def test_odd_options_are_refused_by_name(option):
    for odd in ODD[option]:
        with pytest.raises(ValueError, match="maps are infeasible" if option == "size" else option):
            ExactSampler().sample(gaussian(3, 0), **{option: odd})


@pytest.mark.parametrize(
    "kind",
    [
        list,
        tuple,
        iter,
        np.array,
        torch.tensor,
        pd.Series,
        lambda n: dict(enumerate(n)),
        lambda n: np.array([n], dtype=bool),
        lambda n: (n, [0, 1, 2]),
    ],
)
def test_initial_samples_of_any_kind(kind):
    found = ExactSampler().sample(gaussian(3, 0), time_limit=np.inf, initial=kind([1, 0, 1]))
    assert found.info["energy"] == pytest.approx(energies(gaussian(3, 0)).min())


def test_no_variables():
    for options in ({}, {"size": 0}, {"initial": {}}):
        found = ExactSampler().sample(dimod.BQM({}, {}, 1.5, "BINARY"), **options)
        assert found.info["proven"] and found.info["energy"] == found.info["bound"] == 1.5


@pytest.mark.parametrize("size", [None, 20])
def test_progress_of_a_long_search(monkeypatch, size):
    """By a clock that runs a second ahead at each look: bounds rise, energies fall, and the answer is the same."""

    seconds, told = itertools.count(), []
    bqm = gaussian(46, 3, mean=0.2)
    quiet = ExactSampler().sample(bqm, size=size)
    monkeypatch.setattr(branch_and_bound.time, "perf_counter", lambda: float(next(seconds)))
    found = ExactSampler().sample(bqm, time_limit=np.inf, size=size, progress=lambda **state: told.append(state))
    assert found.first.sample == quiet.first.sample and found.info["bound"] == quiet.info["bound"]
    assert len(told) > 1 and set(told[0]) == {"seconds", "bound", "energy", "nodes"}
    for before, after in zip(told, told[1:]):
        assert before["seconds"] < after["seconds"] and before["nodes"] <= after["nodes"]
        assert before["energy"] >= after["energy"] >= found.info["energy"] - 1e-9 >= before["bound"] - 1e-9


def test_progress_is_not_told_of_quick_searches_and_can_end_long_ones(monkeypatch):

    def stop(**state):
        raise KeyboardInterrupt

    ExactSampler().sample(gaussian(10, 0), progress=stop)
    seconds = itertools.count()
    monkeypatch.setattr(branch_and_bound.time, "perf_counter", lambda: float(next(seconds)))
    with pytest.raises(KeyboardInterrupt):
        ExactSampler().sample(gaussian(40, 3, mean=0.2), time_limit=np.inf, progress=stop)


@dimod.testing.load_sampler_bqm_tests(ExactSampler)
class TestOceanConventions(unittest.TestCase):
    def test_api(self):
        dimod.testing.assert_sampler_api(ExactSampler())


@pytest.mark.parametrize(
    "d, rank, beta, size",
    [
        (40, 49, 0.5, None),
        (40, 196, 0.7, None),
        (100, 49, 0.9, None),
        (200, 49, 0.9, None),
        (40, 49, 0.5, 8),
        (40, 49, 0.7, 20),
        (100, 49, 0.9, 5),
        (100, 49, 0.9, 40),
    ],
)
def test_agrees_with_scip(d, rank, beta, size):
    """SCIP on y = V^T n, minimise (1 - beta) (|y|^2 - sum n) + beta h.n: convex, and no line of ours in it."""
    scip = pytest.importorskip("pyscipopt")
    rng = np.random.default_rng(d + rank)
    maps, importance = np.maximum(rng.normal(size=(d, rank)) - 0.5, 0) + 1e-3, rng.random(d) + 0.01
    problem = feature_selection.problem(maps[:, None], importance)
    V = maps / np.linalg.norm(maps, axis=1, keepdims=True)
    model = scip.Model()
    model.hideOutput()
    model.setParam("limits/time", 60)
    n = [model.addVar(vtype="B") for _ in range(d)]
    y = [model.addVar(lb=None) for _ in range(rank)]
    energy = model.addVar(lb=None)
    for k in range(rank):
        model.addCons(y[k] == scip.quicksum(V[i, k] * n[i] for i in range(d)))
    linear = scip.quicksum((beta * problem.field[i] - (1 - beta)) * n[i] for i in range(d))
    model.addCons((1 - beta) * scip.quicksum(v * v for v in y) + linear <= energy)
    if size is not None:
        model.addCons(scip.quicksum(n) == size)
    model.setObjective(energy)
    model.optimize()
    theirs = [round(model.getVal(v)) for v in n]
    bqm = problem.bqm(beta)
    found = ExactSampler().sample(bqm, size=size)
    assert size is None or sum(theirs) == sum(found.first.sample.values()) == size
    assert found.info["proven"] and found.info["bound"] <= bqm.energy(dict(enumerate(theirs))) + 1e-9
    assert model.getDualbound() <= found.info["energy"] + 1e-5
    if model.getStatus() == "optimal":
        assert found.info["energy"] == pytest.approx(model.getObjVal(), abs=1e-5)


@pytest.mark.parametrize("offset", [-1e15, -1e9, 1e8, 1e12, 1e15])
@pytest.mark.parametrize("vartype", ["BINARY", "SPIN"])
def test_an_offset_changes_neither_sample_nor_proof(offset, vartype):
    for size in (None, 4):
        bqm = gaussian(12, 5, vartype)
        without = ExactSampler().sample(bqm, size=size)
        bqm.offset += offset
        found = ExactSampler().sample(bqm, size=size)
        assert found.info["proven"] and found.first.sample == without.first.sample
        assert found.info["bound"] <= found.info["energy"] == pytest.approx(offset + without.info["energy"], rel=1e-15)
    hard = gaussian(46, 3, vartype, mean=0.2)
    hard.offset += offset
    assert not ExactSampler().sample(hard, time_limit=0).info["proven"]  # though no float tells bound from energy


def test_what_is_decided_at_once_is_so_in_an_optimum():
    """Sparse couplings of both signs, by enumeration; a map that is 0, the first variable, is decided at once."""
    rng, decided = np.random.default_rng(0), 0
    for _ in range(100):
        Q = np.triu(rng.normal(size=(8, 8)) * (rng.random((8, 8)) < 0.25), 1)
        Q[0] = 0
        Q, b = Q + Q.T, 1.2 * rng.normal(size=8)
        state = branch_and_bound._decided(Q, b)
        X = np.array(list(itertools.product((0, 1), repeat=8)))
        E = np.einsum("ki,ij,kj->k", X, Q, X) / 2 + X @ b
        assert E[((X == state) | (state < 0)).all(axis=1)].min() == pytest.approx(E.min(), abs=1e-12)
        assert state[0] == (b[0] < 0)
        decided += (state >= 0).sum()
    assert 100 < decided < 800
