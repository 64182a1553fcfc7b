"""The prompts that meaning is measured with, and the radicals that a fitting character should carry.

Written for the purpose: none is a definition in the data set (a test holds it), apart from the bare words at the top,
which anyone would try first. A prompt names a thing whose characters are, in ordinary dictionaries, filed under the
given Kangxi radicals; any of them counts as a hit.
"""

from typing import NamedTuple


class Prompt(NamedTuple):
    """An English meaning and the numbers (1 to 214) of the Kangxi radicals that count as a hit."""

    text: str
    radicals: tuple[int, ...]


GOLD = (Prompt("gold", (167,)), Prompt("a kind of metal", (167,)))

PROMPTS: tuple[Prompt, ...] = (
    *GOLD,
    Prompt("an alloy of copper and tin", (167,)),
    Prompt("iron hook on a chain", (167,)),
    Prompt("a small river fish", (195,)),
    Prompt("a sea fish with sharp teeth", (195,)),
    Prompt("a stream in the hills", (85,)),
    Prompt("waves washing over the shore", (85,)),
    Prompt("drops of liquid leaking out", (85,)),
    Prompt("to burn in a hot fire", (86,)),
    Prompt("glowing coals", (86,)),
    Prompt("a tall tree with hard wood", (75,)),
    Prompt("a wooden beam or post", (75,)),
    Prompt("a fruit tree in blossom", (75,)),
    Prompt("a wild herb with edible leaves", (140,)),
    Prompt("a fragrant flower", (140,)),
    Prompt("thick grass and weeds", (140,)),
    Prompt("a flute made of bamboo", (118,)),
    Prompt("bamboo basket for rice", (118,)),
    Prompt("raw silk thread", (120,)),
    Prompt("to tie with a cord", (120,)),
    Prompt("a skin disease with itching", (104,)),
    Prompt("swelling, a painful ulcer", (104,)),
    Prompt("a black horse", (187,)),
    Prompt("a galloping horse", (187,)),
    Prompt("a bird of prey", (196, 172)),
    Prompt("a small singing bird", (196, 172)),
    Prompt("an insect that stings", (142,)),
    Prompt("a worm or caterpillar", (142,)),
    Prompt("a hunting dog", (94,)),
    Prompt("a fierce wild beast", (94, 153, 141)),
    Prompt("a yellow ox", (93,)),
    Prompt("a castrated ram", (123,)),
    Prompt("a young pig", (152,)),
    Prompt("a spotted deer", (198,)),
    Prompt("a kind of rat", (208,)),
    Prompt("precious jade ornament", (96,)),
    Prompt("a heap of stones", (112,)),
    Prompt("a steep mountain peak", (46,)),
    Prompt("dry earth, clay", (32,)),
    Prompt("heavy rain with thunder", (173,)),
    Prompt("a gust of cold wind", (182,)),
    Prompt("bright sunshine at noon", (72,)),
    Prompt("to stare with wide eyes", (109,)),
    Prompt("blind in one eye", (109,)),
    Prompt("deaf in both ears", (128,)),
    Prompt("to shout with an open mouth", (30,)),
    Prompt("to bite and chew", (30, 211)),
    Prompt("to grasp with the hand", (64,)),
    Prompt("to throw or fling something", (64,)),
    Prompt("to kick with the foot", (157,)),
    Prompt("to go far away on a road", (162, 60)),
    Prompt("sad, grieving heart", (61,)),
    Prompt("anger and hatred", (61,)),
    Prompt("fat meat of the belly", (130,)),
    Prompt("a bone of the leg", (188,)),
    Prompt("long hair hanging down", (190,)),
    Prompt("a decayed tooth", (211,)),
    Prompt("a pretty young girl", (38,)),
    Prompt("a jealous wife", (38,)),
    Prompt("an evil ghost or demon", (194,)),
    Prompt("to sacrifice to the spirits", (113,)),
    Prompt("a lined robe with sleeves", (145,)),
    Prompt("straps of tanned leather", (177, 178)),
    Prompt("a long boat", (137,)),
    Prompt("the axle of a cart", (159,)),
    Prompt("to cut with a knife", (18,)),
    Prompt("a bow stretched tight", (57,)),
    Prompt("a curtain of cloth", (50,)),
    Prompt("a net for catching birds", (122,)),
    Prompt("cooked rice grains", (119, 184)),
    Prompt("ripe ears of grain in the field", (115,)),
    Prompt("strong wine, liquor", (164,)),
    Prompt("to feed with cakes", (184,)),
    Prompt("a gate with a bar", (169,)),
    Prompt("a deep cave", (116,)),
    Prompt("to speak slander", (149,)),
    Prompt("to pay money for goods", (154,)),
    Prompt("deep black colour", (203,)),
    Prompt("long feathers on a wing", (124,)),
)
