"""The paper's numbers under every combination of conventions: how far ours are, beside reruns and trivial predictors.

A specification is one choice for everything that the paper leaves open [simonsohn2020specification]. Tables have a
row a specification: `quantity`, a column for each of CHOICES (empty where the quantity leaves no choice), `distance`
from the paper's numbers, its `low` and `high` over the heads, `r`, the correlation with them, their number `n`, and
`ours`, one number that sums ours up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pandas as pd

from ..artefacts.answers import pairwise, spread
from ..artefacts.files import ArtefactError
from ..cnn.datasets import CLASSES
from ..conventions import AUTHORS, HEADLINE, TEXT, Conventions
from ..qubo.feature_selection import FIELDS, PAIR_SUMS
from . import table_one
from .average_drop import DEFINITIONS, by_class, drops
from .comparisons import Comparisons

OURS, SEEDS = "ours", "ours, all seeds"
RECIPE = {"authors_code": "authors' recipe", "paper": "same, ReLU last"}  # by the head's block
CHOICES = {  # columns, as they are printed
    "heads": "heads",
    "target": "maps at",
    "field": "field",
    "pair_sum": "pair sum",
    "driver": "driver",
    "readout": "read-out",
    "solver": "SA's reads",
    "low_beta": r"low $\beta$",
    "grad_cam": "Grad-CAM",
    "grad_cam_pp": "Grad-CAM++",
    "clip": "clip",
    "mask": "mask",
    "resampling": "resampling",
    "score": "score",
    "fit": "fit of",
}
MEASURES = ["distance", "low", "high", "r", "n", "ours"]
MASKS = {  # maskings of 08_scores
    "grad_cam_pp": {"mask": "soft", "resampling": "float"},
    "8_bit": {"mask": "soft", "resampling": "8 bit"},
    "mean_fill": {"mask": "soft, mean fill", "resampling": "float"},
    "threshold_0.15": {"mask": "threshold 0.15", "resampling": "float"},
    "threshold_0.5": {"mask": "threshold 0.5", "resampling": "float"},
    "top_half": {"mask": "top half", "resampling": "float"},
}
NF16, NF512, NF512_HIGH = "Table 1, N_f=16", "Table 1, N_f=512", "Table 1, N_f=512, without the low beta"
_CLIP = {"all": True, "all but Grad-CAM++": False}
_PP = {"eq19": "Grad-CAM++", "eq19 + 1e-7": "Grad-CAM++, 1e-7", "normalised": "Grad-CAM++, authors' code"}
_OPTIMA = [
    ({"field": f, "pair_sum": s, "readout": "best of d^2"}, [f"{f}, {s}"]) for f, s in product(FIELDS, PAIR_SUMS)
]
_FREQUENT = [({"field": "min-max", "pair_sum": "p!=q", "readout": "most frequent of 2^d"}, ["most frequent"])]
_EARLY = [case for case in _OPTIMA if case[1] == ["min-max, p!=q"]]
REASONS = {  # why HEADLINE chooses as it does; A, B, C: the authors' files, as in `conventions`
    "split": "the text's; the official test images are ten times as many as the authors' 350",
    "normalisation": "the trunk's own, which its weights expect; the authors have none (A: loaders.py)",
    "trunk_batchnorm": "a frozen trunk that does not change (text); the authors' drifts (C: trainModel.py)",
    "learning_rate": "Adam's default, and the authors' (C: trainModel.py)",
    "order": "usual; the authors' loaders do not shuffle (A: loaders.py)",
    "epoch": "the text's; the authors' script keeps the last (C: trainModel.py)",
    "block": "the text's, ReLU last; maps after BatchNorm, which are signed, are far from the QA column of Table 1",
    "target": "the authors hook the block's output (C: run.py, scorePercentageAnnealing.py)",
    "candidates": "the paper's (Eq. 2), and the authors'; what the sign is worth: 18 and 20",
    "field": "the text's, and the authors' graphic of June 2026; min-max is in the early code only (B: qubo_utils.py)",
    "pair_sum": "most of the authors' scripts, that of the Average Drop among them (B: qubo_utils.py); Fig. 4",
    "beta": "the text's",
    "driver": "the authors' code (A: finalSimulation.py), and Fig. 5",
    "annealing_time": "the text's",
    "readout": "the text's, and the authors' (A: sampling.py); for the Average Drop they count the most frequent (C)",
    "num_reads": "the text says dwave-neal's defaults; the authors' early code has 100, which always find the optimum",
    "grad_cam": "the authors' (B: feature_extraction_utils.py); only so does the column of Table 1 come out",
    "grad_cam_pp": "the equation; the authors' epsilon is read off github 1Konny/gradcam_plus_plus-pytorch",
    "mask": "the authors' scripts multiply by the map and cut nothing (C: scorePercentage.py)",
    "resampling": "both give nearly the same mask; float has no rounding",
    "score": "the authors' (C: scorePercentage.py)",
    "clip": "Eq. 8; the authors do not clip Grad-CAM++ (C: scorePercentage.py)",
}


def side_by_side() -> pd.DataFrame:
    """The three sets of conventions, a row a choice, and the reason of the headline's: columns text to reason.

    >>> side_by_side().loc["pair_sum"].tolist()[:3]
    ['half', 'p!=q', 'p!=q']
    """
    sets = {"text": asdict(TEXT), "authors": asdict(AUTHORS), "headline": asdict(HEADLINE)}
    return pd.DataFrame(sets).assign(reason=pd.Series(REASONS)).rename_axis("choice")


def summary(values: Sequence[np.ndarray], paper: np.ndarray) -> dict:
    """Distance of the numbers of one or several heads from the paper's: a list of (n,), and (n,)  ->  MEASURES.

    The distance is the root mean square over the numbers that are not NaN, and then the mean over the heads.

    >>> found = summary([np.array([1.0, 3.0, np.nan])], np.array([1.0, 2.0, 9.0]))
    >>> round(found["distance"], 3), found["n"]
    (0.707, 2)
    """
    distances = [float(np.sqrt(np.nanmean((of_head - paper) ** 2))) for of_head in values]
    several = len(distances) > 1
    return {
        "distance": float(np.mean(distances)),
        "low": min(distances) if several else np.nan,
        "high": max(distances) if several else np.nan,
        "r": np.mean([correlation(of_head, paper) for of_head in values]),
        "n": max(int((~np.isnan(of_head)).sum()) for of_head in values),
        "ours": float(np.nanmean(values)),
    }


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation where both are numbers, NaN where one is constant: (n,), (n,)  ->  float.

    >>> round(correlation(np.array([1.0, 2.0, np.nan]), np.array([3.0, 5.0, 0.0])), 9)
    1.0
    """
    both = ~np.isnan(first) & ~np.isnan(second)
    first, second = first[both], second[both]
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


