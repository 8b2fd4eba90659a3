"""The bath of an annealer's qubits: Ohmic noise on sigma_z, and the thermal populations that it drives towards.

Frequencies and levels are in radians a nanosecond (hbar = 1), rates in 1/ns, temperatures in mK.
"""

from dataclasses import dataclass

import numpy as np

from .. import require
from .processors import GHZ_PER_MK

COUPLING, CUTOFF_GHZ = 1e-4, 4.0  # eta g^2 and omega_c / 2 pi in HOQST's examples [chen2022hoqst]


def thermal_energy(temperature_mK: float) -> float:
    """kT / hbar in radians a nanosecond. Raises ValueError for a temperature that is not positive.

    >>> round(thermal_energy(16.0), 3)
    2.095
    """
    return 2 * np.pi * GHZ_PER_MK * require.number("temperature_mK", temperature_mK, "(0, inf)")


@dataclass(frozen=True)
class OhmicBath:
    """Independent baths of one kind, each coupled to a qubit's sigma_z.

    coupling: eta g^2 >= 0, no unit; temperature_mK: > 0; cutoff_GHz: omega_c / 2 pi > 0. No published value of the
    coupling holds for all processors: state it, and vary it. Raises ValueError for other values.

    >>> OhmicBath(-1e-4, 16.0)
    Traceback (most recent call last):
    ValueError: coupling must be a number in [0, inf), got -0.0001
    """

    coupling: float = COUPLING
    temperature_mK: float = 16.0
    cutoff_GHz: float = CUTOFF_GHZ

    def __post_init__(self):
        require.number("coupling", self.coupling, "[0, inf)")
        require.number("cutoff_GHz", self.cutoff_GHz, "(0, inf)")
        thermal_energy(self.temperature_mK)

    def spectral_density(self, omega) -> np.ndarray:
        """gamma(omega) = 2 pi eta g^2 omega exp(-|omega| / omega_c) / (1 - exp(-omega / kT)), in 1/ns.

        omega: energy given to the bath, of any shape; negative where it is taken from it
        [albash2012quantum, chen2022hoqst]. Times |<a|sigma_z|b>|^2 it is the rate from level b to a.

        >>> bath = OhmicBath(1e-4, 16.0)
        >>> down, up = bath.spectral_density([6.0, -6.0])
        >>> round(float(down), 5), bool(np.isclose(up / down, np.exp(-6.0 / thermal_energy(16.0))))
        (0.00315, True)
        """
        omega, kT = np.asarray(require.array("omega", omega, "...")), thermal_energy(self.temperature_mK)
        size = abs(omega)
        x = np.where(size > 1e-9 * kT, size, 1e-9 * kT) / kT
        emission = kT * x / -np.expm1(-x) * np.exp(-size / (2 * np.pi * self.cutoff_GHz))
        return 2 * np.pi * self.coupling * emission * np.exp(np.minimum(omega, 0) / kT)


def gibbs(levels, temperature_mK: float) -> np.ndarray:
    """Thermal populations of levels (..., k)  ->  (..., k), each row of sum 1. Raises ValueError as `thermal_energy`.

    >>> gibbs([0.0, 2.095], 16.0).round(3)
    array([0.731, 0.269])
    """
    levels = require.array("levels", levels, "... k")
    weights = np.exp(-(levels - levels.min(axis=-1, keepdims=True)) / thermal_energy(temperature_mK))
    return weights / weights.sum(axis=-1, keepdims=True)
