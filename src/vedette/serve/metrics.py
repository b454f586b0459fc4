"""What ``/metrics`` tells Prometheus. Labels are endpoints, models and codes alone."""

from __future__ import annotations

from functools import cache
from typing import Any

from vedette.extras import require

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters of this process."""

    def __init__(self) -> None:
        prometheus: Any = require("prometheus_client", extra="serve")
        self._prometheus = prometheus
        self.registry = prometheus.CollectorRegistry()
        named = {"registry": self.registry}
        self._requests = prometheus.Counter(
            "vedette_requests", "Requests", ("route", "method", "status"), **named
        )
        self._seconds = prometheus.Histogram(
            "vedette_request_seconds", "Time to answer", ("route",), buckets=_SECONDS, **named
        )
        self._images = prometheus.Counter(
            "vedette_images", "Images decided", ("model", "action"), **named
        )
        self._failures = prometheus.Counter(
            "vedette_failures", "Images that could not be scanned", ("code",), **named
        )
        self.gauges: dict[str, Any] = {}
        self._named = named

    @staticmethod
    @cache
    def shared() -> Metrics:
        """The one of this process."""
        return Metrics()

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request has ended."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def image(self, model: str, action: str, failure: str | None) -> None:
        """An image was decided, or could not be scanned."""
        self._images.labels(model, action).inc()
        if failure is not None:
            self._failures.labels(failure).inc()

    def watch(self, name: str, told: str, read: Any) -> None:
        """A gauge whose value is read when it is asked for.

        Args:
            name: of the gauge, ``vedette_…``.
            told: what it is.
            read: called without arguments, a number.
        """
        if name not in self.gauges:
            self.gauges[name] = self._prometheus.Gauge(name, told, **self._named)
        self.gauges[name].set_function(read)

    def page(self) -> tuple[bytes, str]:
        """The page and its content type."""
        made: bytes = self._prometheus.generate_latest(self.registry)
        return made, self._prometheus.CONTENT_TYPE_LATEST