class _Drops:
    """Average Drop by class of groups of images, each measured once."""

    def __init__(self, scores, labels):
        self.scores, self.labels, self.known = scores, labels, {}

    def __call__(self, group, masking, score, method, clip):
        """(10,) of the images that are classified correctly. Raises ArtefactError, by its name, for absent scores."""
        key, case = f"scores/{masking}/{group}/{method}", (group, masking, score, method, clip)
        if case not in self.known:
            if key not in self.scores:
                raise ArtefactError(f"{key} was not scored: run the notebook that makes this artefact again")
            definition = replace(DEFINITIONS[masking], score=score, clip=clip, average="correct")
            labels = self.labels(group)
            values = drops(self.scores[f"full/{group}"], self.scores[key], labels, definition)
            self.known[case] = by_class(values, labels, len(CLASSES))
        return self.known[case]


def _combinations(quantity, heads, groups, measured, paper, cases):
    """Rows of one kind of heads; cases: (masking, {Grad-CAM: method}, {Grad-CAM++: method}, selections)."""
    rows = []
    for masking, grad_cams, pps, selections in cases:
        options = product(("softmax", "logit"), grad_cams.items(), pps.items(), _CLIP.items(), selections)
        for score, (form, cam), (pp_form, pp), (clip, clipped), (selection, methods) in options:
            plan = [(cam, True), (pp, clipped), *((method, True) for method in methods)]
            values = [np.concatenate([measured(g, masking, score, *column) for column in plan]) for g in groups]
            choices = {"grad_cam": form, "grad_cam_pp": pp_form, "clip": clip, "score": score}
            where = {"quantity": quantity, "heads": heads} | MASKS[masking] | choices | selection
            rows.append(where | summary(values, paper))
    return rows


