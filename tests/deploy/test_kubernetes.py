"""`deploy/kubernetes/executor.yaml` fits the Restricted standard field by field, and agrees with code and image.

What Kubernetes itself would say was not asked: there is no cluster here.
"""

from typing import Any

import pytest
import yaml

from deploy import image_tree
from deploy.pod import MANIFEST, ROOT, of_kind, pod_spec
from hardpoint_executor.broker.policy import PORTS
from hardpoint_executor.server import Options
from hardpoint_kit import address
from hardpoint_kit.rpc.server import STOP_SECONDS
from hardpointd.catalog import PEERS
from hardpointd.options import DaemonOptions

SPEC = pod_spec()
(CONTAINER,) = SPEC["containers"]
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]["executor"]
VOLUMES_OF_THE_STANDARD = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"),
}


def either(field: str) -> list[Any]:
    """What a field of the security context is for each container: its own value, else the pod's."""
    pod = SPEC.get("securityContext", {})
    return [container.get("securityContext", {}).get(field, pod.get(field)) for container in containers()]


def containers() -> list[dict[str, Any]]:
    kinds = ("containers", "initContainers", "ephemeralContainers")
    return [container for kind in kinds for container in SPEC.get(kind, [])]


def contexts() -> list[dict[str, Any]]:
    return [SPEC.get("securityContext", {}), *(container.get("securityContext", {}) for container in containers())]


def probes(container: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = ("startupProbe", "readinessProbe", "livenessProbe")
    return [container[kind] for kind in kinds if kind in container]


def volume_types() -> list[set[str]]:
    return [set(volume) - {"name"} for volume in SPEC["volumes"]]


# The controls of kubernetes.io/docs/concepts/security/pod-security-standards, Baseline and then Restricted.
CONTROLS = {
    "host process": lambda: not any("windowsOptions" in context for context in contexts()),
    "host namespaces": lambda: not any(SPEC.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")),
    "privileged": lambda: not any(either("privileged")),
    "capabilities": lambda: all(value == {"drop": ["ALL"]} for value in either("capabilities")),
    "host path volumes": lambda: not any("hostPath" in volume for volume in SPEC["volumes"]),
    "host ports": lambda: not any(port.get("hostPort") for c in containers() for port in c.get("ports", [])),
    "host of probes": lambda: (
        not any(
            "host" in how
            for c in containers()
            for probe in probes(c)
            for how in probe.values()
            if isinstance(how, dict)
        )
    ),
    "apparmor": lambda: all(
        value is None or value["type"] in ("RuntimeDefault", "Localhost") for value in either("appArmorProfile")
    ),
    "selinux": lambda: not any("seLinuxOptions" in context for context in contexts()),
    "proc mount": lambda: all(value in (None, "Default") for value in either("procMount")),
    "seccomp": lambda: all(value["type"] in ("RuntimeDefault", "Localhost") for value in either("seccompProfile")),
    "sysctls": lambda: not SPEC["securityContext"].get("sysctls"),
    "volume types": lambda: all(kinds and kinds <= VOLUMES_OF_THE_STANDARD for kinds in volume_types()),
    "privilege escalation": lambda: all(value is False for value in either("allowPrivilegeEscalation")),
    "running as non-root": lambda: all(value is True for value in either("runAsNonRoot")),
    "non-root user": lambda: all(value not in (None, 0) for value in either("runAsUser")),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_the_pod_fits_the_restricted_standard(control: str):
    assert CONTROLS[control]()


def test_the_cluster_is_asked_to_hold_the_pod_to_it():
    labels = of_kind("Namespace")["metadata"]["labels"]
    assert labels == {"pod-security.kubernetes.io/enforce": "restricted"}
    assert {document["metadata"]["namespace"] for document in MANIFEST if document["kind"] != "Namespace"} == {
        "hardpoint"
    }


def test_beyond_the_standard():
    assert either("readOnlyRootFilesystem") == [True]
    assert SPEC["automountServiceAccountToken"] is False
    assert SPEC["enableServiceLinks"] is False
    assert all(mounted["name"] != "jwks" or mounted["readOnly"] for mounted in CONTAINER["volumeMounts"])


def test_it_is_the_user_of_the_image():
    assert either("runAsUser") == [image_tree.user()]
    assert CONTAINER["args"] == COMPOSE["command"]
    assert CONTAINER["image"] == COMPOSE["image"]


def test_the_executor_takes_what_it_is_given(monkeypatch: pytest.MonkeyPatch):
    given = {variable["name"]: variable["value"] for variable in CONTAINER["env"]}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    daemon, own = DaemonOptions(), Options()
    read = {f"HARDPOINT_{name.upper()}" for kind in (DaemonOptions, Options) for name in kind.model_fields}
    assert set(given) <= read
    mounts = {volume["mountPath"]: volume["name"] for volume in CONTAINER["volumeMounts"]}
    assert mounts[str(own.executor_rootfs)] == "jails"
    assert mounts[str(daemon.state.parent)] == "tmp"
    assert daemon.jwks.rpartition("/")[0] in mounts
    assert {peer: daemon.address_of(peer) for peer in PEERS["executor"]} == {p: f"{p}:7700" for p in PEERS["executor"]}
    assert "HARDPOINT_SERVICE_TOKEN_FILE" not in given


def test_probes_ask_the_port_that_is_served():
    served = {
        int(variable["value"].rpartition(":")[2]) for variable in CONTAINER["env"] if "LISTEN" in variable["name"]
    }
    assert {probe["grpc"]["port"] for probe in probes(CONTAINER)} == served
    assert {port["containerPort"] for port in CONTAINER["ports"]} == served
    assert {port["port"] for port in of_kind("Service")["spec"]["ports"]} == served


def test_there_is_time_to_end():
    assert SPEC["terminationGracePeriodSeconds"] >= 3 * STOP_SECONDS


def test_everything_names_the_same_pods():
    labels = of_kind("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert of_kind("Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert of_kind("Service")["spec"]["selector"] == labels
    assert of_kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels


def test_the_way_out_is_the_internet_the_two_peers_and_names():
    policy = of_kind("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    peers, names, internet = policy["egress"]
    assert set(peers["to"][0]["podSelector"]["matchExpressions"][0]["values"]) == set(PEERS["executor"])
    assert {port["port"] for port in names["ports"]} == {53}
    assert {port["port"] for port in internet["ports"]} == set(PORTS.values())
    blocks = {block["ipBlock"]["cidr"]: block["ipBlock"]["except"] for block in internet["to"]}
    assert blocks == {
        "0.0.0.0/0": [str(net) for net in address._INSIDE_V4],
        str(address._GLOBAL_V6): [str(net) for net in address._INSIDE_V6],
    }


def test_the_way_in_is_the_runtime():
    (way,) = of_kind("NetworkPolicy")["spec"]["ingress"]
    callers = {unit for unit, peers in PEERS.items() if "executor" in peers}
    assert [source["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for source in way["from"]] == [*callers]
