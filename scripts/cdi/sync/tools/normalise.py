"""What identifies people, in the one form whose hash every advertiser's tool compares.

Each function takes a value of any type and gives its normal form, empty where there is no value. It raises RowError for
what cannot be one: its hash would match nobody, or make a tool refuse all that goes with it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from cdi.sync.tools.http import RowError

_HASH = re.compile(r"\b[0-9a-f]{64}\b", re.IGNORECASE)
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_GMAIL = ("gmail.com", "googlemail.com")


def sha256_hex(text: str) -> str:
    """The SHA-256 of a text, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def hashed(value: Any, normal: Callable[[Any], str]) -> str:
    """The hash of a value's normal form, empty where there is none; what the model hashed itself stays."""
    text = _text(value)
    if _HASH.fullmatch(text):
        return text.lower()
    clean = normal(text)
    return sha256_hex(clean) if clean else ""


def without_hashes(text: str) -> str:
    """A tool's words with every hash masked: the hash of an address is personal too."""
    return _HASH.sub("***", text)


def email(value: Any) -> str:
    """An e-mail address in lower case."""
    text = _text(value).lower()
    if text and not _EMAIL.fullmatch(text):
        raise RowError("the e-mail is no address")
    return text


def google_email(value: Any) -> str:
    """An e-mail address as Google knows it: to Gmail, dots and what follows a plus make no difference."""
    user, _, domain = email(value).partition("@")
    if domain in _GMAIL:
        user = user.partition("+")[0].replace(".", "")
        if not user:
            raise RowError("the e-mail is no address")
    return f"{user}@{domain}" if user else ""


def phone(value: Any, *countries: Any) -> str:
    """The digits of a phone number with its country code (E.164 without the plus).

    `countries` are where a number is from that is written without a country code; the first one of two letters counts.
    """
    # Its tables take a while to read: only who has phone numbers waits for them.
    import phonenumbers

    text = _text(value)
    if not text:
        return ""
    region = next((code.upper() for code in map(_text, countries) if len(code) == 2), None)
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        if error.error_type == error.INVALID_COUNTRY_CODE and not text.startswith("+"):
            raise RowError("the phone has no country code") from None
        raise RowError("the phone is no phone number") from None
    if not phonenumbers.is_possible_number(number):
        raise RowError("the phone is no phone number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]


def name(value: Any) -> str:
    """A name as Google knows it: in lower case."""
    return _text(value).lower()


def letters(value: Any) -> str:
    """A name or a place as Meta knows it: in lower case, without punctuation and blanks."""
    return "".join(char for char in _text(value).lower() if unicodedata.category(char)[0] not in "PSCZ")


def postal_code(value: Any) -> str:
    """A postal code in lower case, without blanks; an American one without its last four digits."""
    code = "".join(_text(value).lower().split())
    return code[:5] if re.fullmatch(r"\d{5}-\d{4}", code) else code


def country(value: Any) -> str:
    """A country's two letters, in lower case."""
    text = _text(value).lower()
    if text and not re.fullmatch(r"[a-z]{2}", text):
        raise RowError("the country is no code of two letters")
    return text


def _text(value: Any) -> str:
    return "" if value is None else unicodedata.normalize("NFC", str(value)).strip()