def compared_columns(grad_cam: str = HEADLINE.grad_cam) -> dict[str, dict[str, str]]:
    """Which columns of Table 1 each quantity takes: {quantity: {ours: the paper's}}, as `table_one.paper_columns`.

    >>> {quantity: len(names) for quantity, names in compared_columns().items()}
    {'Table 1, N_f=16': 3, 'Table 1, N_f=512': 4, 'Table 1, N_f=512, without the low beta': 3}
    """
    both = table_one.paper_columns(grad_cam)
    of_512 = {ours: paper for ours, paper in both.items() if ours.startswith("nf512/")}
    high = {ours: paper for ours, paper in of_512.items() if ours != table_one.LOW_BETA}
    return {NF16: {ours: paper for ours, paper in both.items() if ours not in of_512}, NF512: of_512, NF512_HIGH: high}


def _paper(reported, quantity):
    return np.concatenate([reported[column].to_numpy(float) for column in compared_columns()[quantity].values()])


def reduced_model(scores: Mapping, recipe: Mapping, reported: pd.DataFrame, use: Conventions) -> pd.DataFrame:
    """Table 1 at N_f = 16, 30 numbers, in every specification that is scored: a row each.

    scores: artefact 08_scores; recipe: 16_scores; reported: the paper's Table 1; use: the conventions of 08_scores.
    Of images only those classified correctly. Raises ArtefactError for scores that are absent.
    """
    seeds = sorted({key.split("/")[1] for key in scores if key.startswith("full/nf16_seed")})
    maskings = [name for name in scores["record"]["parameters"]["maskings"] if name in MASKS]
    usual = {"sum of relus": "filtered Grad-CAM", "relu of sum": "Grad-CAM"}
    two = {name: _PP[name] for name in ("eq19", "eq19 + 1e-7")}
    own = [({"field": use.field, "pair_sum": use.pair_sum, "readout": use.readout}, ["qa"])]
    all_of_them = [(name, usual, _PP, _OPTIMA + _FREQUENT) for name in maskings]
    eight = ("8_bit", {"sum of relus": usual["sum of relus"]}, two, own)
    drifting = {name: f"Grad-CAM, {name}" for name in usual}
    theirs = [("grad_cam_pp", drifting, two, _OPTIMA + _FREQUENT)]
    theirs += [("8_bit", drifting, {"eq19 + 1e-7": two["eq19 + 1e-7"]}, _EARLY + _FREQUENT)]

    def labels_of(group):
        return scores["labels"] if group == "nf16" else scores["broad_labels"][scores["seed_images"]]

    paper, ours = _paper(reported, NF16), _Drops(scores, labels_of)
    rows = _combinations(NF16, OURS, ["nf16"], ours, paper, [*all_of_them, eight])
    rows += _combinations(NF16, SEEDS, seeds, ours, paper, [("grad_cam_pp", usual, {"eq19": _PP["eq19"]}, _OPTIMA)])
    by_recipe = _Drops(recipe, lambda group: recipe[f"labels/{group}"])
    for block, name in RECIPE.items():
        groups = sorted(key.removeprefix("full/") for key in recipe if key.startswith(f"full/{block}/"))
        rows += _combinations(NF16, name, groups, by_recipe, paper, theirs)
    return pd.DataFrame(rows)


