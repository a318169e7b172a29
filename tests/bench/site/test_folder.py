"""The folder of a site: what an earlier build left goes, what others put there stays."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bench.interfaces import UserError
from bench.site import write_site
from bench.site.folder import LIST, write_folder
from bench.site.html import slug
from tests.bench.report.synthetic import make_replay, make_run

TASKS = ["metaworld/drawer-open", "metaworld/door-open"]


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_pages_of_an_earlier_build_go(tmp_path: Path) -> None:
    run = make_run(TASKS, {"dp3": 0.5})
    replay = make_replay(run, TASKS[1], "dp3", success=True)
    assert replay is not None
    write_site(run, [replay], tmp_path / "site")
    stale = {f"tasks/{slug(TASKS[1])}.html", f"replays/{slug(TASKS[1])}.js"}
    assert stale < files(tmp_path / "site")
    run = make_run(TASKS[:1], {"dp3": 0.5})
    write_site(run, [], tmp_path / "site")
    write_site(run, [], tmp_path / "fresh")
    assert files(tmp_path / "site") == files(tmp_path / "fresh")
    assert not (tmp_path / "site" / "replays").exists()


def test_the_list_can_be_checked_with_sha256sum(tmp_path: Path) -> None:
    write_site(make_run(TASKS, {"dp3": 0.5}), [], tmp_path)
    lines = [line.split("  ") for line in (tmp_path / LIST).read_text().splitlines()]
    assert {name for _, name in lines} == files(tmp_path) - {LIST}
    assert all(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest for digest, name in lines)


def test_files_of_others_stay(tmp_path: Path) -> None:
    write_folder(tmp_path, {"index.html": "one", "tasks/old.html": "old", "tasks/changed.html": "ours"})
    (tmp_path / "tasks" / "changed.html").write_text("theirs")
    for name in ("tasks/notes.html", "CNAME"):
        (tmp_path / name).write_text("theirs")
    write_folder(tmp_path, {"index.html": "two"})
    assert files(tmp_path) == {"index.html", LIST, "tasks/changed.html", "tasks/notes.html", "CNAME"}
    assert (tmp_path / "index.html").read_text() == "two"


def test_no_list_leads_out_of_the_folder(tmp_path: Path) -> None:
    site, text = tmp_path / "site", "precious"
    (tmp_path / "elsewhere").mkdir(parents=True)
    site.mkdir()
    precious = [tmp_path / "precious.txt", tmp_path / "elsewhere" / "precious.txt"]
    for path in precious:
        path.write_text(text)
    (site / "linked").symlink_to(tmp_path / "elsewhere")
    (site / "link.txt").symlink_to(precious[0])
    digest = hashlib.sha256(text.encode()).hexdigest()
    names = ["../precious.txt", str(precious[0]), "linked/precious.txt", "link.txt", "linked/../../precious.txt"]
    (site / LIST).write_text("".join(f"{digest}  {name}\n" for name in names) + "no list at all\n")
    write_folder(site, {"index.html": ""})
    assert all(path.read_text() == text for path in precious)
    assert (site / "link.txt").is_symlink()


def test_a_file_of_the_same_name_that_is_no_list_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / LIST).write_bytes(b"\xff\x00 no text")
    write_folder(tmp_path, {"index.html": ""})
    assert files(tmp_path) == {"index.html", LIST}


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another --reports"):
        write_folder(tmp_path / "file" / "site", {"index.html": ""})
