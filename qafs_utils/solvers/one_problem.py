"""One selection problem, solved by a solver of any name: `select`."""

import contextlib
import inspect
import threading

import numpy as np
from tqdm import tqdm

from .. import require
from ..conventions import HEADLINE
from ..qubo import feature_selection, fixed_size
from . import by_name

PATIENCE = 1.5  # seconds that a solver may work without a word


def select(
    problem: feature_selection.Problem,
    solver: str = "exact",
    *,
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    size: int | None = None,
    seed: int | None = 0,
    **options,
) -> tuple[np.ndarray, dict]:
    """The maps that a solver selects for one problem (Eq. 4)  ->  (N_f,) bool, its info with the solver and the energy.

    size: exactly so many maps. "exact" searches among these alone. For other solvers the model gets the penalty of
    `fixed_size.exactly`; what they find need not be of that size, and the energy is that without penalty.
    seed: the solver is seeded as for the first image of `by_name.solve_all`; options are the solver's. A solver that
    works long says so on stderr. Raises as `solve_all` and `fixed_size.require_size`, and ValueError for options that
    the solver does not have or cannot take.

    >>> problem = feature_selection.problem(np.ones((3, 2, 2)), np.array([1.0, -1.0, 0.5]))  # maps 0 and 2 are alike
    >>> selected, info = select(problem)
    >>> selected, round(info["energy"], 3)
    (array([ True, False, False]), -0.7)
    """
    if not isinstance(problem, feature_selection.Problem):
        raise ValueError(f"problem must be a feature_selection.Problem, got {type(problem).__name__}")
    by_name.require_options(solver, options)
    sampler, bqm = by_name.solver(solver), problem.bqm(beta, pair_sum)
    model, given = bqm, options
    if size is not None and solver == "exact":
        options = options | {"size": require.whole("size", size)}
    elif size is not None:
        model = fixed_size.exactly(bqm, require.whole("size", size))
    if seed is not None and "seed" in sampler.parameters:
        options = {"seed": int(by_name.image_seeds(require.whole("seed", seed), 1)[0])} | options
    try:
        with _shown_working(solver, options):
            samples = sampler.sample(model, **options)
    except (TypeError, OverflowError) as error:
        if not given:
            raise
        raise ValueError(f"{solver!r} cannot take the options {given}: {error}") from error
    bits = samples.first.sample
    energy = float(bqm.energy(bits))
    return problem.selected([bits[v] for v in range(problem.d)]), dict(samples.info) | {
        "solver": solver,
        "energy": energy,
    }


@contextlib.contextmanager
def _shown_working(name, options):
    """A line that counts the seconds which a solver works inside, after the first ones, up to its time limit if any."""
    limit = inspect.signature(by_name.SOLVERS[name].sample).parameters.get("time_limit")
    limit = options.get("time_limit", limit.default if limit else None)
    most = f" of at most {limit:g}" if isinstance(limit, int | float) else ""
    done = threading.Event()

    def show():
        if not done.wait(PATIENCE):
            with tqdm(desc=f"{name} at work", bar_format="{desc}: {elapsed_s:.0f}" + most + " s{postfix}") as bar:
                while not done.wait(0.5):
                    bar.refresh()
                bar.set_postfix_str("done")

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
