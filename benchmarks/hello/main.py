"""Defines functions-framework's own hello-world, the reference of every ratio."""

import functions_framework.aio
from starlette.requests import Request


@functions_framework.aio.http
async def hello(request: Request) -> str:
    return "Hello, World!"
