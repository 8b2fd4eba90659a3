"""Feature maps out of a network, and the gradients of a class score with respect to them; logits of some maps alone."""

import difflib

import numpy as np
import torch

from .feature_maps import importance


def capture(head, features, target="block", class_index=None, batch=64):
    """Maps of a head's stage, the class-score gradients with respect to them, and the logits.

    Only the head is differentiated: the trunk that made `features` needs no graph.
    features: (B, 256, s, s) tensor. target: a stage of the head ("conv", "bn", "relu"), or "block" for its last one.
    class_index: (B,) classes to explain; the predicted ones when None.
    ->  maps (B, N_f, H, W), gradients (B, N_f, H, W), logits (B, classes), float32 on the CPU.
    Raises ValueError for an unknown target, classes that do not fit, or maps that are not finite.

    >>> from qafs_utils.models import ReducedHead
    >>> head = ReducedHead(4, size=2).eval()
    >>> maps, gradients, logits = capture(head, torch.rand(3, 256, 2, 2), class_index=[0, 7, 7])
    >>> maps.shape, logits.shape
    (torch.Size([3, 4, 2, 2]), torch.Size([3, 10]))
    >>> torch.equal(gradients[1].flatten(), head.classifier.weight[7])  # the classifier is linear in the maps
    True
    """
    stage = head.stages[-1] if target == "block" else target
    if stage not in head.stages:
        raise ValueError(f"the head has no stage {target!r} to take maps from: choose 'block' or one of {head.stages}")
    device = head.classifier.weight.device

    def forward(part):
        held = []

        def tap(name, maps):
            if name == stage:
                maps = maps.detach().requires_grad_()
                held.append(maps)
            return maps

        logits = head(part.to(device).float(), tap)
        return *held, logits

    return _derivatives(forward, features, class_index, batch, "the trunk's inputs and the trained head")


def capture_layer(network, layer, images, class_index=None, batch=16):
    """As `capture`, for a layer of any convolutional network (torchvision's, say), by its name.

    Only what follows the layer is differentiated. network: in eval mode, images -> logits (B, classes); its parameters
    and their requires_grad stay as they are. layer: a name of `network.named_modules()`, as "layer3" or "features.28".
    images: (B, 3, S, S) float tensor, normalised as the network expects. class_index: as in `capture`.
    ->  maps (B, N, H, W), gradients (B, N, H, W), logits (B, classes), float32 on the CPU.
    Raises ValueError for an unknown layer, one that does not run exactly once or whose output is not (B, N, H, W) or
    gets no gradient; a network in training mode or without logits; images or classes that do not fit; infinite maps.

    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.Flatten(), torch.nn.Linear(8, 5)).eval()
    >>> maps, gradients, logits = capture_layer(network, "0", torch.rand(1, 3, 2, 2), class_index=[4])
    >>> maps.shape, torch.equal(gradients.flatten(), network[2].weight[4])
    (torch.Size([1, 2, 2, 2]), True)
    """
    _check_layer(network, layer, images)

    def forward(part):
        held = []

        def hold(maps):
            held.append(maps.detach().clone().requires_grad_())
            return held[-1].clone()  # with both copies, no in-place operation of the network changes the maps

        logits = _replaced(network, layer, part, hold)
        if not logits.requires_grad:
            why = "the network detaches it, or runs under torch.no_grad"
            raise ValueError(f"no gradient reaches layer {layer!r}: {why}")
        return *held, logits

    return _derivatives(forward, images, class_index, batch, "the images and the network's weights")


@torch.no_grad()
def propagate(network, layer, images, kept, batch=16):
    """Logits when only some maps of a layer are handed on, the others set to zero.

    network, layer, images: as for `capture_layer`; kept: (B, N) bool  ->  (B, classes) float32 on the CPU.
    Raises ValueError as `capture_layer`, and when kept does not fit the layer's maps.

    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.Flatten(), torch.nn.Linear(8, 5)).eval()
    >>> nothing = propagate(network, "0", torch.rand(1, 3, 2, 2), torch.tensor([[False, False]]))
    >>> torch.allclose(nothing, network[2].bias)
    True
    """
    _check_layer(network, layer, images)
    kept = torch.as_tensor(kept)

    def only(part):
        def keep(maps):
            if kept.ndim != 2 or len(kept) != len(images) or kept.shape[1] != maps.shape[1] or kept.dtype != torch.bool:
                fit = f"({len(images)}, {maps.shape[1]}) bool to go with the maps of {layer!r}"
                raise ValueError(f"kept must be {fit}, got {tuple(kept.shape)} {kept.dtype}")
            return maps * kept[part, :, None, None].to(maps)

        return keep

    parts = torch.arange(len(images)).split(batch)
    return torch.cat([_replaced(network, layer, images[part], only(part)).float().cpu() for part in parts])


