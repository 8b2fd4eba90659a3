"""D-Wave's processors as published (data/annealers): schedules in GHz, temperatures, times, control errors."""

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .. import require
from ..artefacts.files import PUBLISHED, ArtefactError
from ..artefacts.provenance import ROOT

FOLDER = (ROOT / "data" if (ROOT / "data").exists() else PUBLISHED) / "annealers"
GHZ_PER_MK = 0.0208366  # k_B / h: kT of 1 mK as a frequency
PROTOCOLS = {"fast": (5.0, 20_000.0), "standard": (500.0, 2_000_000.0)}  # shortest and longest anneal in ns
_REMEDY = "git checkout data/annealers"
TOPOLOGIES = {"P16": "Pegasus P16", "Z6": "Zephyr Z6", "Z12": "Zephyr Z12"}


@dataclass(frozen=True)
class Processor:
    """What is published of a processor. Times in us but where a name says ns.

    topology: a key of `embeddings.TOPOLOGIES`; qubits, couplers: those that work; temperature_mK: of the qubits;
    readout_us: shortest and longest, by the number of qubits; freezeout: s at which a single qubit stops to move.

    >>> find_processor("Advantage2_system2").topology, find_processor("Advantage2_system2").qubits
    ('Zephyr Z12', 4514)
    """

    name: str
    topology: str
    qubits: int
    couplers: int
    temperature_mK: float
    readout_us: tuple[float, float]
    programming_us: float
    delay_us: float
    readout_error: float
    freezeout: float

    @property
    def thermal_GHz(self) -> float:
        """kT / h in GHz.

        >>> round(find_processor("Advantage2_system2").thermal_GHz, 3)
        0.348
        """
        return self.temperature_mK * GHZ_PER_MK

    def weights(self, protocol: str = "standard") -> pd.DataFrame:
        """The schedule of a protocol: columns s, A_GHz, B_GHz.

        Raises ValueError for an unknown protocol, ArtefactError as `read_schedule`.

        >>> find_processor("Advantage2_system2").weights("fast").iloc[0].tolist()
        [0.0, 10.0, 0.4117519]
        """
        require.choice("protocol", protocol, PROTOCOLS)
        return read_schedule(FOLDER / f"{self.name.lower()}_{protocol}.csv")

    def at_freezeout(self, protocol: str = "standard") -> float:
        """B / 2 in units of kT at the freeze-out of a single qubit: what an Ising energy is worth there.

        >>> round(find_processor("Advantage2_system2").at_freezeout(), 1)
        9.0
        """
        table = self.weights(protocol)
        return float(np.interp(self.freezeout, table.s, table.B_GHz)) / 2 / self.thermal_GHz


def read_schedule(path) -> pd.DataFrame:
    """A schedule's table of columns s, A_GHz, B_GHz, checked.

    Raises ArtefactError, with the remedy, if it is missing, if a row holds NaN or a negative weight, or if s does not
    rise from 0 to 1.

    >>> read_schedule(FOLDER / "no_such_schedule.csv")
    Traceback (most recent call last):
    qafs_utils.artefacts.files.ArtefactError: no_such_schedule.csv is missing: git checkout data/annealers
    """
    try:
        table = pd.read_csv(path, usecols=["s", "A_GHz", "B_GHz"], dtype=float)
    except FileNotFoundError:
        raise ArtefactError(f"{path.name} is missing: {_REMEDY}") from None
    except ValueError as error:
        raise ArtefactError(f"{path.name} is no schedule ({error}): {_REMEDY}") from None
    bad = np.flatnonzero(~np.isfinite(table).all(axis=1) | (table < 0).any(axis=1))
    if len(bad):
        raise ArtefactError(f"{path.name} has NaN or a negative weight in row {bad[0] + 1}: {_REMEDY}")
    s = table.s.to_numpy()
    if not (len(s) > 1 and s[0] == 0 and s[-1] == 1 and (np.diff(s) > 0).all()):
        raise ArtefactError(f"s of {path.name} does not rise from 0 to 1: {_REMEDY}")
    return table


