"""Time to solution by hand and on curves that are known; a call's cost, and the size at which it pays."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import qutip

from qafs_utils.annealing import ising, schedules
from qafs_utils.annealing.processors import processors
from qafs_utils.artefacts.files import PUBLISHED
from qafs_utils.plots import real_annealer as plots
from qafs_utils.qubo import feature_selection
from qafs_utils.qubo.feature_selection import Problem
from qafs_utils.solvers import call_cost, processor_graphs
from qafs_utils.solvers import time_to_solution as tts

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import solvers as solver_times  # noqa: E402

RNG = np.random.default_rng(3)
PROBLEMS = feature_selection.problems(RNG.random((3, 6, 4, 4)), RNG.uniform(0.2, 1, (3, 6)))
TIMES = (1, 2, 4, 8)


def test_the_formula_by_hand():
    assert tts.time_to_solution(0.5, 3.0) == pytest.approx(3 * np.log(100) / np.log(2))
    assert tts.time_to_solution(0.9, 1.0) == pytest.approx(2.0)  # two reads miss in one of a hundred
    assert tts.time_to_solution(0.999, 7.0) == 7.0  # one read at least
    assert tts.time_to_solution(0.9, 1.0, overhead=4.0) == pytest.approx(10.0)
    assert tts.time_to_solution(0.75, 1.0, confidence=0.9375) == pytest.approx(2.0)
    assert np.isinf(tts.time_to_solution(0.0, 1.0))


def test_times_follow_the_last_axis():
    found = tts.time_to_solution([[0.9, 0.99], [0.99, 0.9]], [1.0, 10.0])
    np.testing.assert_allclose(found, [[2, 10], [1, 20]])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([1.2], 1.0), r"probability must lie in \[0, 1\], got 1.2"),
        (([-0.1], 1.0), "probability must lie in"),
        (([np.nan], 1.0), "probability must be finite"),
        (([0.5], 0.0), r"time must lie in \(0, inf\), got 0"),
        (([0.5], [1.0, -2.0]), "time must lie in"),
        (([0.5, 0.5], [1.0, 2.0, 3.0]), r"fit the last axes of probability \(2,\), got \(3,\)"),
    ],
)
def test_wrong_probabilities_and_times(arguments, message):
    with pytest.raises(ValueError, match=message):
        tts.time_to_solution(*arguments)


@pytest.mark.parametrize("options", [{"overhead": -1.0}, {"overhead": np.inf}, {"confidence": 1.0}])
def test_wrong_overheads_and_confidences(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be a number in"):
        tts.time_to_solution([0.5], 1.0, **options)


@pytest.mark.parametrize("reads", [1, 20, 1000])
def test_no_hit_leaves_the_probability_that_has_none_in_five_percent(reads):
    assert (1 - tts.largest_probability(reads)) ** reads == pytest.approx(0.05)


def test_where_the_best_time_lies():
    table = tts.optimal(
        TIMES,
        [
            [9, 6, 5, 8],  # between the ends
            [2, 7, 5, 8],  # there too, and a guess is faster
            [2, 4, 6, 9],  # a guess alone
            [40, 30, 20, 10],  # longer is better
            [1, 9, 8, 8],  # falls to a plateau that is not left: no minimum, and the shortest is least
            [19, 16, 17, 15],  # the second one may be deeper
            [np.inf] * 4,
            [np.inf, 50, 60, np.inf],
        ],
    )
    places = ["interior", "interior", "shortest", "longest", "shortest", "longest", "no hit", "interior"]
    assert table.place.tolist() == places
    assert table.time.tolist() == [4, 4, 1, 8, 1, 8, 8, 2]
    assert table.tts.tolist() == [5, 5, 2, 10, 1, 15, np.inf, 50]
    assert table.at_shortest.tolist() == [9, 2, 2, 40, 1, 19, np.inf, np.inf]
    assert table.certain.tolist() == [True, True, True, False, True, False, False, False]


@pytest.mark.parametrize(
    "times, values, message",
    [
        ([], [[]], "T, the number of times, must be a whole number of at least 3, got 0"),
        ([1, 2], [[3, 3]], "T, the number of times, must be .* at least 3, got 2"),
        ([1, 4, 2], [[9, 9, 9]], r"times must rise, got .*: sort them"),
        ([0, 1, 2], [[9, 9, 9]], r"times must lie in \(0, inf\)"),
        (TIMES, [[9, 9, 9]], r"tts must be \(B, T\)"),
        (TIMES, [[9, 9, 9, 7]], "tts must be at least the time of a read"),
        (TIMES, [[9, 9, 9, np.nan]], "not NaN"),
    ],
)
def test_wrong_grids(times, values, message):
    with pytest.raises(ValueError, match=message):
        tts.optimal(times, values)


def curve(scale):
    """Success of problems whose anneals need a time `scale`: its best time is near 2.15 scale."""
    scale = np.asarray(scale, dtype=float)
    return lambda time, which: 1 - np.exp(-((time / scale[which]) ** 2))


def test_times_are_extended_until_no_longer_one_can_be_better():
    tried = []

    def success(time, which):
        tried.append((time, which.tolist()))
        return curve([2, 30, 400])(time, which)

    table = tts.search(success, [5, 6, 7], TIMES, longest=4096)
    assert table.place.tolist() == ["interior"] * 3 and table.certain.all() and not table.censored.any()
    fine = np.geomspace(1e-3, 1e4, 4000)
    least = [tts.time_to_solution(curve([s])(fine, np.array([0])), fine)[fine > s].min() for s in (2, 30, 400)]
    assert (table.tts >= least).all() and (table.tts < 1.5 * np.array(least)).all()  # the grid has factors of two
    assert tried[:4] == [(1, [0, 1, 2]), (2, [0, 1, 2]), (4, [0, 1, 2]), (8, [1, 2])]  # of 0 it is 4
    assert tried[4] == (16, [1, 2]) and tried[-1][1] == [2]
    assert tried[-1][0] <= 2 * table.tts.max()


def test_what_the_longest_time_cuts_off_is_not_interior():
    table = tts.search(curve([2, 400]), [5, 7], TIMES, longest=100)
    assert table.place.tolist() == ["interior", "longest"] and table.certain.tolist() == [True, False]
    assert table.time[1] == 64 and "1 of 2 minima are not interior (longest: 1)" == tts.exponent(table)["why"]


def test_times_that_are_not_tried_change_nothing():
    scale = np.geomspace(1, 100, 9)
    searched = tts.search(curve(scale), [5] * 9, np.geomspace(0.5, 1024, 12), longest=1024)
    times = np.geomspace(0.5, 1024, 12)
    values = [tts.time_to_solution(curve([s])(times, np.array([0])), times) for s in scale]
    all_tried = tts.optimal(times, values)
    pd.testing.assert_frame_equal(searched[all_tried.columns], all_tried, check_dtype=False)


def test_an_overhead_asks_for_longer_reads():
    alone, called = (tts.search(curve([4]), [5], TIMES, longest=999, overhead=o).iloc[0] for o in (0.0, 100.0))
    assert called.time >= alone.time and called.tts > 100
    assert called.tts == pytest.approx((called.time + 100) * max(1, np.log(100) / (called.time / 4) ** 2))


def test_no_hit_is_a_lower_bound():
    def success(time, which):
        return np.where(which == 0, 0.5, 0.0)

    table = tts.search(success, [5, 5], TIMES, longest=8, reads=100)
    assert table.censored.tolist() == [False, True] and table.place[1] == "no hit"
    p = tts.largest_probability(100)
    assert table.tts[1] == pytest.approx(np.log(0.01) / np.log(1 - p))  # of the shortest time, 1: about 154
    known = tts.search(success, [5, 5], TIMES, longest=8)
    assert np.isinf(known.tts[1])


@pytest.mark.parametrize(
    "success, options, message",
    [
        (
            lambda time, which: np.full(1, 0.5),
            {"longest": 2},
            "longest must be at least the last of the times, 8, got 2",
        ),
        (lambda time, which: np.full(2, 0.5), {"longest": 8}, "probabilities of success must be"),
        (lambda time, which: np.full(1, 1.5), {"longest": 8}, r"probability must lie in \[0, 1\]"),
        (lambda time, which: np.full(1, 0.0), {"longest": 8, "reads": 0}, "reads must be a whole number of at least 1"),
    ],
)
def test_wrong_searches(success, options, message):
    with pytest.raises(ValueError, match=message):
        tts.search(success, [5], TIMES, **options)


def qutip_fidelity(energies, time, driver, A, B):
    """Probability of the least energies at the end of H = A(s) H_D + B(s) diag(energies)."""
    d = len(energies).bit_length() - 1
    places = [[qutip.sigmax() if p == q else qutip.qeye(2) for q in reversed(range(d))] for p in range(d)]
    H_D = driver * sum(qutip.tensor(place) for place in places)
    H_P = qutip.Qobj(np.diag(energies), dims=H_D.dims)
    start = H_D.groundstate()[1]
    options = {"atol": 1e-10, "rtol": 1e-9, "nsteps": 10**6, "max_step": time / 200}
    H = qutip.QobjEvo([[H_D, lambda t: A(t / time)], [H_P, lambda t: B(t / time)]])
    end = qutip.sesolve(H, start, [0, time], options=options).states[-1].full().ravel()
    return (abs(end[energies < energies.min() + 1e-9]) ** 2).sum()


def by_enumeration(model):
    """Energies of all bit-strings or spins by dimod, bit p of an index being variable p."""
    d, low = model.num_variables, min(model.vartype.value)
    values = [[1 if k >> p & 1 else low for p in range(d)] for k in range(2**d)]
    return model.energies((values, list(model.variables)))


def test_anneals_are_qutips():
    problem = Problem([0, 1, 2], [-1.0, -0.8, -0.3], [[1, 0.9, 0.2], [0.9, 1, 0.4], [0.2, 0.4, 1]], 3)
    times = (5.0, 10.0, 20.0, 40.0)
    found = tts.anneals([problem], times, longest=40, driver="uniform").iloc[0]
    levels = by_enumeration(problem.bqm())
    p = [qutip_fidelity(levels, time, -1.0, lambda s: 1 - s, lambda s: s) for time in times]
    values = np.array(times) * np.maximum(1, np.log(0.01) / np.log1p(-np.minimum(p, 0.99)))
    assert found.at_shortest == pytest.approx(values[0], rel=1e-2)
    assert found.tts == pytest.approx(values[times.index(found.time)], rel=1e-2)


def test_a_processors_anneals_are_qutips_in_radians_a_nanosecond():
    problem, times = Problem([0, 1], [-1.0, -0.9], [[1.0, 0.3], [0.3, 1.0]], 2), (5.0, 6.0, 7.0)
    found = tts.processor_anneals([problem], "Advantage_system6", "fast", times, longest=7).iloc[0]
    schedule = schedules.of_processor("Advantage_system6", "fast")
    levels = by_enumeration(ising.as_taken(problem.bqm(), "fast").bqm())
    assert len(levels) == 2**3  # an ancilla for the fields
    p = qutip_fidelity(levels, 5.0, -1.0, lambda s: float(schedule.A(s)), lambda s: float(schedule.B(s)))
    assert found.at_shortest == pytest.approx(5 * max(1, np.log(0.01) / np.log1p(-min(p, 0.99))), rel=1e-2)
    assert found.unit == "ns"


def test_problems_of_several_sizes_and_networks_keep_their_order():
    small = Problem([0, 1], [-1.0, -0.9], [[1.0, 0.95], [0.95, 1.0]], 2)
    together = tts.anneals([PROBLEMS[0], small, PROBLEMS[1]], (5, 20, 80, 320), longest=1000)
    alone = [tts.anneals([p], (5, 20, 80, 320), longest=1000).iloc[0] for p in (PROBLEMS[0], small, PROBLEMS[1])]
    assert together.d.tolist() == [6, 2, 6]
    np.testing.assert_allclose(together.tts, [row.tts for row in alone], rtol=2e-3)


@pytest.mark.parametrize("kind", tts.SWEEPING)
def test_reads_of_classical_annealers_are_counted(kind):
    options = {"longest": 64, "reads": 400, "beta": 0.6}
    found = tts.sampler_reads(PROBLEMS, kind, (1, 4, 16), seed=1, **options)
    pd.testing.assert_frame_equal(found, tts.sampler_reads(PROBLEMS, kind, (1, 4, 16), seed=1, **options))
    assert not found.equals(tts.sampler_reads(PROBLEMS, kind, (1, 4, 16), seed=2, **options))
    sampler = tts.solver(kind)
    for problem, row in zip(PROBLEMS, found.itertuples()):
        least = by_enumeration(problem.bqm(0.6)).min()
        record = sampler.sample(problem.bqm(0.6), num_reads=4000, num_sweeps=int(row.time), seed=5).record
        p = (record.energy < least + 1e-9).mean()
        assert row.tts == pytest.approx(float(tts.time_to_solution(p, row.time)), rel=0.5)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: tts.sampler_reads(PROBLEMS, "tabu"), "unknown kind 'tabu': choose from simulated_annealing, path"),
        (lambda: tts.sampler_reads(PROBLEMS, "path_integral", (1, 2.5, 4)), "sweeps must be a whole number .* got 2.5"),
        (lambda: tts.sampler_reads(PROBLEMS, "path_integral", reads=0), "reads must be a whole number"),
        (lambda: tts.sampler_reads(PROBLEMS, "path_integral", time_limit=0.0), "not proven: give a longer time_limit"),
        (lambda: tts.processor_anneals(PROBLEMS, "2000Q"), "unknown processor '2000Q': choose from Advantage2"),
        (
            lambda: tts.processor_anneals(PROBLEMS, "Advantage_system4", times=(1, 5, 9)),
            "the fast protocol anneals in 5",
        ),
        (lambda: tts.processor_anneals(PROBLEMS, "Advantage_system4", "slow"), "unknown protocol 'slow'"),
        (lambda: tts.anneals([]), "B, the number of problems, must be a whole number of at least 1"),
        (lambda: tts.anneals([1]), "list of feature_selection.Problem, got one of int"),
        (lambda: tts.anneals(PROBLEMS, ()), "T, the number of times, must be a whole number of at least 3, got 0"),
    ],
)
def test_wrong_trials(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def noisy(exponent=0.3, place="interior", sizes=range(5, 15), images=20):
    d = np.repeat(list(sizes), images)
    values = 40 * 2 ** (exponent * d) * np.random.default_rng(0).lognormal(0, 0.5, len(d))
    return pd.DataFrame({"instance": range(len(d)), "d": d, "tts": values, "place": place, "censored": False})


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_exponent_of_noisy_values_is_inside_its_interval(level):
    fit = tts.exponent(noisy(), level=level, n_resamples=300)
    assert fit["low"] < 0.3 < fit["high"] and fit["high"] - fit["low"] < 0.2
    assert fit["exponent"] == pytest.approx(0.3, abs=0.05)
    assert tts.exponent(noisy(0.8), level=level, n_resamples=300)["low"] > 0.6


def test_an_exponent_without_noise():
    d = np.array([4, 6, 6, 9])
    table = pd.DataFrame(
        {"d": d, "tts": 3 * 2 ** (0.25 * d), "place": "interior", "censored": False, "instance": range(4)}
    )
    fit = tts.exponent(table, n_resamples=50)
    np.testing.assert_allclose([fit["exponent"], fit["low"], fit["high"], fit["prefactor"]], [0.25, 0.25, 0.25, 3])


@pytest.mark.parametrize("place", ["shortest", "longest", "no hit"])
def test_no_exponent_is_fitted_unless_all_minima_are_interior(place):
    table = noisy()
    table.loc[7, "place"] = place
    fit = tts.exponent(table, n_resamples=10)
    assert fit["why"] == f"1 of 200 minima are not interior ({place}: 1)"
    assert np.isnan([fit[name] for name in ("exponent", "low", "high", "prefactor")]).all()
    allowed = tts.exponent(table, places=("interior", place), n_resamples=10)
    assert allowed["exponent"] == tts.exponent(noisy(), n_resamples=10)["exponent"]
    assert tts.exponent(noisy(sizes=[5]), n_resamples=10)["why"] == "there is one d only"


def test_quantiles_by_hand():
    table = pd.DataFrame({"solver": "a", "unit": "ns", "d": [5] * 5 + [6], "tts": [5.0, 1, 2, 4, 3, 7]})
    table = table.assign(place="interior", censored=[True] + [False] * 5)
    found = tts.quantiles(table, n_resamples=200).set_index(["d", "level"])
    assert found.tts.tolist() == [3, 5, 7, 7]
    assert found.censored.tolist() == [False, True, False, False]  # the bound 5 says nothing on the median of 3
    assert found.loc[(5, 0.5), "low"] < 3 < found.loc[(5, 0.5), "high"] and np.isnan(found.loc[(6, 0.5), "low"])
    low_bound = table.assign(censored=[False, True] + [False] * 4)  # a bound of 1 may hide any value
    assert tts.quantiles(low_bound, n_resamples=9).censored.tolist() == [True, True, False, False]
    table.loc[2, "place"] = "longest"
    assert tts.quantiles(table, n_resamples=9).interior.tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: tts.exponent(noisy().drop(columns="place")), "table has no column place"),
        (lambda: tts.exponent(noisy()[:0]), "table must be a DataFrame of one or more problems"),
        (lambda: tts.exponent(noisy(), places=["end"]), "unknown place 'end': choose from interior, shortest"),
        (lambda: tts.exponent(noisy(), level=2), "level must be a number in"),
        (lambda: tts.exponent(noisy().assign(solver=["a", "b"] * 100)), "table must be of one solver, got a, b"),
        (lambda: tts.quantiles(noisy(), ["d"], levels=[1.5]), "levels must lie in"),
        (lambda: tts.quantiles(noisy()), "table has no column solver, unit"),
    ],
)
def test_wrong_tables(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_call_by_hand():
    """Advantage_system4: 14.1 ms of programming, 17 to 235 us of readout, 20.5 us of delay."""
    seconds = call_cost.call_seconds("Advantage_system4", 5627, 100, anneal_us=20)
    assert seconds == pytest.approx((14100 + 100 * (20 + 235 + 20.5)) * 1e-6)
    fast = call_cost.call_seconds("Advantage_system4", 1, anneal_us=0.005)
    assert fast == pytest.approx((14100 + 0.005 + 17 + 20.5) * 1e-6)


def test_a_call_is_programming_before_all():
    seconds = {name: call_cost.call_seconds(name, found.qubits) for name, found in processors().items()}
    assert min(seconds.values()) > 0.008 and max(seconds.values()) < 0.034
    for name, processor in processors().items():
        assert seconds[name] < 1.03 * processor.programming_us * 1e-6


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: call_cost.call_seconds("2000Q", 1), "unknown processor '2000Q'"),
        (lambda: call_cost.call_seconds("Advantage_system4", 1, 0), "num_reads must be"),
        (lambda: call_cost.call_seconds("Advantage_system4", 1, anneal_us=0), "annealing_time must be"),
        (lambda: call_cost.call_seconds("Advantage_system4", 9999), "qubits must be a whole number from 1 to 5627"),
        (lambda: call_cost.most_important(PROBLEMS[0], 7), "d, of the problem's candidates, must be .* from 1 to 6"),
        (lambda: call_cost.proof_seconds(PROBLEMS, repeats=0), "repeats must be a whole number"),
        (
            lambda: call_cost.proof_seconds(PROBLEMS, time_limit=0.0),
            "image 0: its optimum at d = 6 is not proven: give",
        ),
    ],
)
def test_wrong_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_calls_for_dense_problems_read_all_qubits_of_their_chains():
    table = call_cost.call_costs(["Advantage2_system4"], [10, 500], reads=7)
    chains = processor_graphs.clique("Advantage2_system4", 10)
    assert table.qubits[0] == sum(map(len, chains.values()))
    hand = call_cost.call_seconds("Advantage2_system4", table.qubits[0], 7)
    assert table.seconds[0] == hand and np.isnan(table.seconds[1]) and table.qubits.isna().tolist() == [False, True]


def test_the_most_important_maps_are_those_of_lowest_field():
    for d in range(1, 7):
        part = call_cost.most_important(PROBLEMS[0], d)
        assert set(part.maps) == {PROBLEMS[0].maps[i] for i in np.argsort(PROBLEMS[0].field)[:d]}
        assert part.field.min() == -1 and (np.diff(part.maps) > 0).all() and part.n_features == 6
        bits = np.zeros(6, bool)
        bits[part.maps[::2]] = True
        assert part.energy(bits) == pytest.approx(PROBLEMS[0].energy(bits))
    assert call_cost.most_important(PROBLEMS[0], 6).bqm() == PROBLEMS[0].bqm()


def test_proofs_are_timed_one_by_one():
    table = call_cost.proof_seconds(PROBLEMS[:2], [2, 6, 9], beta=0.5, repeats=2)
    assert table.loc[:, :"beta"].values.tolist() == [[0, 2, 0.5], [0, 6, 0.5], [1, 2, 0.5], [1, 6, 0.5]]
    assert (table.least > 0).all() and (table.seconds >= table.least).all() and (table.nodes >= 1).all()
    assert call_cost.proof_seconds(PROBLEMS, repeats=1).d.tolist() == [6, 6, 6]


def line(slope=0.02, law="exponential", images=8, sizes=(50, 100, 150, 200), noise=0.0):
    d = np.tile(sizes, images)
    x = d if law == "exponential" else np.log(d)
    logs = np.log(1e-3) + slope * x + noise * np.random.default_rng(0).normal(size=len(d))
    return pd.DataFrame({"image": np.repeat(range(images), len(sizes)), "d": d, "seconds": np.exp(logs)})


@pytest.mark.parametrize("law, slope", [("exponential", 0.02), ("power", 1.5)])
def test_break_even_on_a_line(law, slope):
    table, x = line(slope, law), 120 if law == "exponential" else np.log(120)
    found = call_cost.break_even(table, 1e-3 * np.exp(slope * x), largest=110, law=law, n_resamples=50)
    np.testing.assert_allclose([found["d"], found["low"], found["high"], found["exponent"]], [120, 120, 120, slope])
    assert 115 < found["measured"] < 125 and not found["extrapolated"] and found["beyond"]
    far = call_cost.break_even(
        table, 1e-3 * np.exp(slope * 300 if law == "exponential" else slope * np.log(300)), law=law
    )
    assert far["d"] == pytest.approx(300) and far["extrapolated"] and np.isnan(far["measured"]) and not far["beyond"]


def test_break_even_within_its_interval():
    found = call_cost.break_even(line(noise=0.4, images=20), 1e-3 * np.exp(0.02 * 170), largest=177, n_resamples=300)
    assert found["low"] < 170 < found["high"] and found["high"] - found["low"] < 40 and not found["beyond"]


def test_break_even_of_what_does_not_grow_or_is_above_from_the_start():
    assert np.isinf(call_cost.break_even(line(0.0), 1.0, largest=177, n_resamples=9)["d"])
    assert call_cost.break_even(line(0.02), 1e-6, n_resamples=9)["d"] == 0
    slow_start = pd.concat([line(), pd.DataFrame({"image": 0, "d": [4, 8], "seconds": 1.0})])
    assert call_cost.break_even(slow_start, 0.02, from_d=50)["exponent"] == pytest.approx(0.02)


@pytest.mark.parametrize(
    "table, options, message",
    [
        (line(), {"seconds": 0.0}, r"seconds must be a number in \(0, inf\)"),
        (line(), {"law": "linear"}, "unknown law 'linear': choose from power, exponential"),
        (line().drop(columns="image"), {}, "with the columns image, d and seconds; not there: image"),
        (line(sizes=(50,)), {}, "two d or more from 1 on, got 1"),
        (line(), {"from_d": 180}, "two d or more from 180 on, got 1"),
        (line().assign(beta=[0.5, 0.7] * 16), {}, "table must be of one beta"),
        (line(), {"level": 1.1}, "level must be a number in"),
        ([1], {}, "table must be a DataFrame"),
    ],
)
def test_wrong_break_evens(table, options, message):
    with pytest.raises(ValueError, match=message):
        call_cost.break_even(table, **{"seconds": 0.01} | options)


@pytest.mark.skipif(not (PUBLISHED / "02_maps_nf16.npz").exists(), reason="needs the published maps")
def test_the_benchmark_times_each_proof():
    table = solver_times.proofs(2, [16], [0.5, 0.7], sizes=(3,))
    assert list(table.columns) == ["n_features", "part", "image", "d", "beta", "seconds", "least", "nodes"]
    assert table.groupby(["part", "beta"]).size().tolist() == [2] * 4
    assert table[table.part == "most important"].d.tolist() == [3] * 4
    maps, importance = solver_times.stored(16)
    assert table.d[table.part == "whole"].tolist() == 2 * [(importance[i] > 0).sum() for i in (0, len(maps) - 1)]


def test_symbols_are_open_where_the_minimum_is_not_interior_and_arrows_where_it_is_a_bound():
    rows = [(5, True, False), (6, False, False), (7, False, True)]
    table = pd.DataFrame(rows, columns=["d", "interior", "censored"])
    table = table.assign(solver="simulated_annealing", unit="sweeps", level=0.5, tts=9.0, low=8.0, high=np.nan)
    proofs = pd.DataFrame({"d": [16, 64], "beta": [0.5, 0.5], "seconds": [1e-3, 1e-2]})
    calls = pd.DataFrame({"processor": "Advantage_system6", "d": [16, 64, 200], "seconds": [0.014, 0.015, np.nan]})
    figure = plots.time_to_solution(table, proofs, calls, {"Advantage_system6": 174})
    left, right = figure.axes
    shown = {
        float(line.get_xdata()[0]): (line.get_marker(), line.get_markerfacecolor() == "w")
        for line in left.lines
        if len(line.get_xdata()) == 1
    }
    assert shown == {5.0: ("s", False), 6.0: ("s", True), 7.0: ("$\\uparrow$", True)}
    call = next(line for line in right.lines if line.get_label() == "Advantage system6")
    assert list(call.get_xdata()) == [16, 64, 174] and call.get_ydata()[-1] == 0.015
    assert [174, 174] in [list(line.get_xdata()) for line in right.lines]
