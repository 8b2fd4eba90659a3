"""Tables of anneals with a bath: problems, processors, protocols, lengths, couplings and temperatures, a row each."""

import time
from collections.abc import Mapping, Sequence
from itertools import product

import pandas as pd
from tqdm import tqdm

from .. import require
from ..conventions import HEADLINE
from .bath import COUPLING, OhmicBath, gibbs
from .instances import _table
from .level_path import follow_levels
from .open_system import anneal_open, freeze_out
from .processors import PROTOCOLS, anneal_time, find_processor

MEASURED = ["levels", "success", "closed", "gibbs", "freezeout", "quasi_static", "classical", "leaked", "broadening"]


def with_bath(
    instances: pd.DataFrame,
    processors: Sequence[str],
    nanoseconds: Mapping[str, Sequence[float]],
    *,
    couplings: Sequence[float] = (0.0, COUPLING / 10, COUPLING, 10 * COUPLING),
    temperatures: Sequence[float | None] = (None,),
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    levels: int | None = None,
    slices: int = 128,
    desc: str | None = None,
) -> pd.DataFrame:
    """Anneals of every instance with a bath: a row for each processor, protocol, length, coupling and temperature.

    instances: a table as in `instances`; nanoseconds: {protocol: lengths}; couplings: eta g^2; temperatures: in mK,
    None for the processor's own; levels: of each sector, at most the 2^d of an instance, None for what `follow_levels`
    chooses; desc: name of the progress bar. Columns: those of the instances; processor, protocol, ns, coupling,
    temperature_mK; levels, success, its value without a bath (closed), the thermal probability of the optimum at the
    end (gibbs), the `FreezeOut` (freezeout, quasi_static, classical), leaked and broadening of `OpenResult`; seconds of
    the anneal, its share of the levels' included. Raises ValueError, before the first anneal, for an unknown processor
    or protocol, a length that its protocol does not allow, and as `OhmicBath`; then as `follow_levels`.

    >>> from ..qubo.feature_selection import Problem
    >>> problem = Problem([0, 2], [-1.0, -0.9], [[1.0, 0.8], [0.8, 1.0]], 3)
    >>> table = pd.DataFrame({"d": [2], "problem": [problem]})
    >>> found = with_bath(table, ["Advantage2_system2"], {"standard": [500.0]}, couplings=[0.0, 1e-3], slices=32)
    >>> found[["d", "ns", "coupling", "success", "closed"]].round(3).values.tolist()
    [[2.0, 500.0, 0.0, 1.0, 1.0], [2.0, 500.0, 0.001, 0.998, 1.0]]
    """
    for protocol, lengths in nanoseconds.items():
        require.choice("protocol", protocol, PROTOCOLS)
        for length in lengths:
            anneal_time(protocol, length)
    own = [find_processor(name) for name in processors]
    baths = {
        processor.name: [
            OhmicBath(coupling, processor.temperature_mK if temperature is None else temperature)
            for temperature, coupling in product(temperatures, couplings)
        ]
        for processor in own
    }
    rows, named = [], _table(instances).drop(columns="problem")
    several = [(row, *choice) for row in instances.itertuples() for choice in product(own, nanoseconds)]
    for row, processor, protocol in tqdm(several, desc=desc, disable=desc is None, unit="problem"):
        lengths, begun = nanoseconds[protocol], time.perf_counter()
        kept = None if levels is None else min(require.whole("levels", levels, 2), 2**row.d)
        path = follow_levels(row.problem.bqm(beta, pair_sum), processor, protocol, levels=kept, slices=slices)
        share = (time.perf_counter() - begun) / max(1, len(lengths) * len(baths[processor.name]))
        for length in lengths:
            closed = anneal_open(path, length, OhmicBath(0.0, processor.temperature_mK))
            for bath in baths[processor.name]:
                begun = time.perf_counter()
                result = closed if bath.coupling == 0 else anneal_open(path, length, bath)
                frozen = freeze_out(path, length, bath)
                end = gibbs(path.classical, bath.temperature_mK)[path.optimum].sum()
                found = [path.energies.shape[-1], result.success, closed.success, end, frozen.s, frozen.quasi_static]
                found += [frozen.classical, result.leaked, result.broadening]
                which = {"instance": row.Index, "processor": processor.name, "protocol": protocol, "ns": length}
                which |= {"coupling": bath.coupling, "temperature_mK": bath.temperature_mK}
                seconds = time.perf_counter() - begun + share
                rows.append(which | dict(zip(MEASURED, found)) | {"seconds": seconds})
    return pd.DataFrame(rows).set_index("instance").pipe(named.join, how="right").reset_index(drop=True)
