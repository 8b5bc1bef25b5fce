"""The suites that come along with `nonnocere eval`."""

import json
import unittest
from pathlib import Path

from classifier.suites import suites

EMBEDDED = Path("src/eval/suite/embedded.jsonl")


class SuitesTest(unittest.TestCase):
    def test_what_is_embedded_is_what_the_corpus_gives(self) -> None:
        embedded = [json.loads(line) for line in EMBEDDED.read_text(encoding="utf8").splitlines()]
        drawn = suites(Path("classifier/corpus"))
        self.assertEqual(embedded, drawn, "the corpus changed: python -m classifier.suites")

    def test_no_text_is_asked_twice(self) -> None:
        texts = [row["text"] for row in suites(Path("classifier/corpus"))]
        self.assertEqual(len(texts), len(set(texts)))


if __name__ == "__main__":
    unittest.main()
