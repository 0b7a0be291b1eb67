"""The chain of a group: what is not written follows the usual order service → script → IP."""

from pathlib import Path

from hsorch.manifest.load import load_bytes
from hsorch.manifest.model import Group, Process, Service
from hsorch.plan.spec import start_order
from hsorch.spec import CommandCheck, HttpCheck, TcpCheck

PAIR = (Path(__file__).parent / "cases" / "valid-pair.yaml").read_text()


def group_of(section: str, *, vip: str = "{address: 10.77.0.10/24}") -> Group:
    text = PAIR.replace(
        "  vip: {address: 10.77.0.10/24}\n  services: {nginx: {}}\n", f"  vip: {vip}\n{section}\n"
    )
    loaded = load_bytes(text.encode(), "cluster.yaml", folder=Path("/"), environ={})
    assert loaded.cluster is not None, loaded.diagnostics
    return loaded.cluster.group


def edges(group: Group) -> dict[str, tuple[str, ...]]:
    return {resource.name: resource.depends_on for resource in group.resources}


def test_a_service_stands_on_the_address_where_there_is_no_script() -> None:
    assert edges(group_of("  services: {nginx: }")) == {"IP-app": (), "NT-nginx": ("IP-app",)}


def test_a_service_stands_on_the_scripts_and_they_on_the_address() -> None:
    group = group_of(
        "  services: {DSS Professional: }\n  scripts: {disk: {stop: [/opt/disk]}, ntp: {start: [/n]}}"
    )
    assert edges(group) == {
        "IP-app": (),
        "disk": ("IP-app",),
        "ntp": ("IP-app",),
        "NT-DSSProfessional": ("disk", "ntp"),
    }
    assert [r.name for r in start_order(group)] == ["IP-app", "disk", "ntp", "NT-DSSProfessional"]


def test_a_script_above_a_service_does_not_make_a_circle() -> None:
    group = group_of(
        "  services: {nginx: }\n  scripts: {after: {start: [/x], depends_on: [nginx]}, before: {start: [/y]}}"
    )
    assert edges(group)["after"] == ("NT-nginx",)
    assert edges(group)["NT-nginx"] == ("before",)
    assert [r.name for r in start_order(group)] == ["IP-app", "before", "NT-nginx", "after"]


def test_probes_of_their_own_stand_on_all_services_and_processes() -> None:
    group = group_of(
        "  services: {a: }\n  processes: {b: {command: [/b]}}\n  probes: {up: {tcp: '{vip}:80'}}"
    )
    assert edges(group)["up"] == ("NT-a", "b")


def test_siblings_start_in_the_order_of_the_manifest() -> None:
    group = group_of("  processes: {z: {command: [/z]}, a: {command: [/a]}}")
    assert [r.name for r in start_order(group)] == ["IP-app", "z", "a"]


def test_vip_is_filled_into_probes() -> None:
    group = group_of(
        "  services:\n"
        '    a: {probe: {https: "https://{vip}:8443/x", expect_status: 204, verify: false}}\n'
        '    b: {probe: {tcp: "{vip}:25"}}\n'
        "    c: {probe: {command: [/opt/check, '{vip}'], timeout: 1500ms, interval: 2s, max_failures: 4}}\n"
    )
    checks = [r.health.check for r in group.resources if isinstance(r, Service)]
    assert checks == [
        HttpCheck(url="https://10.77.0.10:8443/x", expect_status=204, verify=False),
        TcpCheck(host="10.77.0.10", port=25),
        CommandCheck(argv=("/opt/check", "10.77.0.10")),
    ]
    health = group.resources[-1].health
    assert (health.timeout, health.interval, health.max_failures) == (1500, 2000, 4)


def test_an_ipv6_address_is_bracketed_in_urls() -> None:
    text = PAIR.replace("10.77.0.11/24", "fd00::11/64").replace("10.77.0.12/24", "fd00::12/64")
    text = text.replace("10.77.0.10/24", "fd00::10/64").replace(
        "nginx: {}", "nginx: {probe: {tcp: '{vip}:80'}}"
    )
    loaded = load_bytes(text.encode(), "c", folder=Path("/"), environ={})
    assert loaded.cluster is not None
    assert loaded.cluster.group.resources[-1].health.check == TcpCheck(host="fd00::10", port=80)


def test_several_addresses_have_several_names() -> None:
    text = PAIR.replace(
        "vip: {address: 10.77.0.10/24}", "vips: [{address: 10.77.0.10/24}, {address: 10.77.0.9/24}]"
    )
    loaded = load_bytes(text.encode(), "c", folder=Path("/"), environ={})
    assert loaded.cluster is not None
    assert [vip.name for vip in loaded.cluster.group.vips] == ["IP-app", "IP-app-2"]
    assert loaded.cluster.group.resources[-1].depends_on == ("IP-app", "IP-app-2")


def test_the_literal_chains_of_the_old_dialogs_are_a_circle() -> None:
    """REQ-F04: "IP then NT" for the script, "script then IP" for the service, read as edges."""
    text = PAIR.replace(
        "nginx: {}",
        "nginx: {depends_on: [disk, IP-app]}}\n"
        "  scripts: {disk: {stop: [/opt/disk], depends_on: [IP-app, nginx]}",
    )
    loaded = load_bytes(text.encode(), "c", folder=Path("/"), environ={})
    assert [d.message for d in loaded.errors] == ["depends on itself: NT-nginx -> disk -> NT-nginx"]


def test_processes_carry_what_they_need() -> None:
    group = group_of(
        "  processes: {app: {command: [/a, '1'], user: web, directory: /srv, environment: {A: b}}}"
    )
    app = group.resources[-1]
    assert isinstance(app, Process)
    assert (app.command, app.user, app.directory, app.environment) == (("/a", "1"), "web", "/srv", {"A": "b"})
