"""Feature maps out of a network, and the gradients of a class score with respect to them; logits of some maps alone.

A network of one logit z an image, trained with a sigmoid, has two classes: the score of class 1 is z, that of class 0
is -z. Unless a class is asked for, it is class 1. Logits are (B, 1) then; `tensors.two_classes` makes two of them.
"""

import difflib
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.parallel import DataParallel, DistributedDataParallel

from .. import require
from ..conventions import HEADLINE
from .feature_maps import importance
from .tensors import dense, require_evaluation, require_kind, require_logits

_FEATURES = "features must be (B, channels, s, s) floats, what a trunk gives"
_IMAGES = "images must be (B, 3, S, S) floats, normalised as the network expects"

Derivatives = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # maps, gradients, logits
Reshape = Callable[[torch.Tensor], torch.Tensor]


def channels_last(output: torch.Tensor) -> torch.Tensor:
    """A `reshape` for layers that put the maps last, as in Swin and inside ConvNeXt: (B, H, W, N)  ->  (B, N, H, W).

    >>> channels_last(torch.zeros(1, 7, 7, 768)).shape
    torch.Size([1, 768, 7, 7])
    """
    return output.permute(0, 3, 1, 2)


def tokens(height: int, width: int, skip: int = 1) -> Reshape:
    """A `reshape` for vision transformers: (B, skip + height * width, N)  ->  (B, N, height, width).

    skip: tokens before those of the image, the class token say. A ViT-B/16 has 14 x 14 of an image of 224 pixels.

    >>> tokens(14, 14)(torch.zeros(1, 197, 768)).shape
    torch.Size([1, 768, 14, 14])
    """
    height, width = require.whole("height", height, 1), require.whole("width", width, 1)
    skip = require.whole("skip", skip)
    return lambda output: output[:, skip:].unflatten(1, (height, width)).permute(0, 3, 1, 2)


def capture(
    head: torch.nn.Module, features, target: str = HEADLINE.target, class_index=None, *, batch: int = 64
) -> Derivatives:
    """Maps of a head's stage, the class-score gradients with respect to them, and the logits.

    Only the head is differentiated: the trunk that made `features` needs no graph.
    features: (B, 256, s, s) tensor. target: a stage of the head ("conv", "bn", "relu"), or "block" for its last one.
    class_index: (B,) classes to explain; the predicted ones when None.
    ->  maps (B, N_f, H, W), gradients (B, N_f, H, W), logits (B, classes), float32 on the CPU.
    Raises ValueError for an unknown target, a head in training mode, features or classes that do not fit, a head
    without a row of maps and logits for each image, and for maps, logits or gradients that are not finite.

    >>> from qafs_utils.cnn.networks import ReducedHead
    >>> head = ReducedHead(4, size=2)
    >>> maps, gradients, logits = capture(head, torch.rand(3, 256, 2, 2), class_index=[0, 7, 7])
    >>> torch.equal(gradients[1].flatten(), head.classifier.weight[7])  # the classifier is linear in the maps
    True
    """
    if not hasattr(head, "stages"):
        raise ValueError(f"the head must have stages, as networks.build_head makes it, got {type(head).__name__}")
    stage = head.stages[-1] if isinstance(target, str) and target == "block" else target
    if not isinstance(stage, str) or stage not in head.stages:
        raise ValueError(f"the head has no stage {target!r} to take maps from: choose 'block' or one of {head.stages}")
    require_evaluation(head, "head")
    features = _floats(features, _FEATURES)

    def forward(part):
        held = []

        def tap(name, maps):
            if name == stage:
                maps = maps.detach().requires_grad_()
                held.append(maps)
            return maps

        logits = _run(head, part.float(), tap)
        if len(held) != 1:
            came = f"{stage!r} came {len(held)} times"
            raise ValueError(f"the head must hand the maps of each stage to tap(name, maps) once, {came}")
        require.shape("maps", held[0].shape, "B N H W", {"B": len(part)})
        return held[0], logits, None

    return _derivatives(forward, features, class_index, batch, "the trunk's inputs and the trained head")


