"""The measures of `road` and `adcc` on all methods of one head beside their controls, in one table."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from ..cnn import preprocessing, training
from . import adcc, cams, masked_scores, road

ROAD, PROBABILITY, ADCC = "ROAD", "ROAD, probability", "ADCC"


def adcc_parts(
    scoring, head, pixels, features, classes, maps: Mapping[str, torch.Tensor], explain: Callable, *, seed: int = 0
) -> dict[str, Mapping[str, np.ndarray]]:
    """ADCC and its parts of each method and control: {name: as `adcc.measured` gives it}.

    scoring: the trunk that sees masked images; pixels (B, 3, S, S), features of the whole images (B, 256, s, s),
    classes (B,); maps: as `road.with_controls` makes them; explain: features of masked images, method -> (B, H, W).
    A blind control is drawn anew for the masked image; the one in the centre stays as it is.

    >>> from qafs_utils.cnn import networks, pretrained
    >>> trunk, head = networks.Trunk(pretrained.resnet18("random")), networks.ReducedHead(4, size=1)
    >>> pixels, maps = torch.rand(2, 3, 16, 16), {"centre": torch.eye(3).expand(2, -1, -1)}
    >>> found = adcc_parts(trunk, head, pixels, trunk(pixels), [0, 1], maps, None)
    >>> found["centre"]["coherency"].round(6)
    array([1., 1.])
    """
    full, found = training.predict(head, features).softmax(1), {}
    for name, cam in tqdm(maps.items(), desc="ADCC", unit="map"):
        heatmap = cams.heatmap(cam, pixels.shape[-1])
        seen = scoring(pixels * heatmap[:, None]).cpu()
        if name == road.CENTRE:
            again = cam
        elif name.startswith(road.BLIND):
            again = road.blind(cam, seed=seed + 1)
        else:
            again = explain(seen, name)
        masked = training.predict(head, seen).softmax(1)
        found[name] = adcc.measured(full, masked, classes, heatmap, cams.heatmap(again, pixels.shape[-1]))
    return found


def measures(
    scoring,
    head,
    photographs,
    features,
    explain: Callable,
    methods: Sequence[str],
    *,
    image_size: int,
    fractions: Sequence[float],
    n_jobs: int | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """ROAD and ADCC of every method and of its controls: photographs uint8 (B, 3, h, w), features of theirs  ->  table.

    explain: as `sanity.explain`, with its choices made; the predicted class is explained. Columns: measure ("ROAD",
    by the likeliest class; "ROAD, probability"; "ADCC"; "DROP", "COHERENCY", "COMPLEXITY"), those of
    `road.against_controls`, fixed (ADCC of the blind control if it explains the masked image as the image, else NaN),
    smoothness and blind_smoothness.
    """
    classes = training.predict(head, features).argmax(1)
    given = explain(head, features, classes, methods).cams
    blob = masked_scores.centred_blob(next(iter(given.values())).shape[-1])
    maps, rows = road.with_controls(given, blob, seed=seed), []
    heatmaps = {name: cams.heatmap(cam, photographs.shape[-1]) for name, cam in maps.items()}
    score, small = (
        training.scorer(scoring, head, softmax=True),
        preprocessing.to_pixels(photographs, photographs.shape[-1]),
    )
    removal = {"fractions": fractions, "size": image_size, "seed": seed, "n_jobs": n_jobs}
    said = road.answers(score, small, heatmaps, classes, **removal)
    pixels = preprocessing.to_pixels(photographs, image_size)
    parts = adcc_parts(
        scoring,
        head,
        pixels,
        features,
        classes,
        maps,
        lambda seen, name: explain(head, seen, classes, [name]).cams[name],
        seed=seed,
    )
    values = {ROAD: road.scores(said), PROBABILITY: road.scores(said, kept=False)}
    values |= {part.upper(): {m: of[part] for m, of in parts.items()} for part in ("adcc", *adcc.PARTS)}
    for measure, of_names in values.items():
        table = road.against_controls(of_names, n_resamples=n_resamples, seed=seed)
        fixed = [adcc.with_coherency_one(parts[road.BLIND + m]).mean() for m in table.method]
        table.insert(0, "measure", measure)
        rows.append(table.assign(fixed=fixed if measure == ADCC else np.nan))
    found = pd.concat(rows, ignore_index=True)
    for column, kind in (("smoothness", ""), ("blind_smoothness", road.BLIND)):
        found[column] = found.method.map({m: np.nanmean(road.smoothness(maps[kind + m])) for m in given})
    return found
