"""The actions that the rails execute."""

from nemoguardrails.actions import action

from benches.peers.guard import Guard

guard = Guard()


@action(name="judge_prompt")
async def judge_prompt(context: dict) -> bool:
    """Whether the prompt violates."""
    return guard.refuses_prompt(context.get("user_message") or "")


@action(name="judge_completion")
async def judge_completion(context: dict) -> bool:
    """Whether the answer violates, given its prompt."""
    return guard.refuses_completion(context.get("user_message") or "", context.get("bot_message") or "")
