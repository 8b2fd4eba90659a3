"""More CAMs against pytorch-grad-cam, captum's ablation, forward passes, and by hand."""

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from qafs_utils.explanations import cams, more_cams

B, N, SIZE = 3, 6, 8


class Net(nn.Module):
    """A seeded CNN whose classifier is linear in its last maps: flattened, or pooled."""

    def __init__(self, pooled=False):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.last = nn.Conv2d(8, N, 3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1) if pooled else nn.Identity()
        self.classifier = nn.Linear(N if pooled else N * SIZE**2, 4)

    def forward(self, images):
        return self.classifier(self.pool(self.relu(self.last(self.first(images)))).flatten(1))


def case(pooled):
    """Net, images, predicted classes, maps, gradients."""
    net = Net(pooled).double().eval()
    images = torch.rand(B, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    maps = F.relu(net.last(net.first(images))).detach().requires_grad_()
    logits = net.classifier(net.pool(maps).flatten(1))
    target = logits.argmax(1)
    (gradients,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), maps)
    return net, images, target, maps.detach(), gradients


@pytest.mark.parametrize("name", ["XGradCAM", "LayerCAM"])
def test_equal_to_pytorch_grad_cam(name):
    library = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    net, images, target, maps, gradients = case(pooled=False)
    with getattr(library, name)(net, [net.relu]) as cam:
        expected = torch.as_tensor(cam(images, [ClassifierOutputTarget(int(c)) for c in target]))
    ours = {"XGradCAM": more_cams.x_grad_cam, "LayerCAM": more_cams.layer_cam}[name](maps, gradients)
    torch.testing.assert_close(cams.normalise(ours), expected.double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooled", [False, True])
def test_ablation_weights_equal_forward_passes_without_each_map(pooled):
    captum = pytest.importorskip("captum.attr")
    net, _, target, maps, gradients = case(pooled)

    def score(maps):
        return net.classifier(net.pool(maps).flatten(1))

    mask = torch.arange(N).view(1, N, 1, 1).expand(1, N, SIZE, SIZE)
    expected = captum.FeatureAblation(score).attribute(maps, target=target, feature_mask=mask)[:, :, 0, 0]
    torch.testing.assert_close(more_cams.ablation_cam_weights(maps, gradients), expected, rtol=0, atol=1e-12)
    cam = F.relu((expected[:, :, None, None] * maps).sum(1))
    torch.testing.assert_close(more_cams.ablation_cam(maps, gradients), cam)


def test_what_is_the_same_under_pooling():
    _, _, _, maps, gradients = case(pooled=True)
    alpha = gradients.mean((2, 3))
    grad_cam = cams.grad_cam(maps, alpha)
    assert grad_cam.any() and (alpha < 0).any()
    torch.testing.assert_close(more_cams.x_grad_cam(maps, gradients), grad_cam)
    torch.testing.assert_close(cams.hires_cam(maps, gradients), grad_cam)
    torch.testing.assert_close(more_cams.layer_cam(maps, gradients), cams.grad_cam(maps, alpha, alpha > 0))
    _, _, _, maps, gradients = case(pooled=False)
    assert not torch.allclose(more_cams.x_grad_cam(maps, gradients), cams.grad_cam(maps, gradients.mean((2, 3))))


@pytest.mark.parametrize("shape", [(2, 5, 2, 3), (2, 7, 2, 2)])  # fewer maps than pixels, and more
def test_eigen_cam_is_the_first_singular_vector(shape):
    maps = np.random.default_rng(0).random(shape)
    found = more_cams.eigen_cam(torch.as_tensor(maps))
    for cam, of_image in zip(found, maps):
        _, values, rows = np.linalg.svd(of_image.reshape(shape[1], -1))  # (N, P)
        assert cam.flatten().numpy() == pytest.approx(np.abs(rows[0]) * values[0])


def test_eigen_cam_sign_scale_and_zeros():
    maps = torch.as_tensor(np.random.default_rng(1).random((1, 3, 2, 2)))
    torch.testing.assert_close(more_cams.eigen_cam(-maps), more_cams.eigen_cam(maps))
    torch.testing.assert_close(more_cams.eigen_cam(1e200 * maps), 1e200 * more_cams.eigen_cam(maps))
    assert not more_cams.eigen_cam(torch.zeros(2, 3, 4, 4)).any()
    constant = more_cams.eigen_cam(torch.full((1, 2, 2, 2), 3.0))
    torch.testing.assert_close(constant, torch.full((1, 2, 2), 3 * 2**0.5))


def test_maps_that_sum_to_zero_have_no_x_weight():
    maps, gradients = torch.tensor([[[[1.0, -1.0]], [[0.0, 0.0]], [[1.0, 1.0]]]]), torch.ones(1, 3, 1, 2)
    assert more_cams.x_grad_cam_weights(maps, gradients).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(
    "method",
    [more_cams.x_grad_cam, more_cams.layer_cam, more_cams.ablation_cam, lambda maps, _: more_cams.eigen_cam(maps)],
)
def test_bad_input_is_refused_by_name(method):
    good = torch.ones(2, 3, 2, 2)
    with pytest.raises(ValueError, match="maps must be"):
        method(torch.ones(2, 3), good)
    with pytest.raises(ValueError, match="maps hold NaN or infinite values for 1 of 2 images"):
        method(torch.where(torch.arange(2).view(2, 1, 1, 1) > 0, torch.nan, good), good)


def test_gradients_that_do_not_fit_are_refused():
    maps = torch.ones(2, 3, 2, 2)
    for method in (more_cams.x_grad_cam, more_cams.layer_cam, more_cams.ablation_cam):
        with pytest.raises(ValueError, match="gradients must be"):
            method(maps, torch.ones(2, 4, 2, 2))
