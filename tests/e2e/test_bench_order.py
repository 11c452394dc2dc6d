"""The marks that inference gets are right on cases small enough to count by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.declared import Owner, strip, stripped_copy
from bench.order import Inferred, compare, read_graph

_KUSTOMIZATION = (
    "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: {}\n  namespace: flux\n"
)


@pytest.mark.parametrize(
    "spec",
    [
        "spec:\n  dependsOn:\n    - name: db\n  path: ./apps # kept\n",
        "spec:\n  dependsOn:\n  - name: db\n\n  # kept\n  path: ./apps\n",
        "spec:\n  path: ./apps\n  dependsOn: [{name: db}]\n",
        "spec:\n  path: ./apps\n  dependsOn:\n    - {name: db}",
        "spec:\n  path: ./apps\n  dependsOn:\n    -\n      name: db\n---\na: b\n",
    ],
)
def test_only_the_declared_order_is_taken_out_of_a_file(spec: str) -> None:
    before = _KUSTOMIZATION.format("apps") + spec
    after, declared, owners = strip(before)
    assert [(one.after.name, one.namespace, one.name) for one in declared] == [("apps", "flux", "db")]
    assert [owner.name for owner in owners] == ["apps"]
    kept = [
        line for line in before.splitlines() if "dependsOn" not in line and "db" not in line and line.strip() != "-"
    ]
    assert after.splitlines() == kept
    bodies = list(yaml.safe_load_all(before))
    bodies[0]["spec"].pop("dependsOn")
    assert list(yaml.safe_load_all(after)) == bodies


def test_other_kinds_keep_their_depends_on() -> None:
    text = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\nspec:\n  dependsOn: [b]\n"
    assert strip(text) == (text, [], [])


def test_a_name_means_the_owner_of_the_same_environment(tmp_path: Path) -> None:
    for env in ("a", "b"):
        folder = tmp_path / "repo" / env
        folder.mkdir(parents=True)
        spec = "spec: {path: ./x}\n"
        (folder / "db.yaml").write_text(_KUSTOMIZATION.format("db") + spec)
        (folder / "app.yaml").write_text(
            _KUSTOMIZATION.format("app") + "spec:\n  dependsOn: [{name: db}]\n  path: ./y\n"
        )
    pairs, owners = stripped_copy(tmp_path / "repo", tmp_path / "copy")
    assert [(before.file, after.file) for before, after in pairs] == [
        ("a/db.yaml", "a/app.yaml"),
        ("b/db.yaml", "b/app.yaml"),
    ]
    assert len(owners) == 4
    assert "dependsOn" not in (tmp_path / "copy/a/app.yaml").read_text()
    assert "dependsOn" in (tmp_path / "repo/a/app.yaml").read_text()


def _node(kind: str, name: str, version: str = "v1") -> dict[str, Any]:
    return {"ref": {"apiVersion": version, "kind": kind, "namespace": "n", "name": name}, "file": f"{name}.yaml"}


def _edge(before: int, after: int, rule: str = "reference", basis: str = "reference") -> dict[str, Any]:
    return {"before": before, "after": after, "rule": rule, "basis": basis}


def test_objects_edges_become_pairs_of_the_units_that_hold_them() -> None:
    flux, helm = "kustomize.toolkit.fluxcd.io/v1", "helm.toolkit.fluxcd.io/v2"
    nodes = [
        _node("Kustomization", "db", flux),
        _node("Kustomization", "app", flux),
        _node("Secret", "password"),
        _node("Deployment", "web"),
        _node("HelmRelease", "sealer", helm),
        _node("HelmRelease", "worker", helm),
    ]
    owned = [_edge(index, owner, "unit", "declared") for index, owner in ((2, 0), (4, 0), (3, 1), (5, 1))]
    found = read_graph({"nodes": nodes, "edges": [*owned, _edge(2, 3), _edge(4, 2), _edge(2, 5)]})
    names = {(before.name, after.name) for before, after in found.pairs}
    assert names == {("db", "app"), ("sealer", "worker")}
    assert {(member.name, owner.name) for member, owner in found.members} == {("sealer", "db"), ("worker", "app")}


def test_recall_counts_what_is_implied_and_precision_what_is_declared() -> None:
    a, b, c, d = (Owner(f"{name}.yaml", "Kustomization", "n", name) for name in "abcd")
    mark = compare("repo", [(a, c), (c, d)], 4, Inferred(set(), {(a, b), (b, c), (a, c)}))
    assert (mark.found, mark.declared) == (1, 2)
    assert (mark.right, mark.inferred, mark.among) == (1, 3, 1)
    assert mark.missed == ("Kustomization n/c → Kustomization n/d",)


def test_a_release_inherits_the_order_of_its_kustomization() -> None:
    before, after = (Owner(f"{name}.yaml", "Kustomization", "n", name) for name in ("base", "apps"))
    one, two = (Owner(f"{name}.yaml", "HelmRelease", "n", name) for name in ("one", "two"))
    mark = compare("repo", [(before, after)], 4, Inferred({(one, before), (two, after)}, {(one, two)}))
    assert (mark.right, mark.inferred, mark.among) == (1, 1, 0)
