"""ROAD: what a network says while pixels are removed and filled in from those around them, and blind controls for it.

Rong et al. [rong2022road] (github tleemann/road_evaluation at 76b65c0, road/imputations.py). Removed
pixels become the weighted mean of their eight neighbours, with a little noise, so that their outline says less of the
explanation than a black hole would. Pixels are removed in two orders: "morf", the most relevant first, and "lerf", the
least relevant first. A good explanation loses the class early in the first order and late in the second.

Such measures are reported to favour blurry maps [song2023roar]. So each method has a control of its own, `blind`:
noise of the same smoothness and of the same values, which knows nothing of the image.
"""

import functools
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import scipy.fft
import torch
import torch.nn.functional as F
from joblib import Parallel, delayed
from scipy import sparse
from scipy.sparse.linalg import splu
from tqdm import tqdm

from .. import require
from ..cnn.preprocessing import require_pixels
from ..intervals import mean_with_interval

NEIGHBOURS = {(0, 1): 1 / 6, (1, 0): 1 / 6, (1, 1): 1 / 12, (1, -1): 1 / 12}  # and those opposite: they add up to 1
ORDERS = ("morf", "lerf")
BLIND, CENTRE = "blind ", "centre"  # names of controls: "blind Grad-CAM", one for each method, and one for all


@functools.lru_cache(maxsize=4)
def _laplacian(height, width):
    """Each pixel's sum of weights, minus the weights of its neighbours: sparse, (H * W, H * W), symmetric."""
    index, weights = np.arange(height * width).reshape(height, width), sparse.csr_matrix((height * width,) * 2)
    for (down, right), weight in NEIGHBOURS.items():
        here = index[: height - down, max(0, -right) : width - max(0, right)].ravel()
        there = index[down:, max(0, right) : width - max(0, -right)].ravel()
        pairs = np.concatenate([here, there]), np.concatenate([there, here])
        weights = weights + sparse.csr_matrix((np.full(2 * len(here), weight), pairs), shape=weights.shape)
    return (sparse.diags(np.asarray(weights.sum(1)).ravel()) - weights).tocsr()


def impute(image, removed, *, noise: float = 0.01, seed=0) -> np.ndarray:
    """Noisy linear imputation: image (3, H, W) in [0, 1], removed (H, W) bool  ->  (3, H, W) float32 in [0, 1].

    Each removed pixel is the weighted mean of its neighbours in the image, removed or not: 1/6 for those
    at its sides, 1/12 for those at its corners. Then noise of this standard deviation is added to the removed pixels,
    and the result is cut off at 0 and 1, which that code leaves out. Raises ValueError if no pixel is left.

    >>> image = np.zeros((3, 1, 4)) + [0.2, 0.0, 0.0, 0.8]
    >>> impute(image, [[False, True, True, False]], noise=0)[0].round(3)
    array([[0.2, 0.4, 0.6, 0.8]], dtype=float32)
    """
    sizes = {}
    image = require.array("image", image, "C H W", sizes, "[-0.001, 1.001]")
    removed = require.bits("removed", removed, "H W", sizes).ravel()
    noise, rng = require.number("noise", noise, "[0, inf)"), require.generator("seed", seed)
    if removed.all():
        raise ValueError("every pixel is removed: there is nothing left to fill the image from")
    flat = image.reshape(len(image), -1).T.copy()  # (H * W, C)
    if removed.any():
        rows = _laplacian(*image.shape[1:])[removed]
        known = -(rows[:, ~removed] @ flat[~removed])
        system = rows[:, removed].tocsc()
        solved = splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        flat[removed] = solved.solve(known) + noise * rng.normal(size=known.shape)
    return flat.T.reshape(image.shape).clip(0, 1).astype(np.float32)


def ranks(heatmap, *, seed: int = 0) -> np.ndarray:
    """Rank of each pixel, 0 for the most relevant: (B, H, W)  ->  (B, H, W) int. Equals come in a seeded random order.

    >>> ranks([[[0.1, 0.9, 0.5]]])
    array([[[2, 0, 1]]])
    """
    heatmap = require.array("heatmap", heatmap, "B H W")
    flat = heatmap.reshape(len(heatmap), heatmap.shape[1] * heatmap.shape[2])
    shuffle = require.generator("seed", seed).permutation(flat.shape[1])
    order = shuffle[np.argsort(-flat[:, shuffle], axis=1, kind="stable")]
    return order.argsort(axis=1).reshape(heatmap.shape)


