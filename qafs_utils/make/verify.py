"""Does what is committed follow from what is committed? A sample of it, recomputed in half a minute (`make verify`).

A check is a function -> (what was compared, list of mismatches). Selections must agree exactly, other numbers within
the tolerances below: compilers, linear algebra libraries and processors round differently.
"""

import json

import numpy as np
import pandas as pd
from PIL import Image

from .. import intervals
from ..annealing import evolution, spectrum
from ..artefacts import parameters, run
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
from ..artefacts.parameters import defaults, overrides
from ..artefacts.provenance import code_hash
from ..cnn import checkpoints, datasets, extraction, feature_maps, networks, pretrained
from ..cnn.checkpoints import head_name
from ..explanations import average_drop, bhattacharyya, map_subsets
from ..qubo import binary, feature_selection
from ..solvers import baselines, by_name
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


def published(name):
    """Arrays of an artefact of data/published, its hash checked. Raises ArtefactError.

    >>> published("02_images")["labels"].shape
    (200,)
    """
    return run.Artefacts("published").load(name)


def table(name):
    """A committed table: figures/<name>.csv as a DataFrame. Raises ArtefactError where it is missing or damaged.

    >>> table("table02_claims").verdict.nunique()
    4
    """
    return committed_table(ROOT / "figures" / f"{name}.csv")


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


def _published_files():
    sums = published_sums()
    present = {p.name for p in PUBLISHED.glob("[!.]*")} - {"SHA256SUMS"}
    wrong = [f"data/published/{name} is missing" for name in sorted(sums.keys() - present)]
    wrong += [f"data/published/{name} is not in SHA256SUMS" for name in sorted(present - sums.keys())]
    wrong += [
        f"data/published/{name} differs from SHA256SUMS"
        for name in sorted(sums.keys() & present)
        if sha256(PUBLISHED / name) != sums[name]
    ]
    return f"{len(sums)} files have the SHA-256 listed", wrong


def _records():
    """Every figure and table was made from what is published now, with the parameters that the notebooks have now."""
    sums, wrong, files, other_code = published_sums(), [], {}, []
    folder = ROOT / "figures"
    for notebook, record in committed_records().items():
        given = [defaults(notebook) | overrides(notebook, profile) for profile in ("published", "images")]
        allowed = [{k: parameters.literal(k, v) for k, v in values.items() if k != "profile"} for values in given]
        if record["parameters"] not in allowed:
            names = [
                n
                for n in sorted(record["parameters"].keys() | allowed[0].keys())
                if record["parameters"].get(n) != allowed[0].get(n)
            ]
            wrong.append(f"{notebook} now has other parameters than its figures were made with: {', '.join(names)}")
        wrong += [
            f"{notebook}: its figures were made from another {name} than is published"
            for name, digest in record["inputs"].items()
            if name in sums and not sums[name].startswith(digest)
        ]
        wrong += [
            f"{notebook} made another {name} than is published"
            for name, digest in record["artefacts"].items()
            if name in sums and not sums[name].startswith(digest)
        ]
        for name, digest in record["figures"].items():
            files[name] = notebook
            if not (folder / name).exists():
                wrong.append(f"figures/{name} is missing")
            elif not sha256(folder / name).startswith(digest):
                wrong.append(f"figures/{name} is not the file that {notebook} made")
            elif name.endswith(".png"):
                wrong += _png(folder / name, record)
        if record["code"] != code_hash(notebook):
            other_code.append(notebook[:2])
    unknown = {p.name for p in folder.glob("[!.]*.*")} - files.keys() - {RECORDS.name}
    wrong += [f"figures/{name} has no record" for name in sorted(unknown)]
    images = sorted(set(other_code) & set(parameters.IMAGE_NOTEBOOKS))
    renewal = "`make figures`" + (f", for {', '.join(images)} with INPUT=images" if images else "")
    note = (
        (
            f"; the code of {', '.join(other_code)} has changed since, the numbers are still those of the records: if "
            f"the change matters to them, {renewal} renews both"
        )
        if other_code
        else ""
    )
    return f"{len(files)} figures and tables agree with their records{note}", wrong


def _png(path, record):
    """Mismatches between a PNG's own record and that of its notebook."""
    own = json.loads(Image.open(path).info["Description"])
    wrong = [key for key in ("notebook", "parameters") if own[key] != record[key]]
    wrong += [name for name, digest in own["inputs"].items() if record["inputs"].get(name) != digest]
    return [f"figures/{path.name} was made with other {', '.join(wrong)} than its record says"] if wrong else []


