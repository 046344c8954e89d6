"""The API described: ``contracts/openapi.json`` and its page, written from contracts/http, problems and code."""
