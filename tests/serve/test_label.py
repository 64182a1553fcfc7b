"""Labelling: the desk, the server in front of it, and whom it refuses; test_label_page.py tests the page."""

import http.client
import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from desks import PROMPTS, opened, until
from glyffuser.base.errors import UserError
from glyffuser.commands.cli import main
from glyffuser.data.pairs import PairFile, picture, read_pairs
from glyffuser.generate.pairs import PairSource
from glyffuser.generate.request import Request
from glyffuser.serve.desk import AHEAD, Desk, data_url
from glyffuser.serve.label import serving


def asked(port: int, method: str, path: str, body: Any = None, **headers: Any) -> tuple[int, Any]:
    """Status and answer; headers may be replaced, or left out with None."""
    own = f"127.0.0.1:{port}"
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    said = {"Host": own, "Content-Length": str(len(data))}
    if method == "POST":
        said |= {"Origin": f"http://{own}", "Content-Type": "application/json"}
    said = {k: v for k, v in {**said, **{k.replace("_", "-"): v for k, v in headers.items()}}.items() if v is not None}
    connection = http.client.HTTPConnection(own, timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in said.items():
        connection.putheader(name, value)
    connection.endheaders(data)
    answer = connection.getresponse()
    found = answer.read()
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["Access-Control-Allow-Origin"] is None
    connection.close()
    return answer.status, json.loads(found) if answer.headers["Content-Type"] == "application/json" else found


def test_choices_are_kept_at_once_and_taken_back(port, desk, source):
    status, first = asked(port, "GET", "/pair")
    assert (status, first["pair"], first["labelled"], first["limit"]) == (200, 0, 0, None)
    assert first["pictures"] == [data_url(source.draw(0).left), data_url(source.draw(0).right)]
    for number, choice in enumerate(("right", "bad", "left")):
        until(partial(desk.waiting.get, number))
        status, shown = asked(port, "POST", "/choice", {"pair": number, "choice": choice})
        assert (status, shown["pair"], shown["labelled"]) == (200, number + 1, number + 1)
        assert read_pairs(desk.file.path)[-1].choice == choice
    assert shown["bad"] == 1
    status, shown = asked(port, "POST", "/undo", {"pair": 3})
    assert (status, shown["pair"], shown["labelled"]) == (200, 2, 2)
    kept = read_pairs(desk.file.path)
    assert [(pair.choice, pair.judge) for pair in kept] == [("right", "person"), ("bad", "person")]
    assert kept[0].left == source.draw(0).left
    status, shown = asked(port, "POST", "/choice", {"pair": 2, "choice": "right"})  # after the undo, it is still there
    assert [pair.choice for pair in read_pairs(desk.file.path)] == ["right", "bad", "right"]


def test_pairs_are_drawn_ahead_and_no_further(port, desk):
    until(lambda: len(desk.waiting) == AHEAD)
    asked(port, "POST", "/choice", {"pair": 0, "choice": "left"})
    until(lambda: set(desk.waiting) == set(range(1, AHEAD + 1)))


def test_it_goes_on_where_it_was(source, desk, port):
    for number in range(2):
        until(partial(desk.waiting.get, number))
        asked(port, "POST", "/choice", {"pair": number, "choice": "left"})
    later = Desk(source, PairFile(desk.file.path))
    assert later.shown()["pair"] == 2
    later.undo(2)  # what an earlier session chose
    assert later.shown()["pair"] == 1
    assert later.shown()["pictures"] == [data_url(source.draw(1).left), data_url(source.draw(1).right)]


def test_a_number_of_pairs_is_an_end(source, tmp_path):
    desk = Desk(source, PairFile(tmp_path / "pairs.parquet"), limit=1)
    with opened(desk) as port:
        until(lambda: 0 in desk.waiting)
        _, shown = asked(port, "POST", "/choice", {"pair": 0, "choice": "left"})
        assert (shown["pair"], shown["prompt"], shown["pictures"]) == (1, None, None)
        assert asked(port, "POST", "/choice", {"pair": 1, "choice": "left"})[0] == 409
        assert asked(port, "POST", "/undo", {"pair": 1})[1]["pair"] == 0
    assert not desk.waiting.keys() - {0}


def test_a_file_of_another_seed_is_not_gone_on_with(source, desk, port, make_pipe):
    asked(port, "POST", "/choice", {"pair": 0, "choice": "left"})
    other = PairSource(make_pipe(), PROMPTS, Request(steps=1, seed=1))
    with pytest.raises(UserError, match="holds pairs with seed = 0, not 1"):
        Desk(other, PairFile(desk.file.path))


GOOD = {"pair": 0, "choice": "left"}


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (403, GOOD, {"Origin": "http://evil.example"}),
        (403, GOOD, {"Origin": None}),
        (403, GOOD, {"Origin": "null"}),
        (403, GOOD, {"Origin": "https://127.0.0.1"}),
        (421, GOOD, {"Host": "evil.example"}),
        (421, GOOD, {"Host": None}),
        (421, GOOD, {"Host": "127.0.0.1:1", "Origin": "http://127.0.0.1:1"}),
        (415, GOOD, {"Content_Type": "text/plain"}),
        (415, GOOD, {"Content_Type": None}),
        (411, GOOD, {"Content_Length": None}),
        (411, GOOD, {"Content_Length": "-1"}),
        (411, GOOD, {"Content_Length": "٣"}),
        (413, b"9" * 100_000, {}),
        (413, GOOD, {"Content_Length": "9" * 500}),
        (400, b"{", {}),
        (400, b"[" * 1000, {}),
        (400, b"\xff\xfe", {}),
        (400, [], {}),
        (400, {"pair": 0}, {}),
        (400, {**GOOD, "prompt": "x"}, {}),
        (400, {"pair": "0", "choice": "left"}, {}),
        (400, {"pair": True, "choice": "left"}, {}),
        (400, {"pair": 0.0, "choice": "left"}, {}),
        (400, {"pair": [0], "choice": "left"}, {}),
        (400, {"pair": 0, "choice": "best"}, {}),
        (400, {"pair": 0, "choice": None}, {}),
        (400, {"pair": 0, "choice": ["left"]}, {}),
        (400, {"pair": 0, "choice": {"left": 1}}, {}),
        (409, {"pair": 1, "choice": "left"}, {}),
        (409, {"pair": -1, "choice": "left"}, {}),
        (409, {"pair": 10**300, "choice": "left"}, {}),
    ],
)
def test_what_is_hostile_is_refused_in_words(port, desk, status, body, headers, capfd):
    latin = {k: v.encode() if isinstance(v, str) and not v.isascii() else v for k, v in headers.items()}
    found, answer = asked(port, "POST", "/choice", body, **latin)
    assert found == status
    assert answer["error"]
    assert len(desk.file) == 0
    assert not desk.file.path.exists()
    assert capfd.readouterr().err == ""