def _check_layer(network, layer, images):
    """Raise ValueError for an unknown layer, a network in training mode, and images of another shape or type."""
    layers = dict(network.named_modules(remove_duplicate=False))
    if layer not in layers:
        near = difflib.get_close_matches(str(layer), layers)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "its names are in network.named_modules()"
        raise ValueError(f"the network has no layer {layer!r}: {hint}")
    if any(module.training for module in layers.values()):
        raise ValueError("the network is in training mode, where BatchNorm and dropout differ: call network.eval()")
    if images.ndim != 4 or not len(images) or not images.is_floating_point():
        got = f"got {tuple(images.shape)} {images.dtype}"
        raise ValueError(f"images must be (B, 3, S, S) floats, normalised as the network expects, {got}")


def _replaced(network, layer, images, change):
    """Logits (B, classes) with change(maps) in place of a layer's maps; parameters take no part in any gradient.

    Raises ValueError for a layer that does not run exactly once or gives no maps, and a network without logits.
    """
    frozen = {name: parameter.detach() for name, parameter in network.named_parameters()}
    runs = 0

    def hook(module, inputs, maps):
        nonlocal runs
        runs += 1
        if not isinstance(maps, torch.Tensor) or maps.ndim != 4:
            got = tuple(maps.shape) if isinstance(maps, torch.Tensor) else type(maps).__name__
            raise ValueError(f"layer {layer!r} gives {got}, not maps (B, N, H, W): choose a convolutional layer")
        return change(maps)

    with network.get_submodule(layer).register_forward_hook(hook):
        logits = torch.func.functional_call(network, frozen, images.detach().to(next(iter(frozen.values()), images)))
    if runs != 1:
        once = "choose one that runs once, such as the block around it"
        raise ValueError(f"layer {layer!r} runs {runs} times in a forward pass: {once}")
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        raise ValueError("the network must return logits (B, classes): wrap it in a module that does")
    return logits


def _derivatives(forward, inputs, class_index, batch, origin):
    """What `capture` returns, in batches: forward(part of inputs) -> maps that are a leaf, and logits.

    Raises ValueError without inputs, and naming the origin of maps that are not finite.
    """
    if class_index is not None and np.shape(class_index) != (len(inputs),):
        raise ValueError(f"class_index must be ({len(inputs)},), a class an image, got shape {np.shape(class_index)}")
    if not len(inputs):
        raise ValueError("there are no images to take maps from")
    outputs = []
    for start in range(0, len(inputs), batch):
        with torch.enable_grad():
            maps, logits = forward(inputs[start : start + batch])
            chosen = logits.argmax(1) if class_index is None else torch.as_tensor(class_index)[start : start + batch]
            if not (0 <= chosen.min() and chosen.max() < logits.shape[1]):
                raise ValueError(f"classes must lie in 0..{logits.shape[1] - 1}, got {chosen.tolist()}")
            score = logits.gather(1, chosen.to(logits.device)[:, None]).sum()
            (gradients,) = torch.autograd.grad(score, maps)
        outputs.append([t.detach().float().cpu() for t in (maps, gradients, logits)])
    maps, gradients, logits = (torch.cat(part) for part in zip(*outputs))
    if not torch.isfinite(maps).all():
        raise ValueError(f"feature maps hold NaN or infinite values: check {origin}")
    return maps, gradients, logits


def arrays(head, features, targets):
    """What is kept of the images: a dict of arrays by name; head, features: as for `capture`, whose errors it raises.

    maps_<target> (B, N_f, H, W) float16 and importance_<target> (B, N_f) float32 for each of the targets, at least
    one; logits (B, classes) float32.

    >>> from qafs_utils.models import ReducedHead
    >>> kept = arrays(ReducedHead(4, size=2).eval(), torch.rand(3, 256, 2, 2), ("conv",))
    >>> {name: (values.shape, str(values.dtype)) for name, values in kept.items()}
    {'maps_conv': ((3, 4, 2, 2), 'float16'), 'importance_conv': ((3, 4), 'float32'), 'logits': ((3, 10), 'float32')}
    """
    if not targets:
        raise ValueError("give at least one target, a stage of the head such as 'block'")
    kept = {}
    for target in targets:
        maps, gradients, logits = capture(head, features, target)
        kept |= {f"maps_{target}": maps.half().numpy(), f"importance_{target}": importance(gradients).numpy()}
    return kept | {"logits": logits.numpy()}
