"""Smallest sufficient sets: against enumeration of all subsets, and the properties that the other sets must have."""

import itertools

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from qafs_utils.explanations import heuristic_sets, sufficient
from qafs_utils.explanations.carried import LinearClassifier
from qafs_utils.qubo import feature_selection, landscape
from qafs_utils.qubo.binary import bits, energies
from qafs_utils.solvers import branch_and_bound

SHARES = (0.0, 0.5, 0.9, 1.0)


def classifier(seed=0, images=5, n=9, classes=4, bias=0.3):
    """A random one, of the classes that it predicts."""
    rng = np.random.default_rng(seed)
    added, b = rng.normal(size=(images, n, classes)) * rng.random((1, n, 1)), bias * rng.normal(size=classes)
    return LinearClassifier(added, b, (added.sum(1) + b).argmax(1))


def over_rivals(of, i, kept):
    """Logit of the class minus each other one, written out."""
    logits, c = of.added[i][list(kept)].sum(0) + of.bias, of.target[i]
    return np.array([logits[c] - logit for other, logit in enumerate(logits) if other != c])


def margin(of, i, kept):
    return over_rivals(of, i, kept).min()


def subsets(maps):
    return itertools.chain.from_iterable(itertools.combinations(maps, k) for k in range(len(maps) + 1))


def fewest(of, i, share, maps):
    full = margin(of, i, range(of.added.shape[1]))
    for kept in subsets(maps):
        reached = margin(of, i, kept) / full
        if reached > 1e-9 if share == 0 else reached >= share - 1e-9:
            return len(kept)
    return np.inf


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_smallest_set_is_that_of_enumeration(share, restricted, seed):
    of = classifier(seed)
    among = np.random.default_rng(seed).random(of.added.shape[:2]) < 0.6 if restricted else None
    selected, table = sufficient.smallest_sufficient(of, share, among=among)
    for i, row in table.iterrows():
        maps = range(9) if among is None else np.flatnonzero(among[i])
        size = fewest(of, i, share, maps)
        assert row["size"] == row.bound == size
        assert row.status == ("infeasible" if np.isinf(size) else "proven")
        assert selected[i].sum() == (0 if np.isinf(size) else size)
        assert among is None or not (selected[i] & ~among[i]).any()
    kept = np.isfinite(table["size"].to_numpy())
    assert (sufficient.keeps(of, selected, share) | ~kept).all()


def test_infeasible_sets_are_found_and_have_a_name():
    of = classifier(1)
    among = np.zeros(of.added.shape[:2], bool)
    selected, table = sufficient.smallest_sufficient(of, 0.9, among=among)
    assert (table.status == "infeasible").all() and np.isinf(table["size"]).all() and not selected.any()


def test_of_sixteen_maps_as_by_all_65536_subsets():
    of = classifier(5, images=3, n=16, classes=10)
    every = np.arange(2**16)[:, None] >> np.arange(16) & 1
    for share in SHARES:
        _, table = sufficient.smallest_sufficient(of, share)
        for i in range(3):
            logits = every @ of.added[i] + of.bias
            own = logits[:, of.target[i]]
            reached = own - np.delete(logits, of.target[i], 1).max(1)
            enough = reached >= (share - 1e-9 if share else 1e-9) * reached[-1]
            assert table["size"][i] == every[enough].sum(1).min()


def test_a_share_of_the_margin_over_each_rival():
    of = classifier(3)
    selected, table = sufficient.smallest_sufficient(of, 0.8, each_rival=True)
    for i in range(5):
        goal = 0.8 * over_rivals(of, i, range(9)) - 1e-9
        sizes = [len(kept) for kept in subsets(range(9)) if (over_rivals(of, i, kept) >= goal).all()]
        assert table["size"][i] == min(sizes) == selected[i].sum()
    _, least = sufficient.smallest_sufficient(of, 0.8)
    assert (table["size"] >= least["size"]).all()  # a share over each rival is one of the least, too


@pytest.mark.parametrize("seed", [2, 6, 7])
def test_sets_of_almost_all_of_few_maps_are_proven_too(seed):
    """Their sizes lie far above the relaxation's bound, so that nothing is decided by its costs."""
    of = classifier(seed, images=10, n=8, classes=10)
    _, table = sufficient.smallest_sufficient(of, 1.0, each_rival=True)
    for i, row in table.iterrows():
        goal = over_rivals(of, i, range(8)) - 1e-9
        sizes = [len(kept) for kept in subsets(range(8)) if (over_rivals(of, i, kept) >= goal).all()]
        assert row["size"] == row.bound == min(sizes) and row.status == "proven"


