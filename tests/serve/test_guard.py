"""What the studio refuses before gradio sees it, and what cannot be read through it."""

import http.client
from pathlib import Path

import pytest

from glyffuser.serve.guard import LARGEST_BODY, MOST_READ, Guard, wrong
from studio_client import ask

ROOT = Path(__file__).parents[2]
SECRET = "nothing that a visitor may read"


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b"[1]",
        b'{"data": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]}',
        b'{"data": [[{"u\\u0072l": "http://example.org/"}]]}',
        b'{"prompt": {"path": "x"}}',
        b"[" * 100_000,
    ],
)
def test_bodies_that_are_refused(body):
    assert wrong(body) is not None


def test_bodies_that_are_let_through():
    assert wrong(b"") is None
    assert wrong(b'{"data": ["gold", 3, null], "event_data": {"glyph": 2}}') is None


@pytest.mark.parametrize(
    ("path", "pieces", "read", "status"),
    [
        ("/gradio_api/upload", [b"x", b"y"], 2, 404),
        ("/gradio_api/call/draw", [b" " * LARGEST_BODY, b" ", b" "], 3, 413),
        ("/gradio_api/call/draw", [b" " * LARGEST_BODY] * 20, MOST_READ // LARGEST_BODY + 1, 413),
        ("/gradio_api/call/draw", [b"no ", b"JSON"], 2, 400),
    ],
)
def test_what_is_refused_is_read_first(path, pieces, read, status):
    """Else the connection is reset when it is closed, sometimes before the client has read the answer."""
    events: list[str | int] = []

    async def receive():
        k = events.count("read")
        events.append("read")
        return {"type": "http.request", "body": pieces[k], "more_body": k + 1 < len(pieces)}

    async def send(part):
        if part["type"] == "http.response.start":
            events.append(part["status"])

    async def nobody(*_):
        raise AssertionError("let through")

    answering = Guard(nobody, {})({"type": "http", "path": path, "method": "POST", "headers": []}, receive, send)
    with pytest.raises(StopIteration):  # nothing here waits, so it needs no event loop (playwright may run its own)
        answering.send(None)
    assert events == ["read"] * read + [status]


def test_no_files_go_in_and_none_come_out(studio):
    assert ask(f"{studio.url}/gradio_api/upload", b"x")[0] == 404
    assert ask(f"{studio.url}/gradio_api/proxy=http://example.org/")[0] == 404
    assert ask(f"{studio.url}/gradio_api/call/draw", b'{"data": [{"path": "/etc/passwd"}]}')[0] == 400
    assert ask(f"{studio.url}/gradio_api/call/draw", b" " * (LARGEST_BODY + 1))[0] == 413
    for path in ("/etc/passwd", ROOT / "README.md", f"{studio.folder}/../../etc/passwd", "http://example.org/"):
        assert ask(f"{studio.url}/gradio_api/file={path}")[0] in (400, 403, 404)
    foreign = {"host": "evil.example"}
    assert ask(f"{studio.url}/health", headers=foreign) == (400, "Invalid host header")
    posted = ask(f"{studio.url}/gradio_api/call/draw", b'{"data": ["gold"]}', headers=foreign)
    assert posted == (400, "Invalid host header")
    assert ask(f"{studio.url}/gradio_api/call/draw", b" " * (LARGEST_BODY + 1), headers=foreign)[0] == 413  # read first


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../../../etc/passwd",
        "/static/../../../../../../etc/passwd",
        "/assets/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/gradio_api/file=../../../../../../etc/passwd",
        "/gradio_api/file=%2fproc%2fself%2fenviron",
        "/gradio_api/file=file:///etc/passwd",
        "/gradio_api/custom_component/../../etc/passwd",
        "/gradio_api/heartbeat/../file=/etc/passwd",
    ],
)
def test_paths_lead_nowhere(studio, path):
    """Sent as they are: most clients would tidy such paths up."""
    connection = http.client.HTTPConnection(studio.url.removeprefix("http://"), timeout=30)
    connection.putrequest("GET", path, skip_host=False)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status in (400, 403, 404, 422), path
    assert b"root:" not in body
    assert b"PATH=" not in body
    connection.close()


def test_of_the_folder_for_downloads_its_own_files_alone_are_served(studio, tmp_path):
    (tmp_path / "secret.txt").write_text(SECRET)
    shown, link = studio.folder / "tray-test" / "shown.txt", studio.folder / "tray-test" / "link.txt"
    shown.parent.mkdir()
    shown.write_text("shown")
    link.symlink_to(tmp_path / "secret.txt")
    assert ask(f"{studio.url}/gradio_api/file={shown}") == (200, "shown")
    for path in (tmp_path / "secret.txt", link, f"{shown.parent}/../../secret.txt", shown.parent):
        status, body = ask(f"{studio.url}/gradio_api/file={path}")
        assert status in (400, 403, 404), path
        assert SECRET not in body