@functools.cache
def processors() -> dict[str, Processor]:
    """All processors by their names.

    >>> list(processors())
    ['Advantage2_system1', 'Advantage2_system2', 'Advantage2_system4', 'Advantage_system6', 'Advantage_system4']
    """
    return {
        row.processor: Processor(
            row.processor,
            TOPOLOGIES[row.topology],
            row.qubits,
            row.couplers,
            row.temperature_mK,
            (row.readout_us_min, row.readout_us_max),
            row.programming_us,
            row.delay_per_sample_us,
            row.readout_error_max,
            row.single_qubit_freezeout_s,
        )
        for row in pd.read_csv(FOLDER / "processors.csv").itertuples()
    }


def find_processor(name: str | Processor) -> Processor:
    """The processor of that name, or the Processor itself. Raises ValueError for an unknown name, naming all.

    >>> find_processor("2000Q")
    Traceback (most recent call last):
    ValueError: unknown processor '2000Q': choose from Advantage2_system1, Advantage2_system2, Advantage2_system4, \
Advantage_system6, Advantage_system4
    """
    return name if isinstance(name, Processor) else processors()[require.choice("processor", name, processors())]


def anneal_time(protocol: str, nanoseconds: float) -> float:
    """A time that the protocol allows, in ns. Raises ValueError for another, naming the range.

    >>> anneal_time("standard", 20.0)
    Traceback (most recent call last):
    ValueError: the standard protocol anneals in 500 to 2e+06 ns, got 20: for 5 to 20000 ns there is the fast one
    """
    shortest, longest = PROTOCOLS[require.choice("protocol", protocol, PROTOCOLS)]
    nanoseconds = require.number("the anneal in ns", nanoseconds)
    if not shortest <= nanoseconds <= longest:
        other = next(name for name in PROTOCOLS if name != protocol)
        low, high = PROTOCOLS[other]
        remedy = f"for {low:g} to {high:g} ns there is the {other} one"
        given = f"the {protocol} protocol anneals in {shortest:g} to {longest:g} ns, got {nanoseconds:g}"
        raise ValueError(f"{given}: {remedy}")
    return nanoseconds


def control_errors(when: float = 0.5) -> dict[str, float]:
    """The published control errors, between early (0) and late (1) in the anneal: {name: value}.

    >>> control_errors(1.0)["delta_h"], control_errors(0.0)["chi"]
    (0.01, -0.04)
    """
    when = require.number("when", when, "[0, 1]")
    table = pd.read_csv(FOLDER / "control_errors.csv")
    return {row.error: float((1 - when) * row.early + when * row.late) for row in table.itertuples()}


def call_times(
    processor: str | Processor, qubits: int, num_reads: int = 1, annealing_time: float = 20.0
) -> dict[str, float]:
    """Times of a call in us, by D-Wave's keys: processor, qubits used, reads, annealing time in us  ->  dict.

    The readout time lies between the published ones for one qubit and for all, on a line in the logarithms, as in
    D-Wave's timing model. Raises ValueError for an unknown processor and numbers that are not positive.

    >>> times = call_times("Advantage2_system2", 4514, 1000, 20.0)
    >>> round(times["qpu_readout_time_per_sample"], 6), round(times["qpu_access_time"], 3)  # 24500 + 1000 * 135.6
    (95.0, 160100.0)
    """
    processor = find_processor(processor)
    qubits, num_reads = require.whole("qubits", qubits, 1, processor.qubits), require.whole("num_reads", num_reads, 1)
    annealing_time = require.number("annealing_time", annealing_time, "(0, inf)")
    share = np.log(qubits) / np.log(processor.qubits)
    readout = float(processor.readout_us[0] ** (1 - share) * processor.readout_us[1] ** share)
    sampling = num_reads * (annealing_time + readout + processor.delay_us)
    return {
        "qpu_programming_time": float(processor.programming_us),
        "qpu_anneal_time_per_sample": annealing_time,
        "qpu_readout_time_per_sample": readout,
        "qpu_delay_time_per_sample": float(processor.delay_us),
        "qpu_sampling_time": sampling,
        "qpu_access_time": processor.programming_us + sampling,
    }
