"""What the paper leaves open, as one named set of choices: its text, its authors' code, and the headline of this study.

The evidence for every choice is weighed in `17_specifications`. The authors' files are public: github checc1/FS_QA, at
commit 7d529e1 (below: A) and at f8e9b6a, before some of them were deleted (B), and github checc1/scoreCamTest (C).

>>> from dataclasses import replace
>>> replace(HEADLINE, pair_sum="half").pair_sum, HEADLINE.pair_sum  # a single choice is changed so
('half', 'p!=q')
"""

from dataclasses import dataclass

from . import require

CHOICES = {
    "split": ("official", "training images"),
    "normalisation": ("imagenet", "none"),
    "trunk_batchnorm": ("eval", "train"),
    "order": ("shuffled", "fixed"),
    "epoch": ("best", "last"),
    "block": ("paper", "authors_code"),
    "target": ("block", "conv", "bn", "relu"),
    "field": ("max", "min-max"),
    "pair_sum": ("p!=q", "p<q", "half"),
    "driver": ("scaled", "uniform"),
    "readout": ("best of d^2", "most frequent of 2^d"),
    "grad_cam": ("sum of relus", "relu of sum"),
    "grad_cam_pp": ("eq19", "eq19 + 1e-7", "normalised"),
    "mask": ("soft", "threshold 0.15", "threshold 0.5", "top half"),
    "resampling": ("float", "8 bit"),
    "score": ("softmax", "logit"),
    "clip": ("all", "all but Grad-CAM++"),
}


@dataclass(frozen=True)
class Conventions:
    """Every choice that the paper leaves open or that its text and its authors' code make differently.

    Training. split: "official" training images, a tenth held out, and official test images, or "training images" only,
    3,150 to train and 350 to test; normalisation: of the pixels, by ImageNet's mean and spread or not at all;
    trunk_batchnorm: statistics of the frozen trunk, ImageNet's ("eval") or the batch's ("train"); learning_rate of Adam;
    order of the images in an epoch; epoch: the one that is kept; block: conv, BatchNorm, ReLU ("paper") or conv, ReLU,
    BatchNorm ("authors_code").
    Selection. target: where maps and gradients are taken, "block" for the block's output; field: h = -alpha / max alpha,
    or -(alpha - min) / (max - min); pair_sum: all p != q (each pair twice), p < q, or the "half" sum over all p, q with
    the diagonal; beta: importance against redundancy.
    Annealing. driver: sum of sigma_x over d ("scaled") or not; annealing_time tau; readout of the annealer; num_reads of
    simulated annealing.
    Explanation and Average Drop. grad_cam: ReLU of each map's term or of their sum; grad_cam_pp: Eq. 19 of its paper,
    with epsilon = 1e-7, or with normalised alphas; mask, and resampling of the map to the image: in "float", or as an
    "8 bit" image; score; clip: of which methods a score that grows counts as 0.
    Raises ValueError, by name, for an unknown choice and for choices that contradict each other.

    >>> Conventions(pair_sum="all")
    Traceback (most recent call last):
    ValueError: unknown pair_sum 'all': choose from p!=q, p<q, half: the authors, who count all pairs, set J_pp to 0: 'p!=q'
    """

    split: str = "official"
    normalisation: str = "imagenet"
    trunk_batchnorm: str = "eval"
    learning_rate: float = 1e-3
    order: str = "shuffled"
    epoch: str = "best"
    block: str = "paper"
    target: str = "block"
    field: str = "max"
    pair_sum: str = "p!=q"
    beta: float = 0.7
    driver: str = "scaled"
    annealing_time: float = 50.0
    readout: str = "best of d^2"
    num_reads: int = 1
    grad_cam: str = "sum of relus"
    grad_cam_pp: str = "eq19"
    mask: str = "soft"
    resampling: str = "float"
    score: str = "softmax"
    clip: str = "all"

    def __post_init__(self):
        authors = ": the authors, who count all pairs, set J_pp to 0: 'p!=q'" if self.pair_sum == "all" else ""
        for name, known in CHOICES.items():
            require.choice(name, getattr(self, name), known, authors if name == "pair_sum" else "")
        require.number("learning_rate", self.learning_rate, "(0, inf)")
        require.number("beta", self.beta, "[0, 1]")
        require.number("annealing_time", self.annealing_time, "(0, inf)")
        require.whole("num_reads", self.num_reads, 1)
        if self.trunk_batchnorm == "train" and self.order == "shuffled":
            why = "order 'shuffled' contradicts trunk_batchnorm 'train', whose batches must be the same in each epoch"
            raise ValueError(f"{why}: choose 'fixed', as the authors do")
        if self.mask != "soft" and self.resampling == "8 bit":
            why = f"resampling '8 bit' contradicts mask {self.mask!r}: it is how the authors make a soft one"
            raise ValueError(f"{why}; choose 'float'")


TEXT = Conventions(
    pair_sum="half",
    driver="uniform",
    grad_cam="relu of sum",
    mask="threshold 0.15",  # hard, says the text, and not where; the cut of Selvaraju et al. 2017
)
AUTHORS = Conventions(
    split="training images",
    normalisation="none",
    trunk_batchnorm="train",
    order="fixed",
    epoch="last",
    block="authors_code",
    field="min-max",
    annealing_time=100.0,
    readout="most frequent of 2^d",
    num_reads=100,
    grad_cam_pp="eq19 + 1e-7",
    resampling="8 bit",
    clip="all but Grad-CAM++",
)
HEADLINE = Conventions()
SETS = {"headline": HEADLINE, "text": TEXT, "authors": AUTHORS}
REASONS = {  # why HEADLINE chooses as it does; A, B, C: the authors' files, as above
    "split": "the text's; the official test images are ten times as many as the authors' 350",
    "normalisation": "the trunk's own; the maps of the last block reproduce Table 1 better with it",
    "trunk_batchnorm": "a frozen trunk that does not change (text); the authors' drifts (C: trainModel.py)",
    "learning_rate": "Adam's default, and the authors' (C: trainModel.py)",
    "order": "usual; the authors' loaders do not shuffle (A: loaders.py)",
    "epoch": "the text's; the authors' script keeps the last (C: trainModel.py)",
    "block": "the text's, ReLU last; maps after BatchNorm, which are signed, are far from the QA column of Table 1",
    "target": "the authors hook the block's output (C: run.py, scorePercentageAnnealing.py); the gaps of Fig. 4 agree",
    "field": "the text's, and the authors' graphic of June 2026; min-max is in the early code only (B: qubo_utils.py)",
    "pair_sum": "most of the authors' scripts, the one of the Average Drop among them (B: qubo_utils.py), and Figs. 2, 4",
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


def named(name: str) -> Conventions:
    """The set of this name: "headline", "text" or "authors". Raises ValueError for another one.

    >>> named("text").pair_sum
    'half'
    """
    return SETS[require.choice("conventions", name, SETS)]