def full_model(scores: Mapping, reported: pd.DataFrame, low_betas: Iterable[float], use: Conventions) -> pd.DataFrame:
    """Table 1 at N_f = 512, 40 numbers, and 30 without the column of the lost low beta: as `reduced_model`.

    low_betas: what the low beta may have been (soft mask; 0.7 under every other mask, and the exact optimum).
    """
    seeds = sorted({key.split("/")[1] for key in scores if key.startswith("full/nf512_seed")})
    maskings = [name for name in scores["record"]["parameters"]["maskings"] if name in MASKS]
    usual, eq19 = {"sum of relus": "filtered Grad-CAM", "relu of sum": "Grad-CAM"}, {"eq19": _PP["eq19"]}
    two, rows = eq19 | {"eq19 + 1e-7": _PP["eq19 + 1e-7"]}, []
    reads, exact = ({"solver": name} for name in (_reads(use), "optimum"))
    measured = _Drops(scores, lambda group: scores["labels"])
    for quantity in (NF512, NF512_HIGH):
        low = quantity == NF512
        soft = _selections(reads, "sa_{:.2f}", low_betas, low) + _selections(exact, "max, p!=q, {:.2f}", [0.7], low)
        hard = _selections(reads, "sa_{:.2f}", [0.7], low)
        cases = [(name, usual, two, soft if name == "grad_cam_pp" else hard) for name in maskings]
        paper = _paper(reported, quantity)
        rows += _combinations(quantity, OURS, ["nf512"], measured, paper, cases)
        cases = [("grad_cam_pp", usual, eq19, hard)]
        rows += _combinations(quantity, SEEDS, seeds, measured, paper, cases)
    return pd.DataFrame(rows)


def _selections(solver, pattern, betas, low):
    if not low:
        return [(solver, [pattern.format(0.99)])]
    return [(solver | {"low_beta": f"at {beta:g}"}, [pattern.format(beta), pattern.format(0.99)]) for beta in betas]


def _reads(use):
    return "one read" if use.num_reads == 1 else "optimum"  # a hundred always find it


def trivial(reported: pd.DataFrame) -> pd.DataFrame:
    """What needs no model, as rows of Table 1: zero (a mask that hides nothing), the paper's mean, its column means.

    >>> table = pd.DataFrame({name: [1.0, 3.0] for name in table_one.paper_columns().values()})
    >>> trivial(table).query("quantity == @NF16").distance.round(3).tolist()
    [2.236, 1.0, 1.0]
    """
    rows = []
    for quantity, names in compared_columns().items():
        paper, each = _paper(reported, quantity), reported[[*names.values()]].mean().to_numpy()
        predictors = {"zero": np.zeros(len(paper)), "grand mean": np.full(len(paper), paper.mean())}
        for name, values in (predictors | {"column means": np.repeat(each, len(reported))}).items():
            rows.append({"quantity": quantity, "kind": "trivial", "name": name} | summary([values], paper))
    return pd.DataFrame(rows)


def reruns(compare: Comparisons, quantity: str, of_quantity: Iterable[str]) -> list[dict]:
    """How far reruns of Table 1 are apart, with the headline's conventions: rows quantity, kind, name and of `spread`.

    of_quantity: our columns, those of `compared_columns`. name: "heads" on the same images, "draws" of images of one
    head (where there is one draw, from the standard error of its means), and "both", the root of the sum of their
    squares.
    """
    apart, names = {}, list(of_quantity)
    found = table_one.reruns(compare, names).query("`class` != 'mean'")
    for kind, part in found.groupby("kind"):
        wide = part.pivot_table(index="rerun", columns=["column", "class"], values="average_drop", dropna=False)
        apart[kind] = [row.to_numpy() for _, row in wide.groupby(level=0).first().iterrows()]
    draws = pairwise(apart.get("draw", []))
    if "draw" not in apart:
        errors = []
        for column in names:
            values, labels = compare.values(column), compare.labels(compare.columns.group[column])
            of_class = [values[labels == c] for c in np.unique(labels)]
            errors += [part.var(ddof=1) / len(part) for part in of_class if len(part) > 1]
        draws = spread([np.sqrt(2 * np.mean(errors))] if errors else []) | {"low": np.nan, "high": np.nan}
    return named_reruns(quantity, pairwise(apart.get("head", [])), draws)


def named_reruns(quantity: str, heads: dict, draws: dict) -> list[dict]:
    """Rows of reruns of a quantity; heads, draws: of `spread`. Another head *and* other images are "both".

    >>> rows = named_reruns("Fig. 2", spread([3.0]), spread([4.0]))
    >>> [(row["name"], row["distance"]) for row in rows]
    [('heads', 3.0), ('draws', 4.0), ('both', 5.0)]
    """
    both = {"distance": float(np.hypot(heads["distance"], draws["distance"]))}
    rows = {"heads": heads, "draws": draws, "both": both}
    return [{"quantity": quantity, "kind": "rerun", "name": name} | found for name, found in rows.items()]


