"""Sparse optimal scoring against optimality conditions, closed forms, other solvers and a search over rotations."""

import numpy as np
import pytest
import scipy.optimize
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from qafs_utils.explanations import other_selections
from qafs_utils.explanations import sparse_scoring as sos

RIDGE = 0.01


@pytest.fixture(scope="module")
def data():
    """150 images of 12 maps in three classes of unequal size; three maps tell them apart, one is constant."""
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 4, 7], [70, 50, 30])
    x = rng.normal(size=(150, 12))
    x[:, 0] += 2 * (labels == 1)
    x[:, 3] += 2 * (labels == 4)
    x[:, 5] += labels == 7
    x[:, 9] = 4.2
    return sos.Standardised.of(x, labels)


@pytest.fixture(scope="module")
def found(data):
    return sos.fit(data, 0.1, ridge=RIDGE, tolerance=1e-12, turns=1000)


def test_scores_obey_the_constraint(data, found):
    share = data.membership.mean(0)
    assert np.allclose(found.scores.T @ (share[:, None] * found.scores), np.eye(2), atol=1e-9)
    assert np.allclose(share @ found.scores, 0, atol=1e-9)  # no score is constant
    assert found.share.tolist() == share.tolist() and found.classes.tolist() == [1, 4, 7]


def test_no_turn_raises_the_objective(data, found):
    values = np.array(found.objective)
    assert len(values) > 2 and (np.diff(values) <= 1e-9).all()
    assert values[-1] == pytest.approx(
        sos.objective(data, found.scores, found.weights, penalty=0.1, ridge=RIDGE), rel=1e-12
    )


def test_weights_are_optimal_for_the_scores(data, found):
    """Subgradient: 2 X'(Y Theta - X B) / N - 2 ridge B lies in penalty * sign(B)."""
    rest = data.membership @ found.scores - data.values @ found.weights
    slope = 2 * data.values.T @ rest / len(rest) - 2 * RIDGE * found.weights
    used = found.weights != 0
    assert np.abs(slope).max() <= 0.1 + 1e-5
    assert np.allclose(slope[used], 0.1 * np.sign(found.weights[used]), atol=1e-5)
    assert 2 <= found.used.sum() < 12 and not found.used[9]


def test_no_rotation_of_the_scores_does_better(data, found):
    for angle in np.linspace(0, 2 * np.pi, 60):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        for sign in (1, -1):
            other = found.scores @ turn @ np.diag([1, sign])
            assert sos.objective(data, other, found.weights, penalty=0.1, ridge=RIDGE) >= found.objective[-1] - 1e-9


def elastic_net(x, y, penalty, ridge):
    """min |y - x b|^2 / n + ridge |b|^2 + penalty |b|_1 over b = u - v, u and v >= 0, by SciPy's L-BFGS-B."""

    def value(both):
        u, v = np.split(both, 2)
        rest = y - x @ (u - v)
        slope = -2 * x.T @ rest / len(y) + 2 * ridge * (u - v)
        total = (rest**2).mean() + ridge * ((u - v) ** 2).sum() + penalty * both.sum()
        return total, np.concatenate([slope + penalty, penalty - slope])

    start, bounds = np.full(2 * x.shape[1], 0.1), [(0, None)] * (2 * x.shape[1])
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 5000}
    return scipy.optimize.minimize(value, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).fun


def test_two_classes_are_one_elastic_net(data):
    """With two classes the scores are fixed but for the sign, so the minimum is global."""
    two = sos.Standardised.of(data.values[data.labels != 7], data.labels[data.labels != 7])
    n = np.bincount(two.labels)[[1, 4]]
    scores = np.array([n[1], -n[0]]) / (n[0] * n[1]) ** 0.5
    least = elastic_net(two.values, two.membership @ scores, 0.2, RIDGE)
    assert sos.fit(two, 0.2, ridge=RIDGE).objective[-1] == pytest.approx(least, rel=1e-6)


def test_three_classes_against_a_search_over_all_rotations(data, found):
    """The minimum over Theta, with the best weights of each by another solver: one angle, and a reflection."""
    values = []
    for angle in np.linspace(0, np.pi, 40, endpoint=False):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        target = data.membership @ found.scores @ turn
        values.append(sum(elastic_net(data.values, column, 0.1, RIDGE) for column in target.T))
    assert found.objective[-1] <= min(values) + 1e-6
    assert np.ptp(values) > 0.01  # the angle matters


