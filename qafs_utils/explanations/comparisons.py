"""Tables of Average Drop: by method and class, beside blind masks, by definition, by sample of images and network."""

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
import pandas as pd

from .. import require
from ..artefacts.files import require_equal
from ..cnn.datasets import CLASSES
from ..intervals import mean_with_interval, nan_mean
from ..plots.style import method_name
from .average_drop import DEFINITIONS, area_under_curve, average_drop, by_class, drops, increases
from .masked_scores import index_of

PAPER_COLUMNS = {  # ours: the paper's, in data/paper_values/average_drop_table1.csv
    "nf16/Grad-CAM": "nf16_gradcam",
    "nf16/Grad-CAM++": "nf16_gradcam_pp",
    "nf16/qa": "nf16_qa_gradcam",
    "nf512/Grad-CAM": "nf512_gradcam",
    "nf512/Grad-CAM++": "nf512_gradcam_pp",
    "nf512/sa_0.70": "nf512_sa_gradcam_low_beta",
    "nf512/sa_0.99": "nf512_sa_gradcam_beta_0.99",
}
LOW_BETA = "nf512/sa_0.70"  # the paper's low beta is not known
ON_BLACK = {  # masks on black, as in the paper's text, which does not say where it cuts
    "grad_cam_pp": "soft",
    "threshold_0.15": "cut at 0.15",
    "threshold_0.5": "cut at 0.5",
    "top_half": "upper half",
}
PAIRS = {  # first minus second, by the paper's statements
    "ad_qa_minus_gradcam": ("nf16/qa", "nf16/Grad-CAM"),
    "ad_qa_minus_gradcam_pp": ("nf16/qa", "nf16/Grad-CAM++"),
    "ad_qa_minus_score_cam": ("nf16/qa", "nf16/Score-CAM"),
    "ad_sa_low_minus_gradcam": ("nf512/sa_0.70", "nf512/Grad-CAM"),
    "ad_sa_high_minus_gradcam": ("nf512/sa_0.99", "nf512/Grad-CAM"),
    "ad_sa_high_minus_gradcam_pp": ("nf512/sa_0.99", "nf512/Grad-CAM++"),
}
for _n, _beta in ((16, ""), (24, ""), (32, ""), (512, "_0.70"), (512, "_0.99")):  # and beside controls
    _selection = f"nf{_n}/{'sa' if _beta else 'qa'}{_beta}"
    PAIRS[f"selection_minus_filtered_nf{_n}{_beta}"] = _selection, f"nf{_n}/filtered Grad-CAM"
    PAIRS[f"selection_minus_top_k_nf{_n}{_beta}"] = _selection, f"nf{_n}/top_k{_beta}"
    PAIRS[f"selection_minus_random_k_nf{_n}{_beta}"] = _selection, f"nf{_n}/random_k{_beta}"
for _n in (16, 24, 32, 512):
    PAIRS[f"filtered_minus_gradcam_nf{_n}"] = f"nf{_n}/filtered Grad-CAM", f"nf{_n}/Grad-CAM"


def require_same_selections(scores: Mapping, selections: Mapping):
    """Raise ArtefactError unless the scores were made for the selections that 04 finds now.

    scores: artefact 08_scores; selections: the arrays of 04_selections and 04_samples.
    """
    wanted = "quantity == 'selection' and method != 'candidates'"
    now, then = (
        {f"{row.group}_{row.method}": arrays[row.key] for row in index_of(arrays).query(wanted).itertuples()}
        for arrays in (selections, scores)
    )
    require_equal(now, then, "the scores of 08 were made for other selections than 04 finds now")


