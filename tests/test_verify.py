"""`make verify`: it passes on the repository, and names what was tampered with."""

import json
import re
import shutil

import pandas as pd
import pytest
from repository import move_root

from qafs_utils import __main__
from qafs_utils.artefacts import files, parameters
from qafs_utils.make import verify


def test_the_repository_passes(monkeypatch, capsys):
    monkeypatch.setattr(verify.datasets, "verify_stl10", lambda: ["test_X.bin"])
    verify.verify()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(verify.CHECKS)
    assert lines[-1].startswith("not checked  photographs: no photographs")
    assert all(line.startswith("ok ") for line in lines[:-1])


def test_code_that_has_changed_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setattr(verify, "code_hash", lambda notebook: "0" * 16)
    compared, wrong = verify._records()
    assert not wrong and "the code of 00, 01, 02, 03" in compared
    assert "the numbers are still those of the records: if the change matters to them, `make figures`, for" in compared
    assert f"{', '.join(parameters.IMAGE_NOTEBOOKS)} with INPUT=images renews both" in compared


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of what is committed, which `verify` reads instead."""
    shutil.copytree(files.PUBLISHED, tmp_path / "data/published")
    shutil.copytree(files.ROOT / "figures", tmp_path / "figures")
    (tmp_path / "notebooks").symlink_to(files.ROOT / "notebooks")
    move_root(monkeypatch, tmp_path)
    return tmp_path


def only(monkeypatch, *titles):
    monkeypatch.setattr(verify, "CHECKS", {title: verify.CHECKS[title] for title in titles})


def test_a_tampered_artefact_fails_on_the_command_line(copy, monkeypatch, capsys):
    path = copy / "data/published/08_scores.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    only(monkeypatch, "published artefacts", "Average Drop")
    monkeypatch.setattr("sys.argv", ["qafs_utils", "verify"])
    with pytest.raises(SystemExit) as exit:
        __main__.main()
    assert str(exit.value) == (
        "error: verification failed, mismatches: 2, the first: data/published/08_scores.npz differs from SHA256SUMS"
    )
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("FAILED       published artefacts: data/published/08_scores.npz differs")
    assert "08_scores.npz is not the published file" in second


@pytest.mark.parametrize(
    "table, row, column, check",
    [
        (
            "table01_average_drop",
            {"class": "mean", "model": "N_f=16", "method": "QA-Grad-CAM"},
            "value",
            "Average Drop",
        ),
        ("fig02_bhattacharyya_nf16_qa", {"class": "airplane", "other_class": "ship"}, "value", "overlaps"),
        ("fig15_proofs", {"n_features": "24", "beta": "0.7"}, "d", "optima"),
    ],
)
def test_a_tampered_table_is_recomputed_and_named(copy, monkeypatch, table, row, column, check):
    path = copy / f"figures/{table}.csv"
    cells = pd.read_csv(path, dtype=str, keep_default_na=False)
    place = cells.index[(cells[list(row)] == pd.Series(row)).all(axis=1)][0]
    other = f"{1.01 * float(cells.loc[place, column]) + 0.01:.6g}"
    cells.loc[place, column] = other
    path.write_text(cells.to_csv(index=False, lineterminator="\n"))
    only(monkeypatch, check)
    message = f"the first: {table}.csv, {', '.join(row.values())}, {column}: committed {other}, recomputed "
    with pytest.raises(files.ArtefactError, match=re.escape(message)):
        verify.verify()
    only_file = f"figures/{table}.csv is not the file that "
    assert [line.startswith(only_file) for line in verify._records()[1]] == [True]


def test_records_that_no_longer_fit_are_named(copy, monkeypatch):
    path = copy / files.RECORDS
    records = json.loads(path.read_text())
    records["09_average_drop"]["inputs"]["08_scores.npz"] = "0" * 16
    records["00_gone"] = records["10_bhattacharyya"] | {"figures": {}}
    for record in records.values():
        record["figures"].pop("fig13_sweep.csv", None)
    path.write_text(json.dumps(records))
    (copy / "figures/table04_controls.csv").unlink()
    monkeypatch.setattr(verify, "defaults", lambda notebook: parameters.defaults(notebook) | {"resamples": 7})
    wrong = "\n".join(verify._records()[1])
    assert "09_average_drop's figures were made from another 08_scores.npz than is published" in wrong
    assert "figures/fig03_beta.png was made with other 08_scores.npz than its record says" in wrong
    assert "figures/fig13_sweep.csv has no record" in wrong and "figures/table04_controls.csv is missing" in wrong
    assert "there is no notebook 00_gone" in wrong
    assert "10_bhattacharyya now has other parameters than its figures were made with: resamples" in wrong


@pytest.mark.parametrize("file", ["figures/RECORDS.json", "data/published/SHA256SUMS", "figures/table02_claims.csv"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff", None])
def test_a_damaged_file_is_a_mismatch_that_names_it(copy, monkeypatch, capsys, file, content):
    path = copy / file
    path.write_bytes(path.read_bytes()[:100] if content is None else content)
    only(monkeypatch, "published artefacts", "records", "pages")
    with pytest.raises(files.ArtefactError, match="verification failed"):
        verify.verify()
    assert f"{file} is damaged: " in capsys.readouterr().out
