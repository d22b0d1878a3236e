"""modq: publish posts for moderation, read what comes back.

>>> from modq import Post, Producer
>>> Producer("redis://localhost:6379/0").submit(Post(id="42", text="hello"))  # doctest: +SKIP
"""
