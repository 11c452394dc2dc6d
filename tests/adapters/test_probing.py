"""Probes from outside: what each kind of question takes for an answer, and a clock that nothing delays."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from dr.adapters.kube import Access, Kube
from dr.adapters.probing import Prober
from dr.adapters.probing.canaries import CanaryWatch
from dr.adapters.probing.questions import Asker, Refused
from dr.adapters.probing.words import Sample
from dr.core.canary import Kept
from dr.core.errors import ToolError
from dr.core.gameday import Canary, Command, Duration, Http, KubernetesProbe, Probe, Prometheus, Tcp
from dr.local import cluster, etcd
from tests.chaos.shop import deployment, service
from tests.embedded import running

NOWHERE = Access("nowhere", "http://127.0.0.1:1")


def probe(every: float = 0.05, timeout: float = 0.5, **kind: Any) -> Probe:
    return Probe("it", **kind, every=Duration(every), timeout=Duration(timeout))


@asynccontextmanager
async def web_of(status: int = 200, text: str = "", delay: float = 0.0) -> AsyncIterator[str]:
    """Serve one answer at every path, and yield the address."""

    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(delay)
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def asker(tmp_path: Path) -> Asker:
    return Asker(NOWHERE, tmp_path)


async def refusal(asker: Asker, asked: Probe) -> str:
    """Return why a probe does not pass, "" when it does."""
    try:
        async with asyncio.timeout(5):
            await asker.ask(asked)
    except Refused as refused:
        return str(refused) or "refused"
    return ""


async def taken(prober: Prober, seconds: float) -> list[Sample]:
    """Return what a prober says in some seconds."""
    found: list[Sample] = []

    async def take() -> None:
        async for sample in prober.samples():
            found.append(sample)  # noqa: PERF401 - what was taken is wanted when the time is over

    try:
        await asyncio.wait_for(take(), seconds)
    except TimeoutError:
        return found
    raise AssertionError("the samples have ended")


@pytest.mark.parametrize(
    ("wanted", "served", "said"),
    [
        ({}, {}, ""),
        ({"contains": "fine"}, {"text": "all fine"}, ""),
        ({"contains": "fine"}, {"text": "down for repair"}, "does not contain 'fine'"),
        ({}, {"status": 503}, "status 503, not 200"),
        ({"status": 401}, {"status": 401}, ""),
    ],
)
def test_a_page_that_answers_with_an_error_is_no_pass(
    asker: Asker, wanted: dict[str, Any], served: dict[str, Any], said: str
) -> None:
    async def ask() -> str:
        async with web_of(**served) as url:
            return await refusal(asker, probe(http=Http(f"{url}/x", **wanted)))

    found = asyncio.run(ask())
    assert said in found
    assert bool(said) == bool(found)


VECTOR = '{"status":"success","data":{"resultType":"vector","result":[%s]}}'


@pytest.mark.parametrize(
    ("text", "limits", "said"),
    [
        (VECTOR % '{"value":[1,"0.5"]}', {"least": 0.1}, ""),
        (VECTOR % '{"value":[1,"0.5"]},{"value":[1,"7"]}', {"most": 1.0}, "a sample is 7"),
        (VECTOR % "", {"most": 1.0}, "finds no sample"),
        (VECTOR % '{"value":[1,"NaN"]}', {}, "nan"),
        ('{"status":"success","data":{"resultType":"scalar","result":[1,"3"]}}', {"least": 3.0}, ""),
        ('{"status":"error","error":"parse error"}', {}, "parse error"),
        ("<html>", {}, "no JSON"),
        ('{"status":"success","data":{}}', {}, "finds no sample"),
        ('{"status":"success","data":{"resultType":"scalar","result":{}}}', {}, "no number"),
    ],
)
def test_a_query_that_finds_nothing_or_too_much_is_no_pass(
    asker: Asker, text: str, limits: dict[str, float], said: str
) -> None:
    async def ask() -> str:
        async with web_of(text=text) as url:
            return await refusal(asker, probe(prometheus=Prometheus(url, "up", **limits)))

    found = asyncio.run(ask())
    assert said in found
    assert bool(said) == bool(found)


def test_a_port_that_nobody_listens_on_is_no_pass(asker: Asker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert asyncio.run(refusal(asker, probe(tcp=Tcp("127.0.0.1", port)))) == ""
    assert "refused" in asyncio.run(refusal(asker, probe(tcp=Tcp("127.0.0.1", port)))).lower()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (Command(("echo", "green")), ""),
        (Command(("echo", "green"), contains="red"), "does not print 'red'"),
        (Command(("sh", "-c", "exit 3")), "sh ended with 3"),
        (Command(("no-such-command-here",)), "No such file"),
    ],
)
def test_a_command_passes_by_its_exit_code_and_what_it_prints(asker: Asker, command: Command, said: str) -> None:
    found = asyncio.run(refusal(asker, probe(command=command)))
    assert said in found
    assert bool(said) == bool(found)


def test_a_command_is_told_which_cluster_is_meant_now(asker: Asker) -> None:
    asker.move(Access("the-new-one", "http://127.0.0.1:2"))
    shown = Command(("sh", "-c", 'cat "$KUBECONFIG"'), contains="the-new-one")
    assert asyncio.run(refusal(asker, probe(command=shown))) == ""


@pytest.mark.parametrize("url", ["http://me:hunter2@127.0.0.1:1/", "http://me:hunter2@/", "ftp://me:hunter2@x/"])
def test_a_password_in_an_address_is_never_in_a_cause(asker: Asker, url: str) -> None:
    found = asyncio.run(refusal(asker, probe(http=Http(url))))
    assert found
    assert "hunter2" not in found


def test_a_hanging_question_is_given_up_on_time_and_delays_no_other(tmp_path: Path) -> None:
    async def ask() -> list[Sample]:
        async with web_of(delay=60) as slow, web_of() as quick:
            probes = [probe(0.1, 0.35, http=Http(slow)), probe(0.1, 0.35, http=Http(quick))]
            async with Prober(probes, NOWHERE) as prober:
                await anext(aiter(prober.samples()))
                return await taken(prober, 3.0)

    samples = asyncio.run(ask())
    hung, fine = ([s for s in samples if s.probe == index] for index in (0, 1))
    assert len(hung) > 1
    assert {s.cause for s in hung} == {"no answer in 0.35 s"}
    assert all(0.35 <= s.at - s.began < 2 for s in hung)
    assert any(h.began < s.began < s.at < h.at for h in hung for s in fine)
    assert all(s.passed for s in fine)


def test_a_probe_that_trips_over_something_unforeseen_fails_and_is_asked_again() -> None:
    asked = [
        probe(tcp=Tcp("127.0.0.1", 99_999)),
        probe(kubernetes=KubernetesProbe(service="shop")),
        probe(canary=Canary(config_map="")),
    ]

    async def ask() -> list[Sample]:
        async with Prober(asked, NOWHERE) as prober:
            await anext(aiter(prober.samples()))
            assert await prober.survived() == {}, "one that cannot be read is left out"
            return await taken(prober, 1.0)

    samples = asyncio.run(ask())
    for index in range(len(asked)):
        causes = [sample.cause for sample in samples if sample.probe == index]
        assert len(causes) > 3
        assert all(causes)
    assert any("OverflowError" in sample.cause for sample in samples if sample.probe == 0)
    assert any("ValueError" in sample.cause for sample in samples if sample.probe == 1)


def test_questions_keep_their_grid_while_dr_itself_is_busy() -> None:
    async def ask() -> list[Sample]:
        async with web_of() as url:
            # A port that a kernel accepts on its own: this process is not needed to answer.
            port = int(url.rpartition(":")[2])
            async with Prober([probe(0.1, tcp=Tcp("127.0.0.1", port))], NOWHERE) as prober:
                await anext(aiter(prober.samples()))
                time.sleep(1.5)  # noqa: ASYNC251 - what is tested
                return await taken(prober, 0.5)

    began = [s.began for s in asyncio.run(ask())]
    gaps = [later - earlier for earlier, later in pairwise(began)]
    assert len(gaps) >= 10
    assert max(gaps) < 1
    # A fixed grid does not drift: as many questions as there were tenths of a second, give or take a few left out.
    assert (began[-1] - began[0]) / 0.1 == pytest.approx(len(gaps), abs=8)


def test_nothing_that_a_probe_started_outlives_it(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    command = Command(("sh", "-c", f"sleep 600 & echo $! $$ >> {mark}; wait"))

    async def ask() -> None:
        async with Prober([probe(0.1, 0.3, command=command)], NOWHERE) as prober:
            samples = prober.samples()
            while not mark.exists() or len(mark.read_text().split()) < 4:
                await anext(samples)

    asyncio.run(ask())
    started = mark.read_text().split()
    assert not [pid for pid in started if _lives(int(pid))]


def test_a_killed_prober_ends_the_samples_with_a_reason() -> None:
    async def ask() -> None:
        async with Prober([probe(tcp=Tcp("127.0.0.1", 1))], NOWHERE) as prober:
            await anext(aiter(prober.samples()))
            os.kill(prober._process.pid, signal.SIGKILL)
            async for _ in prober.samples():
                pass

    with pytest.raises(ToolError, match="probes' process is gone"):
        asyncio.run(ask())


def test_a_prober_ends_when_nobody_listens_any_more() -> None:
    script = (
        "import asyncio, os\n"
        "from dr.adapters.kube import Access\n"
        "from dr.adapters.probing import Prober\n"
        "from dr.core.gameday import Duration, Probe, Tcp\n"
        "async def go():\n"
        "    one = Probe('it', tcp=Tcp('127.0.0.1', 1), every=Duration(.05), timeout=Duration(1))\n"
        "    prober = await Prober([one], Access('n', 'http://127.0.0.1:1')).__aenter__()\n"
        "    await anext(aiter(prober.samples()))\n"
        "    print(prober._process.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(go())\n"
    )

    async def pid() -> int:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        return int(said)

    left = asyncio.run(pid())
    until = time.monotonic() + 20
    while _lives(left):
        assert time.monotonic() < until, "the prober still runs"
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


class Store:
    """A store of somebody's own, as two commands know it: a number in a file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "newest"
        self.canary = Canary(
            write=("sh", "-c", f"echo {{n}} > {self.file}"), read=("sh", "-c", f"cat {self.file} 2>/dev/null || true")
        )


