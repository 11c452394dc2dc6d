"""Makes the benchmarks' config repos: of any size, real in shape, the same for the same arguments.

From the command line: `python -m bench.generate objects|release-manager|flux FOLDER --help`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from bench.flux_platform import flux_platform
from bench.release_history import release_manager

_NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata:
  name: team-{team}
"""
_ACCOUNT = """\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: app-{app}
  namespace: team-{team}
  labels: {{app: app-{app}}}
"""
_CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: app-{app}
  namespace: team-{team}
  labels:
    app: app-{app}
data:
  LOG_LEVEL: info
  PORT: "8080"
  config.yaml: |
    server:
      port: 8080
      timeout: 30s
"""
_CREDENTIAL = """\
apiVersion: v1
kind: Secret
metadata:
  name: app-{app}
  namespace: team-{team}
type: Opaque
data:
  token: c2VjcmV0
"""
_SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: app-{app}
  namespace: team-{team}
spec:
  selector:
    app: app-{app}
  ports:
    - name: http
      port: 80
      targetPort: 8080
"""
_DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app-{app}
  namespace: team-{team}
  labels:
    app: app-{app}
spec:
  replicas: 2
  selector:
    matchLabels:
      app: app-{app}
  template:
    metadata:
      labels:
        app: app-{app}
    spec:
      serviceAccountName: {account}
      containers:
        - name: app
          image: registry.example.com/app-{app}:1.2.3
          ports:
            - containerPort: 8080
          envFrom:
            - configMapRef:
                name: app-{app}
          env:
            - name: TOKEN
              valueFrom:
                secretKeyRef:
                  name: app-{app}
                  key: token
          resources:
            requests: {{cpu: 10m, memory: 32Mi}}
            limits: {{memory: 64Mi}}
          readinessProbe:
            httpGet: {{path: /healthz, port: 8080}}
"""
_APP = (_ACCOUNT, _CONFIG, _CREDENTIAL, _SERVICE, _DEPLOYMENT)
_OBJECTS_PER_TEAM = 200


def objects(root: Path, n_objects: int = 10_000, per_file: int = 5) -> int:
    """Write `n_objects` objects, `per_file` to a file, in a folder for each team; return the number of files.

    A team has 200 objects (10,000 objects: 2,000 files in 50 folders) and a kustomization.yaml of its own, so that
    it can be built alone: the time that kubectl takes grows with the square of what one build holds. Each app is a
    ServiceAccount, ConfigMap, Secret, Service and Deployment; a team's first app has the team's Namespace
    in place of its ServiceAccount. Raises FileExistsError if `root` is there already.
    """
    root.mkdir(parents=True)
    teams = range(-(-n_objects // _OBJECTS_PER_TEAM))
    files = 0
    for team in teams:
        folder = root / f"team-{team:03}"
        folder.mkdir()
        count = min(_OBJECTS_PER_TEAM, n_objects - team * _OBJECTS_PER_TEAM)
        documents = [_object(team, index) for index in range(count)]
        names = []
        for number, start in enumerate(range(0, count, per_file)):
            names.append(f"part-{number:03}.yaml")
            (folder / names[-1]).write_text("---\n".join(documents[start : start + per_file]))
        _kustomization(folder, names)
        files += len(names)
    _kustomization(root, [f"team-{team:03}" for team in teams])
    return files


def _object(team: int, index: int) -> str:
    app = team * (_OBJECTS_PER_TEAM // len(_APP)) + index // len(_APP)
    first = index < len(_APP)
    template = _NAMESPACE if index == 0 else _APP[index % len(_APP)]
    return template.format(team=team, app=app, account="default" if first else f"app-{app}")


def _kustomization(folder: Path, resources: list[str]) -> None:
    lines = "".join(f"  - {name}\n" for name in resources)
    header = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n"
    (folder / "kustomization.yaml").write_text(header + lines)


def main() -> None:
    """Read the command line and make one repo."""
    parser = argparse.ArgumentParser(description="Make a config repo for the benchmarks.")
    kinds = parser.add_subparsers(dest="kind", required=True)
    plain = kinds.add_parser("objects", help="plain manifests in a folder for each team")
    plain.add_argument("--count", type=int, default=10_000, help="objects (10000)")
    plain.add_argument("--per-file", type=int, default=5, help="objects to a file (5)")
    history = kinds.add_parser("release-manager", help="a git repo with a long history of releases")
    history.add_argument("--services", type=int, default=1000)
    history.add_argument("--envs", type=int, default=3)
    history.add_argument("--commits", type=int, default=25_000)
    history.add_argument("--years", type=float, default=2)
    history.add_argument("--bare", action="store_true")
    flux = kinds.add_parser("flux", help="a Flux repo, and beside it FOLDER.truth.json")
    flux.add_argument("--units", type=int, default=150)
    for kind in (history, flux):
        kind.add_argument("--seed", type=int, default=0)
    for kind in (plain, history, flux):
        kind.add_argument("folder", type=Path)
    args = parser.parse_args()
    began = time.monotonic()
    if args.kind == "objects":
        objects(args.folder, args.count, args.per_file)
    elif args.kind == "release-manager":
        release_manager(args.folder, args.services, args.envs, args.commits, args.years, bare=args.bare, seed=args.seed)
    else:
        flux_platform(args.folder, args.units, args.seed)
    print(f"{args.folder}: made in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