def test_without_a_penalty_it_is_discriminant_analysis(data):
    kept = data.values[:, np.arange(12) != 9]
    plain = sos.Standardised.of(kept, data.labels)
    found = sos.fit(plain, 1e-8, ridge=1e-8)
    theirs = LinearDiscriminantAnalysis().fit(kept, data.labels)
    ours = LinearDiscriminantAnalysis().fit(kept @ found.weights, data.labels)
    assert np.allclose(ours.predict_proba(kept @ found.weights), theirs.predict_proba(kept), atol=1e-4)
    membership = plain.membership - plain.membership.mean(0)
    regression = np.linalg.lstsq(plain.values, membership, rcond=None)[0]
    assert np.allclose(found.class_weights, regression.T, atol=1e-4)


def test_the_largest_penalty_uses_nothing(data):
    most = sos.largest_penalty(data)
    assert not sos.fit(data, 1.0001 * most, ridge=RIDGE).used.any()
    two = sos.Standardised.of(data.values[data.labels != 7], data.labels[data.labels != 7])
    most, n = sos.largest_penalty(two), np.bincount(two.labels)[[1, 4]]
    scores = np.array([n[1], -n[0]]) / (n[0] * n[1]) ** 0.5
    first = 2 * np.abs(two.values.T @ two.membership @ scores).max() / len(two.labels)
    assert first == pytest.approx(most)
    assert sos.fit(two, 0.999 * first, ridge=RIDGE).used.sum() == 1


def test_a_path_uses_ever_more_and_ranks_what_matters_first(data):
    fits = sos.path(data, [0.6, 0.3, 0.1, 0.01], ridge=RIDGE)
    sizes = [int(found.used.sum()) for found in fits]
    assert sizes == sorted(sizes) and sizes[-1] == 11
    rank = sos.order_of_entry(fits)
    assert set(np.argsort(rank)[:2]) == {0, 3} and rank[9] == 12
    assert sorted(rank[rank < 12]) == list(range(11))


def test_support_adds_up_to_the_fitted_membership(data, found):
    raw = data.values * data.spread + data.mean
    support = np.stack([sos.support_of_class(found, raw, np.full(150, c), data).sum(1) for c in (1, 4, 7)], 1)
    offset = support - (data.values @ found.weights) @ (found.scores.T * found.share)
    assert np.allclose(offset, offset[0], atol=1e-9)  # the maps' means, the same for all images


def test_bad_input_is_refused(data, found):
    with pytest.raises(ValueError, match="two classes or more"):
        sos.Standardised.of(np.ones((3, 2)), [1, 1, 1])
    with pytest.raises(ValueError, match="labels must be"):
        sos.Standardised.of(np.ones((3, 2)), [0, 1])
    with pytest.raises(ValueError, match="activation must be finite"):
        sos.Standardised.of([[np.nan], [1.0]], [0, 1])
    for name, options in (("penalty", {"penalty": 0}), ("ridge", {"penalty": 1, "ridge": 0})):
        with pytest.raises(ValueError, match=rf"{name} must be a number in \(0, inf\)"):
            sos.fit(data, **options)
    with pytest.raises(ValueError, match="classes that the fit has seen"):
        sos.support_of_class(found, np.ones((1, 12)), [2], data)
    with pytest.warns(UserWarning, match="1 turns left the fit"):
        sos.fit(data, 0.1, turns=1)


def test_constant_maps_are_never_used():
    x = np.array([[1e6, 0.0], [1e6, 0.1], [1e6, 1.0], [1e6, 1.1]])
    found = sos.fit(sos.Standardised.of(x, [0, 0, 1, 1]), 1e-6)
    assert found.used.tolist() == [False, True]
    nothing = sos.Standardised.of(np.ones((4, 2)), [0, 0, 1, 1])
    assert sos.largest_penalty(nothing) == 0 and not sos.fit(nothing, 0.1).used.any()


def test_several_orders_count_by_their_mean():
    """Against the network's accuracy with each set, one by one."""
    rng = np.random.default_rng(2)
    x, labels, weight, bias = rng.random((30, 6)), rng.integers(0, 3, 30), rng.normal(size=(3, 6)), rng.normal(size=3)
    orders = rng.permuted(np.tile(np.arange(6), (4, 1)), axis=1)
    given = (x, labels), (x, labels), weight, bias
    table = other_selections.accuracy_of_sets({"lot": orders, "first": orders[0]}, [2], *given, n_resamples=10)
    found = table[table.classifier == "network"].set_index("selection").accuracy
    kept = [[a for a in range(6) if order[a] < 2] for order in orders]
    alone = [np.mean((x[:, two] @ weight[:, two].T + bias).argmax(1) == labels) for two in kept]
    assert found["lot"] == pytest.approx(np.mean(alone)) and found["first"] == pytest.approx(alone[0])
    shared = other_selections.shared_maps({"lot": orders, "first": orders[0]}, [2], "first").in_common
    assert shared.tolist() == pytest.approx([np.mean([len({*kept[0]} & {*two}) / 2 for two in kept])])
