"""Every solver of the selection problem returns what exact enumeration finds, and says what it was asked."""

import dataclasses
import os
import pickle
import signal
import threading
import warnings
from fractions import Fraction

import dimod
import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from dwave.samplers import SimulatedAnnealingSampler

from qafs_utils.qubo import feature_selection
from qafs_utils.solvers import (
    baselines,
    by_name,
    options,
    reads,
)

RNG = np.random.default_rng(1)
PROBLEMS = feature_selection.problems(RNG.random((4, 9, 5, 5)), RNG.normal(0.3, 1, (4, 9)))
HEURISTICS = {"greedy"}  # may miss the optimum of ten maps


@pytest.mark.parametrize("name", ["brute_force", "exact"])
def test_exact_solvers_equal_dimods(name):
    for p in PROBLEMS:
        ours = by_name.solver(name).sample(p.bqm())
        assert ours.first.energy == pytest.approx(dimod.ExactSolver().sample(p.bqm()).first.energy)


@pytest.mark.parametrize("name", sorted(by_name.TRIALS.keys() - HEURISTICS))
def test_solvers_find_the_optimum_of_small_problems(name):
    more = {"schrodinger": {"annealing_time": 100.0}, "random": {"num_reads": 3000}, "path_integral": {"num_reads": 50}}
    exact, best = by_name.solve_all(PROBLEMS, "brute_force")
    found, infos = by_name.solve_all(PROBLEMS, name, seed=0, **by_name.TRIALS[name] | more.get(name, {}))
    np.testing.assert_allclose([i["energy"] for i in infos], [i["energy"] for i in best])
    assert np.array_equal(found, exact)


@pytest.mark.parametrize("name", sorted(by_name.TRIALS))
def test_spins_are_answered_with_spins_and_their_energies(name):
    model = dimod.BinaryQuadraticModel({"a": 0.3, "b": -0.2, "c": 0.1}, {"ab": 0.5, "bc": -0.7}, 0.25, dimod.SPIN)
    samples = by_name.solver(name).sample(model)
    assert samples.vartype is dimod.SPIN
    np.testing.assert_allclose(samples.record.energy, model.energies(samples), atol=1e-9)


def test_selected_maps_are_candidates():
    found, _ = by_name.solve_all(PROBLEMS, "brute_force", beta=1.0)
    for row, p in zip(found, PROBLEMS):
        assert np.flatnonzero(row).tolist() == p.maps.tolist()


SEEDED = [n for n in by_name.TRIALS if {"seed", "num_reads"} <= by_name.solver(n).parameters.keys()]


@pytest.mark.parametrize("name", SEEDED)
def test_same_seed_same_selection(name):
    options = {k: v for k, v in by_name.TRIALS[name].items() if k != "num_reads"} | {"num_reads": 2}
    first, second = (by_name.solve_all(PROBLEMS, name, seed=5, **options)[0] for _ in range(2))
    assert np.array_equal(first, second)


def test_dwave_neal_is_the_same_simulated_annealing():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        neal = pytest.importorskip("neal")
    assert neal.SimulatedAnnealingSampler is SimulatedAnnealingSampler


def greedy_by_hand(problem, beta=0.7):
    """Every set that grows map by map, its energy computed anew each time."""
    bqm, chosen = problem.bqm(beta), set()
    while True:
        energy = {p: bqm.energy({v: int(v in chosen | {p}) for v in range(problem.d)}) for p in range(problem.d)}
        best = min(energy, key=energy.get)
        if best in chosen or energy[best] >= bqm.energy({v: int(v in chosen) for v in range(problem.d)}):
            return chosen
        chosen.add(best)


def test_greedy():
    for problem in PROBLEMS:
        found = by_name.solver("greedy").sample(problem.bqm()).first
        assert {v for v, bit in found.sample.items() if bit} == greedy_by_hand(problem)
        spin = by_name.solver("greedy").sample(problem.bqm().change_vartype("SPIN", inplace=False)).first
        assert spin.energy == pytest.approx(found.energy)
        assert {v for v, s in spin.sample.items() if s == 1} == {v for v, bit in found.sample.items() if bit}
    assert by_name.solver("greedy").sample(dimod.BinaryQuadraticModel("BINARY")).first.sample == {}


