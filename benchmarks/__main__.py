"""Measure times and write their tables into this folder: `python benchmarks`, of some parts with --only."""

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # read on import

import argparse
import time
from pathlib import Path

import annealer
import explaining
import provers
import solvers

from qafs_utils.artefacts.files import to_csv, write_atomically

PARTS = ("evolution", "gap", "proof", "reads", "explain")


def main():
    parser = argparse.ArgumentParser(prog="python benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to measure: the others stay")
    parser.add_argument("--sizes", default="6-18", help="smallest and largest d of all methods, in steps of two")
    parser.add_argument("--ours-to", type=int, default=24, help="largest d of our evolution")
    parser.add_argument("--gap-to", type=int, default=20, help="largest d of our minimum gap")
    parser.add_argument("--limit", type=float, default=20, help="longest time of one run in seconds")
    parser.add_argument("--images", type=int, default=20, help="images whose proofs are timed; of reads a quarter")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the tables and the figure")
    asked = parser.parse_args()
    first, last = (int(d) for d in asked.sizes.split("-"))

    def write(name, table):
        write_atomically(asked.out / f"{name}.csv", to_csv(table))

    def anneals(quantity, to):
        annealer.measure(range(first, last + 1, 2), {quantity: to}, asked.limit, asked.out)

    def proofs():
        write("proofs", solvers.proofs(asked.images))
        write("provers", table := provers.measure(asked.images))
        print(provers.ratios(table), *provers.summary(table), sep="\n")

    def explains():
        write("explain", table := explaining.measure())
        print(table, *explaining.summary(table), sep="\n")

    measure = {
        "evolution": lambda: anneals("evolution", asked.ours_to),
        "gap": lambda: anneals("minimum gap", asked.gap_to),
        "proof": proofs,
        "reads": lambda: write("solvers", solvers.measure(max(1, asked.images // 4))),
        "explain": explains,
    }
    for part in asked.only:
        start = time.perf_counter()
        measure[part]()
        print(f"{part}: {(time.perf_counter() - start) / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
