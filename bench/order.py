"""Marks inference: strips every dependsOn from Flux repos, infers the order, and compares it with what was declared.

`python -m bench.order [FOLDER…]`; without folders, the Flux repos of the corpus and a generated one of known truth.
Recall: the share of declared pairs that the inferred order holds, directly or through others. Precision: the share
of directly inferred pairs of units that the declared order holds.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx

from bench.declared import KINDS, Owner, Pair, stripped_copy
from bench.flux_platform import flux_platform
from bench.graph import ROOT


class Order:
    """An order of owners. A Kustomization is two points in time: its objects come between its start and its end."""

    def __init__(self, members: Iterable[Pair]) -> None:
        self._graph: nx.DiGraph[Any] = nx.DiGraph()
        for member, kustomization in members:
            for point in (_start(member), _end(member)):
                self._graph.add_edge(("start", kustomization), point)
                self._graph.add_edge(point, ("end", kustomization))

    def add(self, before: Owner, after: Owner) -> None:
        """Let `after` start only when `before` has ended."""
        self._graph.add_edge(_end(before), _start(after))
        for owner in (before, after):
            if owner.kind == "Kustomization":
                self._graph.add_edge(_start(owner), _end(owner))

    def holds(self, before: Owner, after: Owner) -> bool:
        """Return whether the order says so, directly or through others."""
        start, end = _end(before), _start(after)
        return start in self._graph and end in self._graph and nx.has_path(self._graph, start, end)


def _start(owner: Owner) -> Any:
    return ("start", owner) if owner.kind == "Kustomization" else owner


def _end(owner: Owner) -> Any:
    return ("end", owner) if owner.kind == "Kustomization" else owner


class Inferred(NamedTuple):
    """What `dr graph` says: which owner is part of which, and directly inferred pairs of owners."""

    members: set[Pair]
    pairs: set[Pair]


def read_graph(graph: dict[str, Any]) -> Inferred:
    """Read the inferred order of owners from `dr graph -o json`.

    A unit's objects are those with an edge of rule "unit" to the Kustomization that owns it, and what
    controllers make from them. Of edges
    that are not declared: those between two Kustomizations' objects, and those that lead from one
    HelmRelease to another through objects that are neither.
    """
    owners = {i: _owner(node) for i, node in enumerate(graph["nodes"]) if _is_owner(node)}
    # What a Kustomization object itself needs (its source) is no order between what it and others apply.
    kustomizations = {i for i, owner in owners.items() if owner.kind == "Kustomization"}
    parents: dict[int, set[int]] = {}
    follows: dict[int, set[int]] = {}
    for edge in graph["edges"]:
        before, after = edge["before"], edge["after"]
        if edge["rule"] == "unit":
            parents.setdefault(before, set()).add(after)
        elif edge["basis"] != "declared" and not edge.get("cut") and after not in kustomizations:
            follows.setdefault(before, set()).add(after)
    for edge in graph["edges"]:
        if edge["rule"] == "derived":
            parents.setdefault(edge["after"], set()).update(parents.get(edge["before"], ()))
    inside = {
        i: _up(i, parents) | ({i} if i in owners and owners[i].kind == "Kustomization" else set())
        for i in range(len(graph["nodes"]))
    }
    pairs: set[Pair] = set()
    for before, afters in follows.items():
        for after in afters:
            both = inside[before] & inside[after]
            pairs |= {(owners[b], owners[a]) for b, a in product(inside[before] - both, inside[after] - both)}
    releases = {i for i, owner in owners.items() if owner.kind == "HelmRelease"}
    for release in releases:
        pairs |= {(owners[release], owners[other]) for other in _reached(release, follows, releases)}
    members = {(owners[i], owners[k]) for i, above in inside.items() if i in owners for k in above - {i}}
    return Inferred(members, {(before, after) for before, after in pairs if before != after})


def _is_owner(node: dict[str, Any]) -> bool:
    return bool(KINDS.get(node["ref"]["apiVersion"].partition("/")[0]) == node["ref"]["kind"] and node.get("file"))


def _owner(node: dict[str, Any]) -> Owner:
    return Owner(node["file"], node["ref"]["kind"], node["ref"]["namespace"], node["ref"]["name"])


def _up(index: int, parents: dict[int, set[int]]) -> set[int]:
    found: set[int] = set()
    stack = list(parents.get(index, ()))
    while stack:
        if (parent := stack.pop()) not in found:
            found.add(parent)
            stack.extend(parents.get(parent, ()))
    return found - {index}


def _reached(start: int, follows: dict[int, set[int]], stops: set[int]) -> set[int]:
    seen: set[int] = set()
    stack = [start]
    while stack:
        for after in follows.get(stack.pop(), ()):
            if after not in seen:
                seen.add(after)
                if after not in stops:
                    stack.append(after)
    return (seen & stops) - {start}


class Mark(NamedTuple):
    """How well the inferred order of a repo agrees with the declared one.

    units: Kustomizations and HelmReleases. found: declared pairs that the inferred order holds; shown and
        shown_found: of those with a visible reason (generated repos only). right: directly inferred pairs
        that the declared order holds; among: inferred pairs of units that both take part in a declaration.
    """

    repo: str
    units: int
    declared: int
    found: int
    shown: int
    shown_found: int
    inferred: int
    right: int
    among: int
    missed: tuple[str, ...]
    wrong: tuple[str, ...]


def mark(repo: Path, dr: list[str], visible: set[tuple[str, str]] | None = None) -> Mark:
    """Strip, infer and compare one repo; raises SystemExit if `dr graph` fails."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / repo.name
        declared, owners = stripped_copy(repo, copy)
        environment = {**os.environ, "DR_CACHE_DIR": f"{scratch}/cache"}
        command = [*dr, "graph", str(copy), "-o", "json"]
        done = subprocess.run(command, capture_output=True, env=environment, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise SystemExit(f"{shlex.join(command)}: exit code {done.returncode}\n{done.stderr.decode()[-2000:]}")
        inferred = read_graph(json.loads(done.stdout))
    return compare(repo.name, declared, len(owners), inferred, visible)


def compare(
    name: str, declared: list[Pair], units: int, inferred: Inferred, visible: set[tuple[str, str]] | None = None
) -> Mark:
    """Count agreement. Owners are compared without the namespace, which an overlay may set."""
    members = {(_plain(a), _plain(b)) for a, b in inferred.members}
    ours, theirs = Order(members), Order(members)
    pairs = {(_plain(a), _plain(b)): (a, b) for a, b in sorted(inferred.pairs)}
    for before, after in pairs:
        ours.add(before, after)
    wanted = {(_plain(a), _plain(b)): (a, b) for a, b in declared}
    for before, after in wanted:
        theirs.add(before, after)
    missed = {text for plain, text in wanted.items() if not ours.holds(*plain)}
    shown = {text for text in wanted.values() if visible is None or (str(text[0]), str(text[1])) in visible}
    speaking = {owner for pair in wanted for owner in pair}
    among = {plain for plain in pairs if set(plain) <= speaking}
    right = {plain for plain in pairs if theirs.holds(*plain)}
    return Mark(
        name,
        units,
        len(wanted),
        len(wanted) - len(missed),
        len(shown),
        len(shown - missed),
        len(pairs),
        len(right),
        len(among),
        tuple(f"{before} → {after}" for before, after in sorted(missed)),
        tuple(f"{pairs[p][0]} → {pairs[p][1]}" for p in sorted(set(pairs) - right)),
    )


def _plain(owner: Owner) -> Owner:
    return owner._replace(namespace="")


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} = {part / whole:.2f}" if whole else "-"


