"""Does what is committed follow from what is committed? A sample of it, recomputed in half a minute (`make verify`).

A check is a function -> (what was compared, list of mismatches). Selections must agree exactly, other numbers within
the tolerances below: compilers, linear algebra libraries and processors round differently.
"""

import importlib.util
import json

import numpy as np
import pandas as pd
from PIL import Image

from ..annealing import evolution, spectrum
from ..artefacts.files import (
    PUBLISHED,
    RECORDS,
    ROOT,
    ArtefactError,
    committed_records,
    committed_table,
    published_sums,
    sha256,
)
from ..artefacts.parameters import IMAGE_NOTEBOOKS, defaults, literal, overrides
from ..artefacts.provenance import code_hash
from ..artefacts.run import Artefacts
from ..cnn import datasets, feature_maps
from ..cnn.heads import head_name
from ..conventions import Conventions, named
from ..explanations import average_drop, class_overlap, map_subsets, table_one
from ..intervals import nan_mean
from ..qubo import binary
from ..qubo.feature_selection import problems
from ..solvers import baselines
from ..solvers.by_name import solve_all
from . import claims

ENERGY = 1e-6  # relative, of an energy
PRINTED = 2e-5  # relative, of what the tables give with six digits
SIMULATED = 1e-4  # absolute, of a fidelity or a gap: the notebooks ask for 1e-5 and 1e-4
IMPORTANCE = 1e-5  # absolute, of importances (of order 0.01)
MAPS = 0.02  # absolute, of maps and logits (of order 1 to 10, kept in half precision)
REDUCED = (16, 24, 32)
SIZES = (*REDUCED, 512)


class NotChecked(Exception):
    """A check that cannot be made here; the message says why.

    >>> raise NotChecked("no photographs")
    Traceback (most recent call last):
    qafs_utils.make.verify.NotChecked: no photographs
    """


def differences(name, committed, ours, relative=0.0, absolute=0.0):
    """One line for each entry of two DataFrames, alike in rows and columns, that differs by more than the tolerance.

    Raises ValueError if they are not alike.

    >>> differences("a.csv", pd.DataFrame({"gap": [0.1, 0.2]}), pd.DataFrame({"gap": [0.1, 0.3]}), absolute=0.05)
    ['a.csv, 1, gap: committed 0.2, recomputed 0.3']
    """
    if list(committed.index) != list(ours.index) or list(committed.columns) != list(ours.columns):
        raise ValueError(f"{name}: committed and recomputed must have the same rows and columns")
    differ = ~np.isclose(ours, committed, rtol=relative, atol=absolute, equal_nan=True)
    rows = [", ".join(map(str, np.atleast_1d(np.array(row, object)))) for row in committed.index]
    return [
        f"{name}, {rows[i]}, {committed.columns[j]}: committed {committed.iat[i, j]:.6g}, "
        f"recomputed {ours.iat[i, j]:.6g}"
        for i, j in zip(*np.nonzero(differ))
    ]


def _published(name):
    return Artefacts("published").load(name)


def _table(name):
    return committed_table(ROOT / "figures" / f"{name}.csv")


def _made_with(notebook) -> Conventions:
    """The conventions that the committed figures of a notebook were made with: of its record."""
    return named(committed_records()[notebook]["parameters"]["conventions"])


def _problems(n, use):
    """The problems of the 200 images at N_f = n, by conventions."""
    maps = _published(f"02_maps_nf{n}")
    return problems(maps[f"maps_{use.target}"], maps[f"importance_{use.target}"], field=use.field)


def _published_files():
    sums = published_sums()
    present = {p.name for p in PUBLISHED.glob("[!.]*")} - {"SHA256SUMS"}
    wrong = [f"data/published/{name} is missing" for name in sorted(sums.keys() - present)]
    wrong += [f"data/published/{name} is not in SHA256SUMS" for name in sorted(present - sums.keys())]
    altered = [name for name in sorted(sums.keys() & present) if sha256(PUBLISHED / name) != sums[name]]
    return f"{len(sums)} files have the SHA-256 listed", wrong + [
        f"data/published/{name} differs from SHA256SUMS" for name in altered
    ]