def removed(rank, fraction: float, order: str) -> np.ndarray:
    """The pixels that are gone at a fraction: ranks (..., H, W)  ->  bool; order: "morf" or "lerf".

    >>> removed(np.array([[2, 0, 1, 3]]), 0.25, "morf"), removed(np.array([[2, 0, 1, 3]]), 0.25, "lerf")
    (array([[False,  True, False, False]]), array([[False, False, False,  True]]))
    """
    fraction, pixels = require.number("fraction", fraction, "[0, 1]"), rank.shape[-2] * rank.shape[-1]
    count = round(fraction * pixels)
    return rank < count if require.choice("order", order, ORDERS) == "morf" else rank >= pixels - count


def blind(cam, *, seed=0, steps: int = 16) -> torch.Tensor:
    """Noise as smooth as each explanation and of the same values, which knows nothing of the image: (B, H, W) of both.

    The signs of the explanation's cosine transform are drawn at random, which keeps its power at each wavelength. The
    noise's values are then replaced, in their order, by the explanation's: equal values give a mask of equal area,
    whatever the masking. That changes the smoothness a little, so short wavelengths are first damped, or raised, as
    much as makes `smoothness` equal to the explanation's (by bisection, image by image; surrogates of equal power and
    values are those of Theiler et al. [theiler1992surrogate]).

    >>> cam = torch.tensor([[[0.0, 1.0, 4.0], [0.0, 0.0, 2.0]]])
    >>> noise = blind(cam)
    >>> bool((noise == cam).all()), noise.flatten().sort().values
    (False, tensor([0., 0., 0., 1., 2., 4.]))
    """
    found = require.tensor("explanations", cam, "B H W")
    values, rng = found.double().cpu().numpy(), require.generator("seed", seed)
    signs = rng.choice([-1.0, 1.0], values.shape)
    signs[:, 0, 0] = 1.0
    power = np.abs(scipy.fft.dctn(values, axes=(1, 2), norm="ortho")) * signs
    ordered, (height, width) = np.sort(values.reshape(len(values), -1), axis=1), values.shape[1:]
    short = (np.arange(height)[:, None] / height) ** 2 + (np.arange(width) / width) ** 2  # squared wave numbers

    def made(damping):
        noise = scipy.fft.idctn(power * np.exp(-damping[:, None, None] * short), axes=(1, 2), norm="ortho")
        rank = noise.reshape(ordered.shape).argsort(axis=1, kind="stable").argsort(axis=1)
        return np.take_along_axis(ordered, rank, axis=1).reshape(values.shape)

    wanted, low, high = smoothness(values), np.full(len(values), -4.0), np.full(len(values), 12.0)
    for _ in range(require.whole("steps", steps, 1)):
        middle = (low + high) / 2
        smoother = smoothness(made(middle)) > wanted
        low, high = np.where(smoother, low, middle), np.where(smoother, middle, high)
    return torch.as_tensor(made((low + high) / 2)).to(found)


def smoothness(cam) -> np.ndarray:
    """Correlation of neighbouring pixels, of rows and columns together: (B, H, W)  ->  (B,), NaN for constant ones.

    >>> smoothness([[[0.0, 1.0], [0.0, 1.0]]]).round(3)  # -1 along the rows, 1 along the columns
    array([0.])
    """
    cam = require.array("explanations", cam, "B H W")
    here = np.concatenate([cam[:, :-1].reshape(len(cam), -1), cam[:, :, :-1].reshape(len(cam), -1)], 1)
    there = np.concatenate([cam[:, 1:].reshape(len(cam), -1), cam[:, :, 1:].reshape(len(cam), -1)], 1)
    mean, spread = cam.mean((1, 2))[:, None], cam.var((1, 2))
    covariance = ((here - mean) * (there - mean)).mean(1)
    varies = spread > 1e-12 * np.abs(cam).max((1, 2), initial=0) ** 2
    return np.divide(covariance, spread, out=np.full(len(cam), np.nan), where=varies)


