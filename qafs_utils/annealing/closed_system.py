"""What a D-Wave processor would do without noise: the paper's units in ns, GHz and mK, and exact anneals of problems.

With times in ns, H(s) = -pi A(s) sum sigma_x + pi B(s) E (A, B in GHz), E the Ising energy of `ising.as_taken`: that of
the selection problem over its range factor f. The paper has H(s) = (1 - s) g sum sigma_x + s E_QUBO instead. The two
agree in nothing but the form, so what tau is in ns depends on what is to be equal:

- the problem, at the end: tau E_QUBO = T pi B(1) E_QUBO / f, so T = tau f / (pi B(1)). Phases of the problem are then
  equal; the processor's driver is f A(0) / (|g| B(1)) times as strong. Meant wherever nothing else is said.
- the driver, at the beginning: tau |g| = T pi A(0), so T = tau |g| / (pi A(0)).
- the gap: tau times the smallest gap of the one is T times that of the other, what an adiabatic condition compares.
"""

from collections.abc import Sequence
from functools import cache, partial
from typing import NamedTuple

import dimod
import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import LinearOperator, eigsh
from tqdm import tqdm

from .. import require
from ..conventions import HEADLINE
from ..qubo.binary import checked, energies
from .evolution import AnnealResult, anneal, start_state
from .instances import _table
from .ising import Ising, as_taken, fields_on_ancilla, ising_of, range_factor
from .processors import GHZ_PER_MK, PROTOCOLS, Processor, find_processor, processors
from .schedules import Schedule, driver_strength, find_schedule, of_processor
from .spectrum import levels, minimum_gap

TIMES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)  # ns
DRIVER = "uniform"  # the processors'
WAYS = {  # the protocol whose schedule runs, and the one whose ranges the problem is brought into
    "fast": ("fast", "fast"),
    "standard": ("standard", "standard"),
    "fast with fields": ("fast", "standard"),  # which no processor offers: without the ancilla
    "linear": ("linear", "standard"),  # the paper's, at the equivalent tau
}
STARTS = ("ground", "uniform")
_GRID = 65  # places of s at which a gap without certificate is looked for
_LARGEST = 14  # variables up to which gaps are found in reasonable time


def factor(bqm: dimod.BinaryQuadraticModel, protocol: str = "standard") -> float:
    """The range factor f of a model: what a protocol divides its energies by, below 1 if it multiplies them.

    For the fast protocol the fields are couplings, which may be a quarter as strong. Raises ValueError as `as_taken`.

    >>> bqm = dimod.BinaryQuadraticModel({"a": 1.0}, {}, 0.0, dimod.SPIN)
    >>> factor(bqm), factor(bqm, "fast")
    (0.25, 1.0)
    """
    problem = ising_of(bqm)
    return range_factor(fields_on_ancilla(problem) if _known(protocol) == "fast" else problem)


def unit_GHz(bqm: dimod.BinaryQuadraticModel, processor: str | Processor, protocol: str = "standard") -> float:
    """One unit of a model's energy at the end of the anneal, over h, in GHz: B(1) / 2 over its range factor.

    Raises ValueError as `factor` and `find_processor`, ArtefactError as `processors.read_schedule`.

    >>> bqm = dimod.BinaryQuadraticModel({"a": 1.0}, {}, 0.0, dimod.SPIN)
    >>> round(unit_GHz(bqm, "Advantage2_system2", "fast"), 3)
    6.882
    """
    return float(_unit(factor(bqm, protocol), find_processor(processor).weights(protocol)))


