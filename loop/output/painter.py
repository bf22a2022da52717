"""Flat faces in space on a picture: seen from one side without perspective, lit, the far ones painted first."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Points = NDArray[np.float64]
"""three coordinates along the last axis, right-handed"""
Colour = tuple[int, int, int]

TOWARD = np.array([0.46, -0.78, 0.42]) / np.linalg.norm([0.46, -0.78, 0.42])
"""to the eye: x runs to the right, the second axis into the picture, z up"""
LIGHT = np.array([0.15, -0.55, 0.82]) / np.linalg.norm([0.15, -0.55, 0.82])
AMBIENT, DIFFUSE = 0.52, 0.56
LINE, PLAIN = (176, 184, 194), (91, 102, 117)
FINER, MARGIN = 3, 0.1
CORNERS = np.array(list(np.ndindex(2, 2, 2)))


class Painter:
    """A square picture of what stands in a box with one corner at the origin."""

    def __init__(self, sides: NDArray[np.integer], size: int):
        """`sides` along the three axes; `size` in pixels, of which three are painted for each that `finish` keeps."""
        right = np.array([-TOWARD[1], TOWARD[0], 0]) / np.hypot(*TOWARD[:2])
        self.screen = np.stack([right, -np.cross(TOWARD, right)], axis=1)
        self.sides, self.size, self.pixels = sides, size, size * FINER
        seen = CORNERS * sides @ self.screen
        self.scale = (1 - 2 * MARGIN) * self.pixels / np.ptp(seen, axis=0).max()
        self.middle = (seen.max(axis=0) + seen.min(axis=0)) / 2
        self.image = Image.new("RGB", (self.pixels, self.pixels), "white")
        self.draw = ImageDraw.Draw(self.image)

    def edges(self) -> None:
        """The box, without the three edges that meet at the corner nearest to the eye."""
        near = TOWARD > 0
        for corner in CORNERS:
            for end in corner + np.eye(3, dtype=int)[corner == 0]:
                if (corner != near).any() and (end != near).any():
                    self._line(self._at(np.array([corner, end]) * self.sides), LINE)

    def faces(self, faces: Points, colours: NDArray[np.integer]) -> None:
        """Polygons (n, corners, 3), anticlockwise seen from outside, and their colours (n, 3); the far are darker."""
        normals = np.cross(faces[:, 1] - faces[:, 0], faces[:, 2] - faces[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        depth, box = faces.mean(axis=1) @ TOWARD, CORNERS * self.sides @ TOWARD
        shade = (AMBIENT + DIFFUSE * (normals @ LIGHT).clip(0)) * (0.72 + 0.28 * (depth - box.min()) / np.ptp(box))
        tones, flat = (colours * shade[:, None]).clip(0, 255).astype(int), self._at(faces)
        seen = np.flatnonzero(normals @ TOWARD > 0)
        for number in seen[np.argsort(depth[seen], kind="stable")]:
            self.draw.polygon([tuple(p) for p in flat[number]], fill=tuple(tones[number]))

    def arrow(self, axis: int, words: str, colour: Colour = PLAIN) -> None:
        """x, y or z beside the box, named; y, whose rows run down in pictures of planes, comes out of the picture."""
        start = np.array([self.sides[0], 0, 0]) if axis == 1 else np.zeros(3)
        ends = self._at(np.array([start, start + np.eye(3)[axis] * self.sides]))
        along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
        angle = -np.degrees(np.arctan2(along[1], along[0]))
        away = np.array([-along[1], along[0]]) * (-1 if axis == 2 else 1)
        if axis == 1:
            ends, along = ends[::-1], -along
        tail, tip = ends + away * 0.025 * self.pixels
        self._line(np.array([tail, tip]), colour)
        head = [tip, *(tip - 0.025 * self.pixels * (along + side * 0.35 * away) for side in (-1, 1))]
        self.draw.polygon([tuple(p) for p in head], fill=colour)
        label = Image.new("L", (self.pixels, 20 * FINER))
        font = ImageFont.load_default(13 * FINER)
        ImageDraw.Draw(label).text((self.pixels / 2, 10 * FINER), words, 255, font, "mm")
        turned = label.rotate(angle, expand=True, resample=Image.Resampling.BICUBIC)
        x, y = ((tail + tip) / 2 + away * 0.035 * self.pixels - np.array(turned.size) / 2).astype(int)
        self.image.paste(colour, (int(x), int(y)), turned)

    def finish(self) -> Image.Image:
        """The picture, smoothed."""
        return self.image.resize((self.size, self.size), Image.Resampling.LANCZOS)

    def _at(self, points: Points) -> Points:
        return (points @ self.screen - self.middle) * self.scale + self.pixels / 2

    def _line(self, ends: Points, colour: Colour) -> None:
        self.draw.line([tuple(p) for p in ends], fill=colour, width=FINER)
