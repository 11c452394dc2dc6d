# What runs gamedays in a cluster: dr, git and nothing else; as nobody, and with nothing to write but what is mounted.
#   docker build -t registry.example/dr:0.3 .
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY dr dr
COPY experiments experiments
RUN python -m venv /opt/dr && /opt/dr/bin/pip install --no-cache-dir ".[s3]"

FROM python:3.12-slim-bookworm
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/dr /opt/dr
ENV PATH=/opt/dr/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["dr"]
CMD ["--help"]
