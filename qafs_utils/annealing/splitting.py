"""Splitting methods: the angles by which an anneal alternates rotations of the driver and phases of the problem.

Strang's (order 2) and Blanes and Moan's (order 4) [blanes2002splitting].
"""

import functools
from collections.abc import Iterator

import numpy as np

_STRANG = (np.array([0.5, 0.5]), np.array([1.0]))
_A1, _A2, _A3 = 0.0792036964311957, 0.353172906049774, -0.0420650803577195
_B1, _B2 = 0.209515106613362, -0.143851773179818
_BLANES_MOAN = (
    np.array([_A1, _A2, _A3, 1 - 2 * (_A1 + _A2 + _A3), _A3, _A2, _A1]),
    np.array([_B1, _B2, 0.5 - _B1 - _B2, 0.5 - _B1 - _B2, _B2, _B1]),
)
SPLITTINGS = {2: _STRANG, 4: _BLANES_MOAN}  # order: weights of the phases, weights of the rotations
_KEPT = 256  # steps whose weights are kept: problems of a study take the same
_STEPS = 2**14  # whose angles are in memory at a time


def splitting_angles(annealing_time, g, schedule, steps, order, *, s0=0.0, s1=1.0) -> tuple[np.ndarray, np.ndarray]:
    """Angles of `steps` splitting steps of that order from s0 to s1: phases (n + 1,), rotations (n,).

    The time is treated as two more coordinates, of which each part moves one: each part sees the time that the other
    has reached. So the splitting keeps its order although H depends on the time.

    >>> from qafs_utils.annealing.schedules import find_schedule
    >>> splitting_angles(10.0, -1.0, find_schedule("linear"), steps=2, order=2)  # the sums are 5 and -5
    (array([0. , 2.5, 2.5]), array([-3.75, -1.25]))
    """
    kept = _kept_weights if steps <= _KEPT else _weights
    phases, rotations = kept(schedule, steps, order, s0, s1)
    return annealing_time * phases, annealing_time * g * rotations


def _weights(schedule, steps, order, s0, s1):
    """Integrals of B over the phases and of A over the rotations: (n + 1,), (n,)."""
    phase_weights, rotation_weights = SPLITTINGS[order]
    ds = (s1 - s0) / steps
    start = s0 + ds * np.arange(steps)[:, None]
    s_phase = start + ds * np.concatenate([[0.0], np.cumsum(rotation_weights)])  # (steps, parts + 1)
    s_rotation = start + ds * np.cumsum(phase_weights)[:-1]  # (steps, parts)
    phase = ds * phase_weights * schedule.weight("B", s_phase)
    rotations = (ds * rotation_weights * schedule.weight("A", s_rotation)).ravel()
    phases = np.concatenate([phase[:, :-1].ravel(), [0.0]])
    # a step's last phase joins the first of the next
    phases[len(rotation_weights) :: len(rotation_weights)] += phase[:, -1]
    return phases, rotations


_kept_weights = functools.lru_cache(256)(_weights)


def angles_in_parts(annealing_time, g, schedule, intervals, order) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`splitting_angles` of intervals (s, s, number of steps), one after the other: yields phases, rotations.

    At most 2^14 steps at a time, so that their angles are no matter for the memory.

    >>> from qafs_utils.annealing.schedules import find_schedule
    >>> parts = angles_in_parts(1e4, -1.0, find_schedule("linear"), [(0.0, 0.5, 20_000), (0.5, 1.0, 10)], order=2)
    >>> [len(rotations) for _, rotations in parts]
    [10000, 10000, 10]
    """
    for a, b, count in intervals:
        parts = -(-count // _STEPS)
        for first, last in ((count * j // parts, count * (j + 1) // parts) for j in range(parts)):
            s0, s1 = a + (b - a) * (first / count), a + (b - a) * (last / count) if last < count else b
            yield splitting_angles(annealing_time, g, schedule, last - first, order, s0=s0, s1=s1)
