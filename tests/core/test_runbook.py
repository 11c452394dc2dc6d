"""A runbook that people can follow: what comes first stands first, each unit once, nothing that a shell could misread."""

from __future__ import annotations

import shutil
import subprocess
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dr.core.graph import Source, build
from dr.core.hostnames import hostnames
from dr.core.model import Basis, Edge, Graph, Node, Origin, Pin, Ref, Strength, Unit, Where
from dr.core.plan import order
from dr.core.runbook import Runbook, runbook, steps
from dr.report.runbook_markdown import markdown
from tests.core.build import graph, objects
from tests.core.test_plan import graphs

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: registry.example/web, envFrom: [{secretRef: {name: db}}]}]
---
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata: {name: db, namespace: shop}
spec: {encryptedData: {password: x}, template: {metadata: {name: db, namespace: shop}}}
"""
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
BASH = shutil.which("bash") or "bash"


def made(found: Graph) -> Runbook:
    return runbook(found, order(found))


@st.composite
def platforms(draw: st.DrawFn, *, tangled: bool = False) -> Graph:
    """Draw a graph whose objects are deployed by units; tangled ones may wait for each other both ways."""
    found = draw(graphs())
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    count = len(found.nodes)
    nodes = tuple(
        replace(
            n,
            unit=names[i % len(names) if tangled else i * len(names) // count],
            ref=replace(n.ref, api_version="apps/v1") if n.ref.kind == "Deployment" else n.ref,
        )
        for i, n in enumerate(found.nodes)
    )
    units = tuple(Unit(name, "folder", f"units/{name}") for name in sorted({n.unit for n in nodes}))
    return replace(found, nodes=nodes, units=units)


def test_what_git_does_not_hold_comes_before_the_first_unit() -> None:
    book = made(graph(SHOP))
    said = "\n".join(note for task in book.before for note in task.notes)
    assert "SealingKey sealed-secrets-key" in said
    assert "registry.example" in said
    assert "bitnami.com" in said
    (unit,) = book.units
    assert book.tasks.index(unit) == len(book.before)


def test_a_unit_says_how_to_see_that_it_is_well() -> None:
    (unit,) = made(graph(SHOP)).units
    commands = [command for block in unit.blocks for command in block.commands]
    assert any(c.startswith("kubectl apply --server-side") for c in commands)
    assert "kubectl -n shop rollout status --timeout=10m deployment/web" in commands
    assert any("--for=condition=Synced" in c and "/db" in c for c in commands)


@given(platforms())
def test_each_unit_comes_once_and_after_every_unit_that_it_needs(found: Graph) -> None:
    plan = order(found)
    book = runbook(found, plan)
    keys = [task.key for task in book.units]
    assert sorted(keys) == sorted({f"unit {plan.node(i).unit}" for i in range(len(plan.steps))})
    for index, step in enumerate(plan.steps):
        for before, strength in zip(step.after, step.strengths, strict=True):
            first, then = (f"unit {plan.node(i).unit}" for i in (before, index))
            if strength is not Strength.SOFT:
                assert keys.index(first) <= keys.index(then)


@given(platforms(tangled=True))
def test_what_is_written_is_read_back_step_by_step(found: Graph) -> None:
    book = made(found)
    read = steps(markdown(book, found.pins).decode())
    assert len(read) == len(book.tasks)
    for task, step in zip(book.tasks, read, strict=True):
        commands = ["\n".join(block.commands).strip("\n") for block in task.blocks]
        assert list(step.commands) == [c for c in commands if c]


def waiting(*pairs: tuple[str, str], **units: str) -> Graph:
    """Return a graph of Deployments, each needed before the other of its pair; `units`: name → its Deployments."""
    names = sorted(name for members in units.values() for name in members.split())
    home = {name: unit for unit, members in units.items() for name in members.split()}
    nodes = tuple(
        Node(Ref("apps/v1", "Deployment", "ns", n), Origin.GIT, home[n], "", Where(f"{home[n]}/{n}.yaml", 1))
        for n in names
    )
    edges = tuple(
        Edge(names.index(b), names.index(a), Strength.READY, Basis.REFERENCE, "r", "needs", Where("f", 1))
        for b, a in pairs
    )
    made_of = tuple(Unit(name, "folder", name) for name in sorted(units))
    return Graph((), made_of, nodes, tuple(sorted(edges)), (), frozenset(), (), ())


def test_what_cannot_be_well_yet_is_not_waited_for_but_applied_again_and_checked_where_it_can() -> None:
    first, then = made(waiting(("a1", "b1"), ("b1", "a2"), a="a1 a2", b="b1")).units
    assert (first.key, then.key) == ("unit a", "unit b")
    here = "\n".join(command for block in first.blocks for command in block.commands)
    assert "deployment/a1" in here
    assert "deployment/a2" not in here
    assert any("further down" in note for note in first.notes)
    says = [block.says for block in then.blocks]
    assert "Now again unit a, of which a part had to wait:" in says
    later = [command for block in then.blocks for command in block.commands]
    assert later.index("kubectl apply --server-side -n ns -f a/a1.yaml -f a/a2.yaml") < later.index(
        "kubectl -n ns rollout status --timeout=10m deployment/a2"
    )


@given(platforms(tangled=True))
def test_every_object_that_can_be_waited_for_is_waited_for_once(found: Graph) -> None:
    plan = order(found)
    commands = [c for task in runbook(found, plan).units for block in task.blocks for c in block.commands]
    rolled = [c.rpartition("/")[2] for c in commands if " rollout status " in c]
    refs = [plan.node(index).ref for index in range(len(plan.steps))]
    assert sorted(rolled) == sorted(ref.name for ref in refs if ref.kind == "Deployment" and ref.group == "apps")
    for task in runbook(found, plan).units:
        assert any(block.says.startswith(("Wait", "Look", "See")) for block in task.blocks)


@settings(max_examples=40, deadline=None)
@given(NAMES)
def test_no_name_becomes_a_command_or_a_word_of_its_own(name: str) -> None:
    found = graph(SHOP)
    unit = Unit("apps", "kustomize", name)
    nodes = tuple(replace(n, unit="apps", where=Where(f"{name}/all.yaml", 1)) for n in found.nodes)
    wanted = tuple(replace(p, name=f"{p.name}{name}") for p in found.prerequisites)
    pins = (Pin(name, f"https://forge.example/{name}", "c0ffee"),)
    book = made(replace(found, pins=pins, units=(unit,), nodes=nodes, prerequisites=wanted))
    script = "\n".join(c for step in steps(markdown(book, pins).decode()) for c in step.commands)
    told = f'for c in cd git kubectl flux curl; do eval "$c() {{ printf \'%s\\\\0\' $c \\"\\$@\\"; }}"; done\n{script}'
    done = subprocess.run([BASH, "--norc", "-c", told], capture_output=True, check=False, timeout=20, env={"PATH": ""})
    assert done.stderr == b""
    words = done.stdout.decode().split("\0")
    file = f"{name}/all.yaml"
    assert (f"./{file}" if file.startswith("-") else file) in words
    assert {words[i - 1] for i, word in enumerate(words) if word.endswith("/all.yaml")} == {"-f"}


def test_an_object_that_is_named_when_made_is_created_and_found_without_a_name() -> None:
    (unit,) = made(graph("apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: once-, namespace: shop}\n")).units
    assert any("kubectl create" in note for note in unit.notes)
    commands = [command for block in unit.blocks for command in block.commands]
    assert "kubectl -n shop get --sort-by=.metadata.creationTimestamp job" in commands
    assert not any("once-" in command for command in commands)


def test_objects_that_only_have_to_be_there_are_looked_for() -> None:
    (unit,) = made(graph("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: shop}\n")).units
    assert unit.blocks[-1].commands == ("kubectl -n shop get configmap/c",)


def test_kubernetes_own_kinds_are_not_taken_for_custom_ones() -> None:
    text = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: reader}\nrules: []\n"
    (unit,) = made(graph(text)).units
    assert unit.blocks[-1].commands == ("kubectl get clusterrole/reader",)


def test_data_that_git_does_not_have_is_to_be_restored_before_one_goes_on() -> None:
    text = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: files, namespace: shop}\nspec: {}\n"
    (unit,) = made(graph(text)).units
    assert any("PersistentVolumeClaim shop/files" in note and "backup" in note for note in unit.notes)


def test_a_file_that_sops_encrypted_is_not_applied_as_it_stands() -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: shop}\nsops: {mac: x}\n"
    book = made(graph(text))
    assert any("sops decrypt" in note and "all.yaml" in note for note in book.units[0].notes)
    assert any(task.key == "need decryption-key" for task in book.before)


def test_a_folder_with_other_units_below_it_is_never_applied_as_a_whole() -> None:
    owner = Ref("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "flux-system", "apps")
    units = (Unit("apps", "Kustomization", "apps", owner=owner), Unit("apps:cart", "Kustomization", "apps"))
    nodes = (
        Node(owner, Origin.GIT, "apps", "", Where("clusters/apps.yaml", 1)),
        Node(Ref("v1", "Namespace", "", "shop"), Origin.GIT, "apps", "", Where("apps/namespace.yaml", 1)),
        Node(Ref("apps/v1", "Deployment", "shop", "cart"), Origin.GIT, "apps:cart", "", Where("apps/cart/d.yaml", 1)),
    )
    whole, part = made(Graph((), units, nodes, (), (), frozenset(), (), ())).units
    assert whole.blocks[0].commands == ("kubectl apply --server-side -f apps/namespace.yaml",)
    assert [block.commands[0] for block in part.blocks[:2]] == [
        "kubectl apply --server-side -n shop -k apps/cart",
        "kubectl apply --server-side -n shop -f apps/cart/d.yaml",
    ]


def test_names_that_people_use_are_asked_for_at_first_and_pointed_here_at_the_end() -> None:
    text = """
    apiVersion: networking.k8s.io/v1
    kind: Ingress
    metadata:
      name: web
      namespace: shop
      annotations: {external-dns.alpha.kubernetes.io/hostname: "a.shop.example, B.shop.example."}
    spec: {rules: [{host: shop.example}, {host: "*.shop.example"}, {host: web.shop.svc}, {host: localhost}, {}]}
    """
    names = hostnames(objects(text))
    assert [n.name for n in names] == ["*.shop.example", "a.shop.example", "b.shop.example", "shop.example"]
    assert {n.needed_by for n in names} == {("Ingress shop/web",)}
    found = graph(text)
    book = runbook(found, order(found), names)
    assert "need dns-name" in [task.key for task in book.before]
    (dns,) = (task for task in book.after if task.key == "dns")
    asked = dns.blocks[-1].commands
    assert asked == ("nslookup a.shop.example", "nslookup b.shop.example", "nslookup shop.example")


def test_the_order_of_the_files_changes_no_word() -> None:
    found = list(objects(SHOP))
    pages = set()
    for seed in range(6):
        Random(seed).shuffle(found)
        again = build(Source(tuple(found)))
        pages.add(markdown(made(again), again.pins))
    assert len(pages) == 1


def test_steps_that_people_wrote_are_steps_too() -> None:
    text = (
        "# Ours\n\n### 1. Call the vendor\n\nNumber in the safe.\n\n"
        "### 2. Restore\n\n```bash\nkubectl apply -f .\n# ### 9. no step\n```\n\n## Notes\n\nnone\n"
    )
    found = steps(text)
    assert [step.title for step in found] == ["Call the vendor", "Restore"]
    assert found[0].commands == ()
    assert found[1].commands == ("kubectl apply -f .\n# ### 9. no step",)


def test_a_text_without_steps_has_none() -> None:
    assert steps("# Nothing here\n\n```sh\nunclosed") == ()
