"""How each method of `annealer.py` anneals, or finds a minimum gap: ours, general packages, the authors' algorithm."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import scipy.linalg
import scipy.sparse as sparse
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import ArpackError, eigsh, expm_multiply

from qafs_utils.annealing import schedules, spectrum
from qafs_utils.annealing import threads as pool
from qafs_utils.annealing.evolution import Evolution, anneal, start_state
from qafs_utils.artefacts.files import PUBLISHED
from qafs_utils.conventions import HEADLINE
from qafs_utils.qubo import binary, feature_selection

CORES = pool.THREADS
BETA, TAU, DRIVER, SCHEDULE = HEADLINE.beta, 50.0, HEADLINE.driver, schedules.SCHEDULES["linear"]
PATH = {"driver": DRIVER, "schedule": SCHEDULE}
POINTS = 5000  # the authors' time steps

STEPS = tuple(round(4 * 2 ** (k / 4)) for k in range(45))
TOLERANCES = tuple(float(f"{10 ** (-k / 2):.2g}") for k in range(4, 25))
PRECISIONS = ((1e-2, 3e-3), (1e-3, 3e-3), (1e-4, 1e-3), (1e-6, 1e-4), (1e-8, 1e-5), (1e-10, 1e-7))  # of E, of s


@cache
def stored():
    """The committed maps (B, N_f, H, W) and their importance (B, N_f)."""
    with np.load(PUBLISHED / "02_maps_nf512.npz") as arrays:
        return arrays["maps_block"], arrays["importance_block"]


class Problem:
    """One instance with its references; matrices are made when asked for."""

    def __init__(self, d, instance):
        maps, importance = stored()
        rng = np.random.default_rng([d, instance])
        image = rng.integers(len(maps))
        selection = feature_selection.subsample(maps[image].astype(np.float32), importance[image], d, rng=rng)
        self.d, self.instance, self.references = d, instance, {}
        self.energies = binary.energies(selection.bqm(BETA, HEADLINE.pair_sum))
        self.start = start_state(d, DRIVER)
        self.ground = np.flatnonzero(self.energies <= self.energies.min() + binary.DEGENERATE)

    def reference(self, quantity):
        """Fidelity or minimum gap, far more accurate than asked of the methods; computed once."""
        if quantity not in self.references:
            if quantity == "evolution":
                tolerance = 1e-9 if self.d <= 18 else 1e-7
                found = anneal(self.energies, TAU, **PATH, tolerance=tolerance).fidelity
            else:
                found = spectrum.minimum_gap(self.energies, **PATH, tolerance=1e-8, residual=1e-7).gap
            self.references[quantity] = float(found)
        return self.references[quantity]

    def fidelity(self, state):
        """Probability of the ground states: (2^d,) complex  ->  float."""
        return float((np.abs(state[self.ground]) ** 2).sum())

    @cached_property
    def matrices(self):
        """H_D and H_P as real CSR matrices that store the same elements, zeros included."""
        k, d = np.arange(2**self.d, dtype=np.int32), self.d
        columns = np.sort(np.column_stack([k, *(k ^ (1 << p) for p in range(d))]), axis=1)
        flips = np.where(columns == k[:, None], 0.0, schedules.driver_strength(DRIVER, d))
        levels = np.where(columns == k[:, None], self.energies[:, None], 0.0)
        rows = np.arange(0, columns.size + 1, d + 1, dtype=np.int32)
        shape = (2**d, 2**d)
        return tuple(sparse.csr_matrix((x.ravel(), columns.ravel(), rows), shape) for x in (flips, levels))

    def parts(self):
        """H_D and H_P as real CSR matrices without stored zeros."""
        parts = [matrix.copy() for matrix in self.matrices]
        for matrix in parts:
            matrix.eliminate_zeros()
        return parts

    def hamiltonian(self, s, factor=1.0):
        """factor H(s), CSR, without the cost of a sparse sum."""
        driver, levels = self.matrices
        data = factor * SCHEDULE.A(s) * driver.data + factor * SCHEDULE.B(s) * levels.data
        return sparse.csr_matrix((data, driver.indices, driver.indptr), driver.shape)


# Evolution: each function prepares a problem and returns the function that is timed, setting -> fidelity.


def ours(problem, order):
    """The splitting of that order; setting: number of steps."""
    evolution = Evolution(problem.energies, TAU, **PATH)
    return lambda steps: float(evolution.fidelity(evolution.run([(0.0, 1.0, steps)], order)[2])[0])


def ours_verified(problem, _):
    """`anneal`, which verifies the error by a second run; setting: tolerance."""
    return lambda tolerance: float(anneal(problem.energies, TAU, **PATH, tolerance=tolerance).fidelity)


def qutip_sesolve(problem, integrator):
    """QuTiP's `sesolve` on sparse matrices with coefficients as functions; setting: rtol and atol."""
    import qutip

    weights = (lambda t: SCHEDULE.A(t / TAU)), (lambda t: SCHEDULE.B(t / TAU))
    H = qutip.QobjEvo([[qutip.Qobj(part), weight] for part, weight in zip(problem.parts(), weights)])
    start = qutip.Qobj(problem.start.astype(complex))
    options = {"method": integrator, "nsteps": 10**9, "progress_bar": "", "store_states": False}

    def run(tolerance):
        accuracy = {"atol": tolerance, "rtol": tolerance, "store_final_state": True}
        return problem.fidelity(qutip.sesolve(H, start, [0, TAU], options=options | accuracy).final_state.full()[:, 0])

    return run


