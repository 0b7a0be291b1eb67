"""What is replicated, and what of a database must not be left behind."""

from __future__ import annotations

import pytest

from hsorch.node.replication.bindings import Binding, BindingError, as_file, expand, incomplete, resolve


def ordered(path: str = "/srv/mysql", **more: object) -> Binding:
    return Binding(path=path, kind="ordered", **more)  # type: ignore[arg-type]


def watched(path: str = "/srv/www", **more: object) -> Binding:
    return Binding(path=path, kind="watched", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("glob", "name", "matches"),
    [
        ("*.log", "a.log", True),
        ("*.log", "deep/down/a.log", True),
        ("*.log", "a.log/b", False),
        ("./*.log", "deep/a.log", False),
        ("logs/*", "logs/a", True),
        ("logs/*", "logs/a/b", False),
        ("logs/**", "logs/a/b", True),
        ("logs/**", "logs", False),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("file?", "file1", True),
        ("a+b", "a+b", True),
        ("#innodb_redo/**", "#innodb_redo/#ib_redo7", True),
        ("*", "line\nbreak", True),
    ],
)
def test_globs(glob: str, name: str, matches: bool) -> None:
    assert watched(include=(glob,)).covers(name) is matches


def test_exclusion_wins_and_the_staging_folder_is_never_covered() -> None:
    binding = watched(include=("**",), exclude=("*.tmp",))
    assert binding.covers("a/b")
    assert not binding.covers("a/b.tmp")
    assert not binding.covers(".hsorch-staging/x")


def test_a_file_binding_takes_its_folder_and_that_name_only() -> None:
    binding = as_file(ordered("/srv/mysql/data/ibdata1"))
    assert binding.path == "/srv/mysql/data"
    assert binding.covers("ibdata1")
    assert not binding.covers("ib_logfile0")
    assert not binding.covers("dss/ibdata1")


def test_the_mariadb_preset_completes_a_hand_picked_set() -> None:
    bindings, _ = resolve([as_file(ordered("/srv/data/ibdata1", preset="mariadb")), ordered("/srv/data/dss")])
    (binding,) = bindings
    for name in ("ib_logfile0", "aria_log_control", "aria_log.00000001", "ddl_recovery.log", "undo001"):
        assert binding.covers(name)
    assert binding.covers("dss/table.ibd")
    assert not binding.covers("mysql/user.frm")
    assert not binding.covers("ibtmp1")


def test_a_set_without_its_logs_is_warned_about() -> None:
    binding = ordered("/srv/data", include=("./ibdata1", "./ib_logfile0", "dss/**"))
    (finding,) = incomplete([binding], {"/srv/data": ("ibdata1", "ib_logfile0", "dss/t.ibd")})
    assert "ddl_recovery.log" in finding.message
    assert "aria_log_control" in finding.message
    assert incomplete([expand(ordered("/srv/data", preset="mariadb"))], {"/srv/data": ("ibdata1",)}) == ()


def test_a_whole_data_folder_is_complete_without_a_preset() -> None:
    assert incomplete([ordered("/srv/data")], {"/srv/data": ("ibdata1", "undo004", "x.db")}) == ()


def test_a_database_bound_as_watched_is_warned_about() -> None:
    found = incomplete([watched("/srv")], {"/srv": ("app/state.db", "db/ibdata1")})
    assert sorted("MariaDB" in f.message for f in found) == [False, True]
    assert all("ordered" in f.hint for f in found)


def test_sqlite_brings_its_logs_and_leaves_its_shared_memory() -> None:
    binding = expand(ordered(include=("app.db",), preset="sqlite"))
    assert binding.covers("app.db-wal")
    assert binding.covers("app.db-journal")
    assert not binding.covers("app.db-shm")
    (finding,) = incomplete([ordered(include=("app.db",))], {"/srv/mysql": ("app.db",)})
    assert "app.db-wal" in finding.message


def test_nested_bindings_collapse() -> None:
    bindings, findings = resolve([watched("/srv/www/upload"), watched("/srv/www", exclude=("cache/**",))])
    assert [b.path for b in bindings] == ["/srv/www"]
    assert bindings[0].covers("upload/a")
    assert findings == ()


def test_an_inner_binding_widens_a_filtered_one() -> None:
    (binding,), _ = resolve([watched("/srv/www", include=("./index.html",)), watched("/srv/www/upload")])
    assert binding.covers("upload/deep/a")
    assert not binding.covers("other")


def test_a_watched_folder_inside_an_ordered_one_joins_it() -> None:
    bindings, findings = resolve([ordered("/srv"), watched("/srv/www")])
    assert [(b.path, b.kind) for b in bindings] == [("/srv", "ordered")]
    assert "joins" in findings[0].message


def test_an_ordered_folder_inside_a_watched_one_is_taken_out_of_it() -> None:
    bindings, _ = resolve([watched("/srv"), ordered("/srv/mysql")])
    outer, inner = bindings
    assert (outer.kind, inner.kind) == ("watched", "ordered")
    assert not outer.covers("mysql/ibdata1")
    assert outer.covers("mysql2/file")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/", "HS671"),
        ("//", "HS671"),
        ("/var", "HS671"),
        ("/proc/1", "HS671"),
        ("/var/lib/hsorch/x", "HS671"),
        ("/var/lib", "HS671"),
        ("relative", "HS670"),
        ("/srv/../etc", "HS670"),
    ],
)
def test_paths_that_are_refused(path: str, code: str) -> None:
    with pytest.raises(BindingError) as caught:
        resolve([watched(path)])
    assert caught.value.code == code


def test_a_glob_that_leaves_its_folder_is_refused() -> None:
    with pytest.raises(BindingError) as caught:
        resolve([watched(include=("../x",))])
    assert caught.value.code == "HS672"


@pytest.mark.parametrize(
    ("glob", "folder", "enters"),
    [
        ("./one.properties", "sub", False),
        ("*.xml", "sub/deep", True),
        ("a/b/**", "a", True),
        ("a/b/**", "c", False),
        ("a/b/**", "a/b/c", True),
        ("a/*.txt", "a", True),
        ("a/*.txt", "a/b", False),
    ],
)
def test_folders_without_anything_bound_are_not_entered(glob: str, folder: str, enters: bool) -> None:
    assert watched(include=(glob,)).enters(folder) is enters
