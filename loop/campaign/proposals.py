"""What a round is about to pay for, committed before it pays: a round that was killed reads its proposals again.

So it ends as it would have, whether or not this machine, its GPU or its number of threads would propose the same.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.errors import DatasetError
from janus_al.files import atomic_path
from janus_al.material import Boundary
from loop.campaign.journal import Journal, committed
from loop.design.candidates import Candidate, prediction
from loop.design.targets import Target

MEND = "restore the journal from a copy"


class Proposals:
    """The proposals of a campaign's rounds: an array in `proposals/` and an event of the journal for each round."""

    def __init__(self, folder: Path, journal: Journal, boundary: Boundary) -> None:
        self.folder, self.journal, self.boundary = folder, journal, boundary

    def begun(self, number: int) -> bool:
        """Whether a round has committed its proposals."""
        return any(event["round"] == number for event in self.journal.of("proposed"))

    def images(self, number: int) -> NDArray[np.uint8] | None:
        """Images that a round began to simulate, if it did."""
        found = self._read(number)
        return None if found is None else found[0]

    def commit_images(self, number: int, images: NDArray[np.uint8]) -> None:
        """Commit images before they are simulated."""
        self._commit(number, images, [])

    def candidates(self, number: int, targets: Sequence[Target]) -> list[Candidate] | None:
        """Candidates that a round began to simulate, if it did.

        Args:
            number: of the round.
            targets: the campaign's; a probe's is in the journal.
        """
        found = self._read(number)
        if found is None:
            return None
        fields, rows = found
        named = {target.name: target for target in targets}
        if len(rows) != len(fields):
            raise DatasetError(
                f"{self.journal.path}: {len(rows)} candidates of {len(fields)} proposed in round {number}; {MEND}"
            )
        for row in rows:
            if not row["probe"] and row["target"] not in named:
                raise DatasetError(
                    f"{self.journal.path}: a candidate for {row['target']!r}, which is none of the campaign's targets "
                    f"{', '.join(named)}; {MEND}"
                )
        return [
            Candidate(
                target=Target.of("probe", row["wanted"]) if row["probe"] else named[row["target"]],
                probe=row["probe"],
                field=field,
                predicted=row["predicted"],
                latent=np.array(row["latent"], np.float32) if row.get("latent") else None,
                boundary=self.boundary,
                interval={name: (low, high) for name, (low, high) in row.get("interval", {}).items()},
                p_hit=row.get("p_hit"),
                source=row.get("source", ""),
                bias=row.get("bias", {}),
            )
            for row, field in zip(rows, fields, strict=True)
        ]

    def commit_candidates(
        self, number: int, candidates: Sequence[Candidate], passed_over: Mapping[str, int] | None = None
    ) -> None:
        """Commit candidates before the first of them is simulated, with how many others fell by which rule."""
        rows = [
            {
                "target": c.target.name,
                "wanted": c.target.wanted(),
                "probe": c.probe,
                **prediction(c),
                "latent": None if c.latent is None or c.probe else c.latent.tolist(),
            }
            for c in candidates
        ]
        self._commit(number, np.stack([c.field for c in candidates]) if candidates else np.empty(0), rows, passed_over)

    def _commit(
        self,
        number: int,
        array: NDArray[Any],
        rows: list[dict[str, Any]],
        passed_over: Mapping[str, int] | None = None,
    ) -> None:
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        name = f"proposals/r{number:04d}-{digest[:12]}.npy"
        (self.folder / name).parent.mkdir(exist_ok=True)
        with atomic_path(self.folder / name) as temporary:
            temporary.write_bytes(buffer.getbuffer())
        self.journal.append(
            "proposed", round=number, file=name, sha256=digest, candidates=rows, passed_over=dict(passed_over or {})
        )

    def _read(self, number: int) -> tuple[NDArray[Any], list[dict[str, Any]]] | None:
        for event in self.journal.of("proposed"):
            if event["round"] == number:
                return np.load(io.BytesIO(committed(self.folder, event)), allow_pickle=False), event["candidates"]
        return None