@pytest.mark.parametrize("name", ["simulated_annealing", "exact"])
def test_processes_change_nothing(name):
    alone = by_name.solve_all(PROBLEMS, name, seed=3)
    shared = by_name.solve_all(PROBLEMS, name, seed=3, n_jobs=2)
    assert np.array_equal(alone[0], shared[0])
    assert [i["energy"] for i in alone[1]] == [i["energy"] for i in shared[1]]


def test_a_cluster_changes_nothing_and_a_killed_worker_loses_nothing():
    distributed = pytest.importorskip("distributed")
    many, options = PROBLEMS * 20, {"seed": 3, "num_reads": 1500}
    alone, infos = by_name.solve_all(many, "simulated_annealing", **options)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            victim = next(iter(client.run(os.getpid).values()))
            threading.Timer(1.0, os.kill, (victim, signal.SIGKILL)).start()
            with joblib.parallel_config("dask"):
                found, again = by_name.solve_all(many, "simulated_annealing", **options)
            client.wait_for_workers(2, timeout=60)  # the killed one has been replaced
            assert victim not in client.run(os.getpid).values()
    assert np.array_equal(found, alone)
    assert [i["energy"] for i in again] == [i["energy"] for i in infos]


def test_unknown_solver():
    with pytest.raises(ValueError, match="unknown solver 'annealer'"):
        by_name.solver("annealer")
    with pytest.raises(ValueError, match="unknown solver"):
        by_name.solve_all(PROBLEMS, "annealer")


IMPORTANCE = np.array([[0.5, -1, 2, 0.5, 0, 1], [1, 2, 3, 4, 5, 6]])


def test_top_k_takes_the_most_important_candidates():
    found = baselines.top_k(IMPORTANCE, [3, 2])
    assert [np.flatnonzero(bits).tolist() for bits in found] == [[0, 2, 5], [4, 5]]  # of the equal ones the first
    assert not baselines.top_k(IMPORTANCE, [0, 0]).any()
    assert np.array_equal(baselines.top_k(IMPORTANCE, [4, 6]), IMPORTANCE > 0)


def test_random_k_draws_candidates_evenly():
    importance = np.tile(IMPORTANCE[0], (4000, 1))
    found = baselines.random_k(importance, np.full(4000, 2), seed=1)
    assert (found.sum(1) == 2).all() and not found[:, [1, 4]].any()
    np.testing.assert_allclose(found[:, [0, 2, 3, 5]].mean(0), 0.5, atol=0.04)
    assert np.array_equal(found, baselines.random_k(importance, np.full(4000, 2), seed=1))


@pytest.mark.parametrize("select", [baselines.top_k, baselines.random_k])
@pytest.mark.parametrize(
    "importance, k, message",
    [
        (IMPORTANCE, [5, 1], "image 0: k must be a whole number between 0 and its 4"),
        (IMPORTANCE, [1, -1], "image 1: k"),
        (IMPORTANCE * np.nan, [1, 1], "NaN"),
        (IMPORTANCE, [1], "must be"),
        (IMPORTANCE[0], [1], "must be"),
    ],
)
def test_selections_of_equal_size_refuse(select, importance, k, message):
    with pytest.raises(ValueError, match=message):
        select(importance, k)


def relevance_by_hand(problem, k, trade_off):
    taken = []
    while len(taken) < k:

        def score(p):
            likeness = max([problem.redundancy[p, q] for q in taken], default=0)
            return -trade_off * problem.field[p] - (1 - trade_off) * likeness

        taken.append(max(set(range(problem.d)) - set(taken), key=score))
    return sorted(problem.maps[taken].tolist())


