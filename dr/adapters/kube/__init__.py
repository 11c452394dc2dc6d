"""The Kubernetes API over HTTP: kubeconfig contexts and a client that fits the engine's port."""

from dr.adapters.kube.access import Access, contexts, from_kubeconfig, kubeconfig
from dr.adapters.kube.client import Kube, words
from dr.adapters.kube.survey import Survey

__all__ = ["Access", "Kube", "Survey", "contexts", "from_kubeconfig", "kubeconfig", "words"]
