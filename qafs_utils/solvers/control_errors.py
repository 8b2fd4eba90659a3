"""Control errors of an annealer: the problem that it solves instead, and whether the optimum is still the optimum.

An Ising model reaches the qubits with errors in its fields and couplings (data/annealers). All are in units of the
auto-scaled problem, |h| <= 4 and |J| <= 1. Here they meet the problem without an embedding: a coupler for each J != 0.

`spins` are (d,) of -1 and 1. They stay the optimum if every other string lies higher, by `MARGIN` for each spin that
differs: where two strings tie, an annealer may return the other one.
"""

from collections.abc import Mapping, Sequence

import dimod
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from .. import require
from ..annealing.ising import H_RANGE, J_RANGE, Ising, as_taken
from ..conventions import HEADLINE
from ..qubo.feature_selection import require_problems
from .bounds import descend
from .branch_and_bound import optimum

KINDS = {
    "noise": ("delta_h", "delta_J"),  # Gaussian, of all fields and couplings in use
    "converter": ("step_h", "step_J"),  # rounding to the steps of the digital-to-analogue converters
    "spread": ("h_scale",),  # Gaussian: the scale of h, from qubit to qubit
    "susceptibility": ("chi",),  # of the background: fields leak to neighbours, and neighbours of a spin couple
}
MARGIN = 1e-6  # in units of the scaled problem
SIGMAS = 3.0  # at which a bound takes a Gaussian for at its end
ALWAYS = 40  # spins up to which the optimum of an erroneous problem is always proven
_STEPS = 20  # of a tabu search, for each spin


def erroneous(problem: Ising, errors: Mapping, rng=0, kinds: Sequence[str] = tuple(KINDS)) -> Ising:
    """The problem that a processor solves instead: one draw of its control errors.

    errors: as `processors.control_errors`; rng: seed or numpy Generator; kinds: keys of KINDS, the others are left out.
    The same seed draws the same numbers whatever the kinds. Fields and couplings are first rounded to multiples of the
    steps. To these come the leaks chi sum_j J_ij h_j and chi sum_j J_ij J_jk, and last spread and noise. The published
    noise was measured on whole processors: it may hold a part of the other kinds, which then count twice.
    Raises ValueError for unknown kinds, errors that are missing or no numbers, and a problem of other shapes.

    >>> problem = Ising(np.array([1.0, 0.0, 0.0]), np.array([[0, 0.5, 0], [0, 0, 1.0], [0, 0, 0]]), 0.0)
    >>> found = erroneous(problem, {"chi": -0.1}, kinds=["susceptibility"])
    >>> found.h, found.J[0, 2]  # h_1 chi J_12, and J_12 chi J_23
    (array([ 1.  , -0.05,  0.  ]), np.float64(-0.05))
    """
    problem, errors, rng = _checked(problem), _of_kinds(errors, kinds), require.generator("rng", rng)
    of_scale, of_h, of_J = rng.normal(size=problem.d), rng.normal(size=problem.d), rng.normal(size=problem.J.shape)
    known, spread_h, spread_J = _parts(problem, errors)
    h = known.h + spread_h[0] * of_scale + spread_h[1] * of_h
    return Ising(h, known.J + spread_J * of_J, problem.offset)


def _parts(problem, errors):
    """The problem with the errors that are no chance, and standard deviations: two of h, each (d,), and one of J."""
    h, J = _rounded(problem.h, errors["step_h"]), _rounded(problem.J, errors["step_J"])
    both = J + J.T
    leaked = Ising(h + errors["chi"] * both @ h, J + errors["chi"] * np.triu(both @ both, 1), problem.offset)
    spread_h = errors["h_scale"] * abs(h), np.full(problem.d, errors["delta_h"])
    return leaked, spread_h, errors["delta_J"] * (problem.J != 0)


def _rounded(values, step):
    return np.rint(values / step) * step if step else values


