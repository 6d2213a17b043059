"""Words and sentences for pages that are drawn; every line of a page differs from the others."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from random import Random
from typing import Final

ENGLISH: Final = (
    "the invoice of March was paid in full and a copy went to our office before noon; please note that "
    "goods remain property until payment, for questions call (030) 555-0199 or write to desk@example.org. "
    "Delivery takes about four working days, returns are free within one month, and the warranty covers "
    "parts as well as labour. Quarterly figures improved slightly while costs fell; management expects "
    "another quiet winter, although several projects started late this year."
)
GERMAN: Final = (
    "für Überweisungen über 1.250,00 € gilt die übliche Frist; Änderungen müssen schriftlich bestätigt "
    "werden. Größere Beträge prüft das Büro in Köln, Rückfragen bitte an Frau Müller (Durchwahl 34). "
    "Straße, Hausnummer und Ort gehören auf jede Quittung. Äpfel, Öl und Gemüse führen wir täglich, "
    "außer sonntags; Preise ab 0,99 € je Stück. Schöne Grüße aus Düsseldorf"
)
CHINESE: Final = (
    "本合同一式两份甲乙双方各执一份自签字之日起生效发票金额人民币合计元整"
    "地址电话开户银行账号交货期限质量标准验收方法违约责任由双方协商解决"
)
JAPANESE: Final = (
    "この日本語の文章は複数の列に分かれています東京駅前で昼食を食べてから"
    "新しい本を買いに行きました雨が降る前に家へ帰りたい"
)
GOODS: Final = (
    *("Apples", "Pears", "Plums", "Figs", "Bread", "Butter", "Cheese", "Coffee", "Rice", "Salt", "Sugar"),
    *("Lemons", "Onions", "Carrots", "Flour", "Honey", "Juice", "Milk", "Olives", "Pasta", "Pepper", "Tea"),
)


def sentences(text: str, chance: Random, length: tuple[int, int]) -> Iterator[str]:
    """Lines without end, each of so many words (or letters, in a text without spaces), no two alike."""
    joint = " " if " " in text else ""
    words = text.split() if joint else list(text)
    lines = (_piece(words, chance.randrange(len(words)), chance.randint(*length)) for _ in count())
    return _distinct(joint.join(line) for line in lines)


def _piece(words: Sequence[str], start: int, length: int) -> list[str]:
    return [words[(start + place) % len(words)] for place in range(length)]


def _distinct(lines: Iterator[str]) -> Iterator[str]:
    seen: set[str] = set()
    for line in lines:
        if line not in seen:
            seen.add(line)
            yield line


def amounts(chance: Random) -> Iterator[str]:
    """Numbers, dates and references without end, no two alike."""
    makers: tuple[Callable[[], str], ...] = (
        lambda: f"{chance.randint(1, 9)},{chance.randint(100, 999)}.{chance.randint(10, 99)} EUR",
        lambda: f"No. {chance.randint(10_000, 99_999)}-{chance.randint(100, 999)}",
        lambda: f"20{chance.randint(10, 29)}-{chance.randint(10, 12)}-{chance.randint(10, 28)}",
        lambda: f"+49 30 {chance.randint(100, 999)} {chance.randint(1000, 9999)}",
        lambda: f"{chance.randint(10, 99)}.{chance.randint(10, 99)} % of {chance.randint(1000, 9999)}",
        lambda: f"DE{chance.randint(10, 99)} {chance.randint(1000, 9999)} {chance.randint(1000, 9999)}",
    )
    return _distinct(chance.choice(makers)() for _ in count())