def capture_layer(
    network: torch.nn.Module, layer: str, images, class_index=None, *, batch: int = 16, reshape: Reshape | None = None
) -> Derivatives:
    """As `capture`, for a layer of any convolutional network (torchvision's, say), by its name.

    Only what follows the layer is differentiated. network: in eval mode, images -> logits (B, classes); it stays as it
    is. layer: a name of `network.named_modules()`, as "layer3" or "features.28".
    images: (B, 3, S, S) float tensor, normalised as the network expects; as many channels as it takes.
    reshape: for a layer whose output is not (B, N, H, W), a function of it that gives such maps: `channels_last`,
    `tokens(14, 14)`, or what pytorch-grad-cam calls reshape_transform. It may select and reorder numbers, no more.
    Without it, a layer that puts N = H = W maps last cannot be told from others: a network with LayerNorm, which is
    often so, then gets a warning.
    ->  maps (B, N, H, W), gradients (B, N, H, W), logits (B, classes), float32 on the CPU.
    Raises ValueError for an unknown layer, one that does not run exactly once or whose output is not (B, N, H, W), is
    not square though the images are, or gets no gradient; a reshape that computes; a network in training mode, without
    a row of logits an image, quantised, complex, without weights or of TorchScript; images or classes that do not fit;
    maps, logits or gradients not finite.

    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.Flatten(), torch.nn.Linear(8, 5)).eval()
    >>> maps, gradients, logits = capture_layer(network, "0", torch.rand(1, 3, 2, 2), class_index=[4])
    >>> torch.equal(gradients.flatten(), network[2].weight[4])
    True
    """
    network, layer, images = _checked(network, layer, images)

    def forward(part):
        held = []

        def hold(output):
            held.append(_places(output, network, layer, part, reshape))
            held.append(output.detach().clone().requires_grad_())
            return held[-1].clone()  # with both copies, no in-place operation of the network changes the maps

        logits = _replaced(network, layer, part, hold)
        if not logits.requires_grad:
            raise ValueError(
                f"no gradient reaches layer {layer!r}: the network detaches it, or runs under torch.no_grad"
            )
        places, leaf = held
        return leaf, logits, places

    return _derivatives(forward, images, class_index, batch, "the images and the network's weights")


@torch.no_grad()
def propagate(
    network: torch.nn.Module, layer: str, images, kept, *, batch: int = 16, reshape: Reshape | None = None
) -> torch.Tensor:
    """Logits when only some maps of a layer are handed on, the others set to zero.

    network, layer, images, reshape: as for `capture_layer`; kept: (B, N) bool  ->  (B, classes) float32 on the CPU.
    What reshape leaves out of the maps, as a class token, is handed on.
    Raises ValueError as `capture_layer`, and when kept does not fit the layer's maps.

    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.Flatten(), torch.nn.Linear(8, 5)).eval()
    >>> nothing = propagate(network, "0", torch.rand(1, 3, 2, 2), torch.tensor([[False, False]]))
    >>> torch.allclose(nothing, network[2].bias)
    True
    """
    network, layer, images = _checked(network, layer, images)
    if not isinstance(kept, torch.Tensor):
        kept = torch.as_tensor(require.array("kept", kept, "B N", nan=True, dtype=None))

    def only(part):
        def keep(output):
            places = _places(output, network, layer, images[part], reshape)
            n = output.shape[1] if places is None else places.shape[1]
            if kept.shape != (len(images), n) or kept.dtype != torch.bool:
                fit = f"({len(images)}, {n}) bool to go with the maps of {layer!r}"
                raise ValueError(f"kept must be {fit}, got {tuple(kept.shape)} {kept.dtype}")
            mask = kept[part, :, None, None].to(output)
            if places is None:
                return output * mask
            whole = torch.ones_like(output).flatten()
            whole[places.flatten()] = mask.expand(places.shape).flatten()
            return output * whole.view(output.shape)

        return keep

    parts = torch.arange(len(images)).split(require.whole("batch", batch, 1))
    logits = torch.cat([_replaced(network, layer, images[part], only(part)).float().cpu() for part in parts])
    require.values("logits", logits, remedy=": check the images and the network's weights")
    return logits


def _floats(given, wanted):
    """A tensor (B, C, H, W) of floats, without its graph. Raises ValueError, with what is wanted, for another one."""
    given = dense(wanted.partition(" ")[0], given, "...")
    if given.ndim != 4 or not given.is_floating_point():
        raise ValueError(f"{wanted}, got {tuple(given.shape)} {given.dtype}")
    if not len(given):
        raise ValueError(f"there are no images to take maps from: {wanted}, got {tuple(given.shape)}")
    return given.detach()