def test_a_canary_tells_how_far_back_the_data_was_seen_again(tmp_path: Path, asker: Asker) -> None:
    store = Store(tmp_path)
    watch = CanaryWatch(store.canary, asker)

    async def go() -> list[int | None]:
        seen: list[int | None] = []
        for _ in range(5):
            await watch.write()
        seen.append(await watch.survived())
        store.file.write_text("3")
        assert await watch.write() == 6  # a number is never used twice
        seen.append(await watch.survived())
        store.file.unlink()
        await watch.write()
        seen.append(await watch.survived())
        return seen

    assert asyncio.run(go()) == [5, 3, None]


def test_data_that_came_back_after_it_was_gone_counts_as_survived(tmp_path: Path, asker: Asker) -> None:
    store = Store(tmp_path)
    watch = CanaryWatch(store.canary, asker)

    async def go() -> int | None:
        for _ in range(5):
            await watch.write()
        store.file.unlink()
        await watch.write()
        store.file.write_text("4")
        await watch.write()
        return await watch.survived()

    assert asyncio.run(go()) == 4


def test_what_is_lost_after_the_first_loss_does_not_hide_it(tmp_path: Path, asker: Asker) -> None:
    store = Store(tmp_path)
    watch = CanaryWatch(store.canary, asker)

    async def go() -> int | None:
        for _ in range(5):
            await watch.write()
        store.file.write_text("2")
        for _ in range(5):
            await watch.write()
        store.file.write_text("8")
        return await watch.survived()

    assert asyncio.run(go()) == 2