def test_maximal_marginal_relevance():
    k = [min(3, p.d) for p in PROBLEMS]
    for trade_off in (0.3, 0.7):
        found = baselines.maximal_marginal_relevance(PROBLEMS, k, trade_off=trade_off)
        for bits, problem, size in zip(found, PROBLEMS, k):
            assert np.flatnonzero(bits).tolist() == relevance_by_hand(problem, size, trade_off)
    alpha = np.zeros((len(PROBLEMS), 9))
    for row, problem in zip(alpha, PROBLEMS):
        row[problem.maps] = -problem.field
    assert np.array_equal(baselines.maximal_marginal_relevance(PROBLEMS, k, trade_off=1.0), baselines.top_k(alpha, k))
    with pytest.raises(ValueError, match="image 0: k must be a whole number between 0 and its"):
        baselines.maximal_marginal_relevance(PROBLEMS[:1], [10])
    with pytest.raises(ValueError, match="trade_off must be a number in"):
        baselines.maximal_marginal_relevance(PROBLEMS, k, trade_off=1.5)


def test_lasso_order():
    """Orthogonal activations: maps enter in the order of their covariance with the logit, those below zero never."""
    X = np.kron(np.eye(5), [[1.0], [-1.0]]) * [1, 2, 3, 4, 5]  # standardised, so the scale does not matter
    y = np.kron([3.0, 5.0, -1.0, 4.0, 0.5], [1.0, -1.0])
    assert baselines.lasso_order(X, y).tolist() == [2, 0, 5, 1, 3]
    X = np.random.default_rng(168).normal(size=(12, 4))
    X[:, 1] = X[:, 0] + 0.1 * np.random.default_rng(1).normal(size=12)
    order = baselines.lasso_order(X, X @ [1.0, 0.5, 0.2, 0.1])
    assert sorted(order[order < 4]) == list(range((order < 4).sum()))  # ranks without holes, whoever leaves in between
    X = np.ones((10, 5))
    y = np.ones(10)
    for bad, name in ((X * np.nan, "activations"), (X[:, 0], "activations"), (X[:-1], "logit")):
        with pytest.raises(ValueError, match=name):
            baselines.lasso_order(bad, y)


def test_success_of_some_of_the_reads():
    """By hand: 2 hits among 4 reads; two of the four miss both with probability 1/6."""
    np.testing.assert_allclose(reads.success(np.array([0, 2, 4]), 4, 2), [0, 5 / 6, 1])
    np.testing.assert_allclose(reads.success(np.array([1, 2]), 4, 1), [0.25, 0.5])
    with pytest.raises(ValueError, match="reads to draw, must be a whole number from 1 to 4"):
        reads.success(np.array([1]), 4, 5)


def test_reads_needed():
    found = reads.reads_needed([0.0, 0.5, 0.9, 0.99, 1.0])
    np.testing.assert_allclose(found, [np.inf, np.log(100) / np.log(2), 2, 1, 1])
    assert 1 - (1 - 0.3) ** reads.reads_needed(0.3) == pytest.approx(0.99)
    for bad, message in ((-0.1, r"must lie in \[0, 1\]"), (1.1, r"must lie in \[0, 1\]"), (np.nan, "must be finite")):
        with pytest.raises(ValueError, match=f"probability {message}"):
            reads.reads_needed([0.5, bad])


BAD = {
    "NaN bias": dimod.BQM({0: np.nan, 1: -1.0}, {}, 0.0, "BINARY"),
    "infinite pair": dimod.BQM({}, {(0, 1): np.inf}, 0.0, "SPIN"),
    "NaN offset": dimod.BQM({0: 1.0}, {}, np.nan, "BINARY"),
    "overflow": dimod.BQM({0: 1e308, 1: 1e308}, {}, 0.0, "BINARY"),
    "CQM": dimod.CQM(),
    "QM": dimod.QM(),
    "dict": {0: -1.0},
    "None": None,
}
LOCAL = [name for name in by_name.SOLVERS if name not in ("qpu", "leap_hybrid")]


@pytest.mark.parametrize("model", BAD)
@pytest.mark.parametrize("name", LOCAL)
def test_every_solver_refuses_what_is_no_finite_model(name, model):
    with pytest.raises(ValueError, match="model|energies"):
        by_name.solver(name).sample(BAD[model])


