"""The adapters with the packages they are for: what these make of our selection is what our own functions make."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from qafs_utils import explain
from qafs_utils.cnn import datasets, extraction, networks, preprocessing

IMAGES = datasets.synthetic(3, size=64)[0][:4]
MEAN, DEVIATION = (torch.tensor(part).view(3, 1, 1) for part in networks.NORMALISATIONS["imagenet"])
PIXELS = torch.cat([(preprocessing.to_square(image, 64) - MEAN) / DEVIATION for image in IMAGES])


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torchvision.models.resnet18(weights=None).eval()


@pytest.fixture(scope="module")
def swin():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torchvision.models.SwinTransformer([4, 4], 16, [1, 1], [2, 2], [4, 4], num_classes=5).eval()


class TestGradCAM:
    @pytest.fixture(autouse=True)
    def package(self):
        pytest.importorskip("pytorch_grad_cam", reason="pytorch-grad-cam is not installed: pip install grad-cam")
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        from qafs_utils.adapters import grad_cam

        self.adapter, self.target = grad_cam, ClassifierOutputTarget

    def test_its_maps_are_those_of_explain(self, net):
        cam = self.adapter.QUBOCAM(net, [net.layer3], beta=0.6)
        for targets, classes in ((None, None), ([self.target(c) for c in (3, 7, 7, 999)], [3, 7, 7, 999])):
            found = cam(PIXELS, targets)
            ours = explain(IMAGES, net, layer="layer3", image_size=64, beta=0.6, class_index=classes)
            assert np.array_equal(cam.selected[0], [one.selected for one in ours])
            # pytorch-grad-cam resizes with OpenCV, whose bilinear weights are rounded
            np.testing.assert_allclose(found, [one.heatmap for one in ours], atol=0.01)

    def test_all_candidates_at_beta_one_are_its_own_grad_cam_of_them(self, net):
        from pytorch_grad_cam import GradCAM

        class Filtered(GradCAM):
            def get_cam_weights(self, *arguments):
                return np.maximum(super().get_cam_weights(*arguments), 0)

        found = self.adapter.QUBOCAM(net, [net.layer3], beta=1.0)(PIXELS, None)
        np.testing.assert_allclose(found, Filtered(net, [net.layer3])(PIXELS, None), atol=1e-5)

    def test_layers_smoothing_and_a_transformer(self, net, swin):
        cam = self.adapter.QUBOCAM(net, [net.layer3, net.layer4], solver="greedy", size=3)
        assert cam(PIXELS[:2], None, aug_smooth=True, eigen_smooth=True).shape == (2, 64, 64)
        both = cam(PIXELS[:2], None)
        assert [part.shape for part in cam.selected] == [(2, 256), (2, 512)]
        given = {"solver": "greedy", "size": 3}
        each = [self.adapter.QUBOCAM(net, [layer], **given)(PIXELS[:2], None) for layer in (net.layer3, net.layer4)]
        mean = np.mean(each, axis=0)
        low, high = mean.min((1, 2), keepdims=True), mean.max((1, 2), keepdims=True)
        np.testing.assert_allclose(both, (mean - low) / (high - low), atol=0.01)  # scaled at another step
        cam = self.adapter.QUBOCAM(swin, [swin.norm], extraction.channels_last)
        cam(PIXELS, None)
        ours = explain(IMAGES, swin, layer="norm", image_size=64, reshape=extraction.channels_last)
        assert np.array_equal(cam.selected[0], [one.selected for one in ours])

    def test_its_road_scores_it(self, net):
        from pytorch_grad_cam.metrics.road import ROADMostRelevantFirst
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget

        maps = self.adapter.QUBOCAM(net, [net.layer3])(PIXELS[:2], None)
        road = ROADMostRelevantFirst(percentile=75)
        scores = road(PIXELS[:2], maps, [ClassifierOutputSoftmaxTarget(3)] * 2, net)
        assert scores.shape == (2,) and np.isfinite(scores).all()

    def test_an_image_without_a_candidate_has_zeros_and_a_warning(self):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
        network[3].weight.data = -network[3].weight.data.abs()
        cam = self.adapter.QUBOCAM(network, [network[0]])
        with pytest.warns(UserWarning, match="image 1 has an explanation of zeros: no feature map has a positive"):
            assert not cam(PIXELS[:2], None).any()

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"beta": 2}, "beta must be a number in"),
            ({"field": "mean"}, "unknown field"),
            ({"solver": "oracle"}, "unknown solver"),
            ({"num_reads": 3}, "'exact' has no option num_reads"),
        ],
    )
    def test_choices_that_do_not_fit(self, net, change, message):
        with pytest.raises(ValueError, match=message):
            self.adapter.QUBOCAM(net, [net.layer4], **change)


class TestQuantus:
    def test_the_maps_are_those_of_explain(self, net, swin):
        from qafs_utils.adapters.quantus_metrics import explain_func

        found = explain_func(net, PIXELS.numpy(), np.array([3, 7, 7, 999]), layer="layer3", device="cpu", beta=0.6)
        ours = explain(IMAGES, net, layer="layer3", image_size=64, beta=0.6, class_index=[3, 7, 7, 999])
        assert found.shape == (4, 1, 64, 64) and found.dtype == np.float32
        np.testing.assert_allclose(found[:, 0], [one.heatmap for one in ours], atol=1e-4)
        assert np.array_equal(*(explain_func(net, PIXELS[:1], [3], layer=name) for name in (None, "layer4")))

    def test_its_metrics_score_it(self, net):
        quantus = pytest.importorskip("quantus", reason="Quantus is not installed: pip install quantus")
        from qafs_utils.adapters.quantus_metrics import explain_func

        given = {"model": net, "x_batch": PIXELS.numpy(), "y_batch": np.array([3, 7, 7, 999]), "device": "cpu"}
        options = {"explain_func": explain_func, "explain_func_kwargs": {"layer": "layer3", "beta": 0.6}}
        maps = explain_func(net, given["x_batch"], given["y_batch"], layer="layer3", beta=0.6)
        for metric in (quantus.Sparseness(), quantus.PixelFlipping(features_in_step=512)):
            by_function = metric(**given, a_batch=None, **options)
            by_maps = metric(**given, a_batch=maps)
            assert len(by_function) == 4 and np.isfinite(np.asarray(by_function, float)).all()
            np.testing.assert_allclose(by_function, by_maps, rtol=1e-5)


class TestScikitLearn:
    @pytest.fixture(autouse=True)
    def package(self):
        pytest.importorskip("sklearn", reason="scikit-learn is not installed")
        from qafs_utils.adapters import scikit_learn

        self.adapter, self.Selector = scikit_learn, scikit_learn.QUBOSelector

    def data(self, n=60, columns=9, seed=0):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n, columns)) @ rng.normal(size=(columns, columns))
        return X, X @ rng.normal(size=columns) + rng.normal(size=n)

    def test_it_is_an_estimator(self):
        from sklearn.utils.estimator_checks import check_estimator

        results = check_estimator(self.Selector(), on_fail=None, on_skip=None)
        assert len(results) > 40 and not [r for r in results if r["status"] not in ("passed", "skipped")]

    @pytest.mark.parametrize("k", [None, 1, 4, 9])
    @pytest.mark.parametrize("beta", [0.3, 0.7, 0.99])
    def test_it_finds_the_least_energy_of_all_selections(self, k, beta):
        X, y = self.data()
        relevance = np.abs([np.corrcoef(X[:, j], y)[0, 1] for j in range(9)])
        J = np.abs(np.corrcoef(X, rowvar=False)) - np.eye(9)
        bits = np.array(list(np.ndindex(*[2] * 9)))
        energies = (1 - beta) * np.einsum("bi,ij,bj->b", bits, J, bits) - beta * bits @ (relevance / relevance.max())
        energies[bits.sum(1) != k] = np.inf if k else energies[bits.sum(1) != k]
        found = self.Selector(k, beta=beta).fit(X, y)
        assert np.array_equal(found.get_support(), bits[energies.argmin()]) and found.info_["proven"]
        assert found.info_["energy"] == pytest.approx(energies.min())
        np.testing.assert_allclose(found.relevance_, relevance)

    def test_it_solves_the_model_of_dwaves_plug_in(self):
        plugin = pytest.importorskip("dwave.plugins.sklearn", reason="dwave-scikit-learn-plugin is not installed")
        X, y = self.data(seed=3)
        relevance = self.adapter.correlations(X, y)[0].max()
        for k, alpha in ((3, 0.1), (4, 0.5), (5, 1.0)):
            cqm = plugin.SelectFromQuadraticModel.correlation_cqm(X, y, alpha=alpha, num_features=k)
            bits = np.array([b for b in np.ndindex(*[2] * 9) if sum(b) == k])
            energies = cqm.objective.energies((bits, range(9)))
            weight = 2 * alpha * k * relevance
            found = self.Selector(k, beta=weight / (1 + weight)).fit(X, y)
            assert np.array_equal(found.get_support(), bits[energies.argmin()])

    def test_in_a_pipeline_with_class_names_and_mutual_information(self):
        import pandas as pd
        from sklearn.datasets import load_iris
        from sklearn.feature_selection import f_classif
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV
        from sklearn.pipeline import make_pipeline

        iris = load_iris(as_frame=True)
        y = pd.Series(iris.target_names[iris.target])
        pipeline = make_pipeline(self.Selector(2, score_func=f_classif), LogisticRegression(max_iter=500))
        search = GridSearchCV(pipeline, {"quboselector__beta": [0.2, 0.8]}, cv=3).fit(iris.data, y)
        assert search.best_score_ > 0.9
        names = search.best_estimator_[0].get_feature_names_out()
        assert len(names) == 2 and set(names) < set(iris.data.columns)

    def test_solvers_and_constant_features(self):
        X, y = self.data()
        X[:, 4] = 7.0
        for solver in ("brute_force", "exact", "schrodinger"):
            found = self.Selector(beta=0.8, solver=solver).fit(X, y)
            assert not found.get_support()[4] and found.relevance_[4] == 0
            assert found.info_["solver"] == solver

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"n_features_to_select": 10}, "n_features_to_select must be a whole number from 1 to 9"),
            ({"n_features_to_select": 2.5}, "n_features_to_select must be a whole number or None"),
            ({"beta": -1}, "beta must be a number in"),
            ({"solver": "oracle"}, "unknown solver"),
            ({"score_func": lambda X, y: -np.ones(9)}, "what score_func returns must lie in"),
            ({"score_func": lambda X, y: np.zeros(9)}, "only 0 of 9 features are relevant"),
            ({"score_func": lambda X, y: np.ones(3)}, r"what score_func returns must be \(N,\) = \(9,\)"),
        ],
    )
    def test_parameters_that_do_not_fit(self, change, message):
        with pytest.raises(ValueError, match=message):
            self.Selector(**change).fit(*self.data())


@pytest.mark.parametrize(
    "module, package, remedy",
    [("grad_cam", "pytorch_grad_cam", "pip install 'qafs.gradcam.'"), ("scikit_learn", "sklearn", "pip install sciki")],
)
def test_a_package_that_is_absent_is_named(monkeypatch, module, package, remedy):
    import importlib
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"qafs_utils.adapters.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=remedy):
        importlib.import_module(f"qafs_utils.adapters.{module}")
