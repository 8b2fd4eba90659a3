"""Intervals against theory and by hand, and bad input."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from repository import ODD

from qafs_utils import intervals
from qafs_utils.explanations import average_drop, bhattacharyya


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_bootstrap_interval_of_a_mean(method):
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = intervals.bootstrap_interval(np.append(values, [np.nan] * 7), method=method)
    assert low < values.mean() < high
    assert (high - low) == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert (low, high) == intervals.bootstrap_interval(values, method=method)  # NaN ignored, seeded


def test_bootstrap_interval_of_degenerate_values():
    assert intervals.bootstrap_interval(np.full(20, 3.0)) == (3, 3)
    assert np.isnan(intervals.bootstrap_interval([1.0])).all()
    assert np.isnan(intervals.bootstrap_interval([np.nan, np.nan])).all()


def test_bootstrap_interval_over_images_of_a_matrix():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 50)
    selections = rng.random((200, 16)) < 0.4  # classes differ by noise only: the true overlap is 1

    def overlap(i):
        return bhattacharyya.mean_off_diagonal(bhattacharyya.bhattacharyya_matrix(selections[i], labels[i], 4))

    images, estimate = np.arange(200), overlap(slice(None))
    low, high = intervals.bootstrap_interval(images, overlap, n_resamples=500, method="basic")
    assert estimate < 1 and low < 1 < high + 0.005
    low, high = intervals.bootstrap_interval(images, overlap, n_resamples=500, method="percentile")
    assert low < high < estimate  # the bias of resampling


def test_stratified_resamples_keep_the_classes():
    labels = np.array([0, 0, 1, 1, 1])
    for index in intervals.stratified_resamples(labels, 20):
        assert np.bincount(labels[index]).tolist() == [2, 3]


def test_bias_correction_by_hand():
    estimate, low, high = intervals.bias_corrected(1.0, np.linspace(0.5, 0.9, 401), confidence=0.5)
    assert estimate == pytest.approx(1.3) and (low, high) == pytest.approx((1.2, 1.4))


def test_cluster_interval_sees_clusters_not_images():
    clusters, values = np.repeat([0, 1], 500), np.repeat([0.0, 1.0], 500)
    low, high = intervals.cluster_interval(clusters, lambda i: values[i].mean(), 400)
    assert (low, high) == (0, 1)
    narrow = intervals.bootstrap_interval(values)
    assert narrow[1] - narrow[0] < 0.1


def test_means_with_intervals():
    values = np.random.default_rng(0).random(50)
    found = intervals.mean_with_interval(np.append(values, np.nan), n_resamples=200, seed=1)
    assert found["value"] == values.mean()
    assert (found["low"], found["high"]) == intervals.bootstrap_interval(values, n_resamples=200, seed=1)
    assert set(intervals.mean_with_interval(np.zeros(5)).values()) == {0.0}


@pytest.mark.parametrize("law, y", [("power", lambda d: 3 * d**-0.8), ("exponential", lambda d: 3 * np.exp(-0.2 * d))])
def test_laws_are_found_again(law, y):
    rng, d = np.random.default_rng(0), np.repeat(np.arange(5, 15), 40)
    values, clusters = y(d) * np.exp(rng.normal(0, 0.1, len(d))), rng.integers(10, size=len(d))
    fit = intervals.fit_law(d, values, clusters, law=law, n_resamples=50)
    expected = -0.8 if law == "power" else -0.2
    assert fit["low"] < expected < fit["high"] and fit["low"] < fit["exponent"] < fit["high"]
    assert fit["prefactor"] == pytest.approx(3, rel=0.1) and 0 < fit["residual"] < 0.05
    alone = intervals.fit_law(d, values, None, law=law)
    assert alone["exponent"] == fit["exponent"] and np.isnan(alone["low"])


CALLS = {
    "statistic": lambda x: intervals.bootstrap_interval([1.0, 2.0], x),
    "method": lambda x: intervals.bootstrap_interval([1.0, 2.0], method=x),
    "n_resamples": lambda x: intervals.bootstrap_interval([1.0, 2.0], n_resamples=x),
    "confidence": lambda x: intervals.bias_corrected(1.0, [1.0], confidence=x),
    "seed": lambda x: intervals.cluster_interval([0, 1], len, seed=x),
    "clusters": lambda x: intervals.cluster_interval(x, len),
    "resampled": lambda x: intervals.bias_corrected(1.0, x),
    "n_resamples ": lambda x: intervals.stratified_resamples([0, 1], x),
    "law": lambda x: intervals.fit_law([1, 2], [1.0, 2.0], None, law=x),
    "values": lambda x: intervals.fit_law([1, 2], x, None),
}


@pytest.mark.parametrize("odd", ODD, ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_odd_arguments_are_refused_by_name(name, odd):
    if name == "seed" and (odd is None or isinstance(odd, list)):
        pytest.skip("None is another seed every time, a list of whole numbers is one")
    with pytest.raises(ValueError, match=name.strip()):
        CALLS[name](odd)


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: intervals.nan_mean([1.0, np.inf]), "values"),
        (lambda: intervals.nan_mean([1e308, 1e308]), "values"),
        (lambda: intervals.bias_corrected(1e308, [1.0]), "value"),
        (lambda: intervals.bias_corrected(np.ones(3), np.ones((5, 2))), "resampled"),
        (lambda: intervals.bias_corrected(1.0, [1.0, np.nan]), "resampled"),
        (lambda: intervals.bootstrap_interval(np.ones((2, 3))), "indices"),
        (lambda: intervals.bootstrap_interval([1.0, np.inf, 2.0]), "values"),
        (lambda: intervals.bootstrap_interval([1.0, 2.0], n_resamples=0), "n_resamples"),
        (lambda: intervals.cluster_interval([0, 1], len, n_resamples=0), "n_resamples"),
        (lambda: intervals.cluster_interval([0.0, np.nan], len), "clusters"),
        (lambda: intervals.cluster_interval(["cat", None], len), "clusters"),
        (lambda: intervals.cluster_interval([], len), "clusters"),
        (lambda: intervals.cluster_interval([[0], [1]], len), "clusters"),
        (lambda: intervals.stratified_resamples([0.0, np.nan]), "labels"),
        (lambda: intervals.fit_law([1, 2], [1.0], None), "values"),
        (lambda: intervals.fit_law([0, 2], [1.0, 2.0], None), "d must lie in"),
        (lambda: intervals.fit_law([1, 2], [1.0, 2.0], ["a"]), "clusters"),
    ],
)
def test_wrong_answers_that_were_silent_are_refused(call, name):
    with pytest.raises(ValueError, match=name):
        call()


def test_sequences_of_any_kind():
    values, labels, bits = [1.0, 3.0, np.nan, 5.0], [0, 0, 1, 2], np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 1]])
    kinds = (tuple, iter, np.array, pd.Series, torch.tensor, lambda x: np.array(x, dtype=object))
    expected = average_drop.by_class(values, labels, 3)
    spread, overlap = intervals.cluster_interval(labels, len), bhattacharyya.bhattacharyya_matrix(bits, labels, 3)
    drawn = np.array(list(intervals.stratified_resamples(labels, 5)))
    for kind in kinds:
        np.testing.assert_array_equal(average_drop.by_class(kind(values), kind(labels), 3), expected)
        assert intervals.bootstrap_interval(kind(values)) == intervals.bootstrap_interval(values)
        assert intervals.cluster_interval(kind(labels), len) == spread and intervals.nan_mean(kind(values)) == 3
        assert np.array_equal(list(intervals.stratified_resamples(kind(labels), 5)), drawn)
        assert np.array_equal(bhattacharyya.bhattacharyya_matrix(bits, kind(labels), 3), overlap)
    for kind in (list, iter, torch.tensor, pd.DataFrame):
        assert np.array_equal(bhattacharyya.bhattacharyya_matrix(kind(bits.tolist()), labels, 3), overlap)
    names = ["cat", "cat", "dog", "emu"]
    assert intervals.cluster_interval(names, len) == intervals.cluster_interval(pd.Series(names), len) == spread


@pytest.mark.parametrize(
    "statistic",
    [
        lambda x: "a",
        lambda x: 1j,
        lambda x: x,
        lambda x: np.inf,
        lambda x: 1e301,
        lambda x, axis=None: "a",
    ],
)
def test_a_statistic_that_gives_no_number_is_refused(statistic):
    for interval in (intervals.bootstrap_interval, intervals.cluster_interval):
        with pytest.raises(ValueError, match="values of the statistic"):
            interval([1.0, 2.0, 3.0], statistic, n_resamples=20)


def test_a_statistic_that_takes_an_axis_gives_what_one_without_does():
    values = np.random.default_rng(0).random(30)
    assert intervals.bootstrap_interval(values) == intervals.bootstrap_interval(values, lambda x: x.mean(), seed=0)


def test_the_simulated_test_of_a_gaussian():
    """Lilliefors' own table: 0.886 / sqrt(N) at 5 %, for N above 30."""
    rng = np.random.default_rng(3)
    found = intervals.lilliefors(3 + 2 * rng.normal(size=400))
    assert found["critical"] == pytest.approx(0.886 / 20, rel=0.06) and found["p"] > 0.05
    values = rng.uniform(size=400)
    skewed = intervals.lilliefors(values)
    expected = scipy.stats.kstest((values - values.mean()) / values.std(ddof=1), "norm").statistic
    assert skewed["distance"] == pytest.approx(expected) and skewed["p"] == pytest.approx(1 / 1001)
    assert intervals.lilliefors(values, seed=1) == intervals.lilliefors(values, seed=1)
    with pytest.raises(ValueError, match="values must not all be equal"):
        intervals.lilliefors(np.ones(5))
    with pytest.raises(ValueError, match="N, the number of values,"):
        intervals.lilliefors([1.0, 2.0])
