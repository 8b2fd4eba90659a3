"""Options of the samplers in dwave-samplers, checked: some wrong values let them run for ever, or end raw."""

import inspect
from functools import partial

import dimod
import numpy as np

from .. import require


def _whole(low, high=2**31 - 1):  # the largest int in C
    return partial(require.whole, low=low, high=high)


def _choice(*known):
    return partial(require.choice, known=known)


def function(name: str, value):
    """A function  ->  that function. Raises ValueError for what cannot be called.

    >>> function("progress", 1)
    Traceback (most recent call last):
    ValueError: progress must be a function, got 1
    """
    if not callable(value):
        raise ValueError(f"{name} must be a function, got {require.described(value)}")
    return value


def _schedule(name, value):
    values = require.array(name, value, "S", interval="[0, inf)").tolist()
    require.whole(f"S, the length of {name},", len(values), 1)
    return values


def _states(name, value):
    """Samples to start from, as dimod reads them."""
    try:
        samples = value if isinstance(value, dimod.SampleSet) else dimod.as_samples(value)
        dimod.sampleset.infer_vartype(samples)
        return samples
    except Exception as error:  # whatever dimod meets in what is no sample
        raise ValueError(f"{name} must be samples of the model: {error}") from None


CHECKS = {  # (name, value)  ->  the value in the type that the sampler takes
    **dict.fromkeys(("num_reads", "max_num_samples", "num_sweeps_per_beta"), _whole(1)),
    **dict.fromkeys(("tenure", "timeout", "num_restarts", "lower_bound_z"), _whole(0)),
    **dict.fromkeys(("coefficient_z_first", "coefficient_z_restart"), _whole(0)),
    **dict.fromkeys(("randomize_order", "large_sparse_opt"), require.flag),
    "num_sweeps": _whole(1, 10**7),
    "seed": _whole(0, 2**32 - 1),
    "energy_threshold": require.number,
    "time_limit": partial(require.number, interval="(0, 1e9]"),
    "beta_range": lambda name, value: require.array(name, value, "2", interval="[0, inf)").tolist(),
    "beta_schedule": _schedule,
    "beta_schedule_type": _choice("linear", "geometric", "custom"),
    "initial_states": _states,
    "initial_states_generator": _choice("none", "tile", "random"),
    "proposal_acceptance_criteria": _choice("Metropolis", "Gibbs"),
    "interrupt_function": function,
}


def checked(kind: type, options: dict, d: int = 1) -> dict:
    """The options for a sampler of d variables, in the types that it takes. kind: a class of dwave-samplers.

    The samples may hold 2^28 values, which need 2 GiB while they are drawn. None is left to the sampler where it is
    its default. Raises ValueError, naming the option.

    >>> from dwave.samplers import TabuSampler
    >>> checked(TabuSampler, {"num_reads": 3.0})
    {'num_reads': 3}
    """
    taken, options = inspect.signature(kind.sample).parameters, dict(options)
    for name in options.keys() & CHECKS.keys() & taken.keys():
        if options[name] is not None or not (taken[name].default is None or name == "timeout"):
            options[name] = CHECKS[name](name, options[name])
        if options[name] is not None and name in ("num_reads", "max_num_samples"):
            require.whole(f"{name}, for {d} variables,", options[name], 1, 2**28 // d)
    if options.get("timeout", 0) is None and "num_restarts" not in options:
        raise ValueError("timeout must be a whole number of milliseconds, or num_restarts be given too, got None")
    return options


def beta_range(bqm: dimod.BinaryQuadraticModel) -> list[float] | None:
    """The hot and the cold inverse temperature that SimulatedAnnealingSampler takes by itself, to the last bit.

    It reads them off a dictionary of the couplings, which takes four times as long as a read of 200 variables. None for
    a model whose biases are all zero, of which it warns.

    >>> beta_range(dimod.BinaryQuadraticModel({"a": 1.0}, {"ab": -0.5}, 0.0, "SPIN"))  # ln 2 / 3, ln 200 / 1
    [np.float64(0.23104906018664842), np.float64(5.298317366548036)]
    """
    h, (rows, columns, J), _ = bqm.change_vartype("SPIN", inplace=False).to_numpy_vectors()
    ends, values = np.stack([rows, columns], 1).ravel(), np.abs(np.concatenate([h, np.repeat(J, 2)]))
    variables = np.concatenate([np.arange(len(h)), ends])
    variables, values = variables[values > 0], values[values > 0]
    if not len(values):
        return None
    least = np.full(len(h), np.inf)
    np.minimum.at(least, variables, values)
    hot = np.log(2) / (2 * np.bincount(variables, values).max())
    return [hot, np.log((least == least.min()).sum() / 0.01) / (2 * least.min())]