def _of_kinds(errors, kinds):
    """All errors by name, those of other kinds 0."""
    kinds = [kinds] if isinstance(kinds, str) else require.sequence(kinds)
    names = {name for kind in kinds for name in KINDS[require.choice("kind of error", kind, KINDS)]}
    missing = names - set(errors if isinstance(errors, Mapping) else ())
    if missing:
        raise ValueError(f"errors must hold {', '.join(sorted(missing))}: take them from processors.control_errors")
    found = dict.fromkeys((name for of_kind in KINDS.values() for name in of_kind), 0.0)
    for name in names:
        found[name] = require.number(name, errors[name], "(-inf, inf)" if name == "chi" else "[0, inf)")
    return found


def _checked(problem):
    """The problem with its arrays checked. Raises ValueError for other shapes, and couplings below the diagonal."""
    if not isinstance(problem, Ising):
        raise ValueError(f"problem must be an ising.Ising, got {type(problem).__name__}: make it by ising.as_taken")
    sizes, given = {}, ": check the model it is made from"
    h = require.array("h", problem.h, "d", sizes, remedy=given)
    J = require.array("J", problem.J, "d d", {"d": sizes["d"]}, remedy=given)
    if np.tril(J).any():
        raise ValueError("J must be zero on and below the diagonal: put each coupling above it")
    return Ising(h, J, require.number("offset", problem.offset))


def _spins(problem, spins):
    spins = require.array("spins", spins, "d", {"d": problem.d})
    if not (abs(spins) == 1).all():
        raise ValueError("spins must be -1 and 1: of bits n they are 2 n - 1")
    return spins


def energy(problem: Ising, spins) -> float:
    """Energy of one spin string, offset included. Raises ValueError for what is no string of d spins.

    >>> energy(Ising(np.array([1.0, 0.0]), np.array([[0, 0.5], [0, 0]]), 2.0), [1, -1])
    2.5
    """
    problem = _checked(problem)
    return _energy(problem, _spins(problem, spins))


def _energy(problem, spins):
    return float(spins @ problem.h + spins @ problem.J @ spins + problem.offset)


def _binary(problem):
    """Q (d, d) and b (d,) of n.Q.n / 2 + b.n, but for a constant the same energies."""
    both = problem.J + problem.J.T
    return 4 * both, 2 * (problem.h - both.sum(1))


def model(problem: Ising) -> dimod.BinaryQuadraticModel:
    """As `Ising.bqm`, over binary variables n = (s + 1) / 2 and quick for hundreds of spins: for solvers.

    Raises ValueError as `erroneous`.

    >>> found = model(Ising(np.array([1.0, 0.0]), np.array([[0, 0.5], [0, 0]]), 2.0))
    >>> float(found.energy({0: 1, 1: 0}))
    2.5
    """
    problem = _checked(problem)
    Q, b = _binary(problem)
    rows, columns = np.triu_indices(problem.d, 1)
    constant = problem.offset - problem.h.sum() + problem.J.sum()
    couplings = (rows, columns, Q[rows, columns])
    return dimod.BinaryQuadraticModel.from_numpy_vectors(b, couplings, float(constant), dimod.BINARY)


def _tabu(problem, starts):
    """Lowest string that tabu searches find, each from one of the starts (S, d) of -1 and 1: (d,) spins."""
    Q, b = _binary(problem)
    best, lowest = starts[0], np.inf
    for start in starts:
        bits = (start + 1) / 2
        found = descend(Q, b, None, bits, _STEPS * problem.d)
        if found < lowest:
            best, lowest = 2 * bits - 1, found
    return best


def _with_margin(problem, spins):
    """The problem in which a string that differs in k spins is lowered by 2 k MARGIN against spins."""
    return Ising(problem.h + MARGIN * spins, problem.J, problem.offset)


