"""A noisy clip restored frame by frame and as a clip: PSNR of each frame, and flicker.

    python tests/benchmarks/clip.py --preset fast

The clip is made from two photos of scikit-image: the background pans and is enlarged slowly, a disc
with a photo of its own moves against it. Both are resampled from twice the resolution, so that the
motion is of fractions of a pixel. White Gaussian noise is added, rounded and clipped to 8 bits.

Flicker is the mean absolute difference of result − truth between consecutive frames, in 8-bit
levels: what is wrong in the same way in every frame does not flicker.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage import data

from dip_engine import Job, Settings, restore


def scene(count: int, side: int) -> np.ndarray:
    """Return a clean clip, count×side×side×3, 0–1 in steps of 1/255."""
    back, front = (photo.astype(np.float64) / 255 for photo in (data.astronaut(), data.coffee()))
    rows, columns = np.mgrid[0 : 2 * side, 0 : 2 * side] - (side - 0.5)
    frames = []
    for number in range(count):
        size = 1 + 0.01 * number
        centre = 256 + 0.9 * number, 256 - 2.2 * number
        frame = _sample(back, rows / size + centre[0], columns / size + centre[1])
        y, x = rows + 0.15 * side - 1.3 * number, columns - 0.35 * side + 3.1 * number
        disc = 1 / (1 + np.exp(np.hypot(y, x) - 0.45 * side))[:, :, None]
        frame = disc * _sample(front, y + 200, x + 330) + (1 - disc) * frame
        frame = frame.reshape(side, 2, side, 2, 3).mean((1, 3))
        frames.append(np.rint(np.clip(frame, 0, 1) * 255) / 255)
    return np.stack(frames)


def _sample(photo: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    planes = [
        ndimage.map_coordinates(photo[:, :, channel], [rows, columns], order=3, mode="mirror")
        for channel in range(3)
    ]
    return np.stack(planes, axis=2)


def save(folder: Path, clip: np.ndarray) -> Path:
    """Write the frames as PNG files."""
    folder.mkdir()
    for number, frame in enumerate(clip):
        Image.fromarray(np.rint(frame * 255).astype(np.uint8)).save(folder / f"{number:03}.png")
    return folder


def load(folder: Path) -> np.ndarray:
    """Read the frames back, 0–1."""
    frames = []
    for file in sorted(folder.iterdir()):
        with Image.open(file) as image:
            frames.append(np.asarray(image, np.float64) / 255)
    return np.stack(frames)


def measure(clip: np.ndarray, truth: np.ndarray, seconds: float) -> dict[str, object]:
    """Return PSNR of each frame and their mean in dB, flicker in 8-bit levels, and seconds."""
    wrong = clip - truth
    decibels = [float(-10 * np.log10(np.mean(frame**2))) for frame in wrong]
    return {
        "psnr": [round(value, 2) for value in decibels],
        "mean": round(float(np.mean(decibels)), 2),
        "flicker": round(float(np.abs(np.diff(wrong, axis=0)).mean() * 255), 2),
        "seconds": round(seconds, 1),
    }


def run(count: int, side: int, sigma: float, settings: Settings) -> dict[str, dict[str, object]]:
    """Restore the clip in both ways."""
    truth = scene(count, side)
    noise = np.random.default_rng(0).normal(0, sigma / 255, truth.shape)
    noisy = np.rint(np.clip(truth + noise, 0, 1) * 255) / 255
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = save(folder / "noisy", noisy)
        found = {"noisy": measure(noisy, truth, 0.0)}
        begin = time.monotonic()
        (folder / "alone").mkdir()
        for file in sorted(source.iterdir()):
            restore(Job("denoise", file, folder / "alone" / file.name, settings=settings))
        seconds = time.monotonic() - begin
        found["frame by frame"] = measure(load(folder / "alone"), truth, seconds)
        begin = time.monotonic()
        restore(Job("denoise", source, folder / "clip", settings=settings))
        seconds = time.monotonic() - begin
        found["as a clip"] = measure(load(folder / "clip"), truth, seconds)
    return found


def table(found: dict[str, dict[str, object]]) -> str:
    """Return the figures as Markdown."""
    count = len(found["noisy"]["psnr"])  # type: ignore[arg-type]
    heads = ["", *(str(number) for number in range(1, count + 1)), "mean, dB", "flicker", "s"]
    lines = [heads, ["---", *["--:"] * (count + 3)]]
    for name, row in found.items():
        each = [f"{value:.2f}" for value in row["psnr"]]  # type: ignore[attr-defined]
        rest = [f"**{row['mean']:.2f}**", f"**{row['flicker']:.2f}**", f"{row['seconds']:.0f}"]
        lines.append([name, *each, *rest])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the table and the same figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--sigma", type=float, default=25.0)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    settings = Settings(
        preset=options.preset,
        iterations=options.iterations,
        threads=options.threads,
        device=options.device,
    )
    found = run(options.frames, options.side, options.sigma, settings)
    facts = {"preset": options.preset, "sigma": options.sigma, "side": options.side}
    sys.stdout.write(f"{table(found)}\n\n{json.dumps(facts | found, indent=2)}\n")


if __name__ == "__main__":
    main()
