"""Ways to write a text so that a reader still understands it: what src/detect undoes, to measure it and to train on."""

import base64
import codecs
from typing import Callable

HOMOGLYPHS = str.maketrans("aceopxyisjABCEHKMOPTX", "асеорхуіѕјАВСЕНКМОРТХ")
LEET = str.maketrans("aeiostAEIOST", "431057431057")


def spaced(text: str, between: str) -> str:
    """Letters apart, words further apart."""
    return (between * 3 if between == " " else " ").join(between.join(word) for word in text.split())


def styled(text: str, upper: int, lower: int) -> str:
    """Letters of another block of Unicode, whose capital and small letters begin at `upper` and `lower`."""
    def one(letter: str) -> str:
        if not letter.isascii() or not letter.isalpha():
            return letter
        return chr(upper + ord(letter) - 65) if letter.isupper() else chr(lower + ord(letter) - 97)

    return "".join(map(one, text))


def rotated(text: str) -> str:
    """Rot13."""
    return codecs.encode(text, "rot13")


DISGUISES: dict[str, Callable[[str], str]] = {
    "homoglyphs": lambda text: text.translate(HOMOGLYPHS),
    "zero width": lambda text: "\u200b".join(text),
    "soft hyphens": lambda text: "\u00ad".join(text),
    "full width": lambda text: styled(text, 0xFF21, 0xFF41),
    "bold letters": lambda text: styled(text, 0x1D400, 0x1D41A),
    "circled letters": lambda text: styled(text, 0x24B6, 0x24D0),
    "combining marks": lambda text: "".join(letter + "\u0336" for letter in text),
    "variation selectors": lambda text: "\ufe0f".join(text),
    "bidi controls": lambda text: " ".join(f"\u202d{word}\u202c" for word in text.split(" ")),
    "tag block": lambda text: "".join(chr(0xE0000 + ord(letter)) for letter in text if letter.isascii()),
    "letters apart": lambda text: spaced(text, " "),
    "dots between letters": lambda text: spaced(text, "."),
    "leetspeak": lambda text: text.translate(LEET),
    "HTML entities": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "URL encoding": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "rot13": rotated,
    "reversed": lambda text: text[::-1],
    "words reversed": lambda text: " ".join(word[::-1] for word in text.split(" ")),
}