def test_of_five_hundred_maps_the_bound_agrees_with_the_linear_relaxation():
    of = classifier(7, images=2, n=512, classes=10)
    selected, table = sufficient.smallest_sufficient(of, 0.9)
    assert (table.status == "proven").all() and sufficient.keeps(of, selected, 0.9).all()
    for i in range(2):
        c = of.target[i]
        gains = np.delete(of.added[i][:, [c]] - of.added[i], c, 1)
        start = np.delete(of.bias[c] - of.bias, c)
        goal = 0.9 * (start + gains.sum(0)).min()
        relaxed = linprog(np.ones(512), A_ub=-gains.T, b_ub=start - goal, bounds=(0, 1))
        assert np.ceil(relaxed.fun - 1e-6) <= table["size"][i] <= relaxed.fun + 9  # at most nine fractions to round up


@pytest.mark.parametrize("share", SHARES[1:])
def test_the_size_is_that_of_the_whole_integer_program(share):
    """All maps and rows at once to HiGHS: nothing fixed, no bound, no first guess."""
    of = classifier(13, images=12, n=60, classes=10)
    _, table = sufficient.smallest_sufficient(of, share)
    for i in range(12):
        c = of.target[i]
        gains, start = np.delete(of.added[i][:, [c]] - of.added[i], c, 1), np.delete(of.bias[c] - of.bias, c)
        row = LinearConstraint(gains.T, share * (start + gains.sum(0)).min() - start, np.inf)
        whole = milp(np.ones(60), constraints=row, integrality=1, bounds=Bounds(0, 1))
        assert table["size"][i] == table.bound[i] == round(whole.fun)


def test_a_share_that_only_fractions_of_maps_would_keep_is_infeasible():
    added = np.array([[[1.0, 2.0, 1.0], [0.0, -2.0, 3.0], [3.0, 2.0, -1.0], [2.0, 1.0, -2.0]]])
    of, among = LinearClassifier(added, np.zeros(3), np.array([0])), [True, True, True, False]
    gains = added[0, :3, [0]].T - added[0, :3, 1:]
    assert linprog(np.ones(3), A_ub=-gains.T, b_ub=-np.full(2, 1.5), bounds=(0, 1)).status == 0  # of the margin of 3
    assert fewest(of, 0, 0.5, range(3)) == np.inf
    _, table = sufficient.smallest_sufficient(of, 0.5, among=[among])
    assert table.status[0] == "infeasible" and np.isinf(table.bound[0])
    assert sufficient.smallest_sufficient(of, 0.5)[1]["size"][0] == fewest(of, 0, 0.5, range(4))


def test_a_row_that_rounding_would_accept_is_not_kept():
    """Two maps reach 1 - 1e-7 of what is asked for, within what HiGHS takes for feasible: three are needed."""
    added = np.array([[[0.5, 0.0], [0.5 - 1e-7, 0.0], [0.4, 0.0], [-0.15 + 1e-7, 0.0]]])
    of = LinearClassifier(added, np.zeros(2), np.array([0]))
    selected, table = sufficient.smallest_sufficient(of, 0.8)
    assert selected.tolist() == [[True, True, True, False]] and table["size"][0] == 3
    assert table.bound[0] <= 3 and (table.status[0] == "proven") == (table.bound[0] == 3)


def test_the_bias_alone_may_be_enough():
    of = LinearClassifier(np.full((1, 3, 2), 0.1), np.array([1.0, 0.0]), np.array([0]))
    selected, table = sufficient.smallest_sufficient(of, 1.0)
    assert not selected.any() and table.status[0] == "proven" and table["size"][0] == 0


def test_without_time_nothing_is_claimed():
    of = classifier(7, images=1, n=64, classes=10)
    selected, table = sufficient.smallest_sufficient(of, 1.0, time_limit=0.0)
    assert table.status[0] == "open" and np.isinf(table["size"][0]) and table.bound[0] == 2 and not selected.any()


