"""What the made-up shop sells and advertises, and what its people are called. The same for every seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

CURRENCY = "EUR"
SITE = "https://shop.example"


@dataclass(frozen=True, slots=True)
class Product:
    """An article; `line` is how it looks in a message's properties, its price in euros."""

    sku: str
    name: str
    category: str
    brand: str
    price_cents: int
    path: str
    line: dict[str, Any]


_ASSORTMENT: dict[str, tuple[tuple[str, ...], tuple[str, ...], int, int]] = {
    # category: brands, articles, cheapest and dearest in cents
    "Shoes": (
        ("Nordlauf", "Pasola", "Ferrox"),
        ("Trail Shoe", "Running Shoe", "Sneaker", "Boot", "Sandal"),
        3995,
        18995,
    ),
    "Jackets": (
        ("Nordlauf", "Halden", "Ravna"),
        ("Rain Jacket", "Down Jacket", "Softshell", "Parka", "Vest"),
        5900,
        34900,
    ),
    "Shirts": (
        ("Halden", "Lumo", "Pasola"),
        ("T-Shirt", "Polo", "Blouse", "Base Layer", "Hoodie"),
        1490,
        7990,
    ),
    "Bags": (
        ("Ferrox", "Tarnby", "Lumo"),
        ("Backpack", "Duffel", "Tote", "Belt Bag", "Dry Bag"),
        1995,
        15995,
    ),
    "Camping": (
        ("Tarnby", "Ravna", "Bivak"),
        ("Tent", "Sleeping Bag", "Stove", "Mattress", "Lantern"),
        1290,
        49900,
    ),
    "Cycling": (("Velora", "Ferrox", "Pasola"), ("Helmet", "Jersey", "Gloves", "Lock", "Pump"), 990, 12990),
    "Fitness": (
        ("Velora", "Kraftig", "Lumo"),
        ("Kettlebell", "Yoga Mat", "Band Set", "Rope", "Roller"),
        890,
        8990,
    ),
    "Nutrition": (
        ("Kraftig", "Bivak", "Grona"),
        ("Energy Bar", "Protein", "Drink Mix", "Nut Mix", "Gel"),
        190,
        3490,
    ),
}
_VARIANTS = ("black", "blue", "green", "red", "grey")