def _verdict(problem, spins, rng, time_limit, always=ALWAYS):
    """The lowest string found, whether it is proven; whether spins stay the optimum, and whether that is proven.

    A lower string proves that they do not. That they do, and whatever is asked of `always` spins or fewer, takes the
    exact solver.
    """
    shifted, d = _with_margin(problem, spins), problem.d
    found = _tabu(shifted, [spins, -np.ones(d), *rng.choice([-1.0, 1.0], size=(2, d))])
    refuted = _energy(shifted, found) < _energy(shifted, spins) - MARGIN
    if refuted and d > always:
        return found, False, False, True
    bits, proven = optimum(model(shifted), time_limit=time_limit)
    exact = 2.0 * bits - 1
    found = min(found, exact, key=lambda string: _energy(shifted, string))
    kept = bool((found == spins).all() or _energy(shifted, found) >= _energy(shifted, spins) - MARGIN)
    return (spins if kept else found), proven, kept, proven or not kept


def stays(problem: Ising, spins, *, time_limit: float = 60.0) -> bool:
    """Whether spins are the only optimum of a problem, an erroneous one say, proven in both cases.

    A tabu search that finds a lower string is a proof of No; a Yes takes the exact solver.
    Raises ValueError if the time limit, in seconds, is too short for it, and as `erroneous`.

    >>> problem = Ising(np.array([1.0, -0.5]), np.zeros((2, 2)), 0.0)
    >>> stays(problem, [-1, 1]), stays(problem, [1, 1])
    (True, False)
    """
    problem = _checked(problem)
    _, _, kept, proven = _verdict(problem, _spins(problem, spins), np.random.default_rng(0), time_limit, always=0)
    _require_proof(proven)
    return kept


def _require_proof(proven):
    if not proven:
        raise ValueError("an optimum is not proven: give a longer time_limit, in seconds")


def worst_case(
    problem: Ising, spins, errors: Mapping, *, sigmas: float = SIGMAS, kinds: Sequence[str] = tuple(KINDS)
) -> Ising:
    """The one draw, of all whose Gaussian errors are within some standard deviations, that is worst for these spins.

    It moves every field by +b s_i and every coupling by +b s_i s_j, b its bound. Thereby each other string is lowered
    against spins as far as any draw can do it, all at once. So spins stay the optimum in all those draws if and only if
    they do in this one. At 3 sigma 0.3 % of Gaussian errors lie outside, at d = 200 about 54 of the 20,100.
    Raises ValueError as `erroneous`, and for a negative number of standard deviations.

    >>> problem = Ising(np.array([1.0, -0.5]), np.zeros((2, 2)), 0.0)
    >>> worst_case(problem, [-1, 1], {"delta_h": 0.1, "delta_J": 0.1}, kinds=["noise"]).h
    array([ 0.7, -0.2])
    """
    problem, errors, sigmas = _checked(problem), _of_kinds(errors, kinds), require.number("sigmas", sigmas, "[0, inf)")
    spins = _spins(problem, spins)
    known, spread_h, spread_J = _parts(problem, errors)
    h = known.h + sigmas * sum(spread_h) * spins
    return Ising(h, known.J + sigmas * spread_J * np.outer(spins, spins), problem.offset)


def tolerated_sigmas(
    problem: Ising, spins, errors: Mapping, *, kinds: Sequence[str] = tuple(KINDS), time_limit: float = 60.0
) -> float:
    """Up to how many standard deviations of each Gaussian error the spins surely stay the optimum: 0 if not even then.

    The least ratio, over all other strings, of the energy above spins and of what an error of one standard deviation
    can take off it, found by solving `worst_case` at one string's ratio after the other [dinkelbach1967fractional].
    Infinite where there is no Gaussian error. Raises ValueError as `stays` and `erroneous`.

    >>> problem = Ising(np.array([1.0, -0.5]), np.zeros((2, 2)), 0.0)
    >>> round(tolerated_sigmas(problem, [-1, 1], {"delta_h": 0.1, "delta_J": 0.1}, kinds=["noise"]), 9)
    5.0
    """
    problem, given = _checked(problem), {"errors": errors, "kinds": kinds}
    spins = _spins(problem, spins)
    at_0, at_1 = (worst_case(problem, spins, sigmas=sigmas, **given) for sigmas in (0, 1))

    def ratio(string):
        above = _energy(at_0, string) - _energy(at_0, spins)
        if above < MARGIN:
            return 0.0
        taken = above - (_energy(at_1, string) - _energy(at_1, spins))
        return above / taken if taken > 0 else np.inf

    least, proven = min(map(ratio, spins * (1 - 2 * np.eye(problem.d))), default=np.inf), False
    while least > 0 and not proven:
        worst = worst_case(problem, spins, sigmas=least if np.isfinite(least) else 0, **given)
        found = _tabu(worst, [spins, -np.ones(problem.d)])
        if (found == spins).all() or not ratio(found) < least * (1 - 1e-6):
            bits, solved = optimum(model(worst), time_limit=time_limit)
            _require_proof(solved)
            found = 2.0 * bits - 1
            proven = bool((found == spins).all() or not ratio(found) < least * (1 - 1e-6))
        least = least if proven else ratio(found)
    return float(least)


