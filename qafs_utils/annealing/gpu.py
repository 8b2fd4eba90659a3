"""Inner loops of `annealing` and `spectrum` as few large torch operations, for a GPU: as `cpu`, on tensors.

Bit p of an index k (lowest first) is n_p. States are held in the rotated frame of `cpu`,
phi_k = i^(number of ones of k) psi_k, in which exp(-i a sigma_x) is the real [[cos a, -sin a], [sin a, cos a]]:
real and imaginary part rotate apart, as real tensors re, im (B, 2^d) in float32 or float64.

Qubits are rotated in groups, each by one matrix product: m qubits cost one pass over memory and 2^m
multiply-adds a number, which a GPU's pass hides up to about m = 6. Float32 products must be true float32: TF32,
off in torch unless switched on (torch.set_float32_matmul_precision), keeps three digits.
"""

from functools import cache

import numpy as np
import torch

from .. import require
from ..qubo import binary, memory
from . import evolution, splitting

_GROUP = 6  # most qubits in a matrix product
_CHUNK = {"cpu": 2**16, "cuda": 2**22}  # numbers in a temporary: cache there, few launches here
_PRODUCTS = 2**15  # most matrix products in one launch: CUDA grids end at 2^16
_BLOCK = 2**10  # probabilities that are summed before drawing
_COMPONENTS = {"complex128": (torch.float64, 1e-13), "complex64": (torch.float32, 1e-5)}  # and least tolerance
_INVARIANT = {torch.float64: 1e-10, torch.float32: 1e-5}  # relative norm at which a Lanczos vector is rounding


def find_device(name):
    """The torch.device "cpu", "cuda" or "cuda:<index>". Raises ValueError for another, or one not present.

    >>> find_device("cpu")
    device(type='cpu')
    >>> find_device("tpu")
    Traceback (most recent call last):
    ValueError: unknown device 'tpu': choose "cpu", "cuda" or "cuda:<index>"
    """
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in _CHUNK:
        raise ValueError(f'unknown device {name!r}: choose "cpu", "cuda" or "cuda:<index>"')
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device {str(device)!r} asks for a CUDA GPU, which torch {torch.__version__} does not see: "
            'choose "cpu", or install a driver and a CUDA build of torch'
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"there is no {str(device)!r}: torch sees {torch.cuda.device_count()} CUDA GPUs, from 0")
    return device


def _free_bytes(device):
    if device.type == "cpu":
        return memory._free_bytes()
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch's own, unused
    return torch.cuda.mem_get_info(device)[0] + cached


def require_memory(d, bytes_needed, what, device):
    """Raise MemoryError, naming the d that would fit, unless `bytes_needed`, in proportion to 2^d, are free.

    >>> require_memory(60, 8 * 2**60, "the state", find_device("cpu"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    MemoryError: the state of d = 60 needs 8.59e+09 GiB, ... GiB are free on cpu: d = ... would fit
    """
    free = _free_bytes(device)
    if bytes_needed > free:
        raise MemoryError(
            f"{what} of d = {d} needs {bytes_needed / 2**30:.3g} GiB, {free / 2**30:.3g} GiB are free on {device}: "
            f"d = {int(np.floor(d + np.log2(free / bytes_needed)))} would fit"
        )


def checked(energies, device):
    """Energies as a batch on the device: (2^d,) or (B, 2^d), array or tensor  ->  (B, 2^d) float64, d.

    Raises as `binary.checked`.

    >>> checked([0, -1, 2, 3], "cpu")
    (tensor([[ 0., -1.,  2.,  3.]], dtype=torch.float64), 2)
    """
    remedy = ": check the biases of the model they come from"
    batch = require.tensor("energies", energies, "... 2^d", remedy=remedy)
    batch = torch.atleast_2d(batch.to(find_device(device), torch.float64))
    return batch, binary.number_of_qubits(batch.shape)


