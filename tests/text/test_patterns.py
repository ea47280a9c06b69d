"""Redaction: every type found, nothing harmless taken, stable placeholders, bulk and single alike."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samloop.curate.batch import cleaned
from samloop.curate.redact import redact as redact_in_bulk
from samloop.example import Example, normalise
from samloop.text import checks
from samloop.text.patterns import PATTERNS, Pattern, Placeholders, Redactor, redact
from samloop.text.providers import PROVIDERS, Provider, keywords

DIGITS = "7391846205" * 30
LETTERS = "qX7bR2mZ9kT4wVc8LnP5sJ6dG3hF1yNa" * 10

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def made(prefix: str, length: int, alphabet: str = LETTERS) -> str:
    """A value of a provider's shape, put together here so that no such literal stands in the repository."""
    return prefix + alphabet[:length]


HEX = "0123456789abcdef9f8e7d6c5b4a3120" * 4
SECRETS = {
    "aws": made("AK" + "IA", 16, LETTERS.upper()),
    "github": made("gh" + "p_", 36),
    "github fine": made("github" + "_pat_", 40),
    "gitlab": made("gl" + "pat-", 20),
    "openai": made("s" + "k-", 48),
    "openai project": made("s" + "k-proj-", 60),
    "anthropic": made("s" + "k-ant-api03-", 80),
    "slack": "xo" + "xb-" + DIGITS[:11] + "-" + LETTERS[:24],
    "slack hook": "https://hooks.slack.com/" + "services/T" + LETTERS[:8].upper() + "/B0" + LETTERS[:30],
    "google": made("AI" + "za", 35),
    "google oauth": made("ya" + "29.", 60),
    "stripe": made("sk" + "_live_", 24),
    "hugging face": made("h" + "f_", 34),
    "npm": made("np" + "m_", 36),
    "pypi": made("py" + "pi-", 90),
    "sendgrid": "S" + "G." + LETTERS[:22] + "." + LETTERS[:43],
    "twilio": made("A" + "C", 32, HEX),
    "digitalocean": made("do" + "p_v1_", 64, HEX),
    "databricks": made("da" + "pi", 32, HEX),
    "shopify": made("shp" + "at_", 32, HEX),
    "groq": made("gs" + "k_", 52),
    "telegram": DIGITS[:9] + ":A" + "A" + LETTERS[:33],
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_providers_token_is_taken_out(name: str) -> None:
    text, counts = redact(f"use {SECRETS[name]} for now")
    assert LETTERS[4:12] not in text
    assert HEX[4:12] not in text
    assert sum(counts.values()) == 1
    assert "[REDACTED_API_KEY]" in text


PERSONAL = [
    ("EMAIL", "write to jane.doe+x@mail.co.uk today", "jane.doe+x@mail.co.uk"),
    ("PHONE", "call +49 30 901820 now", "+49 30 901820"),
    ("PHONE", "call (555) 234-5678 now", "(555) 234-5678"),
    ("PHONE", "Tel: 0490 75 40 81", "0490 75 40 81"),
    ("PHONE", "Phone:\n467 3395", "467 3395"),
    ("SSN", "my number is 460-89-9847.", "460-89-9847"),
    ("CREDIT_CARD", "card 4539 1488 0343 6467, thanks", "4539 1488 0343 6467"),
    ("CREDIT_CARD", "card 4539148803436467", "4539148803436467"),
    ("IBAN", "to DE89 3704 0044 0532 0130 00 please", "DE89 3704 0044 0532 0130 00"),
    ("IBAN", "to GB82WEST12345698765432", "GB82WEST12345698765432"),
    ("IP_ADDRESS", "from 93.184.216.34:443", "93.184.216.34"),
    ("IP_ADDRESS", "from 2606:2800:220:1:248:1893:25c8:1946 it came", "2606:2800:220:1:248:1893:25c8:1946"),
    ("USER", "see /home/jdoe/notes.txt", "jdoe"),
    ("USER", "see /Users/jane.doe/notes.txt", "jane.doe"),
    ("USER", r"see C:\Users\JaneD\notes.txt", "JaneD"),
    ("PASSWORD", "https://bob:" + "hunter2x@db.corp.net/x", "hunter2x"),
    ("PASSWORD", "postgresql+psycopg://svc:" + "s3cr3t!pw@10.0.0.1/db", "s3cr3t!pw"),
    ("PASSWORD", "DB_PASSWORD=" + "tr0ub4dor&3", "tr0ub4dor&3"),
    ("PASSWORD", "password: '" + "correct-horse-battery'", "correct-horse-battery"),
    ("PASSWORD", '{"passwd": "' + 'letmein99"}', "letmein99"),
    ("SECRET", 'client_secret = "' + LETTERS[:24] + '"', LETTERS[:24]),
    ("SECRET", "API_KEY=" + LETTERS[:24], LETTERS[:24]),
    ("PASSWORD", "the password is " + "hunter2x", "hunter2x"),
    ("TOKEN", "Authorization: Bearer " + LETTERS[:32], LETTERS[:32]),
    ("TOKEN", "ey" + "J" + LETTERS[:20] + ".ey" + "J" + LETTERS[:30] + "." + LETTERS[:30], LETTERS[:20]),
]


@pytest.mark.parametrize(("kind", "text", "value"), PERSONAL)
def test_personal_data_and_passwords_are_taken_out(kind: str, text: str, value: str) -> None:
    done, counts = redact(text)
    assert value not in done
    assert counts == {kind: 1}
    assert f"[REDACTED_{kind}]" in done


def test_a_private_key_goes_whole() -> None:
    rows = "\n".join(LETTERS[:64] for _ in range(4))
    label = "PRIVATE " + "KEY"
    done, counts = redact(f"key:\n-----BEGIN RSA {label}-----\n{rows}\n-----END RSA {label}-----\nafter")
    assert done == "key:\n[REDACTED_PRIVATE_KEY]\nafter"
    assert counts == {"PRIVATE_KEY": 1}


HARMLESS = [
    "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    "id 123e4567-e89b-12d3-a456-426614174000",
    "version 1.2.3.4 and v10.20.30.40, samloop==1.2.3.4",
    "def login(user: str, password: str) -> Token:",
    "password = getpass.getpass()",
    "password = os.environ['DB_PASSWORD']",
    "token = tokens[i]; key = lambda m: m.key2",
    "monkey=banana42 turnkey: solution1",
    "api_key: YOUR_API_KEY, api_key=<key>, token=${TOKEN}, password: changeme",
    "write to user@example.com or noreply@test.invalid",
    "git clone git@github.com:samloop/samloop.git",
    "image icon@2x.png, package left-pad@1.3.0",
    "connect to 127.0.0.1, 192.168.1.10, 10.0.0.5, localhost:8080, 8.8.8.8",
    "postgres://user:password@localhost/db and postgres://localhost/db",
    "the pixel count is 3840 x 2160; pi is 3.14159265358979323846",
    "2026-11-21T03:41:13 1700000000 1700000000000",
    "matrix 01 02 03 04 05 06 07 08 09 10 11 12",
    "/home/user/project, /Users/Shared/x, https://site.com/home/about",
    "the order 1234-5678 and the year 2001-02-03",
    "from 000-12-3456 or 666-12-3456 or 900-12-3456",
    "card 4539 1488 0343 6468 fails its checksum",
    "disk-based risk-free sk-learn-style-name",
    "explain what a bearer token is and basic authentication",
    "what does -----BEGIN PRIVATE " + "KEY----- mean?",
    "f(x)=x+12345678; a+4912345678",
    "page.md#improving-uploads:code-1 and page.md#advanced-usage:purpose-3",
    "the ratio 12:34:56 at 2023:10:11",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == (text, {})


def test_placeholders_are_stable_within_an_example() -> None:
    placeholders, redactor = Placeholders(), Redactor()
    first = redactor.redact("a@mail.org, b@mail.org", placeholders)
    second = redactor.redact("B@mail.org wrote to c@mail.org", placeholders)
    assert first == "[REDACTED_EMAIL], [REDACTED_EMAIL_2]"
    assert second == "[REDACTED_EMAIL_2] wrote to [REDACTED_EMAIL_3]"
    assert placeholders.counts == {"EMAIL": 4}


def test_numbering_goes_on_after_placeholders_that_stand_there_already() -> None:
    assert redact("[REDACTED_EMAIL_2] and a@mail.org")[0] == "[REDACTED_EMAIL_2] and [REDACTED_EMAIL_3]"


def test_names_on_the_users_list_go_as_whole_words_in_any_case() -> None:
    done, counts = redact(
        "Zoë met ANN; Anna and zoë-marie stay, mail ann@mail.org", names=["Ann", "Zoë", "email", " "]
    )
    assert done == "[REDACTED_NAME] met [REDACTED_NAME_2]; Anna and [REDACTED_NAME]-marie stay, mail [REDACTED_EMAIL]"
    assert counts == {"EMAIL": 1, "NAME": 3}


def seen_in_bulk(redactor: Redactor, text: str) -> bool:
    column = pa.array([text.encode("utf-8", "replace").decode()])
    return any(pc.match_substring_regex(column, p)[0].as_py() for _, p in redactor.prefilters)


@pytest.mark.parametrize("text", [*SECRETS.values(), *(text for _, text, _ in PERSONAL)])
def test_the_bulk_prefilter_sees_all_that_the_patterns_take(text: str) -> None:
    assert seen_in_bulk(Redactor(), text)


def test_patterns_compile_in_both_engines_and_agree() -> None:
    texts = [*SECRETS.values(), *(text for _, text, _ in PERSONAL), *HARMLESS]
    for pattern in PATTERNS:
        re2 = pc.match_substring_regex(pa.array(texts), pattern.pattern).to_pylist()
        assert re2 == [pattern.compiled.search(text) is not None for text in texts], pattern.type


FRAGMENTS = st.sampled_from(
    [
        *SECRETS.values(),
        *(t for _, t, _ in PERSONAL),
        *HARMLESS,
        "password=",
        "token: ",
        '"',
        "'",
        "@",
        " ",
        "\n",
        "://",
        ":",
    ]
)
MIXED = st.lists(st.one_of(FRAGMENTS, st.text(max_size=12)), max_size=8).map("".join)


@settings(deadline=None, max_examples=300)
@given(MIXED)
def test_redacting_twice_changes_nothing(text: str) -> None:
    once = Redactor(["Ann"]).redact(text, Placeholders([text]))
    assert Redactor(["Ann"]).redact(once, Placeholders([once])) == once


@settings(deadline=None, max_examples=300)
@given(MIXED)
def test_what_the_prefilter_passes_over_the_single_way_leaves_too(text: str) -> None:
    redactor = Redactor(["Ann", "Zoë"])
    text = text.encode("utf-8", "replace").decode()
    if not seen_in_bulk(redactor, text):
        assert redactor.redact(text, Placeholders()) == text


def plainly(patterns: Sequence[Pattern], text: str) -> str:
    """The table applied without any of its cheap looks."""
    # Each is a group of its own, so that none is passed over because of its neighbours.
    bare = [
        dataclasses.replace(p, gate="", needles=(), dense=False, numeric=False, look=str(place))
        for place, p in enumerate(patterns)
    ]
    return Redactor(patterns=bare).redact(text, Placeholders([text]))


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(st.lists(MIXED, min_size=1, max_size=12))
def test_bulk_and_single_give_the_same_answer_as_the_bare_patterns(texts: list[str]) -> None:
    texts = [normalise(t.encode("utf-8", "replace").decode()) or "x" for t in texts]
    examples = [Example(source="dataset", format="instruction", input_text="x", output_text=t) for t in texts]
    columns = cleaned(examples * 2, lambda _: False)
    redact_in_bulk(columns, Redactor())
    expected = [plainly(PATTERNS, t) for t in texts]
    assert [redact(t)[0] for t in texts] == expected
    assert columns.output_text == expected * 2


DIGIT_RUNS = st.text("0123456789", min_size=40, max_size=40)
JOINTS = st.sampled_from(["", " ", "-", "."])


def in_groups(value: str, size: int, joint: str) -> str:
    return joint.join(value[at : at + size] for at in range(0, len(value), size))


@settings(deadline=None, max_examples=200)
@given(country=st.sampled_from(sorted(checks.IBAN_LENGTHS)), digits=DIGIT_RUNS, joint=st.sampled_from(["", " "]))
def test_every_countrys_iban_is_seen_in_bulk(country: str, digits: str, joint: str) -> None:
    account = digits[: checks.IBAN_LENGTHS[country] - 4]
    check = 98 - int("".join(str(int(c, 36)) for c in f"{account}{country}00")) % 97
    iban = in_groups(f"{country}{check:02}{account}", 4, joint)
    assert "IBAN" in redact(f"to {iban}, please")[1]
    assert seen_in_bulk(Redactor(), f"to {iban}, please")


@settings(deadline=None, max_examples=200)
@given(
    head=st.sampled_from(["1800", "2131", "2221", "2720", "34", "37", "36", "4", "51", "55", "6011", "65", "62"]),
    length=st.integers(12, 19),
    digits=DIGIT_RUNS,
    joint=JOINTS,
)
def test_every_issuers_card_is_seen_in_bulk(head: str, length: int, digits: str, joint: str) -> None:
    body = (head + digits)[: length - 1]
    card = next(f"{body}{d}" for d in range(10) if checks.luhn(f"{body}{d}"))
    text = f"paid with {in_groups(card, 4, joint)}, thanks"
    assert seen_in_bulk(Redactor(), text) or redact(text)[0] == text


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(st.text("0123456789", min_size=7, max_size=15), st.lists(st.text(" .-/()+x0", max_size=3), max_size=15))
def test_every_telephone_number_is_seen_in_bulk(digits: str, signs: list[str]) -> None:
    signs += [""] * (len(digits) - len(signs))
    number = "".join(sign + digit for sign, digit in zip(signs, digits, strict=False))
    for text in (number, f"+{number}", f"call me at {number}", f"({number}"):
        assert seen_in_bulk(Redactor(), text) or redact(text)[0] == text


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.ip_addresses().map(str), st.ip_addresses(v=6).map(lambda a: a.exploded)))
def test_every_public_address_is_seen_in_bulk(address: str) -> None:
    assert seen_in_bulk(Redactor(), address) or redact(address)[0] == address