@pytest.mark.parametrize("restricted", [False, True])
def test_the_smallest_set_to_remove_is_that_of_enumeration(restricted):
    of, n = classifier(11, images=8), 9
    among = np.random.default_rng(0).random((8, n)) < 0.4 if restricted else np.ones((8, n), bool)
    selected, sizes = sufficient.smallest_necessary(of, among=among)
    for i in range(8):
        losing = [s for s in subsets(np.flatnonzero(among[i])) if margin(of, i, set(range(n)) - set(s)) < 0]
        assert sizes[i] == min(map(len, losing), default=np.inf)
        if losing:
            assert margin(of, i, np.flatnonzero(~selected[i])) < 0
            assert selected[i].sum() == sizes[i] and not (selected[i] & ~among[i]).any()
        else:
            assert not selected[i].any()
    assert restricted == bool(np.isinf(sizes).any())  # both happen


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("ordered", [False, True])
def test_no_map_can_be_taken_from_a_one_minimal_set(share, ordered):
    of = classifier(2, images=12, n=14)
    last = np.random.default_rng(1).random((12, 14)) if ordered else None
    selected = heuristic_sets.one_minimal(of, share, last=last)
    assert sufficient.keeps(of, selected, share).all()
    smallest = sufficient.smallest_sufficient(of, share)[1]["size"]
    assert (selected.sum(1) >= smallest).all()
    for i, p in zip(*selected.nonzero()):
        fewer = selected.copy()
        fewer[i, p] = False
        assert not sufficient.keeps(of, fewer, share)[i]


def test_a_one_minimal_set_can_be_larger_than_the_smallest():
    added = np.array([[[2.0, 0.0], [1.0, 0.0], [1.0, 0.0]]])  # the margin is 4, half of it map 0, or maps 1 and 2
    of = LinearClassifier(added, np.zeros(2), np.array([0]))
    assert heuristic_sets.one_minimal(of, 0.75).tolist() == [[True, False, True]]
    three = np.array([[[1.9, 0.0], [1.0, 0.0], [1.0, 0.0], [0.1, 0.0]]])
    of = LinearClassifier(three, np.zeros(2), np.array([0]))  # 70 % of 4: map 0 and another, or 1, 2 and more
    assert heuristic_sets.one_minimal(of, 0.5).tolist() == [[False, True, True, False]]
    assert sufficient.smallest_sufficient(of, 0.475)[1]["size"][0] == 1


def test_maps_in_an_order_stop_at_the_first_prefix_that_is_enough():
    of = classifier(4, images=6, n=10)
    score, among = np.random.default_rng(3).random((6, 10)), np.random.default_rng(4).random((6, 10)) < 0.7
    selected = heuristic_sets.first_enough(of, score, 0.5, among=among)
    for i in range(6):
        order = [p for p in (-score[i]).argsort() if among[i, p]]
        full = margin(of, i, range(10))
        enough = [k for k in range(len(order) + 1) if margin(of, i, order[:k]) >= 0.5 * full - 1e-9 * full]
        expected = order[: enough[0]] if enough else order
        assert set(np.flatnonzero(selected[i])) == set(expected)
        assert (sufficient.sizes(of, selected, 0.5)[i] == len(expected)) == bool(enough)


@pytest.mark.parametrize("share", SHARES)
def test_the_greedy_set_keeps_the_share_and_each_step_leaves_the_least_missing(share):
    of = classifier(6, images=8, n=12)
    selected = heuristic_sets.greedy(of, share)
    sizes = sufficient.sizes(of, selected, share)
    assert np.isfinite(sizes).all() and (sizes >= sufficient.smallest_sufficient(of, share)[1]["size"]).all()

    def missing(i, kept, goal):
        return np.maximum(goal - over_rivals(of, i, kept), 0).sum()

    for i in range(8):
        full, kept = margin(of, i, range(12)), []
        goal = (share - 1e-9 if share else 1e-9) * full
        while margin(of, i, kept) < goal:
            left = [p for p in range(12) if p not in kept]
            kept.append(min(left, key=lambda p: missing(i, [*kept, p], goal)))
        assert set(np.flatnonzero(selected[i])) == set(kept)
    assert not heuristic_sets.greedy(of, share, among=np.zeros((8, 12), bool)).any()


def test_the_qubo_of_each_size_in_turn():
    rng = np.random.default_rng(8)
    maps, of = rng.random((4, 9, 3, 3)), classifier(8, images=4)
    problems = feature_selection.problems(maps, rng.normal(size=(4, 9)) + 0.5)
    selected = heuristic_sets.qubo_enough(of, problems, 0.5, beta=0.6)
    for i, problem in enumerate(problems):
        best = bits(landscape.best_of_size(energies(problem.bqm(0.6, "p!=q"))), problem.d)
        each = np.array([problem.selected(row) for row in best])
        full = margin(of, i, range(9))
        enough = [k for k, row in enumerate(each) if margin(of, i, np.flatnonzero(row)) >= (0.5 - 1e-9) * full]
        assert (selected[i] == each[enough[0] if enough else -1]).all()