def _make_products() -> dict[str, tuple[Product, ...]]:
    rng = Random(20261123)
    products: dict[str, tuple[Product, ...]] = {}
    for category, (brands, articles, cheapest, dearest) in _ASSORTMENT.items():
        made = []
        for number in range(25):
            brand, article = brands[number % len(brands)], articles[number % len(articles)]
            variant = _VARIANTS[number // len(articles)]
            sku = f"{category[:3].upper()}-{number + 1:03d}"
            # Most articles are cheap, a few are dear, and prices end in 0, 5 or 9.
            price = cheapest + int((dearest - cheapest) * rng.random() ** 2)
            price -= price % 10
            price += rng.choice((0, 5, 9))
            name = f"{brand} {article} {variant.title()}"
            path = f"/p/{name.lower().replace(' ', '-')}-{sku.lower()}"
            line = {
                "product_id": sku,
                "sku": sku,
                "category": category,
                "name": name,
                "brand": brand,
                "variant": variant,
                "price": price / 100,
            }
            made.append(Product(sku, name, category, brand, price, path, line))
        rng.shuffle(made)
        products[category] = tuple(made)
    return products


PRODUCTS = _make_products()
"""Category to its 25 products, the most popular first."""

CATEGORIES = tuple(PRODUCTS)

ARTICLES = tuple(
    (topic, f"{title} {topic.lower()}")
    for topic in CATEGORIES
    for title in ("How to choose your", "Our favourite", "Caring for")
)
"""(topic, title) of what people read."""

CAMPAIGNS = (
    {
        "name": "autumn-brand",
        "source": "google",
        "medium": "cpc",
        "term": "outdoor shop",
        "content": "text-a",
    },
    {"name": "autumn-brand", "source": "bing", "medium": "cpc", "term": "outdoor shop", "content": "text-b"},
    {"name": "retargeting", "source": "facebook", "medium": "paid_social", "content": "carousel"},
    {"name": "creator-spring", "source": "instagram", "medium": "social", "content": "story"},
    {"name": "partner-deals", "source": "pricewatch", "medium": "affiliate", "content": "listing"},
)
SALE_CAMPAIGN = {
    "name": "sale-week",
    "source": "google",
    "medium": "cpc",
    "term": "sale",
    "content": "banner",
}

# Where campaigns send people from, and where they come from by themselves (how often); from an e-mail or by typing the
# address they come from nowhere.
CAMPAIGN_REFERRERS = {
    "google": "https://www.google.com/",
    "bing": "https://www.bing.com/",
    "facebook": "https://l.facebook.com/",
    "instagram": "https://l.instagram.com/",
    "pricewatch": "https://pricewatch.example/outdoor",
}
REFERRERS = {
    "": 40,
    "https://www.google.com/": 34,
    "https://www.bing.com/": 4,
    "https://duckduckgo.com/": 3,
    "https://www.instagram.com/": 6,
    "https://www.pinterest.com/": 3,
    "https://www.youtube.com/": 2,
    "https://trail-blog.example/gear-of-the-year": 5,
    "https://hiking-club.example/links": 3,
}

STORES = tuple(f"S{number:02d}" for number in range(1, 26))

_FIRST = """
Anna Ben Clara David Emma Felix Greta Hannes Ida Jonas Katja Leon Mia Noah Olga Paul Romy Simon Tina
Umut Vera Willem Yara Zoe Amelie Bruno Carla Dario Elif Finn Giulia Hugo Ines Jan Kira Luca Marta
Nils Orla Pia Rafael Sofia Thomas Ursula Viktor Wanda Ali Britta Chiara Daan Ella Fatma Georg Helene
Ivo Johanna Karim Lotte Malik Nora
"""
FIRST_NAMES = tuple(_FIRST.split())
_LAST = """
Schmidt Meyer Fischer Weber Wagner Becker Hoffmann Koch Richter Klein Wolf Neumann Schwarz Braun
Zimmermann Krause Lehmann Huber Mayer Kaiser Fuchs Peters Lang Scholz Weiss Jung Hahn Keller Vogel
Roth Beck Lorenz Baumann Franke Albrecht Schuster Simon Ludwig Winter Martin Jansen DeVries VanDijk
Bakker Visser Smit Mulder Bos Gruber Steiner Moser Dubois Laurent Moreau Petit Taylor Brown Wilson
Evans Walker Yilmaz
"""
LAST_NAMES = tuple(_LAST.split())
CITIES = (
    ("Berlin", "10115", "DE"),
    ("Hamburg", "20095", "DE"),
    ("Munich", "80331", "DE"),
    ("Cologne", "50667", "DE"),
    ("Leipzig", "04109", "DE"),
    ("Vienna", "1010", "AT"),
    ("Graz", "8010", "AT"),
    ("Amsterdam", "1012", "NL"),
    ("Utrecht", "3511", "NL"),
    ("Paris", "75001", "FR"),
    ("Lyon", "69001", "FR"),
    ("London", "EC1A", "GB"),
    ("Leeds", "LS1", "GB"),
)
STREETS = {
    # named after somebody: {0} the first name, {1} the last, {2} the number of the house
    "DE": ("{0}-{1}-Straße {2}", "{1}straße {2}", "{0}-{1}-Weg {2}", "{0}-{1}-Platz {2}"),
    "AT": ("{0} {1} Straße {2}", "{1}gasse {2}", "{0}-{1}-Weg {2}", "{0}-{1}-Platz {2}"),
    "NL": ("{0} {1}straat {2}", "{1}laan {2}", "{0} {1}weg {2}", "{0} {1}plein {2}"),
    "FR": ("{2} rue {0} {1}", "{2} avenue {0} {1}", "{2} place {0} {1}", "{2} rue {1}"),
    "GB": ("{2} {0} {1} Street", "{2} {1} Road", "{2} {0} {1} Lane", "{2} {0} {1} Close"),
}
COUNTRIES = {
    # country: calling code, timezone, its offset in winter in hours, locale
    "DE": ("+49", "Europe/Berlin", 1, "de-DE"),
    "AT": ("+43", "Europe/Vienna", 1, "de-AT"),
    "NL": ("+31", "Europe/Amsterdam", 1, "nl-NL"),
    "FR": ("+33", "Europe/Paris", 1, "fr-FR"),
    "GB": ("+44", "Europe/London", 0, "en-GB"),
}
# .example can never be somebody's real mailbox.
MAIL_DOMAINS = ("gmail.example", "gmx.example", "outlook.example", "web.example", "icloud.example")
COMPANIES = tuple(
    f"{name} {form}"
    for name in ("Alpen", "Hanse", "Rhein", "Nord", "Blau", "Stern", "Wald", "Berg", "Kanal", "Delta")
    for form in ("Logistik", "Studio", "Werke", "Sport", "Handel")
)
INDUSTRIES = ("Retail", "Manufacturing", "Education", "Hospitality", "Technology", "Healthcare")
