"""The site as files: complete, stable, without a network, and safe with any name."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench.site import write_site
from bench.site.charts import interval
from bench.site.html import Html, el, slug
from bench.site.replays import BUDGET, choose
from bench.stats import Estimate
from tests.bench.report.synthetic import make_replay, make_run, with_rows

TASKS = ["metaworld/drawer-open", "metaworld/door-open", "metaworld/basketball"]
EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Elements of a page; fails where they do not close in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.open, self.ids, self.links, self.text = path, [], [], [], []
        self.tags: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values[k] for k in ("href", "src") if k in values]
        assert not any(k.startswith("on") for k in values), f"{self.path}: a script in an attribute"

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def pages(site: Path) -> list[Page]:
    return [Page(path) for path in sorted(site.rglob("*.html"))]


def check_links(site: Path) -> None:
    """Every link leads to a file or an element of this site; ids are unique."""
    ids = {page.path: page.ids for page in pages(site)}
    for page in pages(site):
        assert len(set(page.ids)) == len(page.ids)
        for link in page.links:
            assert ":" not in link, link
            file, _, anchor = link.partition("#")
            target = (page.path.parent / file).resolve() if file else page.path
            assert target.is_file(), link
            assert not anchor or anchor in ids[target], link


def test_the_site_is_whole_and_links_to_nothing_outside(tmp_path: Path) -> None:
    run = make_run(TASKS, {"dp3": 0.9, "dp3@nfe=1": 0.5, "sdm": 0.9}, seeds=(0, 1), control_hz=20)
    replays = [make_replay(run, TASKS[0], "dp3", success=success) for success in (True, False)]
    first = write_site(run, [replay for replay in replays if replay], tmp_path / "site")
    assert first == tmp_path / "site" / "index.html"
    check_links(tmp_path / "site")
    assert len(list((tmp_path / "site" / "tasks").iterdir())) == len(TASKS)
    words = " ".join(page_text(tmp_path / "site" / "index.html"))
    for expected in ("Test CPU", "bench run --methods dp3", "profile", "3.12.1", "In real time at 20 Hz", "tied"):
        assert expected in words
    task = " ".join(page_text(tmp_path / "site" / "tasks" / f"{slug(TASKS[0])}.html"))
    assert run.episodes["state_hash"].iloc[0] in task
    assert str(run.episodes["seed"].iloc[0]) in task
    for file in (tmp_path / "site").rglob("*"):
        if file.is_file():
            assert not re.search(r"https?://|fetch\(|XMLHttp|import\(", file.read_text(encoding="utf-8")), file


def page_text(path: Path) -> list[str]:
    return Page(path).text


def test_equal_records_give_equal_bytes(tmp_path: Path) -> None:
    run = make_run(TASKS[:2], {"dp3": 0.9, "sdm": 0.4})
    for name in ("a", "b"):
        write_site(run, [], tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert files
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


def test_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    tasks = [f"metaworld/{EVIL}", "metaworld/../up", 'metaworld/"x" onclick="y', "metaworld/" + "long" * 60]
    variants = {EVIL: 0.9, '"><img src=x onerror=alert(1)>': 0.8, "a@x='\"&lt;": 0.5, "策é </td></table>": 0.4}
    run = make_run(tasks, variants, broken=[(tasks[0], EVIL)])
    evil = run.episodes.assign(error=run.episodes["error"].where(run.episodes["error"].isna(), f"E: {EVIL}"))
    manifest = {**run.manifest, "command": f"bench run {EVIL}", "hardware": {"cpu": EVIL}}
    replays = [r for v in variants if (r := make_replay(run, tasks[1], v, success=True))]
    write_site(with_rows(run, episodes=evil, manifest=manifest), replays, tmp_path / "site")  # type: ignore[arg-type]
    check_links(tmp_path / "site")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["site"]
    for page in pages(tmp_path / "site"):
        assert "img" not in page.tags
        assert page.tags.count("script") == sum(link.endswith(".js") for link in page.links)
    assert EVIL in "".join(page_text(tmp_path / "site" / "index.html"))


def test_what_was_imported_is_said(tmp_path: Path) -> None:
    run = make_run(TASKS[:1], {"dp3:0123456789ab@nfe=1": 0.9, "sdm": 0.8})
    demos = {TASKS[0]: "f" * 20}
    manifest = {**run.manifest, "spec": {**run.manifest["spec"], "demos": demos}}
    write_site(with_rows(run, manifest=manifest), [], tmp_path)  # type: ignore[arg-type]
    words = " ".join(page_text(tmp_path / "index.html"))
    assert f"imported for {TASKS[0]} ({'f' * 20})" in words
    assert "imported, not trained here, for dp3:0123456789ab@nfe=1 (" in words
    write_site(run, [], tmp_path / "own")
    assert "Demonstrations: imported" not in " ".join(page_text(tmp_path / "own" / "index.html"))


@pytest.mark.parametrize("what", ["nothing", "no latency", "no curves", "only latency", "errors"])
def test_unfinished_runs(tmp_path: Path, what: str) -> None:
    run = make_run(
        TASKS[:2], {"dp3": 0.9, "sdm": 0.9}, latency="no l" not in what, curves="no c" not in what,
        broken=[(task, "sdm") for task in TASKS[:2]] if what == "errors" else [],
    )  # fmt: skip
    if what in ("nothing", "only latency"):
        run = with_rows(run, episodes=run.episodes.iloc[:0], curves=run.curves.iloc[:0])
    if what == "nothing":
        run = with_rows(run, latency=run.latency.iloc[:0])
    write_site(run, [], tmp_path)
    check_links(tmp_path)
    words = " ".join(page_text(tmp_path / "index.html"))
    assert ("Nothing has been measured yet" in words) == (what == "nothing")
    assert "no recorded clouds" in " ".join(page_text(tmp_path / "tasks" / f"{slug(TASKS[0])}.html"))


def test_every_published_figure_is_there_with_its_verdict_or_reason(tmp_path: Path) -> None:
    write_site(make_run(TASKS, {"dp3": 0.9, "simple_dp3": 0.8}), [], tmp_path)
    text = (tmp_path / "published.html").read_text(encoding="utf-8")
    assert text.count("<tr>") == 105 + 1
    words = " ".join(page_text(tmp_path / "published.html"))
    assert "MP1 is not part of this project" in words
    assert "Simple DP3 is not part of this project" not in words


@pytest.mark.parametrize("tasks", [TASKS, ["dexart/laptop", "dexart/faucet", *TASKS]])
def test_published_figures_of_dexart_are_refused_in_so_many_words(tmp_path: Path, tasks: list[str]) -> None:
    write_site(make_run(tasks, {"dp3": 0.9, "sdm": 0.8}), [], tmp_path)
    line = "2 published figures of dexart are refused: the suite here is DexArt (MuJoCo port), "
    assert line in " ".join(page_text(tmp_path / "index.html"))
    assert line in " ".join(page_text(tmp_path / "published.html"))
    table = (tmp_path / "published.html").read_text(encoding="utf-8").partition("<tbody>")[2]
    assert table.count("refused: the suite here is DexArt (MuJoCo port)") == 2


def test_the_port_is_never_called_dexart_alone(tmp_path: Path) -> None:
    run = make_run(["dexart/laptop", "dexart/faucet", *TASKS], {"dp3": 0.9, "sdm": 0.8}, seeds=(0, 1), control_hz=20)
    write_site(run, [], tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "DexArt (MuJoCo port)" in page
    assert re.findall(r">dexart(?:, [a-z ]+)?<", page) == []
    shown = re.findall(r'data-suite="([^"]*)"', page)
    assert shown.count("DexArt (MuJoCo port)") == 3  # rows of the leaderboard and two charts, which the filter joins
    assert "dexart" not in shown


def test_many_timings_have_a_page_of_their_own(tmp_path: Path) -> None:
    for n, inline in ((2, True), (30, False)):
        run = make_run([f"metaworld/task-{i}" for i in range(n)], {"dp3": 0.9}, curves=False)
        write_site(run, [], tmp_path / str(n))
        assert ("e2e p50 ms" in " ".join(page_text(tmp_path / str(n) / "index.html"))) is inline
        assert (tmp_path / str(n) / "latency.html").read_text(encoding="utf-8").count("<tr>") == 1 + 2 * n
        check_links(tmp_path / str(n))


def test_html_escapes_all_but_its_own() -> None:
    assert el("p", "<b>", el("i", "&"), None, [1, "'"]) == "<p>&lt;b&gt;<i>&amp;</i>1&#x27;</p>"
    assert el("input", type='"', hidden=True, checked=False, data_x=None) == '<input type="&quot;" hidden/>'
    assert isinstance(el("p"), Html)


def test_slugs_differ_where_names_do() -> None:
    names = ["a/b", "a-b", "a_b", "A/b", "a//b", "a/b ", "策", "é", "", "..", "a" * 99, "a" * 98]
    slugs = [slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert all(re.fullmatch("[a-z0-9_-]{1,60}", s) for s in slugs)


def test_many_replays_are_thinned_to_one_of_each_outcome() -> None:
    run = make_run(TASKS[:1], {"b": 0.5, "a": 0.5})
    replays = [r for v in "ab" for s in (True, False) if (r := make_replay(run, TASKS[0], v, success=s))]
    assert len(choose(replays, ["b", "a"])[TASKS[0]]) == 4
    many = replays * (BUDGET // 1000)
    chosen = choose(many, ["b", "a"])[TASKS[0]]
    assert [(r.about.variant, r.about.success) for r in chosen] == [("b", True), ("b", False)]


def test_intervals_are_written_in_percent() -> None:
    assert interval(Estimate(0.5, 0.25, 0.75)) == "50.0 [25.0, 75.0]"