def test_a_canary_that_goes_on_sees_that_the_data_is_older_than_what_was_acknowledged(
    tmp_path: Path, asker: Asker
) -> None:
    store = Store(tmp_path)
    store.file.write_text("12")

    async def go() -> list[Any]:
        async with Prober([probe(0.05, 2.0, canary=store.canary)], NOWHERE, {0: Kept(30, 30)}) as prober:
            first = await anext(aiter(prober.samples()))
            counted = await prober.counted()
        anew = CanaryWatch(store.canary, asker)
        return [
            first.number,
            first.found,
            counted.numbers[0],
            counted.there[0] >= (31, 31),
            await anew.write(),
            anew.found,
        ]

    number, found, survived, later, other, surprise = asyncio.run(go())
    assert (number, found, survived, later) == (31, 12, 12, True)
    assert other > 31
    assert surprise is None, "who knows nothing is not surprised"


def test_a_canary_that_cannot_be_read_afterwards_is_not_known_rather_than_lost(tmp_path: Path) -> None:
    canary = Canary(write=("true",), read=("sh", "-c", f"test ! -e {tmp_path / 'broken'}"))

    async def go() -> Any:
        async with Prober([probe(0.05, 2.0, canary=canary)], NOWHERE) as prober:
            await anext(aiter(prober.samples()))
            (tmp_path / "broken").touch()
            return await prober.survived()

    assert asyncio.run(go()) == {}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    with running(tmp_path_factory.mktemp("state"), "probed") as made:
        yield made


