"""The names of a network's classes: the label of a number, and the number of a name."""

import difflib
from collections.abc import Mapping

from .. import require


def labels(class_names, count: int) -> list[str]:
    """A label a class, as text: class_names in the order of the classes, a dict by their numbers, or None.

    Raises ValueError unless they are `count` labels.

    >>> labels({1: "dog", 0: "cat"}, 2), labels(None, 2)
    (['cat', 'dog'], ['class 0', 'class 1'])
    """
    if class_names is None:
        return [f"class {i}" for i in range(count)]
    if isinstance(class_names, str | bytes | set | frozenset):
        raise ValueError(f"class_names must be {count} labels in an order, got {require.described(class_names)}")
    if isinstance(class_names, Mapping):
        if set(class_names) != set(range(count)):
            got = f"got the keys {require.described(list(class_names))}"
            raise ValueError(f"class_names must be a dict {{number of a class: label}} for 0 to {count - 1}, {got}")
        class_names = [class_names[i] for i in range(count)]
    try:
        found = [str(name) for name in class_names]
    except TypeError:
        raise ValueError(f"class_names must be {count} labels, got {require.described(class_names)}") from None
    if len(found) != count:
        raise ValueError(f"class_names must be {count} labels, one a class, got {len(found)}")
    return found


def class_number(class_index, class_names) -> int | None:
    """The class to explain as a number: one itself, a name among class_names, or None for the predicted class.

    Raises ValueError for a name that no class has, or several have, and one where class_names is None.

    >>> class_number("dog", ["cat", "dog"]), class_number(1, None), class_number(None, None)
    (1, 1, None)
    >>> class_number("dgo", ["cat", "dog"])
    Traceback (most recent call last):
    ValueError: there is no class 'dgo': did you mean 'dog'?
    """
    if class_index is None:
        return None
    if not isinstance(class_index, str):
        return require.whole("class_index", class_index)
    if class_names is None:
        raise ValueError(
            f"class_index must be a whole number, got {class_index!r}: to give a name, give class_names too"
        )
    known = dict(class_names if isinstance(class_names, Mapping) else enumerate(class_names))
    numbers = [number for number, name in known.items() if str(name) == class_index]
    if len(numbers) == 1:
        return require.whole("the number of a class", numbers[0])
    if numbers:
        raise ValueError(f"class_index {class_index!r} names the classes {', '.join(map(str, numbers))}: give a number")
    near = difflib.get_close_matches(class_index, map(str, known.values()))
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"choose from {_some(known.values())}"
    raise ValueError(f"there is no class {class_index!r}: {hint}")


def _some(names, shown=10):
    names = list(map(str, names))
    return ", ".join(names[:shown]) + (f", ... ({len(names)} classes)" if len(names) > shown else "")
