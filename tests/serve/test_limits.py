import base64
import io

import numpy as np
import pytest
from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.generate.edits import EMBEDDED
from glyffuser.serve.limits import LARGEST_SEED, in_words, read_request
from studio_client import bomb, picture, wordy


def test_a_wish_becomes_the_request_of_sample(artist):
    usual = artist.pipe.usual
    request = read_request({"prompt": "  gold ", "n": 4.0, "seed": 7, "guidance": 3, "negative": ""}, artist.pipe)
    assert (request.prompt, request.n, request.seed, request.guidance) == ("gold", 4, 7, 3.0)
    assert (request.steps, request.negative, request.init, request.keep) == (usual.steps, None, None, None)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({}, "the prompt is empty"),
        ({"prompt": "   "}, "the prompt is empty"),
        ({"prompt": 3}, "the meaning must be a text, not a number"),
        ({"prompt": ["gold"]}, "the meaning must be a text, not a list"),
        ({"prompt": {"path": "/etc/passwd"}}, "the meaning must be a text, not an object"),
        ({"prompt": "x" * 100_000}, "100000 characters long; at most 400"),
        ({"prompt": "x " * 200}, "the meaning is 202 tokens long; the text encoder reads"),
        ({"prompt": "gold", "negative": "y " * 200}, "what to steer away from is 202 tokens long"),
        ({"prompt": "gold", "n": 17}, "between 1 and 16"),
        ({"prompt": "gold", "n": 0}, "between 1 and 16"),
        ({"prompt": "gold", "n": 2.5}, "a whole number, not 2.5"),
        ({"prompt": "gold", "n": "4"}, "must be a number, not a text"),
        ({"prompt": "gold", "n": True}, "must be a number, not true or false"),
        ({"prompt": "gold", "steps": 101}, "between 1 and 100"),
        ({"prompt": "gold", "steps": 10**400}, "between 1 and 100"),
        ({"prompt": "gold", "guidance": float("nan")}, "guidance must be between 0 and 12, not nan"),
        ({"prompt": "gold", "guidance": float("inf")}, "not inf"),
        ({"prompt": "gold", "guidance": 10**400}, "guidance must be between 0 and 12, not so large a number"),
        ({"prompt": "gold", "seed": -1}, "the seed must be between"),
        ({"prompt": "gold", "seed": LARGEST_SEED + 1}, "the seed must be between"),
        ({"prompt": "gold", "sampler": "magic"}, "the sampler can be one of: "),
        ({"prompt": "gold", "style": "serif"}, "none with this model"),
        ({"prompt": "gold", "start": "/etc/passwd"}, "a single character"),
        ({"prompt": "gold", "start": "湖", "keep": "/etc/passwd"}, "can be one of: left, right"),
        ({"prompt": "gold", "start": "湖", "strength": 2}, "between 0.05 and 1"),
        ({"prompt": "gold", "strength": 0.5}, "give the picture with"),
        ({"prompt": "gold", "keep": "left"}, "give the picture with"),
        ({"prompt": "gold", "component": "氵", "keep": "left"}, "give the picture with"),
        ({"prompt": "gold", "component": "a b c d"}, "at most 3 components"),
        ({"prompt": "gold", "drawing": "/etc/passwd"}, "as a data URL"),
        ({"prompt": "gold", "drawing": "https://example.org/a.png"}, "as a data URL"),
        ({"prompt": "gold", "drawing": 5}, "as a data URL"),
        ({"prompt": "gold", "drawing": "data:image/png;base64,%%%"}, "no picture that can be read"),
        ({"prompt": "gold", "drawing": "data:image/png;base64,é"}, "no picture that can be read"),
        ({"prompt": "gold", "drawing": wordy(2**21)}, "no picture that can be read"),
        ({"prompt": "gold", "drawing": "data:image/svg+xml;base64,PHN2Zz4="}, "no picture that can be read"),
        ({"prompt": "gold", "drawing": "data:image/png;base64," + "A" * 2_000_000}, "larger than 1 MiB"),
        ({"prompt": "gold", "drawing": bomb(20_000, 20_000)}, "no picture that can be read"),
        ({"prompt": "gold", "drawing": bomb(5_000, 5_000)}, "5000 x 5000; at most 2048"),
        ({"prompt": "gold", "drawing": bomb(64, 64)}, "no picture that can be read"),
        ({"prompt": "gold", "drawing": picture(Image.new("L", (64, 32)))}, "must be square"),
    ],
)
def test_what_cannot_be_met_is_said_in_words(artist, wish, said):
    with pytest.raises(UserError, match=r"^[^\n]*$") as caught:
        read_request(wish, artist.pipe)
    assert said in str(caught.value)


def test_on_the_page_strength_and_side_wait_for_something_to_start_from(artist):
    slid = {"prompt": "gold", "strength": 0.75, "keep": "left"}
    for wish in (slid, slid | {"component": "氵", "start": " "}):
        request = read_request(wish, artist.pipe, page=True)
        assert (request.strength, request.keep) == (None, None)
    request = read_request(slid | {"start": "湖"}, artist.pipe, page=True)
    assert (request.strength, request.keep) == (0.75, "left")


def test_a_model_without_text_takes_the_empty_meaning(make_pipe):
    pipe = make_pipe(text_route="none")
    request = read_request({"prompt": " ", "n": 1}, pipe)
    assert (request.prompt, request.guidance) == ("", 1.0)
    with pytest.raises(UserError, match="takes no text"):
        read_request({"prompt": "gold"}, pipe)


def test_a_drawing_becomes_a_grey_picture_on_white(artist):
    drawn = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    drawn.paste((0, 0, 0, 255), (8, 8, 24, 24))
    init = read_request({"prompt": "gold", "drawing": picture(drawn), "strength": 0.5}, artist.pipe).init
    assert init is not None
    assert init.startswith(EMBEDDED)
    grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(init.removeprefix(EMBEDDED)))))
    assert (grey.shape, grey[10, 10], grey[40, 40]) == ((64, 64), 0, 255)


def test_a_drawing_of_16_bits_keeps_its_greys(artist):
    buffer = io.BytesIO()
    Image.fromarray(np.array([[0, 257 * 100], [65535, 65535]], np.uint16)).save(buffer, "PNG")
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    asked = read_request({"prompt": "gold", "drawing": url}, artist.pipe)
    drawn = Image.open(io.BytesIO(base64.b64decode(str(asked.init).removeprefix(EMBEDDED))))
    assert np.asarray(drawn).tolist() == [[0, 100], [255, 255]]


def test_errors_speak_of_the_page_and_not_of_options():
    assert in_words(UserError("leave out --init or --keep")) == "leave out the start or what is kept"
