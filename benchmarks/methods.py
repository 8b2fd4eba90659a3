"""How each method of `annealer.py` anneals, or finds a minimum gap: ours, general packages, the authors' algorithm."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial, reduce
from importlib.util import find_spec

import numpy as np
import scipy.sparse as sparse
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh, expm_multiply

from qafs_utils.annealing import schedules, spectrum
from qafs_utils.annealing import threads as pool
from qafs_utils.annealing.cpu import Loops
from qafs_utils.annealing.evolution import Evolution, anneal, start_state
from qafs_utils.annealing.splitting import splitting_angles
from qafs_utils.artefacts.files import PUBLISHED
from qafs_utils.conventions import HEADLINE
from qafs_utils.qubo import binary, feature_selection

CORES = pool.THREADS
BETA, TAU, DRIVER, SCHEDULE = HEADLINE.beta, 50.0, HEADLINE.driver, schedules.SCHEDULES["linear"]
PATH = {"driver": DRIVER, "schedule": SCHEDULE}
POINTS = 5000  # the authors' time steps

STEPS = tuple(round(4 * 2 ** (k / 4)) for k in range(45))
TOLERANCES = tuple(float(f"{10 ** (-k / 2):.2g}") for k in range(4, 25))
PRECISIONS = tuple(zip((1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10), (3e-3, 3e-3, *[1e-3] * 3, 1e-4, 1e-5, 1e-7)))


def missing(*names):
    """Which of these packages are not installed, and the remedy; "" if none."""
    absent = " and ".join(name for name in names if find_spec(name) is None)
    return f"{absent} not installed: pip install '.[benchmark]'" if absent else ""


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
    def parts(self):
        """H_D and H_P as sparse matrices."""
        k = np.arange(2**self.d)
        flips = np.concatenate([k ^ (1 << p) for p in range(self.d)])
        strength = np.full(len(flips), schedules.driver_strength(DRIVER, self.d))
        driver = sparse.csr_matrix((strength, (np.tile(k, self.d), flips)))
        return driver, sparse.diags(self.energies, format="csr")


# Evolution: each function prepares a problem and returns the function that is timed, setting -> fidelity.


def ours(problem, order):
    """The splitting of that order; setting: number of steps."""
    evolution = Evolution(problem.energies, TAU, **PATH)
    return lambda steps: float(evolution.fidelity(evolution.run([(0.0, 1.0, steps)], order))[0])


def ours_verified(problem, _):
    """`anneal`, which extrapolates runs at several steps and tells the error; setting: tolerance."""
    return lambda tolerance: float(anneal(problem.energies, TAU, **PATH, tolerance=tolerance).fidelity)


def layers(problem, steps, order):
    """The splitting as (phase, angle) of each layer, a phase and then a rotation; the last angle is None."""
    strength = schedules.driver_strength(DRIVER, problem.d)
    phases, angles = splitting_angles(TAU, strength, SCHEDULE, steps, order)
    return zip(phases, [*angles, None])


def rotation(entry, qubits):
    """[[cos, entry sin], [-conj(entry) sin, cos]] on so many qubits, a function of the angle  ->  dense matrix."""
    signs = reduce(np.kron, [np.array([[1, entry], [-np.conj(entry), 1]])] * qubits)
    k = np.arange(2**qubits)
    flipped = np.array([bin(x).count("1") for x in k])[k[:, None] ^ k]
    powers = np.arange(qubits + 1)
    return lambda angle: signs * (np.cos(angle) ** powers[::-1] * np.sin(angle) ** powers)[flipped]


def numpy_products(problem, order):
    """Our splitting in NumPy: real and imaginary part of i^|k| psi_k, whose rotations are real, in two dense products
    a layer, of the upper and of the lower half of the qubits; setting: number of steps.
    """
    low = problem.d // 2
    upper, lower, E = rotation(-1.0, problem.d - low), rotation(-1.0, low), problem.energies.reshape(-1, 2**low)
    start = problem.start * 1j ** np.array([bin(k).count("1") for k in range(2**problem.d)])

    def run(steps):
        x = np.stack([start.real, start.imag]).reshape(2, *E.shape)
        for phase, angle in layers(problem, steps, order):
            turn = phase * E
            cosine, sine = np.cos(turn), np.sin(turn)
            x = np.stack([cosine * x[0] + sine * x[1], cosine * x[1] - sine * x[0]])
            if angle is not None:
                x = upper(angle) @ x @ lower(angle).T
        return float((x[0] ** 2 + x[1] ** 2).ravel()[problem.ground].sum())

    return run


def qulacs_circuit(problem, block, built=False):
    """Our splitting of order 4 as a circuit of Qulacs: a diagonal and dense matrices of `block` qubits. Setting:
    number of steps. built: the circuit is made before the clock starts.
    """
    import qulacs

    state, everything = qulacs.QuantumState(problem.d), list(range(problem.d))
    blocks = [everything[p : p + block] for p in range(0, problem.d, block)]
    rotations = {size: rotation(-1j, size) for size in map(len, blocks)}

    def build(steps):
        circuit = qulacs.QuantumCircuit(problem.d)
        for phase, angle in layers(problem, steps, 4):
            circuit.add_gate(qulacs.gate.DiagonalMatrix(everything, np.exp(-1j * phase * problem.energies)))
            for qubits in blocks if angle is not None else ():
                circuit.add_gate(qulacs.gate.DenseMatrix(qubits, rotations[len(qubits)](angle)))
        return circuit

    build = lru_cache(1)(build) if built else build

    def run(steps):
        state.load(problem.start)
        build(steps).update_quantum_state(state)
        return problem.fidelity(state.get_vector())

    run.build = build if built else None
    return run


def qutip_sesolve(problem, integrator):
    """QuTiP's `sesolve` on sparse matrices with coefficients as functions; setting: rtol and atol."""
    import qutip

    weights = (lambda t: SCHEDULE.A(t / TAU)), (lambda t: SCHEDULE.B(t / TAU))
    H = qutip.QobjEvo([[qutip.Qobj(part), weight] for part, weight in zip(problem.parts, weights)])
    start = qutip.Qobj(problem.start.astype(complex))
    options = {"method": integrator, "nsteps": 10**9, "progress_bar": "", "store_states": False}

    def run(tolerance):
        accuracy = {"atol": tolerance, "rtol": tolerance, "store_final_state": True}
        return problem.fidelity(qutip.sesolve(H, start, [0, TAU], options=options | accuracy).final_state.full()[:, 0])

    return run


