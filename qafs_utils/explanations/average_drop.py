"""Average Drop by explicit definition (paper, Eq. 8), and the area under insertion and deletion curves.

All is NumPy, from the network's logits on. Functions raise ValueError, naming the argument, for a wrong shape, type or
range, an unknown choice, and NaN or infinity; but NaN among per-image values means "excluded".
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .. import require
from ..intervals import MOST, SUMMABLE, nan_mean

_NETWORK = ": check the images and the network's precision"


class Masking(NamedTuple):
    """What decides which masked image the network sees: `AverageDropDefinition.masking`, a key for masked logits."""

    mask: str
    value: float | None
    fill: str
    resampling: str = "float"


@dataclass(frozen=True)
class AverageDropDefinition:
    """Every choice that Average Drop leaves open; an unknown or missing choice raises ValueError.

    mask: "soft" (heatmap times image), "threshold" (keep heatmap >= value) or "top_fraction" (keep that
    fraction `value` of the pixels whose heatmap is largest); value: in [0, 1], None for soft.
    Hard masks keep pixels exactly at their cut, but never those of heatmap 0: an all-zero heatmap masks the whole
    image, and a top fraction keeps less if fewer pixels are positive.
    fill: masked pixels become "black" (0) or the "mean" colour.
    resampling: of the CAM to a soft mask, in "float" or as an "8 bit" image (`cams.heatmap`).
    score, target: Y and O are the "softmax" probability or the "logit" of the class "predicted" on the full
    image or of the "true" one. average: over "all" images or those predicted "correct"ly.
    clip: whether a score that grows under the mask counts as no drop, as in Eq. 8, or as a negative one.

    >>> AverageDropDefinition("top_fraction", 0.5, score="logit").masking == DEFINITIONS["top_half"].masking
    True
    >>> AverageDropDefinition("soft", 0.5)
    Traceback (most recent call last):
    ValueError: value must be None for a soft mask, got 0.5
    """

    mask: str = "soft"
    value: float | None = None
    fill: str = "black"
    resampling: str = "float"
    score: str = "softmax"
    target: str = "predicted"
    average: str = "all"
    clip: bool = True

    CHOICES = {
        "mask": ("soft", "threshold", "top_fraction"),
        "fill": ("black", "mean"),
        "resampling": ("float", "8 bit"),
        "score": ("softmax", "logit"),
        "target": ("predicted", "true"),
        "average": ("all", "correct"),
    }

    def __post_init__(self):
        for name, choices in self.CHOICES.items():
            require.choice(name, getattr(self, name), choices)
        if self.mask != "soft":
            require.number(f"value of the mask {self.mask}", self.value, "[0, 1]")
        elif self.value is not None:
            raise ValueError(f"value must be None for a soft mask, got {require.described(self.value)}")
        if self.mask != "soft" and self.resampling == "8 bit":
            raise ValueError(f"resampling '8 bit' is that of a soft mask, not of {self.mask!r}: choose 'float'")
        require.flag("clip", self.clip)

    @property
    def masking(self) -> Masking:
        """Key of the masked images (`masks.apply`): definitions of equal masking share their masked logits."""
        return Masking(self.mask, self.value, self.fill, self.resampling)


DEFINITIONS = {
    "grad_cam_pp": AverageDropDefinition(),  # [chattopadhay2018gradcampp], Sec. 4.1: the default
    "correct_only": AverageDropDefinition(average="correct"),
    "true_class": AverageDropDefinition(target="true"),
    "logit": AverageDropDefinition(score="logit"),
    "unclipped": AverageDropDefinition(clip=False),  # the average of the paper's authors for Grad-CAM++
    "8_bit": AverageDropDefinition(resampling="8 bit"),  # how they make the mask of a selection
    "mean_fill": AverageDropDefinition(fill="mean"),
    "threshold_0.15": AverageDropDefinition("threshold", 0.15),  # the cut of [selvaraju2017gradcam]
    "threshold_0.5": AverageDropDefinition("threshold", 0.5),
    "top_half": AverageDropDefinition("top_fraction", 0.5),
}
DEFAULT = DEFINITIONS["grad_cam_pp"]


def _scores(logits_full, logits_masked, labels, definition):
    """Scores Y, O of full and masked images and which images the definition averages over: three (N,)."""
    import scipy.special  # a tenth of a second to import

    sizes = {}
    full = require.array("logits_full", logits_full, "N C", sizes, SUMMABLE, remedy=_NETWORK)
    masked = require.array("logits_masked", logits_masked, "N C", sizes, SUMMABLE, remedy=_NETWORK)
    require.whole("C, the number of classes (tensors.two_classes makes two of one logit),", sizes["C"], 2)
    labels = require.indices("labels", labels, "N", sizes["C"], sizes)
    if not isinstance(definition, AverageDropDefinition):
        known = "an AverageDropDefinition, or one of DEFINITIONS by its key"
        raise ValueError(f"definition must be {known}, got {require.described(definition)}")
    predicted = full.argmax(1)
    target = predicted if definition.target == "predicted" else labels
    if definition.score == "softmax":
        full, masked = scipy.special.softmax(full, axis=1), scipy.special.softmax(masked, axis=1)
    rows = np.arange(len(full))
    counted = (predicted == labels) | (definition.average == "all")
    return full[rows, target], masked[rows, target], counted


def drops(logits_full, logits_masked, labels, definition: AverageDropDefinition = DEFAULT) -> np.ndarray:
    """Drop of each image in percent, 100 max(0, Y - O) / Y ([chattopadhay2018gradcampp]; paper, Eq. 8).

    logits of full and masked images: (N, C), labels: (N,) true classes in 0..C-1  ->  (N,). NaN are images outside
    the averaging set, and those of Y <= 0, where the ratio means nothing (a probability that underflows to 0, a
    logit that is not positive). A softmax drop lies in [0, 100]; a logit drop exceeds 100 if the masked logit is < 0.
    Without the definition's clip it is 100 (Y - O) / Y, negative where the score grows.

    >>> full, masked = np.log([[0.8, 0.2], [0.4, 0.6]]), np.log([[0.6, 0.4], [0.3, 0.7]])  # probabilities
    >>> drops(full, masked, [0, 0]).round(9)  # 0.8 -> 0.6; 0.6 -> 0.7
    array([25.,  0.])
    >>> drops(full, masked, [0, 0], DEFINITIONS["correct_only"]).round(9)
    array([25., nan])
    >>> drops(full, masked, [0, 0], DEFINITIONS["unclipped"]).round(9)
    array([ 25.        , -16.66666667])
    """
    full, masked, counted = _scores(logits_full, logits_masked, labels, definition)
    counted = counted & (full > 0)
    lost = np.maximum(0, full - masked) if definition.clip else full - masked
    with np.errstate(over="ignore"):
        percent = np.where(counted, 100 * lost / np.where(counted, full, 1), np.nan)
    require.values("drops", percent, nan=True, remedy=": a logit is too near 0, take the score softmax")
    return percent


def increases(logits_full, logits_masked, labels, definition: AverageDropDefinition = DEFAULT) -> np.ndarray:
    """100 for each image whose score grows under the mask (O > Y), 0 for the others, NaN if excluded: (N,).

    Arguments as for `drops`; only the averaging set excludes images, since O > Y needs no positive Y.

    >>> increases(np.log([[0.8, 0.2], [0.4, 0.6]]), np.log([[0.6, 0.4], [0.3, 0.7]]), [0, 0])
    array([  0., 100.])
    """
    full, masked, counted = _scores(logits_full, logits_masked, labels, definition)
    return np.where(counted, 100.0 * (masked > full), np.nan)


def average_drop(logits_full, logits_masked, labels, definition: AverageDropDefinition = DEFAULT) -> float:
    """Average Drop in percent, lower is better: mean of `drops`, NaN if every image is excluded.

    >>> full, masked = np.log([[0.8, 0.2], [0.4, 0.6]]), np.log([[0.6, 0.4], [0.3, 0.7]])
    >>> round(average_drop(full, masked, [0, 0]), 9)  # mean of 25 and 0
    12.5
    """
    return nan_mean(drops(logits_full, logits_masked, labels, definition))


def by_class(values, labels, n_classes: int) -> np.ndarray:
    """Mean per class: values (N,), labels (N,) in 0..n_classes-1  ->  (n_classes,), NaN values ignored.

    labels may be true or predicted classes. A class without values (never predicted, say) is NaN.

    >>> by_class([1.0, 3.0, np.nan, 5.0], [0, 0, 0, 2], 3)
    array([ 2., nan,  5.])
    """
    sizes, n_classes = {}, require.whole("n_classes", n_classes, 1, MOST)
    values = require.array("values", values, "N", sizes, SUMMABLE, nan=True)
    labels = require.indices("labels", labels, "N", n_classes, sizes)
    return np.array([nan_mean(values[labels == c]) for c in range(n_classes)])


def area_under_curve(curve) -> np.ndarray:
    """Insertion or deletion AUC (RISE): scores (..., T) at T >= 2 evenly spaced fractions 0..1  ->  (...).

    Of the images of `masks.pixel_sequence`, by the trapezoidal rule. Raises ValueError for T < 2, NaN and infinity.

    >>> float(area_under_curve([0.0, 0.5, 1.0]))
    0.5
    """
    curve = require.array("curve", curve, "... T", interval=SUMMABLE)
    require.whole("T, the points of the curve,", curve.shape[-1], 2)
    return np.trapezoid(curve, axis=-1) / (curve.shape[-1] - 1)
