"""The set of conventions behind one explanation, and its name."""

from dataclasses import asdict, replace

from ..conventions import SETS, Conventions, named


def chosen_set(
    conventions: str | Conventions, *, beta: float | None = None, pair_sum: str | None = None
) -> Conventions:
    """A set of conventions, by its name or itself, with another beta or pair sum where one is given.

    Raises ValueError for what is neither a set nor the name of one, and as `Conventions`.

    >>> chosen_set("headline", beta=0.9).beta
    0.9
    """
    use = conventions if isinstance(conventions, Conventions) else named(conventions)
    given = {"beta": beta, "pair_sum": pair_sum}
    return replace(use, **{choice: value for choice, value in given.items() if value is not None})


def set_name(use: Conventions) -> str:
    """The name of a set of conventions, or of the closest one with what is different.

    >>> set_name(chosen_set("headline")), set_name(chosen_set("headline", beta=0.9))
    ('headline', 'headline with beta = 0.9')
    """
    own, others = asdict(use), {}
    for name, known in SETS.items():
        others[name] = [f"{choice} = {own[choice]}" for choice, value in asdict(known).items() if own[choice] != value]
    name = min(others, key=lambda name: len(others[name]))
    return f"{name} with {', '.join(others[name])}" if others[name] else name