def largest_change(
    problem: Ising, errors: Mapping, *, sigmas: float = SIGMAS, kinds: Sequence[str] = tuple(KINDS)
) -> float:
    """What control errors can add to the difference of any two energies, at most: a gap above it is safe.

    Twice the sum of the bounds of all errors, Gaussian ones at some standard deviations: simple, and far from what
    happens where there are many. `worst_case` is exact. Raises ValueError as `worst_case`.

    >>> problem = Ising(np.array([1.0, -0.5]), np.array([[0, 0.5], [0, 0]]), 0.0)
    >>> round(largest_change(problem, {"delta_h": 0.1, "delta_J": 0.2}, sigmas=1, kinds=["noise"]), 9)
    0.8
    """
    worst = worst_case(problem, np.ones(_checked(problem).d), errors, sigmas=sigmas, kinds=kinds)
    known = worst_case(problem, np.ones(problem.d), errors, sigmas=0, kinds=kinds)
    of_h = abs(known.h - problem.h) + abs(worst.h - known.h)
    return float(2 * (of_h.sum() + abs(known.J - problem.J).sum() + abs(worst.J - known.J).sum()))


def gap(problem: Ising, spins, *, time_limit: float = 60.0) -> float:
    """Energy of the best other string above that of spins, the optimum, by exact solves; negative if one lies lower.

    The other strings are those that differ in the first spin, those that agree there and differ in the second, and so
    on: d solves. time_limit: seconds for each. Raises ValueError as `stays`, and for a problem without spins.

    >>> round(gap(Ising(np.array([1.0, -0.5]), np.array([[0, 0.2], [0, 0]]), 0.0), [-1, 1]), 9)  # -1.7, then -0.3
    1.4
    """
    problem = _checked(problem)
    spins, both, lowest = _spins(problem, spins), problem.J + problem.J.T, np.inf
    require.whole("d, the number of spins,", problem.d, 1)
    for i in range(problem.d):
        string, rest = spins.copy(), slice(i + 1, None)
        string[i] = -spins[i]
        fixed = Ising(problem.h[rest] + both[rest, : i + 1] @ string[: i + 1], problem.J[rest, rest], 0.0)
        bits, proven = optimum(model(fixed), time_limit=time_limit)
        _require_proof(proven)
        string[rest] = 2.0 * bits - 1
        lowest = min(lowest, _energy(problem, string))
    return lowest - _energy(problem, spins)


def rounded(problem: Ising, bits: int) -> Ising:
    """Fields and couplings rounded to the nearest of 2^bits steps over their ranges, 8 of h and 2 of J.

    Raises ValueError for less than one bit, and as `erroneous`.

    >>> rounded(Ising(np.array([1.3, -4.0]), np.array([[0, 0.4], [0, 0]]), 0.0), 3)  # steps of 1 and 1/4
    Ising(h=array([ 1., -4.]), J=array([[0. , 0.5],
           [0. , 0. ]]), offset=0.0)
    """
    problem, steps = _checked(problem), 2.0 ** require.whole("bits", bits, 1, 52)
    return Ising(_rounded(problem.h, 2 * H_RANGE / steps), _rounded(problem.J, 2 * J_RANGE / steps), problem.offset)


