"""Numbers in sentences: ranges and lists as text."""

from collections.abc import Iterable


def span(values: Iterable[float], form: str = "g") -> str:
    """Smallest and largest value, "1 to 3", or one number where the two are printed alike; form: a format.

    Raises ValueError for no values.

    >>> span([3, 1, 2]), span([20, 20]), span([0.501, 0.504], ".2f")
    ('1 to 3', '20', '0.50')
    """
    values = list(values)
    low, high = (f"{end(values):{form}}" for end in (min, max))
    return low if low == high else f"{low} to {high}"


def listed(texts: Iterable[str]) -> str:
    """Texts as in a sentence: "a", "a and b", "a, b and c"; "none" for no texts.

    >>> listed("abc"), listed(["a"]), listed([])
    ('a, b and c', 'a', 'none')
    """
    *first, last = [*texts] or ["none"]
    return f"{', '.join(first)} and {last}" if first else last
