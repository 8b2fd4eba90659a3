"""The explorer under sliders: a choice's controls, the upload of a photograph, and the view that follows them."""

import html
import io
from collections.abc import Callable, Mapping

import ipywidgets as widgets

from ..cnn.datasets import CLASSES, DataError
from ..cnn.photographs import read_image
from ..solvers import by_name
from .explorer import Explorer


class ExplorerWidgets:
    """Widgets for every choice of an Explorer; `box`, the last value of a cell, shows them.

    explorer: whose images the labels (class numbers) belong to; choice: that is shown first, as for `Explorer.choose`;
    network: N_f -> checkpoints.Trained, called when a photograph is uploaded. `controls` are the widgets by the names
    of a choice. A choice without an answer says so in `message`, and hides the view.
    """

    def __init__(self, explorer: Explorer, labels, choice: Mapping, *, network: Callable):
        self.explorer, self.network, self.networks, sizes = explorer, network, {}, list(explorer.maps)
        images = [(f"{i}: {CLASSES[c]}", i) for i, c in enumerate(labels)]
        classes = [("predicted", -1), *((name, c) for c, name in enumerate(CLASSES))]
        narrow = {"button_width": "3em"}
        kinds = {  # the size follows the number of candidates
            "image": (widgets.Dropdown, {"options": images, "description": "image"}),
            "class_index": (widgets.Dropdown, {"options": classes, "description": "class"}),
            "n_features": (widgets.ToggleButtons, {"options": sizes, "description": "N_f", "style": narrow}),
            "beta": (widgets.FloatSlider, {"min": 0, "max": 1, "step": 0.01, "description": "beta"}),
            "size": (widgets.IntSlider, {"min": 0, "max": max(sizes), "description": "k"}),
            "solver": (widgets.Dropdown, {"options": ["exact", *by_name.TRIALS], "description": "solver"}),
        }
        self.controls = {name: kind(value=choice[name], **options) for name, (kind, options) in kinds.items()}
        self.upload = widgets.FileUpload(accept="image/*", description="photograph")
        sharp = {"width": "770px", "max_width": "100%"}  # half of the pixels that `png` draws: sharp on fine screens
        self.view, self.message = widgets.Image(format="png", layout=sharp), widgets.HTML()
        for control in self.controls.values():
            control.observe(self._show, "value")
        self.upload.observe(self._put_in, "value")
        row = widgets.Box([*self.controls.values()], layout={"flex_flow": "row wrap"})
        of_set = f"Conventions: {explorer.conventions} (pair sum {explorer.use.pair_sum})"
        self.box = widgets.VBox([row, widgets.HTML(html.escape(of_set)), self.upload, self.message, self.view])
        self._show()

    def _show(self, change=None):
        """Draw the view of the controls' choice."""
        try:
            choice = {name: control.value for name, control in self.controls.items()}
            d = self.explorer.candidates(*(choice[name] for name in ("image", "n_features", "class_index")))
            self.controls["size"].max = d  # a larger k becomes d
            self.view.value = self.explorer.png(dpi=220, **(choice | {"size": self.controls["size"].value}))
            self.message.value, self.view.layout.visibility = "", "visible"
        except ValueError as error:  # the view would be that of another choice
            self.message.value = html.escape(f"No answer to this choice: {error}")
            self.view.layout.visibility = "hidden"

    def _put_in(self, change):
        """Add the uploaded photograph, and choose it."""
        file, images = change.new[0], self.controls["image"]
        try:
            self.view.layout.visibility = "hidden"  # it is of another image until the new one is drawn
            self.message.value = "The networks look at the photograph ..."
            photograph = read_image(io.BytesIO(file.content))
            self.networks = self.networks or {n: self.network(n) for n in self.explorer.maps}
            number = self.explorer.add_photograph(photograph, self.networks)
            images.unobserve(self._show, "value")  # new options choose the first image, which is not to be shown
            images.options = [*images.options, (f"{number}: {file.name}", number)]
            images.observe(self._show, "value")
            images.value = number
        except (ValueError, DataError) as error:
            self.message.value, self.view.layout.visibility = html.escape(str(error)), "visible"