def _checked(network, layer, images):
    """The network inside torch.compile's and DataParallel's wrappers, the layer's name in it, and the images."""
    require_kind("the network", network, torch.nn.Module)
    if isinstance(layer, list | tuple | set | dict):
        raise ValueError(f"one layer at a time: give a name of network.named_modules(), got {require.described(layer)}")
    layer = str(layer)
    while hasattr(network, "_orig_mod") or isinstance(network, DataParallel | DistributedDataParallel):
        inner = "_orig_mod" if hasattr(network, "_orig_mod") else "module"
        network, layer = getattr(network, inner), layer.removeprefix(f"{inner}.")
    layers = dict(network.named_modules(remove_duplicate=False))
    _require_differentiable(network, layers.values())
    if layer not in layers:
        near = difflib.get_close_matches(layer, layers)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "its names are in network.named_modules()"
        raise ValueError(f"the network has no layer {layer!r}: {hint}")
    require_evaluation(network, "network")
    return network, layer, _floats(images, _IMAGES)


def _require_differentiable(network, modules):
    """Raise ValueError for networks of TorchScript, quantised and complex ones, and those that have no numbers."""
    if any(isinstance(module, torch.jit.ScriptModule) for module in modules):
        raise ValueError("a network of TorchScript has no layers to look into: give the network it was made from")
    stubs = torch.ao.nn.quantized.FloatFunctional, torch.ao.nn.quantized.FXFloatFunctional
    packed = any("quantized" in type(module).__module__ and not isinstance(module, stubs) for module in modules)
    if any(value.is_meta for value in (*network.parameters(), *network.buffers())):
        raise ValueError("the network is on the device 'meta', without numbers: load its weights on another one")
    if any(p.is_complex() for p in network.parameters()):
        raise ValueError("the network has complex weights: scores and their gradients must be real numbers")
    if packed or not all(p.is_floating_point() for p in network.parameters()):
        raise ValueError("a quantised network has no gradients: give the network of floats that it was made from")