def _pages():
    readme, full = (ROOT / name for name in ("README.md", "figures/table02_claims.md"))
    rows = table("table02_claims")
    expected = {readme: claims.with_table(readme.read_text(encoding="utf-8"), rows), full: claims.markdown(rows)}
    wrong = [
        f"{path.name}: its claims are not table02_claims.csv's"
        for path, text in expected.items()
        if path.read_text(encoding="utf-8") != text
    ]
    return "README's claims and table02_claims.md are table02_claims.csv", wrong


def problems_of(n):
    """(the problems of the 200 images at N_f = n, their maps' artefact).

    >>> len(problems_of(16)[0])
    200
    """
    maps = published(f"02_maps_nf{n}")
    return feature_selection.problems(maps["maps_block"], maps["importance_block"]), maps


def _optima():
    """Candidates and proven optima of ten images a model, against enumeration and what is published."""
    proofs, scores, wrong = table("fig15_proofs").set_index(["n_features", "beta"]), published("08_scores"), []
    few = datasets.draw_per_class(np.ones(200, bool), scores["labels"], 1)
    for n in SIZES:
        problems, _ = problems_of(n)
        ours = pd.DataFrame({"d": np.median([p.d for p in problems])}, index=proofs.loc[[n]].index)
        wrong += differences("fig15_proofs.csv", proofs.loc[[n], ["d"]], ours)
        problems = [problems[i] for i in few]
        bits, infos = by_name.solve_all(problems, n, "exact", desc=f"proof, N_f={n}")
        energy = np.array([i["energy"] for i in infos])
        stored = scores[f"selection/nf{n}_{'sa_0.70' if n == 512 else 'exact'}"][few]
        theirs = np.array([p.energy(b) for p, b in zip(problems, stored)])
        above = (theirs - energy) / np.abs(energy)
        same = (bits == stored).all(1)
        wrong += [f"N_f={n}, image {few[i]}: not proven" for i in range(len(few)) if not infos[i]["proven"]]
        wrong += [
            f"N_f={n}, image {few[i]}: the optimum is not the published one"
            for i in np.flatnonzero(~same)
            if n != 512 or above[i] < -ENERGY
        ]  # 512: one read of simulated annealing may miss the optimum
        if n != 512:
            _, enumerated = by_name.solve_all(problems, n, "brute_force", desc="enumeration")
            enumerated = np.array([i["energy"] for i in enumerated])
            wrong += [
                f"N_f={n}, image {few[i]}: proven energy {energy[i]:.9g}, enumerated {enumerated[i]:.9g}"
                for i in np.flatnonzero(np.abs(enumerated / energy - 1) > ENERGY)
            ]
    return f"those of {len(few)} images a model are proven, enumerated and published alike (fig15_proofs.csv)", wrong


def _overlaps():
    """Fig. 2 from the optima of all 200 images."""
    problems, _ = problems_of(16)
    bits, _ = by_name.solve_all(problems, 16, "exact", desc="proof, N_f=16")
    committed = table("fig02_bhattacharyya_nf16_qa").set_index("class")
    ours = bhattacharyya.bhattacharyya_matrix(bits, published("02_images")["labels"], 10)
    ours = pd.DataFrame(ours, committed.index, committed.columns)
    return "Fig. 2 at N_f=16 follows from the optima", differences(
        "fig02_bhattacharyya_nf16_qa.csv", committed, ours, PRINTED, 1e-6
    )


def _anneals():
    """Median fidelities of Fig. 5 and gaps of Fig. 4 at N_f = 16, from the simulated anneal of all 200 images."""
    at, given = ["annealing_time", "d"], defaults("05_gap_and_fidelity")
    reported = table("fig05_fidelity_medians")
    committed = reported[reported.n_features == 16].dropna().set_index(at)[["scaled"]]
    problems, _ = problems_of(16)
    ours = committed.copy()
    for tau, d in committed.index:
        E = np.array([binary.energies(p.bqm(given["beta"], given["pair_sum"])) for p in problems if p.d == d])
        found = evolution.anneal(E, float(tau), driver="scaled", tolerance=given["tolerance"])
        ours.loc[tau, d] = np.median(found.fidelity)
    wrong = differences("fig05_fidelity_medians.csv, N_f=16", committed, ours, absolute=SIMULATED)
    E = [binary.energies(p.bqm(given["beta"], given["pair_sum"])) for p in problems]
    gap = np.array([g.gap for g in spectrum.minimum_gaps(E, driver="scaled", tolerance=SIMULATED)])
    choices = table("fig05_choices").fillna("").set_index(["driver", "pair sum"])
    columns = ["median gap", "gap < 0.01"]
    committed = choices.loc[[("scaled", given["pair_sum"])], columns]
    ours = pd.DataFrame([[np.median(gap), (gap < 0.01).mean()]], committed.index, columns)
    # one image at the threshold may fall on either side of it
    wrong += differences("fig05_choices.csv", committed[columns[:1]], ours[columns[:1]], absolute=SIMULATED)
    wrong += differences("fig05_choices.csv", committed[columns[1:]], ours[columns[1:]], absolute=1.5 / len(gap))
    return "fidelities and gaps of Figs. 4 and 5 at N_f=16 follow from the anneal of 200 images", wrong


