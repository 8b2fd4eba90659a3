"""Masks on cases worked out by hand, their invariants, and bad input."""

import numpy as np
import pytest
import torch

from qafs_utils.explanations import masks
from qafs_utils.explanations.average_drop import DEFINITIONS, AverageDropDefinition

SOFT, HARD, TOP = (DEFINITIONS[name].masking for name in ("grad_cam_pp", "threshold_0.5", "top_half"))


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(4, 3, 6, 6, generator=generator), torch.rand(4, 6, 6, generator=generator)


def test_masks_by_hand():
    heat = torch.tensor([[[0.0, 0.2], [0.5, 1.0]]])
    assert torch.equal(masks.kept(heat, SOFT), heat)
    assert masks.kept(heat, HARD).flatten().tolist() == [0, 0, 1, 1]
    assert masks.kept(heat, TOP).flatten().tolist() == [0, 0, 1, 1]
    assert masks.kept(heat, AverageDropDefinition("threshold", 0.0).masking).sum() == 3  # zeros never kept
    assert masks.kept(heat, AverageDropDefinition("top_fraction", 0.0).masking).sum() == 0
    assert masks.kept(heat, AverageDropDefinition("top_fraction", 1.0).masking).sum() == 3
    np.testing.assert_allclose(masks.area(heat, SOFT), [0.425])
    np.testing.assert_allclose(masks.area(heat, TOP), [0.5])
    np.testing.assert_allclose(masks.area(heat.numpy(), HARD), [0.5])


def test_ties_at_the_cut_of_a_top_fraction():
    heat = torch.tensor([[[0.3, 0.3], [0.3, 1.0]]])
    assert masks.area(heat, TOP).item() == 1  # all that tie are kept
    mostly_zero = torch.tensor([[[0.0, 0.0], [0.0, 1.0]]])
    assert masks.area(mostly_zero, TOP).item() == 0.25  # fewer positive pixels than the fraction


@pytest.mark.parametrize("name", DEFINITIONS)
def test_all_ones_keeps_the_image_and_all_zeros_masks_it(batch, name):
    images, heat = batch
    masking = DEFINITIONS[name].masking
    assert torch.equal(masks.apply(images, torch.ones_like(heat), masking), images)
    assert masks.area(torch.ones_like(heat), masking).tolist() == [1] * 4
    blank = masks.apply(images, torch.zeros_like(heat), masking)
    expected = images.mean((2, 3), keepdim=True) if masking.fill == "mean" else torch.zeros(())
    torch.testing.assert_close(blank, expected.expand_as(images))


def test_fills(batch):
    images, heat = batch
    torch.testing.assert_close(masks.apply(images, heat, SOFT), images * heat[:, None])
    expected = images * heat[:, None] + images.mean((2, 3), keepdim=True) * (1 - heat[:, None])
    torch.testing.assert_close(masks.apply(images, heat, DEFINITIONS["mean_fill"].masking), expected)


def test_pixel_sequence(batch):
    images, heat = batch
    insertion = list(masks.pixel_sequence(images, heat, steps=4))
    deletion = list(masks.pixel_sequence(images, heat, steps=4, mode="deletion"))
    assert len(insertion) == 5
    assert insertion[0].eq(0).all() and torch.equal(insertion[-1], images)
    for shown, hidden in zip(insertion, deletion, strict=True):
        torch.testing.assert_close(shown + hidden, images)
    threshold = heat.flatten(1).sort(1).values[:, -9]  # 9 of 36 pixels come first
    torch.testing.assert_close(insertion[1], images * (heat >= threshold[:, None, None])[:, None])
    ties = list(masks.pixel_sequence(images, torch.zeros_like(heat), steps=2))[1]
    assert (ties[:, :, :3] == 0).any() and (ties[:, :, 3:] != 0).any()  # not in raster order


@pytest.mark.parametrize("name", ["grad_cam_pp", "threshold_0.5", "top_half"])
def test_match_area_gives_the_area_and_keeps_the_ranking(name):
    masking = DEFINITIONS[name].masking
    noise = torch.rand(5, 40, 40, generator=torch.Generator().manual_seed(0))
    area = torch.tensor([0.0, 0.02, 0.17, 0.4, 0.5])
    matched = masks.match_area(noise, area, masking)
    tolerance = 1e-5 if masking.mask == "soft" else 1 / 1600
    np.testing.assert_allclose(masks.area(matched, masking), area, atol=tolerance)
    assert not matched[0].any()
    order = noise[2].flatten().argsort()
    assert (matched[2].flatten()[order].diff() >= 0).all()


@pytest.mark.parametrize("area", [[0.5, np.nan], [0.5, 1.2], [0.5]])
def test_match_area_refuses(area):
    with pytest.raises(ValueError, match="^area "):
        masks.match_area(torch.rand(2, 4, 4), area, DEFINITIONS["grad_cam_pp"].masking)


