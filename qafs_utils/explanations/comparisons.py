"""Tables of Average Drop: by method and class, beside blind masks, by definition, by sample of images and head."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import pandas as pd

from .. import require
from ..artefacts.files import require_equal
from ..cnn.datasets import CLASSES
from ..conventions import HEADLINE
from ..intervals import mean_with_interval, nan_mean
from .array_names import index_of
from .average_drop import DEFINITIONS, area_under_curve, average_drop, by_class, drops, increases
from .table_one import LOW_BETA, grad_cam_key, paper_columns


def pairs(grad_cam: str = HEADLINE.grad_cam) -> dict[str, tuple[str, str]]:
    """What is compared, first minus second: by the paper's statements, and beside controls  ->  {id: two columns}.

    grad_cam: what the paper's Grad-CAM is, as for `table_one.grad_cam_key`.

    >>> pairs()["ad_qa_minus_gradcam"], pairs()["filtered_minus_gradcam_nf16"]
    (('nf16/qa', 'nf16/filtered Grad-CAM'), ('nf16/filtered Grad-CAM', 'nf16/Grad-CAM'))
    """
    key = grad_cam_key(grad_cam)
    found = {
        "ad_qa_minus_gradcam": ("nf16/qa", f"nf16/{key}"),
        "ad_qa_minus_gradcam_pp": ("nf16/qa", "nf16/Grad-CAM++"),
        "ad_qa_minus_score_cam": ("nf16/qa", "nf16/Score-CAM"),
        "ad_sa_low_minus_gradcam": (LOW_BETA, f"nf512/{key}"),
        "ad_sa_high_minus_gradcam": ("nf512/sa_0.99", f"nf512/{key}"),
        "ad_sa_high_minus_gradcam_pp": ("nf512/sa_0.99", "nf512/Grad-CAM++"),
    }
    for n, beta in ((16, ""), (24, ""), (32, ""), (512, "_0.70"), (512, "_0.99")):
        selection = f"nf{n}/{'sa' if beta else 'qa'}{beta}"
        found[f"selection_minus_filtered_nf{n}{beta}"] = selection, f"nf{n}/filtered Grad-CAM"
        found[f"selection_minus_gradcam_nf{n}{beta}"] = selection, f"nf{n}/Grad-CAM"
        found[f"selection_minus_top_k_nf{n}{beta}"] = selection, f"nf{n}/top_k{beta}"
        found[f"selection_minus_random_k_nf{n}{beta}"] = selection, f"nf{n}/random_k{beta}"
    for n in (16, 24, 32, 512):
        found[f"filtered_minus_gradcam_nf{n}"] = f"nf{n}/filtered Grad-CAM", f"nf{n}/Grad-CAM"
    return found


def require_same_selections(scores: Mapping, selections: Mapping):
    """Raise ArtefactError unless the scores were made for the selections that 04 finds now.

    scores: artefact 08_scores; selections: the arrays of 04_selections, 04_samples and 04_variants.
    """
    wanted = "quantity == 'selection' and method != 'candidates'"
    now, then = (
        {f"{row.group}_{row.method}": arrays[row.key] for row in index_of(arrays).query(wanted).itertuples()}
        for arrays in (selections, scores)
    )
    require_equal(now, then, "the scores of 08 were made for other selections than 04 finds now")


class Comparisons:
    """The tables that notebook 09 makes of artefact 08_scores. A column is a method of a group, such as "nf16/qa".

    scores: the artefact; definition: the key in DEFINITIONS of the Average Drop; grad_cam: what the paper's Grad-CAM
    is, as for `table_one.grad_cam_key`; n_resamples, seed: of the intervals. Columns named average_drop, low and high
    are percent and its 95 % bootstrap interval over images.
    Raises ValueError for an unknown definition or grad_cam, and for a definition whose masks were not scored; its
    methods for an unknown definition, column or group.
    """

    def __init__(
        self,
        scores: Mapping,
        definition: str = "grad_cam_pp",
        *,
        grad_cam: str = HEADLINE.grad_cam,
        n_resamples: int = 2000,
        seed: int = 0,
    ):
        self.scores, self.definition = scores, require.choice("definition", definition, DEFINITIONS)
        self.paper_columns, self.pairs = paper_columns(grad_cam), pairs(grad_cam)
        self.options, index = {"n_resamples": n_resamples, "seed": seed}, index_of(scores)
        maskings = [*scores["record"]["parameters"]["maskings"], *index[index.quantity == "scores"].masking.unique()]
        self.masking_of = {DEFINITIONS[name].masking: name for name in maskings}
        self._masking(definition)
        index["column"] = index.group + "/" + index.method
        index = index[index.masking == maskings[0]]
        blind = set(index[index.quantity == "random"].column)
        self.columns = (
            index[index.quantity == "scores"].set_index("column").drop(columns=["key", "quantity", "masking"])
        )
        self.columns["blind"] = self.columns.index.isin(blind)

    @cached_property
    def headline(self) -> list[str]:
        """Columns of the 200 images that have blind masks beside them: those of Table 1 and its controls."""
        return self.columns.query("sample == 'chosen' and blind").index.tolist()

    @cached_property
    def definitions(self) -> list[str]:
        """Definitions that differ on the 200 images, all of which are classified correctly."""
        known = {name: d for name, d in DEFINITIONS.items() if d.masking in self.masking_of}
        return [name for name, d in known.items() if (d.target, d.average) == ("predicted", "all")]

    def labels(self, group: str) -> np.ndarray:
        """True classes of a group's images: (N,)."""
        require.choice("group", group, self.columns.group.unique())
        row = self.columns[self.columns.group == group].iloc[0]
        if row["sample"] == "chosen" or (row["sample"] == "seed" and row.n_features == 512):
            return self.scores["labels"]
        labels = self.scores["broad_labels"]
        return labels if row["sample"] == "broad" else labels[self.scores["seed_images"]]

    def _masking(self, definition):
        """Name under which the artefact keeps a definition's masks."""
        of_definition = {name: self.masking_of.get(other.masking) for name, other in DEFINITIONS.items()}
        return of_definition[require.choice("definition", definition, [n for n, m in of_definition.items() if m])]

    def _scored(self, quantity, column, definition):
        """What the artefact keeps of a column under a definition's masks, an entry for each image."""
        require.choice("column", column, self.columns.index)
        key = f"{quantity}/{self._masking(definition)}/{column}"
        if key not in self.scores:
            raise ValueError(f"there is no {key} among the scores: ask `scored` for what has these masks")
        return self.scores[key]

    def values(self, column: str, definition: str | None = None, *, kind: str = "scores", measure=drops) -> np.ndarray:
        """Drop of each image (or increase): (N,). kind "random" or "centred": of the blind mask of equal area."""
        definition = definition or self.definition
        masked, group = self._scored(kind, column, definition), self.columns.group[column]
        return measure(self.scores[f"full/{group}"], masked, self.labels(group), DEFINITIONS[definition])

    def area(self, column: str, definition: str | None = None) -> np.ndarray:
        """Mask area of each image: (N,)."""
        return self._scored("areas", column, definition or self.definition)

    def scored(self, column: str, definition: str, kind: str = "scores") -> bool:
        """Whether the images were scored so: some methods are not under every masking, or without blind masks."""
        masking = self.masking_of.get(DEFINITIONS[require.choice("definition", definition, DEFINITIONS)].masking)
        return f"{kind}/{masking}/{column}" in self.scores

    def _summary(self, values, name="average_drop"):
        """Mean with interval as columns of a table: of the Average Drop low and high, of others <name>_low, ..."""
        interval, prefix = mean_with_interval(values, **self.options), "" if name == "average_drop" else f"{name}_"
        return {name: interval["value"], f"{prefix}low": interval["low"], f"{prefix}high": interval["high"]}

    def by_class(self, reported: pd.DataFrame, definitions: list[str] | None = None) -> pd.DataFrame:
        """Table 1: columns of the 200 images, by class and in the mean, beside the paper's values.

        definitions: by default that of the Average Drop alone; of others the columns that are scored so.
        """
        conditions = [(name, column) for name in definitions or [self.definition] for column in self.headline]
        conditions = [(name, column) for name, column in conditions if self.scored(column, name)]
        table = pd.DataFrame([row for name, column in conditions for row in self._by_class(column, name)])
        paper = reported[list(self.paper_columns.values())]
        paper = paper.rename(columns={v: k for k, v in self.paper_columns.items()})
        paper.loc["mean"] = paper.mean()
        paper = paper.stack().swaplevel().to_dict()
        table["paper"] = [paper.get(key, np.nan) for key in zip(table.column, table["class"])]
        return table

    def _by_class(self, column, definition):
        """Rows of a table: Average Drop of each class and of all images, mask area and random mask of equal area."""
        labels, area = self.labels(self.columns.group[column]), self.area(column, definition)
        drop, blind = self.values(column, definition), np.full(len(labels), np.nan)
        if self.scored(column, definition, "random"):
            blind = self.values(column, definition, kind="random")
        for name, chosen in [(c, labels == k) for k, c in enumerate(CLASSES)] + [("mean", labels >= 0)]:
            row = {"column": column, "class": name, "definition": definition, **self._summary(drop[chosen])}
            yield row | {"area": area[chosen].mean(), "random_mask": nan_mean(blind[chosen])}

    def beside_controls(self) -> pd.DataFrame:
        """Table 4: Average Increase, mask area, and blind masks of equal area, random and centred."""
        rows = []
        for column in self.headline:
            drop, blind = self.values(column), {k: self.values(column, kind=k) for k in ("random", "centred")}
            row = {"column": column, "class": "mean", "definition": self.definition}
            row |= {"n_features": self.columns.n_features[column], "method": self.columns.method[column]}
            row |= self._summary(drop) | {"area": self.area(column).mean()}
            row |= {"average_increase": nan_mean(self.values(column, measure=increases))}
            row |= {kind: nan_mean(values) for kind, values in blind.items()}
            for kind, values in blind.items():
                row |= self._summary(drop - values, f"minus_{kind}")
            rows.append(row)
        chosen = self.columns[self.columns["sample"] == "chosen"].drop_duplicates("group")
        for group, n in zip(chosen.group, chosen.n_features):
            full = self.scores[f"full/{group}"]
            nothing = {"average_drop": average_drop(full, full, self.labels(group)), "area": 1.0}
            row = {"column": f"{group}/all-ones mask", "class": "mean", "definition": self.definition}
            rows.append(row | {"n_features": n, "method": "all-ones mask"} | nothing)
        return pd.DataFrame(rows)

    def differences(self, reported: pd.DataFrame) -> pd.DataFrame:
        """`pairs` in every definition, and what the filter gains beyond blind masks; paired over images.

        Columns broad, broad_low, broad_high: in the default definition, of the broad sample, right or wrong, where it
        is scored; the exact optimum stands there for the annealer.
        """
        rows = []
        for name, pair in self.pairs.items():
            paper = np.nan
            if set(pair) <= set(self.paper_columns):
                first, second = (reported[self.paper_columns[column]] for column in pair)
                paper = (first - second).mean()
            for definition in self.definitions:
                if all(self.scored(column, definition) for column in pair):
                    first, second = (self.values(column, definition) for column in pair)
                    row = {"id": name, "definition": definition} | self._difference(first - second) | {"paper": paper}
                    rows.append(row | (self._broad_difference(pair) if definition == self.definition else {}))
        for kind in ("centred", "random"):
            pair = self.pairs["filtered_minus_gradcam_nf16"]
            first, second = (self.values(c) - self.values(c, kind=kind) for c in pair)
            row = {"id": f"filter_beyond_{kind}_nf16", "definition": self.definition}
            rows.append(row | self._difference(first - second) | {"paper": np.nan})
        return pd.DataFrame(rows)

    def _broad_difference(self, pair):
        columns = [column.replace("/", "_broad/").replace("/qa", "/exact") for column in pair]
        if not set(columns) <= set(self.columns.index):
            return {}
        return self._summary(self.values(columns[0]) - self.values(columns[1]), "broad")

    def _difference(self, values):
        interval = mean_with_interval(values, **self.options)
        return {"difference": interval.pop("value")} | interval

    def distance(self, reported: pd.DataFrame, columns: Mapping, definition: str | Mapping | None = None) -> float:
        """Root-mean-square distance of columns {ours: the paper's} from the paper's table, by class, in points.

        definition: of all columns, or of some {column: definition}.
        """
        of = definition if isinstance(definition, Mapping) else dict.fromkeys(columns, definition)
        ours = {c: by_class(self.values(c, of.get(c)), self.labels(self.columns.group[c]), 10) for c in columns}
        return np.sqrt(np.nanmean([(ours[c] - reported[paper].values) ** 2 for c, paper in columns.items()]))

    def distances(self, reported: pd.DataFrame, of_reruns: Mapping | None = None) -> pd.DataFrame:
        """Distance of every definition from the paper's numbers of known beta; last, what it is to be held against.

        of_reruns: {name: {"N_f=16": distance of two reruns from each other, ...}}. Beside them Grad-CAM with its ReLU
        on the sum, Grad-CAM++ alone without clip, a mask that hides nothing, and the mean of the paper's table.
        """
        known = {c: paper for c, paper in self.paper_columns.items() if c != LOW_BETA}
        parts = {f"N_f={n}": {c: p for c, p in known.items() if self.columns.n_features[c] == n} for n in (16, 512)}
        parts["all"] = known
        rows = []
        for name in self.definitions:
            of_parts = {
                part: self.distance(reported, columns, name)
                for part, columns in parts.items()
                if all(self.scored(column, name) for column in columns)
            }
            rows.append({"definition": name} | of_parts)
        usual = {part: {c.replace("filtered ", ""): p for c, p in of.items()} for part, of in parts.items()}
        of_parts = {part: self.distance(reported, columns) for part, columns in usual.items()}
        rows.append({"definition": f"{self.definition}, ReLU of the sum"} | of_parts)
        unclipped = {c: "unclipped" for c in known if c.endswith("++")}
        of_parts = {part: self.distance(reported, columns, unclipped) for part, columns in parts.items()}
        rows.append({"definition": f"{self.definition}, Grad-CAM++ unclipped"} | of_parts)
        paper = {part: [reported[p].values for p in columns.values()] for part, columns in parts.items()}
        rows += [{"definition": name} | found for name, found in (of_reruns or {}).items()]
        zeros = {part: np.sqrt(np.mean([v**2 for v in values])) for part, values in paper.items()}
        rows.append({"definition": "all-ones mask, any definition"} | zeros)
        rows.append({"definition": "mean of the paper's table"} | {part: np.std(v) for part, v in paper.items()})
        return pd.DataFrame(rows)

    def broad(self) -> pd.DataFrame:
        """A thousand images, right or wrong: every definition of this mask, beside the optimum and the random mask."""
        masking, rows = DEFINITIONS[self.definition].masking, []
        definitions = [name for name, other in DEFINITIONS.items() if other.masking == masking]
        for column, n, method in self._sample("broad"):
            for name in definitions:
                drop, optimum = self.values(column, name), self.values(f"nf{n}_broad/exact", name)
                row = {"n_features": n, "method": method, "definition": name, **self._summary(drop)}
                row |= {"random_mask": nan_mean(self.values(column, name, kind="random"))}
                row |= {"area": self.area(column)[~np.isnan(drop)].mean()}
                rows.append(row | self._summary(drop - optimum, "minus_optimum"))
        return pd.DataFrame(rows)

    def by_seed(self) -> pd.DataFrame:
        """Average Drop of the heads of other training seeds, of all their images and of those classified correctly."""
        table = self.columns[self.columns["sample"] == "seed"][["n_features", "seed", "method"]]
        drop = {name: [nan_mean(self.values(c, name)) for c in table.index] for name in (None, "correct_only")}
        return table.reset_index(drop=True).assign(average_drop=drop[None], correct_only=drop["correct_only"])

    def conv(self) -> pd.DataFrame:
        """Maps taken at the convolution's output, beside Grad-CAM there."""
        rows = []
        for column, n, method in self._sample("conv"):
            drop, usual = self.values(column), self.values(f"nf{n}_conv/Grad-CAM")
            row = {"n_features": n, "method": method, **self._summary(drop)}
            rows.append(row | self._summary(drop - usual, "minus_gradcam"))
        return pd.DataFrame(rows)

    def _sample(self, sample):
        rows = self.columns[self.columns["sample"] == sample]
        return zip(rows.index, rows.n_features, rows.method)

    def places(self, reported: pd.DataFrame) -> pd.DataFrame:
        """Distance from the paper's columns of N_f = 16 of maps at the convolution and after the block, same images."""
        key, rows = next(iter(self.paper_columns)).removeprefix("nf16/"), {}
        for place, group in {"conv": "nf16_conv", "block": "nf16_seed0"}.items():
            summed = f"{group}/Grad-CAM, sum of relus"  # of signed maps, where it is not the filter
            first = summed if key == "filtered Grad-CAM" and summed in self.columns.index else f"{group}/{key}"
            columns = {first: "nf16_gradcam", f"{group}/Grad-CAM++": "nf16_gradcam_pp"}
            columns[f"{group}/exact"] = "nf16_qa_gradcam"
            rows[place] = {paper: self.distance(reported, {column: paper}) for column, paper in columns.items()}
            rows[place]["all"] = self.distance(reported, columns)
        return pd.DataFrame(rows).T

    def curves(self, curves: Mapping) -> pd.DataFrame:
        """Area under the insertion and deletion curves of artefact 08_curves, and the gains over the centred mask."""
        rows, modes = [], ("insertion", "deletion")
        for key in index_of(curves).query("quantity == 'insertion'").itertuples():
            area, blind = (
                {mode: area_under_curve(curves[f"{mode}/{key.group}/{method}"]) for mode in modes}
                for method in (key.method, "centred mask")
            )
            row = {"n_features": key.n_features, "method": key.method}
            row |= self._summary(area["insertion"], "insertion") | self._summary(area["deletion"], "deletion")
            row |= self._summary(area["insertion"] - blind["insertion"], "insertion_gain")
            rows.append(row | self._summary(blind["deletion"] - area["deletion"], "deletion_gain"))
        return pd.DataFrame(rows)

    def beta_scan(self, full_model: pd.DataFrame) -> pd.DataFrame:
        """Fig. 3: Average Drop and selected fraction at N_f = 512 by beta; full_model: artefact 04_full_model."""
        columns = {beta: f"nf512/sa_{beta:.2f}" for beta in np.unique(full_model.beta)}
        drop = {beta: self.values(column) for beta, column in columns.items()}
        best = min(drop, key=lambda beta: nan_mean(drop[beta]))
        rows = []
        for beta, part in full_model.groupby("beta"):
            row = {"beta": beta, **self._summary(drop[beta]), "ratio": (part.selected / part.d).mean()}
            row |= {"area": self.area(columns[beta]).mean()}
            rows.append(row | self._summary(drop[beta] - drop[best], "minus_best"))
        return pd.DataFrame(rows)