def energies(bqm, device, dtype=torch.float64):
    """Energies of all bit-strings, offset included, as `binary.energies`  ->  (2^d,) tensor.

    Raises ValueError as that, MemoryError, naming the d that would fit, before allocating.

    >>> import dimod
    >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": 0.5}, {("a", "b"): 2.0}, 3.0, dimod.BINARY)
    >>> energies(bqm, torch.device("cpu"), torch.float32)  # none, a, b, both
    tensor([3.0000, 2.0000, 3.5000, 4.5000])
    """
    linear, couplings, offset = binary.biases(bqm)
    d = len(linear)
    require_memory(d, dtype.itemsize * 2**d, "the energies", device)
    E = torch.empty(2**d, dtype=dtype, device=device)
    E[0] = offset
    for p in range(d):
        one = E[2**p : 2 ** (p + 1)]  # the strings with n_p = 1 follow those with n_p = 0
        one[0] = linear[p]
        for q in range(p):
            torch.add(one[: 2**q], couplings[p, q], out=one[2**q : 2 ** (q + 1)])
        one += E[: 2**p]
    return E


def start(d, sign, batch, dtype, device):
    """The driver's ground state, |+>^d (sign 1) or |->^d (sign -1), in the rotated frame  ->  re, im (B, 2^d).

    Raises MemoryError, naming the d that would fit, unless it fits together with the tensor `evolve` needs.

    >>> re, im = start(2, 1, 1, torch.float32, torch.device("cpu"))  # (1, i, i, -1) / 2
    >>> re + 0.0, im + 0.0
    (tensor([[ 0.5000,  0.0000,  0.0000, -0.5000]]), tensor([[0.0000, 0.5000, 0.5000, 0.0000]]))
    """
    require_memory(d, 3 * batch * dtype.itemsize * 2**d, "the state", device)
    re, im = torch.empty((2, batch, 2**d), dtype=dtype, device=device)
    re[:, 0], im[:, 0] = 2 ** (-d / 2), 0
    for p in range(d):  # times i sign for n_p = 1
        zero, one = slice(2**p), slice(2**p, 2 ** (p + 1))
        torch.mul(im[:, zero], -sign, out=re[:, one])
        torch.mul(re[:, zero], sign, out=im[:, one])
    return re, im


