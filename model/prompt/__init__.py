"""From texts to the token ids that a model continues, and back: tokenizers, fill-in-the-middle, chats.

Knows neither weights nor where a completion ends.
Read first: `model.prompt.fim`.
"""
