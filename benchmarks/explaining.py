"""Seconds of `explain` at N_f = 512, one thread: explain.csv.

The first call in a new process, with nothing compiled and with the compiled loops of before; a later image; and each
of 64 at once, beside the network's own time: forward, and gradients of the maps. A ResNet-18 with ImageNet's weights,
or with random ones where those are absent, on photographs of STL-10, or on noise, whose proofs take 0.5 s each.

    python benchmarks/explaining.py [all]  ->  the row of the first call, or all rows of one process, as JSON
"""

import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import pandas as pd

LATER, BATCH = 5, 64


def clocked(function):
    """->  seconds."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def network_alone(net, pixels):
    """Logits and the gradients of the maps of the last block, of each image's best class."""
    import torch

    found = []
    hook = net.layer4.register_forward_hook(lambda _, __, maps: found.append(maps.requires_grad_()) or found[0])
    best = net(pixels).amax(1).sum()
    hook.remove()
    torch.autograd.grad(best, found)


def process(everything):
    """->  rows of this process, as dicts of what, seconds (an image's), images, of what set, weights; or its first."""
    import torch

    from qafs_utils import explain
    from qafs_utils.cnn import datasets, preprocessing, pretrained

    torch.set_num_threads(1)
    weights = "imagenet" if pretrained.weights_path().exists() else "random"
    net, name, count = pretrained.resnet18(weights), "noise", BATCH + LATER + 1
    images = np.random.default_rng(0).integers(0, 256, (count, 3, 96, 96), dtype=np.uint8)
    if not datasets.verify_stl10():
        name, images = "STL-10", datasets.stl10("test")[0][:count]
    some = images[BATCH:] if everything else images[:1]
    one = [clocked(lambda image=image: explain(image, net, layer="layer4")) for image in some]
    rows = [("first", one[0], 1)]
    if everything:
        pixels = preprocessing.to_pixels(images[:BATCH])
        clocked(lambda: network_alone(net, pixels[:2]))
        batches = {
            "of 64 at once": lambda: explain(images[:BATCH], net, layer="layer4", batch=BATCH, on_error="keep"),
            "of 64, the network alone": lambda: network_alone(net, pixels),
        }
        rows.append(("later", float(np.median(one[1:])), LATER))
        rows += [(what, min(clocked(batch) for _ in range(2)) / BATCH, BATCH) for what, batch in batches.items()]
    return [dict(zip(("what", "seconds", "images", "of", "weights"), (*row, name, weights))) for row in rows]


def measure():
    """->  table: the first call of a process with nothing compiled, and all rows of the next one."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for compiled in (False, True):
            command = [sys.executable, __file__, *["all"] * compiled]
            own = os.environ | {"NUMBA_CACHE_DIR": folder}
            found = subprocess.run(command, env=own, capture_output=True, text=True)
            if found.returncode:
                raise RuntimeError(f"{__file__} failed: {found.stderr[-2000:]}")
            rows += [{"compiled": compiled} | row for row in json.loads(found.stdout.splitlines()[-1])]
    return pd.DataFrame(rows)


def summary(table):
    """What docs/running.md says of explain.csv: yields its sentence."""
    first, again = (f"{seconds:.1f}" for seconds in table[table.what == "first"].seconds)
    seconds = table.set_index("what").seconds
    over = seconds["of 64 at once"] / seconds["of 64, the network alone"]
    yield (
        f"The first `explain` takes {first} s with nothing compiled and {again} s in a later process, a later image "
        f"{seconds['later']:.2f} s; of 64 at once each takes {over:.2f} times as long as the network alone."
    )


if __name__ == "__main__":
    print(json.dumps(process("all" in sys.argv)))