def bits_needed(problem: Ising, spins, *, least: int = 3, most: int = 16, time_limit: float = 60.0) -> int:
    """The number of bits from which on, up to `most`, the spins stay the optimum of the `rounded` problem.

    `least` if they do at all numbers tried; most + 1 if they do not even at the most. Raises ValueError as `stays`.

    >>> problem = Ising(np.array([0.3, 0.0]), np.array([[0, -1.0], [0, 0]]), 0.0)
    >>> bits_needed(problem, [-1, -1])  # steps of h: at 3 bits 1, at 4 bits 1/2, to which 0.3 is rounded
    4
    """
    least = require.whole("least", least, 1, 52)
    most = require.whole("most", most, least, 52)
    for bits in range(most, least - 1, -1):
        if not stays(rounded(problem, bits), spins, time_limit=time_limit):
            return bits + 1
    return least


def tolerances(
    problems,
    errors: Mapping,
    *,
    kinds: Sequence[str] = ("noise", "spread"),
    least: int = 3,
    most: int = 16,
    optimal=None,
    exact_gap: bool = True,
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    time_limit: float = 60.0,
    n_jobs: int | None = None,
    desc: str | None = None,
) -> pd.DataFrame:
    """What the optimum of each image bears: list of B Problem  ->  table of B rows, in units of the scaled problem.

    optimal: (B, N_f) bool, the optima where they are known, else they are proven; exact_gap: whether to ask for the
    gap, which takes d proofs; errors, kinds: as for `erroneous`; the standard protocol. Columns image, d; gap, to the
    second lowest energy; change, what errors of 3 sigma can add to a difference of two energies (`largest_change`);
    sigmas, up to which the optimum surely stays (`tolerated_sigmas`); bits, that h and J need (`bits_needed`, between
    least and most).
    Raises ValueError as these.

    >>> from ..qubo.feature_selection import Problem
    >>> problem = Problem([0, 1], [-1.0, -0.5], [[1.0, 0.3], [0.3, 1.0]], 2)
    >>> tolerances([problem], {"delta_h": 0.1, "delta_J": 0.1}, kinds=["noise"]).round(2).values.tolist()
    [[0.0, 2.0, 2.23, 1.8, 5.57, 3.0]]
    """
    problems, known = _known(problems, optimal)
    _of_kinds(errors, kinds)
    exact_gap = require.flag("exact_gap", exact_gap)
    arguments = errors, kinds, least, most, exact_gap, time_limit, {"beta": beta, "pair_sum": pair_sum}
    jobs = (delayed(_tolerance)(*of_image, *arguments) for of_image in zip(range(len(problems)), problems, known))
    answers = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    rows = list(tqdm(answers, total=len(problems), desc=desc or "tolerances", unit="image"))
    return pd.DataFrame(rows, columns=["image", "d", *["gap"] * exact_gap, "change", "sigmas", "bits"])


def _known(problems, optimal):
    """Problems as a list, and the optimum of each among its candidates, (d,) bool, or None where none is given."""
    problems, n_features = require_problems(problems)
    if optimal is None:
        return problems, [None] * len(problems)
    optimal = require.bits("optimal", optimal, "B N_f", {"B": len(problems), "N_f": n_features})
    return problems, [row[problem.maps] for problem, row in zip(problems, optimal)]


def _tolerance(image, problem, bits, errors, kinds, least, most, exact_gap, time_limit, model_options):
    taken, bits = _optimum(problem, bits, time_limit, model_options)
    spins, limit = 2.0 * bits - 1, {"time_limit": time_limit}
    return {
        "image": image,
        "d": problem.d,
        **({"gap": gap(taken, spins, **limit)} if exact_gap else {}),
        "change": largest_change(taken, errors, kinds=kinds),
        "sigmas": tolerated_sigmas(taken, spins, errors, kinds=kinds, **limit),
        "bits": bits_needed(taken, spins, least=least, most=most, **limit),
    }


def _optimum(problem, bits, time_limit, model_options):
    """An image's problem as taken, and its optimum, (d,) bool. Raises ValueError if it is not proven, nor given."""
    bqm = problem.bqm(**model_options)
    if bits is None:
        bits, proven = optimum(bqm, time_limit=time_limit)
        _require_proof(proven)
    return as_taken(bqm), bits


