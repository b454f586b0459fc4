"""Classifiers that are not ours to run: endpoints, commands and files of predictions.

:func:`vedette.bench.endpoints.opening.open_endpoint` makes a
:class:`~vedette.bench.predictor.Predictor` of what a user names. Only the forms ``openai``,
``rekognition`` and ``safesearch`` send pictures anywhere, to the host that the card names.
"""

from vedette.bench.endpoints.opening import forms, is_endpoint, open_endpoint
from vedette.bench.endpoints.options import EndpointOptions

__all__ = ["EndpointOptions", "forms", "is_endpoint", "open_endpoint"]
