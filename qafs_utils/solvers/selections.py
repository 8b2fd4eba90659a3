"""Selections of many images, kept under keys, with an index table that says what each key holds."""

import numpy as np
import pandas as pd

from .. import require
from .baselines import random_k, top_k

COLUMNS = ("artefact", "key", "place", "seed", "n_features", "kind", "beta")


class Selections:
    """The selections of one artefact: `arrays` by key, and their `index`.

    artefact: its name; network: place and seed of all of them, if they are of one network: else they are given with
    each selection, and stand in its key. place: where maps and gradients are taken; seed: of the training.

    >>> found = Selections("04_selections", place="block", seed=0)
    >>> found.add([[True, False]], 16, "qa", 0.7)
    >>> found.index()
            artefact      key  place  seed  n_features kind  beta
    0  04_selections  nf16_qa  block     0          16   qa   0.7
    >>> found[16, "qa", 0.7]
    array([[ True, False]])
    >>> found[16, "qa", 0.9]
    Traceback (most recent call last):
    KeyError: "no selection (16, 'qa', 0.9): there are (16, 'qa', 0.7)"
    >>> found = Selections("04_samples")
    >>> found.add([[True, False]], 512, "sa", 0.99, place="block", seed=3)
    >>> list(found.arrays)
    ['block/seed3/nf512_sa_0.99']
    """

    def __init__(self, artefact: str, **network):
        self.artefact, self.network, self.arrays, self._rows = artefact, network, {}, []
        if network:
            self._where({})

    def add(self, bits, n_features: int, kind: str, beta: float | None = None, **network) -> None:
        """Keep bits (B, N_f); kind: "qa", "top_k", ...; beta: trade-off, None for what depends on none.

        The key names beta at N_f = 512 only, where there are several. Raises ValueError for a key that is taken, a beta
        outside [0, 1], and unless place and seed are given once: of all selections, or of this one.
        """
        n_features, where = require.whole("n_features", n_features, 1), self._where(network)
        beta = beta if beta is None else require.number("beta", beta, "[0, 1]")
        key = self._key(n_features, kind, beta, where)
        if key in self.arrays:
            raise ValueError(f"there is a selection {key} already")
        self.arrays[key] = require.bits("bits", bits, "B N_f")
        self._rows.append(
            {"artefact": self.artefact, "key": key, "n_features": n_features, "kind": kind, "beta": beta} | where
        )

    def _where(self, network):
        """Place and seed of a selection."""
        where = network or self.network
        if set(where) != {"place", "seed"} or (network and self.network):
            given = f"{self.network} of all, {network} of this one"
            raise ValueError(f"place and seed must be given once, of all selections or of each, got {given}")
        return where

    def _key(self, n_features, kind, beta, where):
        key = f"nf{n_features}_{kind}" + (f"_{beta:.2f}" if n_features == 512 and beta is not None else "")
        return key if self.network else f"{where['place']}/seed{where['seed']}/{key}"

    def add_equal_sizes(self, importance, bits, n_features: int, beta: float, *, draw=0, **network) -> None:
        """Keep the selections that `bits` is compared with: as many of the most important candidates, and random ones.

        importance: (B, N_f); draw: seed of the random ones. Raises ValueError as `add` and `baselines.first_k`.
        """
        sizes = require.bits("bits", bits, "B N_f").sum(axis=1)
        self.add(top_k(importance, sizes), n_features, "top_k", beta, **network)
        self.add(random_k(importance, sizes, seed=draw), n_features, "random_k", beta, **network)

    def __getitem__(self, selection: tuple) -> np.ndarray:
        """The selection added as (n_features, kind, beta), where all are of one network.

        Raises KeyError for one that was not added, naming those that were.
        """
        if not self.network:
            raise KeyError("selections of several networks are not told apart so: take one of `arrays` by its key")
        known = {(row["n_features"], row["kind"], row["beta"]): row["key"] for row in self._rows}
        if selection not in known:
            there = ", ".join(map(str, known)) or "none"
            raise KeyError(f"no selection {selection}: there are {there}")
        return self.arrays[known[selection]]

    def index(self) -> pd.DataFrame:
        """What each array is, one a row, in their order: columns COLUMNS; beta is NaN for None."""
        return pd.DataFrame(self._rows, columns=COLUMNS).astype({"beta": float})
