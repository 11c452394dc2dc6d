"""How config repos are laid out: where environments show in a path, and whose folders are whose."""

from __future__ import annotations

# A folder under one of these is an environment (or a cluster, which is one).
ENV_PARENTS: frozenset[str] = frozenset({"clusters", "environments", "envs", "overlays", "stages"})

# A folder of one of these names is an environment wherever it stands.
ENV_NAMES: frozenset[str] = frozenset(
    {"dev", "development", "live", "preprod", "preview", "prod", "production", "qa", "stage", "staging", "stg", "uat"}
)

# release-manager: {env}/releases/{namespace}/{service}/… and, before June 2020, {env}/provisioning/….
RELEASES = r"^(?P<env>[^/]+)/releases/(?P<namespace>[^/]+)/(?P<service>[^/]+)/"
PROVISIONING = r"^(?P<env>[^/]+)/provisioning/"

# Parts of a chart's folder that helm reads and nobody applies.
CHART_PARTS: tuple[str, ...] = ("Chart.yaml", "Chart.yml", "Chart.lock", "charts/", "crds/", "templates/", "ci/")

# Files that hold settings for tools, whatever their content looks like.
TOOL_FOLDERS: tuple[str, ...] = (".github/", ".gitlab/", ".circleci/", ".vscode/", "node_modules/", ".git/")