def _records():
    """Every figure and table was made from what is published now, with the parameters that the notebooks have now."""
    records = committed_records()
    wrong = [line for notebook, record in records.items() for line in _of_record(notebook, record)]
    listed = {name for record in records.values() for name in record["figures"]} | {RECORDS.name}
    unknown = sorted({p.name for p in (ROOT / "figures").glob("[!.]*.*")} - listed)
    wrong += [f"figures/{name} has no record" for name in unknown]
    changed = [notebook[:2] for notebook, record in records.items() if record["code"] != code_hash(notebook)]
    note = f"{len(listed) - 1} figures and tables agree with their records"
    if changed:
        images = [number for number in changed if number in IMAGE_NOTEBOOKS]
        renewal = "`make figures`" + (f", for {', '.join(images)} with INPUT=images" if images else "")
        note += (
            f"; the code of {', '.join(changed)} has changed since, the numbers are still those of the records: if "
            f"the change matters to them, {renewal} renews both"
        )
    return note, wrong


def _of_record(notebook, record):
    """Mismatches of a notebook's record with its parameters, with data/published and with figures/."""
    if not (ROOT / "notebooks" / f"{notebook}.ipynb").exists():
        return [f"there is no notebook {notebook}, which made {', '.join(record['figures'])}"]
    wrong, sums = [], published_sums()
    given = [defaults(notebook) | overrides(notebook, profile) for profile in ("published", "images")]
    allowed = [{k: literal(k, v) for k, v in values.items() if k != "profile"} for values in given]
    if (made := record["parameters"]) not in allowed:
        names = [name for name in sorted(made.keys() | allowed[0].keys()) if made.get(name) != allowed[0].get(name)]
        wrong.append(f"{notebook} now has other parameters than its figures were made with: {', '.join(names)}")
    for kind, text in (("inputs", "'s figures were made from"), ("artefacts", " made")):
        other = [name for name, digest in record[kind].items() if not sums.get(name, digest).startswith(digest)]
        wrong += [f"{notebook}{text} another {name} than is published" for name in other]
    for name, digest in record["figures"].items():
        path = ROOT / "figures" / name
        if not path.exists():
            wrong.append(f"figures/{name} is missing")
        elif not sha256(path).startswith(digest):
            wrong.append(f"figures/{name} is not the file that {notebook} made")
        elif name.endswith(".png"):
            own = json.loads(Image.open(path).info["Description"])
            other = [key for key in ("notebook", "parameters") if own[key] != record[key]]
            other += [key for key, value in own["inputs"].items() if record["inputs"].get(key) != value]
            if other:
                wrong.append(f"figures/{name} was made with other {', '.join(other)} than its record says")
    return wrong


def _pages():
    rows, short, full = _table("table02_claims"), ROOT / claims.PAGE, ROOT / "figures/table02_claims.md"
    expected = {short: claims.with_table(short.read_text(encoding="utf-8"), rows), full: claims.markdown(rows)}
    wrong = [path.name for path, text in expected.items() if path.read_text(encoding="utf-8") != text]
    return f"{claims.PAGE} and table02_claims.md are table02_claims.csv", [
        f"{name}: its claims are not table02_claims.csv's" for name in wrong
    ]


def _optima():
    """Candidates and proven optima of ten images a model, against enumeration and what is published."""
    proofs, scores, wrong = _table("fig15_proofs").set_index(["n_features", "beta"]), _published("08_scores"), []
    use = _made_with("12_optimality")
    options = {"beta": use.beta, "pair_sum": use.pair_sum}
    few = datasets.draw_per_class(np.ones(200, bool), scores["labels"], 1)
    for n in SIZES:
        every = _problems(n, use)
        ours = pd.DataFrame({"d": np.median([p.d for p in every])}, index=proofs.loc[[n]].index)
        wrong += differences("fig15_proofs.csv", proofs.loc[[n], ["d"]], ours)
        some, stored = [every[i] for i in few], scores[f"selection/nf{n}_{'sa_0.70' if n == 512 else 'exact'}"][few]
        selected, infos = solve_all(some, "exact", **options, desc=f"proof, N_f={n}")
        energy = np.array([info["energy"] for info in infos])
        found = {"not proven": ~np.array([info["proven"] for info in infos])}
        if n == 512:  # one read of simulated annealing may miss the optimum, and finds nothing better
            theirs = np.array([p.energy(s, **options) for p, s in zip(some, stored)])
            found["the optimum is not the published one"] = (theirs - energy) / np.abs(energy) < -ENERGY
        else:
            found["the optimum is not the published one"] = (selected != stored).any(1)
            every_bits = solve_all(some, "brute_force", **options, desc="enumeration")[1]
            least = np.array([info["energy"] for info in every_bits])
            found["proven and enumerated energies differ"] = np.abs(least / energy - 1) > ENERGY
        wrong += [f"N_f={n}, image {i}: {what}" for what, images in found.items() for i in few[images]]
    return f"those of {len(few)} images a model are proven, enumerated and published alike (fig15_proofs.csv)", wrong


