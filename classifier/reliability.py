"""Draws how often texts of each probability do violate: a reliability diagram, as SVG."""

import numpy as np

BINS = 10
SIZE, MARGIN = 320, 44
COLOURS = ("#1b6ca8", "#b8500b", "#2a7d3f")


def bins_of(scores: np.ndarray, labels: np.ndarray) -> list[tuple[float, float, int]]:
    """For each tenth of the probabilities that has texts: mean probability, share that violates, and how many."""
    place = np.minimum((scores * BINS).astype(int), BINS - 1)
    rows = []
    for at in range(BINS):
        here = place == at
        if here.any():
            rows.append((float(scores[here].mean()), float(labels[here].mean()), int(here.sum())))
    return rows


def error_of(scores: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error: the mean gap between probability and share, weighted by how many texts."""
    return sum(abs(mean - share) * count for mean, share, count in bins_of(scores, labels)) / max(1, len(scores))


def draw(series: dict[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """The diagram of each named (scores, labels); a dot's area grows with its number of texts."""
    across = lambda share: MARGIN + share * SIZE
    down = lambda share: 12 + (1.0 - share) * SIZE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE + MARGIN + 170} {SIZE + 62}" font-family="sans-serif" '
        'font-size="12" role="img"><title>Reliability diagram</title><rect width="100%" height="100%" fill="white"/>',
        f'<path d="M{across(0)} {down(0)}H{across(1)}V{down(1)}H{across(0)}Z" fill="none" stroke="#888"/>',
        f'<path d="M{across(0)} {down(0)}L{across(1)} {down(1)}" stroke="#bbb" stroke-dasharray="4 4"/>',
    ]
    for tenth in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<text x="{across(tenth)}" y="{down(0) + 18}" text-anchor="middle">{tenth:.2f}</text>')
        parts.append(f'<text x="{across(0) - 8}" y="{down(tenth) + 4}" text-anchor="end">{tenth:.2f}</text>')
    parts.append(f'<text x="{across(0.5)}" y="{down(0) + 38}" text-anchor="middle">probability that the model gives</text>')
    parts.append(f'<text transform="translate(12 {down(0.5)}) rotate(-90)" text-anchor="middle">share that violates</text>')
    for at, (name, (scores, labels)) in enumerate(series.items()):
        rows, colour = bins_of(scores, labels), COLOURS[at % len(COLOURS)]
        line = " ".join(f"{across(mean):.1f},{down(share):.1f}" for mean, share, _ in rows)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for mean, share, count in rows:
            radius = min(12.0, 2.0 + count**0.5 / 4)
            parts.append(f'<circle cx="{across(mean):.1f}" cy="{down(share):.1f}" r="{radius:.1f}" fill="{colour}" fill-opacity="0.6"/>')
        label = f"{name} (error {error_of(scores, labels):.3f})"
        parts.append(f'<text x="{across(1) + 12}" y="{24 + 18 * at}" fill="{colour}">{label}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