class Comparisons:
    """The tables that notebook 09 makes of artefact 08_scores. A column is a method of a group, such as "nf16/qa".

    scores: the artefact; definition: the key in DEFINITIONS of the Average Drop; n_resamples, seed: of the intervals.
    Columns named average_drop, low and high are percent and its 95 % bootstrap interval over images.
    Raises ValueError for an unknown definition.
    """

    def __init__(self, scores: Mapping, definition: str = "grad_cam_pp", *, n_resamples: int = 2000, seed: int = 0):
        self.scores, self.definition = scores, require.choice("definition", definition, DEFINITIONS)
        self.options, index = {"n_resamples": n_resamples, "seed": seed}, index_of(scores)
        maskings = scores["record"]["parameters"]["maskings"]
        self.masking_of = {DEFINITIONS[name].masking: name for name in maskings}
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
        row = self.columns[self.columns.group == group].iloc[0]
        if row["sample"] == "chosen" or (row["sample"] == "seed" and row.n_features == 512):
            return self.scores["labels"]
        labels = self.scores["broad_labels"]
        return labels if row["sample"] == "broad" else labels[self.scores["seed_images"]]

    def values(self, column: str, definition: str | None = None, *, kind: str = "scores", measure=drops) -> np.ndarray:
        """Drop of each image (or increase): (N,). kind "random" or "centred": of the blind mask of equal area."""
        chosen, group = DEFINITIONS[definition or self.definition], self.columns.group[column]
        masked = self.scores[f"{kind}/{self.masking_of[chosen.masking]}/{column}"]
        return measure(self.scores[f"full/{group}"], masked, self.labels(group), chosen)

    def area(self, column: str, definition: str | None = None) -> np.ndarray:
        """Mask area of each image: (N,)."""
        masking = DEFINITIONS[definition].masking if definition else next(iter(self.masking_of))
        return self.scores[f"areas/{self.masking_of[masking]}/{column}"]

    def _summary(self, values, name="average_drop"):
        """Mean with interval as columns of a table: of the Average Drop low and high, of others <name>_low, ..."""
        interval, prefix = mean_with_interval(values, **self.options), "" if name == "average_drop" else f"{name}_"
        return {name: interval["value"], f"{prefix}low": interval["low"], f"{prefix}high": interval["high"]}

    def by_class(self, reported: pd.DataFrame) -> pd.DataFrame:
        """Table 1: every column of the 200 images, by class and in the mean, beside the paper's values."""
        table = pd.DataFrame([row for column in self.headline for row in self._by_class(column, self.definition)])
        paper = reported[list(PAPER_COLUMNS.values())].rename(columns={v: k for k, v in PAPER_COLUMNS.items()})
        paper.loc["mean"] = paper.mean()
        paper = paper.stack().swaplevel().to_dict()
        table["paper"] = [paper.get(key, np.nan) for key in zip(table.method, table["class"])]
        return table

    def _by_class(self, column, definition):
        """Rows of a table: Average Drop of each class and of all images, mask area and random mask of equal area."""
        labels, area = self.labels(self.columns.group[column]), self.area(column, definition)
        drop, random = self.values(column, definition), self.values(column, definition, kind="random")
        for name, chosen in [(c, labels == k) for k, c in enumerate(CLASSES)] + [("mean", labels >= 0)]:
            row = {"method": column, "class": name, **self._summary(drop[chosen])}
            yield row | {"area": area[chosen].mean(), "random_mask": nan_mean(random[chosen])}

    def by_definition(self) -> pd.DataFrame:
        """Table 5: Table 1 in every definition."""
        conditions = [(name, column) for name in self.definitions for column in self.headline]
        rows = [{"definition": name} | row for name, column in conditions for row in self._by_class(column, name)]
        return pd.DataFrame(rows)

    def beside_controls(self) -> pd.DataFrame:
        """Table 4: Average Increase, mask area, and blind masks of equal area, random and centred."""
        rows = []
        for column in self.headline:
            drop, blind = self.values(column), {k: self.values(column, kind=k) for k in ("random", "centred")}
            row = {"n_features": self.columns.n_features[column], "method": self.columns.method[column]}
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
            rows.append({"n_features": n, "method": "all-ones mask"} | nothing)
        return pd.DataFrame(rows)

    def differences(self, reported: pd.DataFrame) -> pd.DataFrame:
        """PAIRS in every definition, and what the filter gains beyond blind masks; paired over images."""
        rows = []
        for name, pair in PAIRS.items():
            paper = np.nan
            if set(pair) <= set(PAPER_COLUMNS):
                first, second = (reported[PAPER_COLUMNS[column]] for column in pair)
                paper = (first - second).mean()
            for definition in self.definitions:
                first, second = (self.values(column, definition) for column in pair)
                row = {"id": name, "definition": definition}
                rows.append(row | self._difference(first - second) | {"paper": paper})
        for kind in ("centred", "random"):
            first, second = (self.values(c) - self.values(c, kind=kind) for c in PAIRS["filtered_minus_gradcam_nf16"])
            row = {"id": f"filter_beyond_{kind}_nf16", "definition": self.definition}
            rows.append(row | self._difference(first - second) | {"paper": np.nan})
        return pd.DataFrame(rows)

    def _difference(self, values):
        interval = mean_with_interval(values, **self.options)
        return {"difference": interval.pop("value")} | interval

    def distance(self, reported: pd.DataFrame, columns: Mapping, definition: str | None = None) -> float:
        """Root-mean-square distance of columns {ours: the paper's} from the paper's table, by class, in points."""
        ours = {c: by_class(self.values(c, definition), self.labels(self.columns.group[c]), 10) for c in columns}
        return np.sqrt(np.nanmean([(ours[c] - reported[paper].values) ** 2 for c, paper in columns.items()]))

    def distances(self, reported: pd.DataFrame) -> pd.DataFrame:
        """Distance of every definition from the paper's numbers of known beta; last, of no mask and of their mean."""
        known = {c: paper for c, paper in PAPER_COLUMNS.items() if c != LOW_BETA}
        parts = {f"N_f={n}": {c: p for c, p in known.items() if self.columns.n_features[c] == n} for n in (16, 512)}
        parts["all"] = known
        rows = [
            {"definition": name} | {part: self.distance(reported, columns, name) for part, columns in parts.items()}
            for name in self.definitions
        ]
        paper = {part: [reported[p].values for p in columns.values()] for part, columns in parts.items()}
        zeros = {part: np.sqrt(np.mean([v**2 for v in values])) for part, values in paper.items()}
        rows.append({"definition": "all-ones mask, any definition"} | zeros)
        rows.append({"definition": "mean of the paper's table"} | {part: np.std(v) for part, v in paper.items()})
        return pd.DataFrame(rows)

    def broad(self, definitions: list[str]) -> pd.DataFrame:
        """A thousand images, right or wrong: every definition, beside the optimum and the random mask."""
        rows = []
        for column, n, method in self._sample("broad"):
            for name in definitions:
                drop, optimum = self.values(column, name), self.values(f"nf{n}_broad/exact", name)
                row = {"n_features": n, "method": method, "definition": name, **self._summary(drop)}
                row |= {"random_mask": nan_mean(self.values(column, name, kind="random"))}
                row |= {"area": self.area(column)[~np.isnan(drop)].mean()}
                rows.append(row | self._summary(drop - optimum, "minus_optimum"))
        return pd.DataFrame(rows)

    def by_seed(self) -> pd.DataFrame:
        """Average Drop of the networks of other training seeds."""
        table = self.columns[self.columns["sample"] == "seed"][["n_features", "seed", "method"]]
        drop = [nan_mean(self.values(column)) for column in table.index]
        return table.reset_index(drop=True).assign(average_drop=drop)

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
        methods = {"Grad-CAM": "nf16_gradcam", "Grad-CAM++": "nf16_gradcam_pp", "exact": "nf16_qa_gradcam"}
        rows = {}
        for place, group in {"conv": "nf16_conv", "block": "nf16_seed0"}.items():
            columns = {f"{group}/{method}": paper for method, paper in methods.items()}
            rows[place] = {m: self.distance(reported, {f"{group}/{m}": paper}) for m, paper in methods.items()}
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

    def printed_names(self, columns: pd.Series) -> pd.Series:
        """Names of columns as they are published: "nf16/qa" is "N_f=16 QA-Grad-CAM"."""
        names = {c: f"N_f={row.n_features} {method_name(row.method)[0]}" for c, row in self.columns.iterrows()}
        return columns.map(names).str.replace(r"[$\\]", "", regex=True)

    def published(self, table: pd.DataFrame) -> pd.DataFrame:
        """Table 1 as it is published: a row a class, a method in columns of value, interval and the paper's value."""
        table = table.assign(method=self.printed_names(table.method))
        wide = table.pivot(index="class", columns="method", values=["average_drop", "low", "high", "paper"])
        wide = wide.swaplevel(axis=1)[table.method.unique()].reindex([*CLASSES, "mean"]).dropna(axis=1, how="all")
        wide.columns = [name if kind == "average_drop" else f"{name}: {kind}" for name, kind in wide.columns]
        return wide.reset_index()


