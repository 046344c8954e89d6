"""Serves functions-framework's hello-world in one process, at the least cost: ``python serve.py [PORT]``."""

import os
import sys
from pathlib import Path

import uvicorn
from functions_framework.aio import create_asgi_app

if __name__ == "__main__":
    port = int(sys.argv[1] if sys.argv[1:] else os.environ.get("PORT", "8080"))
    source = Path(__file__).parent / "main.py"
    app = create_asgi_app(target="hello", source=str(source), signature_type="http")  # type: ignore[no-untyped-call]
    uvicorn.run(app, host="0.0.0.0", port=port, log_level="error", access_log=False)
