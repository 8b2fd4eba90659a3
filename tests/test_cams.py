"""CAMs against captum (exact), pytorch-grad-cam, the written formulas, and on bad input."""

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image

from qafs_utils.explanations import cams

B, N, SIZE = 3, 6, 8


class Net(nn.Module):
    """A seeded CNN whose maps are as large as its images: upsampling is the identity in Score-CAM's masks."""

    def __init__(self, stride=1):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.last = nn.Conv2d(8, N, 3, padding=1, stride=stride)
        self.relu = nn.ReLU()
        self.classifier = nn.Linear(N * (SIZE // stride) ** 2, 4)

    def forward(self, images):
        return self.classifier(self.relu(self.last(self.first(images))).flatten(1))


@pytest.fixture(scope="module")
def case():
    """Net in double precision, images, predicted classes, post-ReLU maps, gradients of their logits."""
    net = Net().double().eval()
    images = torch.rand(B, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    maps = F.relu(net.last(net.first(images))).detach().requires_grad_()
    logits = net.classifier(maps.flatten(1))
    target = logits.argmax(1)
    (gradients,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), maps)
    return net, images, target, maps.detach(), gradients


def library_cam(method, net, images, target, layer="relu"):
    """Heatmaps (B, SIZE, SIZE) of a pytorch-grad-cam method for the logits of the target classes."""
    library = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with getattr(library, method)(net, [getattr(net, layer)]) as cam:
        return torch.as_tensor(cam(images, [ClassifierOutputTarget(int(c)) for c in target]))


def test_grad_cam_equals_captum(case):
    captum = pytest.importorskip("captum.attr")
    net, images, target, maps, gradients = case
    layer, exact = captum.LayerGradCam(net, net.relu), {"rtol": 0, "atol": 1e-14}
    expected = layer.attribute(images, target, relu_attributions=True)[:, 0]
    importance = gradients.mean((2, 3))
    torch.testing.assert_close(cams.grad_cam(maps, importance), expected, **exact)
    per_map = F.relu(layer.attribute(images, target, attr_dim_summation=False))
    for a in range(N):
        one_hot = torch.arange(N).expand(B, N) == a
        torch.testing.assert_close(cams.grad_cam(maps, importance, one_hot), per_map[:, a], **exact)


def test_a_sum_of_relus_by_hand():
    maps = torch.tensor([[[[1.0, -2.0]], [[-3.0, 1.0]]]])  # signed, as after BatchNorm
    alpha = torch.tensor([[2.0, -1.0]])  # terms 2, -4 and 3, -1
    assert cams.grad_cam(maps, alpha).tolist() == [[[5, 0]]]
    assert cams.grad_cam(maps, alpha, relu="sum of relus").tolist() == [[[5, 0]]]
    assert cams.grad_cam(maps, -alpha, relu="sum of relus").tolist() == [[[0, 5]]]
    assert cams.grad_cam(maps, alpha.abs()).tolist() == [[[0, 0]]]
    assert cams.grad_cam(maps, alpha.abs(), relu="sum of relus").tolist() == [[[2, 1]]]
    assert cams.grad_cam(maps, alpha.abs(), [[1, 0]], relu="sum of relus").tolist() == [[[2, 0]]]


def test_where_the_relu_stands_matters_for_signed_terms_only(case):
    captum = pytest.importorskip("captum.attr")
    net, images, target, maps, gradients = case
    importance = gradients.mean((2, 3))
    summed = cams.grad_cam(maps, importance, relu="sum of relus")
    terms = captum.LayerGradCam(net, net.relu).attribute(images, target, attr_dim_summation=False)
    torch.testing.assert_close(summed, F.relu(terms).sum(1))
    torch.testing.assert_close(summed, cams.grad_cam(maps, importance, importance > 0))  # filtered Grad-CAM
    assert (summed > cams.grad_cam(maps, importance) + 1e-6).any()
    torch.testing.assert_close(
        cams.grad_cam(maps, importance, importance > 0, relu="sum of relus"),
        cams.grad_cam(maps, importance, importance > 0),
    )
    signed = net.last(net.first(images)).detach()
    summed = cams.grad_cam(signed, importance, relu="sum of relus")
    assert (summed - cams.grad_cam(signed, importance, importance > 0)).abs().max() > 1e-3


def test_selection_restricts_the_sum(case):
    _, _, _, maps, gradients = case
    importance = gradients.mean((2, 3))
    bits = torch.tensor([[1, 0, 1, 0, 0, 1], [0, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    expected = torch.zeros(B, SIZE, SIZE, dtype=maps.dtype)
    for b, a in bits.nonzero().tolist():
        expected[b] += importance[b, a] * maps[b, a]
    torch.testing.assert_close(cams.grad_cam(maps, importance, bits), F.relu(expected))
    filtered = cams.grad_cam(maps, importance, importance > 0)
    torch.testing.assert_close(filtered, cams.grad_cam(maps, F.relu(importance)))
    torch.testing.assert_close(cams.grad_cam(maps, importance, bits.bool().numpy()), F.relu(expected))


def test_empty_selection_and_zero_maps_give_zeros(case):
    _, _, _, maps, gradients = case
    importance = gradients.mean((2, 3))
    empty = torch.zeros(B, N, dtype=torch.bool)
    assert cams.heatmap(cams.grad_cam(maps, importance, empty), 16).eq(0).all()
    zero = torch.zeros_like(maps)
    for cam, by in ((cams.grad_cam, importance), (cams.grad_cam_pp, gradients), (cams.hires_cam, gradients)):
        assert cams.heatmap(cam(zero, by), 16).eq(0).all()
    assert cams.grad_cam(maps[:, :0], importance[:, :0]).eq(0).all()


@pytest.mark.parametrize("layer", ["relu", "last"])
def test_grad_cam_pp_equals_pytorch_grad_cam_with_its_epsilon(case, layer):
    net, images, target, maps, gradients = case
    if layer == "last":
        maps, gradients = net.last(net.first(images)).detach(), gradients * (maps > 0)
    ours = cams.heatmap(cams.grad_cam_pp(maps, gradients, epsilon=1e-6), SIZE)
    expected = library_cam("GradCAMPlusPlus", net, images, target, layer)
    torch.testing.assert_close(ours.float(), expected, rtol=0, atol=1e-5)


def test_grad_cam_pp_eq19_by_hand():
    maps = torch.tensor([[[[1.0, 3.0]], [[2.0, 0.0]], [[0.0, 1.0]]]])
    gradients = torch.tensor([[[[0.5, -1.0]], [[0.0, 2.0]], [[0.0, 0.0]]]])
    # S = 4, 2, 1; alpha = 1 / (2 + g S): 1/4 for g = 0.5, 1/6 for g = 2; negative gradients are cut
    weights = cams.grad_cam_pp_weights(maps, gradients)
    torch.testing.assert_close(weights, torch.tensor([[0.125, 1 / 3, 0.0]]))
    torch.testing.assert_close(cams.grad_cam_pp(maps, gradients), torch.tensor([[[0.125 + 2 / 3, 0.375]]]))
    # alphas of the first map: 1/4, 1/(2 - 4) = -1/2, sum -1/4: normalised -1 and 2
    weights = cams.grad_cam_pp_weights(maps, gradients, variant="authors_code")
    torch.testing.assert_close(weights, torch.tensor([[-0.5, 2.0, 0.0]]))


def test_grad_cam_pp_singular_denominators_give_zero_weight():
    maps, gradients = torch.tensor([[[[-1.0, -3.0]]]]), torch.tensor([[[[0.5, 0.5]]]])  # 2 + g S = 0
    for variant in ("eq19", "authors_code"):
        assert cams.grad_cam_pp_weights(maps, gradients, variant=variant).item() == 0


def test_authors_code_is_filtered_grad_cam_after_global_average_pooling(case):
    _, _, _, maps, gradients = case
    constant = gradients.mean((2, 3), keepdim=True).expand_as(maps)
    importance = constant.mean((2, 3))
    torch.testing.assert_close(
        cams.grad_cam_pp(maps, constant, variant="authors_code"), cams.grad_cam(maps, importance, importance > 0)
    )


def test_epsilon_matters_for_small_gradients(case):
    _, _, _, maps, gradients = case
    small = 1e-3 * gradients / gradients.abs().amax()
    exact, damped = (cams.grad_cam_pp_weights(maps, small, epsilon=e) for e in (0.0, 1e-6))
    assert (damped < 0.7 * exact).all()


def test_hires_cam_equals_pytorch_grad_cam(case):
    net, images, target, maps, gradients = case
    ours = cams.heatmap(cams.hires_cam(maps, gradients), SIZE)
    torch.testing.assert_close(ours.float(), library_cam("HiResCAM", net, images, target), rtol=0, atol=1e-5)


def test_hires_cam_is_complete_for_a_linear_classifier(case):
    net, _, target, maps, gradients = case
    logits = net.classifier(maps.flatten(1)).gather(1, target[:, None])[:, 0]
    signed = cams.hires_cam(maps, gradients) - cams.hires_cam(-maps, gradients)
    torch.testing.assert_close(signed.sum((1, 2)), logits - net.classifier.bias[target])


def test_score_cam_channel_softmax_equals_pytorch_grad_cam(case):
    net, images, target, maps, _ = case
    ours = cams.heatmap(cams.score_cam(maps, net, images, target, variant="channel_softmax", batch_size=5), SIZE)
    torch.testing.assert_close(ours.float(), library_cam("ScoreCAM", net, images, target), rtol=0, atol=1e-5)


def test_score_cam_official_follows_its_loop():
    net = Net(stride=2).double().eval()
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        maps = F.relu(net.last(net.first(images)))
    maps[0, 1], maps[1, 2] = 0, 0.7  # a dead and a constant map: skipped
    calls = []

    def score(x):
        calls.append(len(x))
        return net(x).softmax(1)

    weights = cams.score_cam_weights(maps, score, images, batch_size=4)
    varying = int((maps.amax((2, 3)) > maps.amin((2, 3))).sum())
    assert varying <= 2 * N - 2 and max(calls) == 4 and sum(calls) == 2 + varying
    expected = torch.zeros(2, N, dtype=torch.float64)
    summed = torch.zeros(2, SIZE, SIZE, dtype=torch.float64)
    for b in range(2):
        c = net(images[b : b + 1]).argmax()
        for a in range(N):
            up = F.interpolate(maps[b : b + 1, a : a + 1], (SIZE, SIZE), mode="bilinear", align_corners=False)
            if maps[b, a].max() > maps[b, a].min():
                mask = (up - up.min()) / (up.max() - up.min())
                expected[b, a] = net(images[b : b + 1] * mask).softmax(1)[0, c]
                summed[b] += expected[b, a] * up[0, 0]
    torch.testing.assert_close(weights, expected.detach())
    ours = cams.heatmap(cams.score_cam(maps, score, images), SIZE)
    torch.testing.assert_close(ours, cams.normalise(summed.detach()))
    one_class = cams.score_cam_weights(maps[:1], lambda x: score(x)[:, net(images[:1]).argmax()], images[:1])
    torch.testing.assert_close(one_class, weights[:1])
    assert not weights.requires_grad


def test_score_cam_softmax_over_maps_sums_to_one_and_survives_constant_maps(case):
    net, images, _, maps, _ = case
    maps = maps.clone()
    maps[0], maps[1, 0] = 0.5, 0.0
    weights = cams.score_cam_weights(maps, net, images, variant="channel_softmax")
    torch.testing.assert_close(weights.sum(1), torch.tensor([0.0, 1.0, 1.0], dtype=weights.dtype))
    assert weights[1, 0] == 0


def test_normalise_and_heatmap():
    cam = torch.stack([torch.arange(16.0).view(4, 4), torch.zeros(4, 4), torch.full((4, 4), 0.3)])
    out = cams.normalise(cam)
    assert out[0].min() == 0 and out[0].max() == 1 and out[1:].eq(0).all()
    assert cams.heatmap(cam, 23)[2].eq(0).all()  # interpolation's rounding is not blown up
    assert cams.heatmap(-cam, 8).eq(0).all()
    assert cams.upsample(cam, 8).shape == (3, 8, 8) and cams.upsample(cam, (6, 8)).shape == (3, 6, 8)


def test_two_normalisations_equal_one_after_upsampling():
    cam = torch.rand(4, 7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cam[0, 3, 3] = 2  # an inner peak; one on the border is kept
    before = cams.upsample(cams.normalise(cam), 224)
    torch.testing.assert_close(cams.normalise(before), cams.heatmap(cam, 224))
    assert before[0].max() < 0.99 and cams.heatmap(cam, 224)[0].max() == 1


def bilinear(row, size):
    """Samples of a row of pixels at the centres of a larger row, by the triangle filter of Pillow's bilinear."""
    at = (np.arange(size) + 0.5) * len(row) / size - 0.5
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(len(row))))
    return (weights @ row) / weights.sum(1)


def test_eight_bit_heatmaps_are_those_of_pillow_and_of_a_loop():
    cam = (
        torch.rand(3, 7, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1e-4, 0.0])[:, None, None]
    )
    cam[0, 0, 0] = -1  # cut before it is scaled
    found = cams.heatmap(cam, (56, 40), resampling="8 bit").numpy()
    assert found.shape == (3, 56, 40) and not found[2].any()
    for image, ours in zip(np.maximum(cam.numpy(), 0)[:2], found):
        levels = np.round(255 * (image - image.min()) / (image.max() - image.min()))
        pillow = Image.fromarray(levels.astype(np.uint8)).resize((40, 56), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(ours, np.asarray(pillow) / 255, rtol=1e-6)
        by_hand = np.array([bilinear(column, 56) for column in np.array([bilinear(row, 40) for row in levels]).T]).T
        np.testing.assert_allclose(255 * ours, by_hand, atol=1.01)  # rounded twice
    floats = cams.heatmap(cam[:1], (56, 40))
    assert np.abs(found[:1] - floats.numpy()).max() < 0.2 and not np.allclose(found[:1], floats, atol=1 / 255)
    assert cams.heatmap(cam[:0], 8, resampling="8 bit").shape == (0, 8, 8)


def test_half_precision_and_numpy_input(case):
    _, _, _, maps, gradients = case
    importance = gradients.mean((2, 3))
    cam = cams.grad_cam(maps.half(), importance.numpy())
    assert cam.dtype == torch.float32
    torch.testing.assert_close(cam.double(), cams.grad_cam(maps, importance), rtol=1e-2, atol=1e-4)


def test_bad_input_is_refused_with_a_remedy(case):
    net, images, target, maps, gradients = case
    importance = gradients.mean((2, 3))
    broken = maps.clone()
    broken[1, 0, 0, 0] = float("nan")

    def nan_score(x):
        return net(x) * float("nan")

    for call in (
        lambda: cams.grad_cam(broken, importance),
        lambda: cams.grad_cam_pp(maps, broken),
        lambda: cams.hires_cam(broken, gradients),
        lambda: cams.score_cam(broken, net, images),
        lambda: cams.heatmap(broken[:, 0], 8),
    ):
        with pytest.raises(ValueError, match=r"NaN or infinite .* 1 of 3 images \(first: 1\).*float32"):
            call()
    for call, message in (
        (lambda: cams.grad_cam(maps[0], importance), r"must be \(B, N, H, W\)"),
        (lambda: cams.grad_cam(maps, importance[:, :2]), r"importance must be \(B, N\)"),
        (lambda: cams.grad_cam(maps, importance, np.full((B, N), 3)), "bit-string"),
        (lambda: cams.grad_cam_pp(maps, gradients[:2]), "gradients must be"),
        (lambda: cams.grad_cam_pp(maps, gradients, variant="eq20"), "choose from eq19"),
        (lambda: cams.score_cam(maps, net, images, variant="cic"), "choose from official"),
        (lambda: cams.score_cam(maps, net, images[:2]), "images must be"),
        (lambda: cams.score_cam(maps, net, images, target[:2]), "target must be"),
        (lambda: cams.score_cam(maps, nan_score, images), "scores of images hold NaN"),
        (lambda: cams.score_cam(maps, nan_score, images, target), "scores of masked images hold NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m, g, i: cams.grad_cam(m, [["a"]]), "importance must be"),
        (lambda m, g, i: cams.grad_cam_pp(m, g, epsilon=-1), "epsilon must be"),
        (lambda m, g, i: cams.grad_cam(m, g.mean((2, 3)), relu="relu"), "unknown relu 'relu': choose from sum of"),
        (lambda m, g, i: cams.heatmap(m[:, 0], 8, resampling="8_bit"), "unknown resampling '8_bit'"),
        (lambda m, g, i: cams.heatmap(m[:, 0], 0, resampling="8 bit"), "size must be a whole number"),
        (lambda m, g, i: cams.grad_cam_pp(m, g, variant=["eq19"]), r"unknown Grad-CAM\+\+ variant"),
        (lambda m, g, i: cams.heatmap(m[:, 0], 0), "size must be a whole number"),
        (lambda m, g, i: cams.heatmap(m[:, 0], "8"), "size must be"),
        (lambda m, g, i: cams.heatmap(m[:, 0], (8, 8, 8)), "size must be"),
        (lambda m, g, i: cams.upsample(m, 8), r"CAMs must be \(B, H, W\)"),
        (lambda m, g, i: cams.normalise(torch.tensor([[[-3e38, 3e38]]])), "differences within CAMs must be finite"),
        (lambda m, g, i: cams.score_cam(m, None, (255 * i).byte()), "images must be floats, got torch.uint8"),
        (lambda m, g, i: cams.score_cam(m, lambda x: x, i), r"score must return \(3, classes\)"),
        (lambda m, g, i: cams.score_cam(m, lambda x: x[:1, :, 0, 0], i), "score must return"),
        (lambda m, g, i: cams.score_cam(m, lambda x: x[:, :, 0, 0], i, [0, 1, 3]), "target must be .* 0 to 2"),
        (lambda m, g, i: cams.score_cam(m, lambda x: x[:, :, 0, 0], i, [0, 1, 0.5]), "target must be whole numbers"),
        (lambda m, g, i: cams.score_cam(m, lambda x: x[:, :, 0, 0], i, batch_size=0), "batch_size must be"),
    ],
)
def test_arguments_that_do_not_fit_are_named(case, call, message):
    _, _, images, maps, gradients = case[0], case[2], case[1], case[3], case[4]
    with pytest.raises(ValueError, match=message):
        call(maps, gradients, images)


def test_lists_will_do(case):
    _, _, _, maps, gradients = case
    found = cams.grad_cam(maps.tolist(), gradients.mean((2, 3)).tolist(), [[True] * N] * B)
    torch.testing.assert_close(found, cams.grad_cam(maps, gradients.mean((2, 3))))


HUGE = 3e38


@pytest.mark.parametrize(
    "call",
    [
        lambda: cams.grad_cam(torch.full((1, 2, 2, 2), HUGE), [[HUGE, -HUGE]]),
        lambda: cams.hires_cam(torch.full((1, 2, 2, 2), HUGE), torch.full((1, 2, 2, 2), HUGE)),
        lambda: cams.grad_cam_pp_weights(
            torch.ones(1, 2, 2, 2), torch.full((1, 2, 2, 2), HUGE), variant="authors_code"
        ),
        lambda: cams.grad_cam_pp(torch.full((1, 2, 2, 2), HUGE), torch.full((1, 2, 2, 2), 1e-38)),
    ],
)
def test_results_too_large_for_floats_are_refused(call):
    with pytest.raises(ValueError, match="must be finite, got .* too large: scale them"):
        call()


EMPTY = torch.zeros(2, 0, 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: cams.normalise(EMPTY),
        lambda: cams.upsample(EMPTY, 4),
        lambda: cams.heatmap(EMPTY, 4),
        lambda: cams.grad_cam(EMPTY[None], [[1.0, 1.0]]),
        lambda: cams.hires_cam(EMPTY[None], EMPTY[None]),
        lambda: cams.grad_cam_pp(EMPTY[None], EMPTY[None]),
        lambda: cams.score_cam(EMPTY[None], len, torch.rand(1, 3, 4, 4)),
    ],
)
def test_maps_without_pixels_are_refused(call):
    with pytest.raises(ValueError, match="(CAMs|maps) must have pixels, got shape"):
        call()


@pytest.mark.parametrize("change", [lambda x: x.to(torch.complex64), lambda x: x.to_sparse(), lambda x: x.to("meta")])
@pytest.mark.parametrize(
    "call",
    [
        lambda maps, real: cams.grad_cam(maps, real[:, :, 0, 0]),
        lambda maps, real: cams.grad_cam(real, maps[:, :, 0, 0]),
        lambda maps, real: cams.hires_cam(real, maps),
        lambda maps, real: cams.grad_cam_pp(maps, real),
        lambda maps, real: cams.heatmap(maps[0], 4),
        lambda maps, real: cams.upsample(maps[0], 4),
        lambda maps, real: cams.score_cam(real, lambda x: maps[:, 0, 0, 0], torch.rand(2, 3, 2, 2)),
        lambda maps, real: cams.score_cam(real, lambda x: x[:, 0, 0, 0], maps),
    ],
)
def test_what_is_no_real_number_is_refused(change, call):
    real = torch.rand(2, 3, 2, 2)
    with pytest.raises(ValueError, match="(must be dense real numbers|must be .* numbers), got"):
        call(change(real), real)


@pytest.mark.parametrize("size", [10**9, 10**30, torch.tensor(0), None, (8, 2**16), [4, 4, 4], np.nan, 1 + 0j])
def test_sizes_that_do_not_fit_are_named(size):
    with pytest.raises(ValueError, match="size must be a whole number"):
        cams.upsample(torch.rand(1, 2, 2), size)


@pytest.mark.parametrize("size", [4, 4.0, np.int64(4), torch.tensor(4), (4, 4), [4, 4], np.array([4, 4]), "generator"])
@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.half, torch.float64])
def test_cams_and_sizes_of_any_kind(size, kind):
    cam = torch.tensor([[[0, 1], [1, 0]]]).to(kind)
    expected = F.interpolate(cam[None].double(), size=(4, 4), mode="bilinear", align_corners=False)[0]
    size = iter((4, 4)) if isinstance(size, str) else size
    torch.testing.assert_close(cams.upsample(cam, size).double(), expected)


@pytest.mark.parametrize(
    "score, message",
    [
        (None, "score must be a function of images, got None"),
        ("sum", "score must be a function"),
        (lambda x: None, "what score returns must be"),
        (lambda x: "much", "what score returns must be"),
        (lambda x: {}, "what score returns must be"),
        (lambda x: 1.0, "score must return"),
    ],
)
def test_scores_that_are_none_are_named(score, message):
    with pytest.raises(ValueError, match=message):
        cams.score_cam(torch.rand(2, 3, 2, 2), score, torch.rand(2, 3, 4, 4))


def test_a_score_that_works_in_place_does_not_change_the_images():
    images = torch.rand(2, 3, 4, 4)
    before = images.clone()
    cams.score_cam(torch.rand(2, 3, 2, 2), lambda x: x.sub_(0.5).mean((1, 2, 3)), images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", cams.METHODS)
def test_the_cams_that_are_compared_are_explanation_maps(name):
    rng = torch.Generator().manual_seed(0)
    maps, gradients = torch.rand(2, 5, 4, 3, generator=rng), torch.randn(2, 5, 4, 3, generator=rng)
    cam = cams.METHODS[name](maps, gradients)
    assert cam.shape == (2, 4, 3) and torch.isfinite(cam).all() and (cam >= 0).all() and cam.any()
    torch.testing.assert_close(cams.METHODS[name](maps[1:], gradients[1:]), cam[1:])  # each image by itself
