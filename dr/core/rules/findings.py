"""Every kind of finding: its code, level, title, and what it means for a cold restore."""

from __future__ import annotations

from dr.core.model import Level
from dr.core.rules.rows import Finding

_E, _W, _I = Level.ERROR, Level.WARNING, Level.INFO
_LOST = "What the file holds is missing from the graph and from a restore."

# ruff: noqa: E501 - a row of the table is a line
_ROWS: tuple[tuple[str, Level, str, str], ...] = (
    ("bad-config", _E, "dr.yaml is wrong", "Rules of the team are not applied. Correct the line that is named."),
    ("binary", _W, "A YAML or JSON file is binary", f"{_LOST} Rename or remove the file."),
    ("cycle", _W, "Objects use each other", "A soft edge is left out so that there is an order; check that the one proposed is the right one to cut."),
    ("deadlock", _E, "Objects need each other before either can be", "The repo cannot come back as written. Take one of the references out, or move its object to an earlier unit."),
    ("duplicate-anchor", _W, "A YAML anchor is defined twice", "Aliases mean the latest definition; readers rarely see that. Give the anchors different names."),
    ("duplicate-key", _E, "A mapping has the same key twice", "The API server refuses it with strict validation, so a restore stops there. Remove one of the two."),
    ("duplicate-object", _E, "The same object stands in two places", "Which of them wins depends on who applies last. Delete one, or select one part with --path or --env."),
    ("file-name", _W, "A file name is not UTF-8", "Tools disagree on such names. Rename the file."),
    ("kubectl-refuses", _E, "YAML that kubectl refuses", "It can be read here, but not applied. Correct the line that is named."),
    ("lfs-pointer", _W, "A Git LFS pointer stands where a manifest should", f"{_LOST} Restores from a plain clone see the pointer only. Keep manifests out of LFS."),
    ("merge-overrides", _W, "A merge key overrides keys above it", "kubectl lets << win over them, newer YAML tools do not. Put << first."),
    ("missing-chart", _E, "A chart's folder is not in git", "The release cannot be installed. Restore the folder, or point the release at where its chart lives."),
    ("missing-crd", _W, "Nothing in git brings the API of a custom resource", "The API server refuses the object until somebody installs the CRD. Keep it in git, or list it as a prerequisite."),
    ("missing-dependency", _W, "A dependency that nobody declared", "Objects of one unit need another unit, but no dependsOn says so: the restore works by luck and retries. Declare it."),
    ("missing-namespace", _E, "A namespace is defined nowhere", "Everything in it is refused. Add the Namespace to git, or create it before the restore."),
    ("missing-path", _W, "A unit points at a folder that is not there", "The unit restores nothing. Correct the path, or give the repo that holds it as a further REPO."),
    ("missing-reference", _E, "An object names another that is defined nowhere", "Pods hang and routes lead nowhere. Add the object to git (sealed or by reference), correct the name, or list it under provided: in dr.yaml."),
    ("no-controller", _W, "A CRD is in git, but nothing seems to serve it", "The objects are stored and nothing happens. Check that their controller comes back too."),
    ("not-a-number", _E, "A number that JSON cannot hold", "The API server refuses .inf and .nan. Quote it, or use a finite number."),
    ("not-an-object", _I, "It looks like an object and is none", "No cluster takes it. Add what is missing, or ignore it if it is for another tool."),
    ("not-utf-8", _W, "A file is not UTF-8", "kubectl reads what it cannot decode as U+FFFD. Save the file as UTF-8."),
    ("overlay-cycle", _E, "Overlays build on each other", "None of them can be built. Take one entry out."),
    ("overlay-failed", _E, "An overlay cannot be built", "Its changes are missing from the graph; its files are read as they are. Build it with kubectl kustomize to see more."),
    ("overlay-missing-path", _E, "An overlay lists what is not there", "kustomize refuses the whole overlay. Correct the entry."),
    ("overlay-outside", _E, "An overlay reaches outside the repo", "A restore from git alone cannot build it. Bring the file into the repo."),
    ("overlay-plugin", _W, "An overlay runs a plugin or a chart", "It is left out here, and needs the plugin at restore. Render it in CI and commit the result."),
    ("overlay-remote", _W, "An overlay builds on a URL", "A restore needs that server to be there, unchanged. Vendor it, or give that repo as a further REPO."),
    ("prerequisite", _W, "Something needed is not in git", "The restore stops or hangs without it. Keep it in the runbook, with a tested copy outside the cluster."),
    ("redundant-dependency", _I, "A declared dependency says nothing new", "It delays nothing here, but hides the real order. Remove it, or keep it as documentation."),
    ("removed-api", _E, "An API that no cluster serves any more", "A current API server refuses the object. Move it to the version named."),
    ("removed-crd-api", _W, "A version of a project's API that is gone", "A current release of that project refuses the object. Move it to the version named, or pin the old release."),
    ("secret-in-plain-text", _W, "A Secret stands in git in plain text", "Whoever reads the repo has it, and rotating it means rewriting history. Seal it, or keep it in a secret store."),
    ("stale-clone", _W, "A repo could not be fetched", "The plan is made from the last copy. Check the network and the credentials."),
    ("submodule", _W, "A submodule is not read", "What it holds is missing from the graph. Give its repo as a further REPO."),
    ("symlink", _I, "A symbolic link is not followed", "Its target is read under its own path."),
    ("symlink-cycle", _W, "Symbolic links lead in a circle", "Tools that follow them hang or fail. Remove the link."),
    ("symlink-outside", _W, "A symbolic link leaves the repo", "It is never followed; a clone elsewhere does not have its target. Bring the file into the repo."),
    ("template", _I, "A template, not yet a manifest", "Its own tool renders it; what it makes is not in the graph."),
    ("too-large", _E, "A file is larger than the limit", f"{_LOST} Split it, or raise --max-file-size."),
    ("unknown-dependency", _E, "A declared dependency names nothing", "The unit waits for ever. Correct the name, or remove the dependency."),
    ("unlisted", _I, "A manifest that its overlay does not list", "Git has it, no restore will. List it, or delete it."),
    ("unreadable", _E, "A file could not be read", f"{_LOST} Check its permissions and the repo's integrity."),
    ("unresolved-variable", _W, "A name is a variable without a value in git", "Who needs what cannot be told. Give it a literal value, or declare the dependency with dr.dev/depends-on."),
    ("webhook-deadlock", _W, "A webhook guards its own backend", "It restores once; but when the backend's pods are lost, none can be created. Exclude the backend by a selector."),
    ("yaml-bomb", _E, "YAML that expands beyond all bounds", f"{_LOST} Write it without nested aliases."),
    ("yaml-syntax", _E, "A file is not valid YAML", f"{_LOST} Correct the line that is named."),
)  # fmt: skip

FINDINGS: tuple[Finding, ...] = tuple(Finding(*row) for row in _ROWS)
LEVEL: dict[str, Level] = {finding.code: finding.level for finding in FINDINGS}
# What to do comes last in a help text.
REMEDY: dict[str, str] = {finding.code: finding.help.removesuffix(".").rpartition(". ")[2] for finding in FINDINGS}
# With one of these, what is restored is not all that git holds: such a restore must not be called whole.
INCOMPLETE: frozenset[str] = frozenset(
    {finding.code for finding in FINDINGS if _LOST in finding.help and finding.level is _E}
    | {"overlay-failed", "overlay-missing-path", "overlay-outside", "overlay-remote"}
)
