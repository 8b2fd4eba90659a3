"""Splitting methods: the angles by which an anneal alternates rotations of the driver and phases of the problem.

Strang's (order 2) and Blanes and Moan's (order 4; J. Comput. Appl. Math. 142, 313, 2002).
"""

import numpy as np

_STRANG = (np.array([0.5, 0.5]), np.array([1.0]))
_A1, _A2, _A3 = 0.0792036964311957, 0.353172906049774, -0.0420650803577195
_B1, _B2 = 0.209515106613362, -0.143851773179818
_BLANES_MOAN = (
    np.array([_A1, _A2, _A3, 1 - 2 * (_A1 + _A2 + _A3), _A3, _A2, _A1]),
    np.array([_B1, _B2, 0.5 - _B1 - _B2, 0.5 - _B1 - _B2, _B2, _B1]),
)
SPLITTINGS = {2: _STRANG, 4: _BLANES_MOAN}  # order: weights of the phases, weights of the rotations
_STEPS = 2**14  # whose angles are in memory at a time


def layers(annealing_time, g, schedule, steps, order, s0=0.0, s1=1.0):
    """Angles of `steps` splitting steps of that order from s0 to s1: phases (n + 1,), rotations (n,).

    With the time as two more coordinates, one moved by each part, the splitting keeps its order although H
    depends on the time: each part sees the time that the other has reached.

    >>> phases, rotations = layers(10.0, -1.0, find_schedule("linear"), steps=2, order=2)
    >>> phases, rotations  # B and A g over the anneal: the sums are 5 and -5
    (array([0. , 2.5, 2.5]), array([-3.75, -1.25]))
    """
    phase_weights, rotation_weights = SPLITTINGS[order]
    ds = (s1 - s0) / steps
    start = s0 + ds * np.arange(steps)[:, None]
    s_phase = start + ds * np.concatenate([[0.0], np.cumsum(rotation_weights)])
    s_rotation = start + ds * np.cumsum(phase_weights)[:-1]
    phase = annealing_time * ds * phase_weights * schedule.weight("B", s_phase)
    angles = (annealing_time * ds * rotation_weights * schedule.weight("A", s_rotation) * g).ravel()
    phases = np.concatenate([phase[:, :-1].ravel(), [0.0]])
    # a step's last phase joins the first of the next
    phases[len(rotation_weights) :: len(rotation_weights)] += phase[:, -1]
    return phases, angles


def layers_in_parts(annealing_time, g, schedule, plan, order):
    """`layers` of the steps of a plan, intervals of s and the steps in each: yields phases, rotations.

    At most 2^14 steps at a time, so that their angles are no matter for the memory.

    >>> plan = [(0.0, 0.5, 20_000), (0.5, 1.0, 10)]
    >>> [len(angles) for _, angles in layers_in_parts(1e4, -1.0, find_schedule("linear"), plan, order=2)]
    [10000, 10000, 10]
    """
    for a, b, count in plan:
        ends = np.linspace(0, count, -(-count // _STEPS) + 1).astype(int)
        for first, last in zip(ends, ends[1:]):
            part = a + (b - a) * (first / count), a + (b - a) * (last / count) if last < count else b
            yield layers(annealing_time, g, schedule, last - first, order, *part)
