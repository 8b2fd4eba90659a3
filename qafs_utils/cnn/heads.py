"""Names of the trained heads, as artefact 01_heads has them."""

from .. import require


def head_name(n_features: int, seed: int = 0, block: str | None = None) -> str:
    """Name in artefact 01_heads of the model with that many maps, training seed and block, the paper's for None.

    >>> head_name(16), head_name(512, seed=4), head_name(16, block="authors_code")
    ('nf16_paper_seed0', 'nf512_full_seed4', 'nf16_authors_code_seed0')
    """
    n_features, seed = require.whole("n_features", n_features, 1), require.whole("seed", seed)
    return f"nf{n_features}_{block or ('full' if n_features == 512 else 'paper')}_seed{seed}"


HEADS = {f"nf{n}": head_name(n) for n in (16, 24, 32, 512)}  # the headline models
