"""Laws in d and ranks, against cases computed by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from qafs_utils.annealing import scaling
from qafs_utils.cnn.datasets import CLASSES


def test_the_interval_of_clusters_holds_every_column_together():
    def ratio(x, y):
        return x.sum() / y.sum()

    x, y = [1.0, 3.0, 2.0, 2.0], [1.0, 1.0, 4.0, 4.0]  # 2 in the cat's images, 1 / 2 in the dog's
    found = scaling.with_cluster_interval(ratio, x, y, clusters=["cat", "cat", "dog", "dog"], n_resamples=100)
    assert found == {"value": 0.8, "low": 0.5, "high": 2.0}


def test_all_sizes_count_alike_in_a_fit():
    d, values = [1, 2, 4, 4, 4], [1.0, 2.0, 8.0, 8.0, 8.0]
    logs = np.log([1.0, 2.0, 8.0])
    assert scaling.log_fit(d, values, law="power")[0] == pytest.approx(np.polyfit(np.log([1, 2, 4]), logs, 1)[0])
    assert np.isnan(scaling.log_fit([5, 5], [1.0, 2.0])).all()  # one d has no slope
    with pytest.raises(ValueError, match="law"):
        scaling.log_fit(d, values, law="linear")


def test_slopes_of_each_model_and_of_all():
    table = pd.DataFrame({"n_features": [16, 16, 24, 24], "class": ["cat", "dog"] * 2, "d": [2, 4, 2, 4]})
    table["gap"] = [1.0, 0.5, 1.0, 0.25]  # d^-1 and d^-2; their means 1 and 3/8
    found = scaling.slopes(table, "gap", n_resamples=50).set_index("n_features")
    assert found.slope.tolist() == pytest.approx([-1, -2, np.log2(3 / 8)])
    assert found.prefactor[16] == pytest.approx(2) and found.prefactor[24] == pytest.approx(4)
    assert found.low["all"] == pytest.approx(-2) and found.high["all"] == pytest.approx(-1)


def sandwich(x, y, clusters):
    """Half of the 95 % interval of a slope by cluster-robust errors: CR2, t with a degree less than clusters."""
    X = np.column_stack([np.ones_like(x), x])
    bread = np.linalg.inv(X.T @ X)
    residuals, meat = y - X @ bread @ X.T @ y, np.zeros((2, 2))
    for name in np.unique(clusters):
        own = clusters == name
        values, vectors = np.linalg.eigh(np.eye(own.sum()) - X[own] @ bread @ X[own].T)
        score = X[own].T @ (vectors / np.sqrt(values)) @ vectors.T @ residuals[own]
        meat += np.outer(score, score)
    return scipy.stats.t.ppf(0.975, len(np.unique(clusters)) - 1) * np.sqrt((bread @ meat @ bread)[1, 1])


def test_the_interval_of_thirty_classes_is_that_of_cluster_robust_errors():
    rng, rows = np.random.default_rng(1), []
    for n, name in itertools.product((16, 24, 32), CLASSES):
        d = rng.integers(n // 4, n // 2)
        noise = rng.normal(0, 0.6) + rng.normal(0, 0.4, size=20)  # of the class, and of each image
        rows += [{"n_features": n, "class": name, "d": d, "gap": np.exp(e) / d} for e in noise]
    table = pd.DataFrame(rows)
    found = scaling.slopes(table, "gap", statistic=None).set_index("n_features").loc["all"]
    clusters = (table.n_features.astype(str) + table["class"]).to_numpy()
    half = sandwich(np.log(table.d.to_numpy(float)), np.log(table.gap.to_numpy()), clusters)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.15)
    table["image"] = table.index.astype(str)
    naive = scaling.slopes(table.assign(**{"class": table.image}), "gap", statistic=None).iloc[-1]
    assert naive.high - naive.low < 0.5 * (found.high - found.low)  # as if the images of a class were independent


def test_every_instance_counts_in_a_fit_without_a_statistic():
    d, values = [1, 2, 4, 4, 4], [1.0, 2.0, 8.0, 4.0, 2.0]
    expected = np.polyfit(np.log(d), np.log(values), 1)
    a, prefactor = scaling.log_fit(d, values, law="power", statistic=None)
    assert (a, prefactor) == pytest.approx((expected[0], np.exp(expected[1])))


def test_akaikes_criterion_tells_the_laws_apart():
    d = np.array([2, 2, 4, 8, 16])
    assert scaling.aic_difference(d, 3 / d) < -50
    assert scaling.aic_difference(d, np.exp(-d / 4) * [1.01, 0.99, 1, 1, 1.01]) > 0
    assert np.isnan(scaling.aic_difference([2, 2, 4], [1.0, 2.0, 3.0]))  # two d, which both laws meet alike
    residuals = []
    values = np.array([0.9, 0.5, 0.4, 0.3, 0.1])
    for x in (np.log(d), d):
        residuals.append(np.polyfit(x, np.log(values), 1, full=True)[1].item())
    assert scaling.aic_difference(d, values) == pytest.approx(5 * np.log(residuals[0] / residuals[1]))


def test_the_distance_of_distributions_at_the_edges():
    edges, counts = np.array([0.0, 1.0, 2.0, 3.0]), np.array([2, 1, 1])  # 0, 1/2, 3/4, 1
    assert scaling.distance_of_distributions([0.5, 0.5, 1.5, 2.5], edges, counts) == 0
    assert scaling.distance_of_distributions([2.5] * 4, edges, counts) == 0.75
    assert scaling.distance_of_distributions([-1.0, 0.5, 1.5, 2.5], edges, counts) == 0.25
    assert scaling.distance_of_distributions([5.0], edges, counts) == 1


def test_the_time_to_one_half_between_the_times_annealed():
    d, times = np.repeat([1, 2, 4, 8], 2), np.tile([4.0, 16.0], 4)
    fidelity = [0.25, 0.75, 0.5 - 0.1, 0.5 + 0.1, 0.25, 0.75, 0.1, 0.2]  # one half at 8 for each; never for d = 8
    assert scaling.time_exponent(d, times, fidelity) == pytest.approx(0)
    assert np.isnan(scaling.time_exponent(d[-2:], times[-2:], fidelity[-2:]))


def test_one_half_counts_when_first_reached_on_a_logarithmic_axis_of_time():
    d, times = np.repeat([1, 4], 5), np.tile([1.0, 4.0, 16.0, 64.0, 256.0], 2)
    fidelity = [0.4, 0.2, 0.6, 0.4, 0.8] + [0.0, 0.2, 0.4, 0.8, 0.9]  # the best so far at 4 * 2; at 16 * 4^(1/4)
    assert scaling.time_exponent(d, times, fidelity) == pytest.approx(1.5 / 2)  # from 2^3 to 2^4.5, while d is 2^2 fold


def test_ranks_within_groups_are_weighted_by_their_members():
    groups, x = [1, 1, 1, 2, 2], [1, 2, 3, 1, 2]
    assert scaling.rank_within(groups, x, [1, 2, 3, 6, 5]) == pytest.approx((3 * 1 - 2 * 1) / 5)
    assert np.isnan(scaling.rank_within(groups, x, [1, 2, 3, 5, 5]))  # equals have no order


def test_medians_over_heads_have_the_noise_of_another_head():
    table = pd.DataFrame({"d": [5] * 4 + [6] * 2, "seed": [0, 0, 1, 1, 0, 0], "class": list("aabbcc")})
    table["fidelity"] = [0.1, 0.2, 0.5, 0.6, 0.3, 0.4]
    found = scaling.medians_over_heads(table, "fidelity", ["d"], n_resamples=200).set_index("d")
    assert found.ours.tolist() == pytest.approx([0.35, 0.35]) and found.unit.tolist() == ["classes", ""]
    assert found.loc[5, ["low", "high", "noise"]].tolist() == pytest.approx([0.15, 0.55, 0.4])
    assert np.isnan(found.low[6]) and np.isnan(found.noise[6])  # a single class of a single head


def test_distances_from_the_reported_medians():
    reported = pd.DataFrame({"annealing_time": [10.0, 10.0, 50.0, 50.0], "d": [5, 6, 5, 7]})
    reported["median_fidelity"] = [0.1, 0.2, 0.5, 0.9]
    table = pd.DataFrame({"annealing_time": [10.0, 10.0, 50.0], "d": [5, 6, 5], "fidelity": [0.2, 0.2, 0.8]})
    found = scaling.distances_from_reported(table, reported)
    assert found["shortest tau: ratio"] == pytest.approx(1.5) and found["medians"] == 3
    assert found["shortest tau: log distance"] == pytest.approx(np.log(2) / 2**0.5)
    assert found["longer tau: distance"] == pytest.approx(0.3)
    assert found["distance"] == pytest.approx(((0.01 + 0.09) / 3) ** 0.5)


def test_gains_of_a_schedule():
    table = pd.DataFrame({"d": [5, 5, 6, 6], "class": ["cat", "dog"] * 2, "fidelity": [0.2, 0.4, 0.5, 0.5]})
    table["local"] = [0.3, 0.6, 0.4, 0.5]
    found = scaling.mean_gains(table, ["d"], n_resamples=100).set_index("d")
    assert found.linear.tolist() == pytest.approx([0.3, 0.5]) and found.gain.tolist() == pytest.approx([0.15, -0.05])
    assert found.loc[5, ["low", "high"]].tolist() == pytest.approx([0.1, 0.2])
    assert found.improved.tolist() == [1.0, 0.0]


def test_positions_of_the_minimum():
    table = pd.DataFrame({"couplings": "cosine", "d": 5, "gap": [0.1, 0.2, 0.3], "end_gap": [0.1, 0.3, 0.32]})
    table = table.assign(s=[0.9, 0.5, 0.7], flips=[1, 2, 1], two_level_gap=[0.11, np.nan, 0.3], fidelity=[1, 2, 3])
    found = scaling.positions(table, ["fidelity"]).loc["cosine", 5]
    assert found["s* at 0.5"] == 0.7 and found.lowest == 0.5 and found.interior == pytest.approx(1 / 3)
    assert found.one_flip == pytest.approx(2 / 3) and found.formula == pytest.approx(0.05)
    assert found["rank fidelity"] == pytest.approx(1)
