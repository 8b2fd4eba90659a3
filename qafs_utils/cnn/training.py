"""Training of the heads, and what they answer: logits, scores, accuracy."""

import copy
from collections.abc import Callable

import torch
import torch.nn as nn
import torch.nn.functional as F
from tqdm import tqdm

from .. import require
from ..conventions import CHOICES, HEADLINE
from .networks import FullHead, Trunk
from .tensors import dense, require_evaluation, require_kind, require_logits, two_classes


def _features(name, features):
    """Features (N, ...) as a tensor; ValueError for none, and for what is no array of real numbers."""
    features = dense(name, features, "...")
    if not features.ndim or not len(features):
        raise ValueError(f"{name} must be (N, ...) of at least one image, got {require.described(features)}")
    return features


def _logits(model, features, *tap):
    """What a model makes of features: (N, classes), on its device. ValueError for features that do not fit it."""
    device = next((value.device for value in model.parameters()), features.device)
    own = features.to(device, torch.float32, copy=True)  # a layer may work in place
    try:
        logits = model(own, *tap)
    except (ValueError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        why = str(error).partition("\n")[0]
        raise ValueError(f"features {tuple(features.shape)} do not fit {type(model).__name__}: {why}") from error
    require_logits(logits, len(features))
    return logits


@torch.no_grad()
def predict(model: nn.Module, features, *, batch: int = 256) -> torch.Tensor:
    """Logits of a head, or of a classifier on pooled maps: features (N, ...)  ->  (N, classes) float32 on the CPU.

    Raises ValueError for a model in training mode, no features, and logits that are not finite.

    >>> predict(nn.Linear(4, 10).eval(), torch.rand(7, 4), batch=3).shape
    torch.Size([7, 10])
    """
    require_evaluation(model, "model")
    parts = _features("features", features).split(require.whole("batch", batch, 1))
    logits = torch.cat([_logits(model, part).cpu() for part in parts])
    require.values("logits", logits, remedy=": check the features and the model's parameters")
    return logits


def scorer(trunk: Trunk, head: nn.Module, *, softmax: bool = False) -> Callable[[torch.Tensor], torch.Tensor]:
    """The whole network as one function: pixels (B, 3, S, S) in [0, 1]  ->  logits or probabilities (B, classes).

    The result is on the pixels' device, wherever the network is. Raises ValueError for a trunk or a head in training
    mode, now or when it is called; the function for pixels outside [0, 1] and for logits that are not finite.

    >>> from qafs_utils.cnn import networks, pretrained
    >>> trunk, head = networks.Trunk(pretrained.resnet18("random")), networks.ReducedHead(4, size=1)
    >>> torch.allclose(scorer(trunk, head, softmax=True)(torch.rand(2, 3, 16, 16)).sum(1), torch.ones(2))
    True
    """
    require_kind("trunk", trunk, Trunk)
    require_evaluation(trunk, "trunk"), require_evaluation(head, "head")

    @torch.no_grad()
    def score(pixels):
        require_evaluation(head, "head")
        logits = _logits(head, trunk(pixels))
        require.values("logits", logits, remedy=": check the network's parameters")
        home = pixels.device if isinstance(pixels, torch.Tensor) else "cpu"
        return (two_classes(logits).softmax(1) if softmax else logits).to(home)

    return score


def score_all(trunk: Trunk, head: nn.Module, pixels, *, desc: str = "scores", batch: int = 50) -> torch.Tensor:
    """Logits of many images in batches, with a progress bar: (N, 3, S, S)  ->  (N, classes) float32.

    Raises ValueError as `scorer`, and without images.

    >>> from qafs_utils.cnn import networks, pretrained
    >>> trunk, head = networks.Trunk(pretrained.resnet18("random")), networks.ReducedHead(4, size=1)
    >>> score_all(trunk, head, torch.rand(2, 3, 16, 16)).shape
    torch.Size([2, 10])
    """
    score, parts = scorer(trunk, head), _features("pixels", pixels).split(require.whole("batch", batch, 1))
    return torch.cat([score(part) for part in tqdm(parts, desc=desc, unit="batch")])


def accuracy(logits, labels) -> float:
    """Fraction of images whose largest logit is the label's: logits (N, classes), labels (N,)  ->  float.

    Raises ValueError for no images, other lengths, labels that are no classes, and logits that are not finite.

    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), [0, 0])
    0.5
    """
    sizes = {}
    logits = two_classes(require.tensor("logits", logits, "N classes", sizes))
    if not len(logits):
        raise ValueError("there are no images to take the accuracy of")
    labels = torch.as_tensor(require.indices("labels", labels, "N", logits.shape[1], sizes))
    return float((logits.argmax(1).cpu() == labels).float().mean())


def train(
    model: nn.Module,
    features,
    labels,
    validation_features,
    validation_labels,
    *,
    epochs: int = 20,
    learning_rate: float = HEADLINE.learning_rate,
    batch: int = 64,
    order: str = HEADLINE.order,
    epoch: str = HEADLINE.epoch,
    seed: int = 0,
    desc: str = "training",
) -> list[dict]:
    """Adam on the block and the classifier (paper, Sec. IV.3).

    model: a ReducedHead on trunk features (N, 256, s, s), or a FullHead's classifier on its `pooled` maps (N, 512).
    order: the images are "shuffled" anew for each epoch, by the seed, or come in their "fixed" order.
    epoch: the one that is kept, "best" in validation accuracy (the earliest of equals), or the "last".
    labels: (N,)  ->  list of dicts, one an epoch: epoch, loss, validation_accuracy.
    The model is left in eval mode with the parameters of the kept epoch; called again, it trains on from there.
    Raises ValueError for a frozen model, features or labels that do not fit or are not finite, no validation images,
    an unknown order or epoch, and settings that are no positive numbers; for a loss that is not finite, where the
    epoch to be kept is taken from those before.

    >>> features, labels = torch.eye(4), [0, 1, 0, 1]
    >>> history = train(nn.Linear(4, 2), features, labels, features, labels, epochs=9, learning_rate=0.5)
    >>> len(history), history[-1]["epoch"], history[-1]["validation_accuracy"]
    (9, 9, 1.0)
    """
    epochs, batch = require.whole("epochs", epochs, 1), require.whole("batch", batch, 1)
    learning_rate = require.number("learning_rate", learning_rate, "(0, inf)")
    require.choice("order", order, CHOICES["order"]), require.choice("epoch", epoch, CHOICES["epoch"])
    features, labels = _training_set(model, "", features, labels)
    validation_features, validation_labels = _training_set(model, "validation_", validation_features, validation_labels)
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(require.whole("seed", seed))
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    history, best, kept = [], -1.0, copy.deepcopy(model.state_dict())
    try:
        for number in tqdm(range(1, epochs + 1), desc=desc, unit="epoch"):
            model.train()
            total = 0.0
            fixed = order == "fixed"
            images = torch.arange(len(labels)) if fixed else torch.randperm(len(labels), generator=generator)
            for index in images.split(batch):
                loss = F.cross_entropy(model(features[index].to(device).float()), labels[index].to(device))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += float(loss.detach()) * len(index)
            require.number(f"the loss of epoch {number}, with a learning_rate of {learning_rate:g},", total)
            model.eval()
            score = accuracy(predict(model, validation_features), validation_labels)
            history.append({"epoch": number, "loss": total / len(labels), "validation_accuracy": score})
            if score > best or epoch == "last":
                best, kept = score, {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
    finally:
        model.load_state_dict(kept)
        model.eval()
    return history


def _training_set(model, kind, features, labels):
    """Features and labels to train a model on or to validate it with. Raises ValueError for what does not fit."""
    require_kind("model", model, nn.Module)
    if isinstance(model, FullHead):
        raise ValueError("of a FullHead only the classifier is trained: give head.classifier and its `pooled` maps")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("the model is frozen: call model.requires_grad_() to train it")
    features = _features(f"{kind}features", features)
    require.values(f"{kind}features", features, remedy=": check the images and the trunk")
    with torch.no_grad():
        outputs = _logits(copy.deepcopy(model).eval(), features[:1]).shape[1]  # the copy's statistics may change
    if outputs < 2:
        raise ValueError("the model has one logit: give it one for each class")
    return features, torch.as_tensor(require.indices(f"{kind}labels", labels, "N", outputs, {"N": len(features)}))


@torch.no_grad()
def pooled(head: FullHead, features, *, batch: int = 64) -> torch.Tensor:
    """Globally averaged layer4 maps of a FullHead: (N, 256, s, s)  ->  (N, 512) float32.

    Raises ValueError for another head, one in training mode, and features that do not fit or are not finite.

    >>> from qafs_utils.cnn import pretrained
    >>> pooled(FullHead(pretrained.resnet18("random")), torch.rand(2, 256, 2, 2)).shape
    torch.Size([2, 512])
    """
    held = []

    def tap(name, maps):
        if name == head.stages[-1]:
            held.append(maps.mean((2, 3)).cpu())
        return maps

    if not isinstance(head, FullHead):
        raise ValueError(f"only a FullHead (N_f = 512) has pooled maps, got {type(head).__name__}")
    require_evaluation(head, "head")
    parts = _features("features", features).split(require.whole("batch", batch, 1))
    for part in tqdm(parts, desc="layer4", unit="batch"):
        _logits(head, part, tap)
    maps = torch.cat(held)
    require.values("pooled maps", maps, remedy=": check the features and layer4")
    return maps
