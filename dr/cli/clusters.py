"""The commands about embedded clusters and this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dr.cli.common import answering, output

if TYPE_CHECKING:
    from dr.app.answer import Answer


@click.command()
@output("doctor")
@answering
def doctor(form: str) -> Answer:
    """Show what this machine has and lacks for each command, and what to do about it; exit code 1 if it lacks any."""
    from dr.app import clusters

    return clusters.doctor(form)


@click.group()
def cluster() -> None:
    """Embedded clusters: a real control plane in seconds, on this machine only."""


@cluster.command("up")
@click.argument("name")
@click.option("--nodes", default=3, show_default=True, help="Simulated nodes.")
@click.option("--version", "version", default="", metavar="VERSION", help="Kubernetes version.")
@output("cluster")
@answering
def cluster_up(**arguments: Any) -> Answer:
    """Bring a cluster up; it runs until `dr cluster down NAME`."""
    from dr import terminal
    from dr.app import clusters

    return clusters.up(**arguments, say=terminal.say)


@cluster.command("prepare")
@click.option("--version", "version", default="", metavar="VERSION", help="Kubernetes version.")
@output("cluster")
@answering
def cluster_prepare(**arguments: Any) -> Answer:
    """Find, download or build the programs of a cluster, so that the first one is up in seconds too."""
    from dr import terminal
    from dr.app import clusters

    return clusters.prepare(**arguments, say=terminal.say)


@cluster.command("down")
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them, and what crashes have left.")
@answering
def cluster_down(**arguments: Any) -> Answer:
    """End clusters and remove all that they hold."""
    from dr.app import clusters

    return clusters.down(**arguments)


@cluster.command("list")
@output("cluster")
@answering
def cluster_list(form: str) -> Answer:
    """List the clusters of this machine."""
    from dr.app import clusters

    return clusters.listing(form)


@cluster.command("status")
@click.argument("name")
@output("cluster")
@answering
def cluster_status(**arguments: Any) -> Answer:
    """Show a cluster's programs."""
    from dr.app import clusters

    return clusters.status(**arguments)


@cluster.command("kubeconfig")
@click.argument("name")
@answering
def cluster_kubeconfig(name: str) -> Answer:
    """Print a cluster's kubeconfig."""
    from dr.app import clusters

    return clusters.kubeconfig(name)


@cluster.command("logs")
@click.argument("name")
@click.argument("program", required=False, default="")
@click.option("--tail", default=20, show_default=True, help="Lines of each program.")
@answering
def cluster_logs(**arguments: Any) -> Answer:
    """Print the last lines that a cluster's programs have written."""
    from dr.app import clusters

    return clusters.logs(**arguments)