@pytest.mark.parametrize("model", BAD)
@pytest.mark.parametrize("kind", [by_name.GreedySampler, by_name.BruteForceSampler, by_name.ExactSampler])
def test_our_samplers_refuse_it_by_themselves(kind, model):
    with pytest.raises(ValueError, match="model"):
        kind().sample(BAD[model])


@pytest.mark.parametrize("name", ["tabu", "simulated_annealing", "exact"])
def test_ising_and_qubo_forms_are_guarded_too(name):
    with pytest.raises(ValueError, match="model"):
        by_name.solver(name).sample_ising({0: np.nan}, {})
    found = by_name.solver(name).sample_qubo({(0, 0): -1.0, (0, 1): 2.0, (1, 1): -1.5})
    assert found.first.energy == -1.5


@pytest.mark.parametrize("name", LOCAL)
def test_nobody_changes_what_a_solver_takes(name):
    before = dict(by_name.solver(name).parameters)
    with pytest.raises(TypeError):
        by_name.solver(name).parameters["seed"] = None
    assert dict(by_name.solver(name).parameters) == before
    assert pickle.loads(pickle.dumps(by_name.solver(name))) is by_name.solver(name)


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda problems: np.array(problems, dtype=object)])
def test_problems_in_a_sequence_of_any_kind(kind):
    expected, infos = by_name.solve_all(PROBLEMS, "greedy")
    found, same = by_name.solve_all(kind(PROBLEMS), "greedy")
    assert np.array_equal(found, expected) and same == infos
    assert len(list(by_name.sample_all(kind(PROBLEMS), "greedy"))) == len(PROBLEMS)
    relevant = baselines.maximal_marginal_relevance(kind(PROBLEMS), iter([1, 1, 1, 1]))
    assert (relevant.sum(1) == 1).all()


def test_no_problems():
    found, infos = by_name.solve_all([], "exact")
    assert found.shape == (0, 0) and infos == [] and list(by_name.sample_all([], "exact")) == []


@pytest.mark.parametrize(
    "change, message",
    [
        ({"problems": PROBLEMS[0]}, "problems must be"),
        ({"problems": [1]}, "problems must be"),
        ({"problems": None}, "problems"),
        ({"problems": [PROBLEMS[0], dataclasses.replace(PROBLEMS[0], n_features=12)]}, "got n_features of 9, 12"),
        ({"solver": ["exact"]}, "unknown solver"),
        ({"solver": None}, "unknown solver"),
        ({"beta": "0.7"}, "beta"),
        ({"pair_sum": 1}, "pair_sum"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": "1"}, "seed"),
        ({"n_jobs": "2"}, "n_jobs"),
        ({"n_jobs": 1.5}, "n_jobs"),
        ({"num_reads": 3}, "'exact' has no option num_reads: its options are initial, progress, size, time_limit"),
        ({"time_limit": None}, "time_limit"),
        ({"size": "2"}, "size"),
        ({"progress": 1}, "progress"),
    ],
)
def test_solve_all_refuses_by_name(change, message):
    arguments = {"problems": PROBLEMS, "solver": "exact"}
    with pytest.raises(ValueError, match=message):
        by_name.solve_all(**arguments | change)


@pytest.mark.parametrize(
    "consume",
    [
        lambda: by_name.solve_all(PROBLEMS, "greedy", desc="bar"),
        lambda: [samples for _, samples in zip(PROBLEMS, by_name.sample_all(PROBLEMS, "greedy", desc="bar"))],
    ],
)
def test_the_bar_ends_full(consume, capsys):
    consume()
    assert "100%" in capsys.readouterr().err.split("\r")[-1]


def test_answers_without_proof_are_counted_once():
    rng = np.random.default_rng(0)
    J = rng.normal(size=(40, 40))
    hard = feature_selection.Problem(np.arange(40), -rng.random(40), J + J.T, 40)
    easy = feature_selection.Problem([0, 1], [-1, -0.5], np.eye(2), 40)  # its bound needs no search
    with pytest.warns(UserWarning, match="2 of 3 answers are not proven .*: give a longer time_limit") as caught:
        _, infos = by_name.solve_all([hard, easy, hard], "exact", beta=0.5, time_limit=0)
    assert len(caught) == 1 and [info["proven"] for info in infos] == [False, True, False]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_name.solve_all(PROBLEMS, "exact")


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: baselines.first_k([[1.0, 1.0]], [1], [[0]]), "rank"),
        (lambda: baselines.first_k([[1.0, 1.0]], [1], [[np.nan, 1]]), "rank"),
        (lambda: baselines.first_k([[1.0, 1.0]], [1], [[np.inf, 1]]), "rank"),
        (lambda: baselines.first_k([[1.0, 1.0]], [0.5], [[0, 1]]), "k must be"),
        (lambda: baselines.top_k("abc", [1]), "importance"),
        (lambda: baselines.top_k([[1.0]], ["one"]), "k must be"),
        (lambda: baselines.random_k([[1.0]], [1], seed="seed"), "seed"),
        (lambda: by_name.image_seeds(0, -1), "count"),
        (lambda: reads.success([5], 4, 2), "hits"),
        (lambda: reads.success([0.5], 4, 2), "hits"),
        (lambda: reads.success([1], 0, 1), "reads"),
        (lambda: reads.success([1], 4, 0), "drawn"),
        (lambda: reads.reads_needed("p"), "probability"),
        (lambda: reads.reads_needed([0.5], 1), "confidence"),
        (lambda: baselines.lasso_order(np.zeros((0, 3)), []), "number of images"),
        (lambda: baselines.maximal_marginal_relevance(PROBLEMS, [1]), "k must be"),
    ],
)
def test_comparisons_refuse_by_name(call, name):
    with pytest.raises(ValueError, match=name):
        call()