def _average_drops():
    """Four columns of Table 1, by class, from the scores of the masked images."""
    scores, committed = published("08_scores"), table("table01_average_drop").set_index("class")
    columns = {
        "N_f=16 Grad-CAM": "nf16/Grad-CAM",
        "N_f=16 QA-Grad-CAM": "nf16/qa",
        "N_f=32 Grad-CAM++": "nf32/Grad-CAM++",
        "N_f=512 SA-Grad-CAM, beta=0.99": "nf512/sa_0.99",
    }
    ours = {}
    for name, key in columns.items():
        drop = average_drop.drops(
            scores[f"full/{key.split('/')[0]}"], scores[f"scores/grad_cam_pp/{key}"], scores["labels"]
        )
        ours[name] = [*average_drop.by_class(drop, scores["labels"], 10), intervals.nan_mean(drop)]
    committed = committed[list(columns)]
    return "four columns of Table 1 follow from the scores", differences(
        "table01_average_drop.csv", committed, pd.DataFrame(ours, committed.index), PRINTED, 1e-5
    )


def _fixed_sizes():
    """Table 7 at k = 5: the proven five maps at N_f = 512, and the five most important ones."""
    problems, maps = problems_of(512)
    heads, name, k = published("01_heads"), f"{head_name(512)}/classifier", 5
    added = feature_maps.contributions(maps["maps_block"], heads[f"{name}.weight"])
    chosen = {
        "QUBO": by_name.solve_all(problems, 512, "exact", desc=f"best {k} maps", size=k)[0],
        "top k": baselines.top_k(maps["importance_block"], np.full(200, k)),
    }
    ours = {}
    for selection, bits in chosen.items():
        probability = map_subsets.subset_scores(added, heads[f"{name}.bias"], maps["logits"].argmax(1), bits)
        J = feature_maps.cosine_matrix(maps["maps_block"][bits].reshape(200, k, *maps["maps_block"].shape[2:]))
        ours[selection] = [probability.mean(), map_subsets.mean_cosines(J, np.ones((200, k), bool)).mean()]
    columns = ["probability", "mean_cosine"]
    committed = table("table07_selections").query("k == @k").set_index("selection").loc[list(chosen), columns]
    return f"Table 7 at k={k} follows from {len(problems)} proofs at N_f=512", differences(
        "table07_selections.csv", committed, pd.DataFrame.from_dict(ours, "index", columns=columns), PRINTED
    )


def _photographs():
    """Maps, logits and importance of three images, from STL-10 and the network."""
    if datasets.verify_stl10():
        raise NotChecked("no photographs (`make data` fetches STL-10 and the ImageNet weights)")
    if not pretrained.weights_path().exists():
        raise NotChecked("no ImageNet weights (`make data` fetches them)")
    # torchvision's file differs from the copy behind the committed results by about 1e-5, in layer4 (N_f = 512) by more
    sizes = SIZES if sha256(pretrained.weights_path()).startswith(pretrained.WEIGHTS_SHA256[1]) else REDUCED
    some, heads, network, wrong = np.array([0, 90, 180]), published("01_heads"), pretrained.resnet18(), []
    trunk = networks.Trunk(network)
    checkpoints.require_trunk(trunk, heads)
    features = networks.trunk_features(trunk, datasets.stl10("test")[0][published("02_images")["test_index"][some]])
    for n in sizes:
        head = checkpoints.trained_head(head_name(n), heads, network)
        found, saved = extraction.arrays(head, features, ["block"]), published(f"02_maps_nf{n}")
        for name, tolerance in (("maps_block", MAPS), ("logits", MAPS), ("importance_block", IMPORTANCE)):
            off = np.abs(found[name].astype(float) - saved[name][some]).max(tuple(range(1, found[name].ndim)))
            wrong += [
                f"02_maps_nf{n}.npz, {name} of image {image}: off by {o:.2g}"
                for image, o in zip(some, off)
                if o > tolerance
            ]
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


def verify():
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