def by_training_seed(by_seed: pd.DataFrame) -> pd.DataFrame:
    """Average Drop by training seed, a row a seed, with the columns of Table 1; by_seed: `Comparisons.by_seed`.

    >>> table = pd.DataFrame({"n_features": 16, "seed": [0, 1], "method": "exact", "average_drop": [20.0, 19.0]})
    >>> by_training_seed(table)["nf16/qa"].tolist()
    [20.0, 19.0]
    """
    methods = by_seed.method.replace("exact", "qa")  # the optimum, which the annealer finds
    table = by_seed.assign(column="nf" + by_seed.n_features.astype(str) + "/" + methods)
    return table.pivot(index="seed", columns="column", values="average_drop")


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Every number of the paper's Table 1 beside ours; table: `Comparisons.by_class`."""
    table = table.dropna(subset="paper").rename(columns={"paper": "reported", "average_drop": "ours"})
    table["source"], table["testable"] = "Table 1", table.method != LOW_BETA
    table["number"] = table.method + ", " + table["class"]
    return table[["source", "number", "reported", "ours", "low", "high", "testable"]]


def classes_worse(by_definition: pd.DataFrame, table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Number of classes whose QA-Grad-CAM at N_f = 16 loses more than Grad-CAM: by definition, and in the paper.

    by_definition, table: of `Comparisons`  ->  value, and low and high of NaN, by definition; the paper's number.
    """
    ours = by_definition[by_definition["class"] != "mean"]
    ours = ours.pivot(index=["definition", "class"], columns="method", values="average_drop")
    paper = table[table["class"] != "mean"].pivot(index="class", columns="method", values="paper")
    worse = (ours["nf16/qa"] > ours["nf16/Grad-CAM"]).groupby("definition").sum()
    return pd.DataFrame({"value": worse, "low": np.nan, "high": np.nan}), (
        paper["nf16/qa"] > paper["nf16/Grad-CAM"]
    ).sum()


def over_masks(table: pd.DataFrame, judge: Callable, why: str, *, testable: bool = True) -> dict:
    """The verdict on what rests on the definition of Average Drop: that of all masks on black, if they agree.

    table: value, low, high by definition, the index; judge: function of these three numbers  ->  verdict; why: reason.
    The numbers are those of the first mask. Where masks disagree, or it is not testable, it "cannot be tested".

    >>> table = pd.DataFrame({"value": [-3.0, 1.0], "low": -4.0, "high": 2.0}, index=["grad_cam_pp", "top_half"])
    >>> over_masks(table, lambda value, low, high: "reproduced" if value < 0 else "not reproduced", "paired")["why"]
    'paired; depends on the mask, which the paper does not give (not reproduced: upper half; reproduced: soft)'
    """
    rows = table.loc[[name for name in ON_BLACK if name in table.index], ["value", "low", "high"]]
    verdicts = pd.Series({ON_BLACK[r.Index]: judge(r.value, low=r.low, high=r.high) for r in rows.itertuples()})
    agree = verdicts.nunique() == 1
    if testable and agree:
        why += "; so with every mask on black"
    elif testable:
        each = "; ".join(f"{verdict}: {', '.join(masks.index)}" for verdict, masks in verdicts.groupby(verdicts))
        why += f"; depends on the mask, which the paper does not give ({each})"
    verdict = verdicts.iloc[0] if testable and agree else "cannot be tested"
    ours, low, high = rows.iloc[0]
    return {"ours": ours, "low": low, "high": high, "verdict": verdict, "why": why}
