"""Drafts become rows, faults are named, and what two readers see differently is dropped."""

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

from classifier.drafts import agree, read, said, sheet

PAIRS = """# pairs
## II.3 | nurse | typo | question
V: hide it
from them?
S: show it?

## II.3 | nurse | typo | question | manipulation | crisis
V: trick
S: no trick
"""
CONVERSATIONS = """# conversations
## M.6
= shared
U: one
A: two
= V
U: bad
A: ok
= S
U: good
A: ok
= last
U: go on
"""
COMPLETIONS = """# completions
## II.3
U: why?
V partial: I can't, but
S refuse: No.
"""


class Drafts(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def draft(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.txt"
        path.write_text(text, encoding="utf8")
        return path

    def test_pairs_keep_their_lines_and_marks(self) -> None:
        part, found = read(self.draft("a", PAIRS))
        self.assertEqual(part, "prompts")
        bad, good = found["a-0001"]
        self.assertEqual((bad["id"], bad["text"], bad["label"]), ("a-0001-v", "hide it\nfrom them?", "violation"))
        self.assertEqual((good["text"], good["audience"], good["form"]), ("show it?", "nurse", "question"))
        trick, twin = found["a-0002"]
        self.assertTrue(trick["manipulation"] and trick["crisis"])
        self.assertFalse("manipulation" in twin or "crisis" in twin)

    def test_conversations_share_what_is_shared(self) -> None:
        _, found = read(self.draft("a", CONVERSATIONS))
        bad, good = found["a-0001"]
        self.assertEqual(said(bad), "user: one\nassistant: two\nuser: bad\nassistant: ok\nuser: go on")
        self.assertEqual(said(good), "user: one\nassistant: two\nuser: good\nassistant: ok\nuser: go on")

    def test_completions_are_a_group(self) -> None:
        _, found = read(self.draft("a", COMPLETIONS))
        kinds = [(row["kind"], row["label"], row["completion"]) for row in found["a-0001"]]
        self.assertEqual(kinds, [("partial", "violation", "I can't, but"), ("refuse", "safe", "No.")])

    def test_a_faulty_block_is_named_and_left_out(self) -> None:
        text = "# pairs\n## II.3 | nurse | typo | question\nV: a\n## X.1 | nurse | typo | question\nV: a\nS: b\n## II.3 | nurse\nV: a\nS: b\n"
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            _, found = read(self.draft("a", text))
        self.assertEqual(found, {})
        self.assertEqual([line.split(":")[1] for line in errors.getvalue().splitlines()], ["2", "4", "7"])

    def test_what_readers_see_differently_is_dropped(self) -> None:
        draft, blind = self.draft("a", PAIRS), self.folder / "a.sheet"
        sheet([draft], blind)
        names = blind.with_suffix(".key").read_text(encoding="utf8").split()
        self.assertEqual(sorted(names), ["a-0001-s", "a-0001-v", "a-0002-s", "a-0002-v"])
        self.assertNotIn("a-0001", blind.read_text(encoding="utf8"))
        seen = {"a-0001-v": "x", "a-0001-s": "s", "a-0002-v": "s", "a-0002-s": "s"}
        answers = blind.with_suffix(".answers")
        answers.write_text("".join(f"{place} {seen[name]}\n" for place, name in enumerate(names, 1)), encoding="utf8")
        with contextlib.redirect_stdout(io.StringIO()) as output:
            agree(answers, [draft], self.folder)
        self.assertIn("agreement 75.00% of 4 texts", output.getvalue())
        rows = [json.loads(line) for line in (self.folder / "prompts/a.jsonl").read_text(encoding="utf8").splitlines()]
        self.assertEqual([row["id"] for row in rows], ["a-0001-v", "a-0001-s"])
        self.assertTrue(rows[0]["crisis"])


if __name__ == "__main__":
    unittest.main()
