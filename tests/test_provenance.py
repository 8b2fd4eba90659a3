import shutil

from qafs_utils import provenance


def test_the_hash_of_the_code_ignores_what_cannot_change_results(tmp_path):
    for folder in ("notebooks", "qafs_utils"):
        shutil.copytree(provenance.ROOT / folder, tmp_path / folder)

    def changed(module, text):
        path = tmp_path / "qafs_utils" / f"{module}.py"
        source = path.read_text()
        path.write_text(source + text)
        after = provenance.code_hash("03_qubo", tmp_path)
        path.write_text(source)
        return after != before

    before = provenance.code_hash("03_qubo", tmp_path)
    assert not changed("qubo", '\n\n# a comment\n')
    assert not changed("metrics", "\n\nunrelated = 1\n")  # 03 does not import it
    assert not changed("run", "\n\nx = 1\n")  # stores, computes nothing
    assert changed("kernels", "\n\nx = 1\n")  # imported by an import
    assert provenance.imported("from qafs_utils import explain\nimport qafs_utils.cams as c") == {"explanation", "cams"}
    assert provenance.bare('def f():\n    """é"""; return 1\n') == "def f():\n    return 1"
    assert provenance.bare('class A: "says so"  # why\n\n\nx = 1\n') == "class A:\nx = 1"
    source = 'def f():\n    """Says so.\n\n    At length."""\n    x = "# kept"  # dropped\n\n    return x\n'
    assert provenance.bare(source) == 'def f():\n    x = "# kept"\n    return x'