def _overlaps():
    """Fig. 2 from the optima of all 200 images."""
    use = _made_with("10_bhattacharyya")
    options = {"beta": use.beta, "pair_sum": use.pair_sum, "desc": "proof, N_f=16"}
    selected, _ = solve_all(_problems(16, use), "exact", **options)
    committed = _table("fig02_bhattacharyya_nf16_qa").set_index(["class", "other_class"])[["value"]]
    ours = class_overlap.pair_overlaps(selected, _published("02_images")["labels"])
    ours = pd.DataFrame({"value": ours}, committed.index)
    wrong = differences("fig02_bhattacharyya_nf16_qa.csv", committed, ours, PRINTED, 1e-6)
    return "Fig. 2 at N_f=16 follows from the optima", wrong


def _anneals():
    """Median fidelities of Fig. 5 and gaps of Fig. 4 at N_f = 16, from the simulated anneal of all 200 images."""
    given, use = committed_records()["06_fidelity"]["parameters"], _made_with("06_fidelity")
    every = _problems(16, use)
    energies = [binary.energies(p.bqm(use.beta, use.pair_sum)) for p in every]
    reported = _table("fig05_fidelity_medians").query("n_features == 16").dropna(subset=use.driver)
    committed = reported.set_index(["annealing_time", "d"])[[use.driver]]
    ours = committed.copy()
    for tau, d in committed.index:
        of_size = np.array([E for E, p in zip(energies, every) if p.d == d])
        annealed = evolution.anneal(of_size, float(tau), driver=use.driver, tolerance=given["tolerance"])
        ours.loc[tau, d] = np.median(annealed.fidelity)
    wrong = differences("fig05_fidelity_medians.csv, N_f=16", committed, ours, absolute=SIMULATED)
    gap = np.array([found.gap for found in spectrum.minimum_gaps(energies, driver=use.driver, tolerance=SIMULATED)])
    choices = _table("fig04_choices").set_index(["field", "pair_sum", "driver"])
    committed = choices.loc[[(use.field, use.pair_sum, use.driver)], ["median gap", "gap < 0.01"]]
    ours = pd.DataFrame([[np.median(gap), (gap < 0.01).mean()]], committed.index, committed.columns)
    for column, absolute in (("median gap", SIMULATED), ("gap < 0.01", 1.5 / len(gap))):  # one image may be on its edge
        wrong += differences("fig04_choices.csv", committed[[column]], ours[[column]], absolute=absolute)
    return "fidelities and gaps of Figs. 4 and 5 at N_f=16 follow from the anneal of 200 images", wrong


def _average_drops():
    """Four columns of Table 1, by class, from the scores of the masked images."""
    scores, rows = _published("08_scores"), []
    for column in ("nf16/filtered Grad-CAM", "nf16/qa", "nf32/Grad-CAM++", "nf512/sa_0.99"):
        masked, labels = scores[f"scores/grad_cam_pp/{column}"], scores["labels"]
        drop = average_drop.drops(scores[f"full/{column.split('/')[0]}"], masked, labels)
        names, values = [*datasets.CLASSES, "mean"], [*average_drop.by_class(drop, labels, 10), nan_mean(drop)]
        rows += [(name, *table_one.printed(column), value) for name, value in zip(names, values)]
    key = ["class", "model", "method"]
    ours = pd.DataFrame(rows, columns=[*key, "value"]).set_index(key)
    committed = _table("table01_average_drop").query("convention == 'soft mask on black'").set_index(key)
    wrong = differences("table01_average_drop.csv", committed.loc[ours.index, ["value"]], ours, PRINTED, 1e-5)
    return "four columns of Table 1 follow from the scores", wrong