@pytest.mark.parametrize("kind", sorted({p.type for p in PATTERNS} | {"NAME"}))
def test_a_placeholder_holds_nothing_that_a_look_would_take_for_a_value(kind: str) -> None:
    for number in (1, 2, 10**6 - 1):
        placeholder = f"[REDACTED_{kind}_{number}]"
        assert plainly(PATTERNS, placeholder) == placeholder
        assert not any(p.numeric and re.search(p.gate, placeholder) for p in PATTERNS)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda p: p.name)
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_every_providers_format_passes_all_cheap_looks(provider: Provider, data: st.DataObject) -> None:
    token = data.draw(st.from_regex(re.compile(provider.pattern, re.ASCII), fullmatch=True))
    assert redact(token)[0] == plainly(PATTERNS, token)
    assert seen_in_bulk(Redactor(), token)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda p: p.name)
def test_the_engines_agree_on_every_providers_format(provider: Provider) -> None:
    for expression in (provider.pattern, *keywords([provider])):
        compiled = re.compile(expression, re.ASCII)
        found = pc.match_substring_regex(pa.array(list(SECRETS.values())), expression).to_pylist()
        assert found == [compiled.search(text) is not None for text in SECRETS.values()]


@settings(deadline=None, max_examples=300)
@given(MIXED)
def test_every_match_begins_with_one_of_its_literals(text: str) -> None:
    for pattern in (p for p in PATTERNS if p.begins):
        literals = tuple(pattern.begins)
        found = [m[0].lower() if pattern.folded else m[0] for m in pattern.compiled.finditer(text)]
        assert all(value.startswith(literals) for value in found), pattern.type