def equivalent_ns(
    bqm: dimod.BinaryQuadraticModel,
    tau: float,
    processor: str | Processor,
    protocol: str = "standard",
    *,
    match: str = "problem",
    driver: str = HEADLINE.driver,
) -> float:
    """The anneal in ns on a processor that is equivalent to the paper's tau, if the problem or the driver is to match.

    match: "problem", T = tau f / (pi B(1)), or "driver", T = tau |g| / (pi A(0)), g of the paper's driver.
    Raises ValueError as `unit_GHz`, for a tau that is not positive, and for an unknown match or driver.

    >>> bqm = dimod.BinaryQuadraticModel({"a": 1.0}, {}, 0.0, dimod.SPIN)
    >>> [round(equivalent_ns(bqm, 50.0, "Advantage2_system2", "fast", match=m), 3) for m in ("problem", "driver")]
    [1.156, 1.592]
    """
    tau = require.number("tau", tau, "(0, inf)")
    if require.choice("match", match, ("problem", "driver")) == "problem":
        return tau / (2 * np.pi * unit_GHz(bqm, processor, protocol))
    table = find_processor(processor).weights(protocol)
    return float(_driver_ns(tau, driver, bqm.num_variables, table))


def units(
    instances: pd.DataFrame,
    taus: Sequence[float] = (10.0, 50.0, 100.0),
    *,
    names: Sequence[str] | None = None,
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    driver: str = HEADLINE.driver,
) -> pd.DataFrame:
    """The paper's anneals in ns: a row per n_features (if a column), processor, protocol and tau; medians of problems.

    instances: a table as in `instances`, of any d; names: of processors, None for all. Columns: factor, the range
    factor; unit_GHz and unit_mK, one unit of the QUBO's energy at the end over h and over k; ns, ns_min, ns_max: equal
    problem at the end; driver_ns: equal driver at the beginning; shortest_ns that the protocol allows, and below: the
    share of problems whose ns is shorter than that. Raises ValueError for what is no table of instances, and as
    `equivalent_ns`.

    >>> from ..qubo.feature_selection import Problem
    >>> table = pd.DataFrame({"d": [2], "problem": [Problem([0, 2], [-1.0, -0.5], np.eye(2), 3)]})
    >>> found = units(table, [50.0], names=["Advantage2_system2"])
    >>> found[["protocol", "factor", "ns", "shortest_ns", "below"]].round(3)
       protocol  factor     ns  shortest_ns  below
    0      fast   0.350  0.405          5.0    1.0
    1  standard   0.088  0.101        500.0    1.0
    """
    taus = require.array("taus", taus, "n", interval="(0, inf)").tolist()
    chosen = [find_processor(name) for name in (processors() if names is None else names)]
    table, rows = _table(instances), []
    groups = table.groupby("n_features") if "n_features" in table else [(None, table)]
    for n, group in groups:
        models, d = [problem.bqm(beta, pair_sum) for problem in group.problem], group.d
        factors = {protocol: np.array([factor(bqm, protocol) for bqm in models]) for protocol in PROTOCOLS}
        kind = {} if n is None else {"n_features": n}
        for processor in chosen:
            for protocol, (shortest, _) in PROTOCOLS.items():
                weights = processor.weights(protocol)
                unit = _unit(factors[protocol], weights)  # (problems,)
                for tau in taus:
                    ns, of_driver = tau / (2 * np.pi * unit), [_driver_ns(tau, driver, n, weights) for n in d]
                    row = {"processor": processor.name, "protocol": protocol, "tau": tau}
                    row |= {"factor": np.median(factors[protocol]), "unit_GHz": np.median(unit)}
                    row |= {"unit_mK": np.median(unit) / GHZ_PER_MK, "ns": np.median(ns)}
                    row |= {"ns_min": ns.min(), "ns_max": ns.max(), "driver_ns": np.median(of_driver)}
                    rows.append(kind | row | {"shortest_ns": shortest, "below": (ns < shortest).mean()})
    return pd.DataFrame(rows)


class RealGap(NamedTuple):
    """The smallest gap on a processor's schedule: GHz over h, and the s where it is.

    >>> RealGap(1.0, 0.5).GHz
    1.0
    """

    GHz: float
    s: float