def authors_evolution(problem):
    """The authors' time step: sparse H(s_r) at the left end of the step, SciPy's `expm_multiply`  ->  step, result."""
    driver, levels = (part.astype(complex) for part in problem.parts)
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


def two_levels(problem, solve):
    """Gap by solve(s, the vectors before, tolerance)  ->  two levels, vectors; setting: precisions of value and s."""

    def run(setting):
        tolerance, precision = setting
        before = [np.ones((2**problem.d, 1))]

        def gap(s):
            values, before[0] = solve(s, before[0], tolerance)
            return abs(values[1] - values[0])

        try:
            return grid_and_brent(gap, precision)
        except ArpackError:
            return np.nan

    return run


def scipy_product(problem, _):
    """SciPy's `eigsh` on our own product, without matrices; started from the sum of the vectors before."""

    def solve(s, v, tolerance):
        return eigsh(product(problem, s), 2, which="SA", v0=v.sum(axis=1), tol=tolerance)

    return two_levels(problem, solve)


def product(problem, s):
    """H(s) as an operator, by our loops."""
    flip, size = SCHEDULE.A(s) * schedules.driver_strength(DRIVER, problem.d), 2**problem.d
    diagonal = SCHEDULE.B(s) * problem.energies

    def apply(x):
        out = np.empty(size)
        Loops.hamiltonian(np.ascontiguousarray(x.reshape(-1)), diagonal, flip, out)
        return out

    return LinearOperator((size, size), matvec=apply, dtype=float)


def primme_jdqmr(problem, _):
    """PRIMME's `eigsh` (JDQMR) on our own product, preconditioned by the diagonal less about the lowest level."""
    import primme

    def solve(s, v, tolerance):
        operator, diagonal = product(problem, s), SCHEDULE.B(s) * (problem.energies - problem.energies.min())
        shifted = diagonal + SCHEDULE.A(s) * abs(schedules.driver_strength(DRIVER, problem.d)) * problem.d / 3 + 1e-3
        inverse = LinearOperator(operator.shape, matvec=lambda x: x.reshape(-1) / shifted, dtype=float)
        return primme.eigsh(operator, 2, OPinv=inverse, which="SA", v0=v, tol=tolerance, method="PRIMME_JDQMR")

    return two_levels(problem, solve)


def authors_gap(problem):
    """The authors' two lowest levels: `eigsh` at each time step, from a random start  ->  step, result."""
    driver, levels = (part.astype(complex) for part in problem.parts)
    gaps, s = [], np.arange(POINTS) / POINTS

    def step(r):
        values = eigsh((1 - s[r]) * driver + s[r] * levels, k=2, which="SA")[0]
        gaps.append(abs(values[1] - values[0]))

    return step, lambda: min(gaps)


@dataclass(frozen=True)
class Method:
    """How to run a method: prepare(problem, variant) returns setting -> result; the ladder goes from coarse to fine.

    largest: d that is tried; verified: the time includes a proof or an estimate of the error; package: the method is
    skipped without it. A sampled method has no settings: prepare(problem) returns step(r) and result(), and some steps
    may stand for all.
    """

    quantity: str
    name: str
    prepare: Callable
    variants: tuple = (None,)
    ladder: tuple = (None,)
    threads: int = 1
    largest: int = 24
    sampled: bool = False
    verified: bool = False
    package: str = "numpy"


PREBUILT = partial(qulacs_circuit, built=True)
METHODS = dict.fromkeys(
    (  # each once, should there be a single core
        Method("evolution", "ours", ours, (4, 2), STEPS),
        Method("evolution", "ours", ours, (4, 2), STEPS, CORES),
        Method("evolution", "ours, verified", ours_verified, ladder=(1e-5,), verified=True),
        Method("evolution", "ours, verified", ours_verified, ladder=(1e-5,), threads=CORES, verified=True),
        Method("evolution", "NumPy", numpy_products, (4, 2), STEPS),
        Method("evolution", "Qulacs", qulacs_circuit, (2, 3, 4), STEPS, package="qulacs"),
        Method("evolution", "Qulacs, prebuilt", PREBUILT, (1, 2, 3, 4), STEPS, package="qulacs"),
        Method("evolution", "QuTiP", qutip_sesolve, ("vern7", "vern9"), TOLERANCES, package="qutip"),
        Method("evolution", "authors", authors_evolution, sampled=True),
        Method("minimum gap", "ours", ours_gap, ladder=(1e-6,), verified=True),
        Method("minimum gap", "SciPy, our product", scipy_product, ladder=PRECISIONS),
        Method("minimum gap", "PRIMME", primme_jdqmr, ladder=PRECISIONS, package="primme"),
        Method("minimum gap", "authors", authors_gap, sampled=True),
    )
)