def _run(network, *inputs):
    """Logits (B, classes) of a network's inputs, the first B images; parameters take no part in any gradient."""
    state = {name: value.detach() for name, value in network.named_parameters() if value.requires_grad}
    kept = (*network.named_parameters(), *network.named_buffers())
    state |= {name: value.detach().clone() for name, value in kept if value.is_inference()}
    first, *others = inputs
    own = first.clone().to(next(network.parameters(), first))  # the first layer may work in place
    try:
        logits = torch.func.functional_call(network, state, (own, *others))
    except (ValueError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        takes = f"{type(network).__name__} cannot take an input of shape {tuple(first.shape)}"
        why = str(error).partition("\n")[0]
        raise ValueError(f"{takes} ({why}): check the size of the images and the number of channels") from error
    require_logits(logits, len(first))
    return logits


def _replaced(network, layer, images, change):
    """Logits with change(output) in place of a layer's output. Raises ValueError unless it runs exactly once."""
    runs = 0

    def hook(module, inputs, output):
        nonlocal runs
        runs += 1
        return change(output)

    with network.get_submodule(layer).register_forward_hook(hook):
        logits = _run(network, images)
    if runs != 1:
        once = "choose one that runs once, such as the block around it"
        raise ValueError(f"layer {layer!r} runs {runs} times in a forward pass: {once}")
    return logits


def _places(output, network, layer, images, reshape):
    """Where the numbers of the maps stand in a layer's flattened output: (B, N, H, W) int; None if it is the maps.

    Found by reshaping the places instead of the numbers.
    """
    got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    real = isinstance(output, torch.Tensor) and output.is_floating_point() and output.layout == torch.strided
    remedy = "choose a convolutional layer, or give reshape, a function of its output that makes maps (B, N, H, W)"
    if not real:
        kind = f" of {output.dtype}, {output.layout}" if isinstance(output, torch.Tensor) else ""
        raise ValueError(f"layer {layer!r} gives {got}{kind}, not maps (B, N, H, W): {remedy}")
    if reshape is None:
        if output.ndim != 4 or len(output) != len(images):
            raise ValueError(f"layer {layer!r} gives {got}, not maps (B, N, H, W): {remedy}")
        if output.shape[2] != output.shape[3] and images.shape[2] == images.shape[3]:
            last = "if they are last, give reshape=extraction.channels_last; if not, reshape=lambda maps: maps"
            raise ValueError(f"layer {layer!r} gives {got}, but maps of square images are square: {last}")
        cube = 1 < output.shape[1] == output.shape[2] == output.shape[3]
        if cube and any(isinstance(module, torch.nn.LayerNorm) for module in network.modules()):
            last = "if the maps are last, give reshape=extraction.channels_last"
            warnings.warn(f"layer {layer!r} gives {got}, taken for (B, N, H, W): {last}", stacklevel=2)
        return None
    places = torch.arange(output.numel(), device=output.device).view(output.shape)
    try:
        maps, places = reshape(output.detach().clone()), reshape(places)  # a copy: it may work in place
        fits = maps.ndim == 4 and len(maps) == len(images) and maps.shape == places.shape
        index = places.long()
        selects = fits and len(index.unique()) == index.numel() and torch.equal(index, places)
        selects = selects and 0 <= index.min() and index.max() < output.numel()
        selects = selects and torch.equal(maps.nan_to_num(), output.detach().flatten()[index].nan_to_num())
    except Exception as error:
        raise ValueError(f"reshape fails on the output {got} of layer {layer!r}: {error}") from error
    if not fits:
        found = tuple(maps.shape)
        raise ValueError(f"reshape must give maps (B, N, H, W) with B = {len(images)} of layer {layer!r}, got {found}")
    if not selects:
        raise ValueError(f"reshape may only select and reorder the numbers of layer {layer!r}, this one makes others")
    return index


def _derivatives(forward, inputs, class_index, batch, origin):
    """What `capture` returns, in batches: forward(part of inputs) -> leaf, logits, places of the maps in the leaf.

    origin: what to check when maps, logits or gradients are not finite.
    """
    outputs, classes, batch = [], None, require.whole("batch", batch, 1)
    for start in range(0, len(inputs), batch):
        with torch.inference_mode(False), torch.enable_grad():
            leaf, logits, places = forward(inputs[start : start + batch])
            known = max(logits.shape[1], 2)
            if class_index is not None and classes is None:
                classes = require.indices("class_index", class_index, "B", known, {"B": len(inputs)})
                classes = torch.as_tensor(classes)
            default = logits.argmax(1) if known == logits.shape[1] else torch.ones_like(logits[:, 0], dtype=torch.long)
            chosen = default if classes is None else classes[start : start + batch].to(logits.device)
            score = logits[:, 0] * (2 * chosen - 1) if logits.shape[1] == 1 else logits.gather(1, chosen[:, None])
            (gradients,) = torch.autograd.grad(score.sum(), leaf, allow_unused=True)
            if gradients is None:
                raise ValueError("no gradient reaches the maps: what follows does not use them")
        maps, gradients = (t if places is None else t.flatten()[places] for t in (leaf, gradients))
        outputs.append([t.detach().float().cpu().contiguous() for t in (maps, gradients, logits)])
    found = [torch.cat(part) for part in zip(*outputs)]
    for name, part in zip(("feature maps", "logits", "gradients"), (found[0], found[2], found[1])):
        require.values(name, part, remedy=f": check {origin}")
    return tuple(found)


def arrays(head: torch.nn.Module, features, targets) -> dict[str, np.ndarray]:
    """What is kept of the images: a dict of arrays by name; head, features: as for `capture`, whose errors it raises.

    maps_<target> (B, N_f, H, W) float16 and importance_<target> (B, N_f) float32 for each of the targets, at least
    one; logits (B, classes) float32. Raises ValueError for maps that half precision cannot hold, too.

    >>> from qafs_utils.cnn.networks import ReducedHead
    >>> list(arrays(ReducedHead(4, size=2), torch.rand(3, 256, 2, 2), ["conv"]))
    ['maps_conv', 'importance_conv', 'logits']
    """
    targets = list(targets) if np.iterable(targets) and not isinstance(targets, str) else [targets]
    if not targets:
        raise ValueError("give at least one target, a stage of the head such as 'block'")
    kept, features = {}, _floats(features, _FEATURES)
    for target in targets:
        maps, gradients, logits = capture(head, features, target)
        maps = maps.half()
        require.values(f"maps of {target!r} in half precision", maps, remedy=": they are too large for it")
        kept |= {f"maps_{target}": maps.numpy(), f"importance_{target}": importance(gradients).numpy()}
    return kept | {"logits": logits.numpy()}
