"""The model's outputs: four heads, then the violation types of src/policy/taxonomy.rs, in its order."""

HEADS = ("violation", "manipulation", "crisis", "refusal")
SIDES = ("prompt", "conversation", "completion")

# How many types each principle has; G is general harm. Manipulation (M.*) is a head, not a type.
TYPES_OF = {"I": 6, "II": 6, "III": 5, "IV": 6, "V": 5, "VI": 5, "VII": 5, "VIII": 6, "IX": 5, "G": 7}
TYPES = tuple(f"{principle}.{n}" for principle, count in TYPES_OF.items() for n in range(1, count + 1))
LABELS = HEADS + TYPES


def types_of(principle: str) -> tuple[int, ...]:
    """Places of a principle's types within TYPES."""
    return tuple(place for place, name in enumerate(TYPES) if name.split(".")[0] == principle)
