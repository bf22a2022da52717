"""A trained model as MLflow loads and serves it: images in, properties out.

MLflow stores this file beside the weights and runs it where the model is loaded (models from code): nothing is
unpickled. It needs janus_al of the same version.
"""

from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class JanusModel(PythonModel):
    """The head's opinion of images of labels."""

    def load_context(self, context: Any) -> None:
        """Read the weights, checked as everywhere."""
        from janus_al import checkpoint

        self.network, self.card = checkpoint.load(context.artifacts["model"])

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def] # MLflow reads hints as a schema
        """Properties of images (n, *grid) of labels 0 and 1, a column each, in the material's units.

        Raises:
            MlflowException: other labels.
        """
        import pandas
        import torch

        from janus_al.training import encode

        images = np.asarray(model_input)
        if not np.isin(images, (0, 1)).all():
            raise MlflowException.invalid_parameter_value(
                f"labels from {images.min()} to {images.max()}: images hold labels 0 and 1"
            )
        with torch.no_grad():
            found = self.network.values(encode(self.network, images.astype(np.uint8)))
        return pandas.DataFrame(found.double().cpu().numpy(), columns=list(self.network.config.properties))


set_model(JanusModel())