def real_gap(
    bqm: dimod.BinaryQuadraticModel,
    processor: str | Processor,
    protocol: str = "standard",
    *,
    tolerance_GHz: float = 1e-3,
) -> RealGap:
    """The smallest gap over s of a model as a processor anneals it, of at most 14 variables.

    Standard: certified to tolerance_GHz (`spectrum.minimum_gap`). Fast: with the ancilla all spins may be turned, so
    levels come as even and odd ones, which end in pairs. The anneal begins in an even state and stays among them: the
    gap is that of the two lowest even levels, with ground and excited states of the model at the end; found on a grid
    of s and refined, without a certificate. Raises ValueError as `as_taken`, and for more variables or none.

    >>> bqm = dimod.BinaryQuadraticModel({"a": 1.0}, {}, 0.0, dimod.SPIN)
    >>> gap = real_gap(bqm, "Advantage2_system2")
    >>> round(gap.GHz, 2), round(gap.s, 2)
    (5.65, 0.12)
    """
    processor, tolerance = (
        find_processor(processor),
        2 * np.pi * require.number("tolerance_GHz", tolerance_GHz, "(0, inf)"),
    )
    schedule, taken = _schedule(processor.name, _known(protocol)), as_taken(bqm, protocol)
    require.whole("the number of variables", bqm.num_variables, 1, _LARGEST)
    if protocol == "standard":
        gap = minimum_gap(_centred(taken), driver=DRIVER, schedule=schedule, tolerance=tolerance)
        return RealGap(gap.gap / (2 * np.pi), gap.s)
    even = _Even(taken, schedule)
    s = np.linspace(0, 1, _GRID)
    curve = np.array([even.gap(place) for place in s])
    least = int(curve.argmin())
    ends = s[max(least - 1, 0)], s[min(least + 1, _GRID - 1)]
    refined = minimize_scalar(even.gap, bounds=ends, method="bounded", options={"xatol": 1e-5})
    found, place = min((refined.fun, refined.x), (curve[least], s[least]))
    return RealGap(float(found) / (2 * np.pi), float(place))


class _Even:
    """The even states of d spins with an ancilla: (2^d,), by the strings whose ancilla is +1."""

    def __init__(self, taken: Ising, schedule: Schedule):
        self.E, self.schedule, self.first = np.split(taken.energies(), 2)[1], schedule, None
        self.E = self.E - self.E.min()
        self.flips = [np.arange(len(self.E)) ^ (1 << p) for p in range(taken.d - 1)]

    def gap(self, s):
        """Of the two lowest even levels at s, in rad/ns."""
        A, B = float(self.schedule.A(s)), float(self.schedule.B(s))

        def applied(v):  # the ancilla's flip turns all others
            v = v.ravel()
            return B * self.E * v - A * (sum(v[flip] for flip in self.flips) + v[::-1])

        if len(self.E) <= 64:
            values = np.linalg.eigvalsh(np.array([applied(row) for row in np.eye(len(self.E))]))
            return values[1] - values[0]
        operator = LinearOperator((len(self.E),) * 2, matvec=applied, dtype=float)
        start = np.ones(len(self.E)) if self.first is None else self.first
        values, vectors = eigsh(operator, 2, which="SA", v0=start, ncv=40, tol=1e-10)
        self.first = vectors.sum(axis=1)
        return abs(values[1] - values[0])