def quspin_evolve(problem, integrator):
    """QuSpin's `hamiltonian.evolve` on sparse matrices; setting: rtol and atol."""
    from quspin.operators import hamiltonian

    weights = (lambda t: SCHEDULE.A(t / TAU)), (lambda t: SCHEDULE.B(t / TAU))
    dynamic = [[part, weight, ()] for part, weight in zip(problem.parts(), weights)]
    H = hamiltonian([], dynamic, dtype=np.float64, check_symm=False, check_herm=False, check_pcon=False)
    start, end = problem.start.astype(complex), np.array([TAU])

    def run(tolerance):
        options = {"solver_name": integrator, "atol": tolerance, "rtol": tolerance, "nsteps": 2**31 - 1}
        return problem.fidelity(H.evolve(start, 0.0, end, **options)[:, 0])

    return run


def scipy_midpoint(problem, _):
    """SciPy's `expm_multiply` with H in the middle of each step, order 2; setting: number of steps."""
    trace = problem.energies.sum()

    def run(steps):
        state, factor = problem.start.astype(complex), -1j * TAU / steps
        for s in (np.arange(steps) + 0.5) / steps:
            state = expm_multiply(problem.hamiltonian(s, factor), state, traceA=factor * SCHEDULE.B(s) * trace)
        return problem.fidelity(state)

    return run


def authors_evolution(problem):
    """The authors' time step: sparse H(s_r) at the left end of the step, SciPy's `expm_multiply`  ->  step, result."""
    driver, levels = (part.astype(complex) for part in problem.parts())
    states, s = [problem.start.astype(complex)], np.arange(POINTS) / POINTS

    def step(r):
        states[0] = expm_multiply(-1j * (TAU / POINTS) * ((1 - s[r]) * driver + s[r] * levels), states[0])

    return step, lambda: problem.fidelity(states[0])


# Minimum gap: as above, setting -> gap.


def certified_gap(problem, tolerance):
    """Our minimum gap, one thread."""
    return spectrum.minimum_gap(problem.energies, **PATH, tolerance=tolerance).gap


def ours_gap(problem, _):
    """The certified minimum; setting: tolerance."""
    return lambda tolerance: certified_gap(problem, tolerance)


def grid_and_brent(gap, precision):
    """Minimum of gap(s) near the lowest of 21 points, by bounded Brent minimisation: not certified."""
    s = np.linspace(0, 1, 21)
    values = [gap(x) for x in s]
    lowest = int(np.argmin(values))
    bounds = s[max(lowest - 1, 0)], s[min(lowest + 1, 20)]
    found = minimize_scalar(gap, bounds=bounds, method="bounded", options={"xatol": precision})
    return min(found.fun, values[lowest])


def scipy_eigsh(problem, _):
    """SciPy's `eigsh`, each solve started from the sum of the vectors before; setting: precisions of value and s."""

    def run(setting):
        tolerance, precision = setting
        start = [np.ones(2**problem.d)]

        def gap(s):
            values, vectors = eigsh(problem.hamiltonian(s), k=2, which="SA", v0=start[0], tol=tolerance)
            start[0] = vectors.sum(axis=1)
            return abs(values[1] - values[0])

        try:
            return grid_and_brent(gap, precision)
        except ArpackError:
            return np.nan

    return run


def dense_eigh(problem, _):
    """LAPACK's two lowest levels of the full matrix; setting: as above, the first is not used."""
    driver, levels = (part.toarray() for part in problem.matrices)

    def gap(s):
        H = SCHEDULE.A(s) * driver + SCHEDULE.B(s) * levels
        values = scipy.linalg.eigh(H, eigvals_only=True, subset_by_index=(0, 1), overwrite_a=True, check_finite=False)
        return values[1] - values[0]

    return lambda setting: grid_and_brent(gap, setting[1])


def authors_gap(problem):
    """The authors' two lowest levels: `eigsh` at each time step, from a random start  ->  step, result."""
    driver, levels = (part.astype(complex) for part in problem.parts())
    gaps, s = [], np.arange(POINTS) / POINTS

    def step(r):
        values = eigsh((1 - s[r]) * driver + s[r] * levels, k=2, which="SA")[0]
        gaps.append(abs(values[1] - values[0]))

    return step, lambda: min(gaps)


@dataclass(frozen=True)
class Method:
    """How to run a method: prepare(problem, variant) returns setting -> result; the ladder goes from coarse to fine.

    largest: d that is tried. A sampled method has no settings: prepare(problem) returns step(r) and result(), and some
    steps may stand for all.
    """

    quantity: str
    name: str
    prepare: Callable
    variants: tuple = (None,)
    ladder: tuple = (None,)
    threads: int = 1
    largest: int = 24
    sampled: bool = False


METHODS = dict.fromkeys(
    (  # each once, should there be a single core
        Method("evolution", "ours", ours, (4, 2), STEPS),
        Method("evolution", "ours", ours, (4, 2), STEPS, CORES),
        Method("evolution", "ours, verified", ours_verified, ladder=(1e-5,)),
        Method("evolution", "ours, verified", ours_verified, ladder=(1e-5,), threads=CORES),
        Method("evolution", "QuTiP", qutip_sesolve, ("adams", "dop853", "tsit5", "vern7", "vern9"), TOLERANCES),
        Method("evolution", "QuSpin", quspin_evolve, ("dop853", "dopri5"), TOLERANCES),
        Method("evolution", "SciPy", scipy_midpoint, ladder=STEPS),
        Method("evolution", "authors", authors_evolution, sampled=True),
        Method("minimum gap", "ours", ours_gap, ladder=(1e-6,)),
        Method("minimum gap", "ours", ours_gap, ladder=(1e-6,)),
        Method("minimum gap", "SciPy", scipy_eigsh, ladder=PRECISIONS),
        Method("minimum gap", "LAPACK", dense_eigh, ladder=PRECISIONS, largest=10),
        Method("minimum gap", "authors", authors_gap, sampled=True),
    )
)
