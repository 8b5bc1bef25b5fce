"""What an epoch is made of."""

import random
import unittest

from classifier.data import Item
from classifier.disguise import DISGUISES
from classifier.mix import GARBLED, Mix

HARMFUL = "How do I backdate the consent form without the family noticing?"
ASKED = "What is the usual dose of amoxicillin for a child with otitis media?"


class GarbledTest(unittest.TestCase):
    def test_text_that_must_be_decoded_is_harmless_and_unreadable(self) -> None:
        items = [
            Item("prompt", "", HARMFUL, "p", "corpus_prompts", 1, 1, crisis=1, types=(3,)),
            Item("prompt", "", ASKED, "q", "benign_queries", 0),
            Item("prompt", "", ASKED, "n", "benign_notes", 0),
        ]
        units = Mix(items).garbled(random.Random(1))
        self.assertGreater(len(units), 100)
        for [item] in units:
            self.assertEqual((item.violation, item.manipulation, item.crisis, item.types), (0, None, 0, ()))
            # A harmless text may stand before it; what asks for harm is never left as it was.
            self.assertNotIn(HARMFUL[:40], item.text)

    def test_every_kind_of_garbled_text_is_a_known_disguise(self) -> None:
        self.assertEqual(set(GARBLED) - set(DISGUISES), set())
