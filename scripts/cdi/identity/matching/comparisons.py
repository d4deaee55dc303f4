"""What is compared of two profiles: the fields, and how far each may agree."""

from __future__ import annotations

from dataclasses import dataclass

OTHERWISE = "else"
"""The condition of the last level."""


@dataclass(frozen=True)
class Level:
    """How far a field agrees: a label for people, a condition on `<column>_l` and `<column>_r`, the start of `m`.

    `frequency_of` names a column whose common values count less ("Müller" less than "Xanthopoulos").
    """

    label: str
    condition: str
    m: float
    frequency_of: str | None = None


@dataclass(frozen=True)
class Comparison:
    """A field that is compared: the columns that both profiles must know, and its levels, the closest first.

    `u` is counted on random pairs. Where agreement is so rare that a sample has none of it, or only the very pairs that
    are looked for, it is counted on all pairs with different names (`is_rare`), beginning with `u_start`.
    """

    name: str
    columns: tuple[str, ...]
    levels: tuple[Level, ...]
    is_rare: bool = False
    u_start: float = 1e-7

    @property
    def unknown(self) -> str:
        """The condition under which nothing can be said: one of the two does not know the field."""
        return " and ".join(f"({column}_l is null or {column}_r is null)" for column in self.columns)

    @property
    def level(self) -> str:
        """The SQL expression of the place of a pair's level in `levels`, null for unknown."""
        cases = " ".join(f"when {level.condition} then {place}" for place, level in enumerate(self.levels[:-1]))
        return f"case when {self.unknown} then null {cases} else {len(self.levels) - 1} end"


_REPLACED = "length(email_l) = length(email_r) and levenshtein(email_l, email_r) = 1"
MISTYPED = (
    "damerau_levenshtein(email_l, email_r) = 1"
    # Another number is another person's, and with another dot namesakes help themselves.
    " and email_digits_l = email_digits_r and email_letters_l <> email_letters_r"
)
COMPARISONS = (
    Comparison(
        "email",
        ("email",),
        (
            Level("the same", "email_l = email_r", 0.1),
            Level("one letter lost, added or swapped", f"{MISTYPED} and not ({_REPLACED})", 0.35),
            Level("one letter replaced", MISTYPED, 0.1),
            Level("the same name at another domain", "email_own_name_l = email_own_name_r", 0.1),
            Level("different", OTHERWISE, 0.35),
        ),
        is_rare=True,
    ),
    Comparison(
        "phone",
        ("phone",),
        (Level("the same", "phone_l = phone_r", 0.6), Level("different", OTHERWISE, 0.4)),
        is_rare=True,
        u_start=1e-6,
    ),
    Comparison(
        "first_name",
        ("first_name",),
        (
            Level("the same", "first_name_l = first_name_r", 0.85, "first_name"),
            # At its end a letter makes another name: Mario and Maria, Jan and Jana.
            Level(
                "one letter off or an initial",
                "right(first_name_l, 2) = right(first_name_r, 2)"
                " and damerau_levenshtein(first_name_l, first_name_r) = 1"
                " or least(length(first_name_l), length(first_name_r)) = 1"
                " and left(first_name_l, 1) = left(first_name_r, 1)",
                0.1,
            ),
            Level("different", OTHERWISE, 0.05),
        ),
    ),
    Comparison(
        "last_name",
        ("last_name",),
        (
            Level("the same", "last_name_l = last_name_r", 0.85, "last_name"),
            Level("similar", "jaro_winkler_similarity(last_name_l, last_name_r) >= 0.9", 0.07),
            Level("different", OTHERWISE, 0.08),
        ),
    ),
    Comparison(
        "birthday",
        ("birthday",),
        (
            Level("the same", "birthday_l = birthday_r", 0.9),
            Level("one digit wrong or two swapped", "damerau_levenshtein(birthday_l, birthday_r) = 1", 0.06),
            Level("different", OTHERWISE, 0.04),
        ),
    ),
    Comparison(
        "place",
        ("postal_code", "city"),
        (
            Level("the same postal code", "postal_code_l = postal_code_r", 0.75),
            Level("the same city", "city_l = city_r", 0.1),
            Level("different", OTHERWISE, 0.15),
        ),
    ),
)