def _repos(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        texts = (path.read_text(errors="replace") for path in sorted(folder.rglob("*.yaml")) if path.is_file())
        if any("toolkit.fluxcd.io" in text for text in texts):
            yield folder


def main() -> None:
    """Read the command line, mark each repo, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*", help="Flux repos (those of the corpus)")
    parser.add_argument("--units", type=int, default=150, help="size of the generated repo; 0 for none (150)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dr", default="", help="the command to use (dr beside this Python)")
    parser.add_argument("--detail", action="store_true", help="list the pairs that differ")
    parser.add_argument("--json", action="store_true", help="figures as JSON instead of a table")
    args = parser.parse_args()
    dr = shlex.split(args.dr) or [str(Path(sys.executable).with_name("dr"))]
    corpus = Path(os.environ.get("DR_CORPUS") or ROOT.parent / "shared/corpus")
    folders = args.folders or (sorted(p for p in corpus.iterdir() if p.is_dir()) if corpus.is_dir() else [])
    marks = [mark(folder, dr) for folder in _repos(folders)]
    if args.units:
        with tempfile.TemporaryDirectory() as scratch:
            repo = Path(scratch) / f"generated-{args.units}"
            truth = flux_platform(repo, args.units, args.seed)
            visible = {(one.before, one.after) for one in truth if one.why != "unseen"}
            marks.append(mark(repo, dr, visible))
    if args.json:
        print(json.dumps([one._asdict() for one in marks], indent=1))
        return
    print(f"{'repo':30}{'units':>6}  {'recall':18}{'recall, visible':18}{'precision':18}inferred among declaring units")
    for one in marks:
        shares = (_share(one.found, one.declared), _share(one.shown_found, one.shown), _share(one.right, one.inferred))
        print(f"{one.repo:30}{one.units:6}  " + "".join(f"{share:18}" for share in shares) + str(one.among))
        if args.detail:
            print("".join(f"    not inferred: {pair}\n" for pair in one.missed), end="")
            print("".join(f"    not declared: {pair}\n" for pair in one.wrong), end="")


if __name__ == "__main__":
    main()
