"""What `qafs_utils.explain` found for one image: shown, drawn, saved."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..qubo import feature_selection
from ..solvers import beta_path
from . import saved

if TYPE_CHECKING:  # half a second to import, and only what is drawn needs it
    import matplotlib.pyplot as plt


@dataclass(frozen=True, eq=False)
class Explanation:
    """What `explain` found for one image and one class.

    image: uint8 (3, h, w); class_index, label: the class explained; probabilities: (C,) of all classes;
    maps: (N_f, H, W); importance: (N_f,); problem: the candidates' `feature_selection.Problem`; selected: (N_f,) bool,
    `np.flatnonzero(selected)` are the numbers of the maps; heatmap: (S, S) in [0, 1]; matrix: (d, d) of
    `Problem.matrix`; info: what the solver says, with its name, the energy, the conventions' name and the pair sum;
    made: how to make it again, the network and the arguments of `explain`, as `save` writes it.

    >>> from qafs_utils import explain
    >>> from qafs_utils.cnn.pretrained import resnet18
    >>> found = explain(np.arange(192, dtype=np.uint8).reshape(8, 8, 3), resnet18("random"), layer="layer3")
    >>> found  # doctest: +ELLIPSIS
    <Explanation of 'class ...', P = 0...: maps ... of ... candidates; exact: energy ..., proven>
    >>> found.info["conventions"]
    'headline'
    """

    image: np.ndarray
    class_index: int
    label: str
    probabilities: np.ndarray
    maps: np.ndarray
    importance: np.ndarray
    problem: feature_selection.Problem
    selected: np.ndarray
    heatmap: np.ndarray
    matrix: np.ndarray
    info: dict
    made: dict = field(default_factory=dict)

    @property
    def silent(self) -> np.ndarray:
        """(N_f,) bool: maps that are zero in every pixel. Like no other map, any importance selects them."""
        from ..plots import method

        return method.silent_maps(self.maps)

    @property
    def proven(self) -> bool:
        """Whether no selection (of that size) has a lower energy: "exact" says so, "brute_force" has seen them all."""
        return bool(self.info.get("proven", self.info["solver"] == "brute_force"))

    def __repr__(self):
        numbers = ", ".join(map(str, np.flatnonzero(self.selected))) or "none"
        silent = ", ".join(map(str, np.flatnonzero(self.selected & self.silent)))
        maps = f"maps {numbers}{f' ({silent} silent)' if silent else ''} of {self.problem.d} candidates"
        energy = f"energy {self.info['energy']:.4f}, {'proven' if self.proven else 'not proven the lowest'}"
        class_of = f"{self.label!r}, P = {self.probabilities[self.class_index]:.3f}"
        empty = "" if self.heatmap.any() else "; empty: no place of these maps speaks for the class, try a larger beta"
        return f"<Explanation of {class_of}: {maps}; {self.info['solver']}: {energy}{empty}>"

    def _repr_html_(self):
        """The picture of `plot` with the line of text below it: what a notebook shows."""
        content = io.BytesIO()
        self.plot().savefig(content, format="png", dpi=150)
        picture = base64.b64encode(content.getvalue()).decode()
        text = html.escape(repr(self)[1:-1])
        return f'<img src="data:image/png;base64,{picture}" style="max-width: 100%" alt="{text}"><br>{text}'

    def beta_path(self, low: float = 0.0, high: float = 1.0) -> beta_path.BetaPath:
        """The proven optimum for every beta from low to high, as `solvers.beta_path.path` has it.

        Of some hundred candidates, small beta (below 0.6, say) may take very long.
        """
        return beta_path.path(self.problem, pair_sum=self.info["pair_sum"], low=low, high=high)

    def plot(self) -> plt.Figure:
        """Image, candidate maps with the selected ones framed, QUBO and explanation map, in the style of the paper."""
        import matplotlib.pyplot as plt

        from ..plots import method, style

        info, name = self.info, self.label if len(self.label) <= 30 else "class"  # the title has it in full
        lines = [(f"P({name})", f"{self.probabilities[self.class_index]:.3f}"), ("solver", info["solver"])]
        lines.append(("energy" if self.proven else "energy (not proven)", method.number_text(info["energy"], 4)))
        if "bound" in info:
            lines.append(("proven bound" if info["proven"] else "lower bound", method.number_text(info["bound"], 4)))
        if "ground_state_probability" in info:
            lines.append(("P(optimum), one read", f"{info['ground_state_probability']:.3f}"))
        parts = self.maps, self.problem, self.matrix, self.selected, self.heatmap
        with plt.style.context(style.STYLE):
            figure = method.explanation(self.image, *parts, self.label, lines)
            figure.draw_without_rendering()  # ticks take their style when they are drawn first
        return figure

    def save(self, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write the explanation into a folder, which is made if it is not there  ->  the paths of its files.

        overlay.png, the photograph under the explanation map; heatmap.png (grey) and heatmap.npy (S, S), the map
        itself; explanation.png, what `plot` draws; explanation.json, what it takes to make it again (`saved.record`).
        Raises FileExistsError if one of these is there, unless overwrite is True; ArtefactError if the disk refuses.
        """
        return saved.save(self, folder, overwrite=overwrite)
