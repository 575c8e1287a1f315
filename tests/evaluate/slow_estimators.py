"""The estimators once more, written from the papers with loops over plain numbers."""

import math
from collections.abc import Callable, Sequence


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def covariance(xs: Sequence[float], ys: Sequence[float]) -> float:
    return sum((x - mean(xs)) * (y - mean(ys)) for x, y in zip(xs, ys, strict=True)) / (len(xs) - 1)


type Unit = tuple[int, int, int]
"""Stratum, map class and reference class of one sampled pixel."""


def stehman_total(units: Sequence[Unit], sizes: Sequence[int], y: Callable[[Unit], float]) -> float:
    """Equations 2 and 3: the mean over the population."""
    whole = 0.0
    for stratum, size in enumerate(sizes):
        whole += size * mean([y(unit) for unit in units if unit[0] == stratum])
    return whole / sum(sizes)


def stehman_error(units: Sequence[Unit], sizes: Sequence[int], y: Callable[[Unit], float]) -> float:
    """Equation 25, its root."""
    variance = 0.0
    for stratum, size in enumerate(sizes):
        values = [y(unit) for unit in units if unit[0] == stratum]
        variance += size**2 * (1 - len(values) / size) * covariance(values, values) / len(values)
    return math.sqrt(variance) / sum(sizes)


def stehman_ratio(
    units: Sequence[Unit], sizes: Sequence[int], y: Callable[[Unit], float], x: Callable[[Unit], float]
) -> tuple[float, float]:
    """Equation 27, and the root of equation 28."""
    ratio = stehman_total(units, sizes, y) / stehman_total(units, sizes, x)
    variance = 0.0
    for stratum, size in enumerate(sizes):
        ys = [y(unit) for unit in units if unit[0] == stratum]
        xs = [x(unit) for unit in units if unit[0] == stratum]
        inner = covariance(ys, ys) + ratio**2 * covariance(xs, xs) - 2 * ratio * covariance(xs, ys)
        variance += size**2 * (1 - len(ys) / size) * inner / len(ys)
    return ratio, math.sqrt(variance) / (stehman_total(units, sizes, x) * sum(sizes))


def olofsson(counts: Sequence[Sequence[int]], pixels: Sequence[int]) -> dict[str, list[tuple[float, float]]]:
    """Equations 1 to 11: value and standard error of everything.

    Args:
        counts: Rows map, columns reference.
        pixels: Mapped pixels of each class.
    """
    size = range(len(pixels))
    weights = [pixels[i] / sum(pixels) for i in size]
    drawn = [sum(counts[i]) for i in size]
    shares = [[weights[i] * counts[i][j] / drawn[i] for j in size] for i in size]
    users = [shares[i][i] / sum(shares[i]) for i in size]
    ground = [sum(shares[i][j] for i in size) for j in size]
    producers = [shares[j][j] / ground[j] for j in size]
    users_variance = [users[i] * (1 - users[i]) / (drawn[i] - 1) for i in size]
    overall_variance = sum(weights[i] ** 2 * users_variance[i] for i in size)
    producers_variance, area_variance = [], []
    for j in size:
        total = sum(pixels[i] / drawn[i] * counts[i][j] for i in size)  # N_.j
        own = pixels[j] ** 2 * (1 - producers[j]) ** 2 * users[j] * (1 - users[j]) / (drawn[j] - 1)
        others = 0.0
        for i in size:
            if i != j:
                share = counts[i][j] / drawn[i]
                others += pixels[i] ** 2 * share * (1 - share) / (drawn[i] - 1)
        producers_variance.append((own + producers[j] ** 2 * others) / total**2)
        area_variance.append(
            sum(
                weights[i] ** 2 * (counts[i][j] / drawn[i]) * (1 - counts[i][j] / drawn[i]) / (drawn[i] - 1)
                for i in size
            )
        )
    return {
        "overall": [(sum(shares[i][i] for i in size), math.sqrt(overall_variance))],
        "users": [(users[i], math.sqrt(users_variance[i])) for i in size],
        "producers": [(producers[j], math.sqrt(producers_variance[j])) for j in size],
        "areas": [(ground[j], math.sqrt(area_variance[j])) for j in size],
    }


def weighted_ratio(
    units: Sequence[Unit],
    pixel_areas: Sequence[float],
    sizes: Sequence[int],
    areas: Sequence[float],
    y: Callable[[Unit], float],
    x: Callable[[Unit], float],
) -> tuple[float, float]:
    """A ratio of areas where pixels are not equally large.

    The total of each stratum is its area times a ratio of sampled areas (Cochran 1977, equation 6.44); the
    variance is that of the residuals (Cochran 1977, equation 6.13, with sums over strata as in 6.47).
    """
    totals_y, totals_x, means = 0.0, 0.0, {}
    for stratum, area in enumerate(areas):
        held = [(u, a) for u, a in zip(units, pixel_areas, strict=True) if u[0] == stratum]
        sampled = sum(a for _, a in held)
        means[stratum] = (sum(a * y(u) for u, a in held) / sampled, sum(a * x(u) for u, a in held) / sampled)
        totals_y += area * means[stratum][0]
        totals_x += area * means[stratum][1]
    ratio, variance = totals_y / totals_x, 0.0
    for stratum, area in enumerate(areas):
        held = [(u, a) for u, a in zip(units, pixel_areas, strict=True) if u[0] == stratum]
        mean_y, mean_x = means[stratum]
        residuals = [a * ((y(u) - mean_y) - ratio * (x(u) - mean_x)) for u, a in held]
        average = sum(a for _, a in held) / len(held)
        spread = sum(e**2 for e in residuals) / (len(held) - 1)
        variance += (area / average) ** 2 * (1 - len(held) / sizes[stratum]) * spread / len(held)
    return ratio, math.sqrt(variance) / totals_x