def real_gaps(
    instances: pd.DataFrame,
    processor: str | Processor,
    *,
    protocols: Sequence[str] = tuple(PROTOCOLS),
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    driver: str = HEADLINE.driver,
    desc: str | None = None,
) -> pd.DataFrame:
    """`real_gap` of every instance and protocol, beside the paper's: a row each, d <= 14.

    Columns beside those of instances: processor, protocol, gap_GHz, gap_mK, gap_kT (over the processor's temperature),
    s; paper_gap in units of the QUBO's energy, paper_s; ns_per_tau: ns in which the gap acts as often as the paper's
    does in tau = 1. Raises ValueError for what is no table of instances, and as `real_gap`.
    """
    processor, rows = find_processor(processor), []
    for index, problem in tqdm(
        _table(instances).problem.items(), desc=desc, disable=desc is None, total=len(instances)
    ):
        bqm = problem.bqm(beta, pair_sum)
        paper = minimum_gap(energies(bqm), driver=driver, tolerance=1e-5)
        for protocol in protocols:
            gap = real_gap(bqm, processor, protocol)
            row = {"instance": index, "processor": processor.name, "protocol": protocol, "gap_GHz": gap.GHz}
            row |= {"gap_mK": gap.GHz / GHZ_PER_MK, "gap_kT": gap.GHz / processor.thermal_GHz, "s": gap.s}
            row |= {"paper_gap": paper.gap, "paper_s": paper.s, "ns_per_tau": paper.gap / (2 * np.pi * gap.GHz)}
            rows.append(row)
    return _joined(rows, instances)


def start_overlap(energies, schedule) -> float:
    """Share of the uniform start that is in the ground state of H(0): energies (2^d,), as taken  ->  in (0, 1].

    B(0) of a processor is not 0, so its ground state at s = 0 is not uniform. A slow anneal from the uniform start
    keeps this share in the ground state, and no more: it is where the success probability levels off.
    Raises ValueError as `spectrum.levels`.

    >>> start_overlap([0.0, 1.0], "linear")
    1.0
    >>> round(start_overlap([-4.0, 4.0], of_processor("Advantage2_system2")), 4)
    0.9934
    """
    schedule = find_schedule(schedule)
    batch, d = checked(energies)
    if len(batch) != 1:
        raise ValueError(f"energies of one problem must be (2^d,), got {batch.shape}: take them one by one")
    if float(schedule.B(0.0)) == 0:
        return 1.0
    return float((start_state(d, DRIVER) @ _ground(batch[0], schedule)) ** 2)


def anneal_from_ground(energies, annealing_time: float, *, schedule, tolerance: float = 1e-3) -> AnnealResult:
    """`evolution.anneal` with the "uniform" driver, but from the ground state of H(0), found by `spectrum.levels`.

    energies: (2^d,) or (B, 2^d). `anneal` itself starts in the ground state of the driver alone, of which a share
    1 - `start_overlap` is excited where B(0) > 0. Raises ValueError as `anneal`, MemoryError when it does not fit.

    >>> schedule, E = of_processor("Advantage2_system2"), [-4.0, 4.0]
    >>> round(float(anneal(E, 20.0, driver="uniform", schedule=schedule).fidelity), 3)
    0.993
    >>> round(float(anneal_from_ground(E, 20.0, schedule=schedule).fidelity), 3)
    1.0
    """
    batch, schedule = np.atleast_2d(require.sequence(energies)), find_schedule(schedule)
    tolerance = require.number("tolerance", tolerance, "[1e-9, inf)")
    start = np.array([_ground(E, schedule) for E in batch])
    given = batch if np.ndim(energies) > 1 else batch[0]
    return anneal(given, annealing_time, driver=DRIVER, schedule=schedule, start=start, tolerance=tolerance)