def test_importance_of_any_kind_gives_the_same_maps():
    alpha = np.array([[3, 0, 5, 1]])
    columns = pd.DataFrame(alpha)
    for given in (alpha.astype(np.uint8), alpha.tolist(), torch.tensor(alpha), columns, iter(alpha.tolist())):
        assert baselines.top_k(given, pd.Series([2])).tolist() == [[True, False, True, False]]


@pytest.mark.parametrize("scale", [1e-13, 1e-9, 1e200])
def test_lasso_order_does_not_depend_on_scale(scale):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 5)), rng.normal(size=30)
    expected = baselines.lasso_order(X, y)
    assert sorted(expected)[0] == 0 and baselines.lasso_order(X * scale, y).tolist() == expected.tolist()
    if scale < 1:
        assert baselines.lasso_order(X, y * scale).tolist() == expected.tolist()
    assert baselines.lasso_order(np.full((30, 5), 1e5) + 1e-12, y).tolist() == [5] * 5


SMALL = dimod.BQM({0: -1.0, 1: 1.0, 2: -0.5}, {(0, 1): 1.0}, 0.0, "BINARY")
TIED = dimod.BQM({"c": 0.0, "a": 0.5, "b": -0.5}, {"ab": 0.5, "bc": 0.0}, 0.0, "SPIN")
ODD = {
    "timeout": [-1, None, np.nan, np.inf, "x", 2.5, 2**31, [1]],
    "num_restarts": [-1, None, 2**31],
    "num_reads": [0, -1, "x", np.nan, 2**31, 2**28],
    "seed": [-1, "x", 2**40],
    "tenure": [-1, 9, "x"],
    "energy_threshold": [np.nan, "x"],
    "lower_bound_z": [10**12],
    "coefficient_z_first": [-5],
    "coefficient_z_restart": ["x"],
    "beta_range": [[1, 2, 3], "ab", [np.nan, 1], [np.inf, 1], [-1, 1], 5],
    "beta_schedule": [[], [np.nan], "x"],
    "beta_schedule_type": ["steep", None],
    "num_sweeps": [0, -1, 10**9],
    "num_sweeps_per_beta": [0, None, "x"],
    "initial_states": [5, object(), {0: 5}, "abc"],
    "initial_states_generator": ["none of these", None],
    "interrupt_function": [5],
    "randomize_order": ["yes"],
    "proposal_acceptance_criteria": ["any"],
    "large_sparse_opt": ["yes"],
    "time_limit": [0, -1, np.nan, np.inf],
    "max_num_samples": [0, None, "x", 2**30],
}
OF_DWAVE = ["simulated_annealing", "path_integral", "tabu", "steepest_descent", "random"]


