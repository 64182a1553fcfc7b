"""Densities of points and their scores: kernel estimates, noised mixtures in closed form, and checks by sampling."""

import numpy as np
import torch

CELLS = 320  # of a density's grid, each way


def kernel_density(points: np.ndarray, bandwidth: float, reach: float, cells: int = CELLS) -> np.ndarray:
    """Kernel density estimate with a Gaussian kernel: float64 (cells, cells), rows y upwards, over [-reach, reach]^2.

    Each point is shared among its four nearest cells and all are blurred at once; what falls outside is lost. The error
    is of the order (cell side / bandwidth)^2, so the grid is refined where the bandwidth requires it.
    """
    from scipy.ndimage import gaussian_filter

    finer = int(np.ceil(3 * (2 * reach / cells) / bandwidth))  # at least three cells per bandwidth
    n = cells * finer
    side = 2 * reach / n
    place = (points + reach) / side - 0.5  # in cells, counted from the centre of the first
    low = np.floor(place).astype(int)
    part = place - low
    counts = np.zeros((n, n))
    for right in (0, 1):
        for up in (0, 1):
            x, y = low[:, 0] + right, low[:, 1] + up
            weight = np.abs(1 - right - part[:, 0]) * np.abs(1 - up - part[:, 1])
            inside = (x >= 0) & (x < n) & (y >= 0) & (y < n)
            np.add.at(counts, (y[inside], x[inside]), weight[inside])
    # Sharing among cells is itself a small blur, of variance 1/6 cell^2 on average, which the kernel makes up for.
    blur = np.sqrt(max((bandwidth / side) ** 2 - 1 / 6, 0.0))
    heights = gaussian_filter(counts, blur, mode="constant", truncate=5.0) / (len(points) * side**2)
    return heights.reshape(cells, finer, cells, finer).mean(axis=(1, 3))


def noised_density(points: np.ndarray, alpha_bar: float, bandwidth: float, reach: float) -> np.ndarray:
    """Density of q(xt) in closed form, where q(x0) is the kernel density estimate; `kernel_density` describes the grid.

    xt = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps (Ho et al. 2020, equation 4), so every kernel stays a Gaussian.
    """
    spread = np.sqrt(alpha_bar * bandwidth**2 + 1 - alpha_bar)
    return kernel_density(np.sqrt(alpha_bar) * points, spread, reach)


def mixture_score(x: np.ndarray, points: np.ndarray, sigma: float) -> np.ndarray:
    """Exact gradient of log q at x (M, d), where q is the points (N, d) with Gaussian noise of level sigma: (M, d).

    q is a mixture of N Gaussians; its score is the mean of the pulls (point - x) / sigma^2, each weighted by the
    probability that x came from that point.
    """
    squares = ((x[:, None] - points) ** 2).sum(axis=2)  # (M, N)
    logits = -squares / (2 * sigma**2)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights @ points - x) / sigma**2


def mixture_log_density(x: np.ndarray, points: np.ndarray, sigma: float) -> np.ndarray:
    """log q at x (M, d) for the same mixture: (M,)."""
    logits = -((x[:, None] - points) ** 2).sum(axis=2) / (2 * sigma**2)
    top = logits.max(axis=1)
    d = x.shape[1]
    return top + np.log(np.exp(logits - top[:, None]).mean(axis=1)) - d / 2 * np.log(2 * np.pi * sigma**2)


def eps_of_draws(points: np.ndarray, sigma: float, n: int, cells: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Average noise, cell by cell, of n random draws x = x0 + sigma * eps: two arrays (M, 2).

    Returns the mean x and mean eps of each cell, in a cells x cells grid, with 200 draws or more. By Tweedie's formula
    (Efron 2011) the mean eps at x is -sigma * score(x).
    """
    rng = np.random.default_rng(seed)
    eps = rng.standard_normal((n, 2))
    x = points[rng.integers(len(points), size=n)] + sigma * eps
    reach = 3 * np.sqrt(1 + sigma**2)
    cell = np.floor((x + reach) / (2 * reach) * cells).astype(int)
    inside = ((cell >= 0) & (cell < cells)).all(axis=1)
    number = cell[inside, 0] * cells + cell[inside, 1]
    count = np.bincount(number, minlength=cells**2)
    full = count >= 200

    def mean(values: np.ndarray) -> np.ndarray:
        sums = [np.bincount(number, values[inside, k], minlength=cells**2)[full] for k in (0, 1)]
        return np.stack(sums, axis=1) / count[full, None]

    return mean(x), mean(eps)


def exact_denoised(x: torch.Tensor, clean: np.ndarray, sigma: np.ndarray) -> torch.Tensor:
    """Mean clean picture behind x (B, D) at noise levels (B,), if all pictures (N, D) uint8 are equally likely: (B, D).

    This is the best denoiser for the data set as it stands; (result - x) / sigma^2 is the exact score in pixel space.
    """
    block, level = 1024, torch.as_tensor(sigma, dtype=torch.float64)[:, None]
    logits = torch.empty(len(x), len(clean), dtype=torch.float64)
    for first in range(0, len(clean), block):
        rows = torch.from_numpy(clean[first : first + block]).float() / 127.5 - 1
        # |x - row|^2 without |x|^2, which is the same for all rows
        logits[:, first : first + block] = -((rows**2).sum(dim=1).double() - 2 * (x @ rows.T).double()) / (2 * level**2)
    weights = torch.softmax(logits, dim=1).float()
    mean = torch.zeros_like(x)
    for first in range(0, len(clean), block):
        rows = torch.from_numpy(clean[first : first + block]).float() / 127.5 - 1
        mean += weights[:, first : first + block] @ rows
    return mean