def test_the_qubo_of_many_candidates_takes_large_steps_first():
    rng = np.random.default_rng(9)
    added = np.zeros((1, 80, 2))
    added[0, :, 0] = 1 / 80
    of = LinearClassifier(added, np.zeros(2), np.array([0]))  # every map counts the same: half of them are needed
    problems = feature_selection.problems(rng.random((1, 80, 2, 2)), rng.random((1, 80)) + 0.1)
    assert heuristic_sets.qubo_enough(of, problems, 0.45, beta=0.9).sum() == 36


def test_refused_by_name():
    of = classifier()
    with pytest.raises(ValueError, match="image 0: the full network does not have the margin .its class is"):
        wrong = LinearClassifier(of.added, of.bias, (of.target + 1) % 4)
        sufficient.smallest_sufficient(wrong, 0.5)
    with pytest.raises(ValueError, match="it ties with another class"):
        sufficient.smallest_necessary(LinearClassifier(np.zeros((1, 3, 2)), np.zeros(2), np.array([0])))
    for share in (-0.1, 1.5, np.nan, "half"):
        with pytest.raises(ValueError, match="share"):
            sufficient.smallest_sufficient(of, share)
    with pytest.raises(ValueError, match="among"):
        sufficient.smallest_sufficient(of, 0.5, among=np.ones((5, 8), bool))
    with pytest.raises(ValueError, match="score"):
        heuristic_sets.first_enough(of, np.full((5, 9), np.nan), 0.5)
    with pytest.raises(ValueError, match="problems"):
        heuristic_sets.qubo_enough(of, feature_selection.problems(np.ones((2, 9, 2, 2)), np.ones((2, 9))), 0.5)


def test_every_method_beside_the_proof():
    rng, of = np.random.default_rng(8), classifier(8, images=6, n=10)
    importance = rng.normal(size=(6, 10)) + 0.5
    problems = feature_selection.problems(rng.random((6, 10, 3, 3)), importance)
    found = heuristic_sets.needed(of, problems, importance, 0.9, betas=[0.7, 1.0])
    assert all((size >= found["smallest"]).all() for size in found.values())
    for key in ("top k", "QUBO 0.7", "QUBO 1", "random k"):
        assert (found[key] >= found["smallest candidates"]).all()
    assert (found["QUBO 1"] == found["top k"]).all()  # without redundancy the optimum of k maps is the top k
    with pytest.raises(RuntimeError, match="not proven: give a longer time_limit"):
        heuristic_sets.needed(of, problems, importance, 0.9, time_limit=0.0)


def test_summary_of_sizes():
    sizes = np.array([1.0, 2.0, 3.0, 4.0, np.inf])
    found = sufficient.summary(sizes, 16, n_resamples=200)
    assert (found["median"], found["q25"], found["q75"], found["never"]) == (3.0, 2.0, 4.0, 0.2)
    assert found["low"] <= 3 <= found["high"] <= 17
    assert sufficient.summary(np.full(5, np.inf), 16)["median"] == 17


def over_spread(of, i, kept):
    """Margin over the standard deviation of what the kept maps add to the ten logits, written out."""
    logits = of.added[i][list(kept)].sum(0)
    deviation = np.sqrt(((logits - logits.mean()) ** 2).mean())
    own = logits[of.target[i]]
    return (own - max(np.delete(logits, of.target[i]))) / deviation if deviation > 0 else 0.0


def test_the_measure_without_scale():
    of = classifier(4, images=12, n=10)
    score, among = np.random.default_rng(3).random((12, 10)), np.random.default_rng(4).random((12, 10)) < 0.4
    selected = heuristic_sets.first_enough(of, score, 0.8, among=among, scale_free=True)
    sizes = sufficient.sizes(of, selected, 0.8, scale_free=True)
    for i in range(12):
        order, full = [p for p in (-score[i]).argsort() if among[i, p]], over_spread(of, i, range(10))
        enough = [k for k in range(len(order) + 1) if full > 0 and over_spread(of, i, order[:k]) >= 0.8 * full - 1e-9]
        assert set(np.flatnonzero(selected[i])) == set(order[: enough[0]] if enough else order)
        assert sizes[i] == (enough[0] if enough else np.inf)
    assert np.isfinite(sizes).any() and np.isinf(sizes).any()
    weaker = LinearClassifier(0.01 * of.added, 0.01 * of.bias, of.target)  # all logits at a hundredth
    again = heuristic_sets.first_enough(weaker, score, 0.8, among=among, scale_free=True)
    assert (again == selected).all()