def _fixed_sizes():
    """Table 7 at k = 5: the proven five maps at N_f = 512, and the five most important ones."""
    use, k = _made_with("14_fixed_size_and_hardware"), 5
    every, maps, heads = _problems(512, use), _published("02_maps_nf512"), _published("01_heads")
    name = f"{head_name(512)}/classifier"
    added = feature_maps.contributions(maps["maps_block"], heads[f"{name}.weight"])
    options = {"beta": use.beta, "pair_sum": use.pair_sum, "desc": f"best {k} maps"}
    chosen = {
        "QUBO": solve_all(every, "exact", size=k, **options)[0],
        "top k": baselines.top_k(maps["importance_block"], np.full(200, k)),
    }
    ours = {}
    for selection, selected in chosen.items():
        probability = map_subsets.subset_scores(added, heads[f"{name}.bias"], maps["logits"].argmax(1), selected)
        kept = maps["maps_block"][selected].reshape(200, k, *maps["maps_block"].shape[2:])
        cosines = map_subsets.mean_cosines(feature_maps.cosine_matrix(kept), np.ones((200, k), bool))
        ours[selection] = [probability.mean(), cosines.mean()]
    columns = ["probability", "mean_cosine"]
    committed = _table("table07_selections").query("k == @k").set_index("selection").loc[list(chosen), columns]
    ours = pd.DataFrame.from_dict(ours, "index", columns=columns)
    wrong = differences("table07_selections.csv", committed, ours, PRINTED)
    return f"Table 7 at k={k} follows from {len(every)} proofs at N_f=512", wrong


def _photographs():
    """Maps, logits and importance of three images, from STL-10 and the network."""
    if importlib.util.find_spec("torch") is None:
        raise NotChecked("no PyTorch (`make full` installs it)")
    from ..cnn import checkpoints, extraction, networks, pretrained

    if datasets.verify_stl10():
        raise NotChecked("no photographs (`make data` fetches STL-10 and the ImageNet weights)")
    if not pretrained.weights_path().exists():
        raise NotChecked("no ImageNet weights (`make data` fetches them)")
    # torchvision's file differs from the copy behind the committed results by about 1e-5, in layer4 (N_f = 512) by more
    sizes = SIZES if sha256(pretrained.weights_path()).startswith(pretrained.WEIGHTS_SHA256[1]) else REDUCED
    some, wrong = np.array([0, 90, 180]), []
    trained = checkpoints.trained_networks(_published("01_heads"))
    images = datasets.stl10("test")[0][_published("02_images")["test_index"][some]]
    features = networks.trunk_features(trained.trunk, images)
    for n in sizes:
        found, saved = extraction.arrays(trained.head(n), features, ["block"]), _published(f"02_maps_nf{n}")
        for name, tolerance in (("maps_block", MAPS), ("logits", MAPS), ("importance_block", IMPORTANCE)):
            off = np.abs(found[name].astype(float) - saved[name][some]).max(tuple(range(1, found[name].ndim)))
            far = [(image, o) for image, o in zip(some, off) if o > tolerance]
            wrong += [f"02_maps_nf{n}.npz, {name} of image {image}: off by {o:.2g}" for image, o in far]
    which = ", ".join(map(str, sizes))
    return f"maps, logits and importance of {len(some)} images at N_f={which} are the published ones", wrong


CHECKS = {
    "published artefacts": _published_files,
    "records": _records,
    "pages": _pages,
    "optima": _optima,
    "overlaps": _overlaps,
    "anneals": _anneals,
    "Average Drop": _average_drops,
    "fixed sizes": _fixed_sizes,
    "photographs": _photographs,
}


def verify() -> None:
    """Make every check and print a line for each. Raises ArtefactError, with all mismatches, if one fails.

    >>> verify()  # doctest: +SKIP
    """
    failed = []
    for title, check in CHECKS.items():
        try:
            compared, wrong = check()
        except NotChecked as why:
            print(f"not checked  {title}: {why}", flush=True)
            continue
        except Exception as error:  # what cannot be read or recomputed is a mismatch too
            wrong = [str(error) if isinstance(error, ArtefactError) else f"{type(error).__name__}: {error}"]
        print(f"FAILED       {title}: {'; '.join(wrong)}" if wrong else f"ok           {title}: {compared}", flush=True)
        failed += wrong
    if failed:
        raise ArtefactError(f"verification failed, mismatches: {len(failed)}, the first: {failed[0]}")