def on(town: cluster.Cluster, *bodies: dict[str, Any]) -> Coroutine[Any, Any, None]:
    async def put() -> None:
        async with Kube(town.access) as kube:
            for body in bodies:
                await kube.apply(body, manager="test")

    return put()


def test_a_workload_passes_only_while_all_its_pods_serve(town: cluster.Cluster, tmp_path: Path) -> None:
    asker = Asker(town.access, tmp_path)
    serves = probe(kubernetes=KubernetesProbe(workload="Deployment/default/web"))
    behind = probe(kubernetes=KubernetesProbe(service="default/web"))
    ready = probe(kubernetes=KubernetesProbe(ready="Deployment/default/web", api_version="apps/v1"))
    exists = probe(kubernetes=KubernetesProbe(exists="Service/default/web"))

    async def all_pass() -> None:
        until = time.monotonic() + 30
        while said := [await refusal(asker, p) for p in (serves, behind, ready, exists)]:
            if not any(said):
                return
            assert time.monotonic() < until, said
            await asyncio.sleep(0.1)

    async def go() -> None:
        assert await refusal(asker, serves) == "it is not there"
        assert await refusal(asker, exists) == "it is not there"
        assert await refusal(asker, behind) == "no ready endpoint"
        await on(town, deployment("default", "web", 2), service("default", "web"))
        await all_pass()
        await on(town, deployment("default", "web", 0))
        assert await refusal(asker, serves) == "it wants no pods"

    asyncio.run(go())


def test_a_canary_in_etcd_counts_the_writes_that_a_snapshot_lacks(town: cluster.Cluster, tmp_path: Path) -> None:
    async def go() -> tuple[list[int], Any, bool]:
        canary = Canary(config_map="default/dr-canary")
        async with Prober([probe(0.1, 3.0, canary=canary)], town.access) as prober:
            before: list[Sample] = []
            while sum(sample.passed for sample in before) < 3:
                before += await taken(prober, 0.5)
            await asyncio.to_thread(etcd.snapshot, town.folder)
            written = before + await taken(prober, 1.0)
            await asyncio.to_thread(etcd.put_back, town.folder)
            after = await taken(prober, 2.0)
            survived = await prober.survived()
        async with Kube(town.access) as kube:
            left = await kube.list("v1", "ConfigMap", namespace="default")
        passed = [s.number for s in written if s.passed and s.number]
        assert after[-1].passed
        return passed, survived[0], any(body["metadata"]["name"] == "dr-canary" for body in left)

    written, survived, left = asyncio.run(go())
    assert survived is not None
    assert written[0] < survived < written[-1]
    assert not left, "the canary's own object was left in the cluster"


def test_a_config_map_that_is_somebody_elses_is_never_written_over(town: cluster.Cluster, tmp_path: Path) -> None:
    asker = Asker(town.access, tmp_path)
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "default"},
        "data": {"mode": "fast"},
    }

    async def go() -> Any:
        await on(town, theirs)
        with pytest.raises(Refused, match="no canary's"):
            await CanaryWatch(Canary(config_map="default/settings"), asker).write()
        async with Kube(town.access) as kube:
            return [b["data"] for b in await kube.list("v1", "ConfigMap", namespace="default") if b.get("data")]

    assert {"mode": "fast"} in asyncio.run(go())


def test_probes_follow_to_the_cluster_that_was_recovered_into(town: cluster.Cluster) -> None:
    exists = KubernetesProbe(exists="Namespace/default")

    async def go() -> tuple[bool, bool]:
        async with Prober([probe(0.05, 2.0, kubernetes=exists)], NOWHERE) as prober:
            before = await taken(prober, 1.5)
            await prober.move(town.access)
            after = await taken(prober, 1.5)
            return any(s.passed for s in before), after[-1].passed

    assert asyncio.run(go()) == (False, True)