@pytest.mark.parametrize(
    ("kind", "value"), [("USER", "/home/otter7"), ("API_KEY", SECRETS["github"]), ("SSN", "460-89-9847/")]
)
def test_values_that_hide_one_another_all_go(kind: str, value: str) -> None:
    done, counts = redact(value * 100)
    assert value.strip("/").removeprefix("home/") not in done
    assert counts == {kind: 100}


@pytest.mark.parametrize("spelling", ["KIM", "kim", "K\u0130M", "k\u0131m", "\u212aim"])
def test_a_name_is_seen_in_bulk_in_every_case_that_python_folds(spelling: str) -> None:
    redactor = Redactor(["Kim"])
    assert redactor.redact(f"met {spelling} there", Placeholders()) == "met [REDACTED_NAME] there"
    assert seen_in_bulk(redactor, f"met {spelling} there")


def test_every_pattern_is_bounded() -> None:
    """RE2 refuses counts over 1,000, and a pattern without a bound before its literal could take quadratic time."""
    for pattern in PATTERNS:
        assert all(int(n) <= 1000 for n in re.findall(r"[{,]([0-9]+)\}", pattern.pattern))


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="no data beside the checkout")
def test_labelled_texts_are_found_with_few_false_alarms() -> None:
    kinds = {"EMAIL": "EMAIL_ADDRESS", "CREDIT_CARD": "CREDIT_CARD", "IBAN": "IBAN_CODE", "IP_ADDRESS": "IP_ADDRESS",
             "PHONE": "PHONE_NUMBER", "SSN": "US_SSN"}  # fmt: skip
    right, wrong, missed = Counter[str](), Counter[str](), Counter[str]()
    for record in json.loads((SHARED / "pii" / "presidio_synth_v2.json").read_text()):
        left = [(s["entity_type"], s["entity_value"]) for s in record["spans"]]

        class Spy(Placeholders):
            def put(self, kind: str, value: str, left: list[tuple[str, str]] = left) -> str:
                hit = next((s for s in left if s[0] == kinds.get(kind) and (value in s[1] or s[1] in value)), None)
                (right if hit else wrong)[kind] += 1
                if hit:
                    left.remove(hit)
                return super().put(kind, value)

        Redactor().redact(record["full_text"], Spy())
        missed.update(kind for kind, label in kinds.items() for s in left if s[0] == label)
    f1 = {k: 2 * right[k] / (2 * right[k] + wrong[k] + missed[k]) for k in kinds}
    assert all(f1[k] >= 0.95 for k in ("EMAIL", "CREDIT_CARD", "IBAN", "IP_ADDRESS")), f1
    assert f1["SSN"] >= 0.9
    assert f1["PHONE"] >= 0.85
