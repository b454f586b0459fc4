# The service: docker build -t vedette --build-arg WEIGHTS=nudenet .
#
# EXTRAS   what is installed beside the service: a runtime for networks, formats.
# WEIGHTS  "nudenet" bakes in that model, whose weights come with its wheel and whose own files say
#          AGPL-3.0 (docs/models.md). Empty: no weights; mount exported models, see docs/deploy.md.

FROM python:3.12-slim AS build
ARG EXTRAS="serve,openvino,heif,video,parquet"
ARG WEIGHTS=""
WORKDIR /source
RUN python -m venv /opt/vedette
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /opt/vedette/bin/pip install --no-cache-dir ".[${EXTRAS}${WEIGHTS:+,${WEIGHTS}}]"

FROM python:3.12-slim
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin vedette \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/vedette
COPY --from=build /opt/vedette /opt/vedette
COPY --chmod=0755 deploy/with-password.sh /usr/local/bin/with-password
# The root may be read-only: all that is written goes to the volume and to /tmp.
ENV PATH=/opt/vedette/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    VEDETTE_MODELS=/var/lib/vedette/models
WORKDIR /var/lib/vedette
VOLUME /var/lib/vedette
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=4 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["with-password", "vedette"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