def closed_anneals(
    instances: pd.DataFrame,
    processor: str | Processor = "Advantage2_system2",
    times: Sequence[float] = TIMES,
    *,
    ways: Sequence[str] = tuple(WAYS),
    starts: Sequence[str] = ("ground",),
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    driver: str = HEADLINE.driver,
    tolerance: float = 1e-3,
    desc: str | None = None,
) -> pd.DataFrame:
    """Success probability of noise-free anneals on a processor: a row per instance, way, start and time.

    ways: of WAYS. "fast": the fast schedule, fields on an ancilla; "standard": that schedule, as if closed for as
    long; "fast with fields": if it took them; "linear": the paper's schedule with its driver on the QUBO's own
    energies, at the tau with equal problem at the end (range factor of "standard"). starts: "ground", of H(0), what a
    processor does, or "uniform"; for "linear" they are the same. times: in ns.
    Columns beside those of instances: processor, way, start, ns, tau (the equivalent one), allowed: whether the
    processor offers it, success: probability of all ground states of the problem; error of it, at most about the
    tolerance; steps. With the ancilla each ground state comes twice, as it is and with all spins turned; both count,
    as a reader turns them back by the ancilla's value.
    Raises ValueError for what is no table of instances, unknown names, no times, and as `anneal`.

    >>> from ..qubo.feature_selection import Problem
    >>> table = pd.DataFrame({"d": [2], "problem": [Problem([0, 2], [-1.0, -0.5], np.eye(2), 3)]})
    >>> closed_anneals(table, times=[5.0], ways=["fast", "linear"])[["d", "way", "allowed", "success"]].round(2)
       d     way  allowed  success
    0  2    fast     True     0.97
    1  2  linear    False     1.00
    """
    times = require.array("times", times, "n", interval="(0, inf)").tolist()
    ways = [require.choice("way", way, WAYS) for way in ways]
    starts = [require.choice("start", start, STARTS) for start in starts]
    if not (times and ways and starts):
        raise ValueError("times, ways and starts must not be empty: give one of each")
    processor, rows = find_processor(processor), []
    schedules = {way: _schedule(processor.name, WAYS[way][0]) for way in ways if way != "linear"}
    runs = {"ground": anneal_from_ground, "uniform": partial(anneal, driver=DRIVER)}
    for index, problem in tqdm(
        _table(instances).problem.items(), desc=desc, disable=desc is None, total=len(instances)
    ):
        bqm = problem.bqm(beta, pair_sum)
        for way in ways:
            schedule, ranges = WAYS[way]
            protocol = "standard" if way == "linear" else schedule
            per_ns = 2 * np.pi * _unit(factor(bqm, ranges), processor.weights(protocol))
            E = energies(bqm) if way == "linear" else _centred(as_taken(bqm, ranges))
            for start in starts[:1] if way == "linear" else starts:
                for ns in times:
                    if way == "linear":
                        result = anneal(E, ns * per_ns, driver=driver, tolerance=tolerance)
                    else:
                        result = runs[start](E, ns, schedule=schedules[way], tolerance=tolerance)
                    row = {"instance": index, "processor": processor.name, "way": way, "start": start, "ns": ns}
                    row |= {"tau": ns * per_ns, "allowed": way in PROTOCOLS and _allowed(way, ns)}
                    row |= {"success": float(result.fidelity), "error": result.error, "steps": result.steps}
                    rows.append(row)
    return _joined(rows, instances)


_schedule = cache(of_processor)  # with the cells that were found for it


def _known(protocol):
    return require.choice("protocol", protocol, PROTOCOLS)


def _unit(factors, weights):
    """B(1) / 2 over range factors, in GHz."""
    return weights.B_GHz.iloc[-1] / 2 / factors


def _driver_ns(tau, driver, d, weights):
    return tau * abs(driver_strength(driver, d)) / (np.pi * weights.A_GHz.iloc[0])


def _centred(taken):
    """Energies as taken, (2^d,), without their offset: it has no effect, and costs steps."""
    return Ising(taken.h, taken.J, 0.0).energies()


def _ground(E, schedule):
    """The ground state of H(0), (2^d,)."""
    return levels(E, 0.0, driver=DRIVER, schedule=schedule, k=1)[1][0]


def _allowed(protocol, ns):
    shortest, longest = PROTOCOLS[protocol]
    return shortest <= ns <= longest


def _joined(rows, instances):
    """Rows named by their instance, with the columns of the table but problem first."""
    named = instances.drop(columns="problem")
    if not rows:
        return named
    found = pd.DataFrame(rows)
    columns = [*named, *found.columns.drop("instance")]
    return found.join(named, on="instance")[columns]
