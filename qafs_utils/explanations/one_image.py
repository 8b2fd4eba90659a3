"""From photographs to explanations in one call, `qafs_utils.explain`: maps, importance, QUBO, selection, map."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # PyTorch takes two seconds to import: whoever calls waits, not whoever imports
    from torch import nn

    from ..cnn.checkpoints import Trained
    from ..conventions import Conventions
    from .batches import Batches
    from .explanation import Explanation


def explain(
    image,
    model: str | Trained | nn.Module,
    *,
    conventions: str | Conventions = "headline",
    beta: float | None = None,
    solver: str = "exact",
    layer: str | None = None,
    class_index=None,
    size: int | None = None,
    pair_sum: str | None = None,
    image_size: int | None = None,
    class_names=None,
    weigh: Callable | None = None,
    seed: int | None = 0,
    reshape: Callable | None = None,
    mean=None,
    deviation=None,
    batch: int = 8,
    on_error: str = "raise",
    **options,
) -> Explanation | list[Explanation]:
    """Explain a network's class for an image, or for each of several, with the maps that the QUBO selects.

    image: as for `read_image`; it is stretched to a square. Several: a list, a generator, a data set or its loader, or
    uint8 (B, 3, h, w); of pairs (image, label) the label is not used. They give a list, as they would one by one.
    model: "nf16", "nf24", "nf32" or "nf512" (the published heads on the ImageNet trunk, ten classes of STL-10), a
    `Trained`, or any network in eval mode with logits (B, classes), or one logit (B, 1) for two classes.

    - conventions: "headline", "text", "authors", "signed", or a `Conventions`: candidates, field, pair sum, beta, what
      a solver's options are if not given, ReLU and resampling of the explanation map, and a head's stage if there is
      no layer. The network is as it is, whatever they say of its training.
    - layer: whose maps; a name of `model.named_modules()`, or for the compendium's networks a stage of the head
      ("conv", "bn", "relu"). None: that of the conventions, after the block; of other networks the last one with
      maps of several pixels (`layers.find_layer`).
    - class_index: the class to explain, a number or one of class_names; for None the predicted one, or class 1 of one
      logit. For several images one class, or a list of one an image.
    - beta, pair_sum: of Eq. 4, in place of those of the conventions. solver, size (exactly so many maps), seed, and the
      solver's own options, such as time_limit of "exact": as for `select`.
    - image_size: of the network's input, 224 by default.
    - class_names: for labels, in the order of the classes, or a dict by their numbers.
    - weigh: importance in place of Eq. 1, a function of maps and gradients, tensors (1, N_f, H, W)  ->  (1, N_f).
    - reshape: makes maps of a transformer's layer, as for `extraction.capture_layer`.
    - mean, deviation: what the network's input is normalised with, a number a channel for pixels in [0, 1]; None for
      ImageNet's. Of one channel, the network sees the image in grey.
    - batch: images in a forward pass. on_error: of several images, "raise" the first error, which names the image, or
      "keep" each in the place of its explanation, and warn.

    Raises DataError for an unreadable file and missing weights, NoPositiveMapError when no map speaks for the class,
    ValueError for what does not fit: conventions, image, model, layer (maps of one pixel), class, weigh, beta, size,
    solver; ArtefactError without the published heads, MemoryError for an anneal of too many maps, and HardwareError
    from D-Wave's machines.

    >>> found = explain("photograph.jpg", "nf16", beta=0.7)  # doctest: +SKIP
    >>> import numpy as np
    >>> from qafs_utils.cnn.pretrained import resnet18
    >>> image = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    >>> found = explain(image, resnet18("random"), layer="layer3", size=5)
    >>> found.maps.shape, found.selected.sum(), found.info["proven"]
    ((256, 14, 14), np.int64(5), True)
    >>> [one.selected.sum() for one in explain([image, image[::-1]], resnet18("random"), layer="layer3", size=5)]
    [np.int64(5), np.int64(5)]
    """
    from ..cnn.photographs import read_image
    from .batches import Batches, several
    from .chain import open_chain

    chain = open_chain(
        model,
        conventions=conventions,
        beta=beta,
        solver=solver,
        layer=layer,
        size=size,
        pair_sum=pair_sum,
        image_size=image_size,
        class_names=class_names,
        weigh=weigh,
        seed=seed,
        reshape=reshape,
        mean=mean,
        deviation=deviation,
        **options,
    )
    if several(image):
        return list(Batches(chain, image, class_index, batch=batch, on_error=on_error))
    read, number = read_image(image), chain.number(class_index)
    return chain.explanation(read, chain.view.derivatives([read], [number]), number, image)


def explanations(images, model, *, class_index=None, batch: int = 8, on_error: str = "raise", **settings) -> Batches:
    """What `explain` finds for each of several images, one after the other, so that not all must fit in memory.

    Arguments and errors as of `explain`; settings: its other keywords.

    >>> from qafs_utils.cnn.pretrained import resnet18
    >>> images = np.arange(2 * 192, dtype=np.uint8).reshape(2, 3, 8, 8)  # doctest: +SKIP
    >>> for number, found in enumerate(explanations(images, resnet18("random"))):  # doctest: +SKIP
    ...     found.save(f"explanations/{number}")
    """
    from .batches import Batches
    from .chain import open_chain

    return Batches(open_chain(model, **settings), images, class_index, batch=batch, on_error=on_error)
