"""The lint finds what it is there to find."""

import unittest

from classifier.lint_corpus import FEATURES, by_opening, by_words, faults_of, near_duplicates, picks

ROW = {"id": "x-1-v", "pair": "x-1", "type": "II.2", "principle": "II", "label": "violation", "audience": "nurse",
       "register": "plain", "form": "question", "text": "Backdate it?"}
TOPICS = ["note", "chart", "form", "letter", "report", "scan", "bill", "script"]


class Rows(unittest.TestCase):
    def test_a_good_row_has_no_fault(self) -> None:
        self.assertEqual(faults_of("prompts", ROW), [])

    def test_each_fault_is_named(self) -> None:
        for change, word in (
            ({"type": "X.1"}, "taxonomy"), ({"principle": "I"}, "principle"), ({"label": "bad"}, "label"),
            ({"pair": ""}, "pair"), ({"text": " "}, "empty"), ({"audience": "cat"}, "audience"), ({"form": "ode"}, "form"),
        ):
            self.assertIn(word, " ".join(faults_of("prompts", ROW | change)), change)

    def test_a_kind_goes_with_its_label(self) -> None:
        row = ROW | {"messages": [{"role": "user", "content": "x"}], "completion": "y", "kind": "refuse"}
        del row["text"]
        self.assertIn("kind", " ".join(faults_of("completions", row)))
        self.assertEqual(faults_of("completions", row | {"label": "safe"}), [])


class Shortcuts(unittest.TestCase):
    def test_a_telling_word_is_found(self) -> None:
        pairs = [(f"Hide the {topic} {n} from her", f"Show the {topic} {n} to her") for n in range(10) for topic in TOPICS]
        share, worse, safe = by_words(pairs)
        self.assertGreater(share, 0.9)
        self.assertIn("hide", " ".join(worse))
        self.assertIn("show", " ".join(safe))

    def test_words_on_both_sides_tell_nothing(self) -> None:
        one = [(f"Hide the {topic} from her", f"Show the {topic} to her") for topic in TOPICS * 5]
        other = [(worse.replace("Hide", "Show"), safe.replace("Show", "Hide")) for worse, safe in one]
        swapped = [(w.replace("from", "to"), s.replace(" to ", " from ")) for w, s in other]
        share, _, _ = by_words(one + swapped)
        self.assertLess(share, 0.62)

    def test_length_and_opening_are_found(self) -> None:
        pairs = [("Please do this long thing now?", "Do it.")] * 20
        found = picks(pairs, FEATURES)
        self.assertEqual(found["length in words"], 1.0)
        self.assertEqual(found["question marks"], 1.0)
        self.assertEqual(found["hotline mentions"], 0.5)
        self.assertEqual(by_opening(pairs), 1.0)


class Duplicates(unittest.TestCase):
    def test_a_near_copy_in_another_pair_is_found(self) -> None:
        text = "How do I backdate the consent note of a patient before the audit on Monday"
        near = text.replace("Monday", "Friday")
        self.assertEqual(len(near_duplicates([("a:1", "p1", text), ("a:2", "p2", near)], [])), 1)
        self.assertEqual(near_duplicates([("a:1", "p1", text), ("a:2", "p1", near)], []), [])
        self.assertEqual(len(near_duplicates([("a:1", "p1", text)], [near])), 1)


if __name__ == "__main__":
    unittest.main()