def state(re, im):
    """psi_k = (-i)^(number of ones of k) phi_k: re, im (B, 2^d)  ->  (B, 2^d) complex, in one more state's memory.

    >>> state(*start(2, 1, 1, torch.float32, torch.device("cpu")))  # out of the frame: |+>^2
    tensor([[0.5000+0.j, 0.5000+0.j, 0.5000+0.j, 0.5000+0.j]])
    """
    psi = torch.complex(re, im)
    d = re.shape[1].bit_length() - 1
    high, low = (
        torch.complex(*(part[0].sign() for part in start(qubits, -1, 1, re.dtype, re.device)))
        for qubits in (d - d // 2, d // 2)
    )
    psi.view(len(psi), len(high), len(low)).mul_(high[:, None]).mul_(low)
    return psi


def _groups(d):
    """Sizes of the groups of qubits, lowest first: an even number of groups, of at most `_GROUP`."""
    return np.diff(np.linspace(0, d, 2 * -(-d // (2 * _GROUP)) + 1).astype(int)).tolist()


def _rotations(angles, sizes, like):
    """For each angle a the matrices of exp(-i a sum_p sigma_y,p) on m qubits, {m: (2^m, 2^m)} for m in sizes."""
    for part in torch.as_tensor(angles, dtype=torch.float64, device=like.device).split(64):
        one = torch.stack([part.cos(), -part.sin(), part.sin(), part.cos()], 1).view(-1, 2, 2)
        matrices = [torch.ones_like(one[:, :1, :1])]
        for m in range(1, max(sizes, default=0) + 1):
            matrices.append(torch.einsum("nij,nkl->nikjl", one, matrices[-1]).reshape(-1, 2**m, 2**m))
        matrices = {m: matrices[m].to(like.dtype) for m in sizes}
        for j in range(len(part)):
            yield {m: matrices[m][j] for m in sizes}


def _apply_phase(re, im, energies, angle):
    """phi_k <- exp(-i angle E_k) phi_k, in place. The phase is reduced to less than a turn in float64."""
    if angle == 0:
        return
    width = max(1, _CHUNK[re.device.type] // len(re))
    for r, i, E in zip(*(x.split(width, dim=-1) for x in (re, im, energies))):
        x = torch.empty_like(E, dtype=re.dtype)
        torch.fmod(E.double(), 2 * np.pi / angle, out=x).mul_(angle)
        cosine, sine = x.cos(), x.sin_()
        rotated = torch.mul(r, cosine).addcmul_(i, sine)
        i.mul_(cosine).addcmul_(r, sine, value=-1)
        r.copy_(rotated)


def evolve(re, im, energies, phases, angles):
    """Phase 0, rotation 0, phase 1, ..., last phase on each state of a batch, in place.

    re, im: (B, 2^d) contiguous; energies: (2^d,) or (B, 2^d), float64 keeps large phases exact for float32 states
    too; phases: (n + 1,), psi_k <- exp(-i phase E_k) psi_k; angles: (n,), exp(-i angle sigma_x) on every qubit.
    Needs the memory of half the batch more. Raises ValueError for other numbers of phases.

    >>> re, im = torch.tensor([[1.0, 0.0]]), torch.zeros((1, 2))
    >>> evolve(re, im, torch.zeros(2), phases=[0.0, 0.0], angles=[0.5])
    >>> torch.allclose(re, torch.tensor([[np.cos(0.5), np.sin(0.5)]]).float())
    True
    """
    if len(phases) != len(angles) + 1:
        raise ValueError(f"phases must be one more than angles, got {len(phases)} and {len(angles)}")
    sizes = {}
    for name, part in (("re", re), ("im", im)):
        require.shape(name, part.shape, "B 2^d", sizes)
    require.shape("energies", torch.atleast_2d(energies).shape[1:], "2^d", sizes)
    batch, size = re.shape
    groups, spare = _groups(size.bit_length() - 1), torch.empty_like(re)
    for phase, matrices in zip(phases, _rotations(angles, set(groups), re)):
        _apply_phase(re, im, energies, float(phase))
        for x in (re, im):
            y = spare
            for m in groups:  # each product also moves its qubits from the lowest to the highest bits
                rotation = matrices[m].expand(batch, 2**m, 2**m)
                torch.bmm(rotation, x.view(batch, -1, 2**m).mT, out=y.view(batch, 2**m, -1))
                x, y = y, x  # an even number of times: the last y is the spare
    _apply_phase(re, im, energies, float(phases[-1]))


def _search(cumulative, points):
    """First index whose cumulative sum exceeds the point, along the last axis; rounding picks none of weight 0."""
    total = cumulative[..., -1:]
    points = torch.minimum(points, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, points, right=True)


def draw(probabilities, num_reads, seed=None):
    """Indices of num_reads noise-free measurements: probabilities (2^d,)  ->  (num_reads,) int64.

    Cumulative sums are float64, first of block sums, then inside the chosen blocks; both, and the random
    numbers, on the CPU, because CUDA's sums over long tensors depend on timing. Raises ValueError as
    `evolution.draw`.

    >>> draw(torch.tensor([0.0, 0.25, 0.75, 0.0]), 8, seed=0)
    tensor([2, 2, 2, 2, 2, 2, 1, 2])
    """
    num_reads = require.whole("num_reads", num_reads)
    require.shape("probabilities", probabilities.shape, "2^d")
    device, width = probabilities.device, min(_BLOCK, len(probabilities))
    blocks, rows = probabilities.view(-1, width), _CHUNK["cuda"] // width
    sums = torch.cat([part.sum(1, dtype=torch.float64) for part in blocks.split(rows)]).cpu()
    cumulative = torch.cat([sums.new_zeros(1), sums.cumsum(0)])
    require.values("probabilities", probabilities, "[0, inf)")
    if not 0 < cumulative[-1] < torch.inf:
        raise ValueError("probabilities must not be all zero, nor sum to infinity")
    generator = torch.Generator()
    generator.seed() if seed is None else generator.manual_seed(require.whole("seed", seed, 0, 2**64 - 1))
    points = torch.rand(num_reads, dtype=torch.float64, generator=generator) * cumulative[-1]
    chosen = _search(cumulative[1:], points)
    indices = []
    for block, point in zip(chosen.split(rows), (points - cumulative[chosen]).split(rows)):
        inside = blocks[block.to(device)].cpu().double().cumsum(1)
        indices.append(block * width + _search(inside, point[:, None])[:, 0])
    return torch.cat(indices).to(device)


@cache
def _adjacency(qubits, dtype, device):
    """sum_p X_p of so many qubits, (2^m, 2^m): the neighbours on a hypercube."""
    k = torch.arange(2**qubits, device=device)
    matrix = torch.zeros((2**qubits, 2**qubits), dtype=dtype, device=device)
    for p in range(qubits):
        matrix[k, k ^ (1 << p)] = 1
    return matrix


def _flips(x, out):
    """out = sum_p X_p x over all qubits: (2^d,)."""
    out.zero_()
    low = 0
    for m in _groups(len(x).bit_length() - 1):
        matrix = _adjacency(m, x.dtype, x.device)
        if low == 0:  # symmetric: from the right, one product of matrices instead of many by a vector
            out.view(-1, 2**m).addmm_(x.view(-1, 2**m), matrix)
        else:
            shape = (-1, 2**m, 2**low)
            for y, part in zip(out.view(shape).split(_PRODUCTS), x.view(shape).split(_PRODUCTS)):
                y.baddbmm_(matrix.expand(len(part), -1, -1), part)
        low += m


def hamiltonian(x, diagonal, flip, y):
    """y = (diag(diagonal) + flip sum_p X_p) x: all (2^d,).

    >>> y = torch.empty(4)
    >>> hamiltonian(torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.tensor([5.0, 6.0, 7.0, 8.0]), -1.0, y)
    >>> y  # both bits flipped once
    tensor([ 5., -1., -1.,  0.])
    """
    _flips(x, y)
    y.mul_(flip).addcmul_(diagonal, x)


def lanczos(basis, diagonal, flip, first, last, alpha, norms, below):
    """Lanczos steps first..last of H = diag(diagonal) + flip sum_p X_p, as `cpu.lanczos`.

    basis (m + 1, 2^d), diagonal (2^d,) and below (j, 2^d) are tensors; alpha (m,) and norms (m + 1,) NumPy arrays.
    ->  steps done: fewer when an invariant subspace is complete.

    >>> basis, alpha, norms = torch.zeros((3, 2)), np.empty(2), np.ones(3)
    >>> basis[0, 0] = 1
    >>> lanczos(basis, torch.tensor([0.0, 3.0]), 2.0, 0, 2, alpha, norms, torch.empty((0, 2)))
    2
    >>> alpha, norms[1]  # the matrix [[0, 2], [2, 3]] is tridiagonal already
    (array([0., 3.]), np.float64(2.0))
    """
    for j in range(first, last):
        x, y = basis[j], basis[j + 1]
        _flips(x, y)
        y.mul_(flip / norms[j]).addcmul_(diagonal, x, value=1 / norms[j])
        if j:
            y.sub_(basis[j - 1], alpha=norms[j] / norms[j - 1])
        alpha[j] = float(y @ x) / norms[j]
        y.sub_(x, alpha=alpha[j] / norms[j])
        if len(below):
            y.addmv_(below.T, below @ y, alpha=-1)
        norms[j + 1] = float(torch.linalg.vector_norm(y))
        if norms[j + 1] <= _INVARIANT[y.dtype] * (abs(alpha[j]) + abs(flip)):
            return j + 1
    return last


def combine(weights, vectors):
    """Sums of vectors: (n, m) NumPy weights, (m, 2^d) tensor  ->  (n, 2^d).

    >>> combine(np.array([[1.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 4.0]]))
    tensor([[1., 8.]])
    """
    return torch.as_tensor(weights, dtype=vectors.dtype, device=vectors.device) @ vectors


def gram(vectors):
    """Scalar products of all pairs: (m, 2^d) tensor  ->  (m, m) NumPy.

    >>> gram(torch.tensor([[1.0, 2.0], [0.0, 3.0]]))
    array([[5., 6.],
           [6., 9.]], dtype=float32)
    """
    return (vectors @ vectors.T).cpu().numpy()


def dot(a, b):
    """Scalar product of two vectors (2^d,).

    >>> dot(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    11.0
    """
    return float(a @ b)


def lowest(energies, n):
    """Indices of the n lowest energies, rising: (2^d,)  ->  (n,).

    >>> lowest(torch.tensor([0.0, -1.0, 3.0, -2.0]), 2)
    tensor([3, 1])
    """
    return torch.topk(energies, n, largest=False).indices


empty_like = torch.Tensor.new_empty  # (vector, shape)
like = torch.Tensor.new_tensor  # (vector, numbers)
concatenate = torch.cat


class Evolution(evolution.Evolution):
    """`evolution.Evolution` with energies and states on a device: energies (2^d,) or (B, 2^d), array or tensor.

    Raises ValueError for an unknown device or dtype and as `binary.checked`, MemoryError when it does not fit.

    >>> evolution = Evolution([0.0, -1.0], 50.0, "scaled", "linear", "cpu", "complex64")
    >>> re, im, probabilities = evolution.run(steps=200, order=4)
    >>> probabilities.dtype, evolution.fidelity(probabilities).round(3)
    (torch.float32, array([1.]))
    """

    def __init__(self, energies, annealing_time, driver, schedule, device, dtype):
        self.dtype, self.least_tolerance = _COMPONENTS[require.choice("dtype", dtype, _COMPONENTS)]
        batch, d = checked(energies, device)
        require_memory(d, 7 * batch.numel() * self.dtype.itemsize, "the state", batch.device)
        self._set(batch, d, annealing_time, driver, schedule)
        self.least = [E.min() + binary.DEGENERATE * (E.max() - E.min()) for E in batch]

    def run(self, steps, order):
        """->  re, im in the rotated frame, probabilities (B, 2^d): tensors."""
        re, im = start(self.d, -np.sign(self.g), len(self.batch), self.dtype, self.batch.device)
        for part in splitting.layers_in_parts(self.annealing_time, self.g, self.schedule, self.plan(steps), order):
            evolve(re, im, self.batch, *part)
        return re, im, (re**2).addcmul_(im, im)

    def state(self, re, im):
        """psi (B, 2^d), complex."""
        return state(re, im)

    def fidelity(self, probabilities):
        """Probability of the ground states, (B,) on the host."""
        parts = zip(probabilities, self.batch, self.least)
        return np.array([float(p[E <= least].sum(dtype=torch.float64)) for p, E, least in parts])

    def energy(self, probabilities):
        """Expected energy, (B,) on the host."""
        width = _CHUNK["cuda"]
        return np.array([
            sum(float(p_.double() @ E_) for p_, E_ in zip(p.split(width), E.split(width)))
            for p, E in zip(probabilities, self.batch)
        ])  # fmt: skip

    def costs(self):
        """Energy of each flip out of the ground state, (B, d) on the host."""
        flips = 1 << torch.arange(self.d, device=self.batch.device)
        return torch.stack([E[E.argmin() ^ flips] - E.min() for E in self.batch]).cpu().numpy()
