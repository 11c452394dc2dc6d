"""The Kubernetes API over HTTP: kubeconfig contexts and a client that fits the engine's port."""

from dr.adapters.kube.access import IN_CLUSTER, Access, contexts, from_kubeconfig, in_cluster, kubeconfig
from dr.adapters.kube.answers import words
from dr.adapters.kube.client import Kube
from dr.adapters.kube.survey import Survey

__all__ = [
    "IN_CLUSTER",
    "Access",
    "Kube",
    "Survey",
    "contexts",
    "from_kubeconfig",
    "in_cluster",
    "kubeconfig",
    "words",
]