def test_undo_is_guarded_as_well(port):
    assert asked(port, "POST", "/undo", {"pair": 0})[0] == 409  # nothing has been labelled yet
    assert asked(port, "POST", "/undo", {"pair": 0}, Origin="http://evil.example")[0] == 403
    assert asked(port, "POST", "/undo", {"pair": 0, "choice": "left"})[0] == 400
    asked(port, "POST", "/choice", GOOD)
    assert asked(port, "POST", "/undo", {"pair": 0})[0] == 409  # from a page that shows another pair


@pytest.mark.parametrize(
    "path",
    [
        "/../label.py",
        "/%2e%2e/label.py",
        "//etc/passwd",
        "/label.css?x",
        "/static/label.js",
        "/pair/..",
        "/choice",
        "*",
    ],
)
def test_nothing_else_is_served(port, path):
    assert asked(port, "GET", path)[0] == 404


def test_other_methods_and_places_are_refused(port):
    assert asked(port, "POST", "/pair", GOOD)[0] == 404
    assert asked(port, "GET", "/", Host="evil.example")[0] == 421


def test_a_full_disk_is_said_and_changes_nothing(port, desk, monkeypatch):
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    status, answer = asked(port, "POST", "/choice", GOOD)
    assert (status, "No space left" in answer["error"]) == (507, True)
    monkeypatch.undo()
    assert asked(port, "POST", "/choice", GOOD)[1]["labelled"] == 1


def test_what_goes_wrong_in_drawing_ends_it(source, tmp_path, monkeypatch):
    def broken(*args: Any) -> None:
        raise UserError("no ink left")

    monkeypatch.setattr(source, "draw", broken)
    desk = Desk(source, PairFile(tmp_path / "pairs.parquet"))
    with pytest.raises(UserError, match="no ink left"), serving(desk) as server:
        server.serve_forever()


def test_closing_interrupts_a_drawing(source, tmp_path, monkeypatch):
    drawing = threading.Event()

    def endless(number: int, tick: Callable[[int, int], None]) -> None:
        while True:
            drawing.set()
            tick(1, 2)

    monkeypatch.setattr(source, "draw", endless)
    with serving(Desk(source, PairFile(tmp_path / "pairs.parquet"))):
        assert drawing.wait(60)


def test_the_command_labels_by_flaws_and_goes_on(tiny_model, tmp_path, capsys):
    (tmp_path / "prompts.txt").write_text("gold\na river\n")
    out = tmp_path / "pairs.parquet"
    command = ["label", "--model", str(tiny_model), "--prompts", str(tmp_path / "prompts.txt"), "--out", str(out)]
    command += ["--by", "flaws", "--steps", "2", "--json"]
    assert main([*command, "-n", "2"]) == 0
    first = read_pairs(out)
    assert json.loads(capsys.readouterr().out)["labelled"] == 2
    assert main([*command, "-n", "3"]) == 0
    pairs = read_pairs(out)
    assert pairs[:2] == first
    assert [pair.pair for pair in pairs] == [0, 1, 2]
    assert {pair.judge.split()[0] for pair in pairs} == {"flaws"}
    assert picture(pairs[0].left, "it").shape == (32, 32)
    assert main([*command, "-n", "4", "--seed", "1"]) == 2
    assert "holds pairs with seed = 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--by", "chance"], "--by can be person or flaws"),
        (["-n", "0"], "-n must be 1 or more"),
        (["--port", "70000"], "--port must be between"),
        (["--data", "nowhere.parquet"], "name a file of meanings with --prompts"),
    ],
)
def test_mistakes_are_answered_in_one_line(tiny_model, tmp_path, capsys, options, reason):
    assert main(["label", "--model", str(tiny_model), "--out", str(tmp_path / "p.parquet"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