def test_without_a_margin_of_the_maps_nothing_keeps_a_share_of_it():
    of = LinearClassifier(np.array([[[1.0, 2.0, 0.0], [0.5, 0.0, 0.0]]]), np.array([5.0, 0.0, 0.0]), np.array([0]))
    selected = np.array([[False, True]])  # the bias wins the class, and this map would
    assert sufficient.relative_margins(of, selected, scale_free=True) == -np.inf
    assert not sufficient.keeps(of, selected, 0.0, scale_free=True)


@pytest.mark.parametrize("scale_free", [False, True])
def test_the_qubo_of_each_size_without_scale_and_at_a_raised_beta(scale_free):
    rng, of = np.random.default_rng(8), classifier(12, images=6, bias=0.0)
    problems = feature_selection.problems(rng.random((6, 9, 3, 3)), rng.normal(size=(6, 9)) + 0.8)
    exactly = heuristic_sets.qubo_enough(of, problems, 0.6, beta=0.6, scale_free=scale_free)
    raised = heuristic_sets.qubo_enough(of, problems, 0.6, by="beta", beta=0.6, scale_free=scale_free)
    measure = over_spread if scale_free else margin
    moved = 0
    for i, problem in enumerate(problems):

        def enough(kept, i=i):
            return measure(of, i, np.flatnonzero(kept)) >= (0.6 - 1e-9) * measure(of, i, range(9))

        rows = bits(landscape.best_of_size(energies(problem.bqm(0.6, "p!=q"))), problem.d)
        sets = [problem.selected(row) for row in rows]
        assert (exactly[i] == next(filter(enough, sets), sets[-1])).all()
        fine = 1 - np.geomspace(0.4, 0.0005, 1500)  # every optimum on the way, by enumeration
        every = [int(energies(problem.bqm(beta, "p!=q")).argmin()) for beta in fine]
        on_the_way = [problem.selected(bits(np.array([best]), problem.d)[0]) for best in dict.fromkeys(every)]
        on_the_way.append(problem.selected(np.ones(problem.d, bool)))
        assert (raised[i] == next(filter(enough, on_the_way), on_the_way[-1])).all()
        moved += not enough(on_the_way[0]) and enough(raised[i])
    assert moved


@pytest.mark.parametrize(("by", "what"), [("beta", "at beta = 0.7"), ("size", "of 9 maps")])
def test_the_qubo_needs_proofs(by, what):
    of = classifier(8, images=1, n=40)
    problems = feature_selection.problems(np.random.default_rng(0).random((1, 40, 3, 3)), np.ones((1, 40)))
    with pytest.raises(RuntimeError, match=f"an optimum {what} is not proven: give a longer time_limit"):
        heuristic_sets.qubo_enough(of, problems, 0.9, by=by, at_least=[9], time_limit=0.0)


@pytest.mark.parametrize("by", ["beta", "size"])
def test_what_cannot_be_enough_is_not_solved(by, monkeypatch):
    share, rng, of = 0.9, np.random.default_rng(8), classifier(12, images=6, bias=0.0)
    problems = feature_selection.problems(rng.random((6, 9, 3, 3)), rng.normal(size=(6, 9)) + 0.8)
    among = np.array([problem.selected(np.ones(problem.d)) for problem in problems])
    at_least, sizes = sufficient.smallest_sufficient(of, share, among=among)[1]["size"], []

    def seen(bqm, size, **options):
        sizes.append(size)
        return branch_and_bound.optimum(bqm, size=size, **options)

    monkeypatch.setattr(heuristic_sets, "optimum", seen)
    every = heuristic_sets.qubo_enough(of, problems, share, by=by, beta=0.6)
    before = len(sizes)
    assert (heuristic_sets.qubo_enough(of, problems, share, by=by, beta=0.6, at_least=at_least) == every).all()
    assert np.isinf(at_least).any() and len(sizes) - before < before
    assert by == "beta" or min(sizes[before:]) == at_least.min() > 0 == min(sizes[:before])
    with pytest.raises(ValueError, match="at_least"):
        heuristic_sets.qubo_enough(of, problems, share, by=by, at_least=[1, 2])
    with pytest.raises(ValueError, match="unknown by"):
        heuristic_sets.qubo_enough(of, problems, share, by="k")
