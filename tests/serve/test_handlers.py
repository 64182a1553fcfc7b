"""The page's actions, without a page."""

import numpy as np

from glyffuser.serve.drawing import Artist, Frame
from glyffuser.serve.handlers import FIELDS, HIDE, SHOW, Handlers, Session


def test_stop_shows_the_drawing_before(artist, tmp_path, monkeypatch):
    images = np.full((2, 16, 16), 255, np.uint8)
    monkeypatch.setattr(Artist, "draw", lambda self, request: iter([Frame(k, 1, images) for k in (0, 1)]))
    act, session = Handlers(artist, tmp_path), Session()
    status, stage, detail, _, keeping = act.cancelled(session)
    assert "Stopped." in status
    assert (stage.count("blank"), detail, keeping) == (9, "", HIDE)
    wish = dict.fromkeys(FIELDS) | {"prompt": "gold"}
    *_, drawn = act.draw(session, *wish.values())
    going = act.draw(session, *(wish | {"prompt": "water"}).values())
    assert next(going)[-1] == HIDE
    status, *others = act.cancelled(session)
    assert "Stopped." in status
    assert others == list(drawn[1:])
    assert others[-1] == SHOW
    assert "glyph 2 for gold" in others[0]


def test_a_drawing_without_a_meaning_is_named_by_its_seed(artist, make_pipe, tmp_path):
    silent = Artist(make_pipe(text_route="none"), artist.judges, artist.table, artist.finder)
    session = Session()
    wish = dict.fromkeys(FIELDS) | {"prompt": "", "n": 1, "steps": 1, "seed": 7, "strength": 0.75, "keep": ""}
    *_, (_, stage, *_) = Handlers(silent, tmp_path).draw(session, *wish.values())
    assert [drawn.label for drawn in session.history] == ["seed 7"]
    assert 'aria-label="glyph 1, radical' in stage
