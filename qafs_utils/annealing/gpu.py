"""What `evolution` and `level_solver` call, as few large PyTorch operations on a GPU.

Bit p of an index k (lowest first) is n_p. States are held in the rotated frame of `cpu_rotations`,
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

_GROUP = 6  # most qubits in a matrix product
_CHUNK = {"cpu": 2**16, "cuda": 2**22}  # numbers in a temporary: cache there, few launches here
_PRODUCTS = 2**15  # most matrix products in one launch: CUDA grids end at 2^16
_BLOCK = 2**10  # probabilities that are summed before drawing
COMPONENTS = {"complex128": (torch.float64, 1e-13), "complex64": (torch.float32, 1e-5)}  # as `cpu.COMPONENTS`
_INVARIANT = {torch.float64: 1e-10, torch.float32: 1e-5}  # relative norm at which a Lanczos vector is rounding


def find_device(name):
    """The torch.device "cpu", "cuda" or "cuda:<index>". Raises ValueError for another, or one not present.

    >>> find_device("cpu")
    device(type='cpu')
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
        return memory.free_bytes()
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch's own, unused
    return torch.cuda.mem_get_info(device)[0] + cached


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


def _search(cumulative, points):
    """First index whose cumulative sum exceeds the point, along the last axis; rounding picks none of weight 0."""
    total = cumulative[..., -1:]
    points = torch.minimum(points, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, points, right=True)


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


class Loops:
    """The inner loops on tensors of a device: "cpu", "cuda" or "cuda:<index>". Methods as those of `cpu.Loops`.

    dtype: of a state, "complex128" or "complex64". Raises ValueError for an unknown device or dtype.

    >>> loops = Loops("cpu", "complex64")
    >>> loops.checked([0, -1, 2, 3])
    (tensor([[ 0., -1.,  2.,  3.]], dtype=torch.float64), 2)
    """

    solvers = 1

    def __init__(self, device, dtype):
        self.device = find_device(device)
        self.parts, self.rounding = COMPONENTS[require.choice("dtype", dtype, COMPONENTS)]

    def require_memory(self, d, numbers, what):
        """`memory.require_memory` of the device."""
        memory.require_memory(d, numbers, what, free=_free_bytes(self.device), place=f" on {self.device}")

    def checked(self, energies):
        """Energies as a batch: (2^d,) or (B, 2^d), array or tensor  ->  (B, 2^d) float64, d."""
        batch, d = binary.checked(energies, read=require.tensor)
        return batch.to(self.device, torch.float64), d

    def energies(self, bqm):
        """Energies of all bit-strings, offset included  ->  (2^d,)."""
        return binary.energies(bqm, empty=self.empty, require_memory=self.require_memory)

    def array(self, numbers, dtype=torch.float64):
        """Numbers as a tensor."""
        return torch.as_tensor(numbers, dtype=dtype, device=self.device)

    def empty(self, shape, dtype=torch.float64):
        """Uninitialised numbers."""
        return torch.empty(shape, dtype=dtype, device=self.device)

    def lend(self, owner, shape):
        """Uninitialised numbers: PyTorch itself keeps memory for later use."""
        return self.empty(shape)

    @staticmethod
    def spare_numbers():
        """None: what PyTorch keeps counts as free."""
        return 0

    @staticmethod
    def evolve(re, im, energies, phases, angles):
        """Phase 0, rotation 0, phase 1, ..., last phase on each state of a batch, in place.

        As `cpu_rotations.evolve`, and energies may be (2^d,) for all states; float64 energies keep large phases exact
        for float32 states too. Needs the memory of half the batch more.
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
                y = spare  # (B, 2^d)
                for m in groups:  # each product also moves its qubits from the lowest to the highest bits
                    rotation = matrices[m].expand(batch, 2**m, 2**m)
                    torch.bmm(rotation, x.view(batch, -1, 2**m).mT, out=y.view(batch, 2**m, -1))
                    x, y = y, x  # an even number of times: the last y is the spare
        _apply_phase(re, im, energies, float(phases[-1]))

    @staticmethod
    def expected(probabilities, values):
        """Expected value of each problem: (B, 2^d), B times (2^d,) numbers or bool  ->  (B,) NumPy."""
        width = _CHUNK["cuda"]
        parts = [zip(p.split(width), v.split(width)) for p, v in zip(probabilities, values)]
        return np.array([sum(float(p.double() @ v.double()) for p, v in pairs) for pairs in parts])

    @staticmethod
    def locate(probabilities, shares):
        """Where the cumulative probability exceeds these shares of the sum: (2^d,), (n,) in [0, 1)  ->  (n,) NumPy.

        Cumulative sums are float64, first of block sums, then inside the chosen blocks; both on the CPU, because
        CUDA's sums over long tensors depend on timing.
        """
        device, width = probabilities.device, min(_BLOCK, len(probabilities))
        blocks, rows = probabilities.view(-1, width), _CHUNK["cuda"] // width
        sums = torch.cat([part.sum(1, dtype=torch.float64) for part in blocks.split(rows)]).cpu()
        cumulative = torch.cat([sums.new_zeros(1), sums.cumsum(0)])
        points = torch.as_tensor(shares) * cumulative[-1]
        chosen = _search(cumulative[1:], points)
        indices = []
        for block, point in zip(chosen.split(rows), (points - cumulative[chosen]).split(rows)):
            inside = blocks[block.to(device)].cpu().double().cumsum(1)  # (rows, width)
            indices.append(block * width + _search(inside, point[:, None])[:, 0])
        return torch.cat(indices).numpy()

    @staticmethod
    def hamiltonian(x, diagonal, flip, y):
        """y = (diag(diagonal) + flip sum_p X_p) x: all (2^d,)."""
        _flips(x, y)
        y.mul_(flip).addcmul_(diagonal, x)

    @staticmethod
    def lanczos(basis, diagonal, flip, first, last, alpha, norms, below):
        """Lanczos steps first..last, as on the CPU; alpha (m,) and norms (m + 1,) are NumPy arrays."""
        for j in range(first, last):
            x, y = basis[j], basis[j + 1]  # (2^d,)
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

    @staticmethod
    def combine(weights, vectors):
        """Sums of vectors: (n, m) NumPy weights, (m, 2^d)  ->  (n, 2^d)."""
        return torch.as_tensor(weights, dtype=vectors.dtype, device=vectors.device) @ vectors

    @staticmethod
    def overlaps(left, right):
        """Scalar products: (n, 2^d), (m, 2^d)  ->  (n, m) NumPy."""
        return (left @ right.T).cpu().numpy()

    @staticmethod
    def dot(a, b):
        """Scalar product of two vectors (2^d,)."""
        return float(a @ b)

    @staticmethod
    def lowest(energies, n):
        """Indices of the n lowest energies, rising: (2^d,)  ->  (n,)."""
        return torch.topk(energies, n, largest=False).indices