def answers(
    score: Callable,
    photographs,
    heatmaps: Mapping,
    target,
    *,
    fractions,
    size: int = 224,
    noise: float = 0.01,
    seed: int = 0,
    batch: int = 50,
    n_jobs: int | None = None,
    desc: str = "ROAD",
) -> dict[str, np.ndarray]:
    """Probability of a class while pixels are removed in both orders  ->  {method: (B, 2, F, 2)}.

    score: pixels (n, 3, size, size) -> probabilities (n, C); photographs (B, 3, h, w) in [0, 1]: pixels are removed
    and filled in there, before the image is enlarged for the network, or the enlarged copy's other pixels would tell
    what was removed; heatmaps: {method: (B, h, w)}; target: (B,) classes; fractions: F of the pixels, below 1.
    Axes: image, order of `ORDERS`, fraction, and then two numbers: the probability of the class, and whether it is
    still the likeliest one (1 or 0), which does not depend on the scale of the logits. n_jobs: processes that fill in,
    on which the answer does not depend. Where two methods remove the same pixels of an image, it is scored once.

    >>> brightness = lambda pixels: torch.stack([pixels.mean((1, 2, 3)), 1 - pixels.mean((1, 2, 3))], 1)
    >>> photograph, heatmap = torch.zeros(1, 3, 2, 2) + torch.tensor([1.0, 0.0]), torch.tensor([[[1.0, 0.0]] * 2])
    >>> found = answers(brightness, photograph, {"left": heatmap}, [0], fractions=[0.5], size=2, noise=0)
    >>> found["left"][0, :, 0, 0]  # without the bright half all is dark
    array([0., 1.])
    """
    sizes, known, found = {}, {}, {}
    photographs = require_pixels("photographs", photographs, sizes)
    target = torch.as_tensor(require.indices("target", target, "B", 2**31, sizes))
    images = photographs.numpy()
    for method, heatmap in tqdm(heatmaps.items(), desc=desc, unit="method"):
        require.shape("heatmaps", np.shape(heatmap), "B H W", sizes)
        rank, keys = ranks(heatmap, seed=seed), []
        for order in ORDERS:
            for fraction in fractions:
                keys.append([(i, np.packbits(mask).tobytes()) for i, mask in enumerate(removed(rank, fraction, order))])
        new = list(dict.fromkeys(key for row in keys for key in row if key not in known))
        for some in (new[start : start + batch] for start in range(0, len(new), batch)):
            masks = [np.unpackbits(np.frombuffer(key, np.uint8))[: images[0, 0].size] for _, key in some]
            jobs = [
                delayed(impute)(images[i], mask.reshape(images.shape[2:]).astype(bool), noise=noise, seed=[seed, i])
                for (i, _), mask in zip(some, masks)
            ]
            filled = torch.as_tensor(np.stack(Parallel(n_jobs=n_jobs)(jobs)))
            large = F.interpolate(filled, size=(size, size), mode="bilinear", align_corners=False)
            said, rows = score(large), target[[i for i, _ in some]]
            own = said.gather(1, rows[:, None])[:, 0]
            known |= zip(some, zip(own.tolist(), (said.argmax(1) == rows).double().tolist()))
        said_of = np.array([[known[key] for key in row] for row in keys])
        found[method] = np.moveaxis(said_of.reshape(len(ORDERS), len(fractions), len(images), 2), 2, 0)
    return found


def scores(found: Mapping[str, np.ndarray], *, kept: bool = True) -> dict[str, np.ndarray]:
    """ROAD of each image, LeRF minus MoRF, mean over fractions: of `answers`, {method: (B, 2, F, 2)}, {method: (B,)}.

    kept: of "is the class still the likeliest", else of its probability. From -1 to 1; 0 if the order does not matter.

    >>> scores({"best": np.array([[[[0.1, 0.0]], [[0.9, 1.0]]]])})
    {'best': array([1.])}
    """
    place = int(require.flag("kept", kept))
    return {name: (values[:, 1] - values[:, 0])[..., place].mean(1) for name, values in found.items()}


def with_controls(cams: Mapping[str, torch.Tensor], centre: torch.Tensor, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """Explanations with their controls: each method's `blind` one, and one map, (H, W), for all images.

    >>> list(with_controls({"Grad-CAM": torch.eye(3)[None]}, torch.eye(3)))
    ['Grad-CAM', 'blind Grad-CAM', 'centre']
    """
    noise = {BLIND + name: blind(cam, seed=seed) for name, cam in cams.items()}
    count = len(next(iter(cams.values())))
    return {**cams, **noise, CENTRE: centre.expand(count, -1, -1)}


def against_controls(values: Mapping[str, np.ndarray], *, n_resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Does a measure tell methods from what knows nothing of the image? {name: (B,)} with controls  ->  a table.

    names: as `with_controls` gives them. A row a method: images, value with its 95 % interval over images (low, high);
    blind, centre: means of the controls; minus_blind and minus_centre, paired image by image, with _low and _high.

    >>> found = against_controls({"a": np.ones(3), "blind a": np.zeros(3), "centre": np.ones(3)}, n_resamples=10)
    >>> found[["method", "value", "minus_blind", "minus_centre"]].values.tolist()
    [['a', 1.0, 1.0, 0.0]]
    """
    rows, given = [], {"n_resamples": n_resamples, "seed": seed}
    for method in (name for name in values if not name.startswith(BLIND) and name != CENTRE):
        own, row = np.asarray(values[method]), {"method": method, "images": len(values[method])}
        row |= mean_with_interval(own, **given)
        for kind, name in (("blind", BLIND + method), ("centre", CENTRE)):
            row[kind], found = float(np.mean(values[name])), mean_with_interval(own - values[name], **given)
            row |= {
                f"minus_{kind}{part}": found[key] for part, key in (("", "value"), ("_low", "low"), ("_high", "high"))
            }
        rows.append(row)
    return pd.DataFrame(rows)