def under_errors(
    problems,
    errors: Mapping,
    *,
    kinds: Sequence[str] = tuple(KINDS),
    draws: int = 20,
    optimal=None,
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    seed: int = 0,
    time_limit: float = 60.0,
    n_jobs: int | None = None,
    desc: str | None = None,
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """The optima of many draws of control errors beside the true ones: list of B Problem  ->  two arrays, a table.

    optimal (B, N_f) bool, proven unless given; found (B, draws, N_f) bool: what a perfect annealer returns of the
    erroneous problem. Up to 40 candidates it is proven. Beyond, it is the best of tabu searches where these show that
    the optimum is lost.
    The table has a row for each image and draw: image, draw, d; kept, proven (whether that is certain); exact (whether
    found is proven); lost, the true energy of found above the optimum, as a share of what the optimum lies below
    the empty selection (NaN where it is empty); differ, how many maps; jaccard, of the two selections; and repaired,
    whether steepest descent of found in the true problem, single flips as a common postprocessing, leads to the
    optimum. errors, kinds: as for `erroneous`; the standard protocol, without an embedding; time_limit: seconds a
    proof. Each draw has its own seed, made of seed, image and draw. Raises ValueError if a true optimum is not proven,
    and as `erroneous` and `require_problems`.

    >>> from ..qubo.feature_selection import Problem
    >>> problem = Problem([0, 1], [-1.0, -0.5], [[1.0, 0.3], [0.3, 1.0]], 2)
    >>> optimal, found, table = under_errors([problem], {"chi": -0.04}, kinds=["susceptibility"], draws=1)
    >>> table[["image", "draw", "d", "kept", "proven", "lost", "differ"]].values.tolist()
    [[0, 0, 2, True, True, 0.0, 0]]
    """
    problems, known = _known(problems, optimal)
    n_features = problems[0].n_features if problems else 0
    _of_kinds(errors, kinds)
    draws, seed = require.whole("draws", draws, 1, 10**6), require.whole("seed", seed)
    model_options = {"beta": beta, "pair_sum": pair_sum}
    jobs = (
        delayed(_one_image)(*of_image, errors, kinds, draws, seed, time_limit, model_options)
        for of_image in zip(range(len(problems)), problems, known)
    )
    answers = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    answers = list(tqdm(answers, total=len(problems), desc=desc or "control errors", unit="image"))
    optimal = np.array([answer[0] for answer in answers], bool).reshape(len(problems), n_features)
    found = np.array([answer[1] for answer in answers], bool).reshape(len(problems), draws, n_features)
    return optimal, found, pd.DataFrame([row for answer in answers for row in answer[2]])


def _one_image(image, problem, bits, errors, kinds, draws, seed, time_limit, model_options):
    taken, bits = _optimum(problem, bits, time_limit, model_options)
    spins = 2.0 * bits - 1
    least, empty = _energy(taken, spins), _energy(taken, -np.ones(taken.d))
    Q, b = _binary(taken)
    found, rows = np.zeros((draws, problem.n_features), bool), []
    for draw in range(draws):
        rng = np.random.default_rng([seed, image, draw])
        drawn = erroneous(taken, errors, rng, kinds)
        string, exact, kept, certain = _verdict(drawn, spins, rng, time_limit)
        found[draw] = problem.selected(string > 0)
        ended = (string + 1) / 2
        descend(Q, b, None, ended, 0)
        together, either = (string > 0) & bits, (string > 0) | bits
        rows.append(
            {
                "image": image,
                "draw": draw,
                "d": problem.d,
                "kept": kept,
                "proven": certain,
                "exact": exact,
                "lost": (_energy(taken, string) - least) / (empty - least) if empty > least else np.nan,
                "differ": int((string != spins).sum()),
                "jaccard": together.sum() / either.sum() if either.any() else 1.0,
                "repaired": bool((ended == bits).all()),
            }
        )
    return problem.selected(bits), found, rows
