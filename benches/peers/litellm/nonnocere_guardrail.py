"""A custom guardrail for the LiteLLM proxy: the prompt before the call, the answer after it."""

from fastapi import HTTPException
from litellm.integrations.custom_guardrail import CustomGuardrail

from benches.peers.guard import REFUSAL, Guard, last_user_turn

guard = Guard()


class Judge(CustomGuardrail):
    """Judges in the event loop: on one core, a thread would only take turns with it."""

    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        """Before the LLM is asked."""
        if guard.refuses_prompt(last_user_turn(data["messages"])):
            raise HTTPException(400, REFUSAL)
        return data

    async def async_post_call_success_hook(self, data, user_api_key_dict, response):
        """Once it has answered."""
        prompt = last_user_turn(data["messages"])
        for choice in response.choices:
            if guard.refuses_completion(prompt, choice.message.content or ""):
                raise HTTPException(400, REFUSAL)
        return response
