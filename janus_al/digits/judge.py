"""A classifier that shares nothing with Janus but the data: the honest judge of inverted images with classes."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from janus_al.digits.classes import SHIFT, Labelled, pixels


def train_judge(data: Labelled, classes: int, seed: int, epochs: int = 4, batch: int = 128) -> nn.Module:
    """A small convolutional network, trained on every image once an epoch with a one-cycle schedule."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        coarse = (data.image.shape[1] + 2 * SHIFT) // 4
        judge = nn.Sequential(
            nn.Unflatten(1, (1, -1)),
            nn.Conv2d(1, 16, 5, padding=2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5, padding=2),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * coarse**2, classes),
        )
    optimizer = torch.optim.AdamW(judge.parameters(), lr=1e-3, weight_decay=1e-2)
    steps = len(data) // batch * epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=max(steps, 2))
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(data))
        for start in range(0, len(data) - batch + 1, batch):
            rows = order[start : start + batch]
            logits = judge(pixels(data.image[rows]))
            loss = F.cross_entropy(logits, torch.tensor(data.label[rows]).long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return judge.eval()


@torch.no_grad()
def judged(judge: nn.Module, images: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probability of each class for images (n, side, side) of 0..1: (n, classes)."""
    x = F.pad(torch.tensor(images, dtype=torch.float32), (SHIFT,) * 4)
    return torch.cat([torch.softmax(judge(part), dim=1) for part in x.split(500)]).double().numpy()