def test_bad_input_is_refused(batch):
    images, heat = batch
    for call, message in (
        (lambda: masks.kept(heat * 2, SOFT), r"in \[0, 1\]"),
        (lambda: masks.kept(heat * float("nan"), HARD), "NaN"),
        (lambda: masks.kept(heat[0], SOFT), r"\(B, H, W\)"),
        (lambda: masks.apply(images, heat[:2], SOFT), "images must be"),
        (lambda: next(masks.pixel_sequence(images, heat, mode="up")), "unknown mode"),
        (lambda: next(masks.pixel_sequence(images, heat[:, :2])), "images must be"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    "call",
    [
        lambda images, heat: masks.apply(images, heat, SOFT),
        lambda images, heat: next(masks.pixel_sequence(images, heat)),
    ],
)
@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x: (255 * x).byte(), "images must be pixels in .* got torch.uint8: preprocessing.to_pixels"),
        (lambda x: (255 * x).byte().numpy(), "images must be pixels in .* got torch.uint8"),
        (lambda x: 255 * x, "images must lie in .*preprocessing.to_pixels"),
        (lambda x: x * torch.nan, "images must be finite"),
        (lambda x: x[0], "images must be"),
    ],
)
def test_images_that_are_no_pixels_are_refused(batch, call, change, message):
    images, heat = batch
    with pytest.raises(ValueError, match=message):
        call(change(images), heat)


def test_what_is_ranked_and_how():
    whole = torch.tensor([[[0, 1], [1, 1]]])  # of integers, as a mask of 0 and 1 often is
    assert masks.area(masks.match_area(whole, [0.75], HARD), HARD).tolist() == [0.75]
    assert masks.kept(whole, SOFT).is_floating_point()
    noise = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert not masks.match_area(noise, [0.001], HARD).any()  # the nearest number of pixels is none
    assert masks.match_area(noise, np.array([1 / 16]), HARD).sum() == 1


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda i, h: masks.match_area(3 * h, [0.5] * 4, SOFT), "heatmap must lie in"),
        (lambda i, h: masks.match_area(h * torch.nan, [0.5] * 4, HARD), "heatmap must be finite, got NaN"),
        (lambda i, h: masks.match_area(h, [], HARD), r"area must be \(B,\) = \(4,\)"),
        (lambda i, h: masks.kept(h, "soft"), "masking must be that of an AverageDropDefinition, got 'soft'"),
        (lambda i, h: masks.kept(h, None), "masking must be that of"),
        (lambda i, h: masks.pixel_sequence(i, h, steps=0), "steps must be a whole number of at least 1, got 0"),
        (lambda i, h: masks.pixel_sequence(i, h, steps=2.5), "steps must be"),
        (lambda i, h: masks.pixel_sequence(i, h, seed="a"), "seed must be"),
        (lambda i, h: masks.pixel_sequence(i, h, baseline=torch.zeros(5)), "baseline must be a number, or a tensor"),
        (lambda i, h: masks.pixel_sequence(i, h, baseline=128), "baseline must lie in"),
        (lambda i, h: masks.pixel_sequence(i, h * torch.nan), "heatmap must be finite, got NaN"),
        (lambda i, h: masks.pixel_sequence(i, h, mode=["insertion"]), "unknown mode"),
    ],
)
def test_arguments_that_do_not_fit_are_named(batch, call, message):
    with pytest.raises(ValueError, match=message):
        call(*batch)


@pytest.mark.parametrize(
    "baseline",
    [None, "a", {}, np.array([None, 1], object), 1j, [1j], torch.ones(1) * 1j, np.inf, iter("ab"), torch.zeros(0)],
)
def test_what_is_no_baseline_is_named(batch, baseline):
    with pytest.raises(ValueError, match="^baseline must"):
        masks.pixel_sequence(*batch, baseline=baseline)


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, iter, lambda row: torch.tensor(row).requires_grad_()])
def test_baselines_of_any_kind(batch, kind):
    row = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    first = next(masks.pixel_sequence(*batch, baseline=kind(row)))
    torch.testing.assert_close(first, torch.tensor(row).expand(4, 3, 6, 6))


def test_masks_and_sequences_are_the_callers_own(batch):
    images, heat = batch
    expected, given = list(masks.pixel_sequence(images, heat, steps=2)), images.clone()
    sequence, baseline = masks.pixel_sequence(given, heat, steps=2, baseline=(zero := torch.zeros(1))), heat.clone()
    masks.kept(heat, SOFT)[...] = 0
    given[...], zero[...] = 1, 1
    assert torch.equal(heat, baseline) and all(map(torch.equal, sequence, expected))


@pytest.mark.parametrize(
    "call",
    [
        lambda h: masks.kept(h, TOP),
        lambda h: masks.area(h, SOFT),
        lambda h: masks.match_area(h, [0.5] * 2, SOFT),
        lambda h: masks.apply(torch.zeros(2, 3, 0, 4), h, SOFT),
        lambda h: masks.pixel_sequence(torch.rand(2, 3, 0, 4), h),
    ],
)
def test_heatmaps_without_pixels_are_refused(call):
    with pytest.raises(ValueError, match="heatmap must have pixels"):
        call(torch.zeros(2, 0, 4))


def test_of_no_images_there_are_no_masks():
    for masking in (SOFT, HARD, TOP):
        assert masks.match_area(torch.zeros(0, 4, 4), [], masking).shape == (0, 4, 4)
        assert masks.area(torch.zeros(0, 4, 4), masking).shape == (0,)


def test_a_masking_in_part_is_refused(batch):
    with pytest.raises(ValueError, match="masking must be that of"):
        masks.apply(*batch, type("Masking", (), {"mask": "soft"})())