def test_every_option_of_dwave_samplers_is_checked():
    known = {option for name in OF_DWAVE for option in by_name.solver(name).parameters}
    assert known == options.CHECKS.keys() == ODD.keys()


@pytest.mark.parametrize(
    "name, option", [(name, option) for name in OF_DWAVE for option in sorted(by_name.solver(name).parameters)]
)
def test_options_that_never_end_or_end_raw_are_refused_by_name(name, option):
    for odd in ODD[option]:
        with pytest.raises(ValueError, match=option):
            by_name.solver(name).sample(SMALL, **{option: odd})


@pytest.mark.parametrize(
    "name, options",
    [
        ("tabu", {"timeout": 3.0, "tenure": np.int64(1)}),
        ("tabu", {"timeout": None, "num_restarts": 1}),
        ("simulated_annealing", {"beta_range": np.array([0.1, 5.0]), "num_reads": 20.0, "randomize_order": True}),
        (
            "simulated_annealing",
            {"beta_schedule": np.linspace(0, 5, 99), "beta_schedule_type": "custom", "num_reads": 9},
        ),
        ("steepest_descent", {"initial_states": ([[1, 0, 1], [0, 0, 0]], [0, 1, 2]), "seed": None}),
        ("random", {"time_limit": 0.05}),
    ],
)
def test_options_in_other_types_are_taken(name, options):
    assert by_name.solver(name).sample(SMALL, **options).first.energy == -1.5


def test_a_guarded_solver_draws_what_the_sampler_itself_draws():
    bqm = PROBLEMS[0].bqm()
    for name in OF_DWAVE:
        given = by_name.TRIALS[name] | {"seed": 3}
        ours, theirs = (sampler.sample(bqm, **given) for sampler in (by_name.solver(name), by_name.SOLVERS[name]()))
        assert np.array_equal(ours.record.sample, theirs.record.sample)


@pytest.mark.parametrize("bqm", [p.bqm(beta) for p in PROBLEMS for beta in (0.0, 0.7, 1.0)] + [SMALL, TIED])
def test_temperatures_are_those_of_the_sampler(bqm):
    for model in (bqm, bqm.change_vartype("SPIN", inplace=False)):
        theirs = SimulatedAnnealingSampler().sample(model, seed=1)
        assert (
            by_name.solver("simulated_annealing").sample(model, seed=1).info["beta_range"] == theirs.info["beta_range"]
        )
        assert options.beta_range(model) == theirs.info["beta_range"]


def test_a_model_of_zeros_is_left_to_the_sampler():
    with pytest.warns(UserWarning, match="biases are zero"):
        by_name.solver("simulated_annealing").sample(dimod.BQM({0: 0.0, 1: 0.0}, {(0, 1): 0.0}, 1.0, "SPIN"))


@pytest.mark.parametrize("name", LOCAL)
def test_models_of_no_variables_and_of_fractions(name):
    for vartype in ("BINARY", "SPIN"):
        assert by_name.solver(name).sample(dimod.BQM({}, {}, 2.0, vartype)).first[:2] == ({}, 2.0)
    fractions = dimod.BQM({0: Fraction(-1), 1: Fraction(1, 2)}, {(0, 1): Fraction(1, 4)}, 0, "BINARY", dtype=object)
    noisy = {"emulated_qpu": {"num_reads": 20, "seed": 0}}
    found = by_name.solver(name).sample(fractions, **(by_name.TRIALS | noisy).get(name, {})).first
    assert found.energy == dimod.ExactSolver().sample(fractions).first.energy or name == "schrodinger"


def test_a_description_of_any_kind():
    odd, usual = (by_name.solve_all(PROBLEMS, "greedy", desc=desc)[0] for desc in (5, None))
    assert np.array_equal(odd, usual)
