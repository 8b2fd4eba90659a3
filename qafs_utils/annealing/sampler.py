"""The annealer as a dimod sampler: bit-strings drawn from the final state."""

import time
from types import MappingProxyType

import dimod
import numpy as np

from ..conventions import HEADLINE
from ..qubo.binary import bits, energies
from ..qubo.feature_selection import require_problems
from .evolution import anneal, draw, loops_on
from .schedules import DRIVERS, SCHEDULES, find_schedule

_PARAMETERS = "num_reads", "annealing_time", "driver", "schedule", "tolerance", "dt", "seed", "device", "dtype"


def most_probable(
    problems,
    annealing_time=HEADLINE.annealing_time,
    *,
    beta=HEADLINE.beta,
    pair_sum=HEADLINE.pair_sum,
    driver=HEADLINE.driver,
    tolerance=1e-6,
) -> np.ndarray:
    """The maps that an anneal ends in most often, not those of lowest energy: B problems  ->  (B, N_f) bool.

    What the most frequent of many reads tends to, as in github checc1/scoreCamTest, scorePercentageAnnealing.py.
    annealing_time, driver, tolerance: as for `anneal`; beta, pair_sum: as for `feature_selection_bqm`; raises as they.

    >>> from ..qubo.feature_selection import Problem
    >>> alike = Problem(np.array([0, 2]), np.array([-1.0, -0.5]), np.ones((2, 2)), n_features=3)
    >>> most_probable([alike], annealing_time=100.0)
    array([[ True, False, False]])
    """
    problems, n_features = require_problems(problems)
    found = np.zeros((len(problems), n_features), dtype=bool)
    for row, problem in zip(found, problems):
        result = anneal(energies(problem.bqm(beta, pair_sum)), annealing_time, driver=driver, tolerance=tolerance)
        row[:] = problem.selected(bits([result.probabilities.argmax()], problem.d)[0])
    return found


class SchrodingerSampler(dimod.Sampler):
    """Exact annealer that follows Ocean's conventions: bit-strings drawn from |psi(annealing_time)|^2."""

    parameters = MappingProxyType({name: [] for name in _PARAMETERS})
    properties = MappingProxyType(
        {
            "category": "simulator",
            "annealing_time_unit": "1/energy",
            "drivers": tuple(DRIVERS),
            "schedules": tuple(SCHEDULES),
        }
    )

    def sample(
        self,
        bqm,
        num_reads=None,
        annealing_time=HEADLINE.annealing_time,
        driver=HEADLINE.driver,
        schedule="linear",
        tolerance=1e-6,
        dt=None,
        seed=None,
        device=None,
        dtype="complex128",
        **unknown,
    ):
        """Anneal and measure num_reads times, d^2 for None (paper, Sec. II.2): model  ->  dimod.SampleSet.

        tolerance, dt, device, dtype: as in `anneal`. seed: of the measurements.
        info: ground_state_probability (the fidelity), expected_energy, ground_energy, steps, error, timing in
        seconds, annealing_time, driver, schedule. Raises as `energies`, `anneal` and `draw`.

        >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": 0.5}, {("a", "b"): 2.0}, 0.0, dimod.BINARY)
        >>> samples = SchrodingerSampler().sample(bqm, annealing_time=100.0, seed=0)
        >>> len(samples), float(samples.first.energy), round(samples.info["ground_state_probability"], 3)
        (4, -1.0, 1.0)
        """
        self.remove_unknown_kwargs(**unknown)
        clock = [time.perf_counter()]
        levels = loops_on(device).energies(bqm)
        clock.append(time.perf_counter())
        options = {"driver": driver, "schedule": schedule, "tolerance": tolerance, "dt": dt}
        result = anneal(levels, annealing_time, **options, device=device, dtype=dtype)
        clock.append(time.perf_counter())
        d = bqm.num_variables
        num_reads = max(d**2, 1) if num_reads is None else num_reads
        drawn = draw(result.probabilities, num_reads, seed, device=device)
        samples = bits(drawn, d).astype(np.int8)
        if bqm.vartype is dimod.SPIN:
            samples = 2 * samples - 1
        clock.append(time.perf_counter())
        info = {
            "ground_state_probability": float(result.fidelity),
            "expected_energy": float(result.energy),
            "ground_energy": float(levels.min()),
            "steps": result.steps,
            "error": result.error,
            "timing": dict(zip(("energies", "evolution", "sampling"), np.diff(clock).tolist())),
            "annealing_time": annealing_time,
            "driver": driver,
            "schedule": find_schedule(schedule).name,
        }
        drawn_energies = np.array(levels[drawn].tolist())  # of an array or a tensor
        return dimod.SampleSet.from_samples(
            (samples, list(bqm.variables)), bqm.vartype, drawn_energies, info=info, sort_labels=False
        )