def of_sets(table: pd.DataFrame) -> pd.DataFrame:
    """Which rows are the three sets of conventions: the table with a column `set`, "" for other rows.

    The set "authors" is that of heads by the authors' recipe, or of ours where there are none. A choice does not count
    where it is empty, or the same in all specifications of a quantity.

    >>> table = pd.DataFrame({"quantity": "q", "heads": OURS, "pair_sum": ["p!=q", "half"]})
    >>> of_sets(table)["set"].tolist()
    ['headline, authors', 'text']
    """
    table = table.assign(set="")
    for name, conventions in {"headline": HEADLINE, "text": TEXT, "authors": AUTHORS}.items():
        wanted = asdict(conventions) | {"solver": _reads(conventions), "low_beta": "at 0.7", "fit": "median"}
        for _, part in table.groupby("quantity"):
            recipe = name == "authors" and RECIPE["authors_code"] in set(part.heads)
            wanted["heads"] = RECIPE["authors_code"] if recipe else OURS
            varied = [c for c in CHOICES if c in part and part[c].nunique() > 1 and c in wanted]
            same = (part[varied].isna() | (part[varied] == pd.Series(wanted)[varied])).all(axis=1)
            found = part.index[same]
            table.loc[found, "set"] = (table.loc[found, "set"] + f", {name}").str.removeprefix(", ")
    return table


def effects(table: pd.DataFrame) -> pd.DataFrame:
    """Which choices matter: the distance by each choice's value  ->  quantity, choice, value, distance, groups, alone.

    table: of `of_sets`. distance: mean over the other choices, of groups of specifications that agree in all of them
    and have every value (that is comparable); groups: their number; alone: where the others are the headline's.

    >>> table = pd.DataFrame({"field": ["a", "b", "a"], "score": ["x", "x", "y"], "set": ["headline", "", ""]})
    >>> effects(table.assign(quantity="q", distance=[1.0, 2.0, 9.0]))[["distance", "alone"]].to_numpy().tolist()
    [[1.0, 1.0], [2.0, 2.0], [1.0, 1.0], [9.0, 9.0]]
    """
    rows = []
    for quantity, part in table.groupby("quantity", sort=False):
        columns = [c for c in CHOICES if c in part and part[c].nunique() > 1]
        part = part.fillna({c: "" for c in columns})
        headline = part[["headline" in names for names in part["set"]]].head(1)
        for choice in columns:
            others = [c for c in columns if c != choice]
            groups = part.pivot_table(index=others or "quantity", columns=choice, values="distance")
            groups = groups[[value for value in part[choice].unique() if value]]
            near = headline[[*others, "quantity"]].merge(part).set_index(choice).distance
            complete = _complete(groups)
            for value, distance in complete.mean().items():
                row = {"quantity": quantity, "choice": choice, "value": value, "distance": distance}
                rows.append(row | {"groups": len(complete), "alone": near.get(value, np.nan)})
    return pd.DataFrame(rows)


def _complete(groups):
    """Groups that have every value; without any, values are dropped, the rarest first, until there are some."""
    while len(groups.columns) > 2 and groups.dropna().empty:
        groups = groups.drop(columns=groups.count().idxmin())
    return groups.dropna()


def one_for_all(table: pd.DataFrame, reruns: pd.Series) -> pd.DataFrame:
    """Does one set explain all? Distance over that of a rerun: a row a set, a column a quantity.

    table: of `of_sets`; reruns: distance of two reruns from each other, by quantity.

    >>> table = pd.DataFrame({"quantity": "q", "set": ["text", "headline, authors"], "distance": [4.0, 3.0]})
    >>> one_for_all(table, pd.Series({"q": 2.0}))["q"].tolist()  # text, authors, headline, nearest
    [2.0, 1.5, 1.5, 1.5]
    """
    nearest = table.groupby("quantity", sort=False).distance.min()
    rows = {}
    for name in ("text", "authors", "headline"):
        chosen = table[[name in names.split(", ") for names in table["set"]]]
        rows[name] = chosen.groupby("quantity").distance.min().reindex(nearest.index)
    rows["nearest specification"] = nearest
    return pd.DataFrame(rows).T / reruns
