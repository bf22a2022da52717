"""Datasets that benchmarks train and test on, made once and kept in a file."""


def kept(path, make, material, seed, few=None):
    """The samples in a file; if it is not there, of the images that `make()` gives, the first few (all) simulated."""
    from janus_al import dataset
    from janus_al.samples import concatenate, unlabelled
    from loop.simulation.executors import open_executor
    from loop.simulation.rows import simulate_samples
    from loop.simulation.simulate import Execution

    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        images = make()
        few = len(images) if few is None else few
        with open_executor("process", 1) as executor:
            execution = Execution(executor, "direct", cached=True)
            meta = {"origin": b"generated", "seed": seed}
            parts = simulate_samples(images[:few], material, execution, lambda *_: None, **meta)
        rest = [unlabelled(images[few:], material)] if len(images) > few else []
        dataset.write(path, concatenate([*parts, *rest]), "benchmarks")
    return dataset.read(path)
